package notify

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"
)

const (
	parallel     = 8    // statuses sent at once to one forge, each of another check
	digestAtMost = 2000 // entries in one digest
	noteTime     = 3 * time.Second
	graceTime    = 2 * time.Second
)

// sending is the work for one target.
type sending struct {
	n        *Notifier
	t        *target
	more     chan struct{} // something was put into the outbox
	pause    *backoff.ExponentialBackOff
	failures int
	recent   []time.Time // messages of the last window, for NOTIFY_FLOOD
}

func newSending(n *Notifier, t *target) *sending {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = n.times.firstWait, n.times.longWait
	pause.Reset()
	return &sending{n: n, t: t, more: make(chan struct{}, 1), pause: pause}
}

func wake(all []*sending, name string) {
	for _, s := range all {
		if s.t.name == name {
			select {
			case s.more <- struct{}{}:
			default: // it is awake
			}
		}
	}
}

// run sends until ctx ends; an error is one of Redis.
func (s *sending) run(ctx context.Context) error {
	for {
		wait, failed, err := s.step(ctx)
		if err != nil {
			return err
		}
		early := s.more
		if failed {
			early = nil // a new entry does not end the pause
		}
		if wait > 0 && !sleep(ctx, wait, early) || ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// step sends what may be sent now, and says how long to wait.
func (s *sending) step(ctx context.Context) (wait time.Duration, failed bool, err error) {
	if s.t.forge != nil {
		return s.stepForge(ctx)
	}
	return s.stepChat(ctx)
}

func (s *sending) stepForge(ctx context.Context) (time.Duration, bool, error) {
	waiting, _, err := s.n.outbox.waiting(ctx, s.t.name, 4*parallel)
	if err != nil || len(waiting) == 0 {
		return s.n.times.look, false, err
	}
	var now []entry
	for _, e := range waiting { // of one check the first alone: its statuses have an order
		if len(now) < parallel && !slices.ContainsFunc(now, func(o entry) bool { return o.base() == e.base() }) {
			now = append(now, e)
		}
	}
	results := make([]error, len(now))
	var g errgroup.Group
	for i, e := range now {
		g.Go(func() error {
			var body status
			if results[i] = e.read(&body); results[i] != nil {
				results[i] = &sendError{final: true, reason: results[i].Error()}
				return nil
			}
			results[i] = s.t.attempt(ctx, s.n.times.send, func(ctx context.Context) error { return s.t.forge.send(ctx, body) })
			return nil
		})
	}
	_ = g.Wait() // the errors are in results
	var worst error
	fate := gone
	for i, e := range now {
		f, err := s.settle(ctx, []entry{e}, results[i])
		if err != nil {
			return 0, false, err
		}
		if fate = max(fate, f); f == again {
			worst = results[i]
		}
	}
	return s.outcome(ctx, fate, worst)
}

func (s *sending) stepChat(ctx context.Context) (time.Duration, bool, error) {
	first, total, err := s.n.outbox.waiting(ctx, s.t.name, 1)
	if err != nil || total == 0 {
		return s.n.times.look, false, err
	}
	n, wait := s.howMany(first[0], total)
	if wait > 0 {
		return wait, true, nil // nothing new makes it come sooner
	}
	entries, _, err := s.n.outbox.waiting(ctx, s.t.name, n)
	if err != nil || len(entries) == 0 {
		return s.n.times.look, false, err
	}
	notes := make([]Note, 0, len(entries))
	for _, e := range entries {
		var note Note
		if err := e.read(&note); err != nil {
			return 0, false, s.n.outbox.bury(ctx, []entry{e}, err.Error(), s.n.opt.Now())
		}
		notes = append(notes, note)
	}
	sendErr := s.t.attempt(ctx, s.n.times.send, func(ctx context.Context) error { return s.t.chat.send(ctx, notes) })
	s.recent = append(s.recent, s.n.opt.Now())
	fate, err := s.settle(ctx, entries, sendErr)
	if err != nil {
		return 0, false, err
	}
	return s.outcome(ctx, fate, sendErr)
}

// howMany entries make the next message, or how long to wait for it.
func (s *sending) howMany(first entry, total int) (n int, wait time.Duration) {
	now := s.n.opt.Now()
	if s.t.digest > 0 {
		var note Note
		if first.read(&note) == nil {
			wait = note.Time.Add(s.t.digest).Sub(now)
		}
		return digestAtMost, min(max(wait, 0), s.n.times.longWait)
	}
	s.recent = slices.DeleteFunc(s.recent, func(at time.Time) bool { return now.Sub(at) >= s.n.times.flood })
	limit := s.n.opt.Settings.Flood
	switch {
	case len(s.recent) >= limit:
		return 0, s.recent[0].Add(s.n.times.flood).Sub(now)
	case total > limit:
		return digestAtMost, 0
	}
	return 1, 0
}

// attempt sends once. What it gives shows no secret.
func (t *target) attempt(ctx context.Context, limit time.Duration, send func(context.Context) error) (err error) {
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	defer context.AfterFunc(ctx, func() { // when all is to end, what is under way has a moment: cut off, it would be sent again
		sleep(sending, graceTime, nil)
		cancel()
	})()
	defer func() {
		if p := recover(); p != nil {
			err = &sendError{reason: redact(fmt.Sprintf("panic: %v\n%s", p, debug.Stack()), t.secrets)}
		}
	}()
	err = send(sending)
	var e *sendError
	if errors.As(err, &e) {
		e.reason = redact(e.reason, t.secrets)
		return e
	}
	if err != nil {
		return &sendError{reason: redact(err.Error(), t.secrets)}
	}
	return nil
}

// fate is what becomes of an entry; of several, the last of these says how their target does.
type fate int

const (
	gone  fate = iota // a dead letter: says nothing about the target
	taken             // sent
	again             // to be sent again
)

// settle takes entries out that were sent, or that will never be.
func (s *sending) settle(ctx context.Context, entries []entry, sendErr error) (fate, error) {
	if sendErr == nil { // noted even when all is to end: else it would be sent again
		noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
		defer cancel()
		return taken, s.n.outbox.sent(noting, entries)
	}
	if ctx.Err() != nil {
		return again, ctx.Err() // whether it arrived is not known: it will be sent again
	}
	var e *sendError
	errors.As(sendErr, &e)
	var note Note
	old := entries[0].read(&note) == nil && s.n.opt.Now().Sub(note.Time) > s.n.times.giveUp && s.failures >= giveUpAfter
	if !e.final && !old {
		return again, nil
	}
	s.n.opt.Log.Error("a message was given up", "target", s.t.name, "entries", len(entries), "error", e.reason,
		"hint", "caur-exec notify ls shows it, caur-exec notify retry sends it again")
	if err := s.n.outbox.bury(ctx, entries, e.reason, s.n.opt.Now()); err != nil || e.final {
		return gone, err
	}
	return again, nil // the target still fails
}

// outcome notes how the target does, and says how long to leave it alone.
func (s *sending) outcome(ctx context.Context, f fate, sendErr error) (time.Duration, bool, error) {
	if f != again {
		if f == gone || s.failures == 0 {
			return 0, false, nil
		}
		s.failures = 0
		s.pause.Reset()
		s.n.opt.Log.Info("notifications arrive again", "target", s.t.name)
		return 0, false, s.n.outbox.failed(ctx, s.t.name, 0, "", time.Time{})
	}
	var e *sendError
	errors.As(sendErr, &e)
	s.failures++
	wait := max(s.pause.NextBackOff(), min(e.after, time.Hour))
	s.n.opt.Log.Warn("a notification did not arrive, will try again", "target", s.t.name, "error", e.reason, "failures", s.failures, "in", wait.Round(time.Millisecond))
	return wait, true, s.n.outbox.failed(ctx, s.t.name, s.failures, e.reason, s.n.opt.Now().Add(wait))
}
