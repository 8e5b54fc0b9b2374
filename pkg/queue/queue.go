package queue

import (
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// Queue is a handle on the queue in Redis; it holds no connection of its own and needs no closing. It may be used by several
// goroutines. Builders of different names or classes use one each: Wait compares with what the last empty Claim of this handle saw.
type Queue struct {
	rdb      redis.UniversalClient
	keys     keyspace
	protocol int

	seenBuilders, seenDatabase atomic.Int64 // wake counts at the last empty Claim and TakeDelivery
	nextDue                    atomic.Int64 // as of that Claim: how long until a job has waited for its time; below 0: no such job
}

// Option changes New.
type Option func(*Queue)

// WithNamespace keeps this queue apart from others in the same Redis; for tests that share a server.
func WithNamespace(name string) Option {
	return func(q *Queue) { q.keys = newKeyspace(name) }
}

// New makes a handle. It does not talk to Redis.
func New(rdb redis.UniversalClient, opts ...Option) *Queue {
	q := &Queue{rdb: rdb, keys: newKeyspace(""), protocol: Protocol}
	q.nextDue.Store(-1)
	for _, o := range opts {
		o(q)
	}
	return q
}
