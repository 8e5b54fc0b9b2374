//go:build load

package web

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/buildlog"
)

// Figures of these tests are for people: `make load` prints them. Server and clients share one process, so memory and CPU
// are those of both.

// cpu is the time that this process has calculated.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is the memory of this process, in MiB.
func resident(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(data), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize() >> 20
}

// moreFiles allows as many open files as the system lets us.
func moreFiles(t *testing.T, need uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < need {
		t.Fatalf("%d open files are allowed, %d are needed (ulimit -n): %v", limit.Cur, need, err)
	}
}

// openLog asks for a log on a connection of its own and reads the head of the answer.
func openLog(s *site, path string) (*bufio.Reader, net.Conn, error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		return nil, nil, err
	}
	if _, err = fmt.Fprintf(conn, "GET %s HTTP/1.0\r\n\r\n", path); err != nil {
		return nil, conn, err
	}
	in := bufio.NewReaderSize(conn, 32<<10)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, conn, err
		}
		if line == "\r\n" {
			return in, conn, nil
		}
	}
}

func TestLoadOfFollowersAndStats(t *testing.T) {
	const followers, seconds, requests = 2000, 10, 10000
	moreFiles(t, 3*followers)
	s := newSite(t, func(o *Options, l *limits) {
		o.Settings.MaxConnections = 8192
		l.write = 5 * time.Minute
	})
	var jobs int
	for range 25 {
		batch := make([]string, 100)
		for i := range batch {
			batch[i] = fmt.Sprintf("package-%d", jobs)
			jobs++
			s.enqueue(job(batch[i]))
		}
	}
	key := buildlog.Key{Pkgbase: "p", Timestamp: 1}
	w := s.writer(key)
	var done sync.WaitGroup
	var total atomic.Int64
	delays := make([]time.Duration, followers)
	for i := range followers {
		in, conn, err := openLog(s, "/api/logs/p/1")
		if err != nil {
			t.Fatalf("follower %d: %v", i, err)
		}
		done.Go(func() {
			defer conn.Close()
			delays[i] = worstDelay(in, &total)
		})
	}
	memory, before, begin := resident(t), cpu(t), time.Now()

	stop := make(chan struct{})
	var peak atomic.Int64
	done.Go(func() {
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				peak.Store(max(peak.Load(), int64(resident(t))))
			}
		}
	})
	latencies := make(chan []time.Duration, 1)
	go func() { latencies <- statsLoad(s, requests) }()
	writeFor(w, seconds)
	if err := w.End(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	written := time.Since(begin)
	times := <-latencies
	close(stop)
	done.Wait()
	all := time.Since(begin)
	slices.Sort(delays)
	slices.Sort(times)
	info, err := s.logs.Info(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d followers of a log of %.1f MB, written in %v: all had it after %v, %.1f GB in all, %.0f MB/s", followers, float64(info.Size)/1e6, written, all, float64(total.Load())/1e9, float64(total.Load())/1e6/all.Seconds())
	t.Logf("delay of a line: median %v, 99%% %v, worst %v", delays[followers/2], delays[followers*99/100], delays[followers-1])
	t.Logf("%d requests of the stats of %d jobs: median %v, 99%% %v, worst %v", len(times), jobs, times[len(times)/2], times[len(times)*99/100], times[len(times)-1])
	t.Logf("memory %d MiB before, at most %d MiB; %v of CPU on %d cores; %d goroutines", memory, peak.Load(), cpu(t)-before, runtime.NumCPU(), runtime.NumGoroutine())
	if total.Load() != followers*info.Size {
		t.Errorf("%d bytes arrived, %d were written for each of %d followers", total.Load(), info.Size, followers)
	}
	if len(times) != requests {
		t.Errorf("%d of %d requests were answered", len(times), requests)
	}
}

// writeFor writes a megabyte a second, in lines that say when they were written.
func writeFor(w io.Writer, seconds int) {
	const piece = 50 // milliseconds
	filler := strings.Repeat("x", 80)
	ticker := time.NewTicker(piece * time.Millisecond)
	defer ticker.Stop()
	for range seconds * 1000 / piece {
		<-ticker.C
		for range 1000000 / (1000 / piece) / 100 {
			fmt.Fprintf(w, "%018d %s\n", time.Now().UnixNano()/10, filler)
		}
	}
}

// worstDelay reads a log to its end. It looks at the last line of what each read gave.
func worstDelay(in *bufio.Reader, total *atomic.Int64) (worst time.Duration) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := in.Read(buffer)
		total.Add(int64(n))
		part := buffer[:n]
		if end := bytes.LastIndexByte(part, '\n'); end > 0 {
			if start := bytes.LastIndexByte(part[:end], '\n'); start >= 0 && end-start > 20 {
				var stamp int64
				if _, err := fmt.Sscanf(string(part[start+1:start+19]), "%d", &stamp); err == nil {
					worst = max(worst, time.Since(time.Unix(0, stamp*10)))
				}
			}
		}
		if err != nil {
			return worst
		}
	}
}

