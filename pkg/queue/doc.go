// Package queue holds the jobs of caur in Redis: what waits, who builds what, what waits to be published.
// It is the only place that knows the queue's Redis keys. The behaviour is executor.md section 1.
//
// # Words
//
//   - job: build one package for one target repo and architecture. Its identity is TARGET_REPO/ARCH/PKGBASE ([Job.ID]);
//     of one identity at most one job is alive. A task id, ID:TIMESTAMP, names one job of that identity for ever.
//   - batch: jobs, and perhaps a clean-up, that are enqueued together or not at all. A batch id is accepted once in seven days.
//   - lease: the right of one builder to work on one job until a time; it has a fencing token. Tokens only grow, a newer claim
//     makes the older token worthless, and every call that changes a job names its token.
//   - delivery: a built job, or a clean-up, in the line of its target repo, to be published by one holder at a time.
//   - wave, cycle: a cycle is a strongly connected component of the jobs that are alive.
//
// # Life of a job
//
//	blocked ─▶ ready ─▶ running ─▶ publishing ─▶ ended
//	   ▲         ▲         │            │
//	   └─────────┴─────────┘ requeue,   └ the line of the target repo; dependants stay blocked until it ends
//	                         lease lost
//
// A job that is ready may have to wait for its time (NotBefore, Retry); a builder that is drained gets nothing; a job whose dependency ended badly goes on, is held, or is skipped with all that
// depends on it (Advert.OnDepFailure).
//
// A job depends on another when that one offers (pkgnames and provides) a name that it lists in Dependencies, and both are
// for the same architecture, whatever their target repos. Architecture "any" matches every architecture, both ways. A job is
// ready when nothing alive offers one of its dependencies.
//
// # Cycles
//
// Take the graph of all jobs alive in which only waiting jobs have edges, to the jobs that they depend on. A blocked job is
// offered all the same when it is the first (fewest jobs that block it, then pkgbase, then id) of a strongly connected
// component that no edge leaves. Every such component has exactly one offered job, so something always goes on, and outside of a
// component the order of dependencies is kept. A change can make a new component of that kind only around a job whose own edges
// changed, or around a job that was offered before; the scripts look at those alone (lua/lib.lua, settle).
//
// # Redis
//
// Redis 6.2 or later, or Valkey; alone, with Sentinel or as a Cluster; maxmemory-policy noeviction. All keys share the hash tag {caur}: one slot, so one
// script can change jobs of several target repos at once, and a dependency may cross target repos. Every change is one Lua script
// (lua/*.lua) which either happens or does not; readers never see half a batch. Times are those of Redis' clock, never the
// client's. Fencing tokens come from a counter that is never behind that clock, so that a fail-over that lost the last claims does not hand out
// their tokens again.
//
// Every call may be sent twice (go-redis repeats a call whose answer was lost) and has the effect of one: claims, takes and cancels carry a
// number used once, the others name token and state.
//
// Scripts run with the rights of their caller, so what builders may write by hand is decided by keys (keys.go, deploy/redis): what is to be built and published is out of their reach.
//
// The layout has a version, [Protocol]. It is stored in Redis; a program of another version is refused with [ErrProtocol], and [Queue.Upgrade] takes a queue of the version before over.
package queue
