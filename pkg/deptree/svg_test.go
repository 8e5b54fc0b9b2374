package deptree

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// picture is an SVG as a viewer reads it.
type picture struct {
	ViewBox string `xml:"viewBox,attr"`
	Boxes   []struct {
		Name  string `xml:"data-name,attr"`
		Class string `xml:"class,attr"`
		Rect  struct {
			X int `xml:"x,attr"`
			Y int `xml:"y,attr"`
		} `xml:"rect"`
	} `xml:"g"`
	Edges []struct {
		From  string `xml:"data-from,attr"`
		To    string `xml:"data-to,attr"`
		Class string `xml:"class,attr"`
	} `xml:"path"`
}

func drawn(t *testing.T, g *Graph, focus ...string) (picture, []byte) {
	t.Helper()
	var out bytes.Buffer
	if err := g.SVG(&out, focus); err != nil {
		t.Fatal(err)
	}
	var p picture
	if err := xml.Unmarshal(out.Bytes(), &p); err != nil {
		t.Fatalf("the drawing is no XML: %v", err)
	}
	return p, out.Bytes()
}

// farm is a tree of n packages; every fifth has no edge.
func farm(n int) *Graph {
	nodes := make([]Node, n)
	for i := range nodes {
		nodes[i] = Node{Pkgbase: fmt.Sprintf("p%d", i), Names: []string{fmt.Sprintf("p%d", i)}}
		if i%5 != 0 && i > 5 {
			d := i / 3
			if d%5 == 0 {
				d++
			}
			nodes[i].Deps = []string{fmt.Sprintf("p%d", d)}
		}
	}
	return New(nodes)
}

func TestADrawingShowsEveryPackageOnceAndEveryDependencyFromLeftToRight(t *testing.T) {
	for _, n := range []int{0, 1, 50, 2500} {
		g := farm(n)
		p, _ := drawn(t, g)
		if len(p.Boxes) != n {
			t.Fatalf("%d boxes, want %d", len(p.Boxes), n)
		}
		x, taken := map[string]int{}, map[[2]int]string{}
		var size [2]int
		for i, field := range strings.Fields(p.ViewBox)[2:] {
			size[i], _ = strconv.Atoi(field)
		}
		for _, b := range p.Boxes {
			place := [2]int{b.Rect.X, b.Rect.Y}
			if other := taken[place]; other != "" {
				t.Errorf("%d packages: %s lies on %s", n, b.Name, other)
			}
			taken[place], x[b.Name] = b.Name, b.Rect.X
			if place[0]+boxWidth > size[0] || place[1]+boxHeight > size[1] {
				t.Errorf("%d packages: %s at %v is outside of %v", n, b.Name, place, size)
			}
		}
		want := 0
		for _, node := range g.Nodes() {
			want += len(g.DependsOn(node.Pkgbase))
		}
		if len(p.Edges) != want {
			t.Errorf("%d packages: %d edges, want %d", n, len(p.Edges), want)
		}
		for _, e := range p.Edges {
			if x[e.From] >= x[e.To] {
				t.Errorf("%d packages: %s is needed by %s and not left of it", n, e.From, e.To)
			}
		}
	}
}

func TestADrawingMarksCyclesAndWhatItIsAround(t *testing.T) {
	g := New([]Node{
		{Pkgbase: "hen", Names: []string{"hen"}, Deps: []string{"egg"}},
		{Pkgbase: "egg", Names: []string{"egg"}, Deps: []string{"hen"}},
		{Pkgbase: "soup", Names: []string{"soup"}, Deps: []string{"hen"}},
	})
	p, _ := drawn(t, g, "soup")
	for _, e := range p.Edges {
		if cycle := e.To != "soup"; cycle != (e.Class == "e cycle") {
			t.Errorf("%s → %s has class %q", e.From, e.To, e.Class)
		}
	}
	for _, b := range p.Boxes {
		if (b.Name == "soup") != (b.Class == "n focus") {
			t.Errorf("%s has class %q", b.Name, b.Class)
		}
	}
}

func TestADrawingIsTheSameEachTimeAndLoadsNothing(t *testing.T) {
	_, first := drawn(t, farm(200))
	_, second := drawn(t, farm(200))
	if !bytes.Equal(first, second) {
		t.Error("two drawings of one tree differ")
	}
	text := strings.Replace(string(first), `xmlns="http://www.w3.org/2000/svg"`, "", 1)
	for _, outside := range []string{"http:", "https:", "href", "@import", "url("} {
		if strings.Contains(text, outside) {
			t.Errorf("the drawing holds %q", outside)
		}
	}
}
