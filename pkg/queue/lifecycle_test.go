package queue

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAJobTravelsFromEnqueueToItsEnd(t *testing.T) {
	q := newQueue(t)
	j := job("foo: bar")
	j.Provides, j.SourceCommit, j.ArchMirror = []string{"libfoo"}, "abc", "https://mirror/$repo/os/$arch"
	e := enqueue(t, q, j)
	if !slices.Equal(e.Added, []string{id("foo")}) || e.Duplicate {
		t.Fatalf("enqueued %+v", e)
	}
	l := mustClaim(t, q, "foo")
	want := j
	want.Timestamp = l.Job.Timestamp
	if diff := cmp.Diff(want, l.Job); diff != "" || l.Job.Timestamp == 0 {
		t.Fatalf("the job changed on its way (timestamp %d):\n%s", l.Job.Timestamp, diff)
	}
	if l.Attempt != 1 || l.Builder != "host1" || l.Token == 0 || time.Until(l.Expires) <= 0 {
		t.Fatalf("lease %+v", l)
	}
	must(t, q.Renew(t.Context(), l, time.Minute))
	r := Result{Duration: 90 * time.Second, Message: "ok", Files: []File{{"foo-1-1-any.pkg.tar.zst", 5, "aa"}}}
	must(t, q.Deliver(t.Context(), l, r))
	d := take(t, q)
	r.Builder = "host1"
	if diff := cmp.Diff(r, d.Result); diff != "" || d.Token != l.Token || d.Job.ID() != id("foo") || d.TargetRepo != repo || d.ID != l.Job.TaskID() {
		t.Fatalf("delivery %+v\n%s", d, diff)
	}
	must(t, q.StillWanted(t.Context(), d))
	must(t, q.RenewDelivery(t.Context(), d, time.Minute))
	must(t, q.FinishDelivery(t.Context(), d, Success, "deployed"))
	status, text, err := q.WaitTask(t.Context(), id("foo"))
	must(t, err)
	if status != Success || text != "deployed" {
		t.Fatalf("ended as %v, %q", status, text)
	}
	if left := leftovers(t, q); len(left) > 0 {
		t.Fatalf("an empty queue has %v", left)
	}
	var kinds []string
	for _, e := range history(t, q) {
		kinds = append(kinds, string(e.Kind))
	}
	if got := strings.Join(kinds, " "); got != "queued started delivered ended" {
		t.Fatalf("history: %s", got)
	}
	c := snapshot(t, q).Counters
	if c.BuilderCompleted != 1 || c.DatabaseCompleted != 1 || c.Ended[Success] != 1 {
		t.Fatalf("counters %+v", c)
	}
}

func TestWhatHasTheWrongStatusIsRefused(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, job("foo"))
	l := claim(t, q)
	for _, s := range []Status{Success, CanceledRequeued, -1, 8} {
		if q.Finish(t.Context(), l, Result{Status: s}) == nil {
			t.Errorf("Finish takes %v", s)
		}
	}
	if q.Deliver(t.Context(), l, Result{Status: Failed}) == nil {
		t.Error("Deliver takes a failure")
	}
	deliver(t, q, l)
	if q.FinishDelivery(t.Context(), take(t, q), CanceledRequeued, "") == nil {
		t.Error("FinishDelivery takes state 6")
	}
}

func TestEnqueueReplacesAJobThatWaits(t *testing.T) {
	q := newQueue(t)
	old := job("foo: x")
	old.Commit = "old:1"
	enqueue(t, q, old)
	first := waitingJob(t, q, "foo").Job
	fresh := job("foo: y")
	fresh.Commit = "new:2"
	e := enqueue(t, q, fresh)
	if !slices.Equal(e.Replaced, []string{id("foo")}) || e.CanceledRuns != nil {
		t.Fatalf("enqueued %+v", e)
	}
	s := snapshot(t, q)
	if len(s.Waiting) != 1 || s.Waiting[0].Job.Commit != "new:2" {
		t.Fatalf("waiting %+v", s.Waiting)
	}
	i := slices.IndexFunc(history(t, q), func(e Event) bool { return e.Kind == EventEnded })
	ended := history(t, q)[i]
	if ended.Job.Commit != "old:1" || ended.Status != Canceled || !strings.Contains(ended.Message, "replaced") || ended.Job.Timestamp != first.Timestamp {
		t.Fatalf("the old job ended as %+v of %+v", ended, ended.Job)
	}
	if status, _, err := q.WaitTask(t.Context(), first.TaskID()); err != nil || status != Canceled {
		t.Fatalf("the old task ended as %v, %v", status, err)
	}
}

