package queue

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/caur-build/caur/internal/redisconn"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/internal/testenv"
)

var update = flag.Bool("update", false, "write deploy/redis/users.acl")

const aclFile = "../../deploy/redis/users.acl"

// aclRoles says what each role needs beside the keys of keyTable.
var aclRoles = []struct {
	name, comment string
	access        func(key) access
	rest          string
}{
	{"pipeline", "caur-ci and the verbs of caur-exec that enqueue, cancel, prioritise, release, retry, and look.",
		func(k key) access { return k.pipeline }, "&{caur}:* " + aclWrite + " +hscan +xrange +xrevrange"},
	{"builder", "caur-exec builder: claims, keeps, gives back, delivers and ends jobs, and writes their logs. README.md says what a stolen one can do.",
		func(k key) access { return k.builder }, "~{caur-log}:* &{caur}:* " + aclWrite + " +pexpire"},
	{"web", "caur-exec web: reads. It may write the index of logs, from which it takes what has expired.",
		func(k key) access { return k.web }, "%R~{caur-log}:* ~{caur-log}:index:* %R~{caur-metrics}:* %R~{caur-notify}:* &{caur}:events &{caur}:ended " + aclRead +
			" +hscan +xrange +xrevrange +xread +zrevrange +zrem +zcard +llen"},
	{"database", "caur-exec database, standalone, and administrators (drain, queue import-legacy, notify): the queue, logs, metrics and notifications, nothing else in this Redis.",
		func(key) access { return no }, "~{caur}* ~{caur-log}:* ~{caur-metrics}:* ~{caur-notify}:* ~build-queue &{caur}* +@read +@write +@pubsub +@connection +@scripting +@transaction +time +info -@dangerous +keys +info"},
}

const (
	aclSession = "-@all +ping +client|setname +info +cluster|slots +cluster|shards +cluster|info +readonly +command +subscribe +unsubscribe +evalsha +eval +time "
	aclRead    = aclSession + "+get +exists +hget +hmget +hgetall +hexists +smembers +sismember +sunion +zrange +zscore"
	aclWrite   = aclRead + " +set +del +hset +hsetnx +hincrby +hdel +sadd +srem +spop +zadd +zrem +zrangebyscore +xadd +publish"
)

// aclText is what deploy/redis/users.acl must be.
func aclText() string {
	var b strings.Builder
	b.WriteString(`# Users of the queue's Redis, each with the least that it works with. Redis 7 or newer.
# Made from the table of keys in pkg/queue (go test ./pkg/queue -run TestUsersACL -update); tests run every role with its user.
# Put a password for each @…@ (README.md), then in redis.conf: include /etc/redis/users.acl

# Nobody without a name.
user default off
`)
	for _, r := range aclRoles {
		fmt.Fprintf(&b, "\n# %s\nuser caur-%s on >@%s_PASSWORD@ resetkeys resetchannels", r.comment, r.name, strings.ToUpper(r.name))
		if r.name != "database" {
			b.WriteString(" ~{caur}:")
		}
		for _, k := range keyTable {
			pattern := "{caur}:" + k.name
			if strings.HasSuffix(k.name, ":") {
				pattern += "*"
			}
			switch r.access(k) {
			case read:
				b.WriteString(" %R~" + pattern)
			case write:
				b.WriteString(" ~" + pattern)
			}
		}
		b.WriteString(" " + r.rest + "\n")
	}
	return b.String()
}

func TestUsersACLIsTheTableOfKeys(t *testing.T) {
	if *update {
		must(t, os.WriteFile(aclFile, []byte(aclText()), 0o644))
	}
	text, err := os.ReadFile(aclFile)
	must(t, err)
	if string(text) != aclText() {
		t.Fatal("deploy/redis/users.acl is not what keys.go says: go test ./pkg/queue -run TestUsersACL -update")
	}
}

// aclRedis starts a server with the users of deploy/redis; each one's password is its role.
func aclRedis(t *testing.T) *testenv.RedisServer {
	t.Helper()
	return testenv.Redis(t, "--appendonly", "no", "--include", aclWithPasswords(t))
}

