package queue

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"
)

var namespaces atomic.Int64

// fresh is an empty queue on a server that other runs use too.
func fresh(client *redis.Client) *Queue {
	return New(client, WithNamespace("n"+strconv.FormatInt(namespaces.Add(1), 10)))
}

var bases = []string{"a", "b", "c", "d", "e", "f", "g"}

// someJobs draws a batch: few names, so that dependencies, cycles and replacements are frequent.
func someJobs(t *rapid.T, most int) []Job {
	names := rapid.SampledFrom(append([]string{"so1", "so2"}, bases...))
	var batch []Job
	for range rapid.IntRange(1, most).Draw(t, "jobs") {
		base := rapid.SampledFrom(bases).Draw(t, "base")
		j := Job{Pkgbase: base, Pkgnames: []string{base}, SourceRepo: "packages", Commit: "c:1",
			TargetRepo:   rapid.SampledFrom([]string{"r1", "r1", "r2"}).Draw(t, "repo"),
			Arch:         rapid.SampledFrom([]string{"x86_64", "x86_64", "x86_64", "aarch64", "any"}).Draw(t, "arch"),
			Class:        rapid.SampledFrom([]string{"1", "1", "2", "h1"}).Draw(t, "class"),
			Dependencies: rapid.SliceOfN(names, 0, 3).Draw(t, "deps"),
			Priority:     rapid.SampledFrom([]int{0, 0, 0, 1, -1, 7}).Draw(t, "priority"),
			NotBefore:    rapid.SampledFrom([]int64{0, 0, 0, 0, farOff}).Draw(t, "not before"),
		}
		if rapid.IntRange(0, 4).Draw(t, "provides") == 0 {
			j.Provides = []string{names.Draw(t, "provided")}
		}
		if !slices.ContainsFunc(batch, func(k Job) bool { return k.ID() == j.ID() }) {
			batch = append(batch, j)
		}
	}
	return batch
}

// farOff is a time that comes only when the machine says so.
const farOff = 1 << 45

var modelBuilders = []Builder{
	{Name: "h1", Class: "1"}, {Name: "h2", Class: "2"}, {Name: "h3", Class: "9", Arches: []string{"aarch64"}}, {Name: "h4", Class: "9", Arches: []string{"x86_64"}},
}

// machine drives the queue and the model side by side.
type machine struct {
	q                      *Queue // of the database role
	pipeline, builder, web *Queue
	m                      *model
	leases                 []*Lease    // all that were ever given
	turns                  []*Delivery // all that were ever given
	tokens                 int64
	retried                map[string]bool // tasks whose job was enqueued again
	n                      int
}

func newMachine(q *Queue) *machine {
	return &machine{q: q, pipeline: q, builder: q, web: q, m: newModel(), retried: map[string]bool{}}
}

func (x *machine) now(l *Lease) *modelJob {
	j := x.m.alive[l.Job.ID()]
	if j == nil || j.task != l.Job.TaskID() || j.builder != strconv.FormatInt(l.Token, 10) {
		return nil
	}
	return j
}

func (x *machine) enqueue(t *rapid.T) {
	batch := someJobs(t, 5)
	x.n++
	b := Batch{ID: "b" + strconv.Itoa(x.n), Jobs: batch}
	if rapid.IntRange(0, 5).Draw(t, "cleanup") == 0 {
		b.Cleanup = &Cleanup{TargetRepo: "r1", Arch: "x86_64"}
	}
	e, err := x.pipeline.Enqueue(ctx(t), b)
	check(t, err)
	var replaced, canceled []string
	for _, j := range batch {
		if old := x.m.alive[j.ID()]; old != nil && old.state == "waiting" {
			replaced = append(replaced, j.ID())
		} else if old != nil {
			canceled = append(canceled, j.ID())
		}
	}
	if !slices.Equal(e.Replaced, replaced) || !slices.Equal(e.CanceledRuns, canceled) || len(e.Added) != len(batch) {
		t.Fatalf("enqueued %+v, want replaced %v, canceled %v", e, replaced, canceled)
	}
	if b.Cleanup != nil {
		x.m.lines["r1"] = append(x.m.lines["r1"], e.CleanupID)
	}
	stamps := x.timestamps(t)
	var list []*Job
	for i := range batch {
		list = append(list, &batch[i])
	}
	paths := criticalPaths(list, func(*Job) int64 { return 1 })
	for i, j := range batch {
		j.Timestamp = stamps[j.ID()]
		x.m.add(j, paths[i])
	}
	again, err := x.pipeline.Enqueue(ctx(t), b)
	check(t, err)
	if !again.Duplicate {
		t.Fatal("a batch id was accepted twice")
	}
}

// timestamps gives those of the jobs that wait.
func (x *machine) timestamps(t *rapid.T) map[string]int64 {
	stamps := map[string]int64{}
	for _, w := range x.snapshot(t).Waiting {
		stamps[w.Job.ID()] = w.Job.Timestamp
	}
	return stamps
}

