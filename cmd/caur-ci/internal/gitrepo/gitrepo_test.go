package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/internal/testenv"
)

// history is the sample as git fast-import reads it: five commits, the tag on the second.
const history = `commit refs/heads/main
committer Tess <t@example.org> 1700000000 +0000
data 12
first

body
M 644 inline .ci/config
data 12
REPO_NAME=r

M 644 inline README.md
data 6
hello

M 644 inline paru/PKGBUILD
data 4
one

M 644 inline paru/.SRCINFO
data 15
pkgbase = paru

M 644 inline paru/.CI/config
data 16
BUILDER_CLASS=2

commit refs/heads/main
committer Tess <t@example.org> 1700000001 +0000
data 7
second
M 644 inline gtk+/PKGBUILD
data 4
gtk

reset refs/tags/scheduled
from refs/heads/main

commit refs/heads/main
committer Tess <t@example.org> 1700000002 +0000
data 20
third [deploy gtk+]
M 644 inline paru/PKGBUILD
data 4
two

commit refs/heads/main
committer Tess <t@example.org> 1700000003 +0000
data 7
fourth
D gtk+
M 644 inline new@name/sub/deep/file
data 2
x

commit refs/heads/main
committer Tess <t@example.org> 1700000004 +0000
data 6
fifth
M 644 inline a.b/PKGBUILD
data 3
ab
`

// sample makes a checkout of five commits with the tag "scheduled" on the second.
func sample(t *testing.T) (g *testenv.GitRepo, commits []string) {
	t.Helper()
	g = testenv.NewGitRepo(t)
	cmd := exec.Command("git", "fast-import", "--quiet")
	cmd.Dir, cmd.Stdin = g.Dir, strings.NewReader(history)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git fast-import: %v\n%s", err, out)
	}
	g.Git("reset", "-q", "--hard")
	return g, strings.Fields(g.Git("rev-list", "--reverse", "main"))
}

// origin is a bare copy of the sample, which is its remote, and hands out parts of it.
func origin(t *testing.T, g *testenv.GitRepo) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "origin.git")
	runGit(t, ".", "clone", "-q", "--bare", g.Dir, dir)
	runGit(t, dir, "config", "uploadpack.allowFilter", "true")
	g.Git("remote", "add", "origin", dir)
	return dir
}

