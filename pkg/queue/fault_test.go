package queue

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/caur-build/caur/internal/testenv"
)

// twice sends every script call a second time and keeps only the second answer, as when the first was lost on its way.
type twice struct{}

func (twice) DialHook(next redis.DialHook) redis.DialHook { return next }
func (twice) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" {
			_ = next(ctx, cmd)
			cmd.SetErr(nil)
		}
		return next(ctx, cmd)
	}
}
func (twice) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		_ = next(ctx, cmds)
		return next(ctx, cmds)
	}
}

func TestEveryMessageMayComeTwice(t *testing.T) {
	server := fastRedis(t)
	client, doubled := server.Client(), server.Client()
	doubled.AddHook(twice{})
	for _, script := range scripts {
		must(t, script.Load(t.Context(), client).Err())
	}
	rapid.Check(t, func(rt *rapid.T) {
		x := newMachine(fresh(doubled))
		reap := func(rt *rapid.T) { // its answer is what was done by that one message
			q := x.q
			x.q = New(client, func(n *Queue) { n.keys = q.keys })
			x.reap(rt)
			x.q = q
		}
		cancel := x.cancel
		rt.Repeat(map[string]func(*rapid.T){
			"enqueue": x.enqueue, "claim": x.claim, "claim 2": x.claim, "use lease": x.useLease,
			"take": x.take, "use turn": x.useTurn, "cancel": cancel, "reap": reap, "adjust": x.adjust, "": x.compare,
		})
	})
}

func TestALargeBatchMayComeTwice(t *testing.T) {
	server := fastRedis(t)
	doubled := server.Client()
	doubled.AddHook(twice{})
	q := New(doubled)
	e := enqueue(t, q, copies(jobs("a", "b: a", "c: a b"), 3000)...)
	if s := snapshot(t, New(server.Client())); len(s.Waiting) != 3000 || len(e.Added) != 3000 {
		t.Fatalf("%d jobs wait, %d were added", len(s.Waiting), len(e.Added))
	}
	for _, key := range q.rdb.Keys(t.Context(), q.keys.key("stage:*")).Val() {
		t.Errorf("%s is left", key)
	}
}

func TestAJobMayLackAllLists(t *testing.T) {
	q := newQueue(t)
	bare := Job{Pkgbase: "foo", TargetRepo: repo, Arch: arch}
	enqueue(t, q, bare, job("bar: foo"))
	for range 2 {
		publish(t, q, claim(t, q))
	}
	// As another program might have written it.
	text := `{"pkgbase":"foo","target_repo":"r","arch":"x86_64","build_class":"1","pkgnames":null,"provides":"x","dependencies":null}`
	_, err := q.run(t.Context(), "enqueue", "enqueue", "b1", "1:1", "", "", "", "", "here", text+"\n")
	must(t, err)
	must(t, q.Cancel(t.Context(), "r/x86_64/foo"))
	if left := leftovers(t, q); len(left) > 0 {
		t.Fatalf("an empty queue has %v", left)
	}
}

func TestAPieceThatIsGoneStopsTheBatch(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, job("a"))
	_, err := q.run(t.Context(), "enqueue", "enqueue", "b1", "1:1 1:1", "", "", "", "", "stage", q.keys.stage("x", 0))
	if err == nil || !strings.Contains(err.Error(), "CAURSTAGE") {
		t.Fatalf("error %v", err)
	}
	_, err = q.run(t.Context(), "enqueue", "enqueue", "b1", "1:1 1:1", "", "", "", "", "here", "{\"pkgbase\":\"x\"}\n")
	if err == nil || !strings.Contains(err.Error(), "CAURSTAGE") {
		t.Fatalf("error %v", err)
	}
	if s := snapshot(t, q); len(s.Waiting) != 1 {
		t.Fatalf("%d jobs wait", len(s.Waiting))
	}
}

func TestAKilledRedisComesBackWithEverything(t *testing.T) {
	server := testenv.Redis(t) // append-only file, synced at each write
	q := New(server.Client())
	enqueue(t, q, jobs("run", "deliver", "wait", "after: wait")...)
	running, delivered := mustClaim(t, q, "wait"), claim(t, q)
	deliver(t, q, delivered)
	before := snapshot(t, q)
	server.Kill()
	if _, err := q.Claim(t.Context(), numericBuilder, time.Minute); err == nil {
		t.Fatal("no error from a dead Redis")
	}
	server.Start()
	after := snapshot(t, q)
	if len(after.Waiting) != len(before.Waiting) ||
		len(after.Running) != 1 || len(after.Publishing) != 1 || after.Running[0].Token != running.Token {
		t.Fatalf("before %+v\nafter %+v", before, after)
	}
	must(t, q.Renew(t.Context(), running, time.Minute))
	must(t, q.FinishDelivery(t.Context(), take(t, q), Success, ""))
	publish(t, q, running)
	drainOrder(t, q)
	if left := leftovers(t, q); len(left) > 0 {
		t.Fatalf("an empty queue has %v", left)
	}
}

