// Package queuesim plays the building of many packages through without building any, to compare orders of offer. It decides with the code that the queue's order is defined by
// (internal/order), which a test of the queue holds against the scripts in Redis.
package queuesim

import (
	"cmp"
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/caur-build/caur/pkg/queue"
	"github.com/caur-build/caur/pkg/queue/internal/order"
)

// Work is a number of jobs to build.
type Work struct {
	jobs []queue.Job
	// deps are the jobs that each depends on; those of a cycle one after another.
	deps     [][]int
	arrive   []int64 // seconds after the beginning
	recorded []int64 // seconds that the last build took, which is what the queue goes by
	actual   []int64 // seconds that this one takes
	path     []int64
}

// NewWork makes work of jobs of one architecture, which come in batches of so many, one every so often; 0 for all at once. Durations are drawn, always the same for a seed: the last build of a
// package took a lognormal time, median 3 minutes and σ 1.3 (mean 7 minutes, one in a hundred over an hour), and this one differs by a lognormal factor of σ 0.2.
func NewWork(jobs []queue.Job, batch int, every time.Duration, seed uint64) *Work {
	w := &Work{jobs: slices.Clone(jobs)}
	r := rand.New(rand.NewPCG(seed, 0))
	if batch > 0 { // all at once they come in the order of their names, as from a pipeline; else as upstreams release
		r.Shuffle(len(w.jobs), func(i, k int) { w.jobs[i], w.jobs[k] = w.jobs[k], w.jobs[i] })
	} else {
		batch = len(jobs)
	}
	edges := edgesOf(w.jobs)
	for i := range w.jobs {
		last := 180 * math.Exp(1.3*r.NormFloat64())
		w.recorded = append(w.recorded, max(1, int64(last)))
		w.actual = append(w.actual, max(1, int64(last*math.Exp(0.2*r.NormFloat64()))))
		w.arrive = append(w.arrive, int64(i/batch)*int64(every/time.Second))
	}
	w.deps = inTurn(edges)
	w.path = w.paths(edges, batch)
	return w
}

// edgesOf gives the jobs that each depends on.
func edgesOf(jobs []queue.Job) [][]int {
	offers := map[string][]int{}
	for i, j := range jobs {
		for _, name := range slices.Concat(j.Pkgnames, j.Provides) {
			offers[name] = append(offers[name], i)
		}
	}
	edges := make([][]int, len(jobs))
	for i, j := range jobs {
		for _, name := range j.Dependencies {
			for _, k := range offers[name] {
				if k != i && !slices.Contains(edges[i], k) {
					edges[i] = append(edges[i], k)
				}
			}
		}
	}
	return edges
}

// inTurn lets the jobs of a cycle wait for what any of them depends on outside, and then go one after another.
func inTurn(edges [][]int) [][]int {
	component, count := order.Components(edges)
	members := make([][]int, count)
	for i, c := range component {
		members[c] = append(members[c], i)
	}
	deps := make([][]int, len(edges))
	for _, cycle := range members {
		for n, i := range cycle {
			if n > 0 {
				deps[i] = append(deps[i], cycle[n-1])
			}
			for _, m := range cycle {
				for _, k := range edges[m] {
					if component[k] != component[i] {
						deps[i] = append(deps[i], k)
					}
				}
			}
		}
	}
	return deps
}

// paths gives the critical paths as Enqueue does: over each batch, by the recorded durations.
func (w *Work) paths(edges [][]int, batch int) []int64 {
	var all []int64
	for begin := 0; begin < len(edges); begin += batch {
		end := min(len(edges), begin+batch)
		inside := make([][]int, end-begin)
		for i := begin; i < end; i++ {
			for _, k := range edges[i] {
				if k >= begin && k < end {
					inside[i-begin] = append(inside[i-begin], k-begin)
				}
			}
		}
		all = append(all, order.CriticalPaths(inside, w.recorded[begin:end])...)
	}
	return all
}

// Policy is an order of offer.
type Policy int

// The policies.
const (
	Queue Policy = iota // as pkg/queue does
	FIFO                // of the ready jobs the one that was enqueued first
)

