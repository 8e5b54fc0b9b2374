package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Claim gives a builder the best job that it may take now, as a lease for ttl, and registers the builder as alive; nil, nil when there is nothing for it.
// One round trip; its cost does not depend on how many jobs wait. Among the target repos with a job that is ready and of its classes and architectures, the one
// that had the least build time by its weight (Advert.Weights) is served; there the longest critical path first, where a second of waiting counts
// as a second of path and a step of priority as a week, then the oldest. A builder that is drained gets nothing.
//
// Errors: *[ProtocolError] when the builder's Protocol, or this program's, is not the queue's; or Redis'.
func (q *Queue) Claim(ctx context.Context, b Builder, ttl time.Duration) (*Lease, error) {
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("claim a job: %w", err)
	}
	if b.Protocol == 0 {
		b.Protocol = q.protocol
	}
	if b.Protocol != q.protocol {
		return nil, fmt.Errorf("claim a job: builder %s: %w", b.Name, &ProtocolError{Queue: q.protocol, Ours: b.Protocol})
	}
	b.Class = class(b.Class)
	text, err := json.Marshal(builderRecord{Class: b.Class, Arches: b.Arches, Protocol: b.Protocol, Version: b.Version})
	if err != nil {
		return nil, fmt.Errorf("claim a job: %w", err)
	}
	number := ""
	if numeric(b.Class) {
		number = b.Class
	}
	reply, err := q.run(ctx, "claim a job", "claim", uuid.NewString(), text, b.Name, number, strings.Join(b.Arches, " "), ttl.Milliseconds())
	if err != nil {
		return nil, err
	}
	l := list(reply)
	if num(at(l, 0)) == 0 {
		q.seenBuilders.Store(num(at(l, 1)))
		q.nextDue.Store(-1)
		if due := str(at(l, 2)); due != "" && num(at(l, 3)) == 0 {
			q.nextDue.Store(int64(time.Duration(num(due)+1) * time.Millisecond))
		}
		return nil, nil
	}
	job, err := readJob(at(l, 1), at(l, 2))
	if err != nil {
		return nil, fmt.Errorf("claim a job: %w", err)
	}
	job.Priority, job.NotBefore = int(num(at(l, 7))), num(at(l, 8))
	return &Lease{Job: job, Token: num(at(l, 3)), Builder: b.Name, Attempt: int(num(at(l, 4))), Expires: time.UnixMilli(num(at(l, 5))),
		Retries: int(num(at(l, 6)))}, nil
}

type builderRecord struct {
	Class    string   `json:"class"`
	Arches   []string `json:"arches,omitempty"`
	Protocol int      `json:"protocol"`
	Version  string   `json:"version,omitempty"`
}

func (b Builder) check() error {
	if b.Name == "" || len(b.Name) > 200 || !printable(b.Name) {
		return fmt.Errorf("builder name %.60q: want 1 to 200 bytes of plain text", b.Name)
	}
	if !legalClass.MatchString(class(b.Class)) {
		return fmt.Errorf("builder %s: class %.60q: want a number or a name", b.Name, b.Class)
	}
	for _, arch := range b.Arches {
		if !legalPlace.MatchString(arch) {
			return fmt.Errorf("builder %s: architecture %.60q: want letters, digits, _ . + -", b.Name, arch)
		}
	}
	return nil
}

// proof is what every call about a lease names.
func (l *Lease) proof() []any { return []any{l.Job.ID(), l.Job.Timestamp, l.Token, l.Builder} }

// Renew gives the lease another ttl from now. [ErrLeaseLost]: the job has been given back or has ended, [ErrCanceled]: it was cancelled or replaced; either way
// the builder stops. A lease that ran out but was not reaped is renewed; after Deliver there is nothing to renew and no error.
func (q *Queue) Renew(ctx context.Context, l *Lease, ttl time.Duration) error {
	_, err := q.run(ctx, "renew the lease of "+l.Job.TaskID(), "renew", append(l.proof(), ttl.Milliseconds())...)
	return err
}

// Keep renews the lease every third of ttl until the returned function is called, which waits for the last renewal. The context ends with the
// cause [ErrLeaseLost] or [ErrCanceled] when the lease is gone. While Redis is out of reach it goes on and tries again: the fencing token, not the time,
// decides whether the work counts.
func (q *Queue) Keep(ctx context.Context, l *Lease, ttl time.Duration) (context.Context, func()) {
	return keep(ctx, ttl, func(ctx context.Context) error { return q.Renew(ctx, l, ttl) })
}

func keep(parent context.Context, ttl time.Duration, renew func(context.Context) error) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	done := make(chan struct{})
	go func() {
		defer close(done)
		pause := time.NewTimer(ttl / 3)
		defer pause.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-pause.C:
			}
			next := ttl / 3
			switch err := renew(ctx); {
			case errors.Is(err, ErrLeaseLost), errors.Is(err, ErrCanceled), errors.Is(err, ErrProtocol):
				cancel(err)
				return
			case err != nil:
				next = min(next, time.Second)
			}
			pause.Reset(next)
		}
	}()
	return ctx, func() {
		cancel(context.Canceled)
		<-done
	}
}

