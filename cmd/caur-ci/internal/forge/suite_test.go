package forge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/settings"
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

func TestUpsertOpensARequestWithAllThatSection4Asks(t *testing.T) {
	onSame(t, newNames(t), func(t *testing.T, s *stand) {
		p := s.proposal()
		p.Danger = true
		r := s.upsert(s.forge, p)
		m := s.only()
		if m.Branch != p.Branch || m.Target != "main" || m.Title != p.Title || m.Body != p.Body || m.State != "open" || !m.Collaboration {
			t.Errorf("opened %+v", m)
		}
		if want := []string{"danger", "ci", "human-review", "update"}; !same(m.Labels, want) || !same(r.Labels, want) {
			t.Errorf("labels %q, told %q", m.Labels, r.Labels)
		}
		if !slices.Equal(m.Assignees, []string{s.person()}) {
			t.Errorf("assignees %q", m.Assignees)
		}
		if s.kind == GitLab && !m.RemoveBranch {
			t.Error("the branch would stay after merging")
		}
		if r.Number != m.Number || r.HeadSHA != p.HeadSHA || r.Branch != p.Branch || r.Created.IsZero() ||
			!strings.Contains(r.URL, fmt.Sprint(m.Number)) {
			t.Errorf("told %+v", r)
		}
		list, err := s.forge.Open(t.Context())
		if err != nil || len(list) != 1 || list[0].Number != r.Number {
			t.Errorf("open: %+v, %v", list, err)
		}
	})
}

func TestUpsertWritesNothingWhenNothingChanged(t *testing.T) {
	onSame(t, newGround(t), func(t *testing.T, s *stand) {
		p := s.proposal()
		p.Threads = []Thread{{ID: "pipe:PKGBUILD", File: "foo/PKGBUILD", Line: 2, Text: "Runs what it downloads."}}
		p.Danger = true
		s.upsert(s.forge, p)
		before := len(s.Writes())
		s.Change(s.only().Number, func(m *testenv.MergeRequest) {
			m.Labels = append(m.Labels, "seen by tess")
			m.Body = strings.ReplaceAll(strings.TrimSpace(m.Body), "\n", "\r\n") // as an editor in the browser leaves it
			slices.Reverse(m.Labels)
		})
		s.upsert(s.forge, p)
		s.upsert(s.again(nil), p)
		if writes := s.Writes()[before:]; len(writes) > 0 {
			t.Errorf("wrote %+v", writes)
		}
	})
}

func TestUpsertUpdatesTheOpenRequestAndKeepsWhatPeopleDid(t *testing.T) {
	onSame(t, newNames(t), func(t *testing.T, s *stand) {
		p := s.proposal()
		first := s.upsert(s.forge, p)
		s.Change(first.Number, func(m *testenv.MergeRequest) {
			m.Title = "Draft: " + m.Title
			m.Labels = append(m.Labels, "waits")
			m.Assignees = []string{"7"}
		})
		p.Title, p.Body, p.Danger = "chore(update): foo 3", "Version **3**.", true
		p.Labels = append(p.Labels, "nvchecker")
		second := s.upsert(s.again(nil), p)
		m := s.only()
		if second.Number != first.Number || m.Title != "Draft: chore(update): foo 3" || m.Body != p.Body {
			t.Errorf("updated to %+v", m)
		}
		if !same(m.Labels, []string{"ci", "human-review", "update", "waits", "nvchecker", "danger"}) || !slices.Equal(m.Assignees, []string{"7"}) {
			t.Errorf("labels %q, assignees %q", m.Labels, m.Assignees)
		}
		p.Danger, p.Target = false, "stable"
		third := s.upsert(s.again(nil), p)
		if m := s.only(); slices.Contains(m.Labels, LabelDanger) || slices.Contains(third.Labels, LabelDanger) ||
			!slices.Contains(m.Labels, "waits") || m.Target != "stable" {
			t.Errorf("after the danger is over: %+v", m)
		}
	})
}

