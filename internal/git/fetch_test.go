package git

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/testenv"
)

// history makes an origin with n commits on main, the oldest first, that gives out only what its refs name.
func history(t *testing.T, n int) (g *testenv.GitRepo, origin string, commits []string) {
	t.Helper()
	g = testenv.NewGitRepo(t)
	var stream strings.Builder // of git-fast-import(1)
	for i := range n {
		fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter Tess <t@example.org> %d +0000\ndata 1\nx\n", 1_700_000_000+i)
		fmt.Fprintf(&stream, "M 644 inline pkg/PKGBUILD\ndata <<END\npkgver=%d\nEND\n", i)
		fmt.Fprintf(&stream, "M 644 inline other%d/PKGBUILD\ndata <<END\npkgver=%d\nEND\n\n", i, i)
	}
	file := filepath.Join(t.TempDir(), "stream")
	if err := os.WriteFile(file, []byte(stream.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	g.Git("-c", "alias.read=!git fast-import --quiet <"+file, "read")
	commits = strings.Fields(g.Git("rev-list", "--reverse", "main"))
	origin = g.Origin()
	g.Git("--git-dir="+origin, "config", "uploadpack.allowAnySHA1InWant", "false")
	// Protocol 2 gives any commit that is asked for; 0 is what old and strict servers speak.
	t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(t.TempDir(), "gitconfig"))
	g.Git("config", "--file", os.Getenv("GIT_CONFIG_GLOBAL"), "protocol.version", "0")
	return g, origin, commits
}

func cacheGit(t *testing.T, cache string, args ...string) string {
	t.Helper()
	out, err := command{gitDir: cache, dir: cache, args: args}.output(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestFetchCommitByNameAndHash(t *testing.T) {
	for _, version := range []string{"0", "2"} {
		t.Run("protocol "+version, func(t *testing.T) {
			g, origin, commits := history(t, 60)
			g.Git("config", "--file", os.Getenv("GIT_CONFIG_GLOBAL"), "protocol.version", version)
			url, last := "file://"+origin, commits[len(commits)-1]
			for what, want := range map[string]string{
				"main": last, "refs/heads/main": last, "": last, "HEAD": last,
				last: last, commits[58]: commits[58], commits[3]: commits[3],
			} {
				cache := filepath.Join(t.TempDir(), "deep", "cache")
				got, err := FetchCommit(ctx, cache, url, what)
				if err != nil || got != want {
					t.Errorf("%q: got %s, %v", what, got, err)
					continue
				}
				if tree := cacheGit(t, cache, "ls-tree", "-r", "--name-only", got); !strings.Contains(tree, "pkg/PKGBUILD") {
					t.Errorf("%q: the tree is not there: %s", what, tree)
				}
			}
		})
	}
}

func TestFetchCommitIsShallow(t *testing.T) {
	_, origin, _ := history(t, 5)
	cache := filepath.Join(t.TempDir(), "cache")
	sha, err := FetchCommit(ctx, cache, "file://"+origin, "main")
	if err != nil {
		t.Fatal(err)
	}
	if got := cacheGit(t, cache, "rev-list", "--count", sha); got != "1" {
		t.Errorf("%s commits were fetched", got)
	}
}

func TestFetchCommitThatIsThereNeedsNoServer(t *testing.T) {
	_, origin, commits := history(t, 2)
	cache := filepath.Join(t.TempDir(), "cache")
	if _, err := FetchCommit(ctx, cache, "file://"+origin, commits[1]); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(origin); err != nil {
		t.Fatal(err)
	}
	if got, err := FetchCommit(ctx, cache, "file://"+origin, commits[1]); err != nil || got != commits[1] {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestFetchCommitFollowsABranchThatIsForcePushed(t *testing.T) {
	g, origin, _ := history(t, 2)
	cache := filepath.Join(t.TempDir(), "cache")
	if _, err := FetchCommit(ctx, cache, origin, "main"); err != nil {
		t.Fatal(err)
	}
	g.Git("checkout", "-q", "--orphan", "fresh")
	sha := g.Commit("no common history")
	g.Git("branch", "-f", "main", sha)
	g.Origin()
	if got, err := FetchCommit(ctx, cache, origin, "main"); err != nil || got != sha {
		t.Errorf("got %s, %v, want %s", got, err, sha)
	}
}

func TestFetchCommitThatDoesNotExist(t *testing.T) {
	_, origin, _ := history(t, 3)
	for _, what := range []string{strings.Repeat("ab", 20), "absent"} {
		_, err := FetchCommit(ctx, filepath.Join(t.TempDir(), "c"), "file://"+origin, what)
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	for _, bad := range []string{"a b", "a..b", "x:y", "--upload-pack=touch x"} {
		if _, err := FetchCommit(ctx, filepath.Join(t.TempDir(), "c"), origin, bad); err == nil || !strings.Contains(err.Error(), "neither") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
	for _, bad := range []string{"", "--upload-pack=x"} {
		if _, err := FetchCommit(ctx, filepath.Join(t.TempDir(), "c"), bad, "main"); err == nil {
			t.Errorf("%q is fetched", bad)
		}
	}
}

func TestManyCallersShareACache(t *testing.T) {
	_, origin, commits := history(t, 12)
	cache := filepath.Join(t.TempDir(), "cache")
	var wg sync.WaitGroup
	for _, what := range append(commits, "main", "main", commits[5]) {
		wg.Go(func() {
			sha, err := FetchCommit(ctx, cache, "file://"+origin, what)
			if err != nil {
				t.Errorf("%s: %v", what, err)
				return
			}
			if err := Archive(ctx, cache, sha, "pkg", filepath.Join(t.TempDir(), "out")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestFetchCommitSurvivesWhatAKilledGitLeaves(t *testing.T) {
	_, origin, commits := history(t, 3)
	cache := filepath.Join(t.TempDir(), "cache")
	if _, err := FetchCommit(ctx, cache, origin, commits[0]); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shallow.lock", "HEAD.lock", "packed-refs.lock", "config.lock", "refs/caur/branch.lock"} {
		if err := os.WriteFile(filepath.Join(cache, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := FetchCommit(ctx, cache, origin, "main"); err != nil || got != commits[2] {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestFetchCommitMakesABrokenCacheAnew(t *testing.T) {
	_, origin, commits := history(t, 3)
	cache := filepath.Join(t.TempDir(), "cache")
	if _, err := FetchCommit(ctx, cache, "file://"+origin, commits[1]); err != nil {
		t.Fatal(err)
	}
	objects, err := filepath.Glob(filepath.Join(cache, "objects", "pack", "*.pack"))
	if err != nil || len(objects) == 0 {
		t.Fatal("no packs", err)
	}
	for _, path := range objects { // as after a power cut
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, what := range []string{commits[1], "main"} {
		sha, err := FetchCommit(ctx, cache, "file://"+origin, what)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if err := Archive(ctx, cache, sha, "pkg", filepath.Join(t.TempDir(), "out")); err != nil {
			t.Error(err)
		}
	}
}

func TestFetchCommitKeepsABoundedNumberOfCommits(t *testing.T) {
	_, origin, commits := history(t, 3)
	cache := filepath.Join(t.TempDir(), "cache")
	f := fetcher{dir: cache, url: origin}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := f.fetch(ctx, "main"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.fetch(ctx, commits[0]); err != nil {
		t.Fatal(err)
	}
	for i := range keepRefs + 5 {
		sha := cacheGit(t, cache, "-c", "user.name=x", "-c", "user.email=x@example.org", "commit-tree", "-m", fmt.Sprint(i), commits[2]+"^{tree}")
		if err := f.keep(ctx, sha); err != nil {
			t.Fatal(err)
		}
	}
	refs := strings.Fields(cacheGit(t, cache, "for-each-ref", "--format=%(refname)", "refs/caur/keep"))
	if len(refs) != keepRefs {
		t.Errorf("%d commits are kept", len(refs))
	}
	if strings.Contains(strings.Join(refs, " "), commits[2]) {
		t.Error("the oldest one is kept")
	}
}

func TestFetchCommitFromAServerWithoutShallow(t *testing.T) {
	g, origin, commits := history(t, 3)
	g.Git("--git-dir="+origin, "update-server-info")
	server := httptest.NewServer(http.FileServer(http.Dir(origin))) // the dumb protocol
	defer server.Close()
	for _, what := range []string{"main", commits[0]} {
		sha, err := FetchCommit(ctx, filepath.Join(t.TempDir(), "c"), server.URL, what)
		if err != nil || sha != commits[0] && sha != commits[2] {
			t.Errorf("%s: got %s, %v", what, sha, err)
		}
	}
}

func TestFetchCommitStopsWaitingForTheLock(t *testing.T) {
	cache := t.TempDir()
	unlock, err := lockFile(ctx, filepath.Join(cache, "caur.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := FetchCommit(short, cache, "/x", "main"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestFetchCommitStopsWithItsContext(t *testing.T) {
	reached := make(chan struct{})
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(reached)
		<-release
	}))
	defer server.Close()
	defer close(release)
	stop, cancel := context.WithCancel(ctx)
	go func() {
		<-reached
		cancel()
	}()
	if _, err := FetchCommit(stop, filepath.Join(t.TempDir(), "c"), server.URL, "main"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