func TestEnqueueCancelsTheRunOfItsIdentity(t *testing.T) {
	for _, state := range []string{"running", "delivered", "being published"} {
		t.Run(state, func(t *testing.T) {
			q := newQueue(t)
			enqueue(t, q, job("foo"))
			l := mustClaim(t, q, "foo")
			var d *Delivery
			if state != "running" {
				deliver(t, q, l)
			}
			if state == "being published" {
				d = take(t, q)
			}
			e := enqueue(t, q, job("foo"))
			if !slices.Equal(e.CanceledRuns, []string{id("foo")}) || e.Replaced != nil {
				t.Fatalf("enqueued %+v", e)
			}
			wantErr(t, q.Renew(t.Context(), l, time.Minute), ErrCanceled)
			wantErr(t, q.Deliver(t.Context(), l, Result{}), ErrCanceled)
			wantErr(t, q.Finish(t.Context(), l, Result{Status: Failed}), ErrCanceled)
			wantErr(t, q.Requeue(t.Context(), l), ErrCanceled)
			if d != nil {
				wantErr(t, q.StillWanted(t.Context(), d), ErrCanceled)
				wantErr(t, q.RenewDelivery(t.Context(), d, time.Minute), ErrCanceled)
			}
			second := mustClaim(t, q, "foo")
			if second.Token <= l.Token || second.Job.Timestamp <= l.Job.Timestamp {
				t.Fatalf("token %d after %d, timestamp %d after %d", second.Token, l.Token, second.Job.Timestamp, l.Job.Timestamp)
			}
			deliver(t, q, second)
			if d != nil {
				if other := take(t, q); other != nil {
					t.Fatalf("two hold the line of %s: %+v", repo, other)
				}
				wantErr(t, q.FinishDelivery(t.Context(), d, Success, ""), ErrCanceled)
			}
			must(t, q.FinishDelivery(t.Context(), take(t, q), Success, ""))
			if left := leftovers(t, q); len(left) > 0 {
				t.Fatalf("an empty queue has %v", left)
			}
		})
	}
}

func TestABatchIsAllOrNothing(t *testing.T) {
	q := newQueue(t)
	bad := []func(*Job){
		func(j *Job) { j.Pkgbase = "../x" },
		func(j *Job) { j.Pkgbase = "-rf" },
		func(j *Job) { j.TargetRepo = "a/b" },
		func(j *Job) { j.Arch = "" },
		func(j *Job) { j.Class = "a b" },
		func(j *Job) { j.Class = "a|b" },
		func(j *Job) { j.SourceRepo = "\n" },
		func(j *Job) { j.Commit = "a\x00b" },
		func(j *Job) { j.Pkgnames = []string{""} },
		func(j *Job) { j.Dependencies = []string{"a\nb"} },
		func(j *Job) { j.Provides = []string{strings.Repeat("x", 600)} },
		func(j *Job) { j.ArchMirror = strings.Repeat("x", 5000) },
		func(j *Job) { *j = job("good") },
	}
	for i, spoil := range bad {
		j := job("bad")
		spoil(&j)
		if _, err := q.Enqueue(t.Context(), Batch{Jobs: []Job{job("good"), j}}); err == nil {
			t.Errorf("case %d: accepted %+v", i, j)
		}
	}
	if _, err := q.Enqueue(t.Context(), Batch{ID: "a b", Jobs: jobs("good")}); err == nil {
		t.Error("accepted a batch id with a space")
	}
	if _, err := q.Enqueue(t.Context(), Batch{Cleanup: &Cleanup{TargetRepo: "..", Arch: arch}}); err == nil {
		t.Error("accepted a clean-up of ..")
	}
	_, err := q.Enqueue(t.Context(), Batch{Jobs: jobs("../x", ".y")})
	if err == nil || !strings.Contains(err.Error(), "../x") || !strings.Contains(err.Error(), ".y") {
		t.Errorf("not all faults are named: %v", err)
	}
	if s := snapshot(t, q); len(s.Waiting) != 0 {
		t.Fatalf("something was enqueued: %+v", s.Waiting)
	}
}

