package queue

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// itsTimeHasCome makes what waits for a time due.
func itsTimeHasCome(t *testing.T, q *Queue) {
	t.Helper()
	for _, seq := range q.rdb.ZRange(t.Context(), q.keys.key("later"), 0, -1).Val() {
		must(t, q.rdb.HSet(t.Context(), q.keys.key("j:"+seq), "nb", 1).Err())
		must(t, q.rdb.ZIncrBy(t.Context(), q.keys.key("later"), -1e13, seq).Err())
	}
}

func TestARetryWaitsForItsTimeAndKeepsItsDependantsBlocked(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, jobs("lib", "app: lib")...)
	l := mustClaim(t, q, "lib")
	why := Failure{Class: "download", Lines: []string{"curl: (28) timed out"}}
	r := Result{Status: Failed, Message: "no route", Duration: 1500 * time.Millisecond, Failure: &why}
	must(t, q.Retry(t.Context(), l, r, time.Hour))
	must(t, q.Retry(t.Context(), l, r, time.Hour)) // the same message again
	wantErr(t, q.Renew(t.Context(), l, time.Minute), ErrLeaseLost)
	e := lastEvent(t, q)
	if diff := cmp.Diff(&why, e.Failure); diff != "" || e.Kind != EventRequeued || e.Message != "no route" || e.Duration != r.Duration || e.Builder != "host1" {
		t.Fatalf("event %+v\n%s", e, diff)
	}
	w := waitingJob(t, q, "lib")
	if diff := cmp.Diff(&why, w.Failure); diff != "" || w.Ready || w.Retries != 1 || w.Message != "no route" || w.LostLeases != 0 ||
		time.Until(time.UnixMilli(w.Job.NotBefore)) < 59*time.Minute {
		t.Fatalf("waits as %+v\n%s", w, diff)
	}
	mustClaimNothing(t, q)
	if due := time.Duration(q.nextDue.Load()); due < 59*time.Minute || due > time.Hour+time.Second {
		t.Fatalf("the builder would look again in %v", due)
	}
	itsTimeHasCome(t, q)
	again := mustClaim(t, q, "lib")
	if again.Retries != 1 || again.Attempt != 1 || again.Token <= l.Token {
		t.Fatalf("lease %+v", again)
	}
	must(t, q.Finish(t.Context(), again, r))
	if e := lastEvent(t, q); e.Kind != EventEnded || e.Failure == nil || e.Failure.Class != "download" || e.Duration != r.Duration {
		t.Fatalf("event %+v", e)
	}
	mustClaim(t, q, "app")
}

func TestABuilderIsWokenWhenTheTimeOfAJobComes(t *testing.T) {
	q := newQueue(t)
	j := job("foo")
	j.NotBefore = time.Now().Add(300 * time.Millisecond).UnixMilli()
	enqueue(t, q, j)
	mustClaimNothing(t, q)
	begin := time.Now()
	must(t, q.Wait(t.Context(), time.Minute))
	if took := time.Since(begin); took > 10*time.Second {
		t.Fatalf("it waited for %v", took)
	}
	mustClaim(t, q, "foo")
}

func TestTheReaperPutsUpWhatIsDueForBuildersThatSleep(t *testing.T) {
	q := newQueue(t)
	j := job("foo")
	j.NotBefore = time.Now().Add(time.Hour).UnixMilli()
	enqueue(t, q, j)
	itsTimeHasCome(t, q)
	before := q.rdb.HGet(t.Context(), q.keys.key("count"), "builders").Val()
	_, err := q.Reap(t.Context())
	must(t, err)
	if after := q.rdb.HGet(t.Context(), q.keys.key("count"), "builders").Val(); after == before {
		t.Fatal("nobody was woken")
	}
	mustClaim(t, q, "foo")
}

