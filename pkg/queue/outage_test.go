package queue

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caur-build/caur/internal/redisconn"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/internal/testenv"
)

// traffic is a pipeline, three builders and a publisher at work, who go on through every error of the connection as the programs do, and what they saw.
type traffic struct {
	t    *testing.T
	q    *Queue
	want int // jobs
	half chan struct{}

	mu        sync.Mutex
	accepted  map[string]bool  // job ids whose batch was answered
	tokens    map[string]int64 // job id → newest token given for it
	published map[string]int   // job id → accepted ends
}

// through runs the traffic, calls fault when half of the jobs have been accepted, and returns when what Redis still knows has ended.
func through(t *testing.T, q *Queue, want int, fault func()) *traffic {
	t.Helper()
	x := &traffic{t: t, q: q, want: want, half: make(chan struct{}), accepted: map[string]bool{}, tokens: map[string]int64{}, published: map[string]int{}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var producer, workers sync.WaitGroup
	producer.Go(func() { x.enqueue(ctx) })
	working, stop := context.WithCancel(ctx)
	for i := range 3 {
		workers.Go(func() { x.build(working, "h"+strconv.Itoa(i)) })
	}
	workers.Go(func() { x.publish(working) })
	workers.Go(func() { x.reap(working) })
	select {
	case <-x.half:
	case <-ctx.Done():
		t.Fatal("nothing goes on even before the fault")
	}
	fault()
	producer.Wait()
	for {
		s, err := q.Snapshot(ctx)
		if err == nil && len(s.Waiting)+len(s.Running)+len(s.Publishing) == 0 {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("it does not go on after the fault: %v, %+v", err, s)
		}
	}
	stop()
	workers.Wait()
	return x
}

// again calls do until it is not the connection that fails.
func again(ctx context.Context, do func() error) error {
	for {
		err := do()
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrLeaseLost) || errors.Is(err, ErrCanceled) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (x *traffic) enqueue(ctx context.Context) {
	for i := range x.want {
		j := job("p" + strconv.Itoa(i))
		if err := again(ctx, func() error { _, err := x.q.Enqueue(ctx, Batch{ID: "b" + strconv.Itoa(i), Jobs: []Job{j}}); return err }); err != nil {
			x.t.Errorf("enqueue: %v", err)
			return
		}
		x.mu.Lock()
		x.accepted[j.ID()] = true
		if len(x.accepted) == x.want/2 {
			close(x.half)
		}
		x.mu.Unlock()
	}
}

func (x *traffic) build(ctx context.Context, name string) {
	for ctx.Err() == nil {
		l, err := x.q.Claim(ctx, Builder{Name: name, Class: "1"}, 3*time.Second)
		if err != nil || l == nil {
			_ = x.q.Wait(ctx, 20*time.Millisecond)
			continue
		}
		x.mu.Lock()
		if last := x.tokens[l.Job.ID()]; l.Token <= last {
			x.t.Errorf("token %d of %s after %d", l.Token, l.Job.ID(), last)
		}
		x.tokens[l.Job.ID()] = l.Token
		x.mu.Unlock()
		_ = again(ctx, func() error { return x.q.Deliver(ctx, l, Result{Duration: time.Second}) })
	}
}

func (x *traffic) publish(ctx context.Context) {
	for ctx.Err() == nil {
		d, err := x.q.TakeDelivery(ctx, "db", 2*time.Second)
		if err != nil || d == nil {
			_ = x.q.WaitDelivery(ctx, 20*time.Millisecond)
			continue
		}
		if again(ctx, func() error { return x.q.FinishDelivery(ctx, d, Success, "") }) == nil {
			x.mu.Lock()
			x.published[d.Job.ID()]++
			x.mu.Unlock()
		}
	}
}

func (x *traffic) reap(ctx context.Context) {
	for ctx.Err() == nil {
		_, _ = x.q.Reap(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// lost gives the jobs that were accepted and are gone.
func (x *traffic) lost() (ids []string) {
	for id := range x.accepted {
		if x.published[id] == 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// madeGood enqueues what was lost, as reconcile does, and works it off.
func (x *traffic) madeGood() {
	x.t.Helper()
	lost := x.lost()
	x.t.Logf("%d of %d jobs were accepted and forgotten", len(lost), len(x.accepted))
	for _, id := range lost {
		parts := strings.Split(id, "/")
		enqueue(x.t, x.q, job(parts[2]))
	}
	drainOrder(x.t, x.q)
	if left := leftovers(x.t, x.q); len(left) > 0 {
		x.t.Fatalf("an empty queue has %v", left)
	}
	for id := range x.accepted {
		if status, _, err := x.q.WaitTask(x.t.Context(), id); err != nil || status != Success {
			x.t.Errorf("%s ended as %v, %v", id, status, err)
		}
	}
}

func TestKillWithAppendfsyncAlwaysForgetsNothing(t *testing.T) {
	server := testenv.Redis(t, "--appendfsync", "always")
	x := through(t, New(server.Client()), 60, func() { server.Kill(); server.Start() })
	if lost := x.lost(); len(lost) > 0 {
		t.Errorf("accepted and gone: %v", lost)
	}
	for id, n := range x.published {
		if n != 1 {
			t.Errorf("%s was published %d times", id, n)
		}
	}
	x.madeGood()
}

func TestKillWithAppendfsyncEverysecComesBackConsistent(t *testing.T) {
	server := testenv.Redis(t, "--appendfsync", "everysec")
	x := through(t, New(server.Client()), 60, func() { server.Kill(); server.Start() })
	x.madeGood()
}

func open(t *testing.T, url string) *Queue {
	t.Helper()
	rdb, err := redisconn.Open(t.Context(), redisconn.Config{URL: settings.NewSecret(url)})
	must(t, err)
	t.Cleanup(func() { _ = rdb.Close() })
	return New(rdb)
}

// until waits for a condition of servers.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not after %v", what, patience)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestASentinelFailoverIsSurvived(t *testing.T) {
	master := testenv.Redis(t)
	host, port, _ := net.SplitHostPort(master.Addr)
	replica := testenv.Redis(t, "--replicaof", host+" "+port, "--repl-diskless-sync-delay", "0")
	until(t, "replication", func() bool {
		return strings.Contains(replica.Client().Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	var sentinels []string
	for range 3 {
		conf := filepath.Join(t.TempDir(), "sentinel.conf")
		text := "sentinel monitor caur " + host + " " + port + " 2\nsentinel down-after-milliseconds caur 500\nsentinel failover-timeout caur 3000\n"
		must(t, os.WriteFile(conf, []byte(text), 0o600))
		sentinels = append(sentinels, testenv.RedisWith(t, "redis-server", conf, "--sentinel"))
	}
	until(t, "the sentinels know each other and the replica", func() bool {
		for _, addr := range sentinels {
			s := redis.NewSentinelClient(&redis.Options{Addr: addr})
			m, err := s.Master(t.Context(), "caur").Result()
			_ = s.Close()
			if err != nil || m["num-other-sentinels"] != "2" || m["num-slaves"] != "1" {
				return false
			}
		}
		return true
	})
	q := open(t, "redis-sentinel://"+strings.Join(sentinels, ",")+"/caur")
	x := through(t, q, 60, master.Kill)
	x.madeGood()
}

// cluster starts six nodes, three of them replicas.
func cluster(t *testing.T) map[string]*testenv.RedisServer {
	t.Helper()
	testenv.Need(t, "redis-cli")
	nodes := map[string]*testenv.RedisServer{}
	args := []string{"--cluster", "create"}
	for len(nodes) < 6 {
		n := testenv.Redis(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--appendfsync", "everysec", "--repl-diskless-sync-delay", "0")
		if _, port, _ := net.SplitHostPort(n.Addr); len(port) == 5 && port > "55535" {
			n.Kill() // the bus is 10000 above
			continue
		}
		nodes[n.Addr] = n
		args = append(args, n.Addr)
	}
	out, err := exec.Command("redis-cli", append(args, "--cluster-replicas", "1", "--cluster-yes")...).CombinedOutput()
	if err != nil {
		t.Fatalf("make a cluster: %v\n%s", err, out)
	}
	until(t, "the cluster forms", func() bool {
		for _, n := range nodes {
			c := n.Client()
			if !strings.Contains(c.ClusterInfo(t.Context()).Val(), "cluster_state:ok") || strings.Contains(c.Info(t.Context(), "replication").Val(), "master_link_status:down") {
				return false
			}
		}
		return true
	})
	return nodes
}

func TestAClusterFailoverIsSurvived(t *testing.T) {
	nodes := cluster(t)
	var urls []string
	for addr := range nodes {
		urls = append(urls, addr)
	}
	q := open(t, "redis-cluster://"+strings.Join(urls, ","))
	x := through(t, q, 60, func() {
		slot := q.rdb.ClusterKeySlot(t.Context(), q.keys.key("meta")).Val()
		for _, s := range q.rdb.ClusterSlots(t.Context()).Val() {
			if int64(s.Start) <= slot && slot <= int64(s.End) {
				nodes[s.Nodes[0].Addr].Kill()
				return
			}
		}
		t.Errorf("nobody has slot %d", slot)
	})
	x.madeGood()
}

func TestAPausedServerOnlyDelays(t *testing.T) {
	server := fastRedis(t)
	q := New(server.Client())
	x := through(t, q, 60, func() { must(t, server.Client().Do(t.Context(), "CLIENT", "PAUSE", 700, "ALL").Err()) })
	if lost := x.lost(); len(lost) > 0 {
		t.Errorf("accepted and gone: %v", lost)
	}
	x.madeGood()
}

const inNamespace = "CAUR_TEST_NETWORK_NAMESPACE"

// The test runs itself again in a network namespace of its own, where a packet filter may cut what it likes.
func TestANetworkThatIsCutAndHealsLosesNothing(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		testenv.Need(t, "unshare", "ip", "nft")
		cmd := exec.Command("unshare", "--net", "--", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=2m", "-test.v")
		cmd.Env = append(os.Environ(), inNamespace+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("in the namespace: %v\n%s", err, out)
		}
		return
	}
	run := func(text string) {
		t.Helper()
		f := strings.Fields(text)
		if out, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", text, err, out)
		}
	}
	run("ip link set lo up")
	server := testenv.Redis(t)
	_, port, _ := net.SplitHostPort(server.Addr)
	client := redis.NewClient(&redis.Options{Addr: server.Addr, ContextTimeoutEnabled: true, ReadTimeout: 300 * time.Millisecond, WriteTimeout: 300 * time.Millisecond,
		DialTimeout: 300 * time.Millisecond, DialerRetries: 1})
	t.Cleanup(func() { _ = client.Close() })
	q := New(client)
	enqueue(t, q, job("kept"))
	kept := mustClaim(t, q, "kept")
	lease, stop := q.Keep(t.Context(), kept, 3*time.Second)
	for _, side := range []string{"sport", "dport"} { // answers are lost, then requests
		x := through(t, New(client, func(n *Queue) { n.keys = newKeyspace(side) }), 40, func() {
			run("nft add table inet cut")
			run("nft add chain inet cut in { type filter hook input priority 0 ; }")
			run("nft add rule inet cut in tcp " + side + " " + port + " drop")
			short, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
			defer cancel()
			if _, err := q.Snapshot(short); err == nil {
				t.Error("the network is not cut")
			}
			run("nft delete table inet cut")
		})
		if lost := x.lost(); len(lost) > 0 {
			t.Errorf("accepted and gone: %v", lost)
		}
		for id, n := range x.published {
			if n != 1 {
				t.Errorf("%s was published %d times", id, n)
			}
		}
	}
	stop()
	if err := context.Cause(lease); !errors.Is(err, context.Canceled) {
		t.Errorf("the lease that was kept through it: %v", err)
	}
	publish(t, q, kept)
}

// No decision depends on the clock of a client: the scripts take Redis' time, and the Go code asks for no time of day.
func TestTheQueueUsesNoClockOfAClient(t *testing.T) {
	files, err := filepath.Glob("*.go")
	must(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		must(t, err)
		for _, call := range []string{"time.Now(", "time.Since(", "time.Until("} {
			if strings.Contains(string(text), call) {
				t.Errorf("%s calls %s…)", file, call)
			}
		}
	}
	scripts, err := filepath.Glob("lua/*.lua")
	must(t, err)
	for _, file := range scripts {
		text, err := os.ReadFile(file)
		must(t, err)
		if strings.Contains(string(text), "os.time") || strings.Contains(string(text), "os.clock") {
			t.Errorf("%s asks for the time of day", file)
		}
	}
}