func TestABatchIDCountsOnce(t *testing.T) {
	q := newQueue(t)
	b := Batch{ID: "pipeline-7", Jobs: jobs("a", "b"), Cleanup: &Cleanup{TargetRepo: repo, Arch: arch, Pkgbases: []string{"a", "b"}}}
	first, err := q.Enqueue(t.Context(), b)
	must(t, err)
	fail(t, q, claim(t, q))
	again, err := q.Enqueue(t.Context(), b)
	must(t, err)
	first.Duplicate = true
	if diff := cmp.Diff(first, again); diff != "" {
		t.Fatalf("the answer differs:\n%s", diff)
	}
	if s := snapshot(t, q); len(s.Waiting) != 1 || len(s.Publishing) != 1 {
		t.Fatalf("the repetition changed the queue: %+v", s)
	}
	if ttl := q.rdb.TTL(t.Context(), q.keys.key("batch:pipeline-7")).Val(); ttl < 6*24*time.Hour || ttl > 7*24*time.Hour {
		t.Fatalf("the id is kept for %v", ttl)
	}
	if e, err := q.Enqueue(t.Context(), Batch{}); err != nil || e.Added != nil {
		t.Fatalf("an empty batch: %+v, %v", e, err)
	}
}

func TestTimestampsAreRedisTimeAndUniquePerPkgbase(t *testing.T) {
	q := newQueue(t)
	seen := map[int64]bool{}
	for i := range 30 {
		other := job("foo")
		other.TargetRepo = "other"
		j := job("foo")
		j.Timestamp = int64(i) // of no effect
		enqueue(t, q, j, other)
		for _, w := range snapshot(t, q).Waiting {
			if seen[w.Job.Timestamp] {
				t.Fatalf("timestamp %d twice", w.Job.Timestamp)
			}
			seen[w.Job.Timestamp] = true
			if off := time.Since(time.UnixMilli(w.Job.Timestamp)); off.Abs() > 5*time.Second {
				t.Fatalf("timestamp is %v off", off)
			}
		}
	}
	// Redis' clock goes back an hour: timestamps and tokens still grow.
	ahead := time.Now().Add(time.Hour).UnixMilli()
	must(t, q.rdb.HSet(t.Context(), q.keys.key("stamps"), "foo", ahead).Err())
	must(t, q.rdb.HSet(t.Context(), q.keys.key("count"), "token", ahead*1000).Err())
	enqueue(t, q, job("foo"))
	l := mustClaim(t, q, "foo")
	if l.Job.TargetRepo != "other" {
		publish(t, q, l)
		l = mustClaim(t, q, "foo")
	}
	publish(t, q, l)
	for _, e := range history(t, q) {
		if e.Kind == EventQueued && e.Job.Timestamp > ahead {
			ahead = 0
		}
	}
	if ahead != 0 || l.Token <= time.Now().Add(time.Hour/2).UnixMicro() {
		t.Fatal("a timestamp or token went back")
	}
}

