// Package order says which ready job goes first. The queue's scripts do the same in Lua (lua/claim.lua, lua/lib.lua) and a test of the queue holds the two against each other; the
// simulator (queuesim) uses this.
//
// Within a target repo jobs go by score: when it was enqueued, minus its critical path, minus its priority. A second of waiting thus counts as a second of
// path: the score need not change as time goes on, and a job is overtaken only by jobs that were enqueued less than their longer path after it. So nothing starves.
//
// Between target repos it goes by virtual time (start-time fair queueing): a repo that gets a job pays for it with the time that the last build of the package took,
// divided by its weight, and the one that has paid the least comes first. A repo that had nothing to build does not save up: it begins at the floor, which is the
// lowest of those that were there at the last claim. A priority is credit of a day of build time a step: it goes before other repos, until that is used up.
package order

import (
	"cmp"
	"time"
)

// PriorityStep is the waiting that a step of priority is worth: more than a queue is ever long.
const PriorityStep = 7 * 24 * time.Hour

// Credit is the build time by which a step of priority may go before other target repos.
const Credit = 24 * time.Hour

// Score is what jobs of a target repo are ordered by, lowest first: enqueued in Unix ms, the critical path in seconds.
func Score(enqueued, path int64, priority int) int64 {
	return enqueued - path*1000 - int64(priority)*PriorityStep.Milliseconds()
}

// Head is the first ready job of a target repo, among those that the builder may take.
type Head struct {
	Repo     string
	Score    int64
	Age      int64 // smaller is older; decides among equal scores
	Priority int
	Seconds  int64 // of its last build, 1 where unknown
}

// Fair shares build time between target repos. The zero value is ready for use.
type Fair struct {
	Weights map[string]int // 1 where not named

	had   map[string]int64 // virtual ms
	floor int64
}

// Next picks one of the heads, at most one of each target repo, and makes its repo pay. There must be one at least.
func (f *Fair) Next(heads []Head) Head {
	if f.had == nil {
		f.had = map[string]int64{}
	}
	begin := func(h Head) int64 { return max(f.had[h.Repo], f.floor) }
	turn := func(h Head) int64 { return begin(h) - int64(h.Priority)*Credit.Milliseconds() }
	best, lowest := heads[0], begin(heads[0])
	for _, h := range heads[1:] {
		lowest = min(lowest, begin(h))
		if cmp.Or(cmp.Compare(turn(h), turn(best)), cmp.Compare(h.Score, best.Score), cmp.Compare(h.Age, best.Age)) < 0 {
			best = h
		}
	}
	f.had[best.Repo] = begin(best) + cost(best.Seconds, f.Weights[best.Repo])
	f.floor = lowest
	return best
}

// cost is what a build costs, in virtual ms.
func cost(seconds int64, weight int) int64 { return seconds * 1000 / int64(max(1, weight)) }
