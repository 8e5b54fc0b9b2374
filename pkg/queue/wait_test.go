package queue

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// patience is the limit for what happens at once; it only ends a test that hangs.
const patience = 20 * time.Second

func within[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing after %v", what, patience)
		panic("unreachable")
	}
}

// subscribed waits until somebody listens on a channel of the queue.
func subscribed(t testing.TB, q *Queue, channel string) {
	t.Helper()
	name := q.keys.key(channel)
	for end := time.Now().Add(patience); ; {
		n, err := q.rdb.PubSubNumSub(t.Context(), name).Result()
		must(t, err)
		if n[name] > 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nobody listens on %s", channel)
		}
	}
}

func TestWaitReturnsWhenSomethingBecomesReady(t *testing.T) {
	causes := map[string]func(*Queue, *Lease){
		"enqueue": func(q *Queue, _ *Lease) { enqueue(t, q, job("new")) },
		"a dependency ends": func(q *Queue, l *Lease) {
			must(t, q.Finish(context.Background(), l, Result{Status: Failed}))
		},
		"requeue": func(q *Queue, l *Lease) { must(t, q.Requeue(context.Background(), l)) },
		"reap": func(q *Queue, _ *Lease) {
			expire(t, q)
			_, err := q.Reap(context.Background())
			must(t, err)
		},
	}
	for name, cause := range causes {
		t.Run(name, func(t *testing.T) {
			q := newQueue(t)
			enqueue(t, q, jobs("a", "b: a")...)
			l := mustClaim(t, q, "a")
			mustClaimNothing(t, q)
			done := make(chan error, 1)
			go func() { done <- q.Wait(t.Context(), time.Hour) }()
			subscribed(t, q, "wake:builders")
			select {
			case <-done:
				t.Fatal("returned before anything happened")
			default:
			}
			cause(q, l)
			must(t, within(t, "Wait", done))
			if l := claim(t, q); l == nil {
				t.Fatal("nothing is ready")
			}
		})
	}
}

func TestWhatHappensBetweenClaimAndWaitIsNotMissed(t *testing.T) {
	q := newQueue(t)
	mustClaimNothing(t, q)
	enqueue(t, New(q.rdb), job("a"))
	done := make(chan error, 1)
	go func() { done <- q.Wait(t.Context(), time.Hour) }()
	must(t, within(t, "Wait", done))
	if d := take(t, q); d != nil {
		t.Fatal("something to publish")
	}
	deliver(t, q, mustClaim(t, q, "a"))
	go func() { done <- q.WaitDelivery(t.Context(), time.Hour) }()
	must(t, within(t, "WaitDelivery", done))
}

func TestWaitEndsAtItsLimitAndAtOnceWhenCanceled(t *testing.T) {
	q := newQueue(t)
	mustClaimNothing(t, q)
	must(t, q.Wait(t.Context(), time.Millisecond))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- q.Wait(ctx, time.Hour) }()
	subscribed(t, q, "wake:builders")
	cancel()
	if err := within(t, "Wait", done); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if err := q.Wait(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v of a context that had ended", err)
	}
}

func TestWaitSaysWhenRedisIsAway(t *testing.T) {
	server := fastRedis(t)
	q := New(server.Client())
	server.Kill()
	if err := q.Wait(t.Context(), time.Hour); err == nil {
		t.Fatal("no error")
	}
	if _, _, err := q.WaitTask(t.Context(), "x"); err == nil {
		t.Fatal("no error")
	}
}

func TestWaitTaskWaitsForTheJobThatIsAlive(t *testing.T) {
	q := newQueue(t)
	_, _, err := q.WaitTask(t.Context(), id("foo"))
	wantErr(t, err, ErrNotFound)
	_, _, err = q.WaitTask(t.Context(), "cleanup:none")
	wantErr(t, err, ErrNotFound)

	enqueue(t, q, job("foo"), job("other"))
	fail(t, q, mustClaim(t, q, "foo"))
	enqueue(t, q, job("foo"))
	type answer struct {
		status Status
		err    error
	}
	done := make(chan answer, 1)
	go func() {
		s, _, err := q.WaitTask(t.Context(), id("foo"))
		done <- answer{s, err}
	}()
	subscribed(t, q, "ended")
	fail(t, q, mustClaim(t, q, "other")) // not the one
	l := mustClaim(t, q, "foo")
	must(t, q.Finish(t.Context(), l, Result{Status: AlreadyBuilt}))
	enqueue(t, q, job("foo"))
	if a := within(t, "WaitTask", done); a.err != nil || a.status != AlreadyBuilt {
		t.Fatalf("ended as %v, %v", a.status, a.err)
	}
}

