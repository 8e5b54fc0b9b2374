package queue

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const eventPage = 500

// Events gives the queue's history from after on, then what happens, until the context ends or the caller stops. after: the ID of the last event seen, empty
// for all that is kept, "$" for only what is new. An [EventGap] comes first when events after that one were trimmed. An error of Redis is given once and ends it;
// begin again after the last ID. Every event is given at least once to a reader that remembers its place.
func (q *Queue) Events(ctx context.Context, after string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		r := &eventReader{q: q, ctx: ctx, last: after, yield: yield}
		err := r.begin()
		if err == nil && !r.stopped {
			err = q.listen(ctx, "events", nil, func(string) (bool, error) { return r.drain() })
		}
		if err != nil && !r.stopped && ctx.Err() == nil {
			yield(Event{}, fmt.Errorf("read the queue's events: %w", err))
		}
	}
}

type eventReader struct {
	q       *Queue
	ctx     context.Context
	last    string // ID of the last event given, empty for none
	yield   func(Event, error) bool
	stopped bool
}

// begin finds the place, and the gap before it.
func (r *eventReader) begin() error {
	stream := r.q.keys.key("events")
	switch r.last {
	case "":
	case "$":
		newest, err := r.q.rdb.XRevRangeN(r.ctx, stream, "+", "-", 1).Result()
		if err != nil {
			return err
		}
		r.last = "0-0"
		if len(newest) > 0 {
			r.last = newest[0].ID
		}
	default:
		oldest, err := r.q.rdb.XRangeN(r.ctx, stream, "-", "+", 1).Result()
		if err != nil {
			return err
		}
		if len(oldest) > 0 && earlier(r.last, oldest[0].ID) {
			r.stopped = !r.yield(Event{ID: r.last, Kind: EventGap, Time: eventTime(oldest[0].ID)}, nil)
		}
	}
	return nil
}

// drain gives all there is.
func (r *eventReader) drain() (done bool, err error) {
	for {
		from := "-"
		if r.last != "" {
			from = "(" + r.last
		}
		page, err := r.q.rdb.XRangeN(r.ctx, r.q.keys.key("events"), from, "+", eventPage).Result()
		if err != nil {
			return false, err
		}
		for _, m := range page {
			r.last = m.ID
			if !r.yield(readEvent(m), nil) {
				r.stopped = true
				return true, nil
			}
		}
		if len(page) < eventPage {
			return false, nil
		}
	}
}

func readEvent(m redis.XMessage) Event {
	field := func(name string) string { return str(m.Values[name]) }
	e := Event{ID: m.ID, Kind: EventKind(field("k")), JobID: field("id"), Message: field("m"), Builder: field("b"),
		Status: Status(num(m.Values["s"])), Time: eventTime(m.ID), Duration: time.Duration(num(m.Values["d"])) * time.Millisecond,
		Failure: readFailure(field("f"))}
	if repo := field("tr"); repo != "" {
		e.Cleanup = &Cleanup{TargetRepo: repo, Arch: field("ar"), Commit: field("c")}
		return e
	}
	j := &Job{SourceRepo: field("sr"), Class: field("cl"), Commit: field("c"), Timestamp: num(m.Values["ts"])}
	if parts := strings.SplitN(e.JobID, "/", 3); len(parts) == 3 {
		j.TargetRepo, j.Arch, j.Pkgbase = parts[0], parts[1], parts[2]
	}
	e.Job = j
	return e
}

// Event IDs are MILLISECONDS-NUMBER.
func splitEvent(id string) (ms, n uint64) {
	a, b, _ := strings.Cut(id, "-")
	ms, _ = strconv.ParseUint(a, 10, 64)
	n, _ = strconv.ParseUint(b, 10, 64)
	return ms, n
}

func eventTime(id string) time.Time {
	ms, _ := splitEvent(id)
	return time.UnixMilli(int64(ms))
}

func earlier(a, b string) bool {
	ams, an := splitEvent(a)
	bms, bn := splitEvent(b)
	return ams < bms || ams == bms && an < bn
}