func runGit(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=T", "GIT_AUTHOR_EMAIL=t@example.org", "GIT_COMMITTER_NAME=T", "GIT_COMMITTER_EMAIL=t@example.org")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func open(t *testing.T, dir string) *Repo {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background()) // t.Context ends before the clean-up
	r, err := Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer cancel()
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

// clone makes one of the ways in which a CI system or a person may hold the repository.
type clone struct {
	name    string
	bare    bool
	program bool // go-git refuses it
	make    func(t *testing.T, g *testenv.GitRepo) (dir string)
}

func clones() []clone {
	cloneWith := func(args ...string) func(t *testing.T, g *testenv.GitRepo) string {
		return func(t *testing.T, g *testenv.GitRepo) string {
			dir := filepath.Join(t.TempDir(), "clone")
			runGit(t, ".", slices.Concat([]string{"clone", "-q"}, args, []string{"file://" + origin(t, g), dir})...)
			return dir
		}
	}
	return []clone{
		{name: "a checkout", make: func(_ *testing.T, g *testenv.GitRepo) string { return g.Dir }},
		{name: "a folder of a checkout", make: func(_ *testing.T, g *testenv.GitRepo) string { return filepath.Join(g.Dir, "paru", ".CI") }},
		{name: "a bare repository", bare: true, make: origin},
		{name: "a bare repository inside another checkout", bare: true, make: func(t *testing.T, g *testenv.GitRepo) string {
			outer := testenv.NewGitRepo(t)
			outer.Write("x", "y")
			outer.Commit("outer")
			dir := filepath.Join(outer.Dir, "inner.git")
			runGit(t, ".", "clone", "-q", "--bare", origin(t, g), dir)
			return dir
		}},
		{name: "a linked work tree", make: func(t *testing.T, g *testenv.GitRepo) string {
			dir := filepath.Join(t.TempDir(), "linked")
			g.Git("worktree", "add", "-q", "--detach", dir, "main")
			return dir
		}},
		{name: "a linked work tree with settings of its own", program: true, make: func(t *testing.T, g *testenv.GitRepo) string {
			dir := filepath.Join(t.TempDir(), "linked")
			g.Git("worktree", "add", "-q", "--detach", dir, "main")
			g.Git("config", "core.repositoryFormatVersion", "1")
			g.Git("config", "extensions.worktreeConfig", "true")
			return dir
		}},
		{name: "a clone that borrows objects", make: func(t *testing.T, g *testenv.GitRepo) string {
			dir := filepath.Join(t.TempDir(), "shared")
			runGit(t, ".", "clone", "-q", "--shared", origin(t, g), dir)
			return dir
		}},
		{name: "a shallow clone that reaches the tag", make: cloneWith("--depth=4")},
		{name: "a shallow clone that ends before the tag", make: cloneWith("--depth=2")},
		{name: "a clone of depth 1", make: cloneWith("--depth=1")},
		{name: "a partial clone without blobs", make: cloneWith("--filter=blob:none", "--no-checkout")},
		{name: "a partial clone without trees", make: cloneWith("--filter=tree:0", "--no-checkout")},
		{name: "packed references", make: func(t *testing.T, g *testenv.GitRepo) string {
			g.Git("gc", "-q")
			g.Git("pack-refs", "--all")
			return g.Dir
		}},
		{name: "a detached HEAD", make: func(t *testing.T, g *testenv.GitRepo) string {
			g.Git("checkout", "-q", "--detach", "main")
			return g.Dir
		}},
	}
}

// Every kind of clone gives the same answers.
func TestEveryKindOfCloneIsRead(t *testing.T) {
	for _, kind := range clones() {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			g, commits := sample(t)
			r := open(t, kind.make(t, g))
			ctx := t.Context()
			if _, byProgram := r.refs.(*program); byProgram != kind.program {
				t.Errorf("references come from %T", r.refs)
			}
			if r.Bare() != kind.bare {
				t.Errorf("Bare() = %v", r.Bare())
			}
			head, err := r.Head(ctx)
			if err != nil || head.ID != commits[4] || head.Message != "fifth\n" {
				t.Fatalf("head %+v, error %v", head, err)
			}
			tag, ok, err := r.Tag(ctx, "scheduled")
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				if ok, err = r.FetchTag(ctx, "origin", "scheduled"); err != nil || !ok {
					t.Fatalf("fetch the tag: %v, %v", ok, err)
				}
				if tag, _, err = r.Tag(ctx, "scheduled"); err != nil {
					t.Fatal(err)
				}
			}
			if tag != commits[1] {
				t.Errorf("tag at %s, want %s", tag, commits[1])
			}
			checkHistory(t, r, head, tag, commits)
			checkFiles(t, r, head)
		})
	}
}

func checkHistory(t *testing.T, r *Repo, head Commit, tag string, commits []string) {
	t.Helper()
	range3, err := r.Since(t.Context(), tag, head.ID, "origin", "refs/tags/scheduled")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, c := range range3 {
		ids = append(ids, c.ID)
	}
	if want := []string{commits[4], commits[3], commits[2]}; !slices.Equal(ids, want) {
		t.Errorf("commits since the tag: %v, want %v", ids, want)
	}
	changes, err := r.Diff(t.Context(), tag, head.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"A a.b/PKGBUILD", "A new@name/sub/deep/file", "D gtk+/PKGBUILD", "M paru/PKGBUILD"}, summary(changes)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	parent, ok, err := r.Parent(t.Context(), head, "origin")
	if err != nil || !ok || parent.ID != commits[3] {
		t.Errorf("parent %s, %v, %v; want %s", parent.ID, ok, err, commits[3])
	}
}

func summary(changes []Change) []string {
	var lines []string
	for _, c := range changes {
		kind := "M"
		if c.Old == "" {
			kind = "A"
		} else if c.New == "" {
			kind = "D"
		}
		lines = append(lines, kind+" "+c.Path)
	}
	slices.Sort(lines)
	return lines
}

