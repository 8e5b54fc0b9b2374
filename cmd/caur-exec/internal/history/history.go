package history

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caur-build/caur/pkg/queue"
)

const (
	maxBuilds  = 20000 // in all
	perPackage = 100
	maxOpen    = 50000 // builds that began and have not ended
	feedSize   = 4096  // events for those who follow
	fewest     = time.Second
	longest    = 30 * time.Second
)

// Source gives the queue's events after one, and then what happens ([queue.Queue.Events]).
type Source func(ctx context.Context, after string) iter.Seq2[queue.Event, error]

// Build is one run of a job that ended, or the end of a job that never ran.
type Build struct {
	Job      queue.Job // without names and dependencies
	Builder  string    // empty when it never ran
	Started  time.Time // zero when it never ran, or nobody saw it start
	Ended    time.Time
	Duration time.Duration // of the build; 0 when not known
	Status   queue.Status
	Message  string
	Failure  *queue.Failure
	Again    bool // the job waits for another try; Status is that of this one
}

// Bad says that the build failed in a way that people look at.
func (b *Build) Bad() bool {
	return b.Status == queue.Failed || b.Status == queue.TimedOut || b.Status == queue.SoftwareFailure
}

// Class is why the build failed, in one word; empty for one that did not.
func (b *Build) Class() string {
	switch {
	case !b.Bad():
		return ""
	case b.Failure != nil && b.Failure.Class != "":
		return b.Failure.Class
	case b.Status == queue.TimedOut:
		return "timeout"
	case b.Status == queue.SoftwareFailure:
		return "software"
	}
	return "unknown"
}

// Index is the history. Its methods may be called from several goroutines.
type Index struct {
	source Source

	mu        sync.RWMutex
	running   map[string]*run // by task id
	builds    []*Build        // oldest first
	byPackage map[string][]*Build
	feed      []queue.Event // oldest first
	last      string        // ID of the last event read
	failed    error         // why events are not read at the moment
	news      chan struct{} // closed, and replaced, when something came
}

// run is a job that has begun.
type run struct {
	builder  string
	started  time.Time
	duration time.Duration // once it is delivered
}

// New makes an empty index. Run fills it.
func New(source Source) *Index {
	return &Index{source: source, running: map[string]*run{}, byPackage: map[string][]*Build{}, news: make(chan struct{})}
}

// Run reads events until the context ends, and returns nil then. Errors of Redis are kept for Err and tried again.
func (x *Index) Run(ctx context.Context) error {
	for pause := fewest; ctx.Err() == nil; pause = min(2*pause, longest) {
		for e, err := range x.source(ctx, x.lastID()) {
			if err != nil {
				x.fail(err)
				break
			}
			x.add(e)
			pause = fewest
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
	return nil
}

func (x *Index) lastID() string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.last
}

func (x *Index) fail(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.failed = err
}

// Err says why events cannot be read at the moment; nil when they can.
func (x *Index) Err() error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.failed
}

func (x *Index) add(e queue.Event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.failed = nil
	x.last = e.ID
	if e.Kind == queue.EventGap {
		clear(x.running) // the events that ended them may be among the lost
	} else if e.Job != nil {
		x.build(e)
	}
	if len(x.feed) >= feedSize {
		x.feed = append(x.feed[:0:0], x.feed[feedSize/4:]...)
	}
	x.feed = append(x.feed, e)
	close(x.news)
	x.news = make(chan struct{})
}

// build follows one job from its start to its end.
func (x *Index) build(e queue.Event) {
	id := e.Job.TaskID()
	switch e.Kind {
	case queue.EventStarted:
		if len(x.running) >= maxOpen {
			clear(x.running) // they never ended: the queue was emptied by hand, again and again
		}
		x.running[id] = &run{builder: e.Builder, started: e.Time}
	case queue.EventDelivered:
		if r := x.running[id]; r != nil {
			r.duration = cmp.Or(e.Duration, e.Time.Sub(r.started))
		}
	case queue.EventRequeued:
		if e.Failure != nil {
			b := x.finish(id, e)
			b.Again = true
			if !b.Bad() {
				b.Status = queue.Failed
			}
			x.keep(b)
		}
		delete(x.running, id)
	case queue.EventEnded:
		x.keep(x.finish(id, e))
		delete(x.running, id)
	}
}

func (x *Index) finish(id string, e queue.Event) *Build {
	b := &Build{Job: *e.Job, Builder: e.Builder, Ended: e.Time, Duration: e.Duration, Status: e.Status, Message: e.Message, Failure: e.Failure}
	if r := x.running[id]; r != nil {
		b.Started, b.Builder = r.started, cmp.Or(b.Builder, r.builder)
		b.Duration = cmp.Or(b.Duration, r.duration, e.Time.Sub(r.started))
	}
	return b
}

func (x *Index) keep(b *Build) {
	if len(x.builds) >= maxBuilds {
		for _, old := range x.builds[:maxBuilds/10] {
			list := x.byPackage[old.Job.Pkgbase]
			if i := slices.Index(list, old); i >= 0 {
				list = slices.Delete(list, i, i+1)
			}
			if len(list) == 0 {
				delete(x.byPackage, old.Job.Pkgbase)
			} else {
				x.byPackage[old.Job.Pkgbase] = list
			}
		}
		x.builds = append(x.builds[:0:0], x.builds[maxBuilds/10:]...)
	}
	x.builds = append(x.builds, b)
	list := append(x.byPackage[b.Job.Pkgbase], b)
	x.byPackage[b.Job.Pkgbase] = list[max(0, len(list)-perPackage):]
}

// Package gives the builds of a pkgbase, newest first.
func (x *Index) Package(pkgbase string) []*Build {
	x.mu.RLock()
	defer x.mu.RUnlock()
	list := slices.Clone(x.byPackage[pkgbase])
	slices.Reverse(list)
	return list
}

// Recent gives builds that keep accepts (nil: all), newest first, at most limit, none that ended before since.
func (x *Index) Recent(since time.Time, limit int, keep func(*Build) bool) []*Build {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var list []*Build
	for _, b := range slices.Backward(x.builds) {
		if len(list) >= limit || b.Ended.Before(since) {
			break
		}
		if keep == nil || keep(b) {
			list = append(list, b)
		}
	}
	return list
}

// Expected is how long a build of the package usually takes: the median of the last five that succeeded; 0 when none did.
func (x *Index) Expected(arch, pkgbase string) time.Duration {
	const few = 5
	x.mu.RLock()
	defer x.mu.RUnlock()
	var times []time.Duration
	for _, b := range slices.Backward(x.byPackage[pkgbase]) {
		if b.Status == queue.Success && b.Job.Arch == arch && b.Duration > 0 {
			if times = append(times, b.Duration); len(times) == few {
				break
			}
		}
	}
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[len(times)/2]
}

// Search gives names of packages that contain text, those that begin with it first, at most limit.
func (x *Index) Search(text string, limit int) []string {
	x.mu.RLock()
	names := make([]string, 0, 16)
	for name := range x.byPackage {
		if strings.Contains(name, text) {
			names = append(names, name)
		}
	}
	x.mu.RUnlock()
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(-boolean(strings.HasPrefix(a, text))+boolean(strings.HasPrefix(b, text)), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	return names[:min(len(names), limit)]
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}
