package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/buildlog"
	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
	"github.com/caur-build/caur/cmd/caur-exec/internal/makepkg"
	"github.com/caur-build/caur/internal/childproc"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/pkg/queue"
)

// fetchLimit bounds bringing one package directory from the source repository.
const fetchLimit = 10 * time.Minute

// Where a container sees what it is given. Engine none without an overlay sees everything where it is.
const (
	inSource  = "/caur/source"
	inOutput  = "/caur/out"
	inWork    = "/caur/work"
	inCache   = "/caur/sources"
	inRequest = "/caur/request.json"
	inRepo    = "/caur/repo"
)

// job is one run on its way.
type job struct {
	*Builder
	lease  *queue.Lease
	advert *queue.Advert
	config makepkg.PackageConfig
	dir    string
	cache  string
	log    *slog.Logger
}

// run makes one build and gives how it ended; its packages are in the landing zone when that is Success.
func (b *Builder) run(ctx context.Context, lease *queue.Lease, log *slog.Logger) outcome {
	writer, err := b.d.Logs.Writer(ctx, buildlog.Key{Pkgbase: lease.Job.Pkgbase, Timestamp: lease.Job.Timestamp})
	if err != nil {
		return failed(queue.SoftwareFailure, "open the build log: %v", err)
	}
	j := &job{Builder: b, lease: lease, dir: b.jobDir(lease), log: log}
	r := j.run(ctx, writer)
	if r.Message != "" {
		fmt.Fprintf(writer, "==> caur: %s\n", r.Message)
	}
	if err := os.RemoveAll(j.dir); err != nil {
		log.Warn("the directory of a build is not removed", "error", err)
	}
	return outcome{Result: r, log: writer}
}

func (j *job) run(ctx context.Context, out io.Writer) queue.Result {
	software := func(err error) queue.Result {
		return queue.Result{Status: queue.SoftwareFailure, Message: err.Error()}
	}
	fmt.Fprintf(out, "==> caur: %s on builder %s, attempt %d\n", j.lease.Job.ID(), j.lease.Builder, j.lease.Attempt)
	var err error
	if j.advert, err = j.d.Queue.Advertised(ctx); err != nil {
		return software(fmt.Errorf("read what the database role tells builders: %w", err))
	}
	request, spec, release, err := j.plan(ctx, out)
	if err != nil {
		return software(err)
	}
	defer release()
	limit := j.config.Limit(time.Duration(request.Timeout)) + makepkg.Overhead
	buildCtx, cancel := context.WithTimeoutCause(ctx, limit, errTimeLimit)
	defer cancel()
	code, err := j.engine.Run(buildCtx, spec, out)
	switch {
	case errors.Is(err, errTimeLimit):
		return queue.Result{Status: queue.TimedOut, Message: fmt.Sprintf("no end after %v", limit)}
	case err != nil:
		return software(err)
	}
	if status, message := verdict(code, request.CodeSkip); status != queue.Success {
		return queue.Result{Status: status, Message: message}
	}
	files, err := j.upload(ctx)
	var unusable *outputError
	switch {
	case errors.As(err, &unusable):
		return queue.Result{Status: queue.Failed, Message: err.Error()}
	case err != nil:
		return software(fmt.Errorf("upload to the landing zone: %w", err))
	}
	return queue.Result{Status: queue.Success, Files: files}
}

var errTimeLimit = errors.New("the time limit of the build is over")

// verdict maps an exit code of `caur-exec build` (executor.md section 2).
func verdict(code, skip int) (queue.Status, string) {
	switch code {
	case makepkg.CodeOK:
		return queue.Success, ""
	case makepkg.CodeAlreadyBuilt:
		return queue.AlreadyBuilt, "the repository has these packages already"
	case skip:
		return queue.Skipped, "skipped on purpose"
	case makepkg.CodeTimedOut:
		return queue.TimedOut, "the time limit of the build is over"
	}
	return queue.Failed, fmt.Sprintf("the build failed with status %d", code)
}

