package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caur-build/caur/internal/testenv"
)

// fastRedis writes nothing to disk: tests of durability say so themselves.
func fastRedis(t testing.TB) *testenv.RedisServer {
	t.Helper()
	return testenv.Redis(t, "--appendonly", "no")
}

func newQueue(t testing.TB) *Queue {
	t.Helper()
	return New(fastRedis(t).Client())
}

const repo, arch = "chaotic-aur", "x86_64"

// job makes a job from "base: dep dep"; the base is its only pkgname.
func job(text string) Job {
	base, deps, _ := strings.Cut(text, ":")
	return Job{Pkgbase: base, TargetRepo: repo, SourceRepo: "packages", Arch: arch, Class: "1",
		Pkgnames: []string{base}, Dependencies: strings.Fields(deps), Commit: "c0ffee:1"}
}

func jobs(texts ...string) []Job {
	var out []Job
	for _, text := range texts {
		out = append(out, job(text))
	}
	return out
}

func id(base string) string { return repo + "/" + arch + "/" + base }

func enqueue(t testing.TB, q *Queue, list ...Job) Enqueued {
	t.Helper()
	e, err := q.Enqueue(t.Context(), Batch{Jobs: list})
	must(t, err)
	return e
}

var numericBuilder = Builder{Name: "host1", Class: "2"}

func claim(t testing.TB, q *Queue) *Lease {
	t.Helper()
	l, err := q.Claim(t.Context(), numericBuilder, time.Minute)
	must(t, err)
	return l
}

// claimed claims and gives the pkgbase, "" when there is nothing.
func claimed(t testing.TB, q *Queue) (*Lease, string) {
	t.Helper()
	l := claim(t, q)
	if l == nil {
		return nil, ""
	}
	return l, l.Job.Pkgbase
}

func mustClaim(t testing.TB, q *Queue, base string) *Lease {
	t.Helper()
	l, got := claimed(t, q)
	if got != base {
		t.Fatalf("claim gives %q, want %q", got, base)
	}
	return l
}

func take(t testing.TB, q *Queue) *Delivery {
	t.Helper()
	d, err := q.TakeDelivery(t.Context(), "db1", time.Minute)
	must(t, err)
	return d
}

func deliver(t testing.TB, q *Queue, l *Lease) {
	t.Helper()
	must(t, q.Deliver(t.Context(), l, Result{Duration: 10 * time.Second, Files: []File{{Name: "a.pkg.tar.zst", Size: 1, SHA256: "00"}}}))
}

// publish delivers a lease and finishes the delivery.
func publish(t testing.TB, q *Queue, l *Lease) {
	t.Helper()
	deliver(t, q, l)
	must(t, q.FinishDelivery(t.Context(), take(t, q), Success, "deployed"))
}

func fail(t testing.TB, q *Queue, l *Lease) {
	t.Helper()
	must(t, q.Finish(t.Context(), l, Result{Status: Failed, Message: "it broke"}))
}

func snapshot(t testing.TB, q *Queue) *Snapshot {
	t.Helper()
	s, err := q.Snapshot(t.Context())
	must(t, err)
	return s
}

func waitingJob(t testing.TB, q *Queue, base string) WaitingJob {
	t.Helper()
	for _, w := range snapshot(t, q).Waiting {
		if w.Job.Pkgbase == base {
			return w
		}
	}
	t.Fatalf("%s does not wait", base)
	return WaitingJob{}
}

// history gives all events kept as "kind base [status]".
func history(t testing.TB, q *Queue) []Event {
	t.Helper()
	r := &eventReader{q: q, ctx: t.Context()}
	var out []Event
	r.yield = func(e Event, err error) bool { out = append(out, e); return true }
	_, err := r.drain()
	must(t, err)
	return out
}

func lastEvent(t testing.TB, q *Queue) Event {
	t.Helper()
	h := history(t, q)
	if len(h) == 0 {
		t.Fatal("no events")
	}
	return h[len(h)-1]
}

// expire makes every lease look as if it had run out.
func expire(t testing.TB, q *Queue) {
	t.Helper()
	for _, seq := range q.rdb.ZRange(t.Context(), q.keys.key("leases"), 0, -1).Val() {
		must(t, q.rdb.ZAdd(t.Context(), q.keys.key("leases"), redis.Z{Score: 1, Member: seq}).Err())
	}
}

// expireHold makes the turn at a line look as if it had run out.
func expireHold(t testing.TB, q *Queue, repo string) {
	t.Helper()
	must(t, q.rdb.HSet(t.Context(), q.keys.key("hold:"+repo), "expires", 1).Err())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}

// counter counts round trips.
type counter struct {
	mu    sync.Mutex
	trips []string
}

func (c *counter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *counter) note(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trips = append(c.trips, name)
}

func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.note(cmd.Name())
		return next(ctx, cmd)
	}
}

func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.note(fmt.Sprintf("pipeline of %d", len(cmds)))
		return next(ctx, cmds)
	}
}

func (c *counter) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.trips
	c.trips = nil
	return t
}

// leftovers gives the keys that an empty queue must not have.
func leftovers(t testing.TB, q *Queue) []string {
	t.Helper()
	_, err := q.Reap(context.Background()) // removes the bodies of what builders ended
	must(t, err)
	var left []string
	for _, key := range q.rdb.Keys(t.Context(), q.keys.prefix+"*").Val() {
		name := strings.TrimPrefix(key, q.keys.prefix)
		kind, _, dynamic := strings.Cut(name, ":")
		switch {
		case dynamic && (kind == "end" || kind == "batch" || kind == "nonce"):
			if q.rdb.TTL(t.Context(), key).Val() <= 0 {
				left = append(left, name+" lives for ever")
			}
		case dynamic:
			left = append(left, name)
		case name == "ids" || name == "bodies" || name == "results" || name == "leases" || name == "offered" || name == "cleanups":
			left = append(left, name)
		}
	}
	return left
}
