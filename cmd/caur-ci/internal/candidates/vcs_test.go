package candidates_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/internal/testenv"
)

func vcsSource(t testing.TB) *candidates.VCS {
	heads := git.NewHeads(git.HeadsOptions{Wait: time.Millisecond})
	t.Cleanup(heads.Close)
	return candidates.NewVCS(candidates.VCSOptions{Heads: heads})
}

// follows is a VCS package with these sources.
func follows(t testing.TB, name string, sources ...string) *candidates.Package {
	text := strings.Replace(info(name, "1"), "\n\npkgname", "\n\tsource = "+strings.Join(sources, "\n\tsource = ")+"\n\npkgname", 1)
	return known(t, name, directory(t, map[string]string{"PKGBUILD": recipe(name, "1"), ".SRCINFO": text}))
}

func TestPinnedAndOtherPackagesAreNotAsked(t *testing.T) {
	const url = "git+https://example.org/x.git"
	for _, c := range []struct {
		name, source string
		force, want  bool
	}{
		{"a-git", url, false, true},
		{"a-git", "x::" + url + "#branch=next?signed", false, true},
		{"a-git", "git://example.org/x.git", false, true},
		{"a-git", url + "#tag=v1", false, false},
		{"a-git", url + "#commit=0123456789", false, false},
		{"a-git", url + "#branch=", false, false},
		{"a-git", "https://example.org/x.tar.gz", false, false},
		{"a-git", "hg+https://example.org/x", false, false},
		{"a", url, false, false},
		{"a", url, true, true},
	} {
		p := follows(t, c.name, c.source)
		p.Config.ForceVCS = c.force
		if got := vcsSource(t).Wants(p); got != c.want {
			t.Errorf("%s with %s: %v", c.name, c.source, got)
		}
	}
	unreadable := follows(t, "a-git", url)
	unreadable.Info = nil
	if vcsSource(t).Wants(unreadable) {
		t.Error("a package without .SRCINFO is wanted")
	}
}

func TestANewCommitIsScheduled(t *testing.T) {
	dir, heads := testenv.Repos(t, "one", "two")
	g := testenv.NewGitHTTP(t, dir)
	const older = "0123456789abcdef0123456789abcdef01234567"
	for name, c := range map[string]struct{ source, known, want string }{
		"first time":    {"x::git+" + g.URL + "/one.git", "", fmt.Sprintf("vcs: new commit %.12s on HEAD", heads["one"])},
		"new":           {"git+" + g.URL + "/two.git#branch=main", older, fmt.Sprintf("vcs: new commit %.12s on main", heads["two"])},
		"the same":      {"git+" + g.URL + "/one.git", heads["one"], ""},
		"first counts":  {"git+" + g.URL + "/one.git\n\tsource = git+" + g.URL + "/two.git", heads["one"], ""},
		"no branch":     {"git+" + g.URL + "/one.git#branch=gone", older, "note vcs: the newest commit is not known: " + g.URL + "/one.git: it has no refs/heads/gone: not found"},
		"no repository": {"git+" + g.URL + "/gone.git", older, "note vcs: the newest commit is not known: " + g.URL + "/gone.git: not found: HTTP status 404 Not Found"},
		"another way":   {"git+file://" + dir + "/one.git", older, fmt.Sprintf("vcs: new commit %.12s on HEAD", heads["one"])},
		"a helper":      {"x::git+ext::sh://x", older, "note vcs: the newest commit is not known: ext::sh://x: its scheme ext needs a program besides git, so it was not asked"},
	} {
		t.Run(name, func(t *testing.T) {
			p := follows(t, "x-git", c.source)
			p.State.GitCommit = c.known
			d, err := asked(t, vcsSource(t), p)
			if err != nil || reasons(d) != c.want {
				t.Errorf("%v: %s, want %s", err, reasons(d), c.want)
			}
			scheduled := strings.HasPrefix(c.want, "vcs")
			if d.Schedule != scheduled || d.Changed() != nil {
				t.Errorf("scheduled %v", d.Schedule)
			}
			if got := d.State.GitCommit; scheduled && got != heads["one"] && got != heads["two"] || !scheduled && strings.HasPrefix(c.want, "note") && got != "" && got != older {
				t.Errorf("state %q", got)
			}
		})
	}
}

func TestPackagesOfOneRepositoryAskOnce(t *testing.T) {
	dir, _ := testenv.Repos(t, "one")
	g := testenv.NewGitHTTP(t, dir)
	var list []*candidates.Package
	for i := range 20 {
		list = append(list, follows(t, fmt.Sprintf("p%d-git", i), "git+"+g.URL+"/one.git"+[]string{"", "#branch=main"}[i%2]))
	}
	outcomes, _, err := candidates.Run(t.Context(), []candidates.Finder{vcsSource(t)}, list, 4, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outcomes {
		if !o.Draft.Schedule || len(o.Faults) != 0 {
			t.Errorf("%s: %v", o.Draft.Package.Pkgbase, o.Faults)
		}
	}
	if n := len(g.Requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestAnUpdateThatChangesTheRepositoryIsFollowedAtOnce(t *testing.T) {
	dir, heads := testenv.Repos(t, "one", "two")
	g := testenv.NewGitHTTP(t, dir)
	for source, want := range map[string]string{
		"git+" + g.URL + "/two.git":        fmt.Sprintf("aur: x\nvcs: new commit %.12s on HEAD", heads["two"]),
		"git+" + g.URL + "/two.git#tag=v1": "aur: x",
	} {
		p := follows(t, "x-git", "git+"+g.URL+"/one.git")
		s := vcsSource(t)
		if err := s.Prepare(t.Context(), []*candidates.Package{p}); err != nil {
			t.Fatal(err)
		}
		d := candidates.NewDraft(p)
		next, err := follows(t, "x-git", source).Files(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		d.Change("aur", "x", next)
		if err := s.Check(t.Context(), d); err != nil || reasons(d) != want {
			t.Errorf("%v: %s, want %s", err, reasons(d), want)
		}
	}
}
