package deptree

import (
	"slices"
	"strings"

	"gonum.org/v1/gonum/graph"
	"gonum.org/v1/gonum/graph/iterator"
	"gonum.org/v1/gonum/graph/simple"
	"gonum.org/v1/gonum/graph/topo"
)

// Order is a build order.
type Order struct {
	// Waves: the packages of one wave, sorted, depend on none of the same and only on earlier
	// ones, except inside a cycle.
	Waves [][]string `json:"waves"`
	// Cycles: the packages of each in the order in which they are built.
	Cycles [][]string `json:"cycles"`
}

// Order puts packages into waves: those of one wave can be built at the same
// time, when all earlier waves are done. Without names it orders the whole tree;
// names that are not in the tree are left out. Only dependencies between
// the packages that are ordered count, as in the queue: what is not being built is
// taken from the repository as it is.
//
// In a cycle whose other dependencies are met, one package that lacks the
// fewest dependencies, and of these the first by name, goes into the wave with a
// dependency unmet; after it the rest is looked at again.
func (g *Graph) Order(only []string) Order {
	selected := make([]bool, len(g.nodes))
	if len(only) == 0 {
		for i := range selected {
			selected[i] = true
		}
	}
	for _, i := range g.ids(only) {
		selected[i] = true
	}
	o := newOrdering(g, selected)
	order := Order{Waves: [][]string{}, Cycles: [][]string{}}
	for wave := o.next(); len(wave) > 0; wave = o.next() {
		order.Waves = append(order.Waves, g.pkgbases(wave))
	}
	for c := range o.parts {
		if len(o.parts[c].members) > 1 {
			order.Cycles = append(order.Cycles, g.pkgbases(o.parts[c].built))
		}
	}
	slices.SortFunc(order.Cycles, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return order
}

// ordering is the state of one Order: which packages wait for how many others.
type ordering struct {
	g        *Graph
	selected []bool
	done     []bool
	unmet    []int // dependencies of a package that are not done
	part     []int // strongly connected component of a package
	parts    []component
	ready    []int // packages without unmet dependencies, for the next wave
	open     []int // cycles that lack nothing from outside and are not finished
}

type component struct {
	members []int // sorted
	outside int   // unmet dependencies on other components
	built   []int // in order
}

func newOrdering(g *Graph, selected []bool) *ordering {
	n := len(g.nodes)
	o := &ordering{g: g, selected: selected, done: make([]bool, n), unmet: make([]int, n), part: make([]int, n)}
	for _, members := range g.components(selected) {
		for _, i := range members {
			o.part[i] = len(o.parts)
		}
		o.parts = append(o.parts, component{members: members})
	}
	for c := range o.parts {
		p := &o.parts[c]
		for _, i := range p.members {
			for _, need := range g.needs[i] {
				if !selected[need] {
					continue
				}
				o.unmet[i]++
				if o.part[need] != c {
					p.outside++
				}
			}
			if o.unmet[i] == 0 {
				o.ready = append(o.ready, i)
			}
		}
		o.opened(c)
	}
	return o
}

// opened notes a cycle that lacks nothing from outside.
func (o *ordering) opened(c int) {
	if p := &o.parts[c]; len(p.members) > 1 && p.outside == 0 {
		o.open = append(o.open, c)
	}
}

// next takes one wave; it is empty when nothing is left.
func (o *ordering) next() []int {
	wave := o.ready
	o.ready = nil
	o.open = slices.DeleteFunc(o.open, func(c int) bool { return len(o.parts[c].built) == len(o.parts[c].members) })
	for _, c := range o.open {
		if i := o.breakCycle(c); i >= 0 {
			wave = append(wave, i)
		}
	}
	slices.Sort(wave)
	for _, i := range wave {
		o.done[i] = true
		p := &o.parts[o.part[i]]
		p.built = append(p.built, i)
	}
	for _, i := range wave {
		o.finish(i)
	}
	return wave
}

// breakCycle picks the package of a cycle that is built with a dependency
// unmet; -1 where one can be built without.
func (o *ordering) breakCycle(c int) int {
	best := -1
	for _, i := range o.parts[c].members {
		switch {
		case o.done[i]:
		case o.unmet[i] == 0:
			return -1
		case best < 0 || o.unmet[i] < o.unmet[best]:
			best = i
		}
	}
	return best
}

// finish counts a package down in those that depend on it.
func (o *ordering) finish(i int) {
	for _, user := range o.g.users[i] {
		if !o.selected[user] {
			continue
		}
		o.unmet[user]--
		if o.unmet[user] == 0 && !o.done[user] {
			o.ready = append(o.ready, user)
		}
		if c := o.part[user]; c != o.part[i] {
			o.parts[c].outside--
			if o.parts[c].outside == 0 {
				o.opened(c)
			}
		}
	}
}

// CriticalPath gives each package the weight of the heaviest chain of builds that
// begins with it and goes on with what depends on it: what finishes no earlier than
// that after the package is begun. Weights are what the caller measures in, such as seconds of
// past builds; a weight that is not a number or below zero counts as 0. Packages of a
// cycle are built one after the other, so each has the weight of the whole cycle.
func (g *Graph) CriticalPath(weight func(pkgbase string) float64) map[string]float64 {
	parts := g.components(nil)
	part := make([]int, len(g.nodes))
	for c, members := range parts {
		for _, i := range members {
			part[i] = c
		}
	}
	paths := make(map[string]float64, len(g.nodes))
	total := make([]float64, len(parts))
	for c := len(parts) - 1; c >= 0; c-- { // what depends comes before what it depends on
		own, longest := 0.0, 0.0
		for _, i := range parts[c] {
			if w := weight(g.nodes[i].Pkgbase); w > 0 {
				own += w
			}
			for _, user := range g.users[i] {
				if part[user] != c {
					longest = max(longest, total[part[user]])
				}
			}
		}
		total[c] = own + longest
		for _, i := range parts[c] {
			paths[g.nodes[i].Pkgbase] = total[c]
		}
	}
	return paths
}

// components lists the strongly connected components of the selected packages
// (nil: all), each sorted, every one after those that it depends on.
func (g *Graph) components(selected []bool) [][]int {
	found := topo.TarjanSCC(view{g, selected})
	parts := make([][]int, len(found))
	for c, nodes := range found {
		for _, n := range nodes {
			parts[c] = append(parts[c], int(n.ID()))
		}
		slices.Sort(parts[c])
	}
	return parts
}

// view shows the selected part of a Graph to gonum. An edge leads to what is depended on.
type view struct {
	g        *Graph
	selected []bool
}

func (v view) has(i int) bool { return v.selected == nil || v.selected[i] }

func (v view) list(ids []int) graph.Nodes {
	nodes := make([]graph.Node, 0, len(ids))
	for _, i := range ids {
		if v.has(i) {
			nodes = append(nodes, simple.Node(i))
		}
	}
	if len(nodes) == 0 {
		return graph.Empty
	}
	return iterator.NewOrderedNodes(nodes)
}

// Nodes is part of graph.Directed.
func (v view) Nodes() graph.Nodes {
	all := make([]int, len(v.g.nodes))
	for i := range all {
		all[i] = i
	}
	return v.list(all)
}

// Node is part of graph.Directed.
func (v view) Node(id int64) graph.Node {
	if id < 0 || id >= int64(len(v.g.nodes)) || !v.has(int(id)) {
		return nil
	}
	return simple.Node(id)
}

// From is part of graph.Directed.
func (v view) From(id int64) graph.Nodes { return v.list(v.g.needs[id]) }

// To is part of graph.Directed.
func (v view) To(id int64) graph.Nodes { return v.list(v.g.users[id]) }

// HasEdgeFromTo is part of graph.Directed.
func (v view) HasEdgeFromTo(from, to int64) bool {
	_, ok := slices.BinarySearch(v.g.needs[from], int(to))
	return ok && v.has(int(from)) && v.has(int(to))
}

// HasEdgeBetween is part of graph.Directed.
func (v view) HasEdgeBetween(a, b int64) bool { return v.HasEdgeFromTo(a, b) || v.HasEdgeFromTo(b, a) }

// Edge is part of graph.Directed.
func (v view) Edge(from, to int64) graph.Edge {
	if !v.HasEdgeFromTo(from, to) {
		return nil
	}
	return simple.Edge{F: simple.Node(from), T: simple.Node(to)}
}
