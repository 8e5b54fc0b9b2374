package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
)

const (
	token   = "glpat-s3cret"
	botName = "123:b0t-s3cret"
	sha     = "0123456789abcdef0123456789abcdef01234567"
)

// TestMain makes this program the notifier that tests kill.
func TestMain(m *testing.M) {
	if os.Getenv("CAUR_NOTIFY_CHILD") != "" {
		child()
	}
	os.Exit(m.Run())
}

var quickTimes = times{lease: time.Second, look: 50 * time.Millisecond, send: 5 * time.Second, firstWait: 10 * time.Millisecond,
	longWait: 100 * time.Millisecond, flood: time.Second, giveUp: 24 * time.Hour}

// yard is a queue with a notifier.
type yard struct {
	t     testing.TB
	redis *testenv.RedisServer
	rdb   *redis.Client
	q     *queue.Queue
	s     Settings
	times times
	log   *logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newYard(t testing.TB) *yard {
	t.Helper()
	y := &yard{t: t, redis: testenv.Redis(t), log: &logBuffer{}, times: quickTimes}
	y.rdb = y.redis.Client()
	y.q = queue.New(y.rdb)
	y.s = Settings{Sources: `{"packages": {"url": "https://git.example.org/group/packages.git"}}`, LogsURL: "https://build.example.org/logs.html",
		TelegramAPI: "https://api.telegram.org", TelegramEvents: []string{"success", "failed", "cleanup"}, Flood: 10}
	return y
}

func (y *yard) notifier() *Notifier {
	y.t.Helper()
	n, err := New(Options{Settings: y.s, Queue: y.q, Redis: y.rdb, Log: slog.New(slog.NewTextHandler(y.log, nil))})
	if err != nil {
		y.t.Fatal(err)
	}
	n.times = y.times
	return n
}

// start lets a notifier run until the returned function, or the end of the test. It has its place when start returns.
func (y *yard) start() (stop func()) {
	y.t.Helper()
	n := y.notifier()
	if _, err := n.outbox.place(y.t.Context()); err != nil {
		y.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			y.t.Errorf("Run gives %v", err)
		}
	})
	y.t.Cleanup(stop)
	return stop
}

func job(pkgbase string) queue.Job {
	return queue.Job{Pkgbase: pkgbase, TargetRepo: "demo", SourceRepo: "packages", Arch: "x86_64", Class: "1", Pkgnames: []string{pkgbase}, Commit: sha + ":77"}
}

func (y *yard) enqueue(jobs ...queue.Job) {
	y.t.Helper()
	if _, err := y.q.Enqueue(y.t.Context(), queue.Batch{Jobs: jobs}); err != nil {
		y.t.Fatal(err)
	}
}

func (y *yard) claim() *queue.Lease {
	y.t.Helper()
	l, err := y.q.Claim(y.t.Context(), queue.Builder{Name: "box", Class: "1"}, time.Minute)
	if err != nil || l == nil {
		y.t.Fatalf("claim: %v, %v", l, err)
	}
	return l
}

// end ends a job as a builder does.
func (y *yard) end(l *queue.Lease, r queue.Result) {
	y.t.Helper()
	ctx := y.t.Context()
	if r.Status != queue.Success {
		if err := y.q.Finish(ctx, l, r); err != nil {
			y.t.Fatal(err)
		}
		return
	}
	if err := y.q.Deliver(ctx, l, r); err != nil {
		y.t.Fatal(err)
	}
	d, err := y.q.TakeDelivery(ctx, "db", time.Minute)
	if err != nil || d == nil {
		y.t.Fatalf("take: %v, %v", d, err)
	}
	if err := y.q.FinishDelivery(ctx, d, queue.Success, "1 packages added"); err != nil {
		y.t.Fatal(err)
	}
}

// build is the whole life of a job.
func (y *yard) build(pkgbase string, r queue.Result) {
	y.t.Helper()
	y.enqueue(job(pkgbase))
	y.end(y.claim(), r)
}

func (y *yard) states() map[string]TargetState {
	y.t.Helper()
	list, err := NewOutbox(y.rdb).States(y.t.Context())
	if err != nil {
		y.t.Fatal(err)
	}
	m := map[string]TargetState{}
	for _, s := range list {
		m[s.Target] = s
	}
	return m
}

// until polls what lies in Redis: nothing tells of it.
func (y *yard) until(what string, done func() bool) {
	y.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(time.Minute); !done(); {
		select {
		case <-tick.C:
		case <-limit:
			y.t.Fatalf("never: %s; %+v\n%s", what, y.states(), y.log)
		}
	}
}

// got is a request as a fake service saw it.
type got struct {
	path   string
	header http.Header
	body   map[string]any
	text   string
}

// service is a strict fake: check says what is wrong with a request, and answer what it gets.
type service struct {
	*httptest.Server
	t     testing.TB
	came  chan got
	check func(*http.Request, got) string

	mu     sync.Mutex
	answer func(got) (code int, header http.Header, body string) // nil: ok
	ok     string
}

