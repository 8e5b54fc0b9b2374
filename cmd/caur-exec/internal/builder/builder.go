package builder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/caur-build/caur/cmd/caur-exec/internal/buildlog"
	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
	"github.com/caur-build/caur/pkg/queue"
)

// Waits of the loop. idleWait is only a safety net: the queue wakes a builder as soon as a job is ready.
const (
	idleWait  = 30 * time.Second
	firstWait = time.Second // after an error; doubles up to idleWait
	endLimit  = 20 * time.Second
)

// Deps is what a builder is handed.
type Deps struct {
	Queue   *queue.Queue
	Logs    *buildlog.Store
	Log     *slog.Logger
	Version string // of this program, for people
}

// Builder is one builder role with an engine that works.
type Builder struct {
	s      Settings
	d      Deps
	engine container.Engine
	dirs   dirs
	exe    string
}

// Run claims and builds until ctx ends; running builds are then stopped and their jobs go back to the queue. Nothing
// is claimed when settings or engine are wrong: that is the error.
func Run(ctx context.Context, s Settings, d Deps) error {
	b, err := newBuilder(ctx, s, d)
	if err != nil {
		return err
	}
	defer b.engine.Close()
	d.Log.Info("builder is ready", "builder", s.Hostname, "class", s.Class, "engine", s.Engine, "own_root", b.engine.OwnRoot(), "jobs", s.Jobs)
	group, ctx := errgroup.WithContext(ctx)
	for n := range max(s.Jobs, 1) {
		group.Go(func() error { return b.loop(ctx, n) })
	}
	group.Go(func() error { return b.dirs.sweepLoop(ctx, d.Log) })
	if err := group.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

func newBuilder(ctx context.Context, s Settings, d Deps) (*Builder, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	places, err := newDirs(s)
	if err != nil {
		return nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find our own program: %w", err)
	}
	engine, err := container.New(ctx, container.Config{
		Engine: s.Engine, Socket: s.Socket, Pull: s.Pull, Overlay: s.Overlay, Scratch: places.jobs, HostPath: places.hostPath,
	})
	if err != nil {
		return nil, err
	}
	b := &Builder{s: s, d: d, engine: engine, dirs: places, exe: exe}
	if err := b.prepare(ctx); err != nil {
		engine.Close()
		return nil, err
	}
	return b, nil
}

// prepare checks the engine and removes what an earlier process of this builder has left.
func (b *Builder) prepare(ctx context.Context) error {
	if err := b.engine.Check(ctx); err != nil {
		return err
	}
	if err := b.engine.Sweep(ctx, b.s.Hostname); err != nil {
		return fmt.Errorf("remove containers of an earlier run: %w", err)
	}
	return b.dirs.clearJobs(b.s.Hostname)
}

// name is what one of several loops is called in the queue: at most one job runs under a name.
func (b *Builder) name(n int) string {
	if n == 0 {
		return b.s.Hostname
	}
	return b.s.Hostname + "-" + strconv.Itoa(n+1)
}

// loop claims and builds one job after the other. Only a queue of another version ends it with an error: waiting will
// not help there.
func (b *Builder) loop(ctx context.Context, n int) error {
	who := queue.Builder{Name: b.name(n), Class: b.class(n), Version: b.d.Version, Arches: b.s.arches()}
	pause := firstWait
	for ctx.Err() == nil {
		lease, err := b.d.Queue.Claim(ctx, who, b.s.LeaseTTL)
		switch {
		case errors.Is(err, queue.ErrProtocol):
			return err
		case err != nil:
			if ctx.Err() == nil {
				b.d.Log.Warn("cannot claim a job; trying again", "error", err, "after", pause)
			}
			sleep(ctx, pause)
			pause = min(2*pause, idleWait)
			continue
		case lease == nil:
			pause = firstWait
			if err := b.d.Queue.Wait(ctx, idleWait); err != nil && ctx.Err() == nil {
				sleep(ctx, firstWait)
			}
			continue
		}
		pause = firstWait
		b.build(ctx, lease)
	}
	return nil
}

// class of the n-th loop: a builder whose class is its own name keeps that in every loop.
func (b *Builder) class(n int) string {
	if b.s.Class == b.s.Hostname {
		return b.name(n)
	}
	return b.s.Class
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// build runs one job to its end: delivered, finished with a status, or given back.
func (b *Builder) build(ctx context.Context, lease *queue.Lease) {
	log := b.d.Log.With("job", lease.Job.ID(), "token", lease.Token)
	log.Info("build started", "attempt", lease.Attempt)
	started := time.Now()
	keep, stop := b.d.Queue.Keep(ctx, lease, b.s.LeaseTTL)
	result := b.run(keep, lease, log)
	stop()
	result.Duration, result.Builder = time.Since(started), lease.Builder
	b.end(ctx, keep, lease, result, log)
}

// end tells the queue and the log how a build ended. It goes on when ctx has ended: a job that is given back starts at
// once elsewhere, one that is not waits for its lease to run out.
func (b *Builder) end(ctx, keep context.Context, lease *queue.Lease, r outcome, log *slog.Logger) {
	endCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLimit)
	defer cancel()
	cause := context.Cause(keep)
	var err error
	switch {
	case errors.Is(cause, queue.ErrCanceled), errors.Is(cause, queue.ErrLeaseLost):
		r.Status, r.Message = queue.Canceled, cause.Error()
	case ctx.Err() != nil && r.Status != queue.Success:
		r.Status, r.Message = queue.CanceledRequeued, "the builder shuts down"
		err = b.d.Queue.Requeue(endCtx, lease)
	case r.Status == queue.Success:
		err = b.d.Queue.Deliver(endCtx, lease, r.Result)
	default:
		err = b.d.Queue.Finish(endCtx, lease, r.Result)
	}
	if r.log != nil {
		if logErr := r.log.End(endCtx, int(r.Status)); logErr != nil {
			log.Warn("the end of the build log is not stored", "error", logErr)
		}
	}
	if err != nil {
		// The queue decides: a lease that is lost sends the job to another builder.
		log.Error("the queue did not take the end of a build", "status", r.Status, "error", err)
		return
	}
	log.Info("build ended", "status", r.Status, "message", r.Message, "duration", r.Duration.Round(time.Millisecond))
}

// outcome is the result of a build with the log that is still open.
type outcome struct {
	queue.Result
	log *buildlog.Writer
}

func failed(status queue.Status, format string, args ...any) outcome {
	return outcome{Result: queue.Result{Status: status, Message: fmt.Sprintf(format, args...)}}
}

// jobDir is the directory of one run.
func (b *Builder) jobDir(lease *queue.Lease) string {
	return filepath.Join(b.dirs.jobs, fmt.Sprintf("%s.%s.%d", b.s.Hostname, lease.Job.Pkgbase, lease.Token))
}
