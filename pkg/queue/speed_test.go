package queue

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue/internal/order"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// corpusJobs makes a job of every package of the corpus, read once.
func corpusJobs(t testing.TB) []Job {
	t.Helper()
	corpusOnce.Do(func() { corpus = readCorpus(t) })
	if len(corpus) == 0 {
		t.Fatal("the corpus is empty")
	}
	return slices.Clone(corpus)
}

var (
	corpusOnce sync.Once
	corpus     []Job
)

func readCorpus(t testing.TB) []Job {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testenv.Corpus(t), "*", ".SRCINFO"))
	must(t, err)
	var out []Job
	for _, name := range files {
		text, err := os.ReadFile(name)
		must(t, err)
		info, _, err := srcinfo.Parse(name, text)
		if err != nil {
			continue // one of the real ones is empty
		}
		// The directory names the job: in some the .SRCINFO has the pkgbase of another one.
		out = append(out, Job{Pkgbase: filepath.Base(filepath.Dir(name)), TargetRepo: repo, SourceRepo: "packages", Arch: arch, Class: "1",
			Pkgnames: info.Pkgnames(), Provides: info.Names(), Dependencies: info.Dependencies(),
			Commit: strings.Repeat("c0ffee42", 5) + ":1234567890", SourceCommit: strings.Repeat("c0ffee42", 5),
			ArchMirror: "https://mirror.example.org/$repo/os/$arch"})
	}
	return out
}

// copies gives n jobs: the corpus again and again, each copy with names of its own, in five target repos.
func copies(corpus []Job, n int) []Job {
	out := make([]Job, 0, n)
	for i := 0; len(out) < n; i++ {
		suffix := "-" + strconv.Itoa(i)
		own := map[string]bool{}
		for _, j := range corpus {
			for _, name := range append(j.Pkgnames, j.Provides...) {
				own[name] = true
			}
		}
		rename := func(names []string) []string {
			var r []string
			for _, name := range names {
				if own[name] {
					name += suffix
				}
				r = append(r, name)
			}
			return r
		}
		for _, j := range corpus[:min(len(corpus), n-len(out))] {
			j.Pkgbase += suffix
			j.TargetRepo = "repo" + strconv.Itoa(i%5)
			j.Pkgnames, j.Provides, j.Dependencies = rename(j.Pkgnames), rename(j.Provides), rename(j.Dependencies)
			out = append(out, j)
		}
	}
	return out
}

func fill(t testing.TB, q *Queue, list []Job) {
	t.Helper()
	for len(list) > 0 {
		n := min(len(list), 2500)
		enqueue(t, q, list[:n]...)
		list = list[n:]
	}
}

func counted(t testing.TB) (*Queue, *counter) {
	t.Helper()
	client := fastRedis(t).Client()
	c := &counter{}
	client.AddHook(c)
	return New(client), c
}

func TestRoundTrips(t *testing.T) {
	q, c := counted(t)
	all := corpusJobs(t)
	enqueue(t, q, all...)
	for _, script := range scripts {
		must(t, script.Load(t.Context(), q.rdb).Err())
	}
	var l *Lease
	var d *Delivery
	steps := []struct {
		name string
		most int
		do   func()
	}{
		{"enqueue of everything", 2, func() { enqueue(t, q, all...) }},
		{"enqueue of one", 2, func() { enqueue(t, q, all[0]) }},
		{"claim", 1, func() { l = claim(t, q) }},
		{"deliver", 1, func() { deliver(t, q, l) }},
		{"take", 1, func() { d = take(t, q) }},
		{"finish delivery", 1, func() { must(t, q.FinishDelivery(t.Context(), d, Success, "")) }},
		{"claim again", 1, func() { l = claim(t, q) }},
		{"finish", 1, func() { fail(t, q, l) }},
		{"reap", 1, func() { _, err := q.Reap(t.Context()); must(t, err) }},
	}
	for _, s := range steps {
		c.take()
		s.do()
		if trips := c.take(); len(trips) > s.most {
			t.Errorf("%s takes %d round trips, want at most %d: %v", s.name, len(trips), s.most, trips)
		}
	}
	if l == nil || d == nil {
		t.Fatal("nothing was claimed")
	}
}

func TestTheWholeCorpusIsBuiltInOrder(t *testing.T) {
	q := newQueue(t)
	all := corpusJobs(t)
	enqueue(t, q, all...)
	var list []*Job
	number := map[string]int{}
	for i := range all {
		list = append(list, &all[i])
		number[all[i].ID()] = i
	}
	o := indexOffers(list)
	edges := make([][]int, len(list))
	for i, j := range list {
		edges[i] = o.of(i, j)
	}
	component, _ := order.Components(edges)
	ended := make([]bool, len(list))
	built := 0
	for l := claim(t, q); l != nil; l = claim(t, q) {
		i := number[l.Job.ID()]
		for _, k := range edges[i] {
			if !ended[k] && component[k] != component[i] {
				t.Errorf("%s starts before %s, and they share no cycle", all[i].Pkgbase, all[k].Pkgbase)
			}
		}
		publish(t, q, l)
		ended[i] = true
		built++
	}
	if built != len(all) {
		t.Fatalf("%d of %d jobs were built", built, len(all))
	}
	if left := leftovers(t, q); len(left) > 0 {
		t.Fatalf("an empty queue has %v", left)
	}
}