func (x *machine) claim(t *rapid.T) {
	b := rapid.SampledFrom(modelBuilders).Draw(t, "builder")
	l, err := x.builder.Claim(ctx(t), b, time.Hour)
	check(t, err)
	want := x.m.next(b)
	if (l == nil) != (want == nil) || l != nil && l.Job.TaskID() != want.task {
		t.Fatalf("%s gets %v, want %v", b.Name, l, want)
	}
	if l == nil {
		return
	}
	if l.Token <= x.tokens {
		t.Fatalf("token %d after %d", l.Token, x.tokens)
	}
	x.tokens = l.Token
	want.state, want.builder = "running", strconv.FormatInt(l.Token, 10)
	if l.Attempt != want.lost+1 || l.Retries != want.retries || l.Job.Priority != want.job.Priority {
		t.Fatalf("lease %+v after %d lost leases and %d retries, priority %d", l, want.lost, want.retries, want.job.Priority)
	}
	x.leases = append(x.leases, l)
}

// refused checks that what came of a message with an old token is a refusal.
func refused(t *rapid.T, err error) {
	if !errors.Is(err, ErrLeaseLost) && !errors.Is(err, ErrCanceled) {
		t.Fatalf("an old token: %v", err)
	}
}

func (x *machine) useLease(t *rapid.T) {
	if len(x.leases) == 0 {
		return
	}
	l := rapid.SampledFrom(x.leases).Draw(t, "lease")
	j := x.now(l)
	running := j != nil && j.state == "running"
	switch op := rapid.SampledFrom([]string{"renew", "deliver", "deliver", "finish", "finish", "requeue", "retry"}).Draw(t, "with lease"); op {
	case "renew":
		if err := x.builder.Renew(ctx(t), l, time.Hour); j == nil {
			refused(t, err)
		} else {
			check(t, err)
		}
	case "deliver":
		// Delivering again is no fault, even when it has been published since.
		err := x.builder.Deliver(ctx(t), l, Result{})
		if running {
			check(t, err)
			j.state = "publishing"
			x.m.lines[j.job.TargetRepo] = append(x.m.lines[j.job.TargetRepo], j.task)
		} else if j == nil && err != nil {
			refused(t, err)
		}
	case "finish":
		status := rapid.SampledFrom([]Status{AlreadyBuilt, Failed, TimedOut}).Draw(t, "status")
		err := x.builder.Finish(ctx(t), l, Result{Status: status})
		if running {
			check(t, err)
			x.m.end(j, status)
			check(t, x.builder.Finish(ctx(t), l, Result{Status: status}))
		} else if s, ok := x.m.ended[l.Job.TaskID()]; !ok || s != status || err != nil {
			refused(t, err)
		}
	case "retry":
		after := rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "after")
		err := x.builder.Retry(ctx(t), l, Result{Status: Failed, Failure: &Failure{Class: "download"}}, after)
		if running {
			check(t, err)
			j.state, j.builder, j.later, j.retries = "waiting", "", after > 0, j.retries+1
			check(t, x.builder.Retry(ctx(t), l, Result{Status: Failed, Failure: &Failure{Class: "download"}}, after))
		} else if err != nil {
			refused(t, err)
		}
	case "requeue":
		err := x.builder.Requeue(ctx(t), l)
		if running {
			check(t, err)
			j.state, j.builder = "waiting", ""
			check(t, x.builder.Requeue(ctx(t), l))
		} else if err != nil {
			refused(t, err)
		}
	}
}

func (x *machine) take(t *rapid.T) {
	d, err := x.q.TakeDelivery(ctx(t), "db", time.Hour)
	check(t, err)
	free := ""
	for _, repo := range slices.Sorted(maps.Keys(x.m.lines)) {
		if len(x.m.lines[repo]) > 0 && x.m.holds[repo] == "" {
			free = repo
		}
	}
	if (d == nil) != (free == "") {
		t.Fatalf("turn %+v, lines %v, holds %v", d, x.m.lines, x.m.holds)
	}
	if d == nil {
		return
	}
	if x.m.holds[d.TargetRepo] != "" || x.m.lines[d.TargetRepo][0] != d.ID {
		t.Fatalf("turn of %s, lines %v, holds %v", d.ID, x.m.lines, x.m.holds)
	}
	x.m.holds[d.TargetRepo] = strconv.FormatInt(d.HolderToken, 10)
	x.turns = append(x.turns, d)
}

