package web

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/caur-build/caur/cmd/caur-exec/internal/buildlog"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { os.Exit(code) }))
}

// site is a server on a free port with a real Redis behind it.
type site struct {
	*Server
	t     testing.TB
	url   string
	redis *testenv.RedisServer
	queue *queue.Queue
	logs  *buildlog.Store
	log   *record
	stop  func() error // ends the server and gives what Serve returned
}

// record keeps the server's log lines and tells of each.
type record struct{ lines chan string }

func (r *record) Write(p []byte) (int, error) {
	select {
	case r.lines <- string(p):
	default:
	}
	return len(p), nil
}

// wait returns the first line that contains text.
func (r *record) wait(t testing.TB, text string) string {
	t.Helper()
	for {
		select {
		case line := <-r.lines:
			if strings.Contains(line, text) {
				return line
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("the server never logged %q", text)
		}
	}
}

func newSite(t testing.TB, change func(*Options, *limits)) *site {
	t.Helper()
	s := &site{t: t, redis: testenv.Redis(t), log: &record{make(chan string, 1000)}}
	rdb := s.redis.Client()
	s.queue = queue.New(rdb)
	s.logs = buildlog.NewStore(rdb, buildlog.Options{FlushInterval: time.Millisecond})
	t.Cleanup(s.logs.Close)
	opt := Options{
		Settings: Settings{MaxConnections: 400},
		Queue:    NewSnapshots(s.queue.Snapshot, time.Now), Logs: s.logs, Control: s.queue,
		Ping: func(ctx context.Context) error { return rdb.Ping(ctx).Err() },
		Log:  slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	times := usualLimits
	if change != nil {
		change(&opt, &times)
	}
	s.Server = New(opt)
	s.limits = times
	s.serve()
	return s
}

func (s *site) serve() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.url = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	var result error
	ended := false
	s.stop = func() error {
		if !ended {
			cancel()
			result, ended = <-done, true
		}
		return result
	}
	s.t.Cleanup(func() {
		if err := s.stop(); err != nil {
			s.t.Error(err)
		}
	})
}

// client keeps no connections, so that tests do not disturb each other.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func (s *site) do(method, path string, header ...string) *http.Response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.URL.Opaque = path // as written: tests want odd paths to arrive
	if i := strings.IndexByte(path, '?'); i >= 0 {
		r.URL.Opaque, r.URL.RawQuery = path[:i], path[i+1:]
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { answer.Body.Close() })
	return answer
}

// get gives status code and body.
func (s *site) get(path string, header ...string) (int, string) {
	s.t.Helper()
	answer := s.do("GET", path, header...)
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatalf("GET %s: %v after %q", path, err, body)
	}
	return answer.StatusCode, string(body)
}

func (s *site) enqueue(jobs ...queue.Job) {
	s.t.Helper()
	if _, err := s.queue.Enqueue(s.t.Context(), queue.Batch{Jobs: jobs}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) writer(k buildlog.Key) *buildlog.Writer {
	s.t.Helper()
	w, err := s.logs.Writer(s.t.Context(), k)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { w.Close() })
	return w
}

func (s *site) finishedLog(k buildlog.Key, text string) {
	s.t.Helper()
	w := s.writer(k)
	io.WriteString(w, text)
	if err := w.End(s.t.Context(), 0); err != nil {
		s.t.Fatal(err)
	}
}

func job(name string) queue.Job {
	return queue.Job{Pkgbase: name, TargetRepo: "repo", SourceRepo: "src", Arch: "x86_64", Class: "1", Pkgnames: []string{name}}
}

// sample is a queue with one of everything.
func sample() *queue.Snapshot {
	at := time.UnixMilli(1700000100000)
	j := func(name, class string, ts int64) queue.Job {
		return queue.Job{Pkgbase: name, TargetRepo: "chaotic-aur", SourceRepo: "packages", Arch: "x86_64", Class: class, Timestamp: ts}
	}
	built := j("done", "1", 1700000000001)
	return &queue.Snapshot{
		Time: at, Exact: true,
		Running: []queue.RunningJob{{Job: j("gcc-git", "2", 1700000000002), Builder: "b1", Class: "5", Attempt: 1, Since: at.Add(-time.Minute)},
			{Job: j("libstdc++5", "big", 1700000000005), Builder: "big", Class: "big", Attempt: 2, Since: at.Add(-3 * time.Hour)}},
		Waiting: []queue.WaitingJob{{Job: j("zlib", "", 1700000000003), Ready: true},
			{Job: j("app", "big", 1700000000004), BlockedBy: []string{"chaotic-aur/x86_64/zlib"}, FailedDeps: []string{"chaotic-aur/x86_64/old"}}},
		Publishing: []queue.PublishingJob{{ID: "1", Job: &built, Builder: "b2", Since: at}, {ID: "2", Cleanup: &queue.Cleanup{TargetRepo: "chaotic-aur", Arch: "x86_64"}, Since: at}},
		Builders: []queue.BuilderState{{Builder: queue.Builder{Name: "b1", Class: "5"}, LastSeen: at, Busy: 1},
			{Builder: queue.Builder{Name: "b2", Class: "2", Version: "1.0"}, LastSeen: at}, {Builder: queue.Builder{Name: "big", Class: "big"}, LastSeen: at}},
		Counters: queue.Counters{BuilderCompleted: 10, BuilderFailed: 2, DatabaseCompleted: 8, DatabaseFailed: 1},
	}
}

