// Package builder is the builder role: it claims jobs, runs each in a container, and delivers the packages.
//
// A job that was claimed always ends: delivered, finished with a status, or given back. The lease is renewed while the
// build runs; when it is lost or cancelled the container is stopped and nothing is delivered. The container gets the
// package directory, read-only, a directory for its output, and a request without any secret; the network, the git
// server's password and the queue stay outside.
package builder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/buildlog"
	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
	"github.com/caur-build/caur/cmd/caur-exec/internal/failure"
	"github.com/caur-build/caur/pkg/queue"
)

const (
	// stopGrace is what a build has to end after SIGTERM; with the calls after it the builder is gone within 30 s.
	stopGrace  = 8 * time.Second
	lastWords  = 10 * time.Second // to give a job back and close its log when we are asked to end
	callLimit  = 30 * time.Second // of one call to the queue
	claimLimit = 10 * time.Second // of a claim, which goes on when we are asked to end
	claimPause = 30 * time.Second // at the latest then the queue is asked again, which also shows that we live
	retryFirst = time.Second
	retryMost  = 30 * time.Second
)

// Deps is what a builder works with. Queue, Logs and Log must be given.
type Deps struct {
	Queue      *queue.Queue
	Logs       *buildlog.Store
	Log        *slog.Logger
	Version    string           // of this program, shown in the queue
	Engine     container.Engine // nil: the one that the settings name; the builder does not close one it was given
	Executable string           // the program that runs inside, "" for this one
	Drain      <-chan struct{}  // when it is closed, running builds are finished, none is begun, and Run returns; nil: never
	Now        func() time.Time // nil: time.Now

	reached func(step, pkgbase string) // told of each step of a job; tests put faults there
}

type builder struct {
	Settings
	Deps
	engine   container.Engine
	places   places
	failures *failure.Classifier
	sweep    chan struct{} // holds one wish for a sweep of the source caches
}

// Run builds jobs until ctx ends; then running builds are stopped, their jobs go back to the queue, and Run returns nil
// within 30 s. It also returns nil when Deps.Drain asked it to end and the last build has. Any other return is an error: the settings or the engine do not work, another builder of the same name
// runs on this machine, or the queue speaks another protocol.
func Run(ctx context.Context, s Settings, d Deps) error {
	b := &builder{Settings: s, Deps: d, engine: d.Engine, places: findPlaces(s), failures: failure.New(), sweep: make(chan struct{}, 1)}
	b.divide()
	if err := b.places.make(); err != nil {
		return err
	}
	unlock, err := b.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if b.Now == nil {
		b.Now = time.Now
	}
	if b.reached == nil {
		b.reached = func(string, string) {}
	}
	if b.Executable == "" {
		if b.Executable, err = b.places.program(inContainer() && s.Engine != "none"); err != nil {
			return err
		}
	}
	if b.engine == nil {
		if b.engine, err = OpenEngine(ctx, s); err != nil {
			return unlessEnded(ctx, err)
		}
		defer b.engine.Close()
	}
	if err := b.cleanUp(ctx); err != nil {
		return unlessEnded(ctx, err)
	}
	if !b.engine.OwnRoot() {
		if err := b.places.open(); err != nil {
			return err
		}
		b.Log.Warn("builds change the root file system of this machine: no overlay can be mounted, or BUILDER_OVERLAY=never; this is for machines that are thrown away")
	}
	b.Log.Info("builder is ready", "name", s.Hostname, "class", s.Class, "engine", s.Engine, "own_root", b.engine.OwnRoot(), "jobs", s.Jobs)
	return b.work(ctx)
}

// unlessEnded gives err, except when it comes from our being asked to end.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// lock makes sure that no other process has our name, and so our directories, on this machine.
func (b *builder) lock() (unlock func(), err error) {
	f, err := lockFile(filepath.Join(filepath.Dir(b.places.builds), ".lock-"+b.Hostname), os.O_CREATE)
	if errors.Is(err, errCacheBusy) {
		return nil, fmt.Errorf("another builder called %s runs on this machine: stop it, or choose another BUILDER_HOSTNAME", b.Hostname)
	}
	if err != nil {
		return nil, fmt.Errorf("lock the build directory: %w", err)
	}
	return func() { f.Close() }, nil
}

