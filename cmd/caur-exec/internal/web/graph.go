package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/gonum/graph/simple"
	"gonum.org/v1/gonum/graph/topo"

	"github.com/caur-build/caur/pkg/queue"
)

const (
	maxNodes   = 600 // drawn; a graph of more is no picture any more
	nodeWidth  = 190
	nodeHeight = 34
	columnStep = 270
	rowStep    = 46
	margin     = 20
)

// graphNode is a job in the drawing.
type graphNode struct {
	ID, Pkgbase, State string // state: running, publishing, ready, blocked, held
	X, Y               int
	deps               []int
	layer              int
}

// Label is the name, as much of it as fits.
func (n graphNode) Label() string {
	const fits = 22
	if len(n.Pkgbase) <= fits {
		return n.Pkgbase
	}
	return n.Pkgbase[:fits-1] + "…"
}

// TextX and TextY are where the label begins.
func (n graphNode) TextX() int { return n.X + 30 }

// TextY is the label's base line.
func (n graphNode) TextY() int { return n.Y + 22 }

// IconX is where the state's sign is.
func (n graphNode) IconX() int { return n.X + 10 }

// graph is a drawing of what waits on what: columns from left to right in the order in which they can be built.
type graph struct {
	Nodes         []graphNode
	Edges         []string // path data
	Width, Height int
	NodeWidth     int
	NodeHeight    int
	Alone         int // jobs that wait on nothing and nothing waits on
	LeftOut       int
	Layers        int
}

// newGraph draws the jobs that wait on something, and what they wait on.
func newGraph(q *queue.Snapshot) *graph {
	nodes := graphJobs(q)
	used := make([]bool, len(nodes))
	for i := range nodes {
		for _, d := range nodes[i].deps {
			used[i], used[d] = true, true
		}
	}
	g := &graph{NodeWidth: nodeWidth, NodeHeight: nodeHeight}
	moved := make([]int, len(nodes)) // to the place in the drawing, or -1
	for i, n := range nodes {
		switch {
		case !used[i]:
			moved[i] = -1
			g.Alone++
		case len(g.Nodes) >= maxNodes:
			moved[i] = -1
			g.LeftOut++
		default:
			moved[i] = len(g.Nodes)
			g.Nodes = append(g.Nodes, n)
		}
	}
	for i := range g.Nodes {
		deps := g.Nodes[i].deps[:0:0]
		for _, d := range g.Nodes[i].deps {
			if moved[d] >= 0 {
				deps = append(deps, moved[d])
			}
		}
		g.Nodes[i].deps = deps
	}
	setLayers(g.Nodes)
	dropShortcuts(g.Nodes)
	g.place()
	return g
}

// graphJobs lists the jobs alive, with edges between them.
func graphJobs(q *queue.Snapshot) []graphNode {
	index := map[string]int{}
	var nodes []graphNode
	add := func(j queue.Job, state string) {
		id := j.ID()
		if _, there := index[id]; !there {
			index[id] = len(nodes)
			nodes = append(nodes, graphNode{ID: id, Pkgbase: j.Pkgbase, State: state})
		}
	}
	for _, j := range q.Running {
		add(j.Job, "running")
	}
	for _, j := range q.Publishing {
		if j.Job != nil {
			add(*j.Job, "publishing")
		}
	}
	for _, j := range q.Waiting {
		add(j.Job, waitState(j))
	}
	for _, j := range q.Waiting {
		i := index[j.Job.ID()]
		for _, id := range j.BlockedBy {
			if d, there := index[id]; there && d != i {
				nodes[i].deps = append(nodes[i].deps, d)
			}
		}
	}
	return nodes
}

func waitState(j queue.WaitingJob) string {
	switch {
	case j.Held:
		return "held"
	case j.Ready:
		return "ready"
	}
	return "blocked"
}

// setLayers puts each node right of all that it waits on; those of a cycle are in one layer.
func setLayers(nodes []graphNode) {
	g := simple.NewDirectedGraph()
	for i := range nodes {
		g.AddNode(simple.Node(i))
	}
	for i, n := range nodes {
		for _, d := range n.deps {
			g.SetEdge(simple.Edge{F: simple.Node(i), T: simple.Node(d)})
		}
	}
	for _, cycle := range topo.TarjanSCC(g) { // what a component points to comes before it
		layer, inside := 0, make(map[int]bool, len(cycle))
		for _, n := range cycle {
			inside[int(n.ID())] = true
		}
		for _, n := range cycle {
			for _, d := range nodes[n.ID()].deps {
				if !inside[d] {
					layer = max(layer, nodes[d].layer+1)
				}
			}
		}
		for _, n := range cycle {
			nodes[n.ID()].layer = layer
		}
	}
}

// dropShortcuts takes edges out that follow from others: of a → b → c and a → c the last. Edges within cycles stay.
func dropShortcuts(nodes []graphNode) {
	order := make([]int, len(nodes))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(nodes[a].layer, nodes[b].layer) })
	words := (len(nodes) + 63) / 64
	before := make([][]uint64, len(nodes)) // all that a node waits on, as a set of bits
	for _, i := range order {
		before[i] = make([]uint64, words)
		var kept []int
		for _, d := range nodes[i].deps {
			implied := slices.ContainsFunc(nodes[i].deps, func(e int) bool {
				return nodes[e].layer < nodes[i].layer && e != d && before[e][d/64]&(1<<(d%64)) != 0
			})
			if !implied {
				kept = append(kept, d)
			}
		}
		for _, d := range nodes[i].deps {
			before[i][d/64] |= 1 << (d % 64)
			if nodes[d].layer < nodes[i].layer {
				for w := range words {
					before[i][w] |= before[d][w]
				}
			}
		}
		nodes[i].deps = kept
	}
}

// place orders the nodes of each layer by where what they wait on is, and draws the edges.
func (g *graph) place() {
	var layers [][]int
	for i, n := range g.Nodes {
		for len(layers) <= n.layer {
			layers = append(layers, nil)
		}
		layers[n.layer] = append(layers[n.layer], i)
	}
	height := 0
	for c, layer := range layers {
		wanted := func(i int) float64 {
			sum := 0
			for _, d := range g.Nodes[i].deps {
				sum += g.Nodes[d].Y
			}
			return float64(sum) / float64(max(1, len(g.Nodes[i].deps)))
		}
		slices.SortStableFunc(layer, func(a, b int) int {
			return cmp.Or(cmp.Compare(wanted(a), wanted(b)), cmp.Compare(g.Nodes[a].Pkgbase, g.Nodes[b].Pkgbase))
		})
		for r, i := range layer {
			g.Nodes[i].X, g.Nodes[i].Y = margin+c*columnStep, margin+r*rowStep
		}
		height = max(height, len(layer))
	}
	g.Layers = len(layers)
	g.Width = 2*margin + max(0, len(layers)-1)*columnStep + nodeWidth
	g.Height = 2*margin + max(0, height-1)*rowStep + nodeHeight
	for _, n := range g.Nodes {
		for _, d := range n.deps {
			g.Edges = append(g.Edges, edgePath(g.Nodes[d], n))
		}
	}
}

// edgePath leads from what is waited on to what waits.
func edgePath(from, to graphNode) string {
	x1, y1, x2, y2 := from.X+nodeWidth, from.Y+nodeHeight/2, to.X, to.Y+nodeHeight/2
	bend := max(30, (x2-x1)/2)
	return fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, x1+bend, y1, x2-bend, y2, x2, y2)
}

// base is the pkgbase of a job id.
func base(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }
