package queue

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// drainOrder builds and publishes everything with one builder and gives the order of claims.
func drainOrder(t testing.TB, q *Queue) string {
	t.Helper()
	var order []string
	for {
		l, base := claimed(t, q)
		if l == nil {
			return strings.Join(order, " ")
		}
		order = append(order, base)
		publish(t, q, l)
	}
}

func TestJobsAreOfferedInTheirOrder(t *testing.T) {
	provider := func(base, provides string) Job {
		j := job(base)
		j.Provides = []string{provides}
		return j
	}
	split := job("split: part1")
	split.Pkgnames = []string{"part1", "part2"}
	cases := map[string]struct {
		batches [][]Job
		want    string
	}{
		"oldest first":                           {[][]Job{jobs("c"), jobs("a"), jobs("b")}, "c a b"},
		"within a batch as listed":               {[][]Job{jobs("c", "a", "b")}, "c a b"},
		"dependencies first, whatever the batch": {[][]Job{jobs("app: lib"), jobs("lib")}, "lib app"},
		"through a provided name":                {[][]Job{{job("app: libx"), provider("x-git", "libx")}}, "x-git app"},
		"through a part of a split package":      {[][]Job{{job("app: part2"), split}}, "split app"},
		"not the pkgbase alone":                  {[][]Job{{job("app: split"), split}}, "app split"},
		"own names block nobody":                 {[][]Job{{split}}, "split"},
		"longest chain first":                    {[][]Job{jobs("short", "a", "b: a", "c: b")}, "a b short c"},
		"cycle of two, by name":                  {[][]Job{jobs("b: a", "a: b")}, "a b"},
		"cycle of two in two batches":            {[][]Job{jobs("b: a"), jobs("a: b")}, "a b"},
		"cycle, fewest unmet first":              {[][]Job{jobs("a: b c", "b: a", "c: a")}, "b a c"},
		"cycle waits for what is outside":        {[][]Job{jobs("a: b", "b: a out", "out")}, "out a b"},
		"behind a cycle":                         {[][]Job{jobs("z: a", "a: b", "b: a")}, "a b z"},
		"a cycle behind a cycle":                 {[][]Job{jobs("a: b", "b: a c", "c: d", "d: c")}, "c d a b"},
		"a ring":                                 {[][]Job{jobs("a: b", "b: c", "c: d", "d: a")}, "a d c b"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			q := newQueue(t)
			for _, b := range c.batches {
				enqueue(t, q, b...)
			}
			if got := drainOrder(t, q); got != c.want {
				t.Fatalf("order is %q, want %q", got, c.want)
			}
			if left := leftovers(t, q); len(left) > 0 {
				t.Fatalf("an empty queue has %v", left)
			}
		})
	}
}

func TestArchitecturesDoNotHideEachOther(t *testing.T) {
	with := func(base, arch string) Job {
		j := job(base)
		j.Arch = arch
		return j
	}
	cases := map[string]struct {
		lib, app string
		blocked  bool
	}{
		"same":          {"x86_64", "x86_64", true},
		"other":         {"aarch64", "x86_64", false},
		"any offers":    {"any", "x86_64", true},
		"any depends":   {"aarch64", "any", true},
		"any and any":   {"any", "any", true},
		"other way any": {"any", "aarch64", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for _, libFirst := range []bool{true, false} {
				q := newQueue(t)
				batch := []Job{with("lib", c.lib), with("app: lib", c.app)}
				if !libFirst {
					slices.Reverse(batch)
				}
				enqueue(t, q, batch[0])
				enqueue(t, q, batch[1])
				w := waitingJob(t, q, "app")
				if w.Ready == c.blocked || (len(w.BlockedBy) == 1) != c.blocked {
					t.Fatalf("lib first %v: app waits as %+v, want blocked %v", libFirst, w, c.blocked)
				}
				for l := claim(t, q); l != nil; l = claim(t, q) {
					publish(t, q, l)
				}
				if left := leftovers(t, q); len(left) > 0 {
					t.Fatalf("an empty queue has %v", left)
				}
			}
		})
	}
}