// cleanUp checks the engine and removes what a builder of our name left when it was killed.
func (b *builder) cleanUp(ctx context.Context) error {
	if err := b.engine.Check(ctx); err != nil {
		return err
	}
	if err := b.engine.Sweep(ctx, b.Hostname); err != nil {
		return err
	}
	left, err := os.ReadDir(b.places.builds)
	if err != nil {
		return fmt.Errorf("clean the build directory: %w", err)
	}
	for _, e := range left {
		if err := os.RemoveAll(filepath.Join(b.places.builds, e.Name())); err != nil {
			return fmt.Errorf("clean the build directory: %w", err)
		}
	}
	return nil
}

// errDrained is why an idle worker ends.
var errDrained = errors.New("the builder takes no more jobs")

// work runs the workers, and the sweeper of source caches, until ctx ends, one of them meets what cannot be mended, or
// all have ended because no more jobs are wanted.
func (b *builder) work(parent context.Context) error {
	ctx, stop := context.WithCancelCause(parent)
	defer stop(nil)
	idle, rest := context.WithCancelCause(ctx) // ends before ctx does when the builder is drained
	defer rest(nil)
	var workers, others sync.WaitGroup
	for range b.Jobs {
		workers.Go(func() {
			if err := b.worker(ctx, idle); err != nil {
				stop(err)
			}
		})
	}
	others.Go(func() { b.sweeper(ctx) })
	others.Go(func() {
		select {
		case <-b.Drain:
			b.Log.Info("no more jobs are taken; the builder ends when its builds have")
			rest(errDrained)
		case <-ctx.Done():
		}
	})
	workers.Wait()
	err := context.Cause(ctx)
	stop(nil)
	others.Wait()
	if parent.Err() != nil {
		return nil
	}
	return err
}

// sweeper keeps the source caches within their limits.
func (b *builder) sweeper(ctx context.Context) {
	tick := time.NewTicker(cacheSweeps)
	defer tick.Stop()
	for {
		removed, err := sweepCaches(b.places.caches, b.Now().Add(-cacheKeep), int64(b.CacheMaxGB*1e9))
		if err != nil {
			b.Log.Warn("source caches", "error", err)
		}
		if len(removed) > 0 {
			b.Log.Info("source caches removed", "packages", removed)
		}
		select {
		case <-tick.C:
		case <-b.sweep:
		case <-ctx.Done():
			return
		}
	}
}

// worker builds one job after the other until idle ends. Only a queue of another protocol ends it early.
func (b *builder) worker(ctx, idle context.Context) error {
	wait := retryFirst
	for idle.Err() == nil {
		err := b.once(ctx, idle)
		switch {
		case errors.Is(err, queue.ErrProtocol):
			return err
		case err != nil && idle.Err() == nil:
			b.Log.Warn("no job can be taken now", "error", err, "again_in", wait)
			pause(idle, wait)
			wait = min(2*wait, retryMost)
		default:
			wait = retryFirst
		}
	}
	return nil
}

// once takes a job and builds it, or waits until there may be one.
func (b *builder) once(ctx, idle context.Context) error {
	advert, err := limited(idle, func(ctx context.Context) (*queue.Advert, error) { return b.Queue.Advertised(ctx) })
	if err != nil {
		return err
	}
	if advert == nil {
		return errors.New("the database role has not told yet which repositories there are: is it running (caur-exec database)?")
	}
	// A claim is never broken off: its answer may be a job that would wait for the end of its lease then.
	claiming, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimLimit)
	defer cancel()
	lease, err := b.Queue.Claim(claiming, queue.Builder{Name: b.Hostname, Class: b.Class, Arches: b.arches(), Version: b.Version}, b.LeaseTTL)
	if err != nil {
		return err
	}
	if lease == nil {
		return b.Queue.Wait(idle, claimPause)
	}
	b.run(ctx, lease, advert)
	return nil
}

func limited[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return call(ctx)
}

// pause waits, and says whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