// Result is how it went.
type Result struct {
	Makespan time.Duration // until the last is built
	MeanWait time.Duration // between enqueue and begin of a build
	MaxWait  time.Duration
}

// running are the builds under way, by their end.
type running [][2]int64 // end, job

func (r running) Len() int           { return len(r) }
func (r running) Less(a, b int) bool { return r[a][0] < r[b][0] }
func (r running) Swap(a, b int)      { r[a], r[b] = r[b], r[a] }

// Push and Pop are for container/heap.
func (r *running) Push(x any) { *r = append(*r, x.([2]int64)) }
func (r *running) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}

// Run builds all of it with so many builders.
func (w *Work) Run(builders int, p Policy) Result {
	const waiting, building, built = 0, 1, 2
	state := make([]int, len(w.jobs))
	var under running
	var total, longest, now, end int64
	open := make([]int, len(w.jobs))
	for i := range open {
		open[i] = i
	}
	fair := &order.Fair{}
	for len(open) > 0 || len(under) > 0 {
		for len(under) < builders {
			i := w.next(open, now, p, fair, func(k int) bool { return w.arrive[k] <= now && state[k] != built })
			if i < 0 {
				break
			}
			state[i] = building
			open = slices.DeleteFunc(open, func(k int) bool { return k == i })
			heap.Push(&under, [2]int64{now + w.actual[i], int64(i)})
			total += now - w.arrive[i]
			longest = max(longest, now-w.arrive[i])
		}
		next := int64(math.MaxInt64)
		for _, i := range open {
			if w.arrive[i] > now {
				next = min(next, w.arrive[i])
			}
		}
		if len(under) > 0 && under[0][0] <= next {
			done := heap.Pop(&under).([2]int64)
			now, end, state[done[1]] = done[0], done[0], built
		} else {
			now = next
		}
	}
	seconds := func(s int64) time.Duration { return time.Duration(s) * time.Second }
	return Result{Makespan: seconds(end), MeanWait: seconds(total / int64(max(1, len(w.jobs)))), MaxWait: seconds(longest)}
}

// next picks one of the ready jobs, -1 for none.
func (w *Work) next(open []int, now int64, p Policy, fair *order.Fair, blocks func(int) bool) int {
	first := map[string]int{}
	for _, i := range open {
		if w.arrive[i] > now || slices.ContainsFunc(w.deps[i], blocks) {
			continue
		}
		repo := w.jobs[i].TargetRepo
		if p == FIFO {
			repo = ""
		}
		if k, ok := first[repo]; !ok || w.before(i, k, p) {
			first[repo] = i
		}
	}
	if p == FIFO || len(first) == 0 {
		if i, ok := first[""]; ok && p == FIFO {
			return i
		}
		return -1
	}
	var heads []order.Head
	for repo, i := range first {
		heads = append(heads, order.Head{Repo: repo, Score: w.score(i), Age: int64(i), Priority: w.jobs[i].Priority, Seconds: w.recorded[i]})
	}
	return int(fair.Next(heads).Age)
}

func (w *Work) score(i int) int64 {
	return order.Score(w.arrive[i]*1000, w.path[i], w.jobs[i].Priority)
}

func (w *Work) before(a, b int, p Policy) bool {
	if p == FIFO {
		return cmp.Or(cmp.Compare(w.arrive[a], w.arrive[b]), cmp.Compare(a, b)) < 0
	}
	return cmp.Or(cmp.Compare(w.score(a), w.score(b)), cmp.Compare(a, b)) < 0
}

// Bound is what no order can beat: all the work shared among the builders without a gap, or the longest chain of builds; of work that comes in batches the
// last to come instead, for a dependency that comes later than its dependant may find it built.
func (w *Work) Bound(builders int) time.Duration {
	var sum int64
	for _, s := range w.actual {
		sum += s
	}
	longest := int64(0)
	for i, path := range order.CriticalPaths(w.deps, w.actual) {
		if w.arrive[len(w.arrive)-1] > 0 {
			path = w.actual[i]
		}
		longest = max(longest, w.arrive[i]+path)
	}
	return time.Duration(max((sum+int64(builders)-1)/int64(builders), longest)) * time.Second
}
