package builder

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/failure"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/pkg/queue"
)

const (
	fetchTries = 5
	fetchLimit = 10 * time.Minute // of one try
	fetchPause = 5 * time.Second  // after the first try; doubles
)

// fetch brings the package directory of the job's commit into "source". All jobs of a source repo share one bare
// repository, so that a commit is fetched once; the container never needs the git server, or a password for it.
func (j *job) fetch(ctx context.Context, source queue.SourceRepo) error {
	job := j.lease.Job
	cache := filepath.Join(j.b.places.gits, job.SourceRepo+".git")
	var err error
	final := false
	for try, wait := 1, fetchPause; ; try, wait = try+1, 2*wait {
		tryCtx, cancel := context.WithTimeoutCause(ctx, fetchLimit, fmt.Errorf("it took longer than %v", fetchLimit))
		j.commit, err = git.FetchCommit(tryCtx, cache, source.URL, job.SourceCommit)
		cancel()
		// A job may be faster than the push of its commit: on-schedule enqueues before it pushes, so that nothing is lost.
		final = errors.Is(err, git.ErrNotFound) && !errors.Is(err, git.ErrNoCommit) || errors.Is(err, git.ErrAuth)
		if err == nil || final || try == fetchTries || ctx.Err() != nil {
			break
		}
		fmt.Fprintf(j.out, "==> caur: source repo %s: %v; trying again\n", job.SourceRepo, err)
		if !pause(ctx, wait) {
			break
		}
	}
	if err != nil {
		err = fmt.Errorf("source repo %s (PACKAGE_REPOS of the database role): %w", job.SourceRepo, err)
		if final {
			return err
		}
		return &jobError{queue.SoftwareFailure, failure.Download, err}
	}
	err = git.Archive(ctx, cache, j.commit, job.Pkgbase, j.path("source"))
	if errors.Is(err, git.ErrNotFound) {
		return &jobError{queue.Failed, failure.Package, fmt.Errorf("commit %s of source repo %s has no directory %s", j.commit, job.SourceRepo, job.Pkgbase)}
	}
	if err != nil {
		return fmt.Errorf("source repo %s: %w", job.SourceRepo, err)
	}
	fmt.Fprintf(j.out, "==> caur: source repo %s, commit %s\n", job.SourceRepo, j.commit)
	return nil
}
