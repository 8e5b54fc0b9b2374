package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// GitRepo is a repository with a work tree, branch main. Its user, dates and settings do not depend on the machine.
type GitRepo struct {
	Dir      string
	Upstream *GitRepo // of PackageRepo: where its VCS package comes from; else nil

	owned  bool // by the UnprivilegedUser
	t      testing.TB
	env    []string
	origin string
}

// NewGitRepo makes an empty repository.
func NewGitRepo(t testing.TB) *GitRepo {
	t.Helper()
	return newGitRepo(t, t.TempDir())
}

func newGitRepo(t testing.TB, base string) *GitRepo {
	t.Helper()
	Need(t, "git")
	g := &GitRepo{Dir: filepath.Join(base, "work"), t: t, origin: filepath.Join(base, "origin.git")}
	g.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + base, "LANG=C.UTF-8", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		"GIT_AUTHOR_NAME=Tess Tester", "GIT_AUTHOR_EMAIL=tess@example.org",
		"GIT_COMMITTER_NAME=Tess Tester", "GIT_COMMITTER_EMAIL=tess@example.org",
	}
	if err := os.Mkdir(g.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	g.Git("init", "-q", "-b", "main")
	return g
}

// T gives the test that made the repository.
func (g *GitRepo) T() testing.TB { return g.t }

// Git runs git in the work tree and gives its output without the last newline; the test ends when it fails.
func (g *GitRepo) Git(args ...string) string {
	g.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = g.Dir
	cmd.Env = g.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		g.t.Fatalf("git %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return strings.TrimSuffix(string(out), "\n")
}

// Write writes a file below the work tree and makes its folders.
func (g *GitRepo) Write(path, content string) {
	g.t.Helper()
	full := filepath.Join(g.Dir, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		g.t.Fatal(err)
	}
}

// Remove removes a file or folder of the work tree.
func (g *GitRepo) Remove(path string) {
	g.t.Helper()
	if err := os.RemoveAll(filepath.Join(g.Dir, path)); err != nil {
		g.t.Fatal(err)
	}
}

// Commit commits everything in the work tree, also when nothing changed, and gives the commit's hash.
func (g *GitRepo) Commit(message string) string {
	g.t.Helper()
	g.Git("add", "-A", "-f")
	g.Git("commit", "-q", "--allow-empty", "-m", message)
	if g.owned {
		Chown(g.t, g.Dir)
	}
	return g.Git("rev-parse", "HEAD")
}

// Tag makes a tag at HEAD, or moves it there.
func (g *GitRepo) Tag(name string) {
	g.t.Helper()
	g.Git("tag", "-f", name)
}

// Origin gives the directory of a bare repository that is the remote "origin", and pushes all branches and tags to it.
func (g *GitRepo) Origin() string {
	g.t.Helper()
	if _, err := os.Stat(g.origin); err != nil {
		g.Git("init", "-q", "--bare", "-b", "main", g.origin)
		g.Git("remote", "add", "origin", g.origin)
	}
	g.Git("push", "-q", "--force", "origin", "refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*")
	g.Git("fetch", "-q", "origin")
	return g.origin
}
