package deptree_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/caur-build/caur/pkg/deptree"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestTextIsOneLineSortedByPkgbase(t *testing.T) {
	g := deptree.New([]deptree.Node{
		{Pkgbase: "tool++", Names: []string{"tool++", "tool.so"}, Deps: []string{"lib@1", "glibc"}},
		{Pkgbase: "no-srcinfo"},
		{Pkgbase: "leaf", Names: []string{"leaf"}},
	})
	if got, want := g.Text(), "leaf:leaf:;no-srcinfo::;tool++:tool++,tool.so:lib@1,glibc"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := deptree.New(nil).Text(); got != "" {
		t.Errorf("no packages give %q", got)
	}
}

func TestParseTextReadsWhatTheBashPipelinesWrite(t *testing.T) {
	nodes, err := deptree.ParseText("b:b,b-doc:glibc,a;a::;c:c:\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []deptree.Node{{Pkgbase: "b", Names: []string{"b", "b-doc"}, Deps: []string{"glibc", "a"}}, {Pkgbase: "a"}, {Pkgbase: "c", Names: []string{"c"}}}
	if diff := cmp.Diff(want, nodes, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, empty := range []string{"", "\n"} {
		if nodes, err := deptree.ParseText(empty); err != nil || len(nodes) != 0 {
			t.Errorf("ParseText(%q) = %v, %v", empty, nodes, err)
		}
	}
}

func TestParseTextSaysWhichEntryIsWrong(t *testing.T) {
	for _, tc := range []struct{ text, message string }{
		{"a", `entry 1 "a": must be PKGBASE`},
		{"a::;b:b", `entry 2 "b:b": must be PKGBASE`},
		{"a::x:y", `entry 1 "a::x:y": must be`},
		{"a::;", `entry 2 "": must be`},
		{"a::;;b::", `entry 2 "": must be`},
		{"::", `"" is no legal name`},
		{"../a::", `"../a" is no legal name`},
		{"a:b c:", `"b c" is no legal name`},
		{"a:b,:", `"" is no legal name`},
		{"a::b>=1", `"b>=1" is no legal name`},
		{"a::;b::;a::", `entry 3 "a::": this pkgbase stands twice`},
		{"a:" + strings.Repeat("x ", 10_000) + ":", `entry 1 "a:x x`},
	} {
		_, err := deptree.ParseText(tc.text)
		if err == nil || !strings.Contains(err.Error(), tc.message) || !strings.HasPrefix(err.Error(), "dependency tree: ") || len(err.Error()) > 400 {
			t.Errorf("ParseText(%.40q): %v; want …%s…", tc.text, err, tc.message)
		}
	}
}

func FuzzParseText(f *testing.F) {
	f.Add("b:b,b-doc:glibc,a;a::;c:c:\n")
	f.Add("tool++:tool++,lib.so:a@1")
	f.Add("a::;a::")
	f.Fuzz(func(t *testing.T, text string) {
		nodes, err := deptree.ParseText(text)
		if err != nil {
			return
		}
		g := deptree.New(nodes)
		written := g.Text()
		again, err := deptree.ParseText(written)
		if err != nil {
			t.Fatalf("%q became %q: %v", text, written, err)
		}
		if diff := cmp.Diff(g.Nodes(), again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-before +after):\n%s", diff)
		}
		checkOrder(t, g, g.Order(nil), nil)
	})
}

func TestJSONHasNodesEdgesAndCycles(t *testing.T) {
	data, err := tree(t, "a::b,glibc b::a c::a").JSON()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"version":1,"packages":[
		{"pkgbase":"a","names":["a"],"deps":["b","glibc"],"depends_on":["b"],"required_by":["b","c"]},
		{"pkgbase":"b","names":["b"],"deps":["a"],"depends_on":["a"],"required_by":["a"]},
		{"pkgbase":"c","names":["c"],"deps":["a"],"depends_on":["a"],"required_by":[]}],
		"cycles":[["a","b"]]}`
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(want)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(compact.String(), string(data)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if data, err := deptree.New(nil).JSON(); err != nil || string(data) != `{"version":1,"packages":[],"cycles":[]}` {
		t.Errorf("no packages give %s, %v", data, err)
	}
}

func TestDOTDrawsEdgesAndMarksCycles(t *testing.T) {
	var b strings.Builder
	if err := tree(t, "a::b,glibc b::a tool++::a").DOT(&b); err != nil {
		t.Fatal(err)
	}
	const want = `digraph deptree {
	rankdir=LR;
	node [shape=box];
	"a";
	"b";
	"tool++";
	"a" -> "b" [color=red];
	"b" -> "a" [color=red];
	"tool++" -> "a";
}
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Graphviz reads it, where it is installed; the text above holds in any case.
func TestDOTIsReadByGraphviz(t *testing.T) {
	dot, err := exec.LookPath("dot")
	if err != nil {
		t.Log("graphviz is not installed")
		return
	}
	var b strings.Builder
	if err := tree(t, "a::b b::a 1.x+y@z::a").DOT(&b); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(dot, "-Tplain")
	cmd.Stdin = strings.NewReader(b.String())
	if out, err := cmd.CombinedOutput(); err != nil || strings.Count(string(out), "node ") != 3 {
		t.Errorf("dot: %v\n%s", err, out)
	}
}

type broken struct{}

var errDisk = errors.New("disk full")

func (broken) Write([]byte) (int, error) { return 0, errDisk }

func TestDOTReportsAFailedWrite(t *testing.T) {
	if err := tree(t, "a::").DOT(broken{}); !errors.Is(err, errDisk) {
		t.Errorf("error is %v", err)
	}
}
