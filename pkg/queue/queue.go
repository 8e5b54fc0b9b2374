package queue

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/redis/go-redis/v9"
)

// Queue is a handle on the queue in Redis; it holds no connection of its own and needs no closing. It may be used by several
// goroutines. Builders of different classes use one each: Wait compares with what the last empty Claim of this handle saw.
type Queue struct {
	rdb redis.UniversalClient
}

// Option changes New.
type Option func(*Queue)

// New makes a handle. It does not talk to Redis.
func New(rdb redis.UniversalClient, opts ...Option) *Queue {
	q := &Queue{rdb: rdb}
	for _, o := range opts {
		o(q)
	}
	return q
}

var errLanding = errors.New("not landed yet")

func (q *Queue) Enqueue(ctx context.Context, b Batch) (Enqueued, error) {
	return Enqueued{}, errLanding
}
func (q *Queue) Claim(ctx context.Context, b Builder, ttl time.Duration) (*Lease, error) {
	return nil, errLanding
}
func (q *Queue) Renew(ctx context.Context, l *Lease, ttl time.Duration) error { return errLanding }
func (q *Queue) Keep(ctx context.Context, l *Lease, ttl time.Duration) (context.Context, func()) {
	return ctx, func() {}
}
func (q *Queue) Deliver(ctx context.Context, l *Lease, r Result) error { return errLanding }
func (q *Queue) Finish(ctx context.Context, l *Lease, r Result) error  { return errLanding }
func (q *Queue) Requeue(ctx context.Context, l *Lease) error           { return errLanding }
func (q *Queue) TakeDelivery(ctx context.Context, holder string, ttl time.Duration) (*Delivery, error) {
	return nil, errLanding
}
func (q *Queue) RenewDelivery(ctx context.Context, d *Delivery, ttl time.Duration) error {
	return errLanding
}
func (q *Queue) KeepDelivery(ctx context.Context, d *Delivery, ttl time.Duration) (context.Context, func()) {
	return ctx, func() {}
}
func (q *Queue) StillWanted(ctx context.Context, d *Delivery) error { return errLanding }
func (q *Queue) FinishDelivery(ctx context.Context, d *Delivery, s Status, message string) error {
	return errLanding
}
func (q *Queue) Cancel(ctx context.Context, id string) error               { return errLanding }
func (q *Queue) Reap(ctx context.Context) ([]Reaped, error)                { return nil, errLanding }
func (q *Queue) Wait(ctx context.Context, max time.Duration) error         { return errLanding }
func (q *Queue) WaitDelivery(ctx context.Context, max time.Duration) error { return errLanding }
func (q *Queue) WaitTask(ctx context.Context, id string) (Status, string, error) {
	return 0, "", errLanding
}
func (q *Queue) Snapshot(ctx context.Context) (*Snapshot, error) { return nil, errLanding }
func (q *Queue) Events(ctx context.Context, after string) iter.Seq2[Event, error] {
	return func(func(Event, error) bool) {}
}
func (q *Queue) Advertise(ctx context.Context, a Advert) error   { return errLanding }
func (q *Queue) Advertised(ctx context.Context) (*Advert, error) { return nil, errLanding }