func TestKeepRenewsUntilItIsStopped(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, job("foo"))
	l := claim(t, q)
	renewed := make(chan struct{}, 100)
	ctx, stop := keep(t.Context(), 30*time.Millisecond, func(ctx context.Context) error {
		err := q.Renew(ctx, l, 30*time.Millisecond)
		renewed <- struct{}{}
		return err
	})
	for range 5 {
		within(t, "renewal", renewed)
	}
	must(t, ctx.Err())
	stop()
	stop()
	if context.Cause(ctx) != context.Canceled {
		t.Fatalf("cause %v", context.Cause(ctx))
	}
}

func TestKeepEndsTheContextWithTheCause(t *testing.T) {
	for name, c := range map[string]struct {
		lose func(*Queue)
		want error
	}{
		"reaped": {func(q *Queue) {
			expire(t, q)
			_, err := q.Reap(context.Background())
			must(t, err)
		}, ErrLeaseLost},
		"cancelled": {func(q *Queue) { must(t, q.Cancel(context.Background(), id("foo"))) }, ErrCanceled},
		"replaced":  {func(q *Queue) { enqueue(t, q, job("foo")) }, ErrCanceled},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQueue(t)
			enqueue(t, q, job("foo"))
			l, err := q.Claim(t.Context(), numericBuilder, time.Minute)
			must(t, err)
			c.lose(q)
			ctx, stop := q.Keep(t.Context(), l, 30*time.Millisecond)
			defer stop()
			within(t, "end of the context", ctx.Done())
			wantErr(t, context.Cause(ctx), c.want)
		})
	}
}

func TestKeepOutlivesAnOutageOfRedis(t *testing.T) {
	server := fastRedis(t)
	q := New(server.Client())
	enqueue(t, q, job("foo"))
	l := claim(t, q)
	answers := make(chan error, 1000)
	ctx, stop := keep(t.Context(), 30*time.Millisecond, func(ctx context.Context) error {
		err := q.Renew(ctx, l, time.Minute)
		answers <- err
		return err
	})
	defer stop()
	must(t, within(t, "renewal", answers))
	server.Kill()
	for within(t, "failed renewal", answers) == nil {
	}
	must(t, ctx.Err())
}

func TestKeepDeliveryLearnsThatTheTurnIsOver(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, job("foo"))
	deliverAll(t, q)
	d := take(t, q)
	expireHold(t, q, repo)
	take(t, q)
	ctx, stop := q.KeepDelivery(t.Context(), d, 30*time.Millisecond)
	defer stop()
	within(t, "end of the context", ctx.Done())
	wantErr(t, context.Cause(ctx), ErrLeaseLost)
}

// follow reads events into a channel until the context ends, then closes it.
func follow(ctx context.Context, q *Queue, after string) <-chan Event {
	c := make(chan Event, 1000)
	go func() {
		defer close(c)
		for e, err := range q.Events(ctx, after) {
			if err != nil {
				return
			}
			c <- e
		}
	}()
	return c
}

func TestEventsGiveHistoryThenWhatHappens(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, job("a"))
	ctx, cancel := context.WithCancel(t.Context())
	all, fresh := follow(ctx, q, ""), follow(ctx, q, "$")
	first := within(t, "history", all)
	if first.Kind != EventQueued || first.JobID != id("a") || first.Job.ID() != id("a") || first.Job.Commit != "c0ffee:1" ||
		first.Job.SourceRepo != "packages" || first.Job.Class != "1" || time.Since(first.Time).Abs() > time.Minute {
		t.Fatalf("event %+v of %+v", first, first.Job)
	}
	for name := q.keys.key("events"); q.rdb.PubSubNumSub(t.Context(), name).Val()[name] < 2; {
	}
	claim(t, q)
	for _, c := range []<-chan Event{all, fresh} {
		if e := within(t, "new event", c); e.Kind != EventStarted || e.Builder != "host1" {
			t.Fatalf("event %+v", e)
		}
	}
	resumed := follow(ctx, q, first.ID)
	if e := within(t, "resumed", resumed); e.Kind != EventStarted {
		t.Fatalf("event %+v", e)
	}
	cancel()
	for _, c := range []<-chan Event{all, fresh, resumed} {
		for range c {
			t.Fatal("an event after the end")
		}
	}
}

func TestEventsStopWhenTheReaderDoes(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, jobs("a", "b", "c")...)
	for range q.Events(t.Context(), "") {
		break
	}
	n := 0
	for range q.Events(t.Context(), "1-0") { // trimmed long ago: a gap comes first
		n++
		break
	}
	if n != 1 {
		t.Fatal("no event")
	}
}