// plan makes the directories of a run, brings the source and says what the container is to do.
func (j *job) plan(ctx context.Context, out io.Writer) (makepkg.Request, container.Spec, func(), error) {
	fail := func(err error) (makepkg.Request, container.Spec, func(), error) {
		return makepkg.Request{}, container.Spec{}, nil, err
	}
	target, ok := j.advert.TargetRepos[j.lease.Job.TargetRepo]
	if !ok {
		return fail(fmt.Errorf("the database role knows no target repo %q: add it to PACKAGE_TARGET_REPOS", j.lease.Job.TargetRepo))
	}
	for _, dir := range []string{"source", "out", "work", "scratch"} {
		if err := os.MkdirAll(filepath.Join(j.dir, dir), 0o755); err != nil {
			return fail(fmt.Errorf("make the directory of the build: %w", err))
		}
	}
	if err := j.fetch(ctx, out); err != nil {
		return fail(err)
	}
	var err error
	if j.config, err = makepkg.ReadPackageConfig(filepath.Join(j.dir, "source")); err != nil {
		return fail(err)
	}
	release := func() {}
	if j.config.CacheSources {
		if j.cache, release, err = j.dirs.sourceCache(j.lease.Job.Pkgbase); err != nil {
			return fail(err)
		}
	}
	request, mounts := j.request(target)
	data, err := json.MarshalIndent(request, "", "\t")
	if err == nil {
		err = os.WriteFile(filepath.Join(j.dir, "request.json"), data, 0o644)
	}
	if err != nil {
		release()
		return fail(fmt.Errorf("write the build request: %w", err))
	}
	return request, j.spec(mounts), release, nil
}

// fetch brings the package directory out of the source repository. The container needs no access to that.
func (j *job) fetch(ctx context.Context, out io.Writer) error {
	source, ok := j.advert.SourceRepos[j.lease.Job.SourceRepo]
	if !ok {
		return fmt.Errorf("the database role knows no source repo %q: add it to PACKAGE_REPOS", j.lease.Job.SourceRepo)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, fetchLimit, fmt.Errorf("fetching took longer than %v", fetchLimit))
	defer cancel()
	cache := filepath.Join(j.dirs.repos, url.PathEscape(j.lease.Job.SourceRepo)+".git")
	sha, err := git.FetchCommit(ctx, cache, source.URL, j.lease.Job.SourceCommit)
	if err != nil {
		return fmt.Errorf("fetch source repo %s: %w", j.lease.Job.SourceRepo, err)
	}
	if err := git.Archive(ctx, cache, sha, j.lease.Job.Pkgbase, filepath.Join(j.dir, "source")); err != nil {
		return fmt.Errorf("take %s out of source repo %s at %s: %w", j.lease.Job.Pkgbase, j.lease.Job.SourceRepo, sha, err)
	}
	fmt.Fprintf(out, "==> caur: source repo %s at %s\n", j.lease.Job.SourceRepo, sha)
	return nil
}

// request is what the container is asked to do, and the mounts that this needs.
func (j *job) request(target queue.TargetRepo) (makepkg.Request, []container.Mount) {
	var mounts []container.Mount
	show := func(source, target string, readOnly bool) string {
		if !j.engine.OwnRoot() {
			target = source
		}
		mounts = append(mounts, container.Mount{Source: source, Target: target, ReadOnly: readOnly})
		return target
	}
	of := func(name string) string { return filepath.Join(j.dir, name) }
	lease := j.lease
	r := makepkg.Request{
		Pkgbase: lease.Job.Pkgbase, Pkgnames: lease.Job.Pkgnames, Arch: lease.Job.Arch,
		SourceDir: show(of("source"), inSource, true), OutputDir: show(of("out"), inOutput, false),
		WorkDir:  show(of("work"), inWork, false),
		Packager: j.advert.Packager, Mirror: lease.Job.ArchMirror, Keyrings: target.ExtraKeyrings,
		Jobs: int(j.s.CPUs), Timeout: makepkg.Duration(time.Duration(j.s.Timeout) * time.Second),
		CodeSkip: j.s.CodeSkip, BuildUser: j.s.BuildUser, LogURL: j.logURL(), OwnRoot: j.engine.OwnRoot(),
	}
	if j.cache != "" {
		r.SourceCacheDir = show(j.cache, inCache, false)
	}
	for _, extra := range target.ExtraRepos {
		repo := makepkg.Repo{Name: extra.Name, Servers: extra.Servers, SigLevel: j.s.ExtraSigLevel}
		if extra.Name == lease.Job.TargetRepo {
			r.TargetRepo = &repo
			continue
		}
		r.ExtraRepos = append(r.ExtraRepos, repo)
	}
	if dir := filepath.Join(j.s.RepoPath, lease.Job.TargetRepo, lease.Job.Arch); j.s.RepoPath != "" && hasDatabase(dir, lease.Job.TargetRepo) {
		// What was just published is there at once; a mirror may lag behind.
		server := (&url.URL{Scheme: "file", Path: show(dir, inRepo, true)}).String()
		r.TargetRepo = &makepkg.Repo{Name: lease.Job.TargetRepo, Servers: []string{server}, SigLevel: j.s.RepoSigLevel}
	}
	show(of("request.json"), inRequest, true)
	return r, mounts
}

