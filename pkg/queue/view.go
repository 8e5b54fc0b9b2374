package queue

import "time"

// WaitingJob is a job that no builder has.
type WaitingJob struct {
	Job          Job
	Ready        bool     // may be claimed now
	InCycle      bool     // ready although BlockedBy is not empty: the turn of its cycle (see the package comment)
	BlockedBy    []string // ids of the jobs alive that offer one of its dependencies
	FailedDeps   []string // ids of dependencies that ended badly while it waited
	NoBuilder    bool     // no builder seen lately takes its class and architecture
	LostLeases   int
	Held         bool          // stays blocked because of FailedDeps (Advert.OnDepFailure); Release frees it
	Retries      int           // times that a builder asked for another try
	Failure      *Failure      // why the last try failed
	Message      string        // what its builder said
	CriticalPath time.Duration // longest chain of builds that waits on it, itself included
}

// RunningJob is a job that a builder has.
type RunningJob struct {
	Job     Job
	Builder string
	Class   string // of the builder
	Token   int64
	Attempt int
	Since   time.Time
	Expires time.Time
}

// PublishingJob is a job or clean-up in the line of its target repo.
type PublishingJob struct {
	ID      string // task id
	Job     *Job   // nil for a clean-up
	Cleanup *Cleanup
	Builder string // who built it
	Holder  string // who publishes it now, empty while it waits
	Since   time.Time
}

// BuilderState is a builder as last seen.
type BuilderState struct {
	Builder  Builder
	LastSeen time.Time
	Busy     int  // jobs it has now
	Drained  bool // gets no more jobs, see Drain
}

// Counters count since the queue began.
type Counters struct {
	BuilderCompleted, BuilderFailed   int64            // builds, as in /api/queue/metrics (executor.md section 5)
	DatabaseCompleted, DatabaseFailed int64            // deliveries and clean-ups
	Ended                             map[Status]int64 // jobs by end state
	LostLeases                        int64
}

// Snapshot is the queue at one moment. Waiting jobs come in the order of offer (ready first), the others oldest first.
type Snapshot struct {
	Time       time.Time // Redis' clock
	Exact      bool      // false when the queue was large and changed while it was read
	Waiting    []WaitingJob
	Running    []RunningJob
	Publishing []PublishingJob
	Builders   []BuilderState
	Counters   Counters
}

// EventKind says what happened to a job or clean-up.
type EventKind string

// The kinds of events.
const (
	EventQueued    EventKind = "queued"
	EventStarted   EventKind = "started"   // claimed by Builder
	EventRequeued  EventKind = "requeued"  // given back: Message says why (builder shut down, lease ran out)
	EventDelivered EventKind = "delivered" // built; waits to be published
	EventEnded     EventKind = "ended"     // with Status; the last event of a job
	EventGap       EventKind = "gap"       // not stored: events were trimmed before the reader came; take a Snapshot
)

// Event is one entry of the queue's history, which keeps about the last 20,000.
type Event struct {
	ID      string // grows; give the last one seen to Events
	Kind    EventKind
	JobID   string   // identity, or the task id of a clean-up
	Job     *Job     // the job it happened to, without names and dependencies; nil for a clean-up
	Cleanup *Cleanup // target repo, arch and commit only; nil for a job
	Status  Status   // of EventEnded
	Message string
	Builder string
	Time    time.Time

	Duration time.Duration // of the build, where known: delivered, ended, requeued
	Failure  *Failure      // why it failed, where known: ended, requeued
}

// Reaped is a lease that ran out.
type Reaped struct {
	Job     Job
	Builder string
	Attempt int
	Ended   bool // the job ended as SoftwareFailure; else it waits again
}

// Advert is what the database role tells builders.
type Advert struct {
	Image       string                `json:"image,omitempty"`
	Packager    string                `json:"packager,omitempty"`
	LogsURL     string                `json:"logs_url,omitempty"`
	Landing     Landing               `json:"landing"`
	SourceRepos map[string]SourceRepo `json:"source_repos,omitempty"`
	TargetRepos map[string]TargetRepo `json:"target_repos,omitempty"`

	// What becomes of jobs whose dependency ended badly (QUEUE_ON_DEP_FAILURE): "build" and empty, they are built all the same; "hold", they wait until it was built
	// after all, Release, or a replacement; "skip", they end as Skipped, and those that depend on them too.
	OnDepFailure string `json:"on_dep_failure,omitempty"`
	// Shares of build time between target repos that have ready jobs (QUEUE_WEIGHTS); 1 where not named.
	Weights map[string]int `json:"weights,omitempty"`
}

// Landing is where built packages go over SFTP.
type Landing struct {
	Host string `json:"host,omitempty"`
	Port int    `json:"port,omitempty"`
	User string `json:"user,omitempty"`
	Path string `json:"path,omitempty"`
}

// SourceRepo is a repository of PKGBUILDs.
type SourceRepo struct {
	URL string `json:"url"`
}

// TargetRepo is what a build for a target repo needs beside the distribution's repositories.
type TargetRepo struct {
	ExtraRepos    []ExtraRepo `json:"extra_repos,omitempty"`
	ExtraKeyrings []string    `json:"extra_keyrings,omitempty"` // URLs
}

// ExtraRepo is a pacman repository.
type ExtraRepo struct {
	Name    string   `json:"name"`
	Servers []string `json:"servers"`
}
