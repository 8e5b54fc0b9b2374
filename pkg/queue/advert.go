package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/redis/go-redis/v9"
)

// Advertise tells the builders where things are; the last call counts.
func (q *Queue) Advertise(ctx context.Context, a Advert) error {
	text, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("advertise: %w", err)
	}
	mode := cmp.Or(a.OnDepFailure, "build")
	if !slices.Contains([]string{"build", "hold", "skip"}, mode) {
		return fmt.Errorf("advertise: on failure of a dependency %q: want build, hold or skip", mode)
	}
	args := []any{"advertise", text, mode}
	for _, repo := range slices.Sorted(maps.Keys(a.Weights)) {
		if w := a.Weights[repo]; w < 1 || w > maxWeight || !legalPlace.MatchString(repo) {
			return fmt.Errorf("advertise: weight %d of target repo %.60q: want a number from 1 to %d for a legal name", w, repo, maxWeight)
		}
		args = append(args, repo, a.Weights[repo])
	}
	_, err = q.run(ctx, "advertise", "settings", args...)
	return err
}

const maxWeight = 1000

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
