package deptree

import (
	"bufio"
	"cmp"
	_ "embed"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

//go:embed svg.css
var svgStyle string

//go:embed svg.js
var svgScript string

const (
	boxWidth, boxHeight   = 190, 24
	columnStep, rowStep   = 270, 32
	svgMargin, headHeight = 20, 30
	boxLetters            = 24 // of a name that fit into a box
)

// box is a package in the drawing.
type box struct {
	name     string
	x, y     int
	focus    bool
	requires []string
}

// drawing is the tree with places: columns from left to right are the waves of the build order; what has no edge at all is
// below.
type drawing struct {
	boxes         []*box
	at            map[string]*box
	inCycle       map[string]int // number of the cycle, from 1
	rows          int            // of a column; a wave with more has several columns
	width, height int
	alone, aloneY int // packages without edges, and where their heading is
}

// SVG draws the tree in a file that needs nothing else: a package is right of what it depends on, edges inside a cycle
// are red, packages of focus are marked. A browser that opens the file can drag and zoom it and shows what a package
// needs and what needs it; as a picture in a page it stands still. The same tree gives the same bytes.
func (g *Graph) SVG(w io.Writer, focus []string) error {
	d := g.draw(focus)
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`+"\n",
		d.width, d.height, d.width, d.height)
	fmt.Fprintf(out, "<title>Dependency tree of %d packages: left is built before right</title>\n<style>%s</style>\n", len(d.boxes), svgStyle)
	for _, b := range d.boxes {
		for _, name := range b.requires {
			d.writeEdge(out, d.at[name], b)
		}
	}
	for _, b := range d.boxes {
		b.write(out)
	}
	if d.alone > 0 {
		fmt.Fprintf(out, `<text class="head" x="%d" y="%d">%d without a dependency inside the tree</text>`+"\n", svgMargin, d.aloneY, d.alone)
	}
	fmt.Fprintf(out, "<script><![CDATA[\n%s]]></script>\n</svg>\n", svgScript)
	return out.Flush() // the first error of all writes
}

func (g *Graph) draw(focus []string) *drawing {
	d := &drawing{at: map[string]*box{}, inCycle: map[string]int{}}
	order := g.Order(nil)
	for i, cycle := range order.Cycles {
		for _, name := range cycle {
			d.inCycle[name] = i + 1
		}
	}
	d.rows = max(16, int(math.Sqrt(float64(len(g.Nodes()))*columnStep/rowStep*9/16))) // about as wide as a screen
	var alone []*box
	column, used := 0, 0
	for _, wave := range order.Waves {
		var boxes []*box
		for _, name := range wave {
			b := &box{name: name, requires: g.DependsOn(name), focus: slices.Contains(focus, name)}
			d.boxes, d.at[name] = append(d.boxes, b), b
			if len(b.requires) == 0 && len(g.RequiredBy(name)) == 0 {
				alone = append(alone, b)
				continue
			}
			boxes = append(boxes, b)
		}
		d.place(boxes, column)
		column += (len(boxes) + d.rows - 1) / d.rows
		used = max(used, min(len(boxes), d.rows))
	}
	d.height = 2*svgMargin + used*rowStep
	columns := max(column, min(len(alone), max(column, 6)))
	if d.alone = len(alone); d.alone > 0 {
		d.aloneY = d.height
		for i, b := range alone {
			b.x, b.y = svgMargin+i%columns*columnStep, d.aloneY+headHeight/2+i/columns*rowStep
		}
		d.height = d.aloneY + headHeight + (d.alone+columns-1)/columns*rowStep + svgMargin
	}
	d.width = 2*svgMargin + max(0, columns-1)*columnStep + boxWidth
	return d
}

// place puts the boxes of a wave near what they depend on, from a column on.
func (d *drawing) place(boxes []*box, column int) {
	wanted := func(b *box) float64 {
		sum, n := 0, 0
		for _, name := range b.requires {
			if dep := d.at[name]; dep != nil && dep.y > 0 {
				sum, n = sum+dep.y, n+1
			}
		}
		return float64(sum) / float64(max(1, n))
	}
	want := make(map[*box]float64, len(boxes))
	for _, b := range boxes {
		want[b] = wanted(b)
	}
	slices.SortFunc(boxes, func(a, b *box) int {
		return cmp.Or(cmp.Compare(want[a], want[b]), strings.Compare(a.name, b.name))
	})
	for i, b := range boxes {
		b.x, b.y = svgMargin+(column+i/d.rows)*columnStep, svgMargin+i%d.rows*rowStep
	}
}

// writeEdge draws a line from what is needed to what needs it.
func (d *drawing) writeEdge(out *bufio.Writer, from, to *box) {
	class := "e"
	if n := d.inCycle[from.name]; n > 0 && n == d.inCycle[to.name] {
		class = "e cycle"
	}
	x1, y1, x2, y2 := from.x+boxWidth, from.y+boxHeight/2, to.x, to.y+boxHeight/2
	bend := max(30, (x2-x1)/2)
	fmt.Fprintf(out, `<path class="%s" data-from="%s" data-to="%s" d="M%d %dC%d %d %d %d %d %d"/>`+"\n",
		class, escaped(from.name), escaped(to.name), x1, y1, x1+bend, y1, x2-bend, y2, x2, y2)
}

func (b *box) write(out *bufio.Writer) {
	class, label := "n", b.name
	if b.focus {
		class = "n focus"
	}
	if len(label) > boxLetters {
		label = label[:boxLetters-1] + "…"
	}
	fmt.Fprintf(out, `<g class="%s" data-name="%s"><title>%s</title><rect x="%d" y="%d" width="%d" height="%d" rx="4"/><text x="%d" y="%d">%s</text></g>`+"\n",
		class, escaped(b.name), escaped(b.name), b.x, b.y, boxWidth, boxHeight, b.x+8, b.y+16, escaped(label))
}

// escaped is text inside XML. Names of a Graph are legal and need none of it; a drawing must not depend on that.
func escaped(text string) string {
	var out strings.Builder
	_ = xml.EscapeText(&out, []byte(text)) // a Builder never fails
	return out.String()
}
