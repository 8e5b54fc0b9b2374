package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"
)

// someID names a job that is alive, or one that never was.
func (x *machine) someID(t *rapid.T) string {
	return rapid.SampledFrom([]string{"r1", "r2"}).Draw(t, "repo") + "/x86_64/" + rapid.SampledFrom(bases).Draw(t, "base")
}

func (x *machine) prioritise(t *rapid.T) {
	id, priority := x.someID(t), rapid.IntRange(-2, 2).Draw(t, "priority")
	err := x.pipeline.Prioritise(ctx(t), id, priority)
	if j := x.m.alive[id]; j != nil && j.state == "waiting" {
		check(t, err)
		j.job.Priority = priority
	} else if !errors.Is(err, ErrNotFound) {
		t.Fatalf("prioritise what does not wait: %v", err)
	}
}

func (x *machine) release(t *rapid.T) {
	id := x.someID(t)
	err := x.pipeline.Release(ctx(t), id)
	if j := x.m.alive[id]; j != nil && j.state == "waiting" {
		check(t, err)
		j.failedDeps = nil
	} else if !errors.Is(err, ErrNotFound) {
		t.Fatalf("release what does not wait: %v", err)
	}
}

func (x *machine) drain(t *rapid.T) {
	name := rapid.SampledFrom(modelBuilders).Draw(t, "drained").Name
	x.m.away[name] = !x.m.away[name]
	check(t, x.q.Drain(ctx(t), name, x.m.away[name]))
	i := slices.IndexFunc(x.snapshot(t).Builders, func(b BuilderState) bool { return b.Builder.Name == name && b.Drained })
	if (i >= 0) != x.m.away[name] {
		t.Fatalf("builder %s is drained: %v", name, i >= 0)
	}
}

// timePasses brings the time that one of the jobs waits for; Redis' own clock cannot be set, so what is stored is.
func (x *machine) timePasses(t *rapid.T) {
	later := x.q.rdb.ZRangeArgs(ctx(t), redis.ZRangeArgs{Key: x.q.keys.key("later"), ByScore: true, Start: "(1000000000000", Stop: "+inf"}).Val()
	if len(later) == 0 {
		return
	}
	seq := rapid.SampledFrom(later).Draw(t, "whose time comes")
	x.comes(t, seq)
}

func (x *machine) comes(t *rapid.T, seq string) {
	id := x.q.rdb.HGet(ctx(t), x.q.keys.key("j:"+seq), "id").Val()
	check(t, x.q.rdb.HSet(ctx(t), x.q.keys.key("j:"+seq), "nb", 1).Err())
	check(t, x.q.rdb.ZIncrBy(ctx(t), x.q.keys.key("later"), -farOff, seq).Err())
	if x.m.alive[id] == nil || !x.m.alive[id].later {
		t.Fatalf("%s waits for its time", id)
	}
	x.m.alive[id].later = false
}

func (x *machine) noMoreWaitingForTimes(t *rapid.T) {
	for _, seq := range x.q.rdb.ZRangeArgs(ctx(t), redis.ZRangeArgs{Key: x.q.keys.key("later"), ByScore: true, Start: "(1000000000000", Stop: "+inf"}).Val() {
		x.comes(t, seq)
	}
	for _, seq := range x.q.rdb.HVals(ctx(t), x.q.keys.key("ids")).Val() {
		check(t, x.q.rdb.HDel(ctx(t), x.q.keys.key("j:"+seq), "nb").Err())
	}
}

// clockJumps makes Redis' clock seem to have gone back: what it gave before is an hour ahead of it.
func (x *machine) clockJumps(t *rapid.T) {
	now, err := x.q.rdb.Time(ctx(t)).Result()
	check(t, err)
	ahead := now.Add(3600e9)
	base := rapid.SampledFrom(bases).Draw(t, "stamped ahead")
	check(t, x.q.rdb.HSet(ctx(t), x.q.keys.key("stamps"), base, ahead.UnixMilli()).Err())
	if ahead.UnixMicro() > x.tokens {
		x.tokens = ahead.UnixMicro()
		check(t, x.q.rdb.HSet(ctx(t), x.q.keys.key("count"), "token", x.tokens).Err())
	}
}

// retryEnded has a job built again that ended: each once, and never while one of its identity is alive.
func (x *machine) retryEnded(t *rapid.T) {
	id := x.someID(t)
	ts := x.q.rdb.HGet(ctx(t), x.q.keys.key("ends"), id).Val()
	wanted := x.m.alive[id] == nil && ts != "" && !x.replaced(t, id, ts) && !x.retried[id+":"+ts]
	e, err := x.pipeline.RetryEnded(ctx(t), id)
	if err != nil && !errors.Is(err, ErrNotFound) || wanted != (err == nil && x.isAlive(t, id) && x.m.alive[id] == nil) {
		t.Fatalf("retry of %s, wanted %v: %+v, %v", id, wanted, e, err)
	}
	if !wanted {
		return
	}
	x.retried[id+":"+ts] = true
	for _, w := range x.snapshot(t).Waiting {
		if w.Job.ID() == id {
			x.m.add(w.Job, 1)
		}
	}
}

func (x *machine) isAlive(t *rapid.T, id string) bool {
	return x.q.rdb.HExists(ctx(t), x.q.keys.key("ids"), id).Val()
}

