package builder

import (
	"context"
	"errors"
	"time"

	"github.com/caur-build/caur/pkg/queue"
)

// renewPause is the time between two renewals of a lease. A lease lasts minutes and would do with fewer; but a renewal is
// how a builder learns that its job was cancelled or replaced, and nobody shall wait long for that. 500 builders ask Redis
// for 250 small scripts a second that way, which is less than a hundredth of what it can do.
const renewPause = 2 * time.Second

// keep renews the lease until the returned function is called, which waits for the last renewal. The context ends with the
// cause queue.ErrLeaseLost, ErrCanceled or ErrProtocol when the lease is gone. While Redis is out of reach it goes on and
// tries again: the fencing token, not the time, decides whether the work counts.
func (b *builder) keep(parent context.Context, lease *queue.Lease) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for pause(ctx, min(renewPause, b.LeaseTTL/3)) {
			_, err := limited(ctx, func(ctx context.Context) (struct{}, error) {
				return struct{}{}, b.Queue.Renew(ctx, lease, b.LeaseTTL)
			})
			if final(err) {
				cancel(err)
				return
			}
		}
	}()
	return ctx, func() {
		cancel(context.Canceled)
		<-done
	}
}

// final says whether an answer of the queue about a lease is its last word.
func final(err error) bool {
	return errors.Is(err, queue.ErrLeaseLost) || errors.Is(err, queue.ErrCanceled) || errors.Is(err, queue.ErrProtocol)
}
