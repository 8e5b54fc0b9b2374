package deptree_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/deptree"
	"github.com/caur-build/caur/pkg/srcinfo"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// tree reads PKGBASE:NAME,…:DEP,… where no names mean the pkgbase.
func tree(t testing.TB, text string) *deptree.Graph {
	t.Helper()
	nodes, err := deptree.ParseText(strings.Join(strings.Fields(text), ";"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range nodes {
		if len(nodes[i].Names) == 0 {
			nodes[i].Names = []string{nodes[i].Pkgbase}
		}
	}
	return deptree.New(nodes)
}

func TestEdgesAreDependenciesThatAnotherPackageOffers(t *testing.T) {
	g := tree(t, `app::lib,glibc,app,tool.x,virtual
		lib:lib,lib-extra:libbase++
		libbase++::
		toolset:toolset,tool.x,virtual:app-extra
		other:other,virtual:lib-extra,other`)
	for _, tc := range []struct {
		pkgbase         string
		needs, requires []string
	}{
		{"app", []string{"lib", "other", "toolset"}, nil},
		{"lib", []string{"libbase++"}, []string{"app", "other"}},
		{"libbase++", nil, []string{"lib"}},
		{"toolset", nil, []string{"app"}},
		{"other", []string{"lib"}, []string{"app"}},
		{"not-there", nil, nil},
	} {
		if diff := cmp.Diff(tc.needs, g.DependsOn(tc.pkgbase), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("DependsOn(%s) (-want +got):\n%s", tc.pkgbase, diff)
		}
		if diff := cmp.Diff(tc.requires, g.RequiredBy(tc.pkgbase), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("RequiredBy(%s) (-want +got):\n%s", tc.pkgbase, diff)
		}
	}
}

func TestFromInfoCoversSplitPackagesAndArchitectures(t *testing.T) {
	info, _, err := srcinfo.Parse("x", []byte(`pkgbase = tool
	pkgver = 1
	pkgrel = 1
	arch = x86_64
	arch = aarch64
	makedepends = cmake>=3
	checkdepends = check.py
	depends = glibc
	depends_x86_64 = asm
	depends_aarch64 = arm

pkgname = tool
	provides = tool.so=1

pkgname = tool@doc
	depends = tool=1-1
	depends = py+doc
`))
	if err != nil {
		t.Fatal(err)
	}
	want := deptree.Node{
		Pkgbase: "tool", Names: []string{"tool", "tool@doc", "tool.so"},
		Deps: []string{"cmake", "check.py", "glibc", "asm", "arm", "tool", "py+doc"},
	}
	if diff := cmp.Diff(want, deptree.FromInfo(info)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"cmake", "check.py", "glibc", "arm", "tool", "py+doc"}, deptree.FromInfo(info, "aarch64").Deps); diff != "" {
		t.Errorf("one architecture (-want +got):\n%s", diff)
	}
	if got, want := deptree.New([]deptree.Node{deptree.FromInfo(info)}).Text(), "tool:tool,tool@doc,tool.so:cmake,check.py,glibc,asm,arm,tool,py+doc"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
}

func TestNewMergesAndCleans(t *testing.T) {
	g := deptree.New([]deptree.Node{
		{Pkgbase: "b", Names: []string{"b", "b", "x;y:z"}, Deps: []string{"a", "a,c"}},
		{Pkgbase: "../a", Names: []string{"a"}},
		{Pkgbase: "b", Names: []string{"b2", "b"}, Deps: []string{"c"}},
		{Pkgbase: "a"},
	})
	want := []deptree.Node{{Pkgbase: "a"}, {Pkgbase: "b", Names: []string{"b", "b2"}, Deps: []string{"a", "c"}}}
	if diff := cmp.Diff(want, g.Nodes(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, want := g.Text(), "a::;b:b,b2:a,c"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
}

func TestNewKeepsNothingOfItsInput(t *testing.T) {
	nodes := []deptree.Node{{Pkgbase: "a", Names: []string{"a"}, Deps: []string{"b"}}}
	g := deptree.New(nodes)
	nodes[0].Names[0], nodes[0].Deps[0] = "x", "y"
	if got := g.Text(); got != "a:a:b" {
		t.Errorf("text %q", got)
	}
}

func TestAroundTakesBothDirections(t *testing.T) {
	g := tree(t, `base:: mid::base top::mid side::base leaf::top apart:: user-of-apart::apart`)
	for _, tc := range []struct{ around, want []string }{
		{[]string{"mid"}, []string{"base", "leaf", "mid", "top"}},
		{[]string{"leaf"}, []string{"base", "leaf", "mid", "top"}},
		{[]string{"base"}, []string{"base", "leaf", "mid", "side", "top"}},
		{[]string{"side", "apart", "unknown"}, []string{"apart", "base", "side", "user-of-apart"}},
		{nil, nil},
	} {
		var got []string
		for _, n := range g.Around(tc.around).Nodes() {
			got = append(got, n.Pkgbase)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("Around(%q) = %q, want %q", tc.around, got, tc.want)
		}
	}
}

// corpusDirs lists the package directories of the corpus.
func corpusDirs(t testing.TB) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(testenv.Corpus(t), "[^.]*"))
	if err != nil || len(dirs) < 4 {
		t.Fatalf("the corpus has %d packages: %v", len(dirs), err)
	}
	return dirs
}

func readAll(t testing.TB, dirs []string) [][]byte {
	t.Helper()
	files := make([][]byte, len(dirs))
	for i, dir := range dirs {
		data, err := os.ReadFile(filepath.Join(dir, ".SRCINFO"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		files[i] = data
	}
	return files
}

// graphOf is what caur-ci deptree does: a package whose .SRCINFO is missing or refused has no names.
func graphOf(dirs []string, files [][]byte) *deptree.Graph {
	nodes := make([]deptree.Node, len(dirs))
	for i, dir := range dirs {
		info, _, err := srcinfo.Parse(dir, files[i])
		if err != nil {
			nodes[i] = deptree.Node{Pkgbase: filepath.Base(dir)}
			continue
		}
		nodes[i] = deptree.FromInfo(info)
		nodes[i].Pkgbase = filepath.Base(dir)
	}
	return deptree.New(nodes)
}

func TestCorpus(t *testing.T) {
	dirs := corpusDirs(t)
	g := graphOf(dirs, readAll(t, dirs))
	nodes := g.Nodes()
	if len(nodes) != len(dirs) {
		t.Errorf("%d nodes of %d directories", len(nodes), len(dirs))
	}
	edges := 0
	for _, n := range nodes {
		edges += len(g.DependsOn(n.Pkgbase))
	}
	text := g.Text()
	again, err := deptree.ParseText(text + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(nodes, again, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("text form (-before +after):\n%s", diff)
	}
	order := g.Order(nil)
	checkOrder(t, g, order, nil)
	t.Logf("%d packages, %d edges, %d bytes of text, %d waves, cycles %q", len(nodes), edges, len(text), len(order.Waves), order.Cycles)
}

// reportCPU adds the processor time of the process to a benchmark: the time of the clock
// means little on a machine with other work. Call it with the time before the loop.
func reportCPU(b *testing.B, before time.Duration) {
	b.Helper()
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkCorpus(b *testing.B) {
	dirs := corpusDirs(b)
	files := readAll(b, dirs)
	g := graphOf(dirs, files)
	b.Run("text-from-directory", func(b *testing.B) {
		b.ReportAllocs()
		before := cpu(b)
		for b.Loop() {
			_ = graphOf(dirs, readAll(b, dirs)).Text()
		}
		reportCPU(b, before)
	})
	b.Run("text-from-memory", func(b *testing.B) {
		b.ReportAllocs()
		before := cpu(b)
		for b.Loop() {
			_ = graphOf(dirs, files).Text()
		}
		reportCPU(b, before)
	})
	b.Run("new", func(b *testing.B) {
		nodes := g.Nodes()
		b.ReportAllocs()
		for b.Loop() {
			deptree.New(nodes)
		}
	})
	b.Run("order", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			g.Order(nil)
		}
	})
	b.Run("critical-path", func(b *testing.B) {
		for b.Loop() {
			g.CriticalPath(func(string) float64 { return 1 })
		}
	})
	b.Run("json", func(b *testing.B) {
		for b.Loop() {
			if _, err := g.JSON(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parse-text", func(b *testing.B) {
		text := g.Text()
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if _, err := deptree.ParseText(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}
