package database

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"github.com/caur-build/caur/cmd/caur-exec/internal/landing"
	"github.com/caur-build/caur/cmd/caur-exec/internal/publish"
	"github.com/caur-build/caur/pkg/queue"
)

const (
	reapEvery      = 10 * time.Second
	advertiseEvery = time.Minute // Redis may have lost it
	sweepEvery     = time.Hour
	waitAtMost     = 30 * time.Second
	keepLanding    = 24 * time.Hour
	publishTries   = 3
	turnsAtMost    = 5 // of a delivery that never comes to an end
	workersAtMost  = 4
)

// role is the running database role.
type role struct {
	name      string
	ttl       time.Duration
	q         *queue.Queue
	publisher *publish.Publisher
	zone      *landing.Zone
	log       *slog.Logger
	advert    queue.Advert
	observer  Observer
}

// Observer is told how publishing goes.
type Observer interface {
	Published(targetRepo string, status queue.Status, took time.Duration) // a delivery or clean-up came to its end
	Retried(targetRepo string)                                            // an attempt failed because of this machine, and is repeated
}

type noObserver struct{}

func (noObserver) Published(string, queue.Status, time.Duration) {}
func (noObserver) Retried(string)                                {}

// Option changes Run.
type Option func(*role)

// WithObserver lets o watch.
func WithObserver(o Observer) Option { return func(r *role) { r.observer = o } }

// Run does the work of the database role until ctx ends, then returns nil. What it cannot start without (the signing
// key, the directories, a repository that can be recovered) is an error.
func Run(ctx context.Context, s Settings, q *queue.Queue, log *slog.Logger, opts ...Option) error {
	r, err := newRole(ctx, s, q, log)
	if err == nil {
		for _, o := range opts {
			o(r)
		}
		err = r.upgrade(ctx)
	}
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for range min(len(r.advert.TargetRepos), workersAtMost) {
		g.Go(func() error { r.work(ctx); return nil })
	}
	g.Go(func() error { every(ctx, reapEvery, r.reap); return nil })
	g.Go(func() error { every(ctx, advertiseEvery, r.advertise); return nil })
	g.Go(func() error { every(ctx, sweepEvery, r.sweep); return nil })
	return g.Wait()
}

func newRole(ctx context.Context, s Settings, q *queue.Queue, log *slog.Logger) (*role, error) {
	zone, err := landing.NewZone(s.LandingPath)
	if err != nil {
		return nil, err
	}
	signer, err := s.signer(ctx)
	if err != nil {
		return nil, err
	}
	r := &role{name: s.Hostname, ttl: s.LeaseTTL, q: q, zone: zone, log: log, advert: s.advert(), observer: noObserver{}}
	if r.name == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("DATABASE_HOSTNAME is not set: %w", err)
		}
		r.name = fmt.Sprintf("%s:%d", host, os.Getpid())
	}
	r.publisher, err = publish.New(publish.Options{
		RepoPath: s.RepoPath, Zone: zone, Signer: signer, SignDB: s.SignDB, StillWanted: q.StillWanted,
		TargetRepo: func(repo string) bool { _, known := r.advert.TargetRepos[repo]; return known },
	})
	if err != nil {
		return nil, err
	}
	if err := r.publisher.Recover(ctx); err != nil {
		return nil, fmt.Errorf("recover what an interrupted publish left: %w", err)
	}
	log.Info("database role started", "name", r.name, "repo_path", s.RepoPath, "signing_key", signer.Key(), "sign_db", s.SignDB)
	return r, nil
}

