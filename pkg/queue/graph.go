package queue

// offers answers which of some jobs offer a name, by the rule of lua/lib.lua.
type offers map[string]map[string][]int // architecture → name → indexes of jobs

func indexOffers(jobs []*Job) offers {
	o := offers{}
	for i, j := range jobs {
		names := o[j.Arch]
		if names == nil {
			names = map[string][]int{}
			o[j.Arch] = names
		}
		for _, list := range [][]string{j.Pkgnames, j.Provides} {
			for _, name := range list {
				if had := names[name]; len(had) == 0 || had[len(had)-1] != i {
					names[name] = append(had, i)
				}
			}
		}
	}
	return o
}

// of gives the jobs other than i that offer one of its dependencies, each once.
func (o offers) of(i int, j *Job) []int {
	var found []int
	seen := map[int]bool{i: true}
	for arch, names := range o {
		if arch != j.Arch && arch != "any" && j.Arch != "any" {
			continue
		}
		for _, name := range j.Dependencies {
			for _, k := range names[name] {
				if !seen[k] {
					seen[k] = true
					found = append(found, k)
				}
			}
		}
	}
	return found
}

// criticalPaths gives, for each job, the seconds of the longest chain of builds that waits on it, itself included. The jobs of a
// cycle are built one after another, so they share one length: their sum and what waits on any of them.
func criticalPaths(jobs []*Job, seconds func(*Job) int64) []int64 {
	o := indexOffers(jobs)
	edges := make([][]int, len(jobs))
	for i, j := range jobs {
		edges[i] = o.of(i, j)
	}
	component, count := components(edges)
	members := make([][]int, count)
	length := make([]int64, count)
	for i, c := range component {
		members[c] = append(members[c], i)
		length[c] += seconds(jobs[i])
	}
	// Tarjan numbers a component after those that it depends on: going down, dependants come first.
	behind := make([]int64, count)
	for c := count - 1; c >= 0; c-- {
		length[c] += behind[c]
		for _, i := range members[c] {
			for _, k := range edges[i] {
				if d := component[k]; d != c {
					behind[d] = max(behind[d], length[c])
				}
			}
		}
	}
	paths := make([]int64, len(jobs))
	for i := range jobs {
		paths[i] = length[component[i]]
	}
	return paths
}

// components numbers the strongly connected components (Tarjan), each after all that it has edges to.
func components(edges [][]int) (component []int, count int) {
	type frame struct{ v, next int }
	n := len(edges)
	component = make([]int, n)
	order, low := make([]int, n), make([]int, n)
	for i := range component {
		component[i] = -1
	}
	var stack []int
	clock := 0
	for root := range n {
		if order[root] != 0 {
			continue
		}
		frames := []frame{{v: root}}
		for len(frames) > 0 {
			f := &frames[len(frames)-1]
			v := f.v
			if f.next == 0 {
				clock++
				order[v], low[v] = clock, clock
				stack = append(stack, v)
			}
			if f.next < len(edges[v]) {
				w := edges[v][f.next]
				f.next++
				if order[w] == 0 {
					frames = append(frames, frame{v: w})
				} else if component[w] < 0 {
					low[v] = min(low[v], order[w])
				}
				continue
			}
			if low[v] == order[v] {
				for w := -1; w != v; {
					w = stack[len(stack)-1]
					stack = stack[:len(stack)-1]
					component[w] = count
				}
				count++
			}
			frames = frames[:len(frames)-1]
			if len(frames) > 0 {
				up := frames[len(frames)-1].v
				low[up] = min(low[up], low[v])
			}
		}
	}
	return component, count
}