func hasDatabase(dir, repo string) bool {
	_, err := os.Stat(filepath.Join(dir, repo+".db"))
	return err == nil
}

func (j *job) logURL() string {
	if j.advert.LogsURL == "" {
		return ""
	}
	query := url.Values{"id": {j.lease.Job.Pkgbase}, "timestamp": {fmt.Sprint(j.lease.Job.Timestamp)}}
	return j.advert.LogsURL + "?" + query.Encode()
}

func (j *job) spec(mounts []container.Mount) container.Spec {
	image := j.s.Image
	if image == "" {
		image = j.advert.Image
	}
	request := mounts[len(mounts)-1].Target
	env := childproc.MinimalEnv()
	if j.engine.OwnRoot() && j.s.Engine != "none" {
		env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"}
	}
	return container.Spec{
		Name:  fmt.Sprintf("caur-%s-%d", j.s.Hostname, j.lease.Token),
		Owner: j.s.Hostname, Image: image, Executable: j.exe,
		Command: []string{"build", "--request", request},
		Env:     env, Mounts: mounts, Hide: j.hide(), Scratch: filepath.Join(j.dir, "scratch"), Network: j.s.BuildNetwork,
		Limits: container.Limits{CPUs: j.s.CPUs, MemoryMiB: j.s.MemoryMiB, Pids: j.s.Pids},
	}
}

// hide names what an overlay must not show to a build: what other builds and roles have on this machine.
func (j *job) hide() []string {
	var paths []string
	for _, path := range append([]string{j.dirs.base, j.s.RepoPath}, j.s.Hide...) {
		if path != "" && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths
}

// outputError says that what a build has left is no usable output.
type outputError struct{ reason string }

func (e *outputError) Error() string { return e.reason }

// outputs lists the package files in the output directory: regular files with legal names of this job's pkgnames.
func (j *job) outputs() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(j.dir, "out"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !e.Type().IsRegular() {
			return nil, &outputError{fmt.Sprintf("the build left %q, which is no regular file", e.Name())}
		}
		file, err := syncdb.ParseFilename(e.Name())
		if err != nil {
			return nil, &outputError{fmt.Sprintf("the build left %q: %v", e.Name(), err)}
		}
		if known := j.lease.Job.Pkgnames; len(known) > 0 && !slices.Contains(known, strings.TrimSuffix(file.Name, "-debug")) &&
			!slices.Contains(known, file.Name) {
			return nil, &outputError{fmt.Sprintf("the build left %q, which is no package of %s", e.Name(), j.lease.Job.Pkgbase)}
		}
		names = append(names, e.Name())
	}
	if len(names) == 0 {
		return nil, &outputError{"the build left no package"}
	}
	return names, nil
}

// check lists what is wrong with settings that have right types.
func (s Settings) check() error {
	var errs []error
	if s.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("BUILDER_TIMEOUT=%d: must be more than 0 seconds", s.Timeout))
	}
	if s.LeaseTTL < time.Second {
		errs = append(errs, fmt.Errorf("BUILDER_LEASE=%v: must be at least 1s", s.LeaseTTL))
	}
	if _, err := os.Stat(s.SharedPath); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, fmt.Errorf("SHARED_PATH: %w", err))
	}
	return errors.Join(errs...)
}
