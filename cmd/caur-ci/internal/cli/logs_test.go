package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/queue"
)

func TestWhereTheLogsAre(t *testing.T) {
	tests := map[string]string{
		"https://builds.example.org":                      "https://builds.example.org/",
		"https://builds.example.org/logs/logs.html?x=1#y": "https://builds.example.org/logs/",
		"http://127.0.0.1:8080/logs.html":                 "http://127.0.0.1:8080/",
		"http://127.0.0.1:8080/prefix/":                   "http://127.0.0.1:8080/prefix/",
		"":                                                "",
		"ftp://x":                                         "",
		"builds.example.org":                              "",
	}
	for text, want := range tests {
		u, err := logServer(text)
		if want == "" {
			if err == nil {
				t.Errorf("%q is taken as %s", text, u)
			}
		} else if err != nil || u.String() != want {
			t.Errorf("%q: %v, %v, want %s", text, u, err, want)
		}
	}
}

// logSite is a strict server of one log: it breaks the connection as often as it is told to.
type logSite struct {
	t        *testing.T
	text     string
	status   string // of the ended build, empty while it runs
	breaks   int
	notYet   int
	requests []string
}

func (s *logSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
	if !strings.HasPrefix(r.URL.Path, "/logs/api/logs/zlib") {
		s.t.Errorf("asked for %s", r.URL)
	}
	if s.notYet > 0 {
		s.notYet--
		http.Error(w, "there is no such log", http.StatusNotFound)
		return
	}
	w.Header().Set("X-Log-Timestamp", "1700000000000")
	w.Header().Set("X-Log-Size", fmt.Sprint(len(s.text)))
	if s.status != "" && s.breaks == 0 {
		w.Header().Set("X-Log-Status", s.status)
	}
	if r.Method == http.MethodHead {
		return
	}
	var offset int
	if _, err := fmt.Sscan(r.URL.Query().Get("offset"), &offset); err != nil || offset > len(s.text) {
		s.t.Errorf("offset %q", r.URL.Query().Get("offset"))
	}
	rest := s.text[offset:]
	if s.breaks > 0 {
		s.breaks--
		io.WriteString(w, rest[:len(rest)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	io.WriteString(w, rest)
}

func readLog(t *testing.T, site *logSite, o logOptions) (out string, status int, ended bool, err error) {
	t.Helper()
	site.t = t
	server := httptest.NewServer(site)
	t.Cleanup(server.Close)
	base, err := logServer(server.URL + "/logs/logs.html")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	r := &logReader{client: server.Client(), base: base, out: &b, warn: func(string, ...any) {},
		wait: func(ctx context.Context, _ time.Duration) bool { return ctx.Err() == nil }}
	status, ended, err = r.run(t.Context(), "zlib", o)
	return b.String(), status, ended, err
}

func TestLogIsReadOnAfterTheConnectionBreaks(t *testing.T) {
	site := &logSite{text: strings.Repeat("a line\n", 1000), status: "3", breaks: 3, notYet: 2}
	out, status, ended, err := readLog(t, site, logOptions{follow: true})
	if err != nil || out != site.text || status != 3 || !ended {
		t.Errorf("%d bytes of %d, status %d, ended %v, %v", len(out), len(site.text), status, ended, err)
	}
	for _, request := range site.requests[3:] {
		if !strings.Contains(request, "/1700000000000") {
			t.Errorf("asked for another log: %s", request)
		}
	}
}

func TestLogWithoutFollowIsWhatIsThere(t *testing.T) {
	out, _, ended, err := readLog(t, &logSite{text: "so far\n"}, logOptions{timestamp: 5})
	if err != nil || out != "so far\n" || ended {
		t.Errorf("%q, ended %v, %v", out, ended, err)
	}
	if _, _, _, err := readLog(t, &logSite{notYet: 1}, logOptions{}); !errors.Is(err, errNoLog) {
		t.Errorf("no log: %v", err)
	}
}

func TestLogsCommandSaysThatABuildFailed(t *testing.T) {
	site := &logSite{t: t, text: "broken\n", status: "3"}
	server := httptest.NewServer(site)
	t.Cleanup(server.Close)
	a := testApp(map[string]string{"LOGS_URL": server.URL + "/logs/logs.html"})
	var exit *command.ExitError
	if err := a.runLogs(t.Context(), "zlib", logOptions{follow: true}); !errors.As(err, &exit) || exit.Code != buildFailed || !strings.Contains(err.Error(), "failed") {
		t.Errorf("got %v", err)
	}
	site.status = "0"
	if err := a.runLogs(t.Context(), "zlib", logOptions{follow: true}); err != nil {
		t.Errorf("a build that went well: %v", err)
	}
	if err := a.runLogs(t.Context(), "../etc", logOptions{}); err == nil {
		t.Error("a path is taken as a package name")
	}
}

func TestOnlyColoursReachTheTerminal(t *testing.T) {
	tests := map[string]string{
		"plain\ttext\r\n":                          "plain\ttext\r\n",
		"\x1b[1;31mred\x1b[0m":                     "\x1b[1;31mred\x1b[0m",
		"\x1b[38:5:1mx\x1b[2J\x1b[Hy":              "\x1b[38:5:1mxy",
		"\x1b]0;title\x07a\x1b]52;c;eA==\x1b\\b":   "ab",
		"\x1b[?25lx\x1b[>cy":                       "xy",
		"\x1b(0x\x1bcy":                            "0xy",
		"\u009b31mé\u00a0ß\x07\x7f":                "31mé\u00a0ß",
		"\x1b[" + strings.Repeat("1;", 100) + "mx": strings.Repeat("1;", 68)[1:] + "mx",
	}
	for in, want := range tests {
		var b bytes.Buffer
		w := &colourWriter{out: &b}
		for i := range len(in) { // byte by byte: sequences come in pieces
			if n, err := w.Write([]byte{in[i]}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		if got := b.String(); got != want && !strings.Contains(in, "1;1;1;") {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		if strings.Contains(in, "1;1;1;") && strings.Contains(b.String(), "\x1b") {
			t.Errorf("an endless sequence: %q", b.String())
		}
	}
}

func TestWatchedQueueIsDrawnAnewOnATerminalAndPrintedWhenItChangesElsewhere(t *testing.T) {
	for _, tty := range []bool{true, false} {
		var out bytes.Buffer
		a := testApp(nil)
		a.io.Out, a.io.OutTTY, a.io.Width = &out, tty, 100
		ctx, cancel := context.WithCancel(t.Context())
		looks := 0
		read := func(context.Context) (*queue.Snapshot, error) {
			looks++
			s := snapshot()
			s.Time = s.Time.Add(time.Duration(looks) * time.Second)
			switch looks {
			case 2:
				return nil, errors.New("redis is away")
			case 4:
				s.Running = nil
			case 5:
				cancel()
			}
			return s, nil
		}
		if err := a.watchQueue(ctx, read, queueOptions{every: time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		if tty && (strings.Count(text, home) != 3 || !strings.Contains(text, clearLine)) {
			t.Errorf("drawn %d times:\n%q", strings.Count(text, home), text)
		}
		if !tty && (strings.Count(text, "Waiting (4)") != 2 || strings.Contains(text, "\x1b")) {
			t.Errorf("printed %d times:\n%s", strings.Count(text, "Waiting (4)"), text)
		}
	}
}

func TestWatchedQueueThatCannotBeReadAtAllIsAnError(t *testing.T) {
	err := testApp(nil).watchQueue(t.Context(), func(context.Context) (*queue.Snapshot, error) { return nil, errors.New("no redis") }, queueOptions{every: time.Second})
	if err == nil {
		t.Error("it goes on for ever")
	}
}
