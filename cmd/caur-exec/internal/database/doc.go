// Package database is the database role: it takes built packages and clean-ups out of the queue, publishes them, and
// looks after what nobody else does (executor.md section 4).
//
// At start it checks its settings and the signing key, completes or forgets what a crash left in the repository, and
// advertises what builders need to know. Then, until its context ends, it
//
//   - takes deliveries, one at a time per target repo, several repos side by side, and ends each one: published,
//     refused (its job failed), or, when our own machine was at fault several times, as a software failure;
//   - returns jobs of dead builders to the queue (reap);
//   - sweeps the archive, the repository directories and the landing zone once an hour.
//
// A delivery that is interrupted at any point is taken again, by this process or another one, and has its effect once:
// publishing is a transaction that is fenced by the job's token, and doing it twice changes nothing.
package database