func TestUpsertNeverOpensASecondRequest(t *testing.T) {
	tests := []struct {
		name string
		open func(s *stand, p Proposal) // before Upsert by s.forge
	}{
		{"when another pipeline was faster", func(s *stand, p Proposal) {
			_, _ = s.forge.Open(s.t.Context()) // sees none
			s.upsert(s.again(nil), p)
		}},
		{"when the answer got lost", func(s *stand, _ Proposal) {
			s.Fail(testenv.Fault{Method: "POST", Status: http.StatusBadGateway, Act: true})
		}},
		{"when the connection broke", func(s *stand, _ Proposal) {
			s.Fail(testenv.Fault{Method: "POST", Act: true, Drop: true})
		}},
		{"when there is one into another branch", func(s *stand, p Proposal) {
			s.Add(testenv.MergeRequest{Branch: p.Branch, Target: "old", Title: "x"})
		}},
	}
	g := newNames(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onSame(t, g, func(t *testing.T, s *stand) {
				p := s.proposal()
				tt.open(s, p)
				s.upsert(s.forge, p)
				if m := s.only(); m.Title != p.Title || m.Target != "main" || !slices.Contains(m.Labels, "ci") || len(m.Assignees) != 1 {
					t.Errorf("%+v", m)
				}
			})
		})
	}
}

func TestARequestThatWasClosedMeanwhileIsOpenedAnew(t *testing.T) {
	onSame(t, newNames(t), func(t *testing.T, s *stand) {
		p := s.proposal()
		first := s.upsert(s.forge, p)
		s.Change(first.Number, func(m *testenv.MergeRequest) { m.State = "closed" })
		p.Body = "Version 3."
		second := s.upsert(s.forge, p)
		list := s.MergeRequests()
		if len(list) != 2 || second.Number == first.Number || list[1].State != "open" || list[1].Body != p.Body {
			t.Errorf("%+v", list)
		}
	})
}

func TestRequestsFromForksAreNotOurs(t *testing.T) {
	onSame(t, newNames(t), func(t *testing.T, s *stand) {
		p := s.proposal()
		strange := s.Add(testenv.MergeRequest{Branch: p.Branch, Target: "main", Title: "mine", Fork: true, HeadSHA: "f00"})
		r := s.upsert(s.forge, p)
		if r.Number == strange {
			t.Fatal("took over the request of a stranger")
		}
		for _, f := range []Forge{s.forge, s.again(nil)} {
			list, err := f.Open(t.Context())
			if err != nil || len(list) != 1 || list[0].Number != r.Number {
				t.Errorf("open: %+v, %v", list, err)
			}
		}
	})
}

func TestOpenListsThousandsOnce(t *testing.T) {
	onSame(t, newNames(t), func(t *testing.T, s *stand) {
		for i := range 3000 {
			s.Add(testenv.MergeRequest{Branch: fmt.Sprintf("update-pkg%d", i), Target: "main", Title: "x", HeadSHA: fmt.Sprintf("%040x", i)})
		}
		s.Add(testenv.MergeRequest{Branch: "feature", Target: "main", Title: "x"})
		s.Add(testenv.MergeRequest{Branch: "update-done", Target: "main", Title: "x", State: "merged"})
		last := s.proposal()
		number := s.Add(testenv.MergeRequest{Branch: last.Branch, Target: "main", Title: last.Title, Body: last.Body, Labels: last.Labels,
			Assignees: []string{last.Assignee}})
		list, err := s.forge.Open(t.Context())
		if err != nil || len(list) != 3001 {
			t.Fatalf("%d open requests, %v", len(list), err)
		}
		asked := len(s.Requests())
		if want := 31; asked != want {
			t.Errorf("asked %d times, want %d pages", asked, want)
		}
		if r := s.upsert(s.forge, last); r.Number != number {
			t.Errorf("request %d instead of %d", r.Number, number)
		}
		if _, err := s.forge.Open(t.Context()); err != nil || len(s.Requests()) != asked {
			t.Errorf("asked again: %+v, %v", s.Requests()[asked:], err)
		}
	})
}

