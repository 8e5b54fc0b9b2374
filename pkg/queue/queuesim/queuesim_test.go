package queuesim

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
	"github.com/caur-build/caur/pkg/srcinfo"
)

func corpus(t testing.TB) []queue.Job {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testenv.Corpus(t), "*", ".SRCINFO"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	var jobs []queue.Job
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		info, _, err := srcinfo.Parse(name, text)
		if err != nil {
			continue // one of the real ones is empty
		}
		jobs = append(jobs, queue.Job{Pkgbase: filepath.Base(filepath.Dir(name)), TargetRepo: "r", Arch: "x86_64",
			Pkgnames: info.Pkgnames(), Provides: info.Names(), Dependencies: info.Dependencies()})
	}
	return jobs
}

func job(base string, deps ...string) queue.Job {
	return queue.Job{Pkgbase: base, TargetRepo: "r", Pkgnames: []string{base}, Dependencies: deps}
}

func TestTheLongChainGoesFirst(t *testing.T) {
	w := NewWork([]queue.Job{job("a1"), job("a2"), job("b"), job("c", "b"), job("d", "c")}, 0, 0, 1)
	w.recorded, w.actual = []int64{10, 10, 10, 10, 10}, []int64{10, 10, 10, 10, 10}
	w.path = w.paths(edgesOf(w.jobs), len(w.jobs))
	if got := w.Run(2, Queue); got.Makespan != 30*time.Second || got.MeanWait != 8*time.Second {
		t.Errorf("%+v", got)
	}
	if got := w.Run(2, FIFO); got.Makespan != 40*time.Second {
		t.Errorf("first in, first out: %+v", got)
	}
	if got := w.Bound(2); got != 30*time.Second {
		t.Errorf("bound %v", got)
	}
}

func TestCyclesAreBuiltInTurn(t *testing.T) {
	w := NewWork([]queue.Job{job("a", "b"), job("b", "a", "out"), job("out"), job("after", "a")}, 0, 0, 1)
	w.actual = []int64{10, 10, 10, 10}
	if got := w.Run(9, Queue); got.Makespan != 30*time.Second && got.Makespan != 40*time.Second {
		t.Errorf("%+v", got)
	}
}

// The table of docs/reliability.md; the test holds what it is there to show, and that nothing beats the bound.
func TestTheOrderOfTheQueueBeatsFirstInFirstOut(t *testing.T) {
	jobs := corpus(t)
	all := NewWork(jobs, 0, 0, 1)
	for _, builders := range []int{10, 50} {
		fifo, queue, bound := all.Run(builders, FIFO), all.Run(builders, Queue), all.Bound(builders)
		if queue.Makespan < bound || fifo.Makespan < bound || queue.Makespan > fifo.Makespan {
			t.Errorf("%d builders: makespan %v, first in first out %v, bound %v", builders, queue.Makespan, fifo.Makespan, bound)
		}
		if slack := float64(queue.Makespan) / float64(bound); slack > 1.05 {
			t.Errorf("%d builders: %.3f of the bound", builders, slack)
		}
	}
}

func BenchmarkTable(b *testing.B) {
	jobs := corpus(b)
	for _, kind := range []struct {
		name  string
		batch int
		every time.Duration
	}{{"everything at once", 0, 0}, {"60 packages every half hour", 60, 30 * time.Minute}} {
		w := NewWork(jobs, kind.batch, kind.every, 1)
		var table strings.Builder
		for _, builders := range []int{1, 2, 5, 10, 20, 50} {
			fifo, queue, bound := w.Run(builders, FIFO), w.Run(builders, Queue), w.Bound(builders)
			fmt.Fprintf(&table, "| %d | %.1f | %.1f | %.1f | %.2f | %.2f | %.1f | %.1f |\n", builders, bound.Hours(), fifo.Makespan.Hours(), queue.Makespan.Hours(),
				fifo.MeanWait.Hours(), queue.MeanWait.Hours(), fifo.MaxWait.Hours(), queue.MaxWait.Hours())
		}
		b.Logf("%s, %d packages:\n%s", kind.name, len(jobs), table.String())
	}
	for b.Loop() {
		NewWork(jobs, 0, 0, 1).Run(10, Queue)
	}
}
