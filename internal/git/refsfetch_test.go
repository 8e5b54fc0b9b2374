package git

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caur-build/caur/internal/testenv"
)

// branches is a mirror with a branch for each name.
func branches(t *testing.T, names ...string) *testenv.AUR {
	t.Helper()
	a := testenv.NewAUR(t)
	var commits []testenv.AURCommit
	for _, name := range names {
		commits = append(commits,
			testenv.AURCommit{Pkgbase: name, Files: map[string]string{"old": "of " + name}, Time: 1},
			testenv.AURCommit{Pkgbase: name, Files: map[string]string{"file": "of " + name}, Time: 2})
	}
	a.Push(commits...)
	return a
}

func TestFetchBranchesBringsOnlyNewestCommits(t *testing.T) {
	a := branches(t, "one", "c++@1.2", "not-wanted")
	heads := a.Heads()
	dir := filepath.Join(t.TempDir(), "cache.git")
	for range 2 { // the second time there is nothing to do
		got, err := FetchBranches(ctx, dir, a.MirrorURL, []string{"one", "c++@1.2"}, BranchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 2 || got["one"] != heads["one"] || got["c++@1.2"] != heads["c++@1.2"] {
			t.Errorf("got %v, want %v", got, heads)
		}
	}
	r := Repo{Dir: dir}
	if out, err := r.Output(ctx, "cat-file", "-p", heads["one"]+":file"); err != nil || string(out) != "of one" {
		t.Errorf("got %s, %v", out, err)
	}
	for what, object := range map[string]string{"history": heads["one"] + "^", "another branch": heads["not-wanted"]} {
		if err := r.Run(ctx, "cat-file", "-e", object); err == nil {
			t.Errorf("%s was fetched, too", what)
		}
	}
	if got, err := FetchBranches(ctx, dir, a.MirrorURL, nil, BranchOptions{}); err != nil || len(got) != 0 {
		t.Errorf("nothing: %v, %v", got, err)
	}
}

func TestFetchBranchesNeedsAllOfThem(t *testing.T) {
	a := branches(t, "one")
	dir := filepath.Join(t.TempDir(), "cache.git")
	for name, want := range map[string]string{
		"gone": "couldn't find remote ref", "a b": "no name of a branch", "-x": "no name of a branch", "a:refs/heads/b": "no name of a branch",
		"*": "no name of a branch", "^one": "no name of a branch", "refs/heads/one": "no name of a branch", "": "no name of a branch", "a\nb": "no name of a branch",
	} {
		if _, err := FetchBranches(ctx, dir, a.MirrorURL, []string{"one", name}, BranchOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", name, err)
		}
	}
	if _, err := FetchBranches(ctx, dir, a.MirrorURL, []string{"gone"}, BranchOptions{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	for _, address := range []string{"ext::sh -c true", "ext::true", "--upload-pack=true", "hg::x"} {
		if _, err := FetchBranches(ctx, dir, address, []string{"one"}, BranchOptions{}); err == nil || !strings.Contains(err.Error(), "not asked") {
			t.Errorf("%q: got %v", address, err)
		}
	}
	a.Git.Stop()
	if _, err := FetchBranches(ctx, dir, strings.Replace(a.MirrorURL, "://", "://bot:s3cret@", 1), []string{"one"}, BranchOptions{}); !errors.Is(err, ErrUnreachable) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := FetchBranches(ctx, file, a.MirrorURL, []string{"one"}, BranchOptions{}); err == nil || !strings.Contains(err.Error(), "make the git cache") {
		t.Errorf("got %v", err)
	}
}

func TestFetchBranchesOfSeveralCallersOnOneCache(t *testing.T) {
	a := branches(t, "one", "two", "three", "four")
	heads := a.Heads()
	dir := filepath.Join(t.TempDir(), "cache.git")
	var wg sync.WaitGroup
	for _, name := range []string{"one", "two", "three", "four"} {
		wg.Go(func() {
			got, err := FetchBranches(ctx, dir, a.MirrorURL, []string{name}, BranchOptions{})
			if err != nil || got[name] != heads[name] {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		})
	}
	wg.Wait()
}

// certificate is the file with the certificate of a server.
func certificate(t *testing.T, server *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestFetchBranchesIsNotRedirectedFromHTTPSToHTTP(t *testing.T) {
	a := branches(t, "one")
	for name, to := range map[string]string{"http": a.Git.URL, "file": "file://" + a.Git.Dir} {
		secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, to+r.URL.RequestURI(), http.StatusFound)
		}))
		t.Setenv("GIT_SSL_CAINFO", certificate(t, secure))
		_, err := FetchBranches(ctx, filepath.Join(t.TempDir(), "cache.git"), secure.URL+"/mirror.git", []string{"one"}, BranchOptions{})
		secure.Close()
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("Protocol %q", name)) {
			t.Errorf("to %s: got %v", name, err)
		}
	}
	if n := len(a.Git.Requests()); n != 0 {
		t.Errorf("it was followed: %d requests", n)
	}
}

func TestFetchBranchesGoesThroughAProxyThatIsNotInTheArguments(t *testing.T) {
	var asked atomic.Value
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.URL.Host + " " + r.Header.Get("Proxy-Authorization"))
		if r.Header.Get("Proxy-Authorization") == "" {
			w.Header().Set("Proxy-Authenticate", "Basic realm=x")
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		w.WriteHeader(http.StatusBadGateway)
	}))
	t.Cleanup(proxy.Close)
	_, err := FetchBranches(ctx, filepath.Join(t.TempDir(), "cache.git"), "http://aur.invalid/x.git", []string{"one"},
		BranchOptions{Proxy: strings.Replace(proxy.URL, "://", "://u:s3cret@", 1)})
	if !errors.Is(err, ErrUnreachable) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
	if got := asked.Load(); got != "aur.invalid Basic dTpzM2NyZXQ=" {
		t.Errorf("the proxy was asked for %v", got)
	}
}