// every calls do at once and then each period, until ctx ends.
func every(ctx context.Context, period time.Duration, do func(context.Context)) {
	t := time.NewTicker(period)
	defer t.Stop()
	for {
		do(ctx)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (r *role) reap(ctx context.Context) {
	reaped, err := r.q.Reap(ctx)
	if err != nil {
		r.trouble(ctx, "return jobs of dead builders", err)
	}
	for _, job := range reaped {
		r.log.Warn("lease ran out", "job", job.Job.ID(), "builder", job.Builder, "attempt", job.Attempt, "given_up", job.Ended)
	}
}

func (r *role) advertise(ctx context.Context) {
	if err := r.q.Advertise(ctx, r.advert); err != nil {
		r.trouble(ctx, "advertise settings", err)
	}
}

func (r *role) sweep(ctx context.Context) {
	swept, err := r.publisher.Sweep(ctx)
	if err != nil {
		r.trouble(ctx, "sweep repository", err)
	}
	for _, path := range swept {
		r.log.Info("swept from the repository", "path", path)
	}
	now, err := r.q.Snapshot(ctx)
	if err != nil {
		r.trouble(ctx, "sweep landing zone", err)
		return
	}
	at := time.Now()
	landed, err := r.zone.Sweep(at, at.Add(-keepLanding), livePlaces(now))
	if err != nil {
		r.trouble(ctx, "sweep landing zone", err)
	}
	for _, path := range landed.Quarantined {
		r.log.Warn("nobody waits for this upload: its token is old, or the job has ended; set aside for a day", "path", path)
	}
	for _, path := range landed.Removed {
		r.log.Warn("removed from the landing zone", "path", path)
	}
}

// livePlaces tells the places of runs that upload or wait to be published from those of builders that came back from the
// dead. What was claimed after the snapshot has a token later than its time: tokens never are below Redis' clock in
// microseconds.
func livePlaces(s *queue.Snapshot) func(landing.Place) bool {
	live := make(map[landing.Place]bool)
	publishing := make(map[landing.Place]bool)
	for _, job := range s.Running {
		live[landing.PlaceOf(job.Job, job.Token)], live[landing.PlaceOf(job.Job, 0)] = true, true
	}
	for _, p := range s.Publishing {
		if p.Job != nil {
			publishing[landing.PlaceOf(*p.Job, 0)] = true
		}
	}
	after := s.Time.Add(-time.Minute).UnixMicro()
	return func(p landing.Place) bool {
		if live[p] || p.Token > after {
			return true
		}
		p.Token = 0 // the queue does not tell the token of what waits to be published
		return publishing[p]
	}
}

// setAside puts the upload of a refused or canceled job into quarantine.
func (r *role) setAside(log *slog.Logger, d *queue.Delivery, reason string) {
	to, err := r.zone.Quarantine(landing.PlaceOf(*d.Job, d.Token), reason, time.Now())
	if err != nil {
		log.Warn("a refused upload stays in the landing zone", "error", err)
	}
	if to != "" {
		log.Warn("refused upload set aside for a day", "path", to, "token", d.Token, "reason", reason)
	}
}

// trouble reports an error of the surroundings; that of a shutdown is none.
func (r *role) trouble(ctx context.Context, doing string, err error) {
	if ctx.Err() == nil {
		r.log.Error("cannot "+doing+", will try again", "error", err)
	}
}

// work takes deliveries until ctx ends.
func (r *role) work(ctx context.Context) {
	pause := backoff.NewExponentialBackOff()
	pause.MaxInterval = waitAtMost
	for ctx.Err() == nil {
		d, err := r.q.TakeDelivery(ctx, r.name, r.ttl)
		if err == nil && d != nil {
			r.handle(ctx, d)
			pause.Reset()
			continue
		}
		if err == nil {
			err = r.q.WaitDelivery(ctx, waitAtMost)
		}
		if err == nil {
			pause.Reset()
			continue
		}
		r.trouble(ctx, "take deliveries", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause.NextBackOff()):
		}
	}
}

// handle brings one delivery to its end. When ctx ends first, the delivery stays in the queue, to be taken again.
func (r *role) handle(ctx context.Context, d *queue.Delivery) {
	log := r.log.With("task", d.ID, "builder", d.Result.Builder)
	turn, stop := r.q.KeepDelivery(ctx, d, r.ttl)
	defer stop()
	began := time.Now()
	status, message, err := r.process(turn, d)
	took := time.Since(began)
	if err != nil && turn.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(turn), err)
	}
	switch {
	case errors.Is(err, queue.ErrLeaseLost):
		log.Warn("another process took the delivery over, or its token is old: nothing was published", "token", d.Token)
		return
	case errors.Is(err, queue.ErrCanceled):
		log.Info("the job was canceled: nothing was published", "token", d.Token)
		status, message = queue.Canceled, ""
	case ctx.Err() != nil && err != nil:
		log.Info("stopped while publishing: it will be taken again", "error", err)
		return
	case err != nil && status != queue.Success:
		log.Error("not published", "status", status.String(), "error", err)
	default:
		log.Info("done", "message", message)
	}
	if err := r.finish(ctx, d, status, message); err != nil { // not turn: that of a canceled job has ended
		log.Warn("the end of the delivery is not noted, it will be taken again", "error", err)
		return
	}
	r.observer.Published(d.TargetRepo, status, took)
	switch {
	case d.Job == nil:
	case status == queue.Canceled:
		r.setAside(log, d, "the job was canceled or replaced")
	case status == queue.Failed:
		r.setAside(log, d, message)
	case status == queue.Success:
		if err := r.zone.Remove(landing.PlaceOf(*d.Job, d.Token)); err != nil {
			log.Warn("leftovers in the landing zone", "error", err)
		}
	}
}

