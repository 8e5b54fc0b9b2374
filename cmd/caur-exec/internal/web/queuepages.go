package web

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/history"
	"github.com/caur-build/caur/pkg/queue"
)

const (
	rowsShown   = 50   // of what waits, on the overview; the counts are complete
	rowsListed  = 5000 // on the page of all that waits
	buildsShown = 12
)

// runningRow is a build with how far it is, as far as past builds tell.
type runningRow struct {
	queue.RunningJob
	For, Expected time.Duration
}

// Left is how long it will yet take; 0 when that is not known.
func (r runningRow) Left() time.Duration { return max(0, r.Expected-r.For) }

// Late says that it takes longer than usual.
func (r runningRow) Late() bool { return r.Expected > 0 && r.For > r.Expected+r.Expected/2 }

// Percent is how far it is, at most 99: what is done is not shown here any more.
func (r runningRow) Percent() int {
	if r.Expected <= 0 {
		return 0
	}
	return int(min(99, 100*r.For/r.Expected))
}

// queueData is what the pages of the queue show.
type queueData struct {
	Head
	*queue.Snapshot
	Runs        []runningRow
	Shown       []queue.WaitingJob
	More, Ready int
	Held        int
	Recent      []*history.Build
	HistoryErr  bool
	Failed      int // in the last 24 hours
}

// Since is the time from t to the moment of the snapshot.
func (d queueData) Since(t time.Time) time.Duration { return d.Time.Sub(t) }

// Waited is how long a job has waited.
func (d queueData) Waited(j queue.Job) time.Duration { return d.Since(time.UnixMilli(j.Timestamp)) }

// Later is how long a job that must not begin yet still has to wait; 0 for others.
func (d queueData) Later(j queue.Job) time.Duration {
	return max(0, time.UnixMilli(j.NotBefore).Sub(d.Time))
}

// State is the state of a job that waits.
func (d queueData) State(j queue.WaitingJob) string { return waitState(j) }

func (s *Server) queueData(r *http.Request, title, nav string) (queueData, error) {
	v, err := s.opt.Queue.get(r.Context())
	if err != nil {
		return queueData{}, err
	}
	d := queueData{Head: s.head(r, title, nav), Snapshot: v.queue, HistoryErr: s.opt.History.Err() != nil}
	d.Now = v.queue.Time.UTC()
	for _, j := range v.queue.Running {
		d.Runs = append(d.Runs, runningRow{j, d.Since(j.Since), s.opt.History.Expected(j.Job.Arch, j.Job.Pkgbase)})
	}
	for _, j := range v.queue.Waiting {
		if j.Ready {
			d.Ready++
		}
		if j.Held {
			d.Held++
		}
	}
	return d, nil
}

// show takes the first rows of a list.
func (d *queueData) show(list []queue.WaitingJob, limit int) {
	d.Shown = list[:min(len(list), limit)]
	d.More = len(list) - len(d.Shown)
}

// overview shows what runs, waits and is published, the builders, and what ended last.
func (s *Server) overview(w http.ResponseWriter, r *http.Request) {
	d, err := s.queueData(r, "Build queue", "overview")
	if err != nil {
		s.unavailable(w, r, err)
		return
	}
	d.show(d.Waiting, rowsShown)
	d.Recent = s.opt.History.Recent(time.Time{}, buildsShown, nil)
	d.Failed = len(s.opt.History.Recent(d.Time.Add(-day), 1<<20, (*history.Build).Bad))
	s.render(w, r, "overview.html", d)
}

const day = 24 * time.Hour

// queuePage lists all that waits.
func (s *Server) queuePage(w http.ResponseWriter, r *http.Request) {
	d, err := s.queueData(r, "Waiting", "queue")
	if err != nil {
		s.unavailable(w, r, err)
		return
	}
	list := d.Waiting
	if d.Query = query(r); d.Query != "" {
		list = slices.DeleteFunc(slices.Clone(list), func(j queue.WaitingJob) bool { return !strings.Contains(j.Job.ID(), d.Query) })
	}
	d.show(list, rowsListed)
	s.render(w, r, "queue.html", d)
}

// query is what is looked for, bounded.
func query(r *http.Request) string {
	q := strings.ToValidUTF8(strings.TrimSpace(r.URL.Query().Get("q")), "")
	return strings.ToLower(q[:min(len(q), maxName)])
}

// graphPage draws what waits on what.
func (s *Server) graphPage(w http.ResponseWriter, r *http.Request) {
	v, err := s.opt.Queue.get(r.Context())
	if err != nil {
		s.unavailable(w, r, err)
		return
	}
	data := struct {
		Head
		Graph *graph
		Jobs  []queue.WaitingJob // the same in words
	}{Head: s.head(r, "Dependencies", "graph"), Graph: v.graph()}
	for _, j := range v.queue.Waiting {
		if len(j.BlockedBy) > 0 && len(data.Jobs) < maxNodes {
			data.Jobs = append(data.Jobs, j)
		}
	}
	s.render(w, r, "graph.html", data)
}
