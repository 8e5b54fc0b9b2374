package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// pollEvery is how often a wait looks for itself, should a message be lost.
const pollEvery = 5 * time.Second

// Wait returns when a job may have become ready since the last empty [Queue.Claim] of this handle, at the latest after max. A context that ends makes it
// return that error at once.
func (q *Queue) Wait(ctx context.Context, max time.Duration) error {
	if due := time.Duration(q.nextDue.Load()); due >= 0 && due < max {
		max = due
	}
	return q.waitFor(ctx, "builders", q.seenBuilders.Load(), max)
}

// WaitDelivery is Wait for the next [Queue.TakeDelivery]. A turn that runs out wakes nobody: choose max accordingly.
func (q *Queue) WaitDelivery(ctx context.Context, max time.Duration) error {
	return q.waitFor(ctx, "database", q.seenDatabase.Load(), max)
}

func (q *Queue) waitFor(ctx context.Context, whom string, seen int64, max time.Duration) error {
	changed := func() (bool, error) {
		n, err := q.rdb.HGet(ctx, q.keys.key("count"), whom).Int64()
		if err != nil && !errors.Is(err, redis.Nil) {
			return false, fmt.Errorf("wait for the queue: %w", err)
		}
		return n != seen, nil
	}
	limit := time.NewTimer(max)
	defer limit.Stop()
	return q.listen(ctx, "wake:"+whom, limit.C, func(string) (bool, error) { return changed() })
}

// listen calls look once, once more when it is subscribed (what happened before is then visible), and for each message, until
// look says it is done, or limit or the context ends.
func (q *Queue) listen(ctx context.Context, channel string, limit <-chan time.Time, look func(payload string) (done bool, err error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if done, err := look(""); done || err != nil {
		return err
	}
	sub := q.rdb.Subscribe(ctx, q.keys.key(channel))
	defer func() { _ = sub.Close() }()
	messages := sub.ChannelWithSubscriptions()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		payload := ""
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit:
			return nil
		case <-poll.C:
		case m, open := <-messages:
			if !open {
				return fmt.Errorf("wait for the queue: the subscription was closed")
			}
			if m, ok := m.(*redis.Message); ok {
				payload = m.Payload
			}
		}
		if done, err := look(payload); done || err != nil {
			return err
		}
	}
}

// end is how a task ended, as stored.
type end struct {
	Status  int64  `json:"status,string"`
	Message string `json:"message"`
}

// WaitTask waits until a job or clean-up has ended and gives its status and message; at once when it has already. id: a task id, or a job id: then the job of that
// identity that is alive now, else the one that ended last. [ErrNotFound] when it is neither alive nor among what ended in the last seven days.
func (q *Queue) WaitTask(ctx context.Context, id string) (Status, string, error) {
	var ended *end
	look := func(payload string) (bool, error) {
		if payload != "" && payload != id {
			return false, nil
		}
		reply, err := q.run(ctx, "wait for "+printableID(id), "task", id)
		if err != nil {
			return false, err
		}
		l := list(reply)
		id = str(at(l, 0))
		if len(l) < 2 {
			return false, nil
		}
		ended = &end{}
		if err := json.Unmarshal([]byte(str(l[1])), ended); err != nil {
			return false, fmt.Errorf("wait for %s: read its end: %w", id, err)
		}
		return true, nil
	}
	if err := q.listen(ctx, "ended", nil, look); err != nil {
		return 0, "", err
	}
	return Status(ended.Status), ended.Message, nil
}
