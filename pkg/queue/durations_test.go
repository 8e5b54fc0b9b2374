package queue

import (
	"testing"
	"time"
)

func TestDurationsTellsTheLastSuccessfulBuildOnly(t *testing.T) {
	q := newQueue(t)
	build := func(base string, took time.Duration, s Status) {
		enqueue(t, q, job(base))
		l := mustClaim(t, q, base)
		if s != Success {
			must(t, q.Finish(t.Context(), l, Result{Status: s, Duration: took}))
			return
		}
		must(t, q.Deliver(t.Context(), l, Result{Duration: took}))
		d, err := q.TakeDelivery(t.Context(), "database", time.Minute)
		must(t, err)
		must(t, q.FinishDelivery(t.Context(), d, s, ""))
	}
	build("a", time.Hour, Success)
	build("a", 2*time.Hour, Success)
	build("a", 3*time.Hour, Failed)
	build("b", time.Hour, Failed)
	got, err := q.Durations(t.Context(), arch, []string{"a", "b", "c"})
	must(t, err)
	if len(got) != 1 || got["a"] != 2*time.Hour {
		t.Errorf("durations are %v, want 2 h of a alone", got)
	}
	if got, err := q.Durations(t.Context(), "riscv64", []string{"a"}); err != nil || len(got) != 0 {
		t.Errorf("another architecture gives %v, %v", got, err)
	}
}
