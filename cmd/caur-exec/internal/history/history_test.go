package history

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
)

func event(n int, kind queue.EventKind, name string, change func(*queue.Event)) queue.Event {
	e := queue.Event{ID: fmt.Sprintf("%d-0", n), Kind: kind, JobID: "r/x86_64/" + name, Time: time.UnixMilli(int64(n)),
		Job: &queue.Job{Pkgbase: name, TargetRepo: "r", Arch: "x86_64", Timestamp: 1}}
	if change != nil {
		change(&e)
	}
	return e
}

func filled(events ...queue.Event) *Index {
	x := New(nil)
	for _, e := range events {
		x.add(e)
	}
	return x
}

func TestBuildIsMadeOfItsEvents(t *testing.T) {
	x := filled(
		event(1000, queue.EventQueued, "zlib", nil),
		event(2000, queue.EventStarted, "zlib", func(e *queue.Event) { e.Builder = "b1" }),
		event(5000, queue.EventDelivered, "zlib", nil),
		event(9000, queue.EventEnded, "zlib", nil),
	)
	list := x.Package("zlib")
	if len(list) != 1 || list[0].Builder != "b1" || list[0].Duration != 3*time.Second || list[0].Bad() || list[0].Class() != "" {
		t.Fatalf("%+v", list[0])
	}
	if got := x.Expected("x86_64", "zlib"); got != 3*time.Second {
		t.Errorf("expected: %v", got)
	}
	if got := x.Expected("aarch64", "zlib"); got != 0 {
		t.Errorf("of another architecture: %v", got)
	}
}

func TestEndsHaveAClass(t *testing.T) {
	tests := []struct {
		status  queue.Status
		failure *queue.Failure
		class   string
	}{
		{queue.Success, nil, ""}, {queue.Skipped, nil, ""}, {queue.Canceled, nil, ""},
		{queue.Failed, nil, "unknown"}, {queue.Failed, &queue.Failure{Class: "compile"}, "compile"},
		{queue.TimedOut, nil, "timeout"}, {queue.SoftwareFailure, nil, "software"},
	}
	for _, tt := range tests {
		if got := (&Build{Status: tt.status, Failure: tt.failure}).Class(); got != tt.class {
			t.Errorf("%v: %q, want %q", tt.status, got, tt.class)
		}
	}
}

func TestATryThatFailedIsABuildToo(t *testing.T) {
	x := filled(
		event(1, queue.EventStarted, "zlib", nil),
		event(2, queue.EventRequeued, "zlib", func(e *queue.Event) { e.Failure = &queue.Failure{Class: "download"} }),
		event(3, queue.EventStarted, "zlib", nil),
		event(4, queue.EventRequeued, "zlib", nil), // the builder shut down
	)
	if list := x.Package("zlib"); len(list) != 1 || !list[0].Again || list[0].Class() != "download" {
		t.Errorf("%+v", list)
	}
}

func TestExpectedIsTheMedianOfTheLastFive(t *testing.T) {
	x := New(nil)
	for i, seconds := range []int{900, 1, 2, 3, 4, 500} {
		x.add(event(i+1, queue.EventEnded, "zlib", func(e *queue.Event) { e.Duration = time.Duration(seconds) * time.Second }))
	}
	if got := x.Expected("x86_64", "zlib"); got != 3*time.Second {
		t.Errorf("%v", got)
	}
}

func TestFailuresAreGroupedAndEachPackageIsListedOnce(t *testing.T) {
	x := New(nil)
	n := 0
	bad := func(name, class string) {
		n++
		x.add(event(n, queue.EventEnded, name, func(e *queue.Event) { e.Status, e.Failure = queue.Failed, &queue.Failure{Class: class} }))
	}
	bad("old", "compile")
	since := time.UnixMilli(int64(n + 1))
	bad("a", "compile")
	bad("a", "compile")
	bad("b", "compile")
	bad("c", "download")
	groups := x.Failures(since)
	if len(groups) != 2 || groups[0].Class != "compile" || len(groups[0].Builds) != 2 || groups[0].Builds[0].Job.Pkgbase != "b" || len(groups[1].Builds) != 1 {
		t.Errorf("%+v", groups)
	}
}