func BenchmarkEnqueueCorpus(b *testing.B) {
	client := fastRedis(b).Client()
	all := corpusJobs(b)
	busy := 0.0
	for b.Loop() {
		b.StopTimer()
		must(b, client.FlushAll(context.Background()).Err())
		q := New(client)
		enqueue(b, q, job("warm"))
		before := redisCPU(b, q)
		b.StartTimer()
		enqueue(b, q, all...)
		b.StopTimer()
		busy += redisCPU(b, q) - before
		b.StartTimer()
	}
	b.ReportMetric(float64(len(all)), "jobs")
	b.ReportMetric(busy*1000/float64(b.N), "redis-cpu-ms/op")
}

// redisCPU is the seconds of CPU that Redis has used; other programs on the machine change it less than the clock on the wall.
func redisCPU(t testing.TB, q *Queue) float64 {
	t.Helper()
	sum := 0.0
	for line := range strings.Lines(q.rdb.Info(context.Background(), "cpu").Val()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user_main_thread" || name == "used_cpu_sys_main_thread" {
			seconds, err := strconv.ParseFloat(value, 64)
			must(t, err)
			sum += seconds
		}
	}
	return sum
}

// BenchmarkEnqueueCorpusInto enqueues the corpus, new or again, while many others wait.
func BenchmarkEnqueueCorpusInto(b *testing.B) {
	for _, waiting := range []int{10_000, 100_000} {
		b.Run(strconv.Itoa(waiting), func(b *testing.B) {
			q := newQueue(b)
			corpus := corpusJobs(b)
			fill(b, q, copies(corpus, waiting))
			before := redisCPU(b, q)
			for b.Loop() {
				enqueue(b, q, corpus...)
			}
			b.ReportMetric((redisCPU(b, q)-before)*1000/float64(b.N), "redis-cpu-ms/op")
		})
	}
}

// BenchmarkClaim claims and gives back, so that the length stays; only the claim is timed.
func BenchmarkClaim(b *testing.B) {
	corpus := corpusJobs(b)
	for _, waiting := range []int{1_000, 10_000, 100_000} {
		b.Run(strconv.Itoa(waiting), func(b *testing.B) {
			q := newQueue(b)
			fill(b, q, copies(corpus, waiting))
			b.Run("one", func(b *testing.B) { benchmarkClaim(b, q, 1) })
			b.Run("and finish", func(b *testing.B) {
				for b.Loop() {
					l := claim(b, q)
					fail(b, q, l)
					b.StopTimer()
					enqueue(b, q, l.Job) // the length stays
					b.StartTimer()
				}
			})
			b.Run("by 50 builders", func(b *testing.B) { benchmarkClaim(b, q, 50) })
			b.Run("by 500 builders, 200 claims a second", func(b *testing.B) { benchmarkPaced(b, q, 500, 200) })
		})
	}
}

func benchmarkClaim(b *testing.B, q *Queue, builders int) {
	var mu sync.Mutex
	var times []time.Duration
	work := make(chan struct{})
	before := redisCPU(b, q)
	var wg sync.WaitGroup
	for i := range builders {
		wg.Go(func() {
			who := Builder{Name: "h" + strconv.Itoa(i), Class: "2"}
			for range work {
				begin := time.Now()
				l, err := q.Claim(context.Background(), who, time.Hour)
				took := time.Since(begin)
				mu.Lock()
				times = append(times, took)
				mu.Unlock()
				if err == nil && l != nil {
					err = q.Requeue(context.Background(), l)
				}
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
	reportTimes(b, times)
	b.ReportMetric((redisCPU(b, q)-before)*1e6/float64(b.N), "redis-cpu-µs/claim+requeue")
}

// benchmarkPaced lets many builders claim at a rate that is ten times that of 500 builders whose builds take half a minute; a builder that claims as fast as it can measures only the
// queue before Redis that it makes itself.
func benchmarkPaced(b *testing.B, q *Queue, builders, rate int) {
	var mu sync.Mutex
	var times []time.Duration
	var wg sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	n := 0
	for b.Loop() {
		<-tick.C
		n++
		who := Builder{Name: "h" + strconv.Itoa(n%builders), Class: "2"}
		wg.Go(func() {
			begin := time.Now()
			l, err := q.Claim(context.Background(), who, time.Hour)
			took := time.Since(begin)
			if err == nil && l != nil {
				err = q.Requeue(context.Background(), l)
			}
			if err != nil {
				b.Error(err)
			}
			mu.Lock()
			times = append(times, took)
			mu.Unlock()
		})
	}
	wg.Wait()
	reportTimes(b, times)
}

func bytesPerJob(t testing.TB, q *Queue, n int) float64 {
	t.Helper()
	used := func() int64 {
		for line := range strings.Lines(q.rdb.Info(context.Background(), "memory").Val()) {
			if rest, ok := strings.CutPrefix(line, "used_memory:"); ok {
				return num(strings.TrimSpace(rest))
			}
		}
		return 0
	}
	// The history has its own limit.
	must(t, q.rdb.Del(context.Background(), q.keys.key("events")).Err())
	return float64(used()) / float64(n)
}

// reportTimes replaces ns/op, which would count the giving back, with what a claim took.
func reportTimes(b *testing.B, times []time.Duration) {
	slices.Sort(times)
	at := func(part float64) float64 {
		return float64(times[int(part*float64(len(times)-1))].Microseconds())
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(at(0.5), "µs-median")
	b.ReportMetric(at(0.99), "µs-p99")
}
