package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// DeadLetter is a message that was given up.
type DeadLetter struct {
	Target string `json:"target"`
	letter
}

// DeadLetters lists those of a target, newest first.
func (o *Outbox) DeadLetters(ctx context.Context, target string) ([]DeadLetter, error) {
	texts, err := o.rdb.LRange(ctx, keyPrefix+"dead:"+target, 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("read the dead letters of %s: %w", target, err)
	}
	letters := make([]DeadLetter, len(texts))
	for i, text := range texts {
		letters[i].Target = target
		if err := json.Unmarshal([]byte(text), &letters[i].letter); err != nil {
			return nil, fmt.Errorf("read the dead letters of %s: %w", target, err)
		}
	}
	return letters, nil
}

// Text is what a dead letter says, in a line.
func (d DeadLetter) Text() string {
	e := entry{d.Target, d.Key, d.Raw}
	var st status
	if e.read(&st) == nil && st.State != "" {
		return st.State + " " + st.Context + " at " + st.SHA
	}
	var n Note
	if e.read(&n) != nil {
		return d.Key
	}
	return n.title()
}

// Retry puts the dead letters of a target back, behind what waits, oldest first, and gives how many there were. Killed in between, it may have put one back twice.
func (o *Outbox) Retry(ctx context.Context, target string) (int, error) {
	for n := 0; ; n++ {
		text, err := o.rdb.LIndex(ctx, keyPrefix+"dead:"+target, -1).Result()
		if errors.Is(err, redis.Nil) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("read the dead letters of %s: %w", target, err)
		}
		var l letter
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			return n, fmt.Errorf("read the dead letters of %s: %w", target, err)
		}
		e := entry{target, l.Key, l.Raw}
		if err := o.add(ctx, "", leaveTask, []entry{e}); err != nil {
			return n, err
		}
		if err := o.rdb.LRem(ctx, keyPrefix+"dead:"+target, -1, text).Err(); err != nil {
			return n, fmt.Errorf("put the dead letters of %s back: %w", target, err)
		}
	}
}

// Drop forgets the dead letters of a target, and with waiting what waits for it too, and gives how many there were. A target that has nothing left and is
// not used again disappears from the lists.
func (o *Outbox) Drop(ctx context.Context, target string, waiting bool) (int, error) {
	dead, err := o.rdb.LLen(ctx, keyPrefix+"dead:"+target).Result()
	if err == nil {
		err = o.rdb.Del(ctx, keyPrefix+"dead:"+target).Err()
	}
	if err != nil {
		return 0, fmt.Errorf("drop the dead letters of %s: %w", target, err)
	}
	dropped := int(dead)
	for waiting {
		entries, _, err := o.waiting(ctx, target, takeAtMost)
		if err != nil || len(entries) == 0 {
			if err == nil {
				err = o.rdb.SRem(ctx, keyPrefix+"targets", target).Err()
			}
			return dropped, err
		}
		n, err := o.takeOut(ctx, "drop", entries, nil)
		dropped += n
		if err != nil {
			return dropped, err
		}
	}
	return dropped, nil
}