func newService(t testing.TB, ok string, check func(*http.Request, got) string) *service {
	s := &service{t: t, came: make(chan got, 20000), check: check, ok: ok}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *service) serve(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client was killed
	}
	g := got{path: r.URL.EscapedPath(), header: r.Header, text: string(data)}
	_ = json.Unmarshal(data, &g.body) // check looks whether it had to be JSON
	if wrong := s.check(r, g); wrong != "" {
		s.t.Errorf("%s %s: %s: %s", r.Method, r.URL, wrong, data)
		http.Error(w, wrong, http.StatusTeapot)
		return
	}
	s.mu.Lock()
	answer := s.answer
	s.mu.Unlock()
	code, header, body := 200, http.Header{}, s.ok
	if answer != nil {
		code, header, body = answer(g)
	}
	for name, values := range header {
		w.Header()[name] = values
	}
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body) // the client may have gone
	if code == 200 || code == 201 {
		s.came <- g
	}
}

func (s *service) answers(f func(got) (int, http.Header, string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

func (s *service) next() got {
	s.t.Helper()
	select {
	case g := <-s.came:
		return g
	case <-time.After(20 * time.Second):
		s.t.Fatal("nothing arrived")
		return got{}
	}
}

func (s *service) quiet() {
	s.t.Helper()
	select {
	case g := <-s.came:
		s.t.Errorf("arrived too: %s", g.text)
	default:
	}
}

// gitlab behaves as GitLab's commit statuses do: a status goes forward or stays as it was, and what ended is followed by a new one.
func gitlab(t testing.TB) *service {
	var mu sync.Mutex
	last := map[string]string{}
	s := newService(t, "", func(r *http.Request, g got) string {
		for _, key := range []string{"state", "context", "target_url", "description"} {
			if v, _ := g.body[key].(string); v == "" {
				return key + " is missing"
			}
		}
		switch {
		case r.Method != http.MethodPost:
			return "not POST"
		case g.path != "/api/v4/projects/group%2Fpackages/statuses/"+sha:
			return "another path"
		case g.header.Get("Private-Token") != token:
			return "another token"
		case g.header.Get("Content-Type") != "application/json":
			return "no JSON"
		case g.body["pipeline_id"] != 77.0 || len(g.body) != 5:
			return "another pipeline, or unknown keys"
		case r.URL.RawQuery != "":
			return "a query"
		}
		return ""
	})
	s.answer = func(g got) (int, http.Header, string) {
		mu.Lock()
		defer mu.Unlock()
		name, state := g.body["context"].(string), g.body["state"].(string)
		before := last[name]
		if state == "pending" && before == "running" || state == before && (state == "running" || state == "pending") {
			return 400, nil, `{"message":"Cannot transition status via :` + state + ` from :` + before + ` (Reason(s): Status cannot transition)"}`
		}
		last[name] = state
		return 201, nil, `{"id":1}`
	}
	return s
}

func (y *yard) useGitLab(s *service) {
	y.s.Notifiers = settings.NewSecret(`{"packages": {"id": "group/packages", "token": "` + token + `", "check_name": "caur: %pkgbase%", "server": "` + s.URL + `"}}`)
}

func (g got) status() string {
	return g.body["context"].(string) + " " + g.body["state"].(string) + " " + g.body["description"].(string)
}

// telegramFake refuses what Telegram refuses.
func telegramFake(t testing.TB) *service {
	return newService(t, `{"ok":true,"result":{"message_id":1}}`, func(r *http.Request, g got) string {
		text, _ := g.body["text"].(string)
		switch {
		case r.Method != http.MethodPost || r.URL.Path != "/bot"+botName+"/sendMessage" || r.URL.RawQuery != "":
			return "another address"
		case g.header.Get("Content-Type") != "application/json":
			return "no JSON"
		case g.body["chat_id"] != "-100200" || g.body["parse_mode"] != "MarkdownV2" || len(g.body) != 4:
			return "other parameters"
		}
		return wrongMarkdown(text)
	})
}

func (y *yard) useTelegram(s *service) {
	y.s.TelegramAPI, y.s.TelegramToken, y.s.TelegramChat = s.URL, settings.NewSecret(botName), "-100200"
}

// wrongMarkdown says why Telegram would refuse a text, or nothing.
func wrongMarkdown(text string) string {
	if n := units(text); n == 0 || n > 4096 {
		return "too long, or empty"
	}
	bold := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			if i++; i == len(text) || text[i] < 1 || text[i] > 126 {
				return "a backslash that escapes nothing"
			}
		case c == '*':
			bold = !bold
		case strings.HasPrefix(text[i:], "```"):
			end := i + 3
			for ; end < len(text) && !strings.HasPrefix(text[end:], "```"); end++ {
				if text[end] == '\\' {
					end++
				} else if text[end] == '`' {
					return "a backtick in a block"
				}
			}
			if end >= len(text) {
				return "a block without end"
			}
			i = end + 2
		case c == '[':
			middle := strings.Index(text[i:], "](")
			if middle < 0 {
				return "a bracket that begins no link"
			}
			end := i + middle + 2
			for ; end < len(text) && text[end] != ')'; end++ {
				if text[end] == '\\' {
					end++
				}
			}
			if end >= len(text) {
				return "a link without end"
			}
			i = end
		case strings.IndexByte("_]()~`>#+-=|{}.!", c) >= 0:
			return "reserved and not escaped: " + string(c) + " in " + text
		}
	}
	if bold {
		return "bold without end"
	}
	return ""
}