func fixed(q *queue.Snapshot) func(*Options, *limits) {
	return func(o *Options, _ *limits) {
		o.Queue = NewSnapshots(func(context.Context) (*queue.Snapshot, error) { return q, nil }, time.Now)
	}
}

func TestJSONHasTheShapesThatFrontEndsRead(t *testing.T) {
	withURL := newSite(t, func(o *Options, l *limits) {
		fixed(sample())(o, l)
		o.Settings.LogsURL = "https://builds.example.org/logs/logs.html"
	})
	without := newSite(t, fixed(sample()))
	empty := newSite(t, fixed(&queue.Snapshot{}))
	tests := []struct {
		golden string
		site   *site
		path   string
	}{
		{"stats", withURL, "/api/queue/stats"},
		{"stats-without-logs-url", without, "/api/queue/stats"},
		{"packages", withURL, "/api/queue/packages"},
		{"metrics", withURL, "/api/queue/metrics"},
		{"stats-empty", empty, "/api/queue/stats"},
		{"packages-empty", empty, "/api/queue/packages"},
		{"metrics-empty", empty, "/api/queue/metrics"},
	}
	for _, tt := range tests {
		t.Run(tt.golden, func(t *testing.T) {
			answer := tt.site.do("GET", tt.path)
			body, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			if got := answer.Header.Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type %q", got)
			}
			if got := answer.Header.Get("Cache-Control"); got != "no-cache" {
				t.Errorf("Cache-Control %q", got)
			}
			path := filepath.Join("testdata", tt.golden+".json")
			body = append(bytes.ReplaceAll(body, []byte(`},{`), []byte("},\n{")), '\n')
			if *update {
				if err := os.WriteFile(path, body, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(body)); diff != "" {
				t.Errorf("the shape has changed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestQueueRoutesShowTheRealQueue(t *testing.T) {
	s := newSite(t, nil)
	s.enqueue(job("first"), job("second"))
	if _, err := s.queue.Claim(t.Context(), queue.Builder{Name: "b1", Class: "3"}, time.Minute); err != nil {
		t.Fatal(err)
	}
	_, body := s.get("/api/queue/stats")
	for _, want := range []string{`"active":{"count":1,"packages":[{"name":"repo/x86_64/first","node":"b1","build_class":1,`,
		`"waiting":{"count":1,"packages":[{"name":"repo/x86_64/second","build_class":1}]}`, `"idle":{"count":0,"nodes":[]}`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s lacks %s", body, want)
		}
	}
	code, page := s.get("/")
	if code != 200 || !strings.Contains(page, ">first</a>") || !strings.Contains(page, `>second</a></th>`) {
		t.Errorf("overview, %d:\n%s", code, page)
	}
}

func TestWrongNamesAreRefusedAndUnknownOnesNotFound(t *testing.T) {
	s := newSite(t, nil)
	s.finishedLog(buildlog.Key{Pkgbase: "gtk+", Timestamp: 5}, "hello\n")
	tests := []struct {
		path string
		code int
	}{
		{"/api/logs/gtk+/5", 200},
		{"/api/logs/gtk%2B/5", 200},
		{"/api/logs/gtk+", 200},
		{"/logs/api/logs/gtk+/5", 200},
		{"/api/logs/gtk+/6", 404},
		{"/api/logs/unknown", 404},
		{"/api/logs/unknown/5", 404},
		{"/api/logs/gtk+/five", 400},
		{"/api/logs/gtk+/-5", 400},
		{"/api/logs/gtk+/5e3", 400},
		{"/api/logs/gtk+/99999999999999999", 400},
		{"/api/logs/GTK", 400},
		{"/api/logs/-rf", 400},
		{"/api/logs/a..b", 400},
		{"/api/logs/..", 400},
		{"/api/logs/%2e%2e/5", 400},
		{"/api/logs/..%2f..%2fetc", 400},
		{"/api/logs/a%2Fb", 400},
		{"/api/logs/a%00", 400},
		{"/api/logs/a%0Ab", 400},
		{"/api/logs/%3Cscript%3E", 400},
		{"/api/logs/a:b", 400},
		{"/api/logs/*", 400},
		{"/api/logs/" + strings.Repeat("a", 256), 400},
		{"/api/logs//5", 400},
		{"/api/logs/\\x", 400},
		{"/api/../etc/passwd", 400},
		{"/logs.html?id=gtk%2B&timestamp=x", 400},
		{"/logs.html?id=%3Cscript%3E", 400},
		{"/logs.html", 400},
		{"/nothing", 404},
		{"/assets/..%2fdoc.go", 400},
		{"/assets/nothing.js", 404},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			answer := s.do("GET", tt.path)
			body, _ := io.ReadAll(answer.Body)
			if answer.StatusCode != tt.code {
				t.Errorf("answer is %d, want %d: %s", answer.StatusCode, tt.code, body)
			}
			if got := answer.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
				t.Errorf("Content-Type %q", got)
			}
		})
	}
}

func TestCORSIsForTheConfiguredOrigins(t *testing.T) {
	some := newSite(t, func(o *Options, _ *limits) { o.Settings.Origins = []string{"https://a.example"} })
	all := newSite(t, func(o *Options, _ *limits) { o.Settings.Origins = []string{"*"} })
	none := newSite(t, nil)
	tests := []struct {
		site         *site
		method       string
		path, origin string
		want         string
	}{
		{some, "GET", "/api/queue/stats", "https://a.example", "https://a.example"},
		{some, "OPTIONS", "/api/queue/stats", "https://a.example", "https://a.example"},
		{some, "GET", "/api/queue/stats", "https://b.example", ""},
		{some, "GET", "/", "https://a.example", ""},
		{all, "GET", "/logs/api/queue/stats", "https://b.example", "*"},
		{none, "GET", "/api/queue/stats", "https://a.example", ""},
	}
	for _, tt := range tests {
		answer := tt.site.do(tt.method, tt.path, "Origin", tt.origin)
		if got := answer.Header.Get("Access-Control-Allow-Origin"); got != tt.want || answer.StatusCode >= 300 {
			t.Errorf("%s %s from %s: %d, allowed origin %q, want %q", tt.method, tt.path, tt.origin, answer.StatusCode, got, tt.want)
		}
		if answer.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Error("credentials are allowed")
		}
	}
}