// finish tells the queue, with patience: Redis may be restarting.
func (r *role) finish(ctx context.Context, d *queue.Delivery, status queue.Status, message string) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := r.q.FinishDelivery(ctx, d, status, message)
		if errors.Is(err, queue.ErrCanceled) {
			return struct{}{}, nil
		}
		if errors.Is(err, queue.ErrLeaseLost) {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(backoff.NewExponentialBackOff()), backoff.WithMaxElapsedTime(r.ttl))
	return err
}

// process publishes or cleans up, again when our own machine is at fault, and says how the delivery ends. With
// queue.ErrLeaseLost and queue.ErrCanceled, and when ctx ended, it has not.
func (r *role) process(ctx context.Context, d *queue.Delivery) (queue.Status, string, error) {
	if d.Attempt > turnsAtMost {
		err := fmt.Errorf("publishing was begun %d times and never came to an end", d.Attempt-1)
		return queue.SoftwareFailure, err.Error(), err
	}
	out, err := backoff.Retry(ctx, func() (publish.Outcome, error) {
		out, err := r.once(ctx, d)
		var refused *publish.Refused
		if errors.As(err, &refused) || errors.Is(err, queue.ErrLeaseLost) || errors.Is(err, queue.ErrCanceled) {
			err = backoff.Permanent(err)
		}
		return out, err
	}, backoff.WithBackOff(backoff.NewExponentialBackOff()), backoff.WithMaxTries(publishTries), backoff.WithNotify(
		func(err error, next time.Duration) {
			r.observer.Retried(d.TargetRepo)
			r.log.Warn("publishing failed, will try again", "task", d.ID, "error", err, "in", next)
		}))
	var refused *publish.Refused
	switch {
	case err == nil:
		return queue.Success, describe(out), nil
	case errors.As(err, &refused):
		return queue.Failed, refused.Reason, err
	}
	return queue.SoftwareFailure, err.Error(), err
}

// once makes one attempt. A panic is a bug of ours that must not end the other target repos' work.
func (r *role) once(ctx context.Context, d *queue.Delivery) (out publish.Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("panic while publishing", "task", d.ID, "panic", p, "stack", string(debug.Stack()))
			err = backoff.Permanent(fmt.Errorf("internal error while publishing: %v", p))
		}
	}()
	if d.Cleanup != nil {
		return r.publisher.Cleanup(ctx, d)
	}
	return r.publisher.Publish(ctx, d)
}

func describe(o publish.Outcome) string {
	switch {
	case len(o.Added) == 0 && len(o.Removed) == 0 && len(o.Present) == 0:
		return "nothing to do"
	case len(o.Added) == 0 && len(o.Removed) == 0:
		return fmt.Sprintf("%d packages were in the repository already", len(o.Present))
	}
	return fmt.Sprintf("%d packages added, %d moved to the archive, %d there already", len(o.Added), len(o.Removed), len(o.Present))
}
