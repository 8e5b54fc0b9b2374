package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// maxTurns is how often publishing a task may be begun and left.
const maxTurns = 5

// TakeDelivery gives holder its turn at the oldest task, job or clean-up, of a target repo at whose line nobody works, for ttl; nil, nil when there is none.
// While the turn lasts nobody else gets a task of that repo; when it runs out the same task is given anew, with a new HolderToken. What was begun
// five times and never finished ends as SoftwareFailure, so that it does not stop the line. Give each process a holder name of its own.
func (q *Queue) TakeDelivery(ctx context.Context, holder string, ttl time.Duration) (*Delivery, error) {
	reply, err := q.run(ctx, "take a delivery", "take", uuid.NewString(), holder, ttl.Milliseconds(), maxTurns)
	if err != nil {
		return nil, err
	}
	l := list(reply)
	if num(at(l, 0)) == 0 {
		q.seenDatabase.Store(num(at(l, 1)))
		return nil, nil
	}
	d := &Delivery{TargetRepo: str(at(l, 1)), ID: str(at(l, 2)), HolderToken: num(at(l, 3)), Attempt: int(num(at(l, 4))), Holder: holder}
	if str(at(l, 5)) == "cleanup" {
		d.Cleanup = &Cleanup{}
		if err := json.Unmarshal([]byte(str(at(l, 6))), d.Cleanup); err != nil {
			return nil, fmt.Errorf("take delivery %s: %w", d.ID, err)
		}
		return d, nil
	}
	job, err := readJob(at(l, 6), at(l, 7))
	if err != nil {
		return nil, fmt.Errorf("take delivery %s: %w", d.ID, err)
	}
	d.Job, d.Token = &job, num(at(l, 8))
	if err := json.Unmarshal([]byte(str(at(l, 9))), &d.Result); err != nil {
		return nil, fmt.Errorf("take delivery %s: read its result: %w", d.ID, err)
	}
	return d, nil
}

// turn calls the script about a turn; token is the job's fencing token, nothing for a clean-up.
func (q *Queue) turn(ctx context.Context, d *Delivery, op string, args ...any) error {
	var token any = ""
	if d.Cleanup == nil {
		token = d.Token
	}
	_, err := q.run(ctx, op+" delivery "+d.ID, "delivery", append([]any{op, d.TargetRepo, d.ID, d.HolderToken, token}, args...)...)
	return err
}

// RenewDelivery gives the turn another ttl from now. [ErrLeaseLost]: the turn is over, touch nothing more. [ErrCanceled]: the job has ended meanwhile; the line is still
// held, so undo what was begun and call FinishDelivery to let the next one in.
func (q *Queue) RenewDelivery(ctx context.Context, d *Delivery, ttl time.Duration) error {
	return q.turn(ctx, d, "renew", ttl.Milliseconds())
}

// KeepDelivery renews the turn in the background as [Queue.Keep] does a lease.
func (q *Queue) KeepDelivery(ctx context.Context, d *Delivery, ttl time.Duration) (context.Context, func()) {
	return keep(ctx, ttl, func(ctx context.Context) error { return q.RenewDelivery(ctx, d, ttl) })
}

// StillWanted is the last look before the repository is changed for all to see: nil only while this turn lasts and the job's token is the one that counts.
// Errors as of RenewDelivery.
func (q *Queue) StillWanted(ctx context.Context, d *Delivery) error {
	return q.turn(ctx, d, "wanted")
}

// FinishDelivery ends the task and the turn; dependants of the job become ready, and a success records how long its build took. With [ErrLeaseLost] nothing
// was changed. With [ErrCanceled] the job had ended before, the turn is over and the line free.
func (q *Queue) FinishDelivery(ctx context.Context, d *Delivery, s Status, text string) error {
	if s == CanceledRequeued || !s.valid() {
		return fmt.Errorf("finish delivery %s: %s is no end", d.ID, s)
	}
	return q.turn(ctx, d, "finish", int(s), message(text))
}
