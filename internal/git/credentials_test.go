package git

import (
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caur-build/caur/internal/testenv"
)

const password = "p@ss/wörd:1"

// httpServer serves repositories below root over smart HTTP; those below /private/ to tess with the password only.
type httpServer struct {
	*httptest.Server
	root string

	mu   sync.Mutex
	seen []string // command lines of git while a request was served
}

func newHTTPServer(t *testing.T) *httpServer {
	t.Helper()
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	s := &httpServer{root: t.TempDir()}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"),
		Env: []string{"GIT_PROJECT_ROOT=" + s.root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1",
			"GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*", "REMOTE_USER=tess", "HOME=" + t.TempDir()},
		Stderr: io.Discard,
	}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.look()
		user, pw, ok := r.BasicAuth()
		switch {
		case strings.HasPrefix(r.URL.Path, "/broken"):
			http.Error(w, "down", http.StatusServiceUnavailable)
		case strings.HasPrefix(r.URL.Path, "/private/") && (!ok || user != "tess" || pw != password):
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			http.Error(w, "no", http.StatusUnauthorized)
		default:
			backend.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// look notes what every user of the machine can see of the running processes.
func (s *httpServer) look() {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range files {
		if data, err := os.ReadFile(f); err == nil && strings.Contains(string(data), "git") {
			s.seen = append(s.seen, strings.ReplaceAll(string(data), "\x00", " "))
		}
	}
}

func (s *httpServer) withUser(user, pw string) string {
	if user == "" {
		return s.URL
	}
	escape := strings.NewReplacer("@", "%40", "/", "%2F", ":", "%3A", "ö", "%C3%B6")
	return strings.Replace(s.URL, "://", "://"+user+":"+escape.Replace(pw)+"@", 1)
}

// add makes a bare repository below the root and gives its path in URLs.
func (s *httpServer) add(t *testing.T, g *testenv.GitRepo, path string) {
	t.Helper()
	dir := filepath.Join(s.root, path)
	g.Git("clone", "-q", "--bare", g.Dir, dir)
	g.Git("--git-dir="+dir, "config", "http.receivepack", "true")
}

func TestCredentialsReachTheServerAndNoCommandLine(t *testing.T) {
	g := testenv.NewGitRepo(t)
	sha := g.Commit("one")
	s := newHTTPServer(t)
	s.add(t, g, "private/repo.git")
	url := s.withUser("tess", password) + "/private/repo.git"
	if refs, err := LsRemote(ctx, url); err != nil || len(refs) == 0 {
		t.Errorf("ls-remote: %v", err)
	}
	got, err := FetchCommit(ctx, filepath.Join(t.TempDir(), "c"), url, "")
	if err != nil || got != sha {
		t.Errorf("fetch: %s, %v", got, err)
	}
	g.Git("remote", "add", "named", url)
	g.Commit("two")
	r := Repo{Dir: g.Dir}
	if err := r.PushAtomic(ctx, "named", []string{"HEAD:refs/heads/main"}, PushOptions{}); err != nil {
		t.Errorf("push by name: %v", err)
	}
	g.Commit("three")
	if err := r.PushAtomic(ctx, url, []string{"HEAD:refs/heads/main"}, PushOptions{}); err != nil {
		t.Errorf("push by URL: %v", err)
	}
	seen := strings.Join(s.seen, "\n")
	if !strings.Contains(seen, "remote-http") {
		t.Error("the test saw no git process")
	}
	for _, secret := range []string{password, "p%40ss"} {
		if strings.Contains(seen, secret) {
			t.Errorf("the password is on a command line:\n%s", seen)
		}
	}
}

func TestErrorsHoldNoCredentials(t *testing.T) {
	s := newHTTPServer(t)
	dir := t.TempDir()
	g := testenv.NewGitRepo(t)
	g.Commit("one")
	for _, url := range []string{
		s.withUser("tess", password) + "/absent.git",
		s.withUser("tess", password) + "/broken.git",
		s.withUser("other", password) + "/private/repo.git",
		"ftp://tess:p%40ss%2Fw%C3%B6rd%3A1@127.0.0.1:1/x",
		"ssh://tess:p%40ss@127.0.0.1:1/x",
		"https://tess:p%40ss@127.0.0.1:1/x",
		"nonsense://tess:" + password + "@x/y",
	} {
		_, lsErr := LsRemote(ctx, url)
		_, fetchErr := FetchCommit(ctx, filepath.Join(dir, "c"), url, "main")
		pushErr := Repo{Dir: g.Dir}.PushAtomic(ctx, url, []string{"HEAD"}, PushOptions{})
		for _, err := range []error{lsErr, fetchErr, pushErr} {
			if err == nil {
				t.Errorf("%s: no error", url)
				continue
			}
			for _, secret := range []string{"p@ss", "p%40ss", "wörd"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows the password: %v", err)
				}
			}
		}
	}
}

func TestScrub(t *testing.T) {
	for in, want := range map[string]string{
		"fatal: unable to access 'https://u:pw@host/x'": "fatal: unable to access 'https://***@host/x'",
		"https://token@host/x":                          "https://***@host/x",
		"ssh://aur@host/x ssh://u:p@host":               "ssh://aur@host/x ssh://***@host",
		"git@host:x and https://host/a@b":               "git@host:x and https://host/a@b",
		"https://a:b@c@host/":                           "https://***@host/",
	} {
		if got := scrub(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	_, c := separate("https://glpat-abcdefgh@host/x")
	if got := c.scrub("token glpat-abcdefgh is bad"); strings.Contains(got, "glpat") {
		t.Errorf("a token in the place of the user is shown: %s", got)
	}
}

func TestSeparate(t *testing.T) {
	for in, want := range map[string]string{
		"https://u:p@host:1/a/b.git?x": "https://host:1/a/b.git?x",
		"HTTPS://u@host/a":             "https://host/a",
		"https://host/a":               "https://host/a",
		"ssh://git@host/a":             "ssh://git@host/a",
		"git@host:a/b":                 "git@host:a/b",
		"/some/path":                   "/some/path",
	} {
		if got, _ := separate(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