func TestIndexIsBounded(t *testing.T) {
	x := New(nil)
	for i := range maxBuilds + 5 {
		x.add(event(i+1, queue.EventEnded, fmt.Sprintf("p%d", i/200), nil))
	}
	if len(x.builds) > maxBuilds || len(x.feed) > feedSize || len(x.byPackage["p50"]) != perPackage {
		t.Errorf("%d builds, %d events, %d of a package", len(x.builds), len(x.feed), len(x.byPackage["p50"]))
	}
	if list := x.Package("p0"); len(list) != 0 {
		t.Errorf("the oldest are still there: %d", len(list))
	}
}

func TestSearchGivesWhatBeginsSoFirst(t *testing.T) {
	x := filled(event(1, queue.EventEnded, "lib32-zlib", nil), event(2, queue.EventEnded, "zlib-ng", nil), event(3, queue.EventEnded, "zlib", nil), event(4, queue.EventEnded, "gcc", nil))
	if got := x.Search("zlib", 10); !slices.Equal(got, []string{"zlib", "zlib-ng", "lib32-zlib"}) {
		t.Errorf("%v", got)
	}
	if got := x.Search("zlib", 1); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

func TestFeedGoesOnAfterAnEventAndTellsOfGaps(t *testing.T) {
	x := filled(event(10, queue.EventQueued, "a", nil), event(11, queue.EventQueued, "b", nil))
	tests := []struct {
		after string
		first string
		gap   bool
	}{{"10-0", "11-0", false}, {"11-0", "", false}, {"9-0", "10-0", true}, {"10-5", "11-0", false}, {"", "10-0", false}, {"$", "", false}}
	for _, tt := range tests {
		events, last, gap, more := x.Feed(tt.after)
		first := ""
		if len(events) > 0 {
			first = events[0].ID
		}
		if first != tt.first || gap != tt.gap || more == nil || last != "11-0" {
			t.Errorf("after %q: first %q, last %q, gap %v", tt.after, first, last, gap)
		}
	}
	_, _, _, more := x.Feed("11-0")
	x.add(event(12, queue.EventQueued, "c", nil))
	<-more
}

func TestReaderGoesOnWhereItWasAfterAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var after []string
	x := New(func(_ context.Context, last string) iter.Seq2[queue.Event, error] {
		after = append(after, last)
		return func(yield func(queue.Event, error) bool) {
			if len(after) == 1 {
				if yield(event(1, queue.EventQueued, "a", nil), nil) {
					yield(queue.Event{}, errors.New("redis is away"))
				}
				return
			}
			yield(queue.Event{ID: "5-0", Kind: queue.EventGap}, nil)
			cancel()
		}
	})
	if err := x.Run(ctx); err != nil || !slices.Equal(after, []string{"", "1-0"}) || x.Err() != nil {
		t.Errorf("%v, began after %v, %v", err, after, x.Err())
	}
}

func TestHistoryOfARealQueue(t *testing.T) {
	q := queue.New(testenv.Redis(t).Client())
	if _, err := q.Enqueue(t.Context(), queue.Batch{Jobs: []queue.Job{{Pkgbase: "zlib", TargetRepo: "r", SourceRepo: "s", Arch: "x86_64", Class: "1", Pkgnames: []string{"zlib"}}}}); err != nil {
		t.Fatal(err)
	}
	l, err := q.Claim(t.Context(), queue.Builder{Name: "b1", Class: "1"}, time.Minute)
	if err == nil {
		err = q.Finish(t.Context(), l, queue.Result{Status: queue.Failed, Duration: 90 * time.Second, Failure: &queue.Failure{Class: "compile", Lines: []string{"error"}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	x := New(q.Events)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	for len(x.Package("zlib")) == 0 {
		if _, _, _, more := x.Feed(""); len(x.Package("zlib")) == 0 {
			<-more
		}
	}
	b := x.Package("zlib")[0]
	if b.Builder != "b1" || b.Duration != 90*time.Second || b.Class() != "compile" || b.Started.IsZero() {
		t.Errorf("%+v", b)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func BenchmarkFullIndex(b *testing.B) {
	for b.Loop() {
		x := New(nil)
		for i := range maxBuilds {
			x.add(event(i+1, queue.EventEnded, fmt.Sprintf("p%d", i%2500), nil))
		}
	}
}
