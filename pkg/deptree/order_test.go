package deptree_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/caur-build/caur/pkg/deptree"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func TestOrder(t *testing.T) {
	for _, tc := range []struct {
		name, tree string
		only       []string
		waves      string // names joined with blanks, waves with bars
		cycles     [][]string
	}{
		{"nothing", "", nil, "", nil},
		{"what is independent is one wave, sorted", "c:: a:: b::", nil, "a b c", nil},
		{"a chain", "a::b b::c c::", nil, "c|b|a", nil},
		{"a package waits for the last of its dependencies", "a::b,c b::c c:: d::c", nil, "c|b d|a", nil},
		{"own names and names from elsewhere do not count", "a::a,glibc", nil, "a", nil},
		{"only these", "a::b b::c c::", []string{"c", "a", "nope", "a"}, "a c", nil},
		{"a cycle of two begins with the first by name", "b::a a::b", nil, "a|b", [][]string{{"a", "b"}}},
		{"a cycle begins with the fewest unmet dependencies", "a::b,c b::c c::a,b d::a", nil, "b|a|c d", [][]string{{"b", "a", "c"}}},
		{"a cycle waits for what is outside of it", "a::b,x b::a x::y y::", nil, "y|x|a|b", [][]string{{"a", "b"}}},
		{"a cycle does not wait for other packages", "a::b b::a p::q q::r r::", nil, "a r|b q|p", [][]string{{"a", "b"}}},
		{"a cycle waits for that part of another which it needs", "a::b b::a c::d,a d::c", nil, "a|b c|d", [][]string{{"a", "b"}, {"c", "d"}}},
		{"a cycle that is not wholly asked for is none", "a::b b::a", []string{"a"}, "a", nil},
		{"within a cycle what has become ready goes first", "a::b b::c c::a,d d::b", nil, "a|b|d|c", [][]string{{"a", "b", "d", "c"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := tree(t, tc.tree)
			order := g.Order(tc.only)
			var waves []string
			for _, w := range order.Waves {
				waves = append(waves, strings.Join(w, " "))
			}
			if got := strings.Join(waves, "|"); got != tc.waves {
				t.Errorf("waves %q, want %q", got, tc.waves)
			}
			if diff := cmp.Diff(tc.cycles, order.Cycles, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("cycles (-want +got):\n%s", diff)
			}
			checkOrder(t, g, order, tc.only)
		})
	}
}

// failer is what *testing.T and *rapid.T have in common.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
}

// checkOrder holds for every order: each package once, none before what it depends on, cycles excepted.
func checkOrder(t failer, g *deptree.Graph, order deptree.Order, only []string) {
	t.Helper()
	wave := map[string]int{}
	for n, w := range order.Waves {
		if len(w) == 0 || !slices.IsSorted(w) {
			t.Errorf("wave %d is empty or not sorted: %q", n, w)
		}
		for _, pkgbase := range w {
			if _, again := wave[pkgbase]; again {
				t.Errorf("%s stands in two waves", pkgbase)
			}
			wave[pkgbase] = n
		}
	}
	cycle := map[string]int{}
	for n, c := range order.Cycles {
		for i, pkgbase := range c {
			cycle[pkgbase] = n + 1
			if i > 0 && wave[pkgbase] < wave[c[i-1]] {
				t.Errorf("cycle %q is not in the order of the waves", c)
			}
		}
	}
	for _, node := range g.Nodes() {
		n, ordered := wave[node.Pkgbase]
		if wanted := len(only) == 0 || slices.Contains(only, node.Pkgbase); ordered != wanted {
			t.Errorf("%s: ordered %v, wanted %v", node.Pkgbase, ordered, wanted)
		}
		if !ordered {
			continue
		}
		for _, need := range g.DependsOn(node.Pkgbase) {
			m, ordered := wave[need]
			together := cycle[need] != 0 && cycle[need] == cycle[node.Pkgbase]
			if ordered && m >= n && !together {
				t.Errorf("%s in wave %d depends on %s in wave %d", node.Pkgbase, n, need, m)
			}
		}
	}
}

// randomGraph draws a tree with many cycles.
func randomGraph(t *rapid.T) []deptree.Node {
	size := rapid.IntRange(0, 12).Draw(t, "size")
	nodes := make([]deptree.Node, size)
	for i := range nodes {
		nodes[i] = deptree.Node{Pkgbase: fmt.Sprintf("p%02d", i), Names: []string{fmt.Sprintf("n%02d", i)}}
		if rapid.Bool().Draw(t, "virtual") {
			nodes[i].Names = append(nodes[i].Names, fmt.Sprintf("v%d", rapid.IntRange(0, 2).Draw(t, "which")))
		}
		for range rapid.IntRange(0, 3).Draw(t, "deps") {
			nodes[i].Deps = append(nodes[i].Deps, fmt.Sprintf("n%02d", rapid.IntRange(0, size).Draw(t, "dep")))
		}
		if rapid.Float64Range(0, 1).Draw(t, "needs virtual") < 0.2 {
			nodes[i].Deps = append(nodes[i].Deps, "v0")
		}
	}
	return nodes
}

func TestOrderHoldsForRandomTrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := randomGraph(t)
		g := deptree.New(nodes)
		var only []string
		for _, n := range nodes {
			if rapid.Bool().Draw(t, "selected") {
				only = append(only, n.Pkgbase)
			}
		}
		order := g.Order(only)
		checkOrder(t, g, order, only)
		if diff := cmp.Diff(modelCycles(g, only), sortedCycles(order.Cycles), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("cycles (-model +got):\n%s", diff)
		}
		if diff := cmp.Diff(modelWaves(g, only), order.Waves, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("waves (-model +got):\n%s", diff)
		}
		shuffled := slices.Clone(nodes)
		rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "seed"))).Shuffle(len(shuffled), func(i, j int) {
			shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
		})
		if diff := cmp.Diff(order, deptree.New(shuffled).Order(only)); diff != "" {
			t.Fatalf("the order of the input matters:\n%s", diff)
		}
	})
}

