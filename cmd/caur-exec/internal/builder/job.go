package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/buildlog"
	"github.com/caur-build/caur/cmd/caur-exec/internal/failure"
	"github.com/caur-build/caur/cmd/caur-exec/internal/makepkg"
	"github.com/caur-build/caur/pkg/queue"
)

const (
	// endLimit is how long the outcome of a job is kept ready while the queue does not answer. The lease is renewed
	// meanwhile if it can be; a result that comes too late is refused by its token.
	endLimit    = 15 * time.Minute
	uploadLimit = 2 * time.Hour
)

// Steps of a job, for Deps.reached.
const (
	stepClaimed   = "claimed"
	stepFetched   = "fetched"
	stepCreate    = "create"    // the container is about to be made
	stepCollected = "collected" // the packages were taken from the build
	stepUploading = "uploading" // the landing zone is about to get a package
	stepUploaded  = "uploaded"  // all are there, and the queue is about to hear of it
	stepTold      = "told"      // the queue has the outcome
)

var errOutside = errors.New("the time limit of the build, with everything around it, is over")

// run sees one job through to its end.
func (b *builder) run(ctx context.Context, lease *queue.Lease, advert *queue.Advert) {
	started := b.Now()
	log := b.Log.With("job", lease.Job.TaskID(), "token", lease.Token)
	kept, stop := b.keep(ctx, lease)
	defer stop()
	b.reached(stepClaimed, lease.Job.Pkgbase)
	stream, end := b.openLog(kept, lease)
	tail := new(failure.Tail)
	out := io.MultiWriter(stream, tail)
	log.Info("build started", "attempt", lease.Attempt)
	fmt.Fprintf(out, "==> caur: building %s on %s\n", lease.Job.ID(), b.Hostname)

	result := b.attempt(kept, lease, advert, out, tail)
	result.Duration = b.Now().Sub(started)
	status, err := b.finish(ctx, kept, lease, result)
	b.reached(stepTold, lease.Job.Pkgbase)
	switch {
	case err != nil:
		log.Warn("the end of the build cannot be told to the queue", "status", result.Status.String(), "error", err)
		fmt.Fprintf(out, "==> caur: the end of this build cannot be told to the queue: %v\n", err)
	default:
		fmt.Fprintf(out, "==> caur: %s%s\n", status, withColon(result.Message))
		if status == queue.CanceledRequeued && b.again(lease, result) {
			fmt.Fprintf(out, "==> caur: this build is tried once more in %v\n", b.RetryAfter)
		}
	}
	end(status)
	log.Info("build ended", "status", status.String(), "message", result.Message, "duration", result.Duration.Round(time.Millisecond))
}

func withColon(message string) string {
	if message == "" {
		return ""
	}
	return ": " + message
}

// openLog opens the log of the job. A build goes on without one: the log store may be back before it ends.
func (b *builder) openLog(ctx context.Context, lease *queue.Lease) (out io.Writer, end func(queue.Status)) {
	w, err := limited(ctx, func(ctx context.Context) (*buildlog.Writer, error) {
		return b.Logs.Writer(ctx, buildlog.Key{Pkgbase: lease.Job.Pkgbase, Timestamp: lease.Job.Timestamp})
	})
	if err != nil {
		b.Log.Warn("the build has no log", "job", lease.Job.TaskID(), "error", err)
		return io.Discard, func(queue.Status) {}
	}
	return w, func(status queue.Status) {
		limit := callLimit
		if ctx.Err() != nil {
			limit = lastWords / 2
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		defer cancel()
		if err := w.End(ctx, int(status)); err != nil && !errors.Is(err, buildlog.ErrSuperseded) {
			b.Log.Warn("the end of a log is missing", "job", lease.Job.TaskID(), "error", err)
		}
	}
}

// finish tells the queue how the job ended, and gives the status that it has now. Who asked us to stop decides before
// the outcome does; an outcome that is there is told in any case.
func (b *builder) finish(ctx, kept context.Context, lease *queue.Lease, r queue.Result) (queue.Status, error) {
	cause := context.Cause(kept)
	stopped := r.Status == queue.Canceled // attempt was interrupted
	limit := endLimit
	if ctx.Err() != nil {
		limit = lastWords
	}
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	switch {
	case errors.Is(cause, queue.ErrCanceled):
		return queue.Canceled, nil // the queue has ended the job itself
	case errors.Is(cause, queue.ErrLeaseLost):
		return queue.CanceledRequeued, nil // it belongs to somebody else by now
	case stopped && ctx.Err() != nil:
		return queue.CanceledRequeued, retry(detached, func(ctx context.Context) error { return b.Queue.Requeue(ctx, lease) })
	case r.Status == queue.Success:
		return r.Status, retry(detached, func(ctx context.Context) error { return b.Queue.Deliver(ctx, lease, r) })
	case b.again(lease, r):
		return queue.CanceledRequeued, retry(detached, func(ctx context.Context) error { return b.Queue.Retry(ctx, lease, r, b.RetryAfter) })
	}
	return r.Status, retry(detached, func(ctx context.Context) error { return b.Queue.Finish(ctx, lease, r) })
}

// retry repeats a call to the queue until it is answered. Every such call may be sent twice.
func retry(ctx context.Context, call func(context.Context) error) error {
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		_, err := limited(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, call(ctx) })
		if err == nil || final(err) {
			return err
		}
		if !pause(ctx, wait) {
			return err
		}
	}
}