func TestAGapInTheHistoryIsSaid(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, jobs("a", "b")...)
	h := history(t, q)
	must(t, q.rdb.XDel(t.Context(), q.keys.key("events"), h[0].ID).Err())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := follow(ctx, q, h[0].ID)
	if e := within(t, "gap", c); e.Kind != EventGap || e.ID != h[0].ID {
		t.Fatalf("event %+v", e)
	}
	if e := within(t, "event after the gap", c); e.JobID != id("b") {
		t.Fatalf("event %+v", e)
	}
}

func TestTheHistoryIsTrimmed(t *testing.T) {
	q := newQueue(t)
	for i := range 12 {
		var batch []Job
		for k := range 1000 {
			batch = append(batch, job("p"+strconv.Itoa(k)))
		}
		enqueue(t, q, batch...)
		_ = i
	}
	if n := q.rdb.XLen(t.Context(), q.keys.key("events")).Val(); n > 21000 {
		t.Fatalf("%d events are kept", n)
	}
}

func TestEventsReportAnError(t *testing.T) {
	server := fastRedis(t)
	q := New(server.Client())
	server.Kill()
	var errs []error
	for _, err := range q.Events(t.Context(), "5-0") {
		errs = append(errs, err)
	}
	if len(errs) != 1 || errs[0] == nil {
		t.Fatalf("errors %v", errs)
	}
}

func TestWaitingLeavesNoGoroutine(t *testing.T) {
	server := fastRedis(t)
	// Another client's pool may still be closing when a test before this one has ended.
	before := goleak.IgnoreCurrent()
	client := redis.NewClient(&redis.Options{Addr: server.Addr, ContextTimeoutEnabled: true})
	q := New(client)
	mustClaimNothing(t, q)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- q.Wait(ctx, time.Hour) }()
	events := follow(ctx, q, "")
	subscribed(t, q, "wake:builders")
	cancel()
	<-done
	<-events
	must(t, client.Close())
	goleak.VerifyNone(t, before)
}

func TestSnapshotOfALargeQueueComesInPages(t *testing.T) {
	q := newQueue(t)
	var batch []Job
	for k := range 2500 {
		batch = append(batch, job("p"+strconv.Itoa(k)+": p"+strconv.Itoa(k-1)))
	}
	e := enqueue(t, q, batch...)
	s := snapshot(t, q)
	if len(s.Waiting) != 2500 || !s.Exact || len(e.Added) != 2500 {
		t.Fatalf("%d of 2500 jobs, exact %v", len(s.Waiting), s.Exact)
	}
	if !s.Waiting[0].Ready || s.Waiting[0].Job.Pkgbase != "p0" || s.Waiting[1].Ready || s.Waiting[0].CriticalPath != 2500*time.Second {
		t.Fatalf("first is %+v", s.Waiting[0])
	}
	if !slices.Equal(s.Waiting[1].BlockedBy, []string{id("p0")}) {
		t.Fatalf("second is blocked by %v", s.Waiting[1].BlockedBy)
	}
}

func TestSnapshotListsBuildersAndWhatTheyDo(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, jobs("a", "b", "c")...)
	for _, b := range []Builder{{Name: "h2", Class: "3", Version: "v1", Arches: []string{arch}}, {Name: "h1"}, {Name: "h2", Class: "3", Version: "v1", Arches: []string{arch}}} {
		_, err := q.Claim(t.Context(), b, time.Minute)
		must(t, err)
	}
	_, err := q.Claim(t.Context(), Builder{Name: "h3", Class: "absent"}, time.Minute)
	must(t, err)
	s := snapshot(t, q)
	var names []string
	var busy []int
	for _, b := range s.Builders {
		names, busy = append(names, b.Builder.Name), append(busy, b.Busy)
		if time.Since(b.LastSeen).Abs() > time.Minute || b.Builder.Protocol != Protocol {
			t.Errorf("builder %+v", b)
		}
	}
	if !slices.Equal(names, []string{"h1", "h2", "h3"}) || !slices.Equal(busy, []int{1, 2, 0}) || s.Builders[1].Builder.Version != "v1" || s.Builders[0].Builder.Class != "1" {
		t.Fatalf("builders %+v", s.Builders)
	}
	r := s.Running
	if len(r) != 3 || r[0].Job.Pkgbase != "a" || r[0].Builder != "h2" || r[0].Attempt != 1 || r[0].Token == 0 || r[0].Expires.Before(r[0].Since) {
		t.Fatalf("running %+v", r)
	}
	must(t, q.rdb.ZAdd(t.Context(), q.keys.key("seen"), redis.Z{Score: 1, Member: "h3"}).Err())
	_, err = q.Reap(t.Context())
	must(t, err)
	if n := len(snapshot(t, q).Builders); n != 2 {
		t.Fatalf("%d builders, want the two that were seen today", n)
	}
}
