package candidates_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/pkgdir"
)

const (
	recipeOfGit   = "pkgname=app\npkgver=1.0\npkgrel=1\narch=(any)\nbuild() {\n  make\n}\n"
	srcinfoOfGit  = "pkgbase = app\n\tpkgver = 1.0\n\tpkgrel = 1\n\tarch = any\n\npkgname = app\n"
	unformatted   = "pkgname=app\npkgver=1.0\npkgrel=1\narch=(any)\nbuild()\n{\n        make\n}\n"
	gitConfigFrom = "CI_PKGBUILD_SOURCE=%s\n"
)

func twoSpaces(string) (pkgbuild.Style, error) { return pkgbuild.Style{Indent: 2}, nil }

func gitSource(t *testing.T) *candidates.Git {
	return candidates.NewGit(candidates.GitOptions{CacheDir: t.TempDir(), Style: twoSpaces, Retry: time.Nanosecond})
}

func ours(t *testing.T, remote string, more map[string]string) pkgdir.Dir {
	files := map[string]string{"PKGBUILD": recipeOfGit, ".SRCINFO": srcinfoOfGit, ".CI/config": fmt.Sprintf(gitConfigFrom, remote)}
	for name, text := range more {
		files[name] = text
	}
	return directory(t, files)
}

func TestAPackageOfAGitRepositoryIsTakenOver(t *testing.T) {
	g := testenv.NewGitRepo(t)
	g.Write("PKGBUILD", strings.Replace(unformatted, "1.0", "1.1", 1))
	g.Write(".SRCINFO", strings.Replace(srcinfoOfGit, "1.0", "1.1", 1))
	g.Write(".CI/config", "CI_MANAGE_AUR=true\n")
	g.Write("sub/new.patch", "x\n")
	g.Write("run", "#!/bin/sh\n")
	if err := os.Chmod(filepath.Join(g.Dir, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("sub/new.patch", filepath.Join(g.Dir, "link")); err != nil {
		t.Fatal(err)
	}
	g.Commit("new")
	remote := "file://" + g.Origin()
	files := ours(t, remote, map[string]string{"gone.patch": "y"})
	d, err := asked(t, gitSource(t), known(t, "app", files))
	if err != nil || reasons(d) != "git: 1.0-1 → 1.1-1" {
		t.Fatal(err, reasons(d))
	}
	want := pkgdir.Dir{
		"PKGBUILD":      {Data: []byte(strings.Replace(recipeOfGit, "1.0", "1.1", 1))},
		".SRCINFO":      {Data: []byte(strings.Replace(srcinfoOfGit, "1.0", "1.1", 1))},
		".CI/config":    files[".CI/config"],
		"sub/new.patch": {Data: []byte("x\n")}, "run": {Kind: pkgdir.Executable, Data: []byte("#!/bin/sh\n")},
		"link": {Kind: pkgdir.Link, Data: []byte("sub/new.patch")},
	}
	if diff := cmp.Diff(want, d.Changed()); diff != "" {
		t.Error(diff)
	}
}

func TestNothingChangesWhereOnlyTheLayoutDiffers(t *testing.T) {
	g := testenv.NewGitRepo(t)
	g.Write("PKGBUILD", unformatted)
	g.Write(".SRCINFO", srcinfoOfGit)
	g.Commit("same")
	if d, err := asked(t, gitSource(t), known(t, "app", ours(t, "file://"+g.Origin(), nil))); err != nil || d.Changed() != nil {
		t.Error(err, reasons(d))
	}
}

func TestAFileBesideThePKGBUILDCounts(t *testing.T) {
	g := testenv.NewGitRepo(t)
	g.Write("PKGBUILD", recipeOfGit)
	g.Write(".SRCINFO", srcinfoOfGit)
	g.Write("app.install", "post_install() { :; }\n")
	commit := g.Commit("install")
	remote := "file://" + g.Origin()
	d, err := asked(t, gitSource(t), known(t, "app", ours(t, remote, nil)))
	if want := "git: commit " + commit[:12] + " of " + remote; err != nil || reasons(d) != want {
		t.Errorf("%v %s", err, reasons(d))
	}
}

func TestAMissingSrcinfoIsMadeOrRefused(t *testing.T) {
	for recipe, fault := range map[string]string{
		recipeOfGit: "",
		strings.Replace(recipeOfGit, "(any)", "($(uname -m))", 1): "cannot be made without running the PKGBUILD",
	} {
		g := testenv.NewGitRepo(t)
		g.Write("PKGBUILD", recipe)
		g.Commit("new")
		d, err := asked(t, gitSource(t), known(t, "app", ours(t, "file://"+g.Origin(), map[string]string{"x": ""})))
		if fault == "" && (err != nil || changedText(d, ".SRCINFO") != srcinfoOfGit) || fault != "" && (err == nil || !strings.Contains(err.Error(), fault)) {
			t.Errorf("%v\n%s", err, changedText(d, ".SRCINFO"))
		}
	}
}

func TestHostileTreesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		make func(*testenv.GitRepo)
		want string
	}{
		"a link that points out": {func(g *testenv.GitRepo) {
			if err := os.Symlink("../../etc/passwd", filepath.Join(g.Dir, "x")); err != nil {
				t.Fatal(err)
			}
		}, `"x" is a link that points out of the directory`},
		"no PKGBUILD": {func(g *testenv.GitRepo) { g.Remove("PKGBUILD") }, "there is no PKGBUILD"},
		"a huge one":  {func(g *testenv.GitRepo) { g.Write("PKGBUILD", "#"+strings.Repeat("x", 5<<20)) }, "PKGBUILD"},
		"no bash":     {func(g *testenv.GitRepo) { g.Write("PKGBUILD", "if then\n") }, "PKGBUILD:1"},
		"a linked file": {func(g *testenv.GitRepo) {
			g.Remove("PKGBUILD")
			g.Git("rm", "-q", "--cached", "PKGBUILD")
			linkPKGBUILD(t, g)
		}, "which is not followed"},
	} {
		t.Run(name, func(t *testing.T) {
			g := testenv.NewGitRepo(t)
			g.Write("PKGBUILD", recipeOfGit)
			g.Write(".SRCINFO", srcinfoOfGit)
			g.Commit("before")
			c.make(g)
			g.Commit("odd")
			d, err := asked(t, gitSource(t), known(t, "app", ours(t, "file://"+g.Origin(), nil)))
			if err == nil || !strings.Contains(err.Error(), c.want) || d.Changed() != nil {
				t.Errorf("%v\nwant %s", err, c.want)
			}
		})
	}
}