func TestADrainedBuilderGetsNothingAndFinishesWhatItHas(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, jobs("a", "b")...)
	l := mustClaim(t, q, "a")
	must(t, q.Drain(t.Context(), "host1", true))
	must(t, q.Drain(t.Context(), "never-seen", true))
	mustClaimNothing(t, q)
	must(t, q.Renew(t.Context(), l, time.Minute))
	publish(t, q, l)
	mustClaimNothing(t, q)
	drained := map[string]bool{}
	for _, b := range snapshot(t, q).Builders {
		drained[b.Builder.Name] = b.Drained
	}
	if !drained["host1"] || !drained["never-seen"] {
		t.Fatalf("drained: %v", drained)
	}
	if l, err := q.Claim(t.Context(), Builder{Name: "other", Class: "1"}, time.Minute); err != nil || l == nil {
		t.Fatalf("another builder gets %v, %v", l, err)
	}
	enqueue(t, q, job("c"))
	must(t, q.Drain(t.Context(), "host1", false))
	mustClaim(t, q, "c")
	if err := q.Drain(t.Context(), "a\nb", true); err == nil {
		t.Fatal("a name with a line feed is accepted")
	}
}

func TestPrioritiesGoFirst(t *testing.T) {
	q := newQueue(t)
	first := job("asked-for")
	first.Priority = 1
	enqueue(t, q, jobs("a", "b: a", "later", "blocked: b")...)
	enqueue(t, q, first)
	must(t, q.Prioritise(t.Context(), id("later"), -1))
	must(t, q.Prioritise(t.Context(), waitingJob(t, q, "blocked").Job.TaskID(), 2))
	if got := waitingJob(t, q, "blocked").Job.Priority; got != 2 {
		t.Fatalf("priority %d", got)
	}
	wantErr(t, q.Prioritise(t.Context(), id("nobody"), 1), ErrNotFound)
	if q.Prioritise(t.Context(), id("later"), 101) == nil {
		t.Fatal("priority 101 is accepted")
	}
	l := mustClaim(t, q, "asked-for")
	wantErr(t, q.Prioritise(t.Context(), id("asked-for"), 1), ErrNotFound)
	publish(t, q, l)
	if got := drainOrder(t, q); got != "a b blocked later" {
		t.Fatalf("order is %q", got)
	}
}

func TestWaitingMakesUpForAShorterPath(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, jobs("old")...)
	seq := q.rdb.HGet(t.Context(), q.keys.key("ids"), id("old")).Val()
	must(t, q.rdb.ZIncrBy(t.Context(), q.keys.key("ready:x86_64|1|"+repo), -float64(time.Hour.Milliseconds()), member(seq)).Err())
	must(t, q.rdb.HSet(t.Context(), q.keys.key("durations"), arch+"/shorter", 3000, arch+"/longer", 4000).Err())
	enqueue(t, q, jobs("shorter", "longer")...)
	if got := drainOrder(t, q); got != "longer old shorter" { // 4000 s, an hour of waiting, 3000 s
		t.Fatalf("order is %q", got)
	}
}

// member is how a SEQ is written in a set of ready jobs.
func member(seq string) string { return strings.Repeat("0", 12-len(seq)) + seq }

func TestTargetReposShareByTheirWeights(t *testing.T) {
	q := newQueue(t)
	must(t, q.Advertise(t.Context(), Advert{Weights: map[string]int{"big": 3}}))
	var batch []Job
	for i := range 40 {
		for _, r := range []string{"big", "small"} {
			j := job("p" + string(rune('a'+i%26)) + string(rune('a'+i/26)))
			j.TargetRepo = r
			batch = append(batch, j)
		}
	}
	enqueue(t, q, batch...)
	count := map[string]int{}
	for range 40 {
		count[claim(t, q).Job.TargetRepo]++
	}
	if count["big"] < 29 || count["big"] > 31 {
		t.Fatalf("shares %v, want 30 and 10", count)
	}
	// One that comes later has saved nothing up, and is not behind either.
	late := job("late")
	late.TargetRepo = "late"
	enqueue(t, q, late, func() Job { j := late; j.Pkgbase, j.Pkgnames = "late2", []string{"late2"}; return j }())
	got := ""
	for range 4 {
		got += claim(t, q).Job.TargetRepo + " "
	}
	if !strings.Contains(got, "late") || strings.Count(got, "late") > 2 || !strings.Contains(got, "big") {
		t.Fatalf("then it goes on with %s", got)
	}
	for _, bad := range []Advert{{Weights: map[string]int{"a/b": 1}}, {Weights: map[string]int{"a": 0}}, {Weights: map[string]int{"a": 1001}}, {OnDepFailure: "cry"}} {
		if q.Advertise(t.Context(), bad) == nil {
			t.Errorf("accepted %+v", bad)
		}
	}
}