// statsLoad asks for the stats by 20 clients and gives how long each answer took.
func statsLoad(s *site, requests int) []time.Duration {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 20}}
	defer client.CloseIdleConnections()
	var left atomic.Int64
	left.Store(int64(requests))
	var mu sync.Mutex
	var times []time.Duration
	var workers sync.WaitGroup
	for range 20 {
		workers.Go(func() {
			for left.Add(-1) >= 0 {
				begin := time.Now()
				answer, err := client.Get(s.url + "/api/queue/stats")
				if err != nil {
					continue
				}
				_, err = io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
				if err == nil && answer.StatusCode == 200 {
					mu.Lock()
					times = append(times, time.Since(begin))
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	return times
}

func TestLoadOfTenThousandConnectionsThatSayNothing(t *testing.T) {
	const connections = 10000
	moreFiles(t, connections+5000) // the server's side of those above the limit is closed at once
	s := newSite(t, func(o *Options, l *limits) {
		o.Settings.MaxConnections = 4096
		l.header = 5 * time.Second
	})
	memory := resident(t)
	begin := time.Now()
	conns := make([]net.Conn, 0, connections)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range connections {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		_, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ") // those above the limit are closed already
	}
	t.Logf("%d connections after %v; memory %d MiB before, %d MiB with them, those of the clients included", connections, time.Since(begin), memory, resident(t))
	refused := 0
	for ; !healthy(s); refused++ {
		if time.Since(begin) > time.Minute {
			t.Fatal("nobody is served any more")
		}
	}
	t.Logf("others are served again %v after the attack began, %d were told to come back", time.Since(begin), refused)
}

// healthy asks on a connection of its own.
func healthy(s *site) bool {
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		return false
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /healthz HTTP/1.0\r\n\r\n") // a refused one is closed already
	answer, _ := io.ReadAll(conn)
	return bytes.HasPrefix(answer, []byte("HTTP/1.0 200"))
}

func TestLoadOfALargeLogInTheBrowser(t *testing.T) {
	b := newBrowser(t)
	s := newSite(t, nil)
	b.open("about:blank") // starts the browser
	lines := fillLog(s, buildlog.Key{Pkgbase: "large", Timestamp: 1}, 100<<20)
	for _, hash := range []string{"", "#L500000"} {
		begin := time.Now()
		b.open(s.url + "/logs.html?id=large&timestamp=1" + hash)
		if hash == "" {
			b.wait(fmt.Sprintf(`document.getElementById("log").textContent.includes("[%7d]")`, lines))
			t.Logf("the end of 100 MiB, %d lines, is in sight after %v", lines, time.Since(begin))
		} else {
			b.wait(`document.querySelector("#log .row.marked") !== null`)
			t.Logf("line 500,000 is in sight after %v", time.Since(begin))
		}
		b.wait(`document.getElementById("state").textContent === "finished: success"`)
		t.Logf("all of it is known after %v; %d rows in the document, %d MiB of script memory", time.Since(begin),
			get[int](b, `document.querySelectorAll("#log .row").length`), get[int](b, `Math.round(performance.memory.usedJSHeapSize / 1048576)`))
	}
	get[float64](b, `(async () => {
		const box = document.getElementById("log");
		let worst = 0, last = performance.now();
		for (let i = 0; i < 120; i++) {
			box.scrollTop = box.scrollHeight * (i % 60) / 60 + i * 200;
			await new Promise(requestAnimationFrame);
			worst = Math.max(worst, performance.now() - last);
			last = performance.now();
		}
		window.worstFrame = worst;
	})(), 0`)
	b.wait(`window.worstFrame > 0`)
	t.Logf("scrolling through all of it: the slowest of 120 frames took %.0f ms", get[float64](b, "window.worstFrame"))
}