func TestOpenTakesPagesOfAnySize(t *testing.T) {
	onSame(t, newNames(t), func(t *testing.T, s *stand) {
		for i := range 9 {
			s.Add(testenv.MergeRequest{Branch: fmt.Sprintf("update-p%d", i), Target: "main", HeadSHA: "1"})
		}
		for _, size := range []int{1, 2, 3, 8, 9, 10} {
			s.SetPageSize(size)
			list, err := s.again(nil).Open(t.Context())
			if err != nil || len(list) != 9 {
				t.Errorf("pages of %d: %d requests, %v", size, len(list), err)
			}
		}
	})
}

func TestCloseSaysWhy(t *testing.T) {
	onSame(t, newNames(t), func(t *testing.T, s *stand) {
		r := s.upsert(s.forge, s.proposal())
		if err := s.forge.Close(t.Context(), r.Number, "Overtaken.\n/reopen"); err != nil {
			t.Fatal(err)
		}
		m := s.only()
		if m.State != "closed" || len(m.Comments) != 1 || !strings.HasPrefix(m.Comments[0].Text, "Overtaken.") {
			t.Errorf("%+v", m)
		}
		if list, err := s.forge.Open(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("still open: %+v, %v", list, err)
		}
		before := len(s.Writes())
		if err := s.forge.Close(t.Context(), r.Number, ""); err != nil || len(s.Writes()) != before+1 {
			t.Errorf("again, silently: %v, %+v", err, s.Writes()[before:])
		}
	})
}

func TestMergeMergesWhatWasLookedAt(t *testing.T) {
	onBoth(t, func(t *testing.T, s *stand) {
		p := s.proposal()
		r := s.upsert(s.forge, p)
		moved := s.push("update-foo", "pkgname=foo\npkgver=3\n")
		if err := s.forge.Merge(t.Context(), r.Number, p.HeadSHA); !errors.Is(err, ErrHeadMoved) {
			t.Fatalf("merging an older commit: %v", err)
		}
		if err := s.forge.Merge(t.Context(), r.Number, ""); err == nil {
			t.Error("merged without saying what")
		}
		if err := s.forge.Merge(t.Context(), r.Number, moved); err != nil {
			t.Fatal(err)
		}
		s.repo.Git("fetch", "-q", "--prune", "origin")
		if got := s.repo.Git("show", "origin/main:foo/PKGBUILD"); got != "pkgname=foo\npkgver=3" {
			t.Errorf("main holds %q", got)
		}
		if m := s.only(); m.State != "merged" {
			t.Errorf("state %s", m.State)
		}
		if got := s.repo.Git("branch", "-r", "--list", "origin/update-foo"); got != "" {
			t.Errorf("branch %s is still there", got)
		}
		if err := s.forge.Merge(t.Context(), r.Number, moved); err != nil {
			t.Errorf("what is merged at this commit is as it should be: %v", err)
		}
	})
}

func TestMergeIsDoneWhenOnlyTheAnswerGotLost(t *testing.T) {
	onBoth(t, func(t *testing.T, s *stand) {
		p := s.proposal()
		r := s.upsert(s.forge, p)
		s.Fail(testenv.Fault{Method: "PUT", Path: "/merge", Status: http.StatusGatewayTimeout, Act: true})
		if err := s.forge.Merge(t.Context(), r.Number, p.HeadSHA); err != nil {
			t.Fatal(err)
		}
		if m := s.only(); m.State != "merged" {
			t.Errorf("state %s", m.State)
		}
	})
}