func (x *machine) replaced(t *rapid.T, id, ts string) bool {
	_, message, err := x.pipeline.WaitTask(ctx(t), id+":"+ts)
	check(t, err)
	return strings.HasPrefix(message, "replaced")
}

// invariants are what must hold whatever happened, read from the keys themselves.
func (x *machine) invariants(t *rapid.T, s *Snapshot) {
	k := x.q.keys
	ids := x.q.rdb.HGetAll(ctx(t), k.key("ids")).Val()
	if n := len(s.Waiting) + len(s.Running); n > len(ids) || len(ids) != len(x.m.alive) {
		t.Fatalf("%d jobs wait or run, %d are alive, the model has %d", n, len(ids), len(x.m.alive))
	}
	dead := int(x.q.rdb.SCard(ctx(t), k.key("dead")).Val())
	if n := int(x.q.rdb.HLen(ctx(t), k.key("bodies")).Val()); n != len(ids)+dead {
		t.Fatalf("%d bodies for %d jobs and %d dead", n, len(ids), dead)
	}
	leased := map[string]bool{}
	for _, seq := range x.q.rdb.ZRange(ctx(t), k.key("leases"), 0, -1).Val() {
		leased[seq] = true
	}
	where := map[string]int{}
	for _, bucket := range x.q.rdb.SMembers(ctx(t), k.key("buckets")).Val() {
		for _, m := range x.q.rdb.ZRange(ctx(t), k.key("ready:"+bucket), 0, -1).Val() {
			where[strings.TrimLeft(m, "0")]++
		}
	}
	for _, seq := range x.q.rdb.ZRange(ctx(t), k.key("later"), 0, -1).Val() {
		where[seq]++
	}
	for id, seq := range ids {
		f := x.q.rdb.HGetAll(ctx(t), k.key("j:"+seq)).Val()
		up := 0
		if f["state"] == "ready" || f["state"] == "offered" {
			up = 1
		}
		if f["id"] != id || leased[seq] != (f["state"] == "running") || where[seq] != up {
			t.Fatalf("%s is %v; has a lease: %v; can be claimed at %d places", id, f, leased[seq], where[seq])
		}
		delete(leased, seq)
		delete(where, seq)
	}
	if len(leased)+len(where) > 0 {
		t.Fatalf("leases %v and offers %v of jobs that are not alive", leased, where)
	}
}

// compare holds the queue against the model.
func (x *machine) compare(t *rapid.T) {
	s := x.snapshot(t)
	got, want := map[string]string{}, map[string]string{}
	for _, w := range s.Waiting {
		got[w.Job.TaskID()] = fmt.Sprintf("waiting ready=%v cycle=%v lost=%d bad=%v blocked by %v", w.Ready, w.InCycle, w.LostLeases, strings.Join(w.FailedDeps, " "), w.BlockedBy)
	}
	for _, r := range s.Running {
		got[r.Job.TaskID()] = "running " + strconv.FormatInt(r.Token, 10)
	}
	lines := map[string][]string{}
	for _, p := range s.Publishing {
		repo := "r1"
		if p.Job != nil {
			got[p.ID] = "publishing"
			repo = p.Job.TargetRepo
		}
		lines[repo] = append(lines[repo], p.ID)
	}
	x.invariants(t, s)
	ready, edges := x.m.ready(), x.m.edges()
	for _, j := range x.m.alive {
		switch j.state {
		case "waiting":
			cycle, isReady := ready[j]
			isReady = isReady && !j.later
			var by []string
			for _, k := range edges[j] {
				by = append(by, k.job.ID())
			}
			slices.Sort(by)
			want[j.task] = fmt.Sprintf("waiting ready=%v cycle=%v lost=%d bad=%v blocked by %v", isReady, cycle, j.lost, strings.Join(j.failedDeps, " "), by)
		case "running":
			want[j.task] = "running " + j.builder
		default:
			want[j.task] = "publishing"
		}
	}
	if !maps.Equal(got, want) {
		t.Fatalf("the queue has\n%s\nwant\n%s", listed(got), listed(want))
	}
	for _, repo := range []string{"r1", "r2"} {
		if !slices.Equal(lines[repo], x.m.lines[repo]) {
			t.Fatalf("line of %s is %v, want %v", repo, lines[repo], x.m.lines[repo])
		}
	}
	if len(ready) == 0 && len(want) > 0 && x.m.mode != "hold" && !slices.ContainsFunc(x.m.sorted(), func(j *modelJob) bool { return j.state != "waiting" }) {
		t.Fatal("the model itself is stuck")
	}
}

func listed(m map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "  %s %s\n", k, m[k])
	}
	return b.String()
}

func ctx(*rapid.T) context.Context { return context.Background() }

func check(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// adjust is one of the things that happen now and then.
func (x *machine) adjust(t *rapid.T) {
	acts := map[string]func(*rapid.T){"prioritise": x.prioritise, "release": x.release, "drain": x.drain, "time passes": x.timePasses, "time passes 2": x.timePasses,
		"clock jumps": x.clockJumps, "retry ended": x.retryEnded}
	acts[rapid.SampledFrom(slices.Sorted(maps.Keys(acts))).Draw(t, "adjust")](t)
}
