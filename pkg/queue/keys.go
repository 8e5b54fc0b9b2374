package queue

import (
	"fmt"
	"strconv"
	"strings"
)

// hashTag keeps all keys of the queue in one slot of a Redis Cluster.
const hashTag = "{caur}"

// A key is one of the queue's keys, or a family of them.
type key struct {
	name    string // in the scripts K.NAME; with a colon at the end: a family, which scripts build from the prefix
	content string
	// What the credentials of each role may do with it: deploy/redis/users.acl is this table.
	pipeline, builder, web access
}

// access is what a role needs of a key; the database role has all of all.
type access string

const (
	no    access = ""
	read  access = "R"
	write access = "RW"
)

// keyTable holds every key. Builders write most of them, since a builder that ends a job makes others ready, but not those that say what is to be built and published: meta,
// bodies, stamps, cleanups, holds, durations, advert, weights, drained and batches.
//
// SEQ is a number of a job inside the queue: short, so that sets of them are compact, and growing, so that it sorts by age.
// Channels: wake:builders, wake:database, events, ended (payload: the task id).
var keyTable = [...]key{
	{"meta", "hash: protocol seq lastreap ondep(build, hold or skip)", write, read, read},
	{"count", "hash: revision token order builders database(wake counts) floor(of vtime) n:*(counters)", write, write, read},
	{"ids", "hash: job id → SEQ, jobs alive", write, write, read},
	{"bodies", "hash: SEQ → the job as enqueued, JSON", write, read, read},
	{"dead", "set: SEQ whose bodies are to be removed", write, write, read},
	{"results", "hash: SEQ → result of a delivered job, JSON", write, write, no},
	{"stamps", "hash: pkgbase → newest timestamp", write, no, no},
	{"ends", "hash: job id → timestamp of the job that ended last", write, write, read},
	{"durations", "hash: ARCH/PKGBASE → seconds of the last successful build", read, no, no},
	{"leases", "zset: SEQ by expiry, Unix ms", write, write, no},
	{"offered", "set: SEQ of blocked jobs whose turn it is in their cycle", write, write, no},
	{"later", "zset: SEQ of jobs that would be ready, by the time they wait for, Unix ms", write, write, no},
	{"held", "set: SEQ of jobs that stay blocked because a dependency ended badly", write, write, read},
	{"buckets", "set: ARCH|CLASS|TARGET_REPO that may have ready jobs", write, write, no},
	{"vtime", "hash: target repo → build time had, in ms, divided by its weight", no, write, no},
	{"weights", "hash: target repo → weight, as advertised", no, read, no},
	{"arches", "set: architectures ever seen", write, read, read},
	{"lines", "set: target repos that may have a line", write, write, read},
	{"cleanups", "hash: task id → clean-up in a line, JSON", write, no, read},
	{"builders", "hash: builder → JSON", read, write, read},
	{"seen", "zset: builder by last claim or renewal, Unix ms", read, write, read},
	{"drained", "set: builders that get no jobs", read, read, read},
	{"advert", "string: what the database role tells builders, JSON", no, read, no},
	{"events", "stream", write, write, read},
	{"audit", "stream: what administrators did", no, no, read},
	{"none", "never there: scripts delete it to be let on when memory is full", write, write, no},
	{"j:", "SEQ, hash: what changes about a job alive: state id ts bucket path est prio nb base token lost retries why fail builder class since expires rtoken grace dur(ms) bad", write, write, read},
	{"w:", "ARCH:NAME, set: SEQ of jobs alive that depend on NAME", write, write, no},
	{"o:", "ARCH:NAME, set: SEQ of jobs alive that offer NAME", write, write, no},
	{"ready:", "ARCH|CLASS|TARGET_REPO, zset: SEQ, zero-padded, of jobs that may be claimed; score: internal/order", write, write, no},
	{"line:", "TARGET_REPO, zset: task ids to be published, in order", write, write, read},
	{"hold:", "TARGET_REPO, hash: holder token expires task takes since: who publishes", read, no, read},
	{"end:", "TASK, string: how a job or clean-up ended, JSON, for seven days", write, write, read},
	{"batch:", "ID, string: what Enqueue answered, JSON, for seven days", write, no, no},
	{"stage:", "NONCE:N, string: a piece of a large batch on its way, for an hour", write, no, no},
	{"nonce:", "NONCE, string: what a call that may be repeated did, for ten minutes", write, write, no},
}

// keyspace builds the names; namespaces let tests share a server.
type keyspace struct{ prefix string }

func newKeyspace(namespace string) keyspace {
	if namespace != "" {
		namespace += ":"
	}
	return keyspace{prefix: hashTag + ":" + namespace}
}

func (k keyspace) key(name string) string { return k.prefix + name }

func (k keyspace) stage(nonce string, n int) string {
	return k.prefix + "stage:" + nonce + ":" + strconv.Itoa(n)
}

// luaKeys is the Lua that names the keys, so that the two sides cannot differ. A script declares only the prefix, which is never a key: it
// names the slot, and what is declared a role would have to have the right to write.
func luaKeys() string {
	var b strings.Builder
	b.WriteString("local P = KEYS[1]\nlocal K = {")
	for _, k := range keyTable {
		if !strings.HasSuffix(k.name, ":") {
			fmt.Fprintf(&b, "%s=P..'%s',", k.name, k.name)
		}
	}
	b.WriteString("}\n")
	return b.String()
}