func linkPKGBUILD(t *testing.T, g *testenv.GitRepo) {
	if err := os.Symlink(".SRCINFO", filepath.Join(g.Dir, "PKGBUILD")); err != nil {
		t.Fatal(err)
	}
}

func TestNamesThatLeadOutOfATreeAreRefused(t *testing.T) {
	for _, name := range []string{"..", ".git", ".GIT", "git~1"} {
		g := testenv.NewGitRepo(t)
		g.Write("PKGBUILD", recipeOfGit)
		g.Commit("before")
		blob := g.Git("rev-parse", "HEAD:PKGBUILD")
		// git mktree writes what no honest git client would: a directory of that name with a file in it.
		script := fmt.Sprintf(`printf '100644 blob %[1]s\tx\n' | git mktree >t && printf '100644 blob %[1]s\tPKGBUILD\n040000 tree %%s\t%[2]s\n' "$(cat t)" | git mktree`, blob, name)
		tree := g.Git("-c", "alias.sh=!"+"bash -c '"+strings.ReplaceAll(script, "'", `'"'"'`)+"'", "sh")
		commit := g.Git("commit-tree", "-m", "odd", tree)
		g.Git("update-ref", "refs/heads/main", commit)
		if d, err := asked(t, gitSource(t), known(t, "app", ours(t, "file://"+g.Origin(), nil))); err == nil || d.Changed() != nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestARemoteThatIsNotThereIsAFaultOfThePackage(t *testing.T) {
	d, err := asked(t, gitSource(t), known(t, "app", ours(t, "file:///nonexistent/x.git", nil)))
	if err == nil || !strings.Contains(err.Error(), "fetch the package") || d.Changed() != nil {
		t.Error(err)
	}
}

func TestOneCloneForAllPackagesOfARepository(t *testing.T) {
	g := testenv.NewGitRepo(t)
	g.Write("PKGBUILD", recipeOfGit)
	g.Write(".SRCINFO", srcinfoOfGit)
	g.Commit("x")
	remote := "file://" + g.Origin()
	source := gitSource(t)
	if _, err := asked(t, source, known(t, "a", ours(t, remote, nil))); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(g.Origin()); err != nil {
		t.Fatal(err)
	}
	if _, err := asked(t, source, known(t, "b", ours(t, remote, nil))); err != nil {
		t.Error("the repository was asked again:", err)
	}
}

func TestClonesFromOneHostKeepTheirDistance(t *testing.T) {
	now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	var naps []time.Duration
	source := candidates.NewGit(candidates.GitOptions{
		CacheDir: t.TempDir(), Delay: 10 * time.Second, Retry: time.Hour,
		Now:   func() time.Time { return now },
		Sleep: func(_ context.Context, d time.Duration) error { naps = append(naps, d); now = now.Add(d); return nil },
	})
	// Nothing listens there: each address is tried twice, an hour apart.
	for _, remote := range []string{"http://127.0.0.1:9/a.git", "http://127.0.0.1:9/b.git", "http://127.0.0.1:10/c.git"} {
		if _, err := asked(t, source, known(t, "app", ours(t, remote, nil))); err == nil {
			t.Fatal("there should be no server")
		}
		now = now.Add(4 * time.Second)
	}
	want := []time.Duration{time.Hour, 6 * time.Second, time.Hour, time.Hour}
	if !slices.Equal(naps, want) {
		t.Errorf("%v, not %v", naps, want)
	}
}