func TestMergeSaysWhyNot(t *testing.T) {
	onBoth(t, func(t *testing.T, s *stand) {
		p := s.proposal()
		r := s.upsert(s.forge, p)
		s.repo.Write("foo/PKGBUILD", "pkgname=foo\npkgver=9\n")
		s.repo.Commit("conflict")
		s.repo.Origin()
		err := s.forge.Merge(t.Context(), r.Number, p.HeadSHA)
		if err == nil || !strings.Contains(err.Error(), "a conflict") {
			t.Errorf("merging a conflict: %v", err)
		}
		if m := s.only(); m.State != "open" {
			t.Errorf("state %s", m.State)
		}
	})
}

func TestGitHubMergesAsTheRepositoryAllows(t *testing.T) {
	for _, method := range []string{"merge", "squash", "rebase"} {
		t.Run(method, func(t *testing.T) {
			s := newStand(t, GitHub, newGround(t))
			s.server.(*testenv.GitHub).AllowMerge(method)
			p := s.proposal()
			r := s.upsert(s.forge, p)
			s.Fail(testenv.Fault{Path: "/merge", Status: http.StatusMethodNotAllowed, Times: 2,
				Body: `{"message":"Base branch was modified. Review and try the merge again."}`})
			if err := s.forge.Merge(t.Context(), r.Number, p.HeadSHA); err != nil {
				t.Fatal(err)
			}
			if s.clock.total() != 2*baseWait {
				t.Errorf("waited %v for the merge before", s.clock.slept)
			}
		})
	}
}

func TestDescriptionsFit(t *testing.T) {
	onSame(t, newNames(t), func(t *testing.T, s *stand) {
		p := s.proposal()
		p.Body = "# Danger\n\n<details><summary>diff</summary>\n\n```diff\n" + strings.Repeat("+ zeile mit ä\n", 100_000) + "```\n\n</details>\n"
		s.upsert(s.forge, p)
		m := s.only()
		if !strings.HasSuffix(m.Body, "```\n\n</details>\n"+cutMarker) || len(m.Body) < 60_000 {
			t.Errorf("%d bytes, the end: %q", len(m.Body), m.Body[len(m.Body)-200:])
		}
		before := len(s.Writes())
		s.upsert(s.again(nil), p)
		if len(s.Writes()) != before {
			t.Error("written again though nothing changed")
		}
	})
}

func TestGitLabObeysNoLineOfADescription(t *testing.T) {
	s := newStand(t, GitLab, newGround(t))
	p := s.proposal()
	p.Body = "changes:\n/merge\r\n  /approve now\r/label ~x\n/usr/bin/env stays\n```\n/close\n```\n"
	p.Threads = []Thread{{ID: "x", Text: "/unassign\n"}}
	s.upsert(s.forge, p) // the fake fails the test where it would obey
	if m := s.only(); !strings.Contains(m.Body, "\n/usr/bin/env stays\n") || !strings.Contains(m.Body, "\n\\/merge\n") {
		t.Errorf("%q", m.Body)
	}
}

func TestProposalsThatCannotBe(t *testing.T) {
	onSame(t, newNames(t), func(t *testing.T, s *stand) {
		for _, p := range []Proposal{
			{Branch: "main", Target: "main", Title: "x"},
			{Branch: "update-foo", Title: "x"},
			{Branch: "update-foo", Target: "main"},
		} {
			if _, err := s.forge.Upsert(t.Context(), p); err == nil {
				t.Errorf("took %+v", p)
			}
		}
		if len(s.Requests()) > 0 {
			t.Errorf("asked %+v", s.Requests())
		}
	})
}

func TestGitLabNeedsTheNumberOfAUser(t *testing.T) {
	s := newStand(t, GitLab, newNames(t))
	p := s.proposal()
	p.Assignee = "tess"
	_, err := s.forge.Upsert(t.Context(), p)
	if err == nil || !strings.Contains(err.Error(), "CI_HUMAN_REVIEW_ASSIGNEE") {
		t.Errorf("%v", err)
	}
}

