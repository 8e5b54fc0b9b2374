package order

// CriticalPaths gives, for each job, the seconds of the longest chain of builds that waits on it, itself included; edges are the jobs that each depends on. The jobs of a
// cycle are built one after another, so they share one length: their sum and what waits on any of them.
func CriticalPaths(edges [][]int, seconds []int64) []int64 {
	component, count := Components(edges)
	members := make([][]int, count)
	length := make([]int64, count)
	for i, c := range component {
		members[c] = append(members[c], i)
		length[c] += seconds[i]
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
	paths := make([]int64, len(edges))
	for i := range edges {
		paths[i] = length[component[i]]
	}
	return paths
}

// Components numbers the strongly connected components (Tarjan), each after all that it has edges to.
func Components(edges [][]int) (component []int, count int) {
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
