package buildlog

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Mark says when a log was how long: the byte at Offset came at Time, by Redis' clock.
type Mark struct {
	Offset int64
	Time   time.Time
}

// Times gives the marks of a log, about one for each second in which it grew. A log that is gone, or that an older
// program wrote, has none.
func (s *Store) Times(ctx context.Context, k Key) ([]Mark, error) {
	texts, err := s.rdb.ZRange(ctx, timesKey(k), 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("read the times of log %s: %w", k, err)
	}
	marks := make([]Mark, 0, len(texts))
	for _, text := range texts {
		left, right, _ := strings.Cut(text, ":")
		offset, err1 := strconv.ParseInt(left, 10, 64)
		ms, err2 := strconv.ParseInt(right, 10, 64)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("read the times of log %s: foreign entry %q", k, text[:min(len(text), 40)])
		}
		mark := Mark{offset, time.UnixMilli(ms)}
		// Where Redis had lost the end and it was written anew there are two histories: the later one counts.
		switch last := len(marks) - 1; {
		case last >= 0 && marks[last].Time.After(mark.Time):
		case last >= 0 && marks[last].Offset == offset:
			marks[last] = mark
		default:
			marks = append(marks, mark)
		}
	}
	return marks, nil
}
