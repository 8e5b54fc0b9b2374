package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// protocol1 is a program of the version before: its scripts, as they were, in testdata.
type protocol1 struct {
	t   *testing.T
	rdb *redis.Client
	n   int
}

func (p *protocol1) run(name string, args ...any) (any, error) {
	p.t.Helper()
	text := "local K = {"
	keys := []string{"meta", "ids", "bodies", "results", "stamps", "ends", "durations", "leases", "offered", "buckets", "arches", "lines", "cleanups", "builders", "seen", "events"}
	for i, name := range append(keys, "prefix") {
		text += fmt.Sprintf("%s=KEYS[%d],", name, i+1)
	}
	text += "}\n"
	for _, file := range []string{"lib", name} {
		part, err := os.ReadFile("testdata/protocol1/" + file + ".lua")
		must(p.t, err)
		text += string(part)
	}
	for i := range keys {
		keys[i] = "{caur}:" + keys[i]
	}
	return p.rdb.Eval(p.t.Context(), text, append(keys, "{caur}:"), append([]any{1}, args...)...).Result()
}

func (p *protocol1) enqueue(batch string, list ...Job) error {
	text, paths := "", ""
	for _, j := range list {
		line, err := json.Marshal(j)
		must(p.t, err)
		text, paths = text+string(line)+"\n", paths+"1 "
	}
	_, err := p.run("enqueue", batch, paths, "", "", "", "here", text)
	return err
}

// claim gives a lease of the older version, nil for nothing.
func (p *protocol1) claim() (*Lease, error) {
	p.n++
	reply, err := p.run("claim", fmt.Sprintf("n%d", p.n), `{"class":"2","protocol":1}`, "old", "2", "", 60000)
	l := list(reply)
	if err != nil || num(at(l, 0)) == 0 {
		return nil, err
	}
	job, err := readJob(at(l, 1), at(l, 2))
	return &Lease{Job: job, Token: num(at(l, 3)), Builder: "old"}, err
}

func (p *protocol1) deliver(l *Lease) error {
	_, err := p.run("deliver", append(l.proof(), `{"status":0,"builder":"old"}`, 10)...)
	return err
}

func (p *protocol1) mustClaim(base string) *Lease {
	p.t.Helper()
	l, err := p.claim()
	must(p.t, err)
	if baseOf(l) != base {
		p.t.Fatalf("the old builder gets %q, want %q", baseOf(l), base)
	}
	return l
}

func upgrade(t *testing.T, q *Queue, force bool) Upgrading {
	t.Helper()
	u, err := q.Upgrade(t.Context(), force)
	must(t, err)
	return u
}

func TestARollingUpgradeLosesNothing(t *testing.T) {
	q := newQueue(t)
	old := &protocol1{t: t, rdb: q.rdb.(*redis.Client)}
	must(t, old.enqueue("b1", jobs("delivers", "fails", "a: b", "b: a", "waits", "app: fails", "late: delivers")...))
	first, second := old.mustClaim("delivers"), old.mustClaim("fails")
	must(t, q.rdb.HSet(t.Context(), "{caur}:durations", arch+"/waits", 700).Err())

	// The new programs come; the builder of the old version still has two jobs.
	_, err := q.Claim(t.Context(), numericBuilder, time.Minute)
	wantErr(t, err, ErrProtocol)
	if u := upgrade(t, q, false); u.Done || u.Building != 2 || u.From != 1 {
		t.Fatalf("upgrade %+v", u)
	}
	if l, err := old.claim(); l != nil || err != nil {
		t.Fatalf("the old builder gets a further job: %v, %v", l, err)
	}
	_, err = old.run("renew", append(first.proof(), 60000)...)
	must(t, err)
	must(t, old.deliver(first))
	must(t, old.enqueue("b2", job("more"))) // an old pipeline still comes by
	if u := upgrade(t, q, false); u.Building != 1 {
		t.Fatalf("upgrade %+v", u)
	}
	if l, _ := old.claim(); l != nil {
		t.Fatalf("the old builder gets %s", l.Job.ID())
	}
	_, err = old.run("finish", append(second.proof(), 3, "it broke")...)
	must(t, err)
	if u := upgrade(t, q, false); !u.Done || u.From != Protocol {
		t.Fatalf("upgrade %+v", u)
	}
	if u := upgrade(t, q, false); !u.Done {
		t.Fatalf("upgrade again: %+v", u)
	}
	for _, call := range []func() error{
		func() error { _, err := old.claim(); return err },
		func() error { return old.enqueue("b3", job("x")) },
		func() error { return old.deliver(first) },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), "CAURPROTO 2") {
			t.Errorf("a program of the old version is answered %v", err)
		}
	}
	d := take(t, q) // what the old builder has delivered
	if d == nil || d.Job.Pkgbase != "delivers" || d.Result.Builder != "old" {
		t.Fatalf("to publish is %+v", d)
	}
	must(t, q.FinishDelivery(t.Context(), d, Success, ""))
	if got := q.rdb.HGet(t.Context(), "{caur}:durations", arch+"/delivers").Val(); got != "10" {
		t.Fatalf("its build took %q s", got)
	}
	if got := drainOrder(t, q); got != "a b waits app late more" {
		t.Fatalf("the new builders build %q", got)
	}
	c := snapshot(t, q).Counters
	if c.Ended[Success] != 7 || c.Ended[Failed] != 1 {
		t.Fatalf("counters %+v", c.Ended)
	}
	if left := leftovers(t, q); len(left) > 0 {
		t.Fatalf("an empty queue has %v", left)
	}
}

func TestAForcedUpgradeBringsRunningJobsBack(t *testing.T) {
	q := newQueue(t)
	old := &protocol1{t: t, rdb: q.rdb.(*redis.Client)}
	must(t, old.enqueue("b1", jobs("lib", "app: lib")...))
	l := old.mustClaim("lib")
	if u := upgrade(t, q, true); !u.Done {
		t.Fatalf("upgrade %+v", u)
	}
	if err := old.deliver(l); err == nil {
		t.Fatal("a builder of the old version delivers")
	}
	mustClaimNothing(t, q)
	expire(t, q)
	r, err := q.Reap(t.Context())
	must(t, err)
	if len(r) != 1 || r[0].Ended {
		t.Fatalf("reaped %+v", r)
	}
	if got := drainOrder(t, q); got != "lib app" {
		t.Fatalf("order %q", got)
	}
}

func TestOnlyAQueueOfTheVersionBeforeIsUpgraded(t *testing.T) {
	q := newQueue(t)
	if u := upgrade(t, q, false); !u.Done {
		t.Fatalf("an empty Redis: %+v", u)
	}
	newer := New(q.rdb)
	newer.protocol = Protocol + 1
	enqueue(t, newer, job("foo"))
	_, err := q.Upgrade(t.Context(), true)
	var p *ProtocolError
	if !errors.As(err, &p) || p.Queue != Protocol+1 || p.Ours != Protocol {
		t.Fatalf("error %v", err)
	}
	_, err = q.Claim(t.Context(), numericBuilder, time.Minute)
	wantErr(t, err, ErrProtocol)
}
