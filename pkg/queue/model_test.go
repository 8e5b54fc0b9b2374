package queue

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/caur-build/caur/pkg/queue/internal/order"
)

// model is what the queue must do, said as plainly as possible: no indexes, everything from the definition in the package comment.
type model struct {
	alive map[string]*modelJob // by id
	ended map[string]Status    // by task
	lines map[string][]string  // target repo → tasks
	holds map[string]string    // target repo → task being published
	clock int                  // grows with each job: age
	mode  string               // what a bad end means to dependants: build, hold, skip
	away  map[string]bool      // builders that are drained
	fair  order.Fair
}

type modelJob struct {
	job        Job
	task       string
	state      string // waiting running publishing
	age        int
	path       int64
	lost       int
	failedDeps []string
	builder    string
	later      bool // waits for its time
	retries    int
}

func newModel() *model {
	return &model{alive: map[string]*modelJob{}, ended: map[string]Status{}, lines: map[string][]string{}, holds: map[string]string{}, mode: "build", away: map[string]bool{}}
}

func offersOneOf(k, j *modelJob) bool {
	if k.job.Arch != j.job.Arch && k.job.Arch != "any" && j.job.Arch != "any" {
		return false
	}
	for _, name := range slices.Concat(k.job.Pkgnames, k.job.Provides) {
		if slices.Contains(j.job.Dependencies, name) {
			return true
		}
	}
	return false
}

func (m *model) sorted() []*modelJob {
	var out []*modelJob
	for _, j := range m.alive {
		out = append(out, j)
	}
	slices.SortFunc(out, func(a, b *modelJob) int { return cmp.Compare(a.age, b.age) })
	return out
}

// edges gives for each job the jobs it waits for; only waiting jobs wait.
func (m *model) edges() map[*modelJob][]*modelJob {
	e := map[*modelJob][]*modelJob{}
	for _, j := range m.alive {
		for _, k := range m.alive {
			if j != k && j.state == "waiting" && offersOneOf(k, j) {
				e[j] = append(e[j], k)
			}
		}
	}
	return e
}

// reach gives all jobs that a job can get to.
func reach(e map[*modelJob][]*modelJob) map[*modelJob]map[*modelJob]bool {
	r := map[*modelJob]map[*modelJob]bool{}
	for start := range e {
		seen := map[*modelJob]bool{}
		todo := []*modelJob{start}
		for len(todo) > 0 {
			v := todo[0]
			todo = todo[1:]
			for _, w := range e[v] {
				if !seen[w] {
					seen[w] = true
					todo = append(todo, w)
				}
			}
		}
		r[start] = seen
	}
	return r
}

// ready gives the jobs that may be claimed, and whether it is their turn in a cycle.
func (m *model) ready() (ready map[*modelJob]bool) {
	ready = map[*modelJob]bool{}
	e := m.edges()
	r := reach(e)
	for _, j := range m.alive {
		if j.state != "waiting" {
			continue
		}
		if len(e[j]) == 0 {
			if !m.holdsBack(j) {
				ready[j] = false
			}
			continue
		}
		// The component of j is closed when everything it reaches reaches it too.
		first := j
		closed := !m.holdsBack(j)
		for k := range r[j] {
			if !r[k][j] || m.holdsBack(k) {
				closed = false
				break
			}
			if cmp.Or(cmp.Compare(len(e[k]), len(e[first])), strings.Compare(k.job.Pkgbase, first.job.Pkgbase), strings.Compare(k.job.ID(), first.job.ID())) < 0 {
				first = k
			}
		}
		if closed && first == j {
			ready[j] = true
		}
	}
	return ready
}

// holdsBack says whether a job stays blocked because of what ended badly.
func (m *model) holdsBack(j *modelJob) bool { return m.mode == "hold" && len(j.failedDeps) > 0 }

func (m *model) takes(b Builder, j *modelJob) bool {
	if len(b.Arches) > 0 && j.job.Arch != "any" && !slices.Contains(b.Arches, j.job.Arch) {
		return false
	}
	var n, limit int
	if _, err := fmt.Sscan(j.job.Class, &n); err != nil {
		return j.job.Class == b.Name
	}
	if _, err := fmt.Sscan(b.Class, &limit); err != nil {
		return false
	}
	return n <= limit
}

func (j *modelJob) score() int64 { return order.Score(j.job.Timestamp, j.path, j.job.Priority) }

// next is the job that a builder must get, nil for none.
func (m *model) next(b Builder) *modelJob {
	first := map[string]*modelJob{}
	for j := range m.ready() {
		if m.away[b.Name] || j.later || !m.takes(b, j) {
			continue
		}
		best := first[j.job.TargetRepo]
		if best == nil || cmp.Or(cmp.Compare(j.score(), best.score()), cmp.Compare(j.age, best.age)) < 0 {
			first[j.job.TargetRepo] = j
		}
	}
	var heads []order.Head
	for repo, j := range first {
		heads = append(heads, order.Head{Repo: repo, Score: j.score(), Age: int64(j.age), Priority: j.job.Priority, Seconds: 1})
	}
	if len(heads) == 0 {
		return nil
	}
	return first[m.fair.Next(heads).Repo]
}

func (m *model) end(j *modelJob, s Status) {
	m.endAs(j, s, !s.Good())
}

func (m *model) endAs(j *modelJob, s Status, bad bool) {
	m.ended[j.task] = s
	delete(m.alive, j.job.ID())
	repo := j.job.TargetRepo
	m.lines[repo] = slices.DeleteFunc(m.lines[repo], func(task string) bool { return task == j.task })
	for _, d := range m.alive {
		if s == Canceled || d.state != "waiting" || !offersOneOf(j, d) {
			continue
		}
		if bad && m.mode == "skip" {
			if m.alive[d.job.ID()] == d {
				m.endAs(d, Skipped, true)
			}
			continue
		}
		d.failedDeps = slices.DeleteFunc(d.failedDeps, func(id string) bool { return id == j.job.ID() })
		if bad {
			d.failedDeps = append(d.failedDeps, j.job.ID())
		}
	}
}

func (m *model) add(j Job, path int64) {
	if old := m.alive[j.ID()]; old != nil {
		m.end(old, Canceled)
	}
	m.clock++
	m.alive[j.ID()] = &modelJob{job: j, task: j.TaskID(), state: "waiting", age: m.clock, path: path, later: j.NotBefore > 0}
}