func TestDependenciesCrossTargetRepos(t *testing.T) {
	q := newQueue(t)
	lib := job("lib")
	lib.TargetRepo = "other"
	enqueue(t, q, job("app: lib"), lib)
	if w := waitingJob(t, q, "app"); w.Ready || !slices.Equal(w.BlockedBy, []string{"other/x86_64/lib"}) {
		t.Fatalf("app waits as %+v", w)
	}
}

func TestDependantsAreBlockedUntilPublishingEnds(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, jobs("lib", "app: lib")...)
	l := mustClaim(t, q, "lib")
	mustClaimNothing(t, q)
	deliver(t, q, l)
	mustClaimNothing(t, q)
	d := take(t, q)
	mustClaimNothing(t, q)
	must(t, q.FinishDelivery(t.Context(), d, Success, ""))
	mustClaim(t, q, "app")
}

func mustClaimNothing(t testing.TB, q *Queue) {
	t.Helper()
	if l, base := claimed(t, q); l != nil {
		t.Fatalf("claim gives %s, want nothing", base)
	}
}

func TestANewDependencyBlocksAJobThatWasReady(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, jobs("app: lib")...)
	if !waitingJob(t, q, "app").Ready {
		t.Fatal("app is blocked by nothing")
	}
	enqueue(t, q, jobs("lib")...)
	l := mustClaim(t, q, "lib")
	mustClaimNothing(t, q)
	publish(t, q, l)
	mustClaim(t, q, "app")
}

func TestAReplacementWithoutTheNameUnblocks(t *testing.T) {
	q := newQueue(t)
	lib := job("lib")
	lib.Provides = []string{"so"}
	enqueue(t, q, lib, job("app: so"), job("b: a"), job("a: b"))
	enqueue(t, q, job("lib"))
	if w := waitingJob(t, q, "app"); !w.Ready || w.BlockedBy != nil {
		t.Fatalf("app waits as %+v", w)
	}
	enqueue(t, q, job("a")) // no cycle any more
	if w := waitingJob(t, q, "b"); w.Ready {
		t.Fatalf("b waits as %+v", w)
	}
	if w := waitingJob(t, q, "a"); !w.Ready || w.InCycle {
		t.Fatalf("a waits as %+v", w)
	}
}

func TestACycleIsOfferedAnewWhenItsTurnIsCanceled(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, jobs("a: b", "b: c", "c: a b")...)
	if w := waitingJob(t, q, "a"); !w.InCycle || !w.Ready {
		t.Fatalf("a waits as %+v", w)
	}
	must(t, q.Cancel(t.Context(), id("a")))
	if w := waitingJob(t, q, "b"); !w.InCycle {
		t.Fatalf("b waits as %+v", w)
	}
	must(t, q.Cancel(t.Context(), id("c"))) // the rest is no cycle
	if w := waitingJob(t, q, "b"); !w.Ready || w.InCycle {
		t.Fatalf("b waits as %+v", w)
	}
}

func TestAnOfferIsTakenBackWhenTheCycleGetsADependency(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, jobs("a: b", "b: a out")...)
	enqueue(t, q, jobs("out")...)
	if got := drainOrder(t, q); got != "out a b" {
		t.Fatalf("order is %q", got)
	}
}

func TestALostLeaseInACycleIsOfferedAgain(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, jobs("a: b", "b: a")...)
	must(t, q.Requeue(t.Context(), mustClaim(t, q, "a")))
	mustClaim(t, q, "a")
	mustClaimNothing(t, q)
	expire(t, q)
	_, err := q.Reap(t.Context())
	must(t, err)
	if got := drainOrder(t, q); got != "a b" {
		t.Fatalf("order is %q", got)
	}
}

