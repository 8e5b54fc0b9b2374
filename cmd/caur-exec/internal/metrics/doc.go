// Package metrics tells Prometheus how the executor does (executor.md section 5): what was built and how long it took, the queue and its builders,
// publishing, the repositories, and the notifications.
//
// # Where the numbers come from
//
//   - builds_* are counted from the events of the queue by [Metrics.Follow] in the database role, in Redis: one script counts an event and moves the
//     remembered place, so that each event counts once, however many followers there are and whenever they are killed. Every process that serves
//     /metrics reads the same counts; scrape one of them. They grow for as long as Redis keeps its data; should it lose them they begin at 0, which
//     Prometheus takes for a restart. Events that the queue had trimmed before anybody read them are not counted.
//   - database_*, lost leases, notifications: counters that queue and outbox keep in Redis anyway.
//   - the queue and the builders: a snapshot, read at most every five seconds.
//   - publishing times, retries, repository sizes, Go and process: of this process alone; they are there where the database role runs.
//
// # Labels
//
// Repository, class, architecture and status. No label holds a package, unless METRICS_PER_PACKAGE says so; then too the number of series is bounded: what
// is beyond the bound counts as "other".
//
// # Redis
//
// All keys begin with {caur-metrics}: and so share a slot.
//
//	place      string: ID of the last event counted
//	builds     hash: labels → number; see counts.go
//	packages   hash: the same with the pkgbase
package metrics
