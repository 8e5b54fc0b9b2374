package queue

import (
	"fmt"
	"time"
)

// Protocol is the version of the queue's layout in Redis. Two programs share a queue only if theirs is the same.
const Protocol = 2

// Status says how a job or a clean-up ended. The numbers are those of today's installations (executor.md section 1).
type Status int

// The end states.
const (
	Success          Status = 0
	AlreadyBuilt     Status = 1 // the target repo has all packages of this version
	Skipped          Status = 2 // the package asked for it (CI_CODE_SKIP)
	Failed           Status = 3
	TimedOut         Status = 4
	Canceled         Status = 5 // by hand, or replaced by a newer job
	CanceledRequeued Status = 6 // the builder shut down; the job waits again, so this is never the end of a job
	SoftwareFailure  Status = 7 // not the package's fault: lost leases, a crash of ours
)

var statusNames = [...]string{"success", "already built", "skipped", "failed", "timed out", "canceled", "canceled and requeued", "software failure"}

// String gives the words used in logs and pages.
func (s Status) String() string {
	if s < 0 || int(s) >= len(statusNames) {
		return fmt.Sprintf("status %d", int(s))
	}
	return statusNames[s]
}

// Good reports whether dependants may count on the packages: success, already built and skipped.
func (s Status) Good() bool { return s == Success || s == AlreadyBuilt || s == Skipped }

// Job is one package to build. Names and dependencies are without version constraint.
type Job struct {
	Pkgbase      string   `json:"pkgbase"`
	TargetRepo   string   `json:"target_repo"`
	SourceRepo   string   `json:"source_repo"`
	Arch         string   `json:"arch"`
	Class        string   `json:"build_class"` // a number, or the name of one builder; empty means 1
	Pkgnames     []string `json:"pkgnames"`
	Provides     []string `json:"provides,omitempty"`
	Dependencies []string `json:"dependencies,omitempty"`
	Commit       string   `json:"commit,omitempty"`        // SHA:PIPELINE_ID, for statuses and links
	SourceCommit string   `json:"source_commit,omitempty"` // what is built; empty means the head of the branch
	ArchMirror   string   `json:"arch_mirror,omitempty"`   // URL with $repo and $arch
	Priority     int      `json:"priority,omitempty"`      // 0 usual, more is sooner: each step is worth a week of waiting; at most 100 either way
	NotBefore    int64    `json:"not_before,omitempty"`    // Unix ms by Redis' clock; 0 at once
	Timestamp    int64    `json:"timestamp,omitempty"`     // Unix ms, set by Enqueue from Redis' clock, unique per pkgbase; names the log
}

// ID is the identity TARGET_REPO/ARCH/PKGBASE.
func (j Job) ID() string { return j.TargetRepo + "/" + j.Arch + "/" + j.Pkgbase }

// TaskID names this job alone among all jobs of its identity: ID:TIMESTAMP. [Queue.WaitTask] and [Queue.Cancel] take either.
func (j Job) TaskID() string { return fmt.Sprintf("%s:%d", j.ID(), j.Timestamp) }

// Cleanup asks the database role to remove from a target repo every package whose pkgbase is not listed.
type Cleanup struct {
	TargetRepo string   `json:"target_repo"`
	Arch       string   `json:"arch"`
	Pkgbases   []string `json:"pkgbases"`
	Commit     string   `json:"commit,omitempty"`
	Force      bool     `json:"force,omitempty"` // allow an empty list and the removal of more than a third (executor.md section 4)
}

// Batch is enqueued as a whole or not at all.
type Batch struct {
	ID      string // accepted once in seven days; empty: a random one
	Jobs    []Job  // each identity at most once
	Cleanup *Cleanup
	Missing bool // leave out jobs of which one of the same identity is alive, instead of replacing that
}

// Enqueued says what a batch did. The lists hold job ids; Replaced and CanceledRuns are part of Added.
type Enqueued struct {
	Added        []string
	Replaced     []string // waited before: the older job ended as canceled
	CanceledRuns []string // ran or were being published: that run ended as canceled
	LeftOut      []string // were alive, and the batch asked to leave them (Batch.Missing)
	CleanupID    string   // task id of the clean-up, for [Queue.WaitTask]
	Duplicate    bool     // the batch id was accepted before; the rest is what it did then
}

// Builder is who claims.
type Builder struct {
	Name     string
	Class    string   // a number: takes numeric classes up to it, and its own name; else only its own name. Empty means 1
	Arches   []string // architectures it can build; empty means every
	Protocol int      // 0 means [Protocol]
	Version  string   // of the program, for people
}

// Lease is the right to work on a job. Its fields are the proof: a Lease may be stored and used by another process.
type Lease struct {
	Job     Job
	Token   int64 // fencing token
	Builder string
	Attempt int       // 1 + leases of this job that ran out before
	Retries int       // times that a builder asked for another try, see Retry
	Expires time.Time // by Redis' clock, as of the claim; Renew moves it in Redis only
}

// File is a built package file in the landing zone.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// Result is what a builder says about its run.
type Result struct {
	Status   Status        `json:"status"`
	Message  string        `json:"message,omitempty"` // one sentence for people
	Files    []File        `json:"files,omitempty"`
	Duration time.Duration `json:"duration,omitempty"`
	Builder  string        `json:"builder,omitempty"` // set from the lease
	Failure  *Failure      `json:"failure,omitempty"` // why it failed
}

// Failure says why a build failed.
type Failure struct {
	Class string   `json:"class"`           // dependency, download, checksum, pgp, patch, compile, test, package, memory, disk, timeout, unknown
	Lines []string `json:"lines,omitempty"` // the last meaningful lines of the log, without escapes; at most 10 of 300 bytes
}

// Delivery is something to publish: a built job (Job and Result) or a clean-up (Cleanup).
type Delivery struct {
	ID          string // task id
	TargetRepo  string
	Job         *Job
	Result      Result
	Token       int64 // the job's fencing token
	Cleanup     *Cleanup
	Holder      string
	HolderToken int64 // fencing token of the holder's turn
	Attempt     int   // 1 + turns that were begun and never finished
}