func TestAFailedDependencyIsRememberedAndDoesNotBlock(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, jobs("lib1", "lib2", "lib3", "app: lib1 lib2 lib3")...)
	fail(t, q, mustClaim(t, q, "lib1"))
	publish(t, q, mustClaim(t, q, "lib2"))
	if w := waitingJob(t, q, "app"); w.Ready || !slices.Equal(w.FailedDeps, []string{id("lib1")}) {
		t.Fatalf("app waits as %+v", w)
	}
	must(t, q.Finish(t.Context(), mustClaim(t, q, "lib3"), Result{Status: TimedOut}))
	if w := waitingJob(t, q, "app"); !w.Ready || !slices.Equal(w.FailedDeps, []string{id("lib1"), id("lib3")}) {
		t.Fatalf("app waits as %+v", w)
	}
}

func TestAFailureIsForgottenWhenTheDependencyIsBuiltAfterAll(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, jobs("lib", "other", "app: lib other")...)
	fail(t, q, mustClaim(t, q, "lib"))
	enqueue(t, q, job("lib"))
	publish(t, q, mustClaim(t, q, "other"))
	publish(t, q, mustClaim(t, q, "lib"))
	if w := waitingJob(t, q, "app"); !w.Ready || len(w.FailedDeps) > 0 {
		t.Fatalf("app waits as %+v", w)
	}
}

func TestClasses(t *testing.T) {
	builders := []Builder{
		{Name: "one", Class: "1"}, {Name: "two", Class: "2"}, {Name: "ten", Class: "10"}, {Name: "def"},
		{Name: "gpu", Class: "special"}, {Name: "self", Class: "self"}, {Name: "007", Class: "x"},
	}
	cases := map[string]string{ // class of the job → builders that take it
		"":     "one two ten def",
		"0":    "one two ten def",
		"1":    "one two ten def",
		"01":   "one two ten def",
		"2":    "two ten",
		"9":    "ten",
		"10":   "ten",
		"11":   "",
		"two":  "two", // a name: goes to it alone, numeric or not
		"gpu":  "gpu",
		"self": "self",
		"007":  "ten", // 7, although a builder is called so
		// The class of a builder that is no number names nothing.
		"special": "",
		"x":       "",
	}
	for class, want := range cases {
		t.Run("class "+class, func(t *testing.T) {
			q := newQueue(t)
			var got []string
			for _, b := range builders {
				j := job("foo")
				j.Class = class
				enqueue(t, q, j)
				l, err := q.Claim(t.Context(), b, time.Minute)
				must(t, err)
				if l != nil {
					got = append(got, b.Name)
				}
				if w := snapshot(t, q).Waiting; len(w) == 1 && slices.Contains(strings.Fields(want), b.Name) {
					t.Errorf("%s does not take it", b.Name)
				}
			}
			if strings.Join(got, " ") != want {
				t.Fatalf("taken by %v, want %q", got, want)
			}
			enqueue(t, q, func() Job { j := job("foo"); j.Class = class; return j }())
			if w := waitingJob(t, q, "foo"); w.NoBuilder != (want == "") {
				t.Fatalf("NoBuilder is %v", w.NoBuilder)
			}
		})
	}
}

func TestABuilderTakesOnlyItsArchitectures(t *testing.T) {
	q := newQueue(t)
	for _, a := range []string{"x86_64", "aarch64", "any"} {
		j := job("for-" + a)
		j.Arch = a
		enqueue(t, q, j)
	}
	b := Builder{Name: "arm", Class: "1", Arches: []string{"aarch64"}}
	for _, want := range []string{"for-aarch64", "for-any", ""} {
		l, err := q.Claim(t.Context(), b, time.Minute)
		must(t, err)
		if got := baseOf(l); got != want {
			t.Fatalf("claim gives %q, want %q", got, want)
		}
	}
}

func baseOf(l *Lease) string {
	if l == nil {
		return ""
	}
	return l.Job.Pkgbase
}

