package metrics

import (
	"context"
	_ "embed" // count.lua
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/redis/go-redis/v9"

	"github.com/caur-build/caur/pkg/queue"
)

//go:embed lua/count.lua
var countScript string

const (
	keyPrefix = "{caur-metrics}:"
	maxFields = 50000 // counts in one hash: about 2,500 combinations of labels
	other     = "other"
	pauseMost = time.Minute
)

// Upper bounds of builds_time_elapsed, in seconds.
var buildBuckets = []float64{10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400}

// labels of a count; pkgbase only with METRICS_PER_PACKAGE.
type labels struct{ repo, class, status, arch, pkgbase string }

// A field of the hash is what is counted and the labels, apart by a character that none of them may hold.
const apart = "|"

func (l labels) field(what string) string {
	return strings.Join([]string{what, l.repo, l.class, l.status, l.arch, l.pkgbase}, apart)
}

func parseField(field string) (what string, l labels, ok bool) {
	p := strings.Split(field, apart)
	if len(p) != 6 {
		return "", labels{}, false
	}
	return p[0], labels{p[1], p[2], p[3], p[4], p[5]}, true
}

// clean makes a value fit into a field.
func clean(s string) string {
	if s = strings.ToValidUTF8(strings.ReplaceAll(s, apart, "_"), "_"); len(s) > 100 {
		return other
	}
	return s
}

// What is counted.
const (
	ended    = "ended"    // builds that ended
	requeued = "requeued" // builds that were given back
	seconds  = "ms"       // milliseconds of all builds with a known time
	timed    = "timed"    // how many those are
	bucket   = "le"       // with the index into buildBuckets: how many took no longer
)

// Counts are what was counted, in Redis.
type Counts struct {
	rdb        redis.UniversalClient
	script     *redis.Script
	perPackage bool
}

// NewCounts makes a handle. perPackage: METRICS_PER_PACKAGE.
func NewCounts(rdb redis.UniversalClient, perPackage bool) *Counts {
	return &Counts{rdb: rdb, script: redis.NewScript(countScript), perPackage: perPackage}
}

// count counts an event unless that was done before.
func (c *Counts) count(ctx context.Context, e queue.Event) error {
	args := []any{e.ID, maxFields}
	add := func(hash int, l labels) {
		for what, n := range amounts(e) {
			args = append(args, hash, l.field(what), labels{other, other, l.status, other, ""}.field(what), n)
		}
	}
	if e.Job != nil && (e.Kind == queue.EventEnded || e.Kind == queue.EventRequeued) {
		l := labels{repo: clean(e.Job.TargetRepo), class: clean(e.Job.Class), arch: clean(e.Job.Arch), status: e.Status.String()}
		if e.Kind == queue.EventRequeued {
			l.status = queue.CanceledRequeued.String()
		}
		add(2, l)
		if c.perPackage {
			l.pkgbase = clean(e.Job.Pkgbase)
			add(3, l)
		}
	}
	keys := []string{keyPrefix + "place", keyPrefix + "builds", keyPrefix + "packages"}
	if err := c.script.Run(ctx, c.rdb, keys, args...).Err(); err != nil {
		return fmt.Errorf("count an event: %w", err)
	}
	return nil
}

func amounts(e queue.Event) map[string]int64 {
	if e.Kind == queue.EventRequeued {
		return map[string]int64{requeued: 1}
	}
	m := map[string]int64{ended: 1}
	if e.Duration <= 0 {
		return m
	}
	m[timed], m[seconds] = 1, e.Duration.Milliseconds()
	for i, most := range buildBuckets {
		if e.Duration.Seconds() <= most {
			m[bucket+strconv.Itoa(i)] = 1
			break
		}
	}
	return m
}

// tally is what was counted for one combination of labels.
type tally struct {
	ended, requeued int64
	timed           uint64
	seconds         float64
	buckets         []uint64 // of those that took no longer than the bound and longer than the one before
}

func (c *Counts) read(ctx context.Context) (map[labels]*tally, error) {
	key := keyPrefix + "builds"
	if c.perPackage {
		key = keyPrefix + "packages"
	}
	fields, err := c.rdb.HGetAll(ctx, key).Result()
	if err != nil {
		return nil, fmt.Errorf("read the counts of builds: %w", err)
	}
	all := map[labels]*tally{}
	for field, text := range fields {
		what, l, ok := parseField(field)
		n, err := strconv.ParseInt(text, 10, 64)
		if !ok || err != nil || n < 0 {
			continue // spoiled by hand
		}
		t := all[l]
		if t == nil {
			t = &tally{buckets: make([]uint64, len(buildBuckets))}
			all[l] = t
		}
		t.add(what, n)
	}
	return all, nil
}

func (t *tally) add(what string, n int64) {
	switch what {
	case ended:
		t.ended = n
	case requeued:
		t.requeued = n
	case timed:
		t.timed = uint64(n)
	case seconds:
		t.seconds = float64(n) / 1000
	default:
		text, _ := strings.CutPrefix(what, bucket)
		if i, err := strconv.Atoi(text); err == nil && i >= 0 && i < len(t.buckets) {
			t.buckets[i] = uint64(n)
		}
	}
}

// Follow counts what happens in the queue until ctx ends, from the remembered place on. Trouble with Redis is logged and overcome.
func (c *Counts) Follow(ctx context.Context, q *queue.Queue, log *slog.Logger) error {
	pause := backoff.NewExponentialBackOff()
	pause.MaxInterval = pauseMost
	for ctx.Err() == nil {
		err := c.follow(ctx, q, pause.Reset)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			log.Error("cannot count builds for the metrics, will try again", "error", err)
		}
		t := time.NewTimer(pause.NextBackOff())
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
	return nil
}

func (c *Counts) follow(ctx context.Context, q *queue.Queue, works func()) error {
	place, err := c.rdb.Get(ctx, keyPrefix+"place").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("read the place in the events: %w", err)
	}
	for e, err := range q.Events(ctx, place) { // the first time from the oldest on: they count too
		if err != nil {
			return err
		}
		if e.Kind == queue.EventGap {
			continue
		}
		if err := c.count(ctx, e); err != nil {
			return err
		}
		works()
	}
	return nil
}