// Deliver says that the build succeeded and its files are in the landing zone: the job goes from running into the line of its target repo. Dependants stay
// blocked until [Queue.FinishDelivery]. Only Success may be delivered.
func (q *Queue) Deliver(ctx context.Context, l *Lease, r Result) error {
	if r.Status != Success {
		return fmt.Errorf("deliver %s: status is %s, want success: use Finish", l.Job.TaskID(), r.Status)
	}
	r.Builder, r.Message = l.Builder, message(r.Message)
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("deliver %s: %w", l.Job.TaskID(), err)
	}
	_, err = q.run(ctx, "deliver "+l.Job.TaskID(), "deliver", append(l.proof(), text, r.Duration.Milliseconds())...)
	return err
}

// Finish ends a job that is not published: any status but Success, which is what Deliver is for, and CanceledRequeued, which is what Requeue is for.
func (q *Queue) Finish(ctx context.Context, l *Lease, r Result) error {
	if r.Status == Success || r.Status == CanceledRequeued || !r.Status.valid() {
		return fmt.Errorf("finish %s: %s is no end for a job that is not published: use Deliver or Requeue", l.Job.TaskID(), r.Status)
	}
	_, err := q.run(ctx, "finish "+l.Job.TaskID(), "finish", append(l.proof(), int(r.Status), message(r.Message), r.Failure.text(), r.Duration.Milliseconds())...)
	return err
}

// Requeue gives the job back because the builder shuts down (state 6): it waits again, with its age and without counting the attempt.
func (q *Queue) Requeue(ctx context.Context, l *Lease) error {
	_, err := q.run(ctx, "requeue "+l.Job.TaskID(), "requeue", append(l.proof(), "the builder shuts down", "", "", "")...)
	return err
}

// Retry gives the job back because its build failed in a way that another try may mend: it waits again, not before after from now by Redis' clock, and its dependants stay
// blocked. Lease.Retries counts such tries; the failure is kept with the job (WaitingJob) and told in the event.
func (q *Queue) Retry(ctx context.Context, l *Lease, r Result, after time.Duration) error {
	why := message(r.Message)
	if why == "" {
		why = "the build failed and is tried again"
	}
	_, err := q.run(ctx, "retry "+l.Job.TaskID(), "requeue",
		append(l.proof(), why, max(0, after).Milliseconds(), r.Failure.text(), r.Duration.Milliseconds())...)
	return err
}

func (s Status) valid() bool { return s >= 0 && int(s) < len(statusNames) }

// Reaping: a job ends after maxLost leases that ran out. When nobody reaped for reapGap, leases that ran out meanwhile get reapGrace once.
const (
	maxLost   = 3
	reapGap   = time.Minute
	reapGrace = 30 * time.Second
)

// Reap takes back the leases that ran out: their jobs wait again, or end as SoftwareFailure after the third. The database role calls it every few seconds; two may
// do so at once. After a time in which nobody could (Redis was away, or its clock was set) the leases that ran out meanwhile get 30 more seconds.
func (q *Queue) Reap(ctx context.Context) ([]Reaped, error) {
	var reaped []Reaped
	for {
		reply, err := q.run(ctx, "reap leases", "reap", maxLost, reapGap.Milliseconds(), reapGrace.Milliseconds())
		if err != nil {
			return reaped, err
		}
		l := list(reply)
		for _, row := range l[min(1, len(l)):] {
			r := list(row)
			job, err := readJob(at(r, 0), at(r, 1))
			if err != nil {
				return reaped, fmt.Errorf("reap leases: %w", err)
			}
			reaped = append(reaped, Reaped{Job: job, Builder: str(at(r, 2)), Attempt: int(num(at(r, 3))), Ended: num(at(r, 4)) == 1})
		}
		if num(at(l, 0)) == 0 {
			return reaped, nil
		}
	}
}

// Cancel ends a job that waits, runs or is being published, or a clean-up that nobody carries out yet. id: a job id (whichever job is alive) or a task id.
// [ErrNotFound] when there is none. A builder or publisher at work learns it at its next renewal.
func (q *Queue) Cancel(ctx context.Context, id string) error {
	job, timestamp := splitTask(id)
	_, err := q.run(ctx, "cancel "+printableID(id), "cancel", uuid.NewString(), job, timestamp)
	return err
}

// splitTask gives the job id of a task id, and its timestamp; the id of a clean-up stays whole.
func splitTask(id string) (job, timestamp string) {
	if i := strings.LastIndexByte(id, ':'); i >= 0 && !strings.HasPrefix(id, "cleanup:") {
		return id[:i], id[i+1:]
	}
	return id, ""
}

// printableID makes an id from outside fit for an error message.
func printableID(id string) string {
	if utf8.RuneCountInString(id) > 200 || !printable(id) {
		return fmt.Sprintf("%.200q", id)
	}
	return id
}
