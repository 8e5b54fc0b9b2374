package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestGitRepoAndOrigin(t *testing.T) {
	g := NewGitRepo(t)
	g.Write("a/b", "1")
	first := g.Commit("one")
	g.Remove("a")
	g.Tag("scheduled")
	origin := g.Origin()
	second := g.Commit("two")
	g.Tag("scheduled")
	g.Origin()
	if got := g.Git("--git-dir", origin, "rev-list", "scheduled"); got != second+"\n"+first {
		t.Errorf("origin has %q", got)
	}
	if got := g.Git("ls-tree", "-r", "--name-only", "HEAD"); got != "" {
		t.Errorf("removed file is still there: %q", got)
	}
	if got := g.Git("rev-parse", "origin/main"); got != second {
		t.Errorf("origin/main is %s", got)
	}
}

// asBuilder runs a command as the unprivileged user, without our environment.
func asBuilder(t *testing.T, dir string, args ...string) string {
	t.Helper()
	uid, gid := UnprivilegedUser(t)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "HOME=" + dir, "PKGEXT=.pkg.tar", "LIBRARY=" + MakepkgLibrary(t)}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

// builderCopy copies the packages of a repository to where the unprivileged user may write.
func builderCopy(t *testing.T, g *GitRepo) string {
	t.Helper()
	dir := BuildDir(t)
	copyTree(t, g.Dir, dir)
	Chown(t, dir)
	return dir
}

func TestPackageRepoHasWhatMakepkgPrints(t *testing.T) {
	t.Parallel() // makepkg takes its time
	Need(t, "makepkg")
	g := PackageRepo(t)
	dir := builderCopy(t, g)
	for _, name := range packages {
		want := asBuilder(t, filepath.Join(dir, name), "makepkg", "--printsrcinfo")
		if got := g.read(filepath.Join(name, ".SRCINFO")); got != want {
			t.Errorf("%s/.SRCINFO is not what makepkg prints:\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestPackageRepoCoversTheKindsOfPackages(t *testing.T) {
	g := PackageRepo(t)
	files := strings.Split(g.Git("ls-tree", "-r", "--name-only", "scheduled"), "\n")
	for _, want := range []string{".ci/config", "caur-patched/.CI/PKGBUILD.append", "caur-tools/.CI/config", "caur-fmt++@1.2/.SRCINFO"} {
		if !slices.Contains(files, want) {
			t.Errorf("no %s in %v", want, files)
		}
	}
	if g.Git("status", "--porcelain") != "" {
		t.Error("the work tree is not clean")
	}
	if got := g.Git("rev-parse", "scheduled"); got != g.Git("rev-parse", "HEAD") {
		t.Errorf("scheduled is %s", got)
	}
}

// The packages that read files of another one are built in TestDockerBuildsThePackageRepo, where these can be installed.
func TestPackageRepoBuildsOffline(t *testing.T) {
	t.Parallel() // makepkg takes its time
	Need(t, "makepkg", "fakeroot", "bsdtar")
	g := PackageRepo(t)
	g.Upstream.Write("more", "x")
	g.Upstream.Commit("more")
	dir := builderCopy(t, g)
	pkgbuild := filepath.Join("caur-patched", "PKGBUILD")
	g.Write(pkgbuild, g.read(pkgbuild)+g.read(filepath.Join("caur-patched", ".CI", "PKGBUILD.append")))
	copyTree(t, filepath.Join(g.Dir, "caur-patched"), filepath.Join(dir, "caur-patched"))
	for _, test := range []struct{ name, file, member, content string }{
		{"caur-patched", "caur-patched-3.1-1-any.pkg.tar", "usr/share/caur-patched/words", "seven\neight\n"},
		{"caur-clock-git", "caur-clock-git-1.0.r2-1-any.pkg.tar", "usr/bin/caur-clock", "#!/bin/sh\ndate +%H:%M\n"},
		{"caur-fmt++@1.2", "caur-fmt++@1.2-1.2.7-1-any.pkg.tar", "usr/share/caur-fmt/name", "caur-fmt++@1.2\n"},
	} {
		pkg := filepath.Join(dir, test.name)
		asBuilder(t, pkg, "makepkg", "--noconfirm", "--nodeps")
		if got := asBuilder(t, pkg, "bsdtar", "-xOf", test.file, test.member); got != test.content {
			t.Errorf("%s: %s holds %q", test.name, test.member, got)
		}
	}
}

func TestCorpusHasAFolderAPackage(t *testing.T) {
	for _, dir := range []string{Corpus(t), CorpusState(t)} {
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) < 2 {
			t.Errorf("%d entries, %v", len(entries), err)
		}
	}
	found, err := filepath.Glob(filepath.Join(Corpus(t), "*", ".SRCINFO"))
	if err != nil || len(found) < len(packages) {
		t.Errorf("%d .SRCINFO files, %v", len(found), err)
	}
}

func TestBinariesRun(t *testing.T) {
	ci, exe := Binaries(t)
	again, _ := Binaries(t)
	if ci != again {
		t.Errorf("built twice: %s, %s", ci, again)
	}
	for _, path := range []string{ci, exe} {
		if out, err := exec.Command(path, "--version").CombinedOutput(); err != nil {
			t.Errorf("%s --version: %v\n%s", path, err, out)
		}
	}
}
