package queue

import (
	"fmt"
	"strconv"
	"strings"
)

// hashTag keeps all keys of the queue in one slot of a Redis Cluster.
const hashTag = "{caur}"

// keyNames are the keys that every script gets, in the order of KEYS; a script knows the one called "meta" as K.meta.
// "prefix" is no key of its own: scripts append to it for the keys below, which are in the same slot.
//
//	j:SEQ            hash   what changes about a job alive: state id ts bucket path base token lost builder class since expires rtoken dur bad
//	w:ARCH:NAME      set    SEQ of jobs alive that depend on NAME
//	o:ARCH:NAME      set    SEQ of jobs alive that offer NAME
//	ready:ARCH|CLASS zset   SEQ, zero-padded, of jobs that may be claimed; score: minus the critical path in seconds
//	line:TARGET_REPO zset   task ids to be published, in order
//	hold:TARGET_REPO hash   holder token expires task takes: who publishes
//	end:TASK         string how a job or clean-up ended, JSON, for seven days
//	batch:ID         string what Enqueue answered, JSON, for seven days
//	stage:NONCE:N    string a piece of a large batch on its way, for an hour
//	nonce:NONCE      string what a call that may be repeated did, for ten minutes
//
// SEQ is a number of a job inside the queue: short, so that sets of them are compact, and growing, so that it sorts by age.
// Channels: wake:builders, wake:database, events, ended (payload: the task id).
var keyNames = [...]string{
	"meta",      // hash: protocol revision seq token order builders(wake count) database(wake count) lastreap n:*(counters)
	"ids",       // hash: job id → SEQ, jobs alive
	"bodies",    // hash: SEQ → the job as enqueued, JSON
	"results",   // hash: SEQ → result of a delivered job, JSON
	"stamps",    // hash: pkgbase → newest timestamp
	"ends",      // hash: job id → timestamp of the job that ended last
	"durations", // hash: ARCH/PKGBASE → seconds of the last successful build
	"leases",    // zset: SEQ by expiry, Unix ms
	"offered",   // set: SEQ of blocked jobs whose turn it is in their cycle
	"buckets",   // set: ARCH|CLASS that may have ready jobs
	"arches",    // set: architectures ever seen
	"lines",     // set: target repos that may have a line
	"cleanups",  // hash: task id → clean-up in a line, JSON
	"builders",  // hash: builder → JSON
	"seen",      // zset: builder by last claim or renewal, Unix ms
	"events",    // stream
	"prefix",
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

// all is KEYS of every script.
func (k keyspace) all() []string {
	keys := make([]string, len(keyNames))
	for i, name := range keyNames {
		keys[i] = k.key(name)
	}
	keys[len(keys)-1] = k.prefix
	return keys
}

// keyTable is the Lua that gives KEYS their names, so that the two sides cannot differ.
func keyTable() string {
	var b strings.Builder
	b.WriteString("local K = {")
	for i, name := range keyNames {
		fmt.Fprintf(&b, "%s=KEYS[%d],", name, i+1)
	}
	b.WriteString("}\n")
	return b.String()
}