func selection(g *deptree.Graph, only []string) []string {
	var all []string
	for _, n := range g.Nodes() {
		if len(only) == 0 || slices.Contains(only, n.Pkgbase) {
			all = append(all, n.Pkgbase)
		}
	}
	return all
}

// reaches tells which packages can be reached over selected ones.
func reaches(g *deptree.Graph, all []string) map[string]map[string]bool {
	reach := map[string]map[string]bool{}
	for _, from := range all {
		reach[from] = map[string]bool{}
		pending := g.DependsOn(from)
		for len(pending) > 0 {
			p := pending[0]
			pending = pending[1:]
			if slices.Contains(all, p) && !reach[from][p] {
				reach[from][p] = true
				pending = append(pending, g.DependsOn(p)...)
			}
		}
	}
	return reach
}

// modelCycles are the sets of packages that reach one another.
func modelCycles(g *deptree.Graph, only []string) [][]string {
	all := selection(g, only)
	reach := reaches(g, all)
	var cycles [][]string
	seen := map[string]bool{}
	for _, a := range all {
		if seen[a] || !reach[a][a] {
			continue
		}
		var c []string
		for _, b := range all {
			if reach[a][b] && reach[b][a] {
				c = append(c, b)
				seen[b] = true
			}
		}
		cycles = append(cycles, c)
	}
	return sortedCycles(cycles)
}

func sortedCycles(cycles [][]string) [][]string {
	var sorted [][]string
	for _, c := range cycles {
		c = slices.Clone(c)
		slices.Sort(c)
		sorted = append(sorted, c)
	}
	slices.SortFunc(sorted, slices.Compare)
	return sorted
}

// modelWaves says the rule of the queue the long way round: what has no unmet dependency is
// built; a cycle that lacks nothing from outside and has no such package builds the
// one with the fewest unmet dependencies.
func modelWaves(g *deptree.Graph, only []string) [][]string {
	all := selection(g, only)
	cycles := modelCycles(g, only)
	left := slices.Clone(all)
	unmet := func(p string) (list []string) {
		for _, need := range g.DependsOn(p) {
			if slices.Contains(left, need) {
				list = append(list, need)
			}
		}
		return list
	}
	var waves [][]string
	for len(left) > 0 {
		var wave []string
		for _, p := range left {
			if len(unmet(p)) == 0 {
				wave = append(wave, p)
			}
		}
		for _, c := range cycles {
			best, blocked := "", false
			for _, p := range c {
				if !slices.Contains(left, p) {
					continue
				}
				need := unmet(p)
				blocked = blocked || len(need) == 0 || slices.ContainsFunc(need, func(n string) bool { return !slices.Contains(c, n) })
				if best == "" || len(need) < len(unmet(best)) {
					best = p
				}
			}
			if best != "" && !blocked {
				wave = append(wave, best)
			}
		}
		slices.Sort(wave)
		waves = append(waves, wave)
		left = slices.DeleteFunc(left, func(p string) bool { return slices.Contains(wave, p) })
	}
	return waves
}

func TestOrderOfALongChainAndAHugeCycleEnds(t *testing.T) {
	const size = 3000
	nodes := make([]deptree.Node, size)
	for i := range nodes {
		name := fmt.Sprintf("p%05d", i)
		nodes[i] = deptree.Node{Pkgbase: name, Names: []string{name}, Deps: []string{fmt.Sprintf("p%05d", i+1)}}
	}
	if got := len(deptree.New(nodes).Order(nil).Waves); got != size {
		t.Errorf("a chain of %d packages has %d waves", size, got)
	}
	nodes[size-1].Deps = []string{nodes[0].Pkgbase}
	order := deptree.New(nodes).Order(nil)
	if len(order.Waves) != size || len(order.Cycles) != 1 || len(order.Cycles[0]) != size {
		t.Errorf("a ring of %d packages: %d waves, %d cycles", size, len(order.Waves), len(order.Cycles))
	}
}

func TestCriticalPathIsTheHeaviestChainOfWhatDepends(t *testing.T) {
	g := tree(t, `base:: lib::base app::lib small::base ring1::ring2,lib ring2::ring1 last::ring1 alone::`)
	weights := map[string]float64{"base": 1, "lib": 10, "app": 100, "small": 5, "ring1": 20, "ring2": 30, "last": 7, "alone": math.NaN()}
	got := g.CriticalPath(func(pkgbase string) float64 { return weights[pkgbase] })
	want := map[string]float64{"base": 111, "lib": 110, "app": 100, "small": 5, "ring1": 57, "ring2": 57, "last": 7, "alone": 0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCriticalPathFallsAlongEveryEdge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := deptree.New(randomGraph(t))
		paths := g.CriticalPath(func(pkgbase string) float64 { return float64(len(pkgbase) + int(pkgbase[2]-'0')) })
		reach := reaches(g, selection(g, nil))
		for _, n := range g.Nodes() {
			for _, need := range g.DependsOn(n.Pkgbase) {
				together := reach[need][n.Pkgbase]
				if p, q := paths[need], paths[n.Pkgbase]; together && p != q || !together && p <= q {
					t.Fatalf("%s needs %s: paths %v and %v, in a cycle: %v", n.Pkgbase, need, q, p, together)
				}
			}
		}
	})
}