func TestReadinessFollowsRedis(t *testing.T) {
	s := newSite(t, nil)
	check := func(path string, want int) {
		t.Helper()
		if code, body := s.get(path); code != want || strings.Contains(body, "dial") {
			t.Errorf("%s: %d %s, want %d", path, code, body, want)
		}
	}
	check("/healthz", 200)
	check("/readyz", 200)
	s.redis.Kill()
	check("/healthz", 200)
	check("/readyz", 503)
	check("/api/queue/stats", 503)
	check("/api/logs/p/1", 503)
	check("/", 503)
	s.redis.Start()
	check("/readyz", 200)
}

func TestOtherMethodsAndBodiesAreRefused(t *testing.T) {
	s := newSite(t, nil)
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "TRACE"} {
		if answer := s.do(method, "/api/queue/stats"); answer.StatusCode != 405 {
			t.Errorf("%s: %d", method, answer.StatusCode)
		}
	}
	r, _ := http.NewRequestWithContext(t.Context(), "POST", s.url+"/api/queue/stats", strings.NewReader("x"))
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a body: %d", answer.StatusCode)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	good := Settings{Port: 8080, MaxConnections: 10, LogsURL: "https://a.example/logs.html", Origins: []string{"*", "https://a.example:8443"}}
	if problems := good.Check(); len(problems) > 0 {
		t.Error(problems)
	}
	if got := good.Address(); got != ":8080" {
		t.Errorf("address %q", got)
	}
	bad := Settings{Port: 70000, LogsURL: "javascript:alert(1)", Origins: []string{"a.example", "https://a.example/"}}
	if problems := bad.Check(); len(problems) != 5 {
		t.Errorf("%d problems: %v", len(problems), problems)
	}
}

func TestServeEndsWithAnErrorWhenItsListenerBreaks(t *testing.T) {
	s := newSite(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	other := New(s.opt)
	if err := other.Serve(t.Context(), l); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkStats(b *testing.B) {
	q := sample()
	for i := range 2500 {
		q.Waiting = append(q.Waiting, queue.WaitingJob{Job: job(fmt.Sprintf("package-%d", i))})
	}
	s := New(Options{Settings: Settings{MaxConnections: 100}, Log: slog.New(slog.DiscardHandler),
		Queue: NewSnapshots(func(context.Context) (*queue.Snapshot, error) { return q, nil }, time.Now)})
	r, _ := http.NewRequest("GET", "/api/queue/stats", nil)
	for b.Loop() {
		s.Handler().ServeHTTP(&discard{http.Header{}}, r)
	}
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
