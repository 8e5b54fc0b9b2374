package testenv

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// GitHTTP serves a directory of bare repositories with the real git http-backend.
type GitHTTP struct {
	URL string // of the directory; a repository is URL/NAME.git
	Dir string

	server *httptest.Server
	stop   chan struct{}

	mu          sync.Mutex
	sent        []Sent
	faults      []*GitFault
	noV2        bool
	connections int
	open, peak  int
}

// GitFault is a failure that GitHTTP shows to the next requests of this kind. A redirect is a Status with a Location.
type GitFault struct {
	Fault
	Hang bool // never answer
}

// NewGitHTTP serves dir.
func NewGitHTTP(t testing.TB, dir string) *GitHTTP {
	t.Helper()
	g := &GitHTTP{Dir: dir, stop: make(chan struct{})}
	g.server = httptest.NewUnstartedServer(g.handler(t))
	g.server.Config.ConnState = g.count
	g.server.Start()
	g.URL = g.server.URL
	t.Cleanup(g.Stop)
	return g
}

// NewGitHTTPS is NewGitHTTP with TLS; the client to ask it with knows its certificate.
func NewGitHTTPS(t testing.TB, dir string) (*GitHTTP, *http.Client) {
	t.Helper()
	g := &GitHTTP{Dir: dir, stop: make(chan struct{})}
	g.server = httptest.NewUnstartedServer(g.handler(t))
	g.server.Config.ConnState = g.count
	g.server.StartTLS()
	g.URL = g.server.URL
	t.Cleanup(g.Stop)
	return g, g.server.Client()
}

func (g *GitHTTP) handler(t testing.TB) http.Handler {
	Need(t, "git")
	path, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatalf("git --exec-path: %v", err)
	}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"),
		Dir:  g.Dir,
		Env: []string{
			"GIT_PROJECT_ROOT=" + g.Dir, "GIT_HTTP_EXPORT_ALL=1", "HOME=" + g.Dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		},
		Stderr: io.Discard, // what it refuses is in its answer
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client is gone
		}
		r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		fault := g.record(r, body)
		if fault == nil || fault.Act {
			if fault != nil {
				w = discard{http.Header{}}
			}
			backend.ServeHTTP(w, r)
			if fault == nil {
				return
			}
		}
		g.fail(w, r, fault)
	})
}

// discard is an answer that gets lost.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// record notes the request and gives the fault that it meets.
func (g *GitHTTP) record(r *http.Request, body []byte) *GitFault {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sent = append(g.sent, Sent{Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Body: string(body)})
	if g.noV2 {
		r.Header.Del("Git-Protocol")
	}
	for i, fault := range g.faults {
		if (fault.Method != "" && fault.Method != r.Method) || !strings.Contains(r.URL.Path, fault.Path) {
			continue
		}
		if fault.Skip > 0 {
			fault.Skip--
			continue
		}
		if fault.Times--; fault.Times <= 0 {
			g.faults = slices.Delete(g.faults, i, i+1)
		}
		return fault
	}
	return nil
}

func (g *GitHTTP) fail(w http.ResponseWriter, r *http.Request, fault *GitFault) {
	switch {
	case fault.Hang:
		select {
		case <-r.Context().Done():
		case <-g.stop:
		}
	case fault.Drop:
		if hijacker, ok := w.(http.Hijacker); ok {
			if conn, _, err := hijacker.Hijack(); err == nil {
				_ = conn.Close()
			}
		}
	default:
		for key, value := range fault.Header {
			w.Header().Set(key, value)
		}
		w.WriteHeader(fault.Status)
		_, _ = io.WriteString(w, fault.Body)
	}
}

func (g *GitHTTP) count(_ net.Conn, state http.ConnState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch state {
	case http.StateNew:
		g.connections++
		g.open++
		g.peak = max(g.peak, g.open)
	case http.StateClosed, http.StateHijacked:
		g.open--
	}
}

// Fail lets requests fail.
func (g *GitHTTP) Fail(faults ...GitFault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, fault := range faults {
		g.faults = append(g.faults, &fault)
	}
}

// WithoutV2 makes it a server that knows the old protocol only.
func (g *GitHTTP) WithoutV2() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.noV2 = true
}

// Requests gives what was asked, in order, without Status.
func (g *GitHTTP) Requests() []Sent {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.sent)
}

// Forget begins a new list of requests and connections.
func (g *GitHTTP) Forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sent, g.connections, g.peak = nil, 0, g.open
}

// Connections gives how many were made, and how many were open at once.
func (g *GitHTTP) Connections() (made, peak int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.connections, g.peak
}

// Stop ends the server: nothing listens any more.
func (g *GitHTTP) Stop() {
	g.mu.Lock()
	select {
	case <-g.stop:
	default:
		close(g.stop)
	}
	g.mu.Unlock()
	g.server.CloseClientConnections()
	g.server.Close()
}

// Repos gives a directory with bare repositories NAME.git, each with a branch main that holds one file. Their objects are
// those of one repository beside them: hundreds take a moment.
func Repos(t testing.TB, names ...string) (dir string, heads map[string]string) {
	t.Helper()
	dir, heads = t.TempDir(), map[string]string{}
	g := newGitRepo(t, t.TempDir()) // its user and dates
	var stream strings.Builder
	for _, name := range names {
		stream.WriteString("commit refs/heads/" + name + "\ncommitter Tess Tester <tess@example.org> 1700000000 +0000\n" + data("of "+name) +
			"M 100644 inline README\n" + data(name+"\n"))
	}
	g.feed(stream.String(), "fast-import", "--quiet")
	for line := range strings.Lines(g.Git("for-each-ref", "--format=%(objectname) %(refname:short)", "refs/heads/")) {
		sha, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		heads[name] = sha
		for file, content := range map[string]string{
			"HEAD": "ref: refs/heads/main", "config": "[core]\n\tbare = true\n\trepositoryformatversion = 0",
			"refs/heads/main": sha, "objects/info/alternates": filepath.Join(g.Dir, ".git", "objects"),
		} {
			path := filepath.Join(dir, name+".git", file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir, heads
}
