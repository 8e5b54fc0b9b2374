// Package deptree knows which package of a repository must be built before
// which (pipeline.md section 6, "Dependency tree").
//
// A node is a pkgbase with the names it offers (every pkgname and every provides, without version)
// and the names it depends on (depends, makedepends, checkdepends, without
// constraint). A dependency is an edge where some other package of the tree
// offers the name; where several offer it there is an edge to each, because any of
// them may be the one that is installed. Names that nobody in the tree offers come from elsewhere
// and are no edge, nor are a package's own names.
//
// A cycle is a strongly connected component of more than one package. It is no
// error: its packages are ordered by fewest unmet dependencies, then by name, which
// is what the queue does too (executor.md section 1), so that every order ends and is the
// same each time.
//
// A Graph never changes after New and may be used by several goroutines.
package deptree

import (
	"slices"
	"strings"

	"github.com/caur-build/caur/pkg/srcinfo"
)

// Node is one package of the tree.
type Node struct {
	Pkgbase string
	Names   []string // offered, in order of appearance
	Deps    []string // depended on, in order of appearance; may hold own names and names from elsewhere
}

// FromInfo takes names and dependencies from a .SRCINFO: for all architectures that it is
// built for, or for those named only.
func FromInfo(info *srcinfo.Info, arches ...string) Node {
	return Node{Pkgbase: info.Pkgbase, Names: info.Names(arches...), Deps: info.Dependencies(arches...)}
}

// Graph is the dependency tree of a repository.
type Graph struct {
	nodes []Node         // sorted by pkgbase
	index map[string]int // pkgbase → place in nodes
	needs [][]int        // the packages that each one depends on, sorted
	users [][]int        // the packages that depend on each one, sorted
}

// New makes the graph of these packages. Nodes of the same pkgbase become one.
// Names that are not legal (srcinfo.LegalName) are left out, because they could
// not be told apart in the text form; so is a node with such a pkgbase.
func New(nodes []Node) *Graph {
	g := &Graph{nodes: tidy(nodes)}
	g.index = make(map[string]int, len(g.nodes))
	offers := make(map[string][]int, 2*len(g.nodes))
	for i := range g.nodes {
		g.index[g.nodes[i].Pkgbase] = i
		for _, name := range g.nodes[i].Names {
			offers[name] = append(offers[name], i)
		}
	}
	g.needs = make([][]int, len(g.nodes))
	g.users = make([][]int, len(g.nodes))
	for i := range g.nodes {
		var needs []int
		for _, dep := range g.nodes[i].Deps {
			for _, other := range offers[dep] {
				if other != i {
					needs = append(needs, other)
				}
			}
		}
		slices.Sort(needs)
		g.needs[i] = slices.Compact(needs)
		for _, other := range g.needs[i] {
			g.users[other] = append(g.users[other], i)
		}
	}
	return g
}

// tidy copies the nodes sorted, without duplicates and illegal names.
func tidy(nodes []Node) []Node {
	tidied := make([]Node, 0, len(nodes))
	for _, n := range nodes {
		if srcinfo.LegalName(n.Pkgbase) {
			tidied = append(tidied, Node{Pkgbase: n.Pkgbase, Names: legal(n.Names), Deps: legal(n.Deps)})
		}
	}
	slices.SortStableFunc(tidied, func(a, b Node) int { return strings.Compare(a.Pkgbase, b.Pkgbase) })
	merged := tidied[:0]
	for _, n := range tidied {
		if last := len(merged) - 1; last >= 0 && merged[last].Pkgbase == n.Pkgbase {
			merged[last].Names = legal(append(merged[last].Names, n.Names...))
			merged[last].Deps = legal(append(merged[last].Deps, n.Deps...))
			continue
		}
		merged = append(merged, n)
	}
	return merged
}

// legal copies the legal names, each once.
func legal(names []string) []string {
	const few = 24
	kept := make([]string, 0, len(names))
	var seen map[string]struct{}
	if len(names) > few {
		seen = make(map[string]struct{}, len(names))
	}
	for _, name := range names {
		if !srcinfo.LegalName(name) {
			continue
		}
		if seen == nil {
			if slices.Contains(kept, name) {
				continue
			}
		} else {
			if _, ok := seen[name]; ok {
				continue
			}
			seen[name] = struct{}{}
		}
		kept = append(kept, name)
	}
	return kept
}

// Nodes lists the packages sorted by pkgbase. The caller may keep but not change them.
func (g *Graph) Nodes() []Node { return slices.Clone(g.nodes) }

// DependsOn lists, sorted, the packages of the tree that pkgbase depends on
// directly; nothing for a pkgbase that is not in the tree.
func (g *Graph) DependsOn(pkgbase string) []string { return g.neighbours(g.needs, pkgbase) }

// RequiredBy lists, sorted, the packages of the tree that depend on pkgbase directly.
func (g *Graph) RequiredBy(pkgbase string) []string { return g.neighbours(g.users, pkgbase) }

func (g *Graph) neighbours(edges [][]int, pkgbase string) []string {
	i, ok := g.index[pkgbase]
	if !ok {
		return nil
	}
	return g.pkgbases(edges[i])
}

func (g *Graph) pkgbases(ids []int) []string {
	names := make([]string, len(ids))
	for n, i := range ids {
		names[n] = g.nodes[i].Pkgbase
	}
	return names
}

// ids finds packages by pkgbase, sorted, each once; those that are not there are left out.
func (g *Graph) ids(pkgbases []string) []int {
	ids := make([]int, 0, len(pkgbases))
	for _, pkgbase := range pkgbases {
		if i, ok := g.index[pkgbase]; ok {
			ids = append(ids, i)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Around is the part of the tree that has to do with these packages: they, all they
// depend on and all that depends on them, directly or not.
func (g *Graph) Around(pkgbases []string) *Graph {
	keep := make(map[int]bool)
	for _, edges := range [][][]int{g.needs, g.users} {
		seen := make(map[int]bool)
		pending := g.ids(pkgbases)
		for len(pending) > 0 {
			i := pending[len(pending)-1]
			pending = pending[:len(pending)-1]
			if seen[i] {
				continue
			}
			seen[i], keep[i] = true, true
			pending = append(pending, edges[i]...)
		}
	}
	nodes := make([]Node, 0, len(keep))
	for i, n := range g.nodes {
		if keep[i] {
			nodes = append(nodes, n)
		}
	}
	return New(nodes)
}