func TestFromEnvironment(t *testing.T) {
	lab := map[string]string{"CI_PROJECT_ID": "1", "CI_API_V4_URL": "https://gitlab.example/api/v4", "ACCESS_TOKEN": "t"}
	hub := map[string]string{"GITHUB_REPOSITORY": "a/b", "ACCESS_TOKEN": "t"}
	with := func(base map[string]string, pairs ...string) map[string]string {
		out := maps.Clone(base)
		for i := 0; i < len(pairs); i += 2 {
			out[pairs[i]] = pairs[i+1]
		}
		return out
	}
	both := with(lab, "GITHUB_REPOSITORY", "a/b")
	file := t.TempDir() + "/token"
	writeFile(t, file, "from file\n")
	tests := []struct {
		name    string
		env     map[string]string
		want    string // kind
		missing []string
		err     string
	}{
		{name: "GitLab", env: lab, want: GitLab},
		{name: "GitHub", env: hub, want: GitHub},
		{name: "token from a file", env: with(lab, "ACCESS_TOKEN", "", "ACCESS_TOKEN_FILE", file), want: GitLab},
		{name: "a file that is not there", env: with(hub, "ACCESS_TOKEN", "", "ACCESS_TOKEN_FILE", file+"x"), err: "ACCESS_TOKEN_FILE"},
		{name: "both, in a pipeline of GitLab", env: with(both, "GITLAB_CI", "true"), want: GitLab},
		{name: "both, in a workflow of GitHub", env: with(both, "GITHUB_ACTIONS", "true"), want: GitHub},
		{name: "both, by hand", env: both, want: GitLab},
		{name: "only the project of GitLab inside a workflow of GitHub", env: with(lab, "GITHUB_ACTIONS", "true"), want: GitLab},
		{name: "nothing", env: nil, missing: []string{"CI_PROJECT_ID", "GITHUB_REPOSITORY"}},
		{name: "no token", env: with(lab, "ACCESS_TOKEN", " "), missing: []string{"ACCESS_TOKEN"}},
		{name: "no server, no token", env: map[string]string{"CI_PROJECT_ID": "1"}, missing: []string{"CI_API_V4_URL", "ACCESS_TOKEN"}},
		{name: "a pipeline of GitLab without anything", env: map[string]string{"GITLAB_CI": "true", "ACCESS_TOKEN": "t"},
			missing: []string{"CI_PROJECT_ID", "CI_API_V4_URL"}},
		{name: "a workflow of GitHub without a repository", env: map[string]string{"GITHUB_ACTIONS": "true", "ACCESS_TOKEN": "t"},
			missing: []string{"GITHUB_REPOSITORY"}},
		{name: "address that is none", env: with(lab, "CI_API_V4_URL", "gitlab.example"), err: "CI_API_V4_URL is no http"},
		{name: "password in the address", env: with(hub, "GITHUB_API_URL", "https://u:hunter2@x"), err: "GITHUB_API_URL must hold neither"},
		{name: "repository without owner", env: with(hub, "GITHUB_REPOSITORY", "b"), err: "OWNER/NAME"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := FromEnvironment(func(key string) (string, bool) { v, ok := tt.env[key]; return v, ok })
			var missing *MissingError
			switch {
			case tt.missing != nil:
				if !errors.As(err, &missing) || !slices.Equal(missing.Variables, tt.missing) {
					t.Errorf("error %v", err)
				} else if !strings.Contains(err.Error(), tt.missing[0]) {
					t.Errorf("does not name %s: %v", tt.missing[0], err)
				}
			case tt.err != "":
				if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("error %v", err)
				}
			case err != nil || f.Kind() != tt.want:
				t.Errorf("%v, %v", f, err)
			}
		})
	}
}

func TestTheTokenIsInNoPrintedConfig(t *testing.T) {
	cfg := Config{Kind: GitLab, Token: settings.NewSecret("hunter2")}
	if text := fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg); strings.Contains(text, "hunter2") {
		t.Error(text)
	}
}