func (x *machine) useTurn(t *rapid.T) {
	if len(x.turns) == 0 {
		return
	}
	d := rapid.SampledFrom(x.turns).Draw(t, "turn")
	mine := x.m.holds[d.TargetRepo] == strconv.FormatInt(d.HolderToken, 10)
	wanted := mine && slices.Contains(x.m.lines[d.TargetRepo], d.ID)
	expect := func(err error) {
		t.Helper()
		if wanted {
			check(t, err)
		} else {
			refused(t, err)
		}
	}
	switch rapid.SampledFrom([]string{"wanted", "renew", "expire", "finish", "finish"}).Draw(t, "with turn") {
	case "wanted":
		expect(x.q.StillWanted(ctx(t), d))
	case "renew":
		expect(x.q.RenewDelivery(ctx(t), d, time.Hour))
	case "expire":
		if mine && d.Attempt < 4 {
			check(t, x.q.rdb.HSet(ctx(t), x.q.keys.key("hold:"+d.TargetRepo), "expires", 1).Err())
			x.m.holds[d.TargetRepo] = ""
			// A late renewal brings the turn back, as long as nobody has taken over.
			if wanted && rapid.Bool().Draw(t, "late renewal") {
				check(t, x.q.RenewDelivery(ctx(t), d, time.Hour))
				x.m.holds[d.TargetRepo] = strconv.FormatInt(d.HolderToken, 10)
			} else {
				x.takeOver(t, d.TargetRepo)
			}
		}
	case "finish":
		status := rapid.SampledFrom([]Status{Success, Failed}).Draw(t, "status")
		err := x.q.FinishDelivery(ctx(t), d, status, "")
		if s, ok := x.m.ended[d.ID]; !mine && ok && s == status && err == nil {
			return // the same message again
		}
		expect(err)
		if mine {
			x.m.holds[d.TargetRepo] = ""
		}
		if wanted && d.Job != nil {
			x.m.end(x.m.alive[d.Job.ID()], status)
		} else if wanted {
			x.m.lines[d.TargetRepo] = slices.DeleteFunc(x.m.lines[d.TargetRepo], func(task string) bool { return task == d.ID })
			x.m.ended[d.ID] = status
		}
	}
}

// takeOver lets another holder have the line of a repo whose turn ran out.
func (x *machine) takeOver(t *rapid.T, repo string) {
	if len(x.m.lines[repo]) == 0 {
		check(t, x.q.rdb.Del(ctx(t), x.q.keys.key("hold:"+repo)).Err())
		return
	}
	for range 2 {
		x.take(t)
		if x.m.holds[repo] != "" {
			return
		}
	}
}

func (x *machine) cancel(t *rapid.T) {
	id := rapid.SampledFrom([]string{"r1", "r2"}).Draw(t, "repo") + "/x86_64/" + rapid.SampledFrom(bases).Draw(t, "base")
	err := x.pipeline.Cancel(ctx(t), id)
	if j := x.m.alive[id]; j != nil {
		check(t, err)
		x.m.end(j, Canceled)
	} else if !errors.Is(err, ErrNotFound) {
		t.Fatalf("cancel of nothing: %v", err)
	}
}

// reap lets one lease run out.
func (x *machine) reap(t *rapid.T) {
	running := x.q.rdb.ZRange(ctx(t), x.q.keys.key("leases"), 0, -1).Val()
	if len(running) == 0 {
		return
	}
	seq := rapid.SampledFrom(running).Draw(t, "dead lease")
	check(t, x.q.rdb.ZAdd(ctx(t), x.q.keys.key("leases"), redis.Z{Score: 1, Member: seq}).Err())
	r, err := x.q.Reap(ctx(t))
	check(t, err)
	if len(r) != 1 {
		t.Fatalf("reaped %+v", r)
	}
	j := x.m.alive[r[0].Job.ID()]
	j.lost++
	if r[0].Ended != (j.lost == 3) {
		t.Fatalf("after %d lost leases: %+v", j.lost, r[0])
	}
	if j.lost == 3 {
		x.m.end(j, SoftwareFailure)
	} else {
		j.state, j.builder = "waiting", ""
	}
}

func (x *machine) snapshot(t *rapid.T) *Snapshot {
	s, err := x.web.Snapshot(ctx(t))
	check(t, err)
	return s
}

// finishAll ends everything; what is left must be nothing.
func (x *machine) finishAll(t *rapid.T) {
	x.noMoreWaitingForTimes(t)
	check(t, x.q.Advertise(ctx(t), Advert{})) // frees what is held
	for name := range x.m.away {
		check(t, x.q.Drain(ctx(t), name, false))
	}
	for range 1000 {
		progress := false
		for _, b := range append(modelBuilders, Builder{Name: "all", Class: "99"}) {
			l, err := x.builder.Claim(ctx(t), b, time.Hour)
			check(t, err)
			if l != nil {
				check(t, x.builder.Deliver(ctx(t), l, Result{}))
				progress = true
			}
		}
		for _, repo := range []string{"r1", "r2"} {
			check(t, x.q.rdb.Del(ctx(t), x.q.keys.key("hold:"+repo)).Err())
		}
		for d, err := x.q.TakeDelivery(ctx(t), "last", time.Hour); d != nil || err != nil; d, err = x.q.TakeDelivery(ctx(t), "last", time.Hour) {
			check(t, err)
			check(t, x.q.FinishDelivery(ctx(t), d, Success, ""))
			progress = true
		}
		running := x.snapshot(t).Running
		for _, r := range running {
			check(t, x.pipeline.Cancel(ctx(t), r.Job.ID()))
			progress = true
		}
		if !progress {
			break
		}
	}
	_, err := x.q.Reap(ctx(t))
	check(t, err)
}