func aclWithPasswords(t *testing.T) string {
	t.Helper()
	text := aclText()
	for _, r := range aclRoles {
		text = strings.ReplaceAll(text, "@"+strings.ToUpper(r.name)+"_PASSWORD@", r.name)
	}
	file := t.TempDir() + "/users.acl"
	must(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// as opens the server as a role does: through redisconn.
func as(t *testing.T, server *testenv.RedisServer, role string) redis.UniversalClient {
	t.Helper()
	url := strings.Replace(server.URL, "redis://", "redis://caur-"+role+":"+role+"@", 1)
	rdb, err := redisconn.Open(t.Context(), redisconn.Config{URL: settings.NewSecret(url)})
	must(t, err)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// With missing rights a script would stop half-way; so the whole state machine runs, every call with the user of its role.
func TestEachRoleDoesAllItsWorkWithItsUser(t *testing.T) {
	server := aclRedis(t)
	rdb := map[string]redis.UniversalClient{}
	for _, r := range aclRoles {
		rdb[r.name] = as(t, server, r.name)
	}
	rapid.Check(t, func(rt *rapid.T) {
		database := New(rdb["database"])
		for _, key := range rdb["database"].Keys(ctx(rt), "{caur}:*").Val() {
			check(rt, rdb["database"].Del(ctx(rt), key).Err())
		}
		x := newMachine(database)
		x.pipeline, x.builder, x.web = New(rdb["pipeline"]), New(rdb["builder"]), New(rdb["web"])
		x.m.mode = rapid.SampledFrom([]string{"build", "hold", "skip"}).Draw(rt, "on failure of a dependency")
		check(rt, database.Advertise(ctx(rt), Advert{OnDepFailure: x.m.mode}))
		rt.Repeat(map[string]func(*rapid.T){
			"enqueue": x.enqueue, "claim": x.claim, "claim 2": x.claim, "use lease": x.useLease, "use lease 2": x.useLease,
			"take": x.take, "use turn": x.useTurn, "cancel": x.cancel, "reap": x.reap, "adjust": x.adjust, "": x.compare,
		})
		x.finishAll(rt)
	})
	// The machine's last run may have left no event at all.
	enqueue(t, New(rdb["pipeline"]), job("seen"))
	if e := within(t, "event", follow(t.Context(), New(rdb["web"]), "")); e.Kind == "" {
		t.Fatal("an event without a kind")
	}
	_, err := New(rdb["builder"]).Advertised(t.Context())
	must(t, err)
	must(t, New(rdb["builder"]).Wait(t.Context(), time.Millisecond))
	must(t, New(rdb["pipeline"]).listen(t.Context(), "ended", nil, func(string) (bool, error) { return true, nil }))
}

// refusedByACL knows both ways in which Redis says so, of a command and of one in a script.
func refusedByACL(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "NOPERM") || strings.Contains(err.Error(), "The user executing the script can't"))
}

func TestEveryForbiddenKeyAndCommandIsRefused(t *testing.T) {
	server := aclRedis(t)
	must(t, as(t, server, "database").Set(t.Context(), "{caur}:advert", "{}", 0).Err())
	for _, r := range aclRoles {
		rdb := as(t, server, r.name)
		do := func(args ...any) error { return rdb.Do(t.Context(), args...).Err() }
		for _, command := range [][]any{
			{"FLUSHALL"}, {"FLUSHDB"}, {"CONFIG", "GET", "*"}, {"ACL", "LIST"}, {"MONITOR"}, {"SHUTDOWN"}, {"REPLICAOF", "NO", "ONE"}, {"BGSAVE"},
			{"CLIENT", "KILL", "TYPE", "normal"}, {"CLIENT", "LIST"}, {"SLOWLOG", "GET"}, {"GET", "other"}, {"SET", "other", "x"}, {"PUBLISH", "other", "x"}, {"SUBSCRIBE", "other"},
		} {
			if err := do(command...); !refusedByACL(err) {
				t.Errorf("%s may %v: %v", r.name, command, err)
			}
		}
		if r.name == "database" {
			continue
		}
		for _, command := range [][]any{{"KEYS", "*"}, {"SCAN", 0}, {"FUNCTION", "LIST"}, {"SCRIPT", "FLUSH"}, {"RENAME", "{caur}:ids", "{caur}:x"}, {"RESTORE", "{caur}:ids", 0, "x"}} {
			if err := do(command...); !refusedByACL(err) {
				t.Errorf("%s may %v: %v", r.name, command, err)
			}
		}
		for _, k := range keyTable {
			name := "{caur}:" + k.name
			if strings.HasSuffix(k.name, ":") {
				name += "x"
			}
			got := access("")
			if err := do("EXISTS", name); !refusedByACL(err) {
				got = read
			}
			if err := do("EVAL", "return redis.call('DEL', ARGV[1])", 1, "{caur}:", name); err == nil {
				got = write
			}
			if got != r.access(k) {
				t.Errorf("%s has %q on %s, want %q", r.name, got, name, r.access(k))
			}
		}
	}
}

func TestABuildersUserPublishesNothingThatNobodyEnqueued(t *testing.T) {
	server := aclRedis(t)
	rdb, database := as(t, server, "builder"), New(as(t, server, "database"))
	pipeline, builder := New(as(t, server, "pipeline")), New(rdb)
	for name, err := range map[string]error{
		"enqueue": func() error { _, err := builder.Enqueue(t.Context(), Batch{Jobs: jobs("evil")}); return err }(),
		"clean up": func() error {
			_, err := builder.Enqueue(t.Context(), Batch{Cleanup: &Cleanup{TargetRepo: repo, Arch: arch, Force: true}})
			return err
		}(),
		"advertise":      builder.Advertise(t.Context(), Advert{Image: "evil"}),
		"drain":          builder.Drain(t.Context(), "host1", true),
		"cancel":         builder.Cancel(t.Context(), id("good")),
		"upgrade":        rdb.HSet(t.Context(), "{caur}:meta", "protocol", 9).Err(),
		"write a body":   rdb.HSet(t.Context(), "{caur}:bodies", "1", "{}").Err(),
		"take the line":  rdb.HSet(t.Context(), "{caur}:hold:"+repo, "token", 1).Err(),
		"set a weight":   rdb.HSet(t.Context(), "{caur}:weights", repo, 1000).Err(),
		"read the queue": func() error { _, err := builder.Snapshot(t.Context()); return err }(),
	} {
		if !refusedByACL(err) {
			t.Errorf("a builder may %s: %v", name, err)
		}
	}
	// What it can write by hand makes no delivery either: a job that nobody enqueued, one that waits in another line, one under a wrong name.
	enqueueAs := func(j Job) { _, err := pipeline.Enqueue(t.Context(), Batch{Jobs: []Job{j}}); must(t, err) }
	enqueueAs(job("good"))
	l, err := builder.Claim(t.Context(), numericBuilder, time.Minute)
	must(t, err)
	must(t, builder.Deliver(t.Context(), l, Result{}))
	seq := rdb.HGet(t.Context(), "{caur}:ids", id("good")).Val()
	rdb.HSet(t.Context(), "{caur}:ids", id("evil"), seq, "core/x86_64/good", "77")
	rdb.HSet(t.Context(), "{caur}:j:77", "ts", "5", "state", "publishing", "token", "1")
	for line, task := range map[string]string{repo: id("evil") + fmt.Sprintf(":%d", l.Job.Timestamp), "core": l.Job.TaskID(), "extra": "core/x86_64/good:5", "x": "nonsense"} {
		must(t, rdb.ZAdd(t.Context(), "{caur}:line:"+line, redis.Z{Score: 0, Member: task}).Err())
		must(t, rdb.SAdd(t.Context(), "{caur}:lines", line).Err())
	}
	if _, err := builder.TakeDelivery(t.Context(), "evil", time.Minute); !refusedByACL(err) {
		t.Errorf("a builder may publish: %v", err)
	}
	d := take(t, database)
	if d == nil || d.Job.ID() != id("good") || d.TargetRepo != repo {
		t.Fatalf("to publish is %+v", d)
	}
	must(t, database.FinishDelivery(t.Context(), d, Success, ""))
	if d := take(t, database); d != nil {
		t.Fatalf("to publish is %+v", d)
	}
}

func TestTheRolesWorkOverTLSWithClientCertificates(t *testing.T) {
	dir := certificates(t, "server", "client")
	text, err := os.ReadFile("../../deploy/redis/redis.conf")
	must(t, err)
	conf := strings.NewReplacer("/etc/redis/tls", dir, "/etc/redis/users.acl", aclWithPasswords(t), "bind 0.0.0.0", "bind 127.0.0.1").Replace(string(text))
	file := dir + "/redis.conf"
	must(t, os.WriteFile(file, []byte(conf), 0o600))
	free := testenv.Redis(t) // for its port
	free.Kill()
	addr := free.Addr
	_, port, _ := strings.Cut(addr, ":")
	testenv.Redis(t, "--include", file, "--tls-port", port)
	open := func(role string, c redisconn.Config) error {
		c.URL = settings.NewSecret("rediss://caur-" + role + ":" + role + "@" + addr)
		rdb, err := redisconn.Open(t.Context(), c)
		if err != nil {
			return err
		}
		defer rdb.Close()
		switch role {
		case "pipeline":
			_, err = New(rdb).Enqueue(t.Context(), Batch{Jobs: jobs("foo")})
		case "builder":
			_, err = New(rdb).Claim(t.Context(), numericBuilder, time.Minute)
		case "web":
			_, err = New(rdb).Snapshot(t.Context())
		default:
			_, err = New(rdb).Reap(t.Context())
		}
		return err
	}
	with := redisconn.Config{TLSCA: dir + "/ca.pem", TLSCert: dir + "/client.pem", TLSKey: dir + "/client-key.pem"}
	for _, r := range aclRoles {
		if err := open(r.name, with); err != nil {
			t.Errorf("%s: %v", r.name, err)
		}
	}
	if open("builder", redisconn.Config{TLSCA: dir + "/ca.pem"}) == nil {
		t.Error("a client without a certificate is let in")
	}
}