func checkFiles(t *testing.T, r *Repo, head Commit) {
	t.Helper()
	files, err := r.At(t.Context(), head)
	if err != nil {
		t.Fatal(err)
	}
	dirs := files.Dirs()
	if want := []string{"a.b", "new@name", "paru"}; !slices.Equal(dirs, want) {
		t.Fatalf("dirs %q, want %q", dirs, want)
	}
	has, err := files.Has(t.Context(), dirs, "PKGBUILD")
	if err != nil || !slices.Equal(has, []bool{true, false, true}) {
		t.Errorf("has a PKGBUILD: %v, error %v", has, err)
	}
	got := readAll(t, files, "paru/PKGBUILD", "paru/.CI/config", "absent/x", "paru/absent", ".ci/config", "README.md", "paru/.CI")
	want := map[string]string{"paru/PKGBUILD": "two\n", "paru/.CI/config": "BUILDER_CLASS=2\n", ".ci/config": "REPO_NAME=r\n", "README.md": "hello\n"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("content (-want +got):\n%s", diff)
	}
}

func readAll(t *testing.T, files Files, paths ...string) map[string]string {
	t.Helper()
	var mu sync.Mutex
	got := map[string]string{}
	err := files.Read(t.Context(), paths, func(i int, data []byte) error {
		mu.Lock()
		defer mu.Unlock()
		got[paths[i]] = string(data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestOpenRefusesWhatIsNoRepository(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "absent"), file} {
		_, err := Open(t.Context(), dir)
		if !errors.Is(err, ErrNoRepository) || !strings.Contains(err.Error(), "--repo") {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestRepositoryWithoutCommit(t *testing.T) {
	r := open(t, testenv.NewGitRepo(t).Dir)
	if _, err := r.Head(t.Context()); !errors.Is(err, ErrNoCommit) {
		t.Errorf("error %v", err)
	}
}

func TestFirstCommitHasNoParentAndEverythingIsNew(t *testing.T) {
	g, commits := sample(t)
	r := open(t, g.Dir)
	first, err := r.Commit(t.Context(), commits[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := r.Parent(t.Context(), first, "origin"); ok || err != nil {
		t.Errorf("parent %v, error %v", ok, err)
	}
	changes, err := r.Diff(t.Context(), "", first.ID)
	want := []string{"A .ci/config", "A README.md", "A paru/.CI/config", "A paru/.SRCINFO", "A paru/PKGBUILD"}
	if diff := cmp.Diff(want, summary(changes)); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
}

func TestShallowCloneWithoutRemoteSaysWhatToDo(t *testing.T) {
	g, commits := sample(t)
	dir := filepath.Join(t.TempDir(), "clone")
	runGit(t, ".", "clone", "-q", "--depth=1", "file://"+origin(t, g), dir)
	runGit(t, dir, "remote", "remove", "origin")
	r := open(t, dir)
	head, err := r.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, sinceErr := r.Since(t.Context(), commits[4], head.ID, "origin", "refs/tags/scheduled")
	if sinceErr != nil {
		t.Errorf("the tag at HEAD needs no history: %v", sinceErr)
	}
	_, _, parentErr := r.Parent(t.Context(), head, "origin")
	if !errors.Is(parentErr, ErrShallow) || !strings.Contains(parentErr.Error(), "git fetch --unshallow") {
		t.Errorf("parent: %v", parentErr)
	}
}

func TestShallowCloneWhoseRemoteFailsSaysWhatToDo(t *testing.T) {
	g, commits := sample(t)
	dir := filepath.Join(t.TempDir(), "clone")
	runGit(t, ".", "clone", "-q", "--depth=1", "file://"+origin(t, g), dir)
	runGit(t, dir, "fetch", "-q", "--depth=1", "origin", "tag", "scheduled")
	runGit(t, dir, "remote", "set-url", "origin", "file:///nonexistent.git")
	r := open(t, dir)
	_, err := r.Since(t.Context(), commits[1], commits[4], "origin", "refs/tags/scheduled")
	if !errors.Is(err, ErrShallow) || !strings.Contains(err.Error(), "GIT_DEPTH") {
		t.Errorf("error %v", err)
	}
}

// A deep history is not fetched whole for a few commits, wherever the remote's own tag is by now.
func TestShallowCloneIsDeepenedNoMoreThanNeeded(t *testing.T) {
	for _, remoteTag := range []int{1, 4} {
		t.Run(fmt.Sprintf("the remote has its tag at commit %d", remoteTag), func(t *testing.T) {
			g, commits := sample(t)
			bare := origin(t, g)
			runGit(t, bare, "update-ref", "refs/tags/scheduled", commits[remoteTag])
			dir := filepath.Join(t.TempDir(), "clone")
			runGit(t, ".", "clone", "-q", "--depth=1", "--no-tags", "file://"+bare, dir)
			runGit(t, dir, "fetch", "-q", "--depth=1", "origin", commits[1])
			r := open(t, dir)
			list, err := r.Since(t.Context(), commits[1], commits[4], "origin", "refs/tags/scheduled")
			if err != nil || len(list) != 3 {
				t.Errorf("%d commits, error %v", len(list), err)
			}
			shallow, err := r.refs.shallow(t.Context())
			if err != nil || remoteTag == 1 && !slices.Contains(shallow, commits[2]) {
				t.Errorf("shallow at %v, error %v; want the history to end after the tag", shallow, err)
			}
		})
	}
}

// After a force push the tag is no ancestor: what it has not is listed, and the trees are compared.
func TestTagBesideTheHistory(t *testing.T) {
	for _, depth := range []string{"", "--depth=1"} {
		t.Run("clone "+depth, func(t *testing.T) {
			g, commits := sample(t)
			g.Git("checkout", "-q", "--orphan", "other")
			g.Git("rm", "-rfq", ".")
			g.Write("yay/PKGBUILD", "1\n")
			old := g.Commit("old history")
			g.Tag("scheduled")
			g.Git("checkout", "-q", "main")
			g.Git("branch", "-D", "other")
			dir := g.Dir
			if depth != "" {
				dir = filepath.Join(t.TempDir(), "clone")
				runGit(t, ".", "clone", "-q", depth, "file://"+origin(t, g), dir)
			}
			r := open(t, dir)
			if depth == "" {
				origin(t, g)
			}
			if _, err := r.FetchTag(t.Context(), "origin", "scheduled"); err != nil {
				t.Fatal(err)
			}
			list, err := r.Since(t.Context(), old, commits[4], "origin", "refs/tags/scheduled")
			if err != nil || len(list) != 5 {
				t.Errorf("%d commits, error %v", len(list), err)
			}
			if is, err := r.IsAncestor(t.Context(), old, commits[4]); is || err != nil {
				t.Errorf("ancestor %v, error %v", is, err)
			}
			changes, err := r.Diff(t.Context(), old, commits[4])
			if err != nil || len(changes) != 8 {
				t.Errorf("%v, error %v", summary(changes), err)
			}
		})
	}
}

func TestMergesCountAllTheirCommits(t *testing.T) {
	g, commits := sample(t)
	g.Git("checkout", "-q", "-b", "side", commits[1])
	g.Write("side/PKGBUILD", "s\n")
	side := g.Commit("on the side [deploy paru]")
	g.Git("checkout", "-q", "main")
	g.Git("merge", "-q", "--no-ff", "-m", "merge", "side")
	r := open(t, g.Dir)
	list, err := r.Since(t.Context(), commits[1], "HEAD", "origin", "refs/tags/scheduled")
	if err != nil || len(list) != 5 || !slices.ContainsFunc(list, func(c Commit) bool { return c.ID == side }) {
		t.Errorf("%d commits, error %v", len(list), err)
	}
}

func TestAnnotatedTagIsFollowedToItsCommit(t *testing.T) {
	g, commits := sample(t)
	g.Git("tag", "-f", "-a", "-m", "annotated", "scheduled", commits[2])
	r := open(t, g.Dir)
	if id, ok, err := r.Tag(t.Context(), "scheduled"); id != commits[2] || !ok || err != nil {
		t.Errorf("tag %s, %v, %v", id, ok, err)
	}
	if _, ok, err := r.Tag(t.Context(), "absent"); ok || err != nil {
		t.Errorf("absent tag: %v, %v", ok, err)
	}
}

func TestRevisionsThatAreNone(t *testing.T) {
	g, _ := sample(t)
	r := open(t, g.Dir)
	for _, rev := range []string{"", "--all", "no-such-branch", "a\nb", "HEAD:README.md", strings.Repeat("0", 40)} {
		if c, err := r.Commit(t.Context(), rev); err == nil {
			t.Errorf("%q is commit %s", rev, c.ID)
		}
	}
	if _, err := r.Head(t.Context()); err != nil {
		t.Errorf("a wrong revision spoils the next question: %v", err)
	}
}

func TestWorkTreeIsReadAsItLies(t *testing.T) {
	g, _ := sample(t)
	g.Write("paru/PKGBUILD", "dirty\n")
	g.Write("untracked/PKGBUILD", "new\n")
	g.Write("target/file", "secret\n")
	if err := errors.Join(
		os.Symlink("../target/file", filepath.Join(g.Dir, "untracked/.SRCINFO")),
		os.Symlink("paru", filepath.Join(g.Dir, "link")),
		os.Mkdir(filepath.Join(g.Dir, "paru/folder"), 0o755),
	); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfifo", filepath.Join(g.Dir, "paru/pipe")).CombinedOutput(); err != nil {
		t.Fatalf("mkfifo: %v %s", err, out)
	}
	r := open(t, g.Dir)
	files, err := r.WorkTree()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a.b", "new@name", "paru", "target", "untracked"}; !slices.Equal(files.Dirs(), want) {
		t.Errorf("dirs %q, want %q", files.Dirs(), want)
	}
	got := readAll(t, files, "paru/PKGBUILD", "untracked/PKGBUILD", "untracked/.SRCINFO", "paru/folder", "paru/pipe", "absent/x", "README.md/x")
	delete(got, "paru/pipe") // a pipe may read as empty; what matters is that it holds nobody up
	if diff := cmp.Diff(map[string]string{"paru/PKGBUILD": "dirty\n", "untracked/PKGBUILD": "new\n"}, got); diff != "" {
		t.Errorf("content (-want +got):\n%s", diff)
	}
	has, err := files.Has(t.Context(), []string{"untracked", "paru", "absent"}, ".SRCINFO")
	if err != nil || !slices.Equal(has, []bool{false, true, false}) {
		t.Errorf("has %v, error %v", has, err)
	}
	if _, err := open(t, origin(t, g)).WorkTree(); !errors.Is(err, ErrNoWorkTree) {
		t.Errorf("work tree of a bare repository: %v", err)
	}
}

func TestLinksAndSubmodulesOfACommitAreNoFilesAndNoDirs(t *testing.T) {
	g, commits := sample(t)
	if err := errors.Join(os.Symlink("paru", filepath.Join(g.Dir, "link")),
		os.Symlink("PKGBUILD", filepath.Join(g.Dir, "paru/alias"))); err != nil {
		t.Fatal(err)
	}
	g.Git("update-index", "--add", "--cacheinfo", "160000,"+commits[0]+",module")
	g.Git("add", "link", "paru/alias")
	g.Git("commit", "-q", "-m", "odd entries")
	r := open(t, g.Dir)
	head, err := r.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	files, err := r.At(t.Context(), head)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a.b", "new@name", "paru"}; !slices.Equal(files.Dirs(), want) {
		t.Errorf("dirs %q, want %q", files.Dirs(), want)
	}
	if got := readAll(t, files, "paru/alias", "link", "link/PKGBUILD"); len(got) > 0 {
		t.Errorf("content %q", got)
	}
}

func TestBigFilesAreReadWhole(t *testing.T) {
	g, _ := sample(t)
	big := strings.Repeat("pkgdesc = ten megabytes of this\n", 10<<20/32)
	g.Write("paru/.SRCINFO", big)
	g.Commit("big")
	r := open(t, g.Dir)
	head, err := r.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	committed, err := r.At(t.Context(), head)
	if err != nil {
		t.Fatal(err)
	}
	lying, err := r.WorkTree()
	if err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string]Files{"commit": committed, "work tree": lying} {
		got := readAll(t, files, "paru/.SRCINFO", "paru/PKGBUILD")
		if got["paru/.SRCINFO"] != big || got["paru/PKGBUILD"] != "two\n" {
			t.Errorf("%s: %d and %d bytes", name, len(got["paru/.SRCINFO"]), len(got["paru/PKGBUILD"]))
		}
	}
}

func TestErrorOfTheCallerEndsReadingAndKeepsTheRepoUsable(t *testing.T) {
	g, _ := sample(t)
	r := open(t, g.Dir)
	head, err := r.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	files, err := r.At(t.Context(), head)
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("enough")
	if err := files.Read(t.Context(), []string{"paru/PKGBUILD", "README.md"}, func(int, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
	checkFiles(t, r, head)
}

func TestCancelledContextEndsReading(t *testing.T) {
	g, _ := sample(t)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := Open(ctx, g.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Head(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := r.Head(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	_ = r.Close() // the process was stopped: its end is no news
}

func TestDamagedObjectsGiveAnErrorThatNamesThem(t *testing.T) {
	g, _ := sample(t)
	blob := g.Git("rev-parse", "HEAD:paru/PKGBUILD")
	if err := os.Remove(filepath.Join(g.Dir, ".git/objects", blob[:2], blob[2:])); err != nil {
		t.Fatal(err)
	}
	r := open(t, g.Dir)
	head, err := r.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	files, err := r.At(t.Context(), head)
	if err != nil {
		t.Fatal(err)
	}
	err = files.Read(t.Context(), []string{"paru/PKGBUILD"}, func(int, []byte) error { return nil })
	if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), blob) || !strings.Contains(err.Error(), "git fsck") {
		t.Errorf("error %v", err)
	}
}

func TestParseTreeRefusesDamage(t *testing.T) {
	for _, data := range []string{"100644", "100644 a", "100644 a\x00short", "\x00 ", " \x00"} {
		if entries, err := (tree{data: []byte(data), idSize: 20}).entries(); err == nil {
			t.Errorf("%q gives %v", data, entries)
		}
	}
}

// Both ways to answer for references agree.
func TestReferencesFromLibraryAndProgramAgree(t *testing.T) {
	g, _ := sample(t)
	bare := origin(t, g)
	shallow := filepath.Join(t.TempDir(), "shallow")
	runGit(t, ".", "clone", "-q", "--depth=2", "file://"+bare, shallow)
	partial := filepath.Join(t.TempDir(), "partial")
	runGit(t, ".", "clone", "-q", "--filter=blob:none", "--no-checkout", "file://"+bare, partial)
	for _, dir := range []string{g.Dir, bare, shallow, partial, testenv.NewGitRepo(t).Dir} {
		lib, err := openLibrary(dir)
		if err != nil {
			t.Fatal(err)
		}
		prog, err := openProgram(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if lib.workTree != prog.workTree || (git.Repo{Dir: lib.dir()}).Dir != prog.repo.Dir {
			t.Errorf("%s: %q in %q, %q in %q", dir, lib.workTree, lib.dir(), prog.workTree, prog.repo.Dir)
		}
		for _, name := range []string{"HEAD", "refs/heads/main", "refs/tags/scheduled", "refs/tags/absent"} {
			a, aOK, aErr := lib.ref(t.Context(), name)
			b, bOK, bErr := prog.ref(t.Context(), name)
			if a != b || aOK != bOK || aErr != nil || bErr != nil {
				t.Errorf("%s %s: %s %v %v, %s %v %v", dir, name, a, aOK, aErr, b, bOK, bErr)
			}
		}
		for _, name := range []string{"origin", "upstream", "o.*"} {
			a, aErr := lib.hasRemote(t.Context(), name)
			b, bErr := prog.hasRemote(t.Context(), name)
			if a != b || aErr != nil || bErr != nil {
				t.Errorf("%s remote %s: %v %v, %v %v", dir, name, a, aErr, b, bErr)
			}
		}
		remote, libErr := lib.promisor(t.Context())
		remote2, progErr := prog.promisor(t.Context())
		if remote != remote2 || (remote != "") != (dir == partial) || libErr != nil || progErr != nil {
			t.Errorf("%s promisor: %q %v, %q %v", dir, remote, libErr, remote2, progErr)
		}
		a, aErr := lib.shallow(t.Context())
		b, bErr := prog.shallow(t.Context())
		if !slices.Equal(a, b) && len(a)+len(b) > 0 || aErr != nil || bErr != nil {
			t.Errorf("%s shallow: %v %v, %v %v", dir, a, aErr, b, bErr)
		}
	}
}