func TestRequeueDoesNotCount(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, job("foo"))
	for range 5 {
		l := mustClaim(t, q, "foo")
		if l.Attempt != 1 {
			t.Fatalf("attempt %d", l.Attempt)
		}
		must(t, q.Requeue(t.Context(), l))
		must(t, q.Requeue(t.Context(), l)) // the same message again
		wantErr(t, q.Renew(t.Context(), l, time.Minute), ErrLeaseLost)
	}
	if e := lastEvent(t, q); e.Kind != EventRequeued || e.Builder != "host1" {
		t.Fatalf("last event %+v", e)
	}
	if w := waitingJob(t, q, "foo"); !w.Ready || w.LostLeases != 0 {
		t.Fatalf("waits as %+v", w)
	}
}

func TestThreeLostLeasesEndAJob(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, job("foo"), job("dep: foo"))
	for attempt := 1; attempt <= 3; attempt++ {
		l := mustClaim(t, q, "foo")
		if l.Attempt != attempt {
			t.Fatalf("attempt %d, want %d", l.Attempt, attempt)
		}
		if r, err := q.Reap(t.Context()); err != nil || len(r) != 0 {
			t.Fatalf("reaped a living lease: %v, %v", r, err)
		}
		expire(t, q)
		r, err := q.Reap(t.Context())
		must(t, err)
		if len(r) != 1 || r[0].Job.ID() != id("foo") || r[0].Attempt != attempt || r[0].Builder != "host1" || r[0].Ended != (attempt == 3) {
			t.Fatalf("reaped %+v", r)
		}
		wantErr(t, q.Renew(t.Context(), l, time.Minute), ErrLeaseLost)
		wantErr(t, q.Deliver(t.Context(), l, Result{}), ErrLeaseLost)
		wantErr(t, q.Finish(t.Context(), l, Result{Status: Failed}), ErrLeaseLost)
		wantErr(t, q.Requeue(t.Context(), l), ErrLeaseLost)
	}
	status, text, err := q.WaitTask(t.Context(), id("foo"))
	must(t, err)
	if status != SoftwareFailure || !strings.Contains(text, "3 times") {
		t.Fatalf("ended as %v, %q", status, text)
	}
	mustClaim(t, q, "dep") // QUEUE_ON_DEP_FAILURE=build
	if c := snapshot(t, q).Counters; c.LostLeases != 3 || c.Ended[SoftwareFailure] != 1 || c.BuilderFailed != 1 {
		t.Fatalf("counters %+v", c)
	}
}

func TestALeaseThatRanOutLivesUntilItIsReaped(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, job("foo"))
	l := mustClaim(t, q, "foo")
	expire(t, q)
	must(t, q.Renew(t.Context(), l, time.Minute))
	if r, err := q.Reap(t.Context()); err != nil || len(r) != 0 {
		t.Fatalf("reaped %v, %v", r, err)
	}
	publish(t, q, l)
}

func TestAfterAnOutageLeasesGetGraceOnce(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, job("foo"))
	l := mustClaim(t, q, "foo")
	outage := func() []Reaped {
		expire(t, q)
		must(t, q.rdb.HSet(t.Context(), q.keys.key("meta"), "lastreap", time.Now().Add(-time.Hour).UnixMilli()).Err())
		r, err := q.Reap(t.Context())
		must(t, err)
		return r
	}
	for range 2 {
		if r := outage(); len(r) != 0 {
			t.Fatalf("reaped %+v although nobody could renew", r)
		}
		must(t, q.Renew(t.Context(), l, time.Minute))
	}
	outage()
	if r := outage(); len(r) != 1 {
		t.Fatalf("a dead builder gets grace for ever: reaped %+v", r)
	}
}

func TestManyLeasesAreReapedInOneCall(t *testing.T) {
	q := newQueue(t)
	for i := range 120 {
		enqueue(t, q, job("p"+string(rune('a'+i%26))+string(rune('a'+i/26))))
		claim(t, q)
	}
	expire(t, q)
	r, err := q.Reap(t.Context())
	must(t, err)
	if len(r) != 120 {
		t.Fatalf("reaped %d of 120", len(r))
	}
}

