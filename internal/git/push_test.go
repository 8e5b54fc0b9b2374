package git

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caur-build/caur/internal/testenv"
)

// pair is a repository with a commit "one" that its origin has too, and a "two" that it has not.
func pair(t *testing.T) (g *testenv.GitRepo, origin, one, two string) {
	t.Helper()
	g = testenv.NewGitRepo(t)
	one = g.Commit("one")
	g.Tag("scheduled")
	origin = g.Origin()
	two = g.Commit("two")
	return g, origin, one, two
}

func hook(t testing.TB, origin, name, script string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(origin, "hooks"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(origin, "hooks", name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestPushAtomicMovesAllRefs(t *testing.T) {
	g, origin, one, two := pair(t)
	g.Git("--git-dir="+origin, "config", "receive.advertisePushOptions", "true")
	hook(t, origin, "pre-receive", `test "$GIT_PUSH_OPTION_COUNT $GIT_PUSH_OPTION_0" = "1 ci.skip"`)
	err := Repo{Dir: g.Dir}.PushAtomic(ctx, "origin", []string{"HEAD:refs/heads/main", "HEAD:refs/heads/new", "HEAD:refs/tags/scheduled"}, PushOptions{
		ForceWithLease: map[string]string{
			"refs/heads/main": one, "refs/tags/scheduled": one, "refs/heads/new": strings.Repeat("0", 40),
		},
		PushOptions: []string{"ci.skip"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"main", "new", "scheduled"} {
		if got := g.Git("--git-dir="+origin, "rev-parse", ref); got != two {
			t.Errorf("%s is at %s", ref, got)
		}
	}
	err = Repo{Dir: g.Dir}.PushAtomic(ctx, "origin", []string{":refs/heads/new"}, PushOptions{PushOptions: []string{"ci.skip"}})
	if err != nil || g.Git("--git-dir="+origin, "branch", "--list", "new") != "" {
		t.Errorf("a branch cannot be deleted: %v", err)
	}
}

func TestPushAtomicTellsARaceFromARefusal(t *testing.T) {
	const other = "refs/heads/other"
	for _, test := range []struct {
		name    string
		prepare func(g *testenv.GitRepo, origin string)
		specs   []string
		opts    func(one, two string) PushOptions
		raced   bool
		reason  string // of a refusal
	}{
		{
			name:    "not a fast-forward",
			prepare: func(g *testenv.GitRepo, origin string) { moveOn(g, origin) },
			specs:   []string{"HEAD:refs/heads/main", "HEAD:" + other}, raced: true,
		},
		{
			name:    "a stale lease",
			prepare: func(g *testenv.GitRepo, origin string) { moveOn(g, origin) },
			specs:   []string{"HEAD:refs/heads/main", "HEAD:" + other}, raced: true,
			opts: func(one, _ string) PushOptions {
				return PushOptions{ForceWithLease: map[string]string{"refs/heads/main": one}}
			},
		},
		{
			name:  "a ref that should not exist",
			specs: []string{"HEAD:refs/heads/main", "HEAD:" + other}, raced: true,
			opts: func(_, _ string) PushOptions {
				return PushOptions{ForceWithLease: map[string]string{"refs/heads/main": ""}}
			},
		},
		{
			name:  "a tag that exists already",
			specs: []string{"HEAD:refs/tags/scheduled", "HEAD:" + other}, raced: true,
		},
		{
			name: "another push wins while the server works",
			prepare: func(g *testenv.GitRepo, origin string) {
				// Hooks run in the quarantine of the push, which must not keep the racing update from being seen.
				hook(g.T(), origin, "pre-receive", "unset GIT_QUARANTINE_PATH; git update-ref refs/heads/main "+moved(g, origin))
			},
			specs: []string{"HEAD:refs/heads/main", "HEAD:" + other}, raced: true,
		},
		{
			name: "a hook that refuses everything",
			prepare: func(g *testenv.GitRepo, origin string) {
				hook(g.T(), origin, "pre-receive", "echo 'GitLab: You are not allowed to push to main.' >&2; exit 1")
			},
			specs: []string{"HEAD:refs/heads/main", "HEAD:" + other}, reason: "GitLab: You are not allowed to push to main.",
		},
		{
			name: "a hook that refuses one ref",
			prepare: func(g *testenv.GitRepo, origin string) {
				hook(g.T(), origin, "update", `test "$1" = `+other+` || { printf 'protected \033[31mbranch\n' >&2; exit 1; }`)
			},
			specs: []string{"HEAD:refs/heads/main", "HEAD:" + other}, reason: `protected \x1b[31mbranch`,
		},
		{
			name:  "a deletion that is forbidden",
			specs: []string{":refs/heads/main", "HEAD:" + other}, reason: "deletion of the current branch prohibited",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			g, origin, one, two := pair(t)
			if test.prepare != nil {
				test.prepare(g, origin)
			}
			var opts PushOptions
			if test.opts != nil {
				opts = test.opts(one, two)
			}
			err := Repo{Dir: g.Dir}.PushAtomic(ctx, "origin", test.specs, opts)
			var refused *ErrRefused
			if errors.Is(err, ErrRaced) != test.raced || errors.As(err, &refused) == test.raced {
				t.Fatalf("got %v", err)
			}
			if refused != nil && !strings.Contains(refused.Reason, test.reason) {
				t.Errorf("the reason is %q", refused.Reason)
			}
			if got := g.Git("--git-dir="+origin, "for-each-ref", other); got != "" {
				t.Errorf("half of the push is there: %s", got)
			}
		})
	}
}

// moved makes a commit in origin that our repository does not have.
func moved(g *testenv.GitRepo, origin string) string {
	return g.Git("--git-dir="+origin, "commit-tree", "-p", "main", "-m", "from elsewhere", "main^{tree}")
}

func moveOn(g *testenv.GitRepo, origin string) {
	g.Git("--git-dir="+origin, "update-ref", "refs/heads/main", moved(g, origin))
}

func TestOfManyPushesAtOnceOneWins(t *testing.T) {
	g, origin, one, _ := pair(t)
	const many = 8
	var commits []string
	for i := range many {
		commits = append(commits, g.Git("commit-tree", "-p", one, "-m", fmt.Sprint(i), one+"^{tree}"))
	}
	errs := make([]error, many)
	var wg sync.WaitGroup
	for i, sha := range commits {
		wg.Go(func() {
			errs[i] = Repo{Dir: g.Dir}.PushAtomic(ctx, origin, []string{sha + ":refs/heads/main", sha + ":refs/heads/state"}, PushOptions{
				ForceWithLease: map[string]string{"refs/heads/main": one, "refs/heads/state": ""},
			})
		})
	}
	wg.Wait()
	won := -1
	for i, err := range errs {
		switch {
		case err == nil && won >= 0:
			t.Errorf("both %d and %d won", won, i)
		case err == nil:
			won = i
		case !errors.Is(err, ErrRaced):
			t.Errorf("%d: %v", i, err)
		}
	}
	if won < 0 {
		t.Fatal("nobody won")
	}
	for _, ref := range []string{"main", "state"} {
		if got := g.Git("--git-dir="+origin, "rev-parse", ref); got != commits[won] {
			t.Errorf("%s is at %s, not at the winner's %s", ref, got, commits[won])
		}
	}
}

func TestPushAtomicFailsWhenNothingIsThere(t *testing.T) {
	g, _, _, _ := pair(t)
	r := Repo{Dir: g.Dir}
	for _, remote := range []string{"absent", "/not/there", "--upload-pack=x"} {
		err := r.PushAtomic(ctx, remote, []string{"HEAD:refs/heads/main"}, PushOptions{})
		var refused *ErrRefused
		if err == nil || errors.Is(err, ErrRaced) || errors.As(err, &refused) {
			t.Errorf("%s: got %v", remote, err)
		}
	}
}

func TestAForcedRefspecCannotMakeItsLeaseVoid(t *testing.T) {
	g := testenv.NewGitRepo(t)
	id := g.Commit("one")
	g.Origin()
	err := Repo{Dir: g.Dir}.PushAtomic(t.Context(), "origin", []string{"+" + id + ":refs/heads/main"},
		PushOptions{ForceWithLease: map[string]string{"refs/heads/main": strings.Repeat("1", 40)}})
	if err == nil || !strings.Contains(err.Error(), "lease void") {
		t.Error(err)
	}
}
