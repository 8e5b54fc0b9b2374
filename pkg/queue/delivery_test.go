package queue

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func cleanup(target string, bases ...string) *Cleanup {
	return &Cleanup{TargetRepo: target, Arch: arch, Pkgbases: bases, Commit: "c0ffee:9"}
}

func deliverAll(t testing.TB, q *Queue) {
	t.Helper()
	for l := claim(t, q); l != nil; l = claim(t, q) {
		deliver(t, q, l)
	}
}

func in(target, base string) Job {
	j := job(base)
	j.TargetRepo = target
	return j
}

func TestOneAtATimePerTargetRepoInOrder(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, in("r1", "a"), in("r1", "b"), in("r2", "c"))
	deliverAll(t, q)
	first, second := take(t, q), take(t, q)
	if first.Job.Pkgbase != "a" || second.Job.Pkgbase != "c" {
		t.Fatalf("turns are %s and %s", first.ID, second.ID)
	}
	if third := take(t, q); third != nil {
		t.Fatalf("a third turn: %s", third.ID)
	}
	must(t, q.FinishDelivery(t.Context(), first, Success, ""))
	if d := take(t, q); d == nil || d.Job.Pkgbase != "b" || d.HolderToken <= first.HolderToken {
		t.Fatalf("next turn %+v", d)
	}
}

func TestCleanupsTravelInTheLineOfTheirRepo(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, job("a"))
	deliver(t, q, mustClaim(t, q, "a"))
	e, err := q.Enqueue(t.Context(), Batch{ID: "b1", Jobs: jobs("b"), Cleanup: cleanup(repo, "a", "b")})
	must(t, err)
	deliver(t, q, mustClaim(t, q, "b"))
	s := snapshot(t, q)
	if len(s.Publishing) != 3 || s.Publishing[1].Cleanup == nil || s.Publishing[0].Builder != "host1" || s.Publishing[0].Since.IsZero() {
		t.Fatalf("line %+v", s.Publishing)
	}
	var order []string
	for d := take(t, q); d != nil; d = take(t, q) {
		order = append(order, what(d))
		must(t, q.StillWanted(t.Context(), d))
		must(t, q.RenewDelivery(t.Context(), d, time.Minute))
		if s := snapshot(t, q); s.Publishing[0].Holder != "db1" {
			t.Fatalf("holder %q", s.Publishing[0].Holder)
		}
		if d.Cleanup != nil && (!slices.Equal(d.Cleanup.Pkgbases, []string{"a", "b"}) || d.ID != e.CleanupID || d.Token != 0) {
			t.Fatalf("clean-up %+v of %+v", d.Cleanup, d)
		}
		status := Success
		if d.Cleanup != nil {
			status = Failed
		}
		must(t, q.FinishDelivery(t.Context(), d, status, "more than a third"))
		must(t, q.FinishDelivery(t.Context(), d, status, "more than a third")) // the same message again
	}
	if got := strings.Join(order, " "); got != "a clean-up b" {
		t.Fatalf("order %q", got)
	}
	status, text, err := q.WaitTask(t.Context(), e.CleanupID)
	must(t, err)
	if status != Failed || text != "more than a third" {
		t.Fatalf("clean-up ended as %v, %q", status, text)
	}
	if c := snapshot(t, q).Counters; c.DatabaseCompleted != 2 || c.DatabaseFailed != 1 {
		t.Fatalf("counters %+v", c)
	}
	i := slices.IndexFunc(history(t, q), func(e Event) bool { return e.Cleanup != nil && e.Kind == EventEnded })
	if ev := history(t, q)[i]; ev.Job != nil || ev.Cleanup.TargetRepo != repo || ev.Cleanup.Arch != arch || ev.Cleanup.Commit != "c0ffee:9" || ev.JobID != e.CleanupID {
		t.Fatalf("event %+v of %+v", ev, ev.Cleanup)
	}
	if left := leftovers(t, q); len(left) > 0 {
		t.Fatalf("an empty queue has %v", left)
	}
}

func what(d *Delivery) string {
	if d.Cleanup != nil {
		return "clean-up"
	}
	return d.Job.Pkgbase
}