// attempt builds and uploads. Status Canceled means that ctx ended before there was an outcome. A mistake of ours is the end of one job, not of
// the builder.
func (b *builder) attempt(ctx context.Context, lease *queue.Lease, advert *queue.Advert, out io.Writer, tail *failure.Tail) (r queue.Result) {
	defer func() {
		if p := recover(); p != nil {
			b.Log.Error("a mistake in this program ended a build", "job", lease.Job.TaskID(), "panic", p, "stack", string(debug.Stack()))
			r = queue.Result{Status: queue.SoftwareFailure, Message: fmt.Sprintf("a mistake in caur-exec ended the build: %v", p)}
		}
	}()
	j, err := b.prepare(ctx, lease, advert, out)
	if j != nil {
		defer j.close()
	}
	if err == nil {
		r, err = j.build(ctx)
	}
	if err == nil && r.Status == queue.Success {
		r.Files, err = j.upload(ctx)
	}
	if err != nil && ctx.Err() != nil {
		return queue.Result{Status: queue.Canceled, Message: fmt.Sprintf("stopped: %v", context.Cause(ctx))}
	}
	class := ""
	if err != nil {
		fmt.Fprintf(out, "==> caur: error: %v\n", err)
		r = queue.Result{Status: queue.SoftwareFailure, Message: err.Error()}
	}
	var refused *jobError
	if errors.As(err, &refused) {
		r.Status, class = refused.status, refused.class
	}
	if failed(r.Status) {
		b.explain(&r, j, class, tail)
		fmt.Fprintf(out, "==> caur: reason: %s\n", r.Failure.Class)
	}
	return r
}

// jobError ends a job with another status than software failure.
type jobError struct {
	status queue.Status
	class  string // of package failure, when it is known without the log
	err    error
}

func (e *jobError) Error() string { return e.err.Error() }
func (e *jobError) Unwrap() error { return e.err }

// job is one build on its way, with its directories.
type job struct {
	b      *builder
	lease  *queue.Lease
	advert *queue.Advert
	target queue.TargetRepo
	out    io.Writer
	config makepkg.PackageConfig
	dir    string // below: source, out, taken, scratch, request.json
	commit string
	files  []string
	cache  *cacheLock
	facts  failure.Facts // about the end of the container
}

func (j *job) path(name string) string { return filepath.Join(j.dir, name) }

// close removes the job's directory and gives its cache back. Packages that were not uploaded are lost with it.
func (j *job) close() {
	if j.cache != nil {
		j.cache.release(j.b.Now())
		if j.b.CacheMaxGB > 0 {
			select {
			case j.b.sweep <- struct{}{}:
			default: // there will be one anyway
			}
		}
	}
	if err := os.RemoveAll(j.dir); err != nil {
		j.b.Log.Warn("a job's directory cannot be removed", "job", j.lease.Job.TaskID(), "error", err)
	}
}

// prepare finds out what to build and brings the package directory here.
func (b *builder) prepare(ctx context.Context, lease *queue.Lease, advert *queue.Advert, out io.Writer) (*job, error) {
	j := &job{b: b, lease: lease, advert: advert, out: out, dir: filepath.Join(b.places.builds, strconv.FormatInt(lease.Token, 10))}
	var ok bool
	if j.target, ok = advert.TargetRepos[lease.Job.TargetRepo]; !ok {
		return nil, fmt.Errorf("target repo %q is not known: PACKAGE_TARGET_REPOS of the database role lists those that are", lease.Job.TargetRepo)
	}
	source, ok := advert.SourceRepos[lease.Job.SourceRepo]
	if !ok {
		return nil, fmt.Errorf("source repo %q is not known: PACKAGE_REPOS of the database role lists those that are", lease.Job.SourceRepo)
	}
	if err := os.RemoveAll(j.dir); err != nil {
		return nil, fmt.Errorf("make the job's directory: %w", err)
	}
	for _, name := range []string{"out", "taken", "scratch"} {
		if err := os.MkdirAll(j.path(name), 0o755); err != nil {
			return j, fmt.Errorf("make the job's directory: %w", err)
		}
	}
	if err := j.fetch(ctx, source); err != nil {
		return j, err
	}
	b.reached(stepFetched, lease.Job.Pkgbase)
	var err error
	if j.config, err = makepkg.ReadPackageConfig(j.path("source")); err != nil {
		return j, &jobError{queue.Failed, failure.Package, err}
	}
	if err := b.allowed(j.config.Privileges); err != nil {
		return j, &jobError{queue.Failed, failure.Package, err}
	}
	if j.config.CacheSources {
		return j, j.takeCache()
	}
	return j, nil
}

// allowed says whether a package gets what it asks for with BUILDER_PRIVILEGES.
func (b *builder) allowed(wanted []string) error {
	for _, name := range wanted {
		if !slices.Contains(b.Privileges, name) && !slices.Contains(b.Privileges, "all") {
			return fmt.Errorf(".CI/config asks for BUILDER_PRIVILEGES=%s, which this builder does not allow (BUILDER_ALLOW_PRIVILEGES)", name)
		}
	}
	return nil
}

// takeCache locks the source cache of the package. Two architectures of one package may be built at once; the second one
// does without.
func (j *job) takeCache() error {
	cache, err := lockCache(j.b.places.caches, j.lease.Job.SourceRepo, j.lease.Job.Pkgbase, j.b.Now())
	if errors.Is(err, errCacheBusy) {
		fmt.Fprintf(j.out, "==> caur: another build uses the source cache of this package; this one does without\n")
		return nil
	}
	j.cache = cache
	return err
}
