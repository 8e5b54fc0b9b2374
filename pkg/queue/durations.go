package queue

import (
	"context"
	"fmt"
	"time"
)

// Durations gives how long the last successful build of each package took, of those that have one.
func (q *Queue) Durations(ctx context.Context, arch string, pkgbases []string) (map[string]time.Duration, error) {
	found := make(map[string]time.Duration, len(pkgbases))
	if len(pkgbases) == 0 {
		return found, nil
	}
	fields := make([]string, len(pkgbases))
	for i, name := range pkgbases {
		fields[i] = arch + "/" + name
	}
	values, err := q.rdb.HMGet(ctx, q.keys.key("durations"), fields...).Result()
	if err != nil {
		return nil, fmt.Errorf("ask how long past builds took: %w", err)
	}
	for i, v := range values {
		if v != nil {
			found[pkgbases[i]] = time.Duration(num(v)) * time.Second
		}
	}
	return found, nil
}
