package metrics

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caur-build/caur/cmd/caur-exec/internal/notify"
	"github.com/caur-build/caur/pkg/queue"
)

const (
	freshFor   = 5 * time.Second // what was read from Redis
	scrapeTime = 4 * time.Second // reading it may take: Prometheus waits for ten
)

// source reads what is in Redis, at most every freshFor, however many scrape.
type source struct {
	snapshot func(context.Context) (*queue.Snapshot, error)
	outbox   *notify.Outbox
	counts   *Counts
	log      *slog.Logger
	now      func() time.Time

	mu    sync.Mutex
	taken time.Time
	last  reading
}

// reading is one look; what could not be read is nil.
type reading struct {
	up      bool
	queue   *queue.Snapshot
	targets []notify.TargetState
	builds  map[labels]*tally
}

func (s *source) read() reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); s.taken.IsZero() || now.Sub(s.taken) >= freshFor {
		s.last, s.taken = s.look(), now
	}
	return s.last
}

func (s *source) look() reading {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	var r reading
	var errs [3]error
	r.queue, errs[0] = s.snapshot(ctx)
	if errs[0] == nil {
		r.builds, errs[1] = s.counts.read(ctx)
		r.targets, errs[2] = s.outbox.States(ctx)
	}
	r.up = errs[0] == nil
	if err := errors.Join(errs[:]...); err != nil {
		s.log.Warn("metrics without what cannot be read in Redis", "error", err)
	}
	return r
}

// collector gives what source has read. Its metrics are families.
type collector struct{ source *source }

// Describe is of prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range families {
		ch <- f.desc(c.source.counts.perPackage)
	}
}

// Collect is of prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	out := sink{ch: ch, perPackage: c.source.counts.perPackage, now: c.source.now()}
	r := c.source.read()
	out.gauge("caur_redis_up", b2f(r.up))
	if r.builds != nil {
		out.builds(r.builds)
	}
	if r.queue != nil {
		out.queue(r.queue)
	}
	for _, t := range r.targets {
		out.target(t)
	}
}

func b2f(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// sink makes metrics of readings.
type sink struct {
	ch         chan<- prometheus.Metric
	perPackage bool
	now        time.Time
}

func (s sink) counter(name string, v float64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(byName[name].desc(s.perPackage), prometheus.CounterValue, v, labels...)
}

func (s sink) gauge(name string, v float64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(byName[name].desc(s.perPackage), prometheus.GaugeValue, v, labels...)
}

// One metric for each end state, as executor.md section 5 names them.
var endNames = map[string]string{
	queue.Success.String(): "builds_success", queue.AlreadyBuilt.String(): "builds_alreadyBuilt", queue.Skipped.String(): "builds_skipped",
	queue.Failed.String(): "builds_failed_build", queue.TimedOut.String(): "builds_failed_timeout", queue.Canceled.String(): "builds_cancelled",
	queue.SoftwareFailure.String(): "builds_failed_software",
}

func (s sink) builds(all map[labels]*tally) {
	for l, t := range all {
		values := []string{l.repo, l.class, l.status, l.arch}
		if s.perPackage {
			values = append(values, l.pkgbase)
		}
		if t.requeued > 0 {
			s.counter("builds_requeued_total", float64(t.requeued), values...)
		}
		if t.ended > 0 {
			s.counter("builds_total", float64(t.ended), values...)
			if name := endNames[l.status]; name != "" {
				s.counter(name, float64(t.ended), values...)
			}
		}
		if t.timed == 0 {
			continue
		}
		cumulative, sum := map[float64]uint64{}, uint64(0)
		for i, most := range buildBuckets {
			sum += t.buckets[i]
			cumulative[most] = sum
		}
		s.ch <- prometheus.MustNewConstHistogram(byName["builds_time_elapsed"].desc(s.perPackage), t.timed, t.seconds, cumulative, values...)
	}
}

func (s sink) queue(q *queue.Snapshot) {
	s.counter("database_success", float64(q.Counters.DatabaseCompleted))
	s.counter("database_failed", float64(q.Counters.DatabaseFailed))
	s.counter("database_total", float64(q.Counters.DatabaseCompleted+q.Counters.DatabaseFailed))
	s.counter("caur_queue_lost_leases_total", float64(q.Counters.LostLeases))
	states := map[string]int{"ready": 0, "blocked": 0, "held": 0, "running": len(q.Running), "publishing": len(q.Publishing)}
	var ready, publishing time.Duration
	stranded := 0
	for _, w := range q.Waiting {
		switch {
		case w.Held:
			states["held"]++
		case !w.Ready:
			states["blocked"]++
		default:
			states["ready"]++
			ready = max(ready, q.Time.Sub(readySince(w.Job)))
		}
		if w.NoBuilder {
			stranded++
		}
	}
	for _, p := range q.Publishing {
		if !p.Since.IsZero() {
			publishing = max(publishing, q.Time.Sub(p.Since))
		}
	}
	for state, n := range states {
		s.gauge("caur_queue_jobs", float64(n), state)
	}
	s.gauge("queue_current", float64(len(q.Waiting)))
	s.gauge("caur_queue_oldest_ready_seconds", ready.Seconds())
	s.gauge("caur_queue_oldest_publishing_seconds", publishing.Seconds())
	s.gauge("caur_queue_without_builder", float64(stranded))
	s.builders(q)
}

// readySince is a bound: when it was enqueued, or when it was to wait until. The queue does not note when the last job ended that blocked it.
func readySince(j queue.Job) time.Time { return time.UnixMilli(max(j.Timestamp, j.NotBefore)) }

const builderGone = 10 * time.Minute // a builder that was not seen for longer is none

func (s sink) builders(q *queue.Snapshot) {
	var active, idle, drained int
	for _, b := range q.Builders {
		switch {
		case b.Busy > 0:
			active++
		case q.Time.Sub(b.LastSeen) > builderGone:
		case b.Drained:
			drained++
		default:
			idle++
		}
	}
	s.gauge("builders_active", float64(active))
	s.gauge("builders_idle", float64(idle))
	s.gauge("caur_builders_drained", float64(drained))
}

func (s sink) target(t notify.TargetState) {
	s.counter("caur_notify_sent_total", float64(t.Sent), t.Target)
	s.counter("caur_notify_failures_total", float64(t.Failed), t.Target)
	s.counter("caur_notify_dead_letters_total", float64(t.DeadLetters), t.Target)
	s.counter("caur_notify_dropped_total", float64(t.Dropped), t.Target)
	s.gauge("caur_notify_dead_letters", float64(t.Dead), t.Target)
	s.gauge("caur_notify_failures_in_a_row", float64(t.Failures), t.Target)
	s.gauge("caur_notify_outbox_length", float64(t.Waiting), t.Target)
	age := 0.0
	if !t.Oldest.IsZero() {
		age = max(0, s.now.Sub(t.Oldest).Seconds())
	}
	s.gauge("caur_notify_oldest_seconds", age, t.Target)
}
