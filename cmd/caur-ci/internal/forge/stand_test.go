package forge

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/testenv"
)

// server is what both fakes can do.
type server interface {
	Add(testenv.MergeRequest) int
	Change(int, func(*testenv.MergeRequest))
	Env() map[string]string
	Fail(...testenv.Fault)
	MergeRequests() []testenv.MergeRequest
	Requests() []testenv.Sent
	SetPageSize(int)
	SetReadOnly()
	SetUser(string)
	Stop()
	Writes() []testenv.Sent
}

// clock is a clock that waiting moves.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.slept = append(c.slept, d)
	return ctx.Err()
}

func (c *clock) total() (sum time.Duration) {
	for _, d := range c.slept {
		sum += d
	}
	return sum
}

// ground is a repository with a branch that is to be reviewed.
type ground struct {
	repo   *testenv.GitRepo
	origin string
	base   string // newest commit of main
	head   string // of update-foo
}

func newGround(t *testing.T) *ground {
	t.Helper()
	g := &ground{repo: testenv.NewGitRepo(t)}
	g.repo.Write("foo/PKGBUILD", "pkgname=foo\npkgver=1\n"+strings.Repeat("# line\n", 30))
	g.base = g.repo.Commit("first")
	g.head = g.commit("update-foo", "pkgname=foo\npkgver=2\n"+strings.Repeat("# line\n", 30))
	g.origin = g.repo.Origin()
	return g
}

// newNames makes a ground of which only the names of branches matter: as files, without the work of git.
func newNames(t *testing.T) *ground {
	t.Helper()
	g := &ground{origin: t.TempDir(), base: strings.Repeat("1", 40), head: strings.Repeat("2", 40)}
	heads := filepath.Join(g.origin, "refs", "heads")
	if err := os.MkdirAll(heads, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, sha := range map[string]string{"main": g.base, "stable": g.base, "update-foo": g.head} {
		writeFile(t, filepath.Join(heads, name), sha+"\n")
	}
	return g
}

// commit makes a branch with another PKGBUILD, and gives its commit.
func (g *ground) commit(branch, pkgbuild string) string {
	g.repo.T().Helper()
	g.repo.Git("checkout", "-q", "-B", branch, "main")
	g.repo.Write("foo/PKGBUILD", pkgbuild)
	sha := g.repo.Commit("chore(update): foo")
	g.repo.Git("checkout", "-q", "main")
	return sha
}

// point lets a branch of the origin be at a commit that is there.
func (g *ground) point(t *testing.T, branch, sha string) {
	t.Helper()
	writeFile(t, filepath.Join(g.origin, "refs", "heads", branch), sha+"\n")
}

// stand is one forge, its server and the repository behind it.
type stand struct {
	server
	*ground
	t     *testing.T
	kind  string
	forge Forge
	clock *clock
	token string
}

// onBoth runs a test on GitLab and on GitHub, each with a repository of its own.
func onBoth(t *testing.T, test func(*testing.T, *stand)) {
	for _, kind := range []string{GitLab, GitHub} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			test(t, newStand(t, kind, newGround(t)))
		})
	}
}

// onSame runs a test on GitLab and on GitHub that changes nothing in the repository.
func onSame(t *testing.T, g *ground, test func(*testing.T, *stand)) {
	for _, kind := range []string{GitLab, GitHub} {
		t.Run(kind, func(t *testing.T) {
			test(t, newStand(t, kind, g))
		})
	}
}

func newStand(t *testing.T, kind string, g *ground) *stand {
	t.Helper()
	s := &stand{t: t, ground: g, kind: kind, clock: &clock{now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}}
	if kind == GitLab {
		s.server = testenv.NewGitLab(t, g.origin)
	} else {
		s.server = testenv.NewGitHub(t, g.origin)
	}
	s.token = s.Env()["ACCESS_TOKEN"]
	s.forge = s.again(nil)
	return s
}

// again makes a forge with a memory of its own, as the next run has.
func (s *stand) again(change func(*Config)) Forge {
	s.t.Helper()
	env := s.Env()
	cfg, err := configFrom(func(key string) (string, bool) { v, ok := env[key]; return v, ok })
	if err != nil {
		s.t.Fatal(err)
	}
	cfg.Now, cfg.Sleep = s.clock.Now, s.clock.Sleep
	if change != nil {
		change(&cfg)
	}
	f, err := New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

// push pushes a branch with another PKGBUILD, and gives its commit.
func (s *stand) push(branch, pkgbuild string) string {
	s.t.Helper()
	sha := s.commit(branch, pkgbuild)
	s.repo.Origin()
	return sha
}

// proposal proposes the branch.
func (s *stand) proposal() Proposal {
	return Proposal{
		Branch: "update-foo", Target: "main", Title: "chore(update): foo", Body: "Version **2**.\n",
		Labels: []string{"ci", "human-review", "update"}, Assignee: s.person(), HeadSHA: s.head, BaseSHA: s.base,
	}
}

func (s *stand) person() string {
	if s.kind == GitLab {
		return "42"
	}
	return "reviewer"
}

func (s *stand) upsert(f Forge, p Proposal) Request {
	s.t.Helper()
	r, err := f.Upsert(s.t.Context(), p)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// only gives the one merge request there is.
func (s *stand) only() testenv.MergeRequest {
	s.t.Helper()
	list := s.MergeRequests()
	if len(list) != 1 {
		s.t.Fatalf("%d merge requests, want 1: %+v", len(list), list)
	}
	return list[0]
}

func same(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
