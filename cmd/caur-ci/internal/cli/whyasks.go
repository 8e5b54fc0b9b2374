package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caur-build/caur/cmd/caur-ci/internal/forge"
	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/cmd/caur-ci/internal/plan"
	"github.com/caur-build/caur/pkg/queue"
	"github.com/caur-build/caur/pkg/state"
)

// askReview asks the remote for the branch, and the forge for its request.
func (r *whyReport) askReview(ctx context.Context, a *app, repo *gitrepo.Repo, remote string) error {
	branch := forge.BranchPrefix + r.Pkgbase
	ref := "refs/heads/" + branch
	refs, err := repo.RemoteRefs(ctx, remote, ref)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		r.NotAsked = append(r.NotAsked, fmt.Sprintf("branches that wait for review: %v", err))
		return nil
	}
	if refs[ref] == "" {
		return nil
	}
	r.Review = &whyReview{Branch: branch, Commit: refs[ref]}
	f, err := forge.FromEnvironment(a.io.Getenv)
	var requests []forge.Request
	if err == nil {
		requests, err = f.Open(ctx)
	}
	if err != nil {
		r.NotAsked = append(r.NotAsked, fmt.Sprintf("the merge request of %s: %v", branch, err))
		return ctx.Err()
	}
	for _, request := range requests {
		if request.Branch == branch {
			r.Review.URL = request.URL
		}
	}
	return nil
}

// askQueue looks for jobs of the package, alive or the one that ended last.
func (r *whyReport) askQueue(ctx context.Context, a *app, cfg *state.RepoConfig) error {
	if !a.queueConfigured(cfg) {
		r.NotAsked = append(r.NotAsked, "the queue: its settings are not here (REDIS_URL)")
		return nil
	}
	err := a.withQueue(ctx, cfg, func(q *queue.Queue) error {
		snapshot, err := q.Snapshot(ctx)
		if err != nil {
			return err
		}
		r.jobs(snapshot)
		if len(r.Jobs) > 0 {
			return nil
		}
		limited, cancel := context.WithTimeout(ctx, 10*time.Second) // it waits for one that came just now
		defer cancel()
		status, message, err := q.WaitTask(limited, cfg.RepoName+"/"+plan.DefaultArch+"/"+r.Pkgbase)
		switch {
		case errors.Is(err, queue.ErrNotFound), limited.Err() != nil && ctx.Err() == nil:
			return nil
		case err != nil:
			return err
		}
		r.LastEnd = &whyEnd{status.String(), message}
		return nil
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		r.NotAsked = append(r.NotAsked, fmt.Sprintf("the queue: %v", err))
	}
	return nil
}

func (r *whyReport) jobs(s *queue.Snapshot) {
	for _, j := range s.Waiting {
		if j.Job.Pkgbase != r.Pkgbase {
			continue
		}
		text := "for " + waitsFor(j)
		if j.Held {
			text = fmt.Sprintf("held, because %v ended badly: release it by hand", j.FailedDeps)
		}
		if j.Retries > 0 && j.Failure != nil {
			text += fmt.Sprintf("; try %d after a failure (%s)", j.Retries+1, j.Failure.Class)
		}
		r.Jobs = append(r.Jobs, whyJob{j.Job.ID(), "waiting", text})
	}
	for _, j := range s.Running {
		if j.Job.Pkgbase == r.Pkgbase {
			r.Jobs = append(r.Jobs, whyJob{j.Job.ID(), "running", fmt.Sprintf("on %s, for %s", j.Builder, age(s.Time, j.Since))})
		}
	}
	for _, j := range s.Publishing {
		if j.Job != nil && j.Job.Pkgbase == r.Pkgbase {
			r.Jobs = append(r.Jobs, whyJob{j.Job.ID(), "publishing", "built, and waits its turn in " + j.Job.TargetRepo})
		}
	}
}