func TestCancelEndsAJobInEveryState(t *testing.T) {
	for _, state := range []string{"blocked", "ready", "running", "publishing"} {
		t.Run(state, func(t *testing.T) {
			q := newQueue(t)
			enqueue(t, q, job("foo"), job("after: foo"))
			base := "foo"
			var l *Lease
			switch state {
			case "blocked":
				base = "after"
			case "running":
				l = mustClaim(t, q, "foo")
			case "publishing":
				l = mustClaim(t, q, "foo")
				deliver(t, q, l)
			}
			must(t, q.Cancel(t.Context(), id(base)))
			wantErr(t, q.Cancel(t.Context(), id(base)), ErrNotFound)
			if l != nil {
				wantErr(t, q.Renew(t.Context(), l, time.Minute), ErrCanceled)
			}
			if e := lastEvent(t, q); e.Kind != EventEnded || e.Status != Canceled || e.JobID != id(base) {
				t.Fatalf("last event %+v", e)
			}
			if base == "foo" {
				mustClaim(t, q, "after")
			}
		})
	}
	t.Run("only the task that is named", func(t *testing.T) {
		q := newQueue(t)
		enqueue(t, q, job("foo"))
		old := waitingJob(t, q, "foo").Job
		enqueue(t, q, job("foo"))
		wantErr(t, q.Cancel(t.Context(), old.TaskID()), ErrNotFound)
		must(t, q.Cancel(t.Context(), waitingJob(t, q, "foo").Job.TaskID()))
	})
}

func TestProtocolOfAnotherVersionIsRefusedByName(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, job("foo"))
	newer := New(q.rdb)
	newer.protocol = Protocol + 1
	_, err := newer.Enqueue(t.Context(), Batch{Jobs: jobs("bar")})
	wantErr(t, err, ErrProtocol)
	var p *ProtocolError
	if !errors.As(err, &p) || p.Queue != Protocol || p.Ours != Protocol+1 || !strings.Contains(err.Error(), "newer") {
		t.Fatalf("error %v", err)
	}
	_, err = newer.Claim(t.Context(), numericBuilder, time.Minute)
	wantErr(t, err, ErrProtocol)
	_, err = newer.Snapshot(t.Context())
	wantErr(t, err, ErrProtocol)
	_, err = newer.Reap(t.Context())
	wantErr(t, err, ErrProtocol)
	_, err = q.Claim(t.Context(), Builder{Name: "old", Class: "1", Protocol: 3}, time.Minute)
	wantErr(t, err, ErrProtocol)
	mustClaim(t, q, "foo")
}

func TestAdvertIsWhatWasSetLast(t *testing.T) {
	q := newQueue(t)
	_, err := q.Advertised(t.Context())
	wantErr(t, err, ErrNotFound)
	a := Advert{Image: "img", Packager: "P <p@x>", LogsURL: "https://x/logs", Landing: Landing{"h", 22, "u", "/landing"},
		SourceRepos: map[string]SourceRepo{"packages": {URL: "https://x.git"}},
		TargetRepos: map[string]TargetRepo{repo: {ExtraRepos: []ExtraRepo{{"e", []string{"https://e"}}}, ExtraKeyrings: []string{"https://k"}}}}
	must(t, q.Advertise(t.Context(), Advert{Image: "other"}))
	must(t, q.Advertise(t.Context(), a))
	got, err := q.Advertised(t.Context())
	must(t, err)
	if diff := cmp.Diff(&a, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestMessagesFromOutsideAreBounded(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, job("foo"))
	must(t, q.Finish(t.Context(), claim(t, q), Result{Status: Failed, Message: strings.Repeat("é", 2000) + "\xff"}))
	_, text, err := q.WaitTask(t.Context(), id("foo"))
	must(t, err)
	if len(text) > 1100 || !json.Valid([]byte(`"`+text+`"`)) || !strings.HasSuffix(text, "…") {
		t.Fatalf("message of %d bytes: %.40q", len(text), text)
	}
}