func TestAClaimThatRedisForgotIsNoLongerAccepted(t *testing.T) {
	server := testenv.Redis(t, "--appendonly", "no")
	q := New(server.Client())
	enqueue(t, q, job("foo"))
	must(t, q.rdb.Save(t.Context()).Err())
	forgotten := mustClaim(t, q, "foo")
	server.Kill()
	server.Start() // with what was saved: the job waits
	wantErr(t, q.Deliver(t.Context(), forgotten, Result{}), ErrLeaseLost)
	again := mustClaim(t, q, "foo")
	if again.Token <= forgotten.Token {
		t.Fatalf("token %d was given before: %d", again.Token, forgotten.Token)
	}
	wantErr(t, q.Deliver(t.Context(), forgotten, Result{}), ErrLeaseLost)
	publish(t, q, again)
}

func TestAFlushedScriptCacheChangesNothing(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, jobs("a", "b: a")...)
	flush := func() { must(t, q.rdb.ScriptFlush(t.Context()).Err()) }
	for _, base := range []string{"a", "b"} {
		flush()
		l := mustClaim(t, q, base)
		flush()
		deliver(t, q, l)
		flush()
		d := take(t, q)
		flush()
		must(t, q.FinishDelivery(t.Context(), d, Success, ""))
	}
}

func TestAFullRedisTakesNoBatchButWorksOff(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, jobs("a", "b", "c")...)
	d := claim(t, q)
	deliver(t, q, d)
	must(t, q.rdb.ConfigSet(t.Context(), "maxmemory", "1").Err())
	if _, err := q.Enqueue(t.Context(), Batch{Jobs: jobs("d")}); err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Fatalf("error %v", err)
	}
	must(t, q.FinishDelivery(t.Context(), take(t, q), Success, ""))
	l := claim(t, q)
	must(t, q.Renew(t.Context(), l, time.Minute))
	must(t, q.Requeue(t.Context(), l))
	fail(t, q, claim(t, q))
	_, err := q.Reap(t.Context())
	must(t, err)
	must(t, q.Cancel(t.Context(), id("c")))
	must(t, q.rdb.ConfigSet(t.Context(), "maxmemory", "0").Err())
	if left := leftovers(t, q); len(left) > 0 {
		t.Fatalf("an empty queue has %v", left)
	}
}

func TestAllKeysAreInOneSlotOfACluster(t *testing.T) {
	server := testenv.Redis(t, "--appendonly", "no", "--cluster-enabled", "yes")
	node := server.Client()
	must(t, node.ClusterAddSlotsRange(t.Context(), 0, 16383).Err())
	for end := time.Now().Add(patience); !strings.Contains(node.ClusterInfo(t.Context()).Val(), "cluster_state:ok"); {
		if time.Now().After(end) {
			t.Fatal("the cluster does not come up")
		}
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{server.Addr}, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	q := New(client)
	other := job("lib")
	other.TargetRepo = "other"
	enqueue(t, q, append(copies(jobs("x", "y: x"), 3000), job("app: lib"), other)...)
	done := make(chan error, 1)
	go func() {
		_, _, err := q.WaitTask(t.Context(), id("app"))
		done <- err
	}()
	must(t, q.Advertise(t.Context(), Advert{Image: "x"}))
	for l := claim(t, q); l != nil; l = claim(t, q) {
		if l.Job.Pkgbase == "app" || l.Job.Pkgbase == "lib" {
			publish(t, q, l)
			continue
		}
		fail(t, q, l)
	}
	must(t, within(t, "WaitTask", done))
	slot := client.ClusterKeySlot(t.Context(), q.keys.key("meta")).Val()
	for _, key := range node.Keys(t.Context(), "*").Val() {
		if got := client.ClusterKeySlot(t.Context(), key).Val(); got != slot {
			t.Errorf("%s is in slot %d, not %d", key, got, slot)
		}
	}
}

func TestAJobTakesLessThanTwoKilobytes(t *testing.T) {
	q := newQueue(t)
	const n = 5_000
	fill(t, q, copies(corpusJobs(t), n))
	if bytes := bytesPerJob(t, q, n); bytes > 2048 {
		t.Fatalf("%.0f bytes a job", bytes)
	} else {
		t.Logf("%.0f bytes a job", bytes)
	}
}
