package web

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/history"
	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/pkg/queue"
)

// waiting makes a snapshot from pairs of a job and what it waits on.
func waiting(edges map[string][]string) *queue.Snapshot {
	q := &queue.Snapshot{}
	for name, on := range edges {
		w := queue.WaitingJob{Job: job(name), Ready: len(on) == 0}
		for _, d := range on {
			w.BlockedBy = append(w.BlockedBy, job(d).ID())
		}
		q.Waiting = append(q.Waiting, w)
	}
	return q
}

func (g *graph) at(name string) graphNode {
	for _, n := range g.Nodes {
		if n.Pkgbase == name {
			return n
		}
	}
	return graphNode{X: -1}
}

func TestGraphPutsWhatIsBuiltFirstToTheLeft(t *testing.T) {
	g := newGraph(waiting(map[string][]string{"a": nil, "b": {"a"}, "c": {"a", "b"}, "alone": nil, "gone": {"not-there"}}))
	if len(g.Nodes) != 3 || g.Alone != 2 || g.Layers != 3 {
		t.Fatalf("%d nodes, %d alone, %d columns", len(g.Nodes), g.Alone, g.Layers)
	}
	if a, b, c := g.at("a"), g.at("b"), g.at("c"); a.X >= b.X || b.X >= c.X {
		t.Errorf("a at %d, b at %d, c at %d", a.X, b.X, c.X)
	}
	if len(g.Edges) != 2 {
		t.Errorf("%d edges: that from a to c says nothing new", len(g.Edges))
	}
	if g.at("a").State != "ready" || g.at("b").State != "blocked" {
		t.Errorf("states: %+v", g.Nodes)
	}
}

func TestGraphOfACycleIsDrawn(t *testing.T) {
	g := newGraph(waiting(map[string][]string{"hen": {"egg"}, "egg": {"hen"}, "soup": {"hen"}}))
	if len(g.Nodes) != 3 || len(g.Edges) != 3 || g.at("hen").X != g.at("egg").X || g.at("soup").X <= g.at("hen").X {
		t.Errorf("%+v", g.Nodes)
	}
}

func TestGraphIsBounded(t *testing.T) {
	edges := map[string][]string{"root": nil}
	for i := range 2500 {
		edges["p"+string(rune('a'+i%26))+time.Duration(i).String()] = []string{"root"}
	}
	g := newGraph(waiting(edges))
	if len(g.Nodes) != maxNodes || g.LeftOut != 2501-maxNodes {
		t.Errorf("%d drawn, %d left out", len(g.Nodes), g.LeftOut)
	}
	if long := (graphNode{Pkgbase: "a-package-with-a-name-that-is-long"}).Label(); len(long) > 25 {
		t.Errorf("label %q", long)
	}
}

func TestChartIsInOrderAndToScale(t *testing.T) {
	builds := []*history.Build{{Duration: time.Minute, Status: queue.Failed}, {}, {Duration: 2 * time.Minute, Status: queue.Success}}
	c := newChart(builds)
	if len(c.Bars) != 2 || c.Bars[0].X <= c.Bars[1].X || c.Bars[0].Height*2 != c.Bars[1].Height || c.Bars[0].State != "bad" || c.Longest != 2*time.Minute {
		t.Errorf("%+v", c)
	}
	if empty := newChart(nil); len(empty.Bars) != 0 {
		t.Errorf("%+v", empty)
	}
}

func TestVersionsAreThoseOfTheDatabaseAsItIsNow(t *testing.T) {
	root := t.TempDir()
	v := newVersions(root)
	if got, err := v.of("repo", "x86_64", "zlib"); got != "" || err != nil {
		t.Errorf("no database: %q, %v", got, err)
	}
	path := filepath.Join(root, "repo", "x86_64", "repo.db.tar.zst")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1.3-1", "1:1.3.1-2"} {
		db := syncdb.New()
		if err := db.Put(&syncdb.Package{Name: "zlib", Base: "zlib", Version: version, Filename: "zlib-" + version + "-x86_64.pkg.tar.zst", Arch: "x86_64"}); err != nil {
			t.Fatal(err)
		}
		if err := db.WriteDB(path); err != nil {
			t.Fatal(err)
		}
		if got, err := v.of("repo", "x86_64", "zlib"); got != version || err != nil {
			t.Errorf("%q, %v, want %s", got, err, version)
		}
	}
	for _, bad := range []string{"..", "a/b", "", "-x"} {
		if got, err := v.of(bad, "x86_64", "zlib"); got != "" || err != nil {
			t.Errorf("%q: %q, %v", bad, got, err)
		}
	}
	if err := os.WriteFile(path, []byte("broken"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := v.of("repo", "x86_64", "zlib"); err == nil {
		t.Error("a broken database is read")
	}
}
