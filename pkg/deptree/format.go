package deptree

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/caur-build/caur/pkg/srcinfo"
)

// Text is the one-line form for interchange (pipeline.md section 6):
// PKGBASE:NAME,NAME:DEP,DEP joined with semicolons, sorted by pkgbase, without a line
// ending. A package without names or dependencies has an empty list.
func (g *Graph) Text() string {
	var b strings.Builder
	size := 0
	for i := range g.nodes {
		size += len(g.nodes[i].Pkgbase) + 3 + joinedLen(g.nodes[i].Names) + joinedLen(g.nodes[i].Deps)
	}
	b.Grow(size)
	for i := range g.nodes {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteString(g.nodes[i].Pkgbase)
		b.WriteByte(':')
		join(&b, g.nodes[i].Names)
		b.WriteByte(':')
		join(&b, g.nodes[i].Deps)
	}
	return b.String()
}

func joinedLen(names []string) int {
	size := len(names)
	for _, name := range names {
		size += len(name)
	}
	return size
}

func join(b *strings.Builder, names []string) {
	for n, name := range names {
		if n > 0 {
			b.WriteByte(',')
		}
		b.WriteString(name)
	}
}

// ParseText reads the text form, also that of the Bash pipelines: packages in any
// order, a line ending behind. An error says which entry is wrong and why.
func ParseText(s string) ([]Node, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return nil, nil
	}
	entries := strings.Split(s, ";")
	nodes := make([]Node, 0, len(entries))
	seen := make(map[string]struct{}, len(entries))
	for n, entry := range entries {
		fail := func(why string) error {
			return fmt.Errorf("dependency tree: entry %d %s: %s", n+1, excerpt(entry), why)
		}
		parts := strings.SplitN(entry, ":", 4)
		if len(parts) != 3 {
			return nil, fail("must be PKGBASE:NAME,…:DEP,…")
		}
		node := Node{Pkgbase: parts[0], Names: list(parts[1]), Deps: list(parts[2])}
		if _, ok := seen[node.Pkgbase]; ok {
			return nil, fail("this pkgbase stands twice")
		}
		seen[node.Pkgbase] = struct{}{}
		for _, names := range [][]string{{node.Pkgbase}, node.Names, node.Deps} {
			for _, name := range names {
				if !srcinfo.LegalName(name) {
					return nil, fail(excerpt(name) + " is no legal name")
				}
			}
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// excerpt quotes the beginning of a text for a message.
func excerpt(s string) string {
	const most = 60
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.QuoteToASCII(s)
}

// document is the JSON form.
type document struct {
	Version  int        `json:"version"`
	Packages []element  `json:"packages"`
	Cycles   [][]string `json:"cycles"`
}

type element struct {
	Pkgbase    string   `json:"pkgbase"`
	Names      []string `json:"names"`
	Deps       []string `json:"deps"`
	DependsOn  []string `json:"depends_on"`
	RequiredBy []string `json:"required_by"`
}

// JSON is the tree with its edges: {"version": 1, "packages": [{"pkgbase", "names",
// "deps", "depends_on", "required_by"}], "cycles": [[PKGBASE, …]]}. Lists are never null.
// deps are names; depends_on and required_by are pkgbases of the tree. Keys may be added within a version.
func (g *Graph) JSON() ([]byte, error) {
	doc := document{Version: 1, Packages: make([]element, len(g.nodes)), Cycles: g.Order(nil).Cycles}
	for i, n := range g.nodes {
		doc.Packages[i] = element{n.Pkgbase, n.Names, n.Deps, g.pkgbases(g.needs[i]), g.pkgbases(g.users[i])}
	}
	data, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("dependency tree as JSON: %w", err)
	}
	return data, nil
}

// DOT writes the tree in Graphviz' language, sorted: an arrow leads from a package to one that it depends on;
// arrows inside a cycle are red.
func (g *Graph) DOT(w io.Writer) error {
	part := make([]int, len(g.nodes))
	for c, members := range g.components(nil) {
		for _, i := range members {
			part[i] = c
		}
	}
	b := bufio.NewWriter(w)
	_, _ = b.WriteString("digraph deptree {\n\trankdir=LR;\n\tnode [shape=box];\n")
	for i := range g.nodes {
		_, _ = fmt.Fprintf(b, "\t\"%s\";\n", g.nodes[i].Pkgbase)
	}
	for i := range g.nodes {
		for _, need := range g.needs[i] {
			_, _ = fmt.Fprintf(b, "\t\"%s\" -> \"%s\"", g.nodes[i].Pkgbase, g.nodes[need].Pkgbase)
			if part[i] == part[need] {
				_, _ = b.WriteString(" [color=red]")
			}
			_, _ = b.WriteString(";\n")
		}
	}
	_, _ = b.WriteString("}\n")
	if err := b.Flush(); err != nil { // holds the first error of any write
		return fmt.Errorf("write the dependency tree: %w", err)
	}
	return nil
}
