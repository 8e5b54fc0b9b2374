package web

import (
	"context"
	"sync"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/buildlog"
	"github.com/caur-build/caur/pkg/queue"
)

const (
	freshFor     = time.Second      // a snapshot is served
	snapshotTime = 10 * time.Second // reading one may take
)

// Snapshots reads the queue at most once a second and shares the result, however many ask.
type Snapshots struct {
	read func(context.Context) (*queue.Snapshot, error)
	now  func() time.Time

	mu      sync.Mutex
	latest  *view
	taken   time.Time
	coming  chan struct{} // closed when the read under way has ended; nil when there is none
	changes int           // how often forget was called: a read that began before shows an old queue
}

// view is one reading of the queue and what was made of it; it does not change.
type view struct {
	queue   *queue.Snapshot
	err     error
	changes int                          // of Snapshots when the read began: one that began before the latest shows an old queue
	live    func() map[buildlog.Key]bool // logs that may still grow
	graph   func() *graph
	json    sync.Map // shape's name → encoded answer
}

// NewSnapshots shares what read gives.
func NewSnapshots(read func(context.Context) (*queue.Snapshot, error), now func() time.Time) *Snapshots {
	return &Snapshots{read: read, now: now}
}

// Live says whether the queue still knows the job of a log: it waits, runs or is published. It is what buildlog asks to
// end the followers of a builder that died.
func (s *Snapshots) Live(ctx context.Context, k buildlog.Key) (bool, error) {
	v, err := s.get(ctx)
	if err != nil {
		return false, err
	}
	return v.live()[k], nil
}

// forget makes the next page read the queue anew: who has just changed it wants to see that.
func (s *Snapshots) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
}

func (s *Snapshots) get(ctx context.Context) (*view, error) {
	s.mu.Lock()
	changes := s.changes
	for s.latest == nil || s.latest.changes < changes || s.now().Sub(s.taken) >= freshFor {
		if s.coming == nil {
			s.coming = make(chan struct{})
			go s.refresh(context.WithoutCancel(ctx))
		}
		coming := s.coming
		s.mu.Unlock()
		select {
		case <-coming:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		s.mu.Lock()
		if s.coming == nil && s.latest.changes >= changes {
			break // fresh enough for those who waited for it, however slow the read was
		}
	}
	v := s.latest
	s.mu.Unlock()
	return v, v.err
}

func (s *Snapshots) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTime)
	defer cancel()
	s.mu.Lock()
	v := &view{changes: s.changes}
	s.mu.Unlock()
	v.queue, v.err = s.read(ctx)
	v.live = sync.OnceValue(v.liveLogs)
	v.graph = sync.OnceValue(func() *graph { return newGraph(v.queue) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest, s.taken = v, s.now()
	close(s.coming)
	s.coming = nil
}

func (v *view) liveLogs() map[buildlog.Key]bool {
	live := make(map[buildlog.Key]bool)
	add := func(j queue.Job) { live[buildlog.Key{Pkgbase: j.Pkgbase, Timestamp: j.Timestamp}] = true }
	for _, j := range v.queue.Waiting {
		add(j.Job)
	}
	for _, j := range v.queue.Running {
		add(j.Job)
	}
	for _, j := range v.queue.Publishing {
		if j.Job != nil {
			add(*j.Job)
		}
	}
	return live
}