func TestDependantsAreHeldUntilTheDependencyIsBuiltOrTheyAreReleased(t *testing.T) {
	begin := func(t *testing.T) *Queue {
		q := newQueue(t)
		must(t, q.Advertise(t.Context(), Advert{OnDepFailure: "hold"}))
		enqueue(t, q, jobs("lib", "app: lib", "after: app", "x: y lib", "y: x")...)
		fail(t, q, mustClaim(t, q, "lib"))
		mustClaimNothing(t, q)
		if w := waitingJob(t, q, "app"); !w.Held || w.Ready || !slices.Equal(w.FailedDeps, []string{id("lib")}) {
			t.Fatalf("app waits as %+v", w)
		}
		return q
	}
	t.Run("built after all", func(t *testing.T) {
		q := begin(t)
		enqueue(t, q, job("lib"))
		if got := drainOrder(t, q); got != "lib app x y after" {
			t.Fatalf("order is %q", got)
		}
	})
	t.Run("fails again", func(t *testing.T) {
		q := begin(t)
		enqueue(t, q, job("lib"))
		fail(t, q, mustClaim(t, q, "lib"))
		mustClaimNothing(t, q)
	})
	t.Run("canceled", func(t *testing.T) {
		q := begin(t)
		enqueue(t, q, job("lib"))
		must(t, q.Cancel(t.Context(), id("lib")))
		mustClaimNothing(t, q)
	})
	t.Run("released", func(t *testing.T) {
		q := begin(t)
		must(t, q.Release(t.Context(), id("app")))
		if got := drainOrder(t, q); got != "app after" {
			t.Fatalf("order is %q", got)
		}
		must(t, q.Release(t.Context(), id("x")))
		if got := drainOrder(t, q); got != "x y" && got != "y x" {
			t.Fatalf("order is %q", got)
		}
		wantErr(t, q.Release(t.Context(), id("x")), ErrNotFound)
	})
	t.Run("replaced", func(t *testing.T) {
		q := begin(t)
		enqueue(t, q, job("app: lib"))
		if got := drainOrder(t, q); got != "app after" {
			t.Fatalf("order is %q", got)
		}
	})
	t.Run("the setting changes", func(t *testing.T) {
		q := begin(t)
		must(t, q.Advertise(t.Context(), Advert{}))
		if got := len(strings.Fields(drainOrder(t, q))); got != 4 {
			t.Fatalf("%d are built", got)
		}
		if left := leftovers(t, q); len(left) > 0 {
			t.Fatalf("an empty queue has %v", left)
		}
	})
}

func TestDependantsAreSkippedThroughAndThrough(t *testing.T) {
	q := newQueue(t)
	must(t, q.Advertise(t.Context(), Advert{OnDepFailure: "skip"}))
	enqueue(t, q, jobs("lib", "app: lib", "after: app", "x: y app", "y: x", "other")...)
	fail(t, q, mustClaim(t, q, "lib"))
	for _, base := range []string{"app", "after", "x", "y"} {
		status, text, err := q.WaitTask(t.Context(), id(base))
		must(t, err)
		if status != Skipped || !strings.Contains(text, id("lib")) {
			t.Errorf("%s ended as %v, %q", base, status, text)
		}
	}
	if got := drainOrder(t, q); got != "other" {
		t.Fatalf("order is %q", got)
	}
	// A failure of the publisher and of the builders counts as well, a cancellation does not.
	enqueue(t, q, jobs("a", "b: a")...)
	deliver(t, q, mustClaim(t, q, "a"))
	must(t, q.FinishDelivery(t.Context(), take(t, q), Failed, "no signature"))
	mustClaimNothing(t, q)
	enqueue(t, q, jobs("a", "b: a")...)
	must(t, q.Cancel(t.Context(), id("a")))
	publish(t, q, mustClaim(t, q, "b"))
	if left := leftovers(t, q); len(left) > 0 {
		t.Fatalf("an empty queue has %v", left)
	}
}