func TestADeadDatabaseRoleIsReplaced(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, job("a"))
	deliverAll(t, q)
	dead := take(t, q)
	expireHold(t, q, repo)
	must(t, q.RenewDelivery(t.Context(), dead, time.Minute)) // nobody has taken over: it lives
	if d := take(t, q); d != nil {
		t.Fatalf("two hold the line: %+v", d)
	}
	expireHold(t, q, repo)
	heir, err := q.TakeDelivery(t.Context(), "db2", time.Minute)
	must(t, err)
	if heir.ID != dead.ID || heir.Attempt != 2 || heir.HolderToken <= dead.HolderToken || heir.Token != dead.Token {
		t.Fatalf("heir has %+v of %+v", heir, dead)
	}
	wantErr(t, q.StillWanted(t.Context(), dead), ErrLeaseLost)
	wantErr(t, q.RenewDelivery(t.Context(), dead, time.Minute), ErrLeaseLost)
	wantErr(t, q.FinishDelivery(t.Context(), dead, Success, ""), ErrLeaseLost)
	must(t, q.FinishDelivery(t.Context(), heir, Success, ""))
	wantErr(t, q.FinishDelivery(t.Context(), dead, Success, ""), ErrLeaseLost)
}

func TestWhatIsNeverFinishedDoesNotStopTheLine(t *testing.T) {
	q := newQueue(t)
	poison, err := q.Enqueue(t.Context(), Batch{ID: "b1", Cleanup: cleanup(repo)})
	must(t, err)
	enqueue(t, q, job("a"), job("after: a"))
	deliver(t, q, mustClaim(t, q, "a"))
	for _, task := range []string{poison.CleanupID, "job"} {
		for turn := 1; turn <= 5; turn++ {
			d := take(t, q)
			if d == nil || d.Attempt != turn || (task != "job" && d.ID != task) {
				t.Fatalf("turn %d of %s is %+v", turn, task, d)
			}
			expireHold(t, q, repo)
		}
	}
	if d := take(t, q); d != nil {
		t.Fatalf("a sixth turn: %+v", d)
	}
	for _, task := range []string{poison.CleanupID, id("a")} {
		status, text, err := q.WaitTask(t.Context(), task)
		must(t, err)
		if status != SoftwareFailure || !strings.Contains(text, "5 times") {
			t.Fatalf("%s ended as %v, %q", task, status, text)
		}
	}
	mustClaim(t, q, "after")
}

func TestACanceledJobLeavesTheLine(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, job("a"), job("b"))
	deliverAll(t, q)
	must(t, q.Cancel(t.Context(), id("a")))
	if d := take(t, q); d.Job.Pkgbase != "b" {
		t.Fatalf("turn of %s", d.ID)
	}
}

func TestACleanupCanBeCanceledUntilItIsCarriedOut(t *testing.T) {
	q := newQueue(t)
	for _, b := range []string{"b1", "b2"} {
		_, err := q.Enqueue(t.Context(), Batch{ID: b, Cleanup: cleanup(repo)})
		must(t, err)
	}
	d := take(t, q)
	wantErr(t, q.Cancel(t.Context(), d.ID), ErrNotFound)
	must(t, q.Cancel(t.Context(), "cleanup:b2"))
	must(t, q.FinishDelivery(t.Context(), d, Success, ""))
	if d := take(t, q); d != nil {
		t.Fatalf("turn of %s", d.ID)
	}
	status, _, err := q.WaitTask(t.Context(), "cleanup:b2")
	must(t, err)
	if status != Canceled {
		t.Fatalf("ended as %v", status)
	}
}

func TestAForgedDeliveryIsRefused(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, job("a"))
	l := claim(t, q)
	deliver(t, q, l)
	d := take(t, q)
	for name, spoil := range map[string]func(*Delivery){
		"job token":    func(d *Delivery) { d.Token++ },
		"holder token": func(d *Delivery) { d.HolderToken++ },
		"task":         func(d *Delivery) { d.ID += "0" },
		"target repo":  func(d *Delivery) { d.TargetRepo = "other" },
	} {
		forged := *d
		spoil(&forged)
		if q.StillWanted(t.Context(), &forged) == nil {
			t.Errorf("a wrong %s passes", name)
		}
	}
	for name, spoil := range map[string]func(*Lease){
		"token":     func(l *Lease) { l.Token++ },
		"builder":   func(l *Lease) { l.Builder = "other" },
		"timestamp": func(l *Lease) { l.Job.Timestamp-- },
		"pkgbase":   func(l *Lease) { l.Job.Pkgbase = "b" },
	} {
		forged := *l
		spoil(&forged)
		wantErr(t, q.Deliver(t.Context(), &forged, Result{}), ErrLeaseLost)
		_ = name
	}
	must(t, q.StillWanted(t.Context(), d))
}
