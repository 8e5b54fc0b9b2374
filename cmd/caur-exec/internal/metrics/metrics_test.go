package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/redis/go-redis/v9"

	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
)

// shop is a queue whose metrics are looked at.
type shop struct {
	t   *testing.T
	rdb *redis.Client
	q   *queue.Queue
	now time.Time
}

func newShop(t *testing.T) *shop {
	t.Helper()
	rdb := testenv.Redis(t).Client()
	return &shop{t: t, rdb: rdb, q: queue.New(rdb), now: time.Now()}
}

func (s *shop) metrics(settings Settings) *Metrics {
	return New(Options{Settings: settings, Snapshot: s.q.Snapshot, Redis: s.rdb, Version: "1.2.3", Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return s.now }})
}

// build brings a job to its end.
func (s *shop) build(j queue.Job, r queue.Result) {
	s.t.Helper()
	ctx := s.t.Context()
	if _, err := s.q.Enqueue(ctx, queue.Batch{Jobs: []queue.Job{j}}); err != nil {
		s.t.Fatal(err)
	}
	l, err := s.q.Claim(ctx, queue.Builder{Name: "box", Class: "5"}, time.Minute)
	if err != nil || l == nil {
		s.t.Fatalf("claim: %v, %v", l, err)
	}
	switch r.Status {
	case queue.CanceledRequeued:
		if err := s.q.Requeue(ctx, l); err != nil {
			s.t.Fatal(err)
		}
		err = s.q.Cancel(ctx, j.ID())
	case queue.Success:
		if err := s.q.Deliver(ctx, l, r); err != nil {
			s.t.Fatal(err)
		}
		d, err := s.q.TakeDelivery(ctx, "db", time.Minute)
		if err != nil || d == nil {
			s.t.Fatalf("take: %v, %v", d, err)
		}
		err = s.q.FinishDelivery(ctx, d, queue.Success, "")
		if err != nil {
			s.t.Fatal(err)
		}
	default:
		err = s.q.Finish(ctx, l, r)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func job(repo, pkgbase string) queue.Job {
	return queue.Job{Pkgbase: pkgbase, TargetRepo: repo, SourceRepo: "packages", Arch: "x86_64", Class: "2", Pkgnames: []string{pkgbase}}
}

// follow counts all that has happened.
func (s *shop) follow(m *Metrics) {
	s.t.Helper()
	newest, err := s.rdb.XRevRangeN(s.t.Context(), "{caur}:events", "+", "-", 1).Result()
	if err != nil || len(newest) == 0 {
		s.t.Fatalf("newest event: %v, %v", newest, err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Follow(ctx, s.q) }()
	for tick := time.Tick(5 * time.Millisecond); ; <-tick {
		place, err := s.rdb.Get(s.t.Context(), keyPrefix+"place").Result()
		if err == nil && place == newest[0].ID {
			break
		}
	}
	cancel()
	if err := <-done; err != nil {
		s.t.Error(err)
	}
}

func scrape(t *testing.T, m *Metrics) (families map[string]*dto.MetricFamily, text string) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5") // as Prometheus asks
	m.Handler().ServeHTTP(w, r)
	text = w.Body.String()
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("%d %s:\n%s", w.Code, w.Header(), text)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return families, text
}

// has demands lines of the text.
func has(t *testing.T, text string, lines ...string) {
	t.Helper()
	all := strings.Split(text, "\n")
	for _, line := range lines {
		if !slices.Contains(all, line) {
			name, _, _ := strings.Cut(line, "{")
			name, _, _ = strings.Cut(name, " ")
			t.Errorf("%s is missing; of %s there are:\n%s", line, name, strings.Join(slices.DeleteFunc(slices.Clone(all), func(l string) bool { return !strings.HasPrefix(l, name) }), "\n"))
		}
	}
}

// busy is a shop in which everything has happened once.
func busy(t *testing.T, settings Settings) (*shop, *Metrics) {
	t.Helper()
	s := newShop(t)
	m := s.metrics(settings)
	for i, status := range []queue.Status{queue.Success, queue.AlreadyBuilt, queue.Skipped, queue.Failed, queue.TimedOut, queue.SoftwareFailure, queue.CanceledRequeued} {
		s.build(job("demo", fmt.Sprintf("pkg+%d", i)), queue.Result{Status: status, Duration: time.Duration(i+1) * 45 * time.Second})
	}
	if _, err := s.q.Enqueue(t.Context(), queue.Batch{Jobs: []queue.Job{job("demo", "waits")}}); err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{"sent:telegram": "5", "failed:telegram": "2", "dead:telegram": "1", "dropped:telegram": "3"} {
		s.rdb.HSet(t.Context(), "{caur-notify}:count", key, value)
	}
	s.rdb.SAdd(t.Context(), "{caur-notify}:targets", "telegram")
	s.rdb.HSet(t.Context(), "{caur-notify}:state:telegram", "failures", 4)
	repo := t.TempDir()
	write(t, repo, "demo/x86_64/a-1-1-any.pkg.tar.zst", 1000)
	write(t, repo, "demo/x86_64/a-1-1-any.pkg.tar.zst.sig", 100)
	write(t, repo, "demo/x86_64/demo.db.tar.zst", 50)
	write(t, repo, "demo/archive/a-0-1-any.pkg.tar.zst", 7)
	m.Publishing(repo, []string{"demo", "empty"})
	m.publish.sizes.measure()
	m.Published("demo", queue.Success, 300*time.Millisecond)
	m.Published("nobody", queue.SoftwareFailure, 2*time.Second)
	m.Retried("demo")
	s.follow(m)
	return s, m
}

func write(t *testing.T, dir, name string, size int) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestNamesAndLabelsAreThoseOfTheSpecification(t *testing.T) {
	t.Parallel()
	s, m := busy(t, Settings{})
	_, text := scrape(t, m)
	with := func(name, status string, n int) string {
		return fmt.Sprintf(`%s{arch="x86_64",build_class="2",status=%q,target_repo="demo"} %d`, name, status, n)
	}
	has(t, text, with("builds_total", "success", 1), with("builds_total", "canceled", 1), with("builds_success", "success", 1), with("builds_alreadyBuilt", "already built", 1),
		with("builds_skipped", "skipped", 1), with("builds_failed_build", "failed", 1), with("builds_failed_timeout", "timed out", 1),
		with("builds_failed_software", "software failure", 1), with("builds_cancelled", "canceled", 1), with("builds_requeued_total", "canceled and requeued", 1),
		"database_total 1", "database_success 1", "database_failed 0", "builders_active 0", "builders_idle 1", "queue_current 1", "caur_redis_up 1",
		`caur_queue_jobs{state="ready"} 1`, `caur_queue_jobs{state="blocked"} 0`, "caur_queue_without_builder 0", "caur_queue_lost_leases_total 0",
		`caur_notify_sent_total{target="telegram"} 5`, `caur_notify_failures_total{target="telegram"} 2`, `caur_notify_dead_letters_total{target="telegram"} 1`,
		`caur_notify_dropped_total{target="telegram"} 3`, `caur_notify_outbox_length{target="telegram"} 0`, `caur_notify_failures_in_a_row{target="telegram"} 4`,
		`caur_repository_packages{arch="x86_64",target_repo="demo"} 1`, `caur_repository_bytes{arch="x86_64",target_repo="demo"} 1100`,
		`caur_repository_packages{arch="archive",target_repo="demo"} 1`, `caur_publish_seconds_count{status="success",target_repo="demo"} 1`,
		`caur_publish_seconds_count{status="software failure",target_repo="other"} 1`, `caur_publish_retries_total{target_repo="demo"} 1`,
		`builds_time_elapsed_bucket{arch="x86_64",build_class="2",status="success",target_repo="demo",le="30"} 0`,
		`builds_time_elapsed_bucket{arch="x86_64",build_class="2",status="success",target_repo="demo",le="60"} 1`,
		`builds_time_elapsed_bucket{arch="x86_64",build_class="2",status="success",target_repo="demo",le="+Inf"} 1`,
		`builds_time_elapsed_sum{arch="x86_64",build_class="2",status="success",target_repo="demo"} 45`)
	for _, part := range []string{"go_goroutines ", "process_resident_memory_bytes ", `version="1.2.3"`, "caur_queue_oldest_ready_seconds "} {
		if !strings.Contains(text, part) {
			t.Errorf("%s is missing", part)
		}
	}
	if strings.Contains(text, "pkg+") || strings.Contains(text, "pkgbase") {
		t.Error("a label names packages")
	}
	_, perPackage := scrape(t, s.metrics(Settings{PerPackage: true}))
	if strings.Contains(perPackage, "pkg+0") {
		t.Error("packages were counted although nobody asked for it")
	}
}

func TestPerPackageLabelsWhenAskedFor(t *testing.T) {
	t.Parallel()
	_, m := busy(t, Settings{PerPackage: true})
	_, text := scrape(t, m)
	has(t, text, `builds_total{arch="x86_64",build_class="2",pkgbase="pkg+0",status="success",target_repo="demo"} 1`,
		`builds_time_elapsed_count{arch="x86_64",build_class="2",pkgbase="pkg+3",status="failed",target_repo="demo"} 1`)
}

func TestARestartCountsNothingTwiceAndLosesNothing(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	const want = `builds_total{arch="x86_64",build_class="2",status="failed",target_repo="demo"} `
	for round := 1; round <= 3; round++ { // each with a process of its own, that was away while it happened
		s.build(job("demo", "foo"), queue.Result{Status: queue.Failed})
		m := s.metrics(Settings{})
		s.follow(m)
		s.follow(s.metrics(Settings{})) // a second follower
		_, text := scrape(t, m)
		has(t, text, want+fmt.Sprint(round))
	}
}

func TestTheNumberOfSeriesIsBounded(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	c := NewCounts(s.rdb, false)
	fields := make([]any, 0, 2*maxFields)
	for i := range maxFields {
		fields = append(fields, fmt.Sprintf("ended|r%d|1|failed|any|", i), 1)
	}
	for part := range slices.Chunk(fields, 10000) {
		if err := s.rdb.HSet(t.Context(), keyPrefix+"builds", part...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		j := job(fmt.Sprint("new", i), "foo")
		if err := c.count(t.Context(), queue.Event{ID: fmt.Sprintf("%d-0", i+1), Kind: queue.EventEnded, Job: &j, Status: queue.Failed}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := c.read(t.Context())
	if n := all[labels{repo: other, class: other, status: "failed", arch: other}]; err != nil || n == nil || n.ended != 3 || len(all) != maxFields+1 {
		t.Errorf("%d series, other: %+v, %v", len(all), n, err)
	}
	j := job(strings.Repeat("x", 200)+"|", "foo")
	j.Class = "a|b\xff"
	if err := c.count(t.Context(), queue.Event{ID: "9-0", Kind: queue.EventEnded, Job: &j, Status: queue.Success}); err != nil {
		t.Fatal(err)
	}
}

func TestWithoutRedisTheRestIsServed(t *testing.T) {
	t.Parallel()
	server := testenv.Redis(t)
	s := &shop{t: t, rdb: server.Client(), now: time.Now()}
	s.q = queue.New(s.rdb)
	server.Kill()
	_, text := scrape(t, s.metrics(Settings{}))
	has(t, text, "caur_redis_up 0")
	if !strings.Contains(text, "go_goroutines ") || strings.Contains(text, "queue_current ") {
		t.Errorf("text:\n%s", text)
	}
}

// withUsers is a Redis with the users of deploy/redis, whose passwords are their roles, and a client for each that is asked for.
func withUsers(t *testing.T, roles ...string) []*redis.Client {
	t.Helper()
	text, err := os.ReadFile("../../../../deploy/redis/users.acl")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "users.acl")
	if err := os.WriteFile(file, regexp.MustCompile(`@([A-Z]+)_PASSWORD@`).ReplaceAll(text, []byte("$1")), 0o600); err != nil {
		t.Fatal(err)
	}
	server := testenv.Redis(t, "--include", file)
	var clients []*redis.Client
	for _, role := range roles {
		c := redis.NewClient(&redis.Options{Addr: server.Addr, Username: "caur-" + role, Password: strings.ToUpper(role), DisableIdentity: true})
		t.Cleanup(func() { _ = c.Close() })
		clients = append(clients, c)
	}
	return clients
}

func TestTheUsersOfDeployMayDoAllThis(t *testing.T) {
	t.Parallel()
	clients := withUsers(t, "database", "web")
	s := &shop{t: t, rdb: clients[0], q: queue.New(clients[0]), now: time.Now()}
	s.build(job("demo", "foo"), queue.Result{Status: queue.Failed})
	s.follow(s.metrics(Settings{}))
	s.rdb.SAdd(t.Context(), "{caur-notify}:targets", "telegram")
	web := &shop{t: t, rdb: clients[1], q: queue.New(clients[1]), now: time.Now()}
	_, text := scrape(t, web.metrics(Settings{}))
	has(t, text, "caur_redis_up 1", `caur_notify_outbox_length{target="telegram"} 0`, `builds_failed_build{arch="x86_64",build_class="2",status="failed",target_repo="demo"} 1`)
}

func TestManyScrapesReadTheQueueOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	reads := 0
	m := New(Options{Redis: s.rdb, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return s.now },
		Snapshot: func(ctx context.Context) (*queue.Snapshot, error) { reads++; return s.q.Snapshot(ctx) }})
	for range 20 {
		scrape(t, m)
	}
	if reads != 1 {
		t.Errorf("%d reads", reads)
	}
	s.now = s.now.Add(freshFor)
	if scrape(t, m); reads != 2 {
		t.Errorf("%d reads after %s", reads, freshFor)
	}
}

func TestItsOwnPortServesMetricsAlone(t *testing.T) {
	t.Parallel()
	m := newShop(t).metrics(Settings{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, l) }()
	for path, want := range map[string]int{"/metrics": 200, "/": 404, "/debug/pprof/": 404} {
		answer, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// promtool runs Debian's promtool in deploy/grafana.
func promtool(t *testing.T, in string, args ...string) string {
	t.Helper()
	testenv.Need(t, "promtool")
	cmd := exec.Command("promtool", args...)
	cmd.Dir, cmd.Stdin = grafana, strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 3) { // 3: lint
		t.Errorf("promtool %v: %v %v\n%s", args, err, exit, out)
	}
	return string(out)
}

const grafana = "../../../../deploy/grafana"

// Names that the specification gives, against which promtool has something: scrapers of today's installations expect them as they are.
var asToday = regexp.MustCompile(`^(builds_(success|failed_build|failed_software|failed_timeout|alreadyBuilt|cancelled|skipped)|database_(success|failed)) ` +
	`(counter metrics should have "_total" suffix|metric names should be written in 'snake_case' not 'camelCase')$`)

func TestPromtoolHasNothingAgainstTheMetrics(t *testing.T) {
	t.Parallel()
	_, m := busy(t, Settings{})
	_, text := scrape(t, m)
	for line := range strings.Lines(promtool(t, text, "check", "metrics")) {
		if line = strings.TrimSpace(line); line != "" && !asToday.MatchString(line) {
			t.Errorf("promtool: %s", line)
		}
	}
}

func TestAlertRulesFire(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		if out := promtool(t, "", args...); !strings.Contains(out, "SUCCESS") {
			t.Errorf("%v:\n%s", args, out)
		}
	}
}

var (
	metricWord  = regexp.MustCompile(`\b(?:caur|builds|builders|database|queue|process|go)_[a-zA-Z0-9_]+\b`)
	quotedText  = regexp.MustCompile(`"[^"]*"|label_values\(`)
	histogramOf = regexp.MustCompile(`_(bucket|count|sum)$`)
)

// TestDashboardAndRulesNameMetricsThatExist: a panel of a metric that was renamed is empty, and an alert never fires.
func TestDashboardAndRulesNameMetricsThatExist(t *testing.T) {
	t.Parallel()
	_, m := busy(t, Settings{})
	families, _ := scrape(t, m)
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Query json.RawMessage }
		}
	}
	data, err := os.ReadFile(filepath.Join(grafana, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&dashboard); err != nil {
		t.Fatal(err)
	}
	used := map[string]string{} // expression → where
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			used[target.Expr] = "panel " + p.Title
		}
	}
	rules, err := os.ReadFile(filepath.Join(grafana, "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?ms)^ +- alert: (\w+)\n +expr: (.*?)\n +(?:for|labels):`).FindAllStringSubmatch(string(rules), -1) {
		used[m[2]] = "alert " + m[1]
	}
	if len(used) < 40 {
		t.Errorf("only %d expressions were found", len(used))
	}
	names := map[string]bool{}
	for expr, where := range used {
		for _, name := range metricWord.FindAllString(quotedText.ReplaceAllString(expr, ""), -1) {
			if names[name] = true; families[name] == nil && families[histogramOf.ReplaceAllString(name, "")] == nil {
				t.Errorf("%s: there is no metric %s", where, name)
			}
		}
	}
	for _, f := range families { // what is ours is to be seen somewhere
		name := f.GetName()
		if metricWord.MatchString(name) && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") && name != "caur_build_info" &&
			!slices.ContainsFunc(slices.Collect(maps.Keys(names)), func(n string) bool { return histogramOf.ReplaceAllString(n, "") == name || n == name }) {
			t.Errorf("nothing shows %s", name)
		}
	}
}

func TestSettingsOfTheMetrics(t *testing.T) {
	for port, ok := range map[int]bool{-1: true, 0: true, 3030: true, -2: false, 70000: false} {
		if s := (Settings{Port: port}); (len(s.Check()) == 0) != ok {
			t.Errorf("port %d: %v", port, s.Check())
		}
	}
}
