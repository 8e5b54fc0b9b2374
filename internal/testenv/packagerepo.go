package testenv

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// packages are the folders of testdata/pkgbuilds that make up PackageRepo.
var packages = [...]string{
	"caur-greeting",  // nothing needed, one file
	"caur-hello",     // makedepends on caur-greeting, whose file build() reads
	"caur-tools",     // split, one depends on caur-hello; epoch, install script, backup file, .CI/config
	"caur-clock-git", // source is a git repository, see PackageRepo
	"caur-patched",   // .CI/PKGBUILD.append that changes what is in the package
	"caur-fmt++@1.2", // a name with + @ and .
}

// upstreamURL stands in the recipe of caur-clock-git for the repository that PackageRepo makes.
const upstreamURL = "file:///srv/upstream/caur-clock"

// PackageRepo makes a small PKGBUILD repository with six packages and their .SRCINFO, all in one commit, with the tag
// "scheduled" on it. makepkg can build them on any system, without a network, with nothing installed but the packages
// that they name among each other. The field Upstream is the git repository that caur-clock-git is built from; it belongs
// to the UnprivilegedUser, since git reads no repository of another user.
func PackageRepo(t testing.TB) *GitRepo {
	t.Helper()
	g := NewGitRepo(t)
	g.Upstream = upstream(t)
	from := filepath.Join(repoRoot(t), "testdata", "pkgbuilds")
	for _, name := range packages {
		copyTree(t, filepath.Join(from, name), filepath.Join(g.Dir, name))
	}
	for _, file := range []string{"PKGBUILD", ".SRCINFO"} {
		path := filepath.Join("caur-clock-git", file)
		g.Write(path, strings.ReplaceAll(g.read(path), upstreamURL, "file://"+g.Upstream.Dir))
	}
	g.Write(".ci/config", "# settings of the pipeline\nBUILD_REPO=demo\nREPO_NAME=demo\n"+
		"GIT_AUTHOR_NAME=Tess Tester\nGIT_AUTHOR_EMAIL=tess@example.org\n")
	g.Write(".gitignore", "*/*.pkg.tar*\n*/src/\n*/pkg/\n")
	g.Write("README.md", "Recipes of the demo repository.\n")
	g.Commit("feat: six packages")
	g.Tag("scheduled")
	return g
}

// upstream makes the repository of caur-clock, with one commit.
func upstream(t testing.TB) *GitRepo {
	t.Helper()
	g := newGitRepo(t, BuildDir(t))
	g.owned = true
	g.Write("clock.sh", "#!/bin/sh\ndate +%H:%M\n")
	if err := os.Chmod(filepath.Join(g.Dir, "clock.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	g.Commit("a clock")
	return g
}

func (g *GitRepo) read(path string) string {
	g.t.Helper()
	data, err := os.ReadFile(filepath.Join(g.Dir, path))
	if err != nil {
		g.t.Fatal(err)
	}
	return string(data)
}
