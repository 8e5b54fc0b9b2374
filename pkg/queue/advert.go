package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Advertise tells the builders where things are; the last call counts.
func (q *Queue) Advertise(ctx context.Context, a Advert) error {
	text, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("advertise: %w", err)
	}
	if err := q.rdb.Set(ctx, q.keys.key("advert"), text, 0).Err(); err != nil {
		return fmt.Errorf("advertise: %w", err)
	}
	return nil
}

// Advertised gives what the database role told; [ErrNotFound] when none has run yet.
func (q *Queue) Advertised(ctx context.Context) (*Advert, error) {
	text, err := q.rdb.Get(ctx, q.keys.key("advert")).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("no database role has advertised its settings yet (start caur-exec database): %w", ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read what the database role advertises: %w", err)
	}
	a := &Advert{}
	if err := json.Unmarshal(text, a); err != nil {
		return nil, fmt.Errorf("read what the database role advertises: %w", err)
	}
	return a, nil
}
