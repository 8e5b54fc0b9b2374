package commit_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/cmd/caur-ci/internal/commit"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/pkgdir"
)

var (
	bot  = commit.Person{Name: "Repo Bot", Email: "bot@example.org"}
	noon = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
)

func file(text string) *pkgdir.File { return &pkgdir.File{Data: []byte(text)} }

func write(t *testing.T, g *testenv.GitRepo, list ...commit.Commit) []string {
	t.Helper()
	ids, err := commit.Write(t.Context(), git.Repo{Dir: g.Dir}, bot, noon, list)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestACommitChangesOnlyWhatItNames(t *testing.T) {
	g := testenv.NewGitRepo(t)
	g.Write("paru/PKGBUILD", "old\n")
	g.Write("paru/gone", "x\n")
	g.Write("paru/turns", "a file becomes a directory\n")
	g.Write("yay/PKGBUILD", "stays\n")
	head := g.Commit("first")
	older := pkgdir.Dir{"PKGBUILD": *file("old\n"), "gone": *file("x\n"), "turns": *file("a file becomes a directory\n")}
	newer := pkgdir.Dir{
		"PKGBUILD": *file("new\n"), "turns/into": *file("this\n"), `"quoted" name`: *file("q"), "a b": *file(""),
		"run": {Kind: pkgdir.Executable, Data: []byte("#!/bin/sh\n")}, "link": {Kind: pkgdir.Link, Data: []byte("PKGBUILD")},
	}
	id := write(t, g, commit.Commit{Parent: head, Message: "chore(update): paru\n", Changes: commit.Dir("paru", older, newer)})[0]
	want := strings.Join([]string{
		`100644 "paru/\"quoted\" name"`, "100644 paru/PKGBUILD", "100644 paru/a b", "120000 paru/link", "100755 paru/run",
		"100644 paru/turns/into", "100644 yay/PKGBUILD",
	}, "\n")
	if diff := cmp.Diff(want, g.Git("ls-tree", "-r", "--format=%(objectmode) %(path)", id)); diff != "" {
		t.Error(diff)
	}
	if got := g.Git("show", id+":paru/PKGBUILD"); got != "new" {
		t.Errorf("PKGBUILD is %q", got)
	}
	if got := g.Git("show", "-s", "--format=%P %an %ae %cn %at %s", id); got != head+" Repo Bot bot@example.org Repo Bot 1785585600 chore(update): paru" {
		t.Error(got)
	}
	g.Git("fsck", "--strict")
}

func TestNoBranchMovesAndNoNameStays(t *testing.T) {
	g := testenv.NewGitRepo(t)
	g.Write("paru/PKGBUILD", "old\n")
	head := g.Commit("first")
	before := g.Git("for-each-ref")
	write(t, g, commit.Commit{Parent: head, Message: "a", Changes: []commit.Change{{Path: "x", File: file("1")}}})
	if after := g.Git("for-each-ref"); after != before {
		t.Errorf("references changed:\n%s\n%s", before, after)
	}
	if status := g.Git("status", "--porcelain"); status != "" {
		t.Error("the work tree or the index changed:", status)
	}
}

func TestAHistoryOfItsOwnHoldsTheWholeTree(t *testing.T) {
	g := testenv.NewGitRepo(t)
	g.Write("paru/PKGBUILD", "old\n")
	head := g.Commit("first")
	ids := write(t, g,
		commit.Commit{Message: "chore(state): update state", Whole: true, Changes: []commit.Change{{Path: "paru", File: file("A=1\n")}, {Path: ".version-state", File: file("")}}},
		commit.Commit{Parent: head, Message: "b", Changes: []commit.Change{{Path: "paru/PKGBUILD"}}},
	)
	if got := g.Git("rev-list", ids[0]); got != ids[0] {
		t.Error("the state has parents:", got)
	}
	if got := g.Git("ls-tree", "--name-only", ids[0]); got != ".version-state\nparu" {
		t.Error(got)
	}
	if got := g.Git("ls-tree", "-r", ids[1]); got != "" {
		t.Error("the second commit still has files:", got)
	}
}

func TestACommitCanTakeThePlaceOfAnother(t *testing.T) {
	g := testenv.NewGitRepo(t)
	g.Write("paru/PKGBUILD", "1\n")
	first := g.Commit("first")
	g.Write("yay/PKGBUILD", "2\n")
	g.Commit("chore(update): yay")
	second := g.Git("rev-parse", "HEAD^{tree}")
	id := write(t, g, commit.Commit{Parent: first, Tree: second, Message: "chore(update): paru\n", Changes: []commit.Change{{Path: "paru/PKGBUILD", File: file("3\n")}}})[0]
	if got := g.Git("rev-list", id); got != id+"\n"+first {
		t.Error(got)
	}
	if got := g.Git("show", id+":paru/PKGBUILD") + g.Git("show", id+":yay/PKGBUILD"); got != "32" {
		t.Error(got)
	}
}

func TestAShallowPartialCloneIsEnough(t *testing.T) {
	g := testenv.NewGitRepo(t)
	for i := range 3 {
		g.Write("paru/PKGBUILD", fmt.Sprint(i))
		g.Write("yay/PKGBUILD", fmt.Sprint(i))
		g.Commit("c")
	}
	origin := g.Origin()
	g.Git("-C", origin, "config", "uploadpack.allowFilter", "true")
	clone := t.TempDir()
	g.Git("clone", "-q", "--depth=1", "--filter=blob:none", "--no-checkout", "file://"+origin, clone)
	head := g.Git("rev-parse", "HEAD")
	repo := git.Repo{Dir: clone}
	ids, err := commit.Write(t.Context(), repo, bot, noon, []commit.Commit{{Parent: head, Message: "m", Changes: []commit.Change{{Path: "paru/PKGBUILD", File: file("new")}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := repo.PushAtomic(t.Context(), "origin", []string{ids[0] + ":refs/heads/main"}, git.PushOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := g.Git("-C", origin, "show", "main:paru/PKGBUILD") + g.Git("-C", origin, "show", "main:yay/PKGBUILD"); got != "new2" {
		t.Error(got)
	}
}

func TestWhatCannotBeWrittenIsRefusedBeforeGitStarts(t *testing.T) {
	g := testenv.NewGitRepo(t)
	for name, c := range map[string]commit.Commit{
		"a path that leads out":  {Message: "m", Changes: []commit.Change{{Path: "a/../../x", File: file("")}}},
		"a file of git's":        {Message: "m", Changes: []commit.Change{{Path: "a/.git/config", File: file("")}}},
		"a quoted path":          {Message: "m", Changes: []commit.Change{{Path: `"a"`, File: file("")}}},
		"a parent that is a ref": {Message: "m", Parent: "HEAD\ndeleteall"},
	} {
		if ids, err := commit.Write(t.Context(), git.Repo{Dir: g.Dir}, bot, noon, []commit.Commit{c}); err == nil {
			t.Errorf("%s was written: %v", name, ids)
		}
	}
	for _, who := range []commit.Person{{Name: "a\ncommitter b", Email: "x"}, {Name: "a"}, {Name: "<", Email: "x"}} {
		_, err := commit.Write(t.Context(), git.Repo{Dir: g.Dir}, who, noon, []commit.Commit{{Message: "m"}})
		if err == nil || !strings.Contains(err.Error(), "GIT_AUTHOR_EMAIL") {
			t.Errorf("%q: %v", who, err)
		}
	}
}

func TestAFullDiskLosesNothing(t *testing.T) {
	g := testenv.NewGitRepo(t)
	g.Write("paru/PKGBUILD", "old\n")
	head := g.Commit("first")
	// A limit on the size of files fails the write of the pack as a full disk does.
	script := `ulimit -f 1; exec git -C "$1" fast-import --quiet --force --done --date-format=raw < /dev/stdin`
	cmd := exec.Command("bash", "-c", script, "bash", g.Dir)
	cmd.Stdin = strings.NewReader(fmt.Sprintf("commit refs/caur/commit-1\ncommitter a <b> 1 +0000\ndata 0\nfrom %s\nM 100644 inline x\ndata 100000\n%s\n\ndone\n",
		head, random(100000)))
	if err := cmd.Run(); err == nil {
		t.Fatal("the limit did not hold")
	}
	if got := g.Git("rev-parse", "HEAD"); got != head {
		t.Error("HEAD moved to", got)
	}
	g.Git("fsck", "--strict")
	write(t, g, commit.Commit{Parent: head, Message: "again", Changes: []commit.Change{{Path: "x", File: file("1")}}})
}

func random(n int) string {
	f, err := os.Open("/dev/urandom")
	if err != nil {
		panic(err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	b := make([]byte, n)
	if _, err := f.Read(b); err != nil {
		panic(err)
	}
	return string(b)
}

func TestMessagesNameUpToFourPackages(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  string
	}{
		{[]string{"a"}, "chore(update): a\n"},
		{[]string{"a", "b", "c", "d"}, "chore(update): a, b, c, d\n"},
		{[]string{"a", "b", "c", "d", "e"}, "chore(update): packages (5)\n\na, b, c, d, e\n"},
	} {
		if got := commit.Message("update", c.names); got != c.want {
			t.Errorf("%q", got)
		}
	}
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprintf("package-%d", i))
	}
	for line := range strings.Lines(commit.Message("update", many)) {
		if len(line) > 101 {
			t.Errorf("a line of %d: %s", len(line), line)
		}
	}
	if got := commit.SkipCI("chore(update): a\n\nb\n"); got != "chore(update): a [skip ci]\n\nb\n" {
		t.Errorf("%q", got)
	}
}

func TestOnlyOwnUpdatesAreAutomated(t *testing.T) {
	g := testenv.NewGitRepo(t)
	g.Write("a", "1")
	head := g.Commit("chore(update): a")
	ids := write(t, g, commit.Commit{Parent: head, Message: "chore(update): a\n"}, commit.Commit{Parent: head, Message: "fix: a\n"})
	for id, want := range map[string]bool{head: false, ids[0]: true, ids[1]: false} {
		if got, err := commit.Automated(t.Context(), git.Repo{Dir: g.Dir}, id, bot); err != nil || got != want {
			t.Errorf("%s: %t %v", g.Git("show", "-s", "--format=%an %s", id), got, err)
		}
	}
	if _, err := commit.Automated(t.Context(), git.Repo{Dir: g.Dir}, strings.Repeat("1", 40), bot); err == nil {
		t.Error("a commit that does not exist")
	}
}
