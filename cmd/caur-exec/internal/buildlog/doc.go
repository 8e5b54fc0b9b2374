// Package buildlog keeps the output of builds in Redis, later in files, and hands it to
// followers while it grows (executor.md section 5).
//
// Words:
//
//   - log: all output of the runs of one job, named by [Key]: pkgbase and the
//     job's timestamp. A job that is leased again after its builder died
//     continues the same log.
//   - chunk: a piece of a log as it is stored, at most [ChunkSize] bytes before
//     compression. Offsets are bytes of the uncompressed log, from 0.
//   - writer: the one process that may append. Opening a writer takes the log
//     over; what an older writer still sends is refused ([ErrSuperseded]).
//   - END: the mark of a finished log, with the job's status. It is a field of
//     its own, so that no build output can forge it.
//   - follower: a reader that gets what is there and then what comes, up to END.
//
// Contract:
//
//   - A writer never fails a build. It slows the build down when Redis is slow
//     (bounded memory), and gives output up, with a line that says how much,
//     when the log is larger than Options.MaxBytes or Redis stays away for
//     longer than Options.StallLimit.
//   - Followers pull: a slow one delays nobody and buffers nothing. All live
//     logs that a process follows share one blocking Redis call.
//   - A log without END whose job the queue no longer knows ends as well, so a
//     follower never hangs for ever (Options.Live).
//   - With Options.Path, [Store.Keep] moves a log from Redis to a file a while
//     after its END: to a temporary name, fsynced, renamed, and only then taken
//     out of Redis. Reading looks in both. A job that runs again writes on in
//     Redis, and its log is moved as a whole once more.
//   - Logs expire Options.Retention after the last byte.
//
// The Redis keys are built in keys.go and used nowhere else. All of them share
// one hash tag, so that scripts and multi-stream reads work on a Cluster.
package buildlog