func TestWhatCannotBeABuilderIsRefused(t *testing.T) {
	q := newQueue(t)
	for _, b := range []Builder{{}, {Name: "a\nb"}, {Name: "x", Class: "a b"}, {Name: "x", Arches: []string{"a b"}}} {
		if _, err := q.Claim(t.Context(), b, time.Minute); err == nil {
			t.Errorf("accepted %+v", b)
		}
	}
}

func TestADependencyWithoutABuilderStillBlocks(t *testing.T) {
	q := newQueue(t)
	lib := job("lib")
	lib.Class = "absent"
	enqueue(t, q, lib, job("app: lib"))
	mustClaimNothing(t, q)
	if !waitingJob(t, q, "lib").NoBuilder {
		t.Fatal("no warning about the missing builder")
	}
}

func TestTheCriticalPathUsesRecordedDurations(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, jobs("slow", "quick")...)
	l := mustClaim(t, q, "slow")
	must(t, q.Deliver(t.Context(), l, Result{Duration: 90 * time.Minute}))
	must(t, q.FinishDelivery(t.Context(), take(t, q), Success, ""))
	publish(t, q, mustClaim(t, q, "quick"))
	enqueue(t, q, jobs("a", "b: a", "c: b", "quick", "slow", "z: slow")...)
	if got := waitingJob(t, q, "slow").CriticalPath; got != 90*time.Minute+time.Second {
		t.Fatalf("path of slow is %v", got)
	}
	if got := drainOrder(t, q); got != "slow quick a b c z" {
		t.Fatalf("order is %q", got)
	}
}

func TestAFailureRecordsNoDuration(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, job("foo"))
	must(t, q.Deliver(t.Context(), claim(t, q), Result{Duration: time.Hour}))
	must(t, q.FinishDelivery(t.Context(), take(t, q), Failed, ""))
	enqueue(t, q, job("foo"))
	if got := waitingJob(t, q, "foo").CriticalPath; got != time.Second {
		t.Fatalf("path is %v", got)
	}
}

func TestCriticalPaths(t *testing.T) {
	cases := map[string]struct {
		jobs []Job
		want []int64
	}{
		"alone":            {jobs("a", "b"), []int64{1, 1}},
		"chain":            {jobs("a", "b: a", "c: b"), []int64{3, 2, 1}},
		"chain backwards":  {jobs("c: b", "b: a", "a"), []int64{1, 2, 3}},
		"diamond":          {jobs("a", "b: a", "c: a", "d: b c", "e: d"), []int64{4, 3, 3, 2, 1}},
		"cycle":            {jobs("a: b", "b: a", "c: b"), []int64{3, 3, 1}},
		"before a cycle":   {jobs("x", "a: b x", "b: a", "c: b"), []int64{4, 3, 3, 1}},
		"on itself":        {jobs("a: a"), []int64{1}},
		"two longest ways": {jobs("a", "b: a", "c: a b", "x", "y: x c"), []int64{4, 3, 2, 2, 1}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var list []*Job
			for i := range c.jobs {
				list = append(list, &c.jobs[i])
			}
			if got := criticalPaths(list, func(*Job) int64 { return 1 }); !slices.Equal(got, c.want) {
				t.Fatalf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestManyDependenciesFitInOneScript(t *testing.T) {
	q := newQueue(t)
	var deps, provides []string
	for i := range 5000 {
		deps = append(deps, fmt.Sprintf("dep%d", i))
		provides = append(provides, fmt.Sprintf("so%d", i))
	}
	big := job("big")
	big.Dependencies, big.Provides = deps, provides
	enqueue(t, q, big, job("dep4999"), job("dep17"), job("after: so4321"))
	if w := waitingJob(t, q, "big"); len(w.BlockedBy) != 2 || w.Ready {
		t.Fatalf("big is blocked by %v", w.BlockedBy)
	}
	if got := drainOrder(t, q); got != "dep4999 dep17 big after" {
		t.Fatalf("order is %q", got)
	}
}
