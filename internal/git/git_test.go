package git

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/caur-build/caur/internal/childproc"
	"github.com/caur-build/caur/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

func TestOutputRunsInTheRepository(t *testing.T) {
	g := testenv.NewGitRepo(t)
	sha := g.Commit("one")
	out, err := Repo{Dir: g.Dir}.Output(ctx, "rev-parse", "HEAD")
	if err != nil || strings.TrimSpace(string(out)) != sha {
		t.Errorf("got %q, %v", out, err)
	}
	err = Repo{Dir: g.Dir}.Run(ctx, "rev-parse", "--verify", "absent")
	var exit *childproc.ExitError
	if !errors.As(err, &exit) || exit.Code != 128 || !strings.HasPrefix(err.Error(), "git rev-parse: git ended with status 128: fatal:") {
		t.Errorf("got %v", err)
	}
}

func TestOutputTakesMoreVariables(t *testing.T) {
	g := testenv.NewGitRepo(t)
	r := Repo{Dir: g.Dir, Env: []string{"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@example.org"}}
	if err := r.Run(ctx, "commit", "--allow-empty", "-qm", "x"); err != nil {
		t.Fatal(err)
	}
	if got := g.Git("log", "-1", "--format=%an %cn"); got != "A C" {
		t.Errorf("got %q", got)
	}
}

func TestLocalCommandsIgnoreHooksAndTheUsersConfiguration(t *testing.T) {
	g := testenv.NewGitRepo(t)
	g.Commit("one")
	mark := filepath.Join(t.TempDir(), "hook-ran")
	g.Write(".git/hooks/post-checkout", "#!/bin/sh\n: >"+mark+"\n")
	if err := os.Chmod(filepath.Join(g.Dir, ".git/hooks/post-checkout"), 0o755); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte("[alias]\n\tmine = rev-parse\n[caur]\n\tx = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	t.Setenv("GIT_DIR", "/not/there")
	t.Setenv("CI_JOB_TOKEN", "secret")
	r := Repo{Dir: g.Dir}
	if err := r.Run(ctx, "checkout", "-q", "-b", "other"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("a hook ran")
	}
	if err := r.Run(ctx, "config", "caur.x"); err == nil {
		t.Error("the configuration of the user is read")
	}
	out, err := r.Output(ctx, "-c", "alias.env=!env", "env")
	if err != nil || strings.Contains(string(out), "secret") {
		t.Errorf("our environment reaches git: %v\n%s", err, out)
	}
}

func TestRepositoriesOfOtherUsersAreRead(t *testing.T) {
	g := testenv.NewGitRepo(t)
	g.Commit("one")
	testenv.Chown(t, g.Dir)
	if err := (Repo{Dir: g.Dir}).Run(ctx, "log", "-1"); err != nil {
		t.Error(err)
	}
}

func TestTheExtTransportIsOff(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "ran")
	_, err := LsRemote(ctx, "ext::sh -c :>"+mark)
	if _, statErr := os.Stat(mark); err == nil || statErr == nil {
		t.Errorf("a command of a URL ran: %v", err)
	}
}

func TestLsRemote(t *testing.T) {
	g := testenv.NewGitRepo(t)
	sha := g.Commit("one")
	g.Tag("v1")
	g.Git("tag", "-am", "two", "v2")
	origin := g.Origin()
	refs, err := LsRemote(ctx, origin)
	var names []string
	for _, r := range refs {
		names = append(names, r.Name)
	}
	if want := []string{"HEAD", "refs/heads/main", "refs/tags/v1", "refs/tags/v2", "refs/tags/v2^{}"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("got %v, %v", names, err)
	}
	refs, err = LsRemote(ctx, "file://"+origin, "refs/heads/main")
	if err != nil || len(refs) != 1 || refs[0] != (Ref{Name: "refs/heads/main", SHA: sha}) {
		t.Errorf("got %v, %v", refs, err)
	}
}

func TestFailuresHaveAKind(t *testing.T) {
	server := newHTTPServer(t)
	for _, test := range []struct {
		url  string
		want error
	}{
		{"/not/there", ErrNotFound},
		{"file:///not/there", ErrNotFound},
		{"http://127.0.0.1:1/x.git", ErrUnreachable},
		{"ssh://127.0.0.1:1/x.git", ErrUnreachable},
		{server.URL + "/absent.git", ErrNotFound},
		{server.URL + "/broken.git", ErrUnreachable},
		{server.withUser("", "") + "/private/repo.git", ErrAuth},
		{server.withUser("tess", "wrong") + "/private/repo.git", ErrAuth},
	} {
		_, err := LsRemote(ctx, test.url)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.url, err, test.want)
		}
		_, err = FetchCommit(ctx, filepath.Join(t.TempDir(), "cache"), test.url, "main")
		if !errors.Is(err, test.want) {
			t.Errorf("fetch of %s: got %v, want %v", test.url, err, test.want)
		}
	}
}
