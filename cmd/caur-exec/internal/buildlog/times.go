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
	marks := make([]Mark, 0, len(texts))
	if s.disk != nil {
		kept, diskErr := s.keptMarks(ctx, k)
		if err == nil {
			err = diskErr
		} else if diskErr == nil && len(kept) > 0 {
			err = nil // Redis is away
		}
		marks = append(marks, kept...)
	}
	if err != nil {
		return nil, fmt.Errorf("read the times of log %s: %w", k, err)
	}
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

// keptMarks gives the marks of the part of a log that is in a file and not in Redis.
func (s *Store) keptMarks(ctx context.Context, k Key) ([]Mark, error) {
	info, err := s.Info(ctx, k)
	if err != nil || info.moved == 0 {
		return nil, nil // there is none; of what else is wrong the caller hears from Redis
	}
	marks, err := s.disk.marks(k)
	if missing(err) {
		return nil, nil
	}
	return marks, err
}