func TestAJobThatEndedIsEnqueuedAgainOnce(t *testing.T) {
	q := newQueue(t)
	j := job("foo: bar")
	j.Priority, j.SourceCommit = 3, "abc"
	enqueue(t, q, j)
	_, err := q.RetryEnded(t.Context(), id("foo"))
	wantErr(t, err, ErrNotFound) // it is alive
	l := mustClaim(t, q, "foo")
	fail(t, q, l)
	e, err := q.RetryEnded(t.Context(), l.Job.TaskID())
	must(t, err)
	if !slices.Equal(e.Added, []string{id("foo")}) {
		t.Fatalf("enqueued %+v", e)
	}
	again := mustClaim(t, q, "foo")
	want := l.Job
	want.Timestamp = again.Job.Timestamp
	if diff := cmp.Diff(want, again.Job); diff != "" {
		t.Fatal(diff)
	}
	must(t, q.Cancel(t.Context(), id("foo")))
	e, err = q.RetryEnded(t.Context(), l.Job.TaskID())
	must(t, err)
	if !e.Duplicate || len(snapshot(t, q).Waiting) != 0 {
		t.Fatalf("the same end was retried twice: %+v", e)
	}
	if _, err = q.RetryEnded(t.Context(), id("foo")); err != nil { // the one that was canceled
		t.Fatal(err)
	}
	mustClaim(t, q, "foo")
	_, err = q.RetryEnded(t.Context(), id("never"))
	wantErr(t, err, ErrNotFound)
}

func TestABatchMayLeaveWhatIsAlive(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, jobs("waits", "runs")...)
	l := claim(t, q)
	e, err := q.Enqueue(t.Context(), Batch{Jobs: jobs("runs", "fresh", "waits"), Missing: true})
	must(t, err)
	if !slices.Equal(e.Added, []string{id("fresh")}) || !slices.Equal(e.LeftOut, []string{id("runs"), id("waits")}) || e.Replaced != nil {
		t.Fatalf("enqueued %+v", e)
	}
	must(t, q.Renew(t.Context(), l, time.Minute))
}

func TestWhatABuilderSaysOfAFailureIsBounded(t *testing.T) {
	lines := slices.Repeat([]string{strings.Repeat("é", 400) + "\x1b[31m\x00"}, 30)
	lines[29] = "last\xff"
	f := (&Failure{Class: strings.Repeat("x", 1000), Lines: lines}).bounded()
	if f.Class != "unknown" || len(f.Lines) != maxFailureLines || len(f.Lines[0]) > maxFailureLine || strings.ContainsAny(f.Lines[0], "\x1b\x00") || f.Lines[9] != "last\uFFFD" {
		t.Fatalf("kept %+v", f)
	}
	if (*Failure)(nil).text() != "" || readFailure("") != nil || readFailure("{") != nil {
		t.Fatal("no failure is not none")
	}
}

func TestPrioritiesAndTimesOutOfRangeAreRefused(t *testing.T) {
	q := newQueue(t)
	for _, spoil := range []func(*Job){
		func(j *Job) { j.Priority = 101 }, func(j *Job) { j.Priority = -101 },
		func(j *Job) { j.NotBefore = -1 }, func(j *Job) { j.NotBefore = 1 << 60 },
	} {
		j := job("foo")
		spoil(&j)
		if _, err := q.Enqueue(t.Context(), Batch{Jobs: []Job{j}}); err == nil {
			t.Errorf("accepted %+v", j)
		}
	}
}
