package queue

import "github.com/caur-build/caur/pkg/queue/internal/order"

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

// criticalPaths gives, for each job, the seconds of the longest chain of builds that waits on it, itself included.
func criticalPaths(jobs []*Job, seconds func(*Job) int64) []int64 {
	o := indexOffers(jobs)
	edges := make([][]int, len(jobs))
	times := make([]int64, len(jobs))
	for i, j := range jobs {
		edges[i], times[i] = o.of(i, j), seconds(j)
	}
	return order.CriticalPaths(edges, times)
}
