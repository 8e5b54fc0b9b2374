package makepkg_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
	"github.com/caur-build/caur/cmd/caur-exec/internal/makepkg"
	"github.com/caur-build/caur/internal/testenv"
)

func TestPackagesAreBuiltInOrderEachInstallsWhatItNeeds(t *testing.T) {
	b := newBench(t)
	repo := testenv.PackageRepo(t)
	b.extra = []container.Mount{{Source: repo.Upstream.Dir, Target: repo.Upstream.Dir, ReadOnly: true}}
	build := func(pkgbase string, wantFiles ...string) string {
		t.Helper()
		// Git reads no repository of another user; the upstream one is nobody's.
		code, log, out := b.run(filepath.Join(repo.Dir, pkgbase), func(r *makepkg.Request) { r.BuildUser = "nobody" })
		b.want(code, log, out, makepkg.CodeOK, wantFiles...)
		b.add(out)
		return log
	}
	build("caur-greeting", "caur-greeting-1.2.0-1-any.pkg.tar.zst")
	b.lint = true
	log := build("caur-hello", "caur-hello-2.0-1-any.pkg.tar.zst")
	b.lint = false
	contains(t, log, "installing dependencies: caur-greeting", "the build is done")
	build("caur-tools", "caur-tools-1:0.5-2-x86_64.pkg.tar.zst", "caur-tools-doc-1:0.5-2-any.pkg.tar.zst")
	log = build("caur-clock-git", "caur-clock-git-1.0.r1-1-any.pkg.tar.zst")
	contains(t, log, "no repository has git; the program that is installed is used")
	log = build("caur-patched", "caur-patched-3.1-1-any.pkg.tar.zst")
	contains(t, log, "PKGBUILD.append: ")
	build("caur-fmt++@1.2", "caur-fmt++@1.2-1.2.7-1-any.pkg.tar.zst")

	hello := filepath.Join(b.repo, "caur-hello-2.0-1-any.pkg.tar.zst")
	if got := bsdtar(t, "-xOf", hello, "usr/bin/caur-hello"); !strings.Contains(got, "world") && !strings.Contains(got, "ello") {
		t.Errorf("caur-hello did not read the greeting: %q", got)
	}
	if got := bsdtar(t, "-xOf", hello, ".PKGINFO"); !strings.Contains(got, "packager = Tess Tester <tess@example.org>") {
		t.Errorf(".PKGINFO:\n%s", got)
	}
	for _, path := range []string{"/usr/share/caur-greeting", "/build/pkgdest"} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is on this machine", path)
		}
	}
}

func TestWhatTheRepositoryHasIsNotBuiltAgain(t *testing.T) {
	b := newBench(t)
	split := func(rel string) string {
		return b.pkg("pair", map[string]string{"PKGBUILD": `pkgbase=pair
pkgname=(pair-a pair-b)
pkgver=1
pkgrel=` + rel + `
arch=(any)
package_pair-a() { install -d "$pkgdir/a"; }
package_pair-b() { install -d "$pkgdir/b"; }
`})
	}
	code, log, out := b.run(split("1"), nil)
	b.want(code, log, out, makepkg.CodeOK, "pair-a-1-1-any.pkg.tar.zst", "pair-b-1-1-any.pkg.tar.zst")
	part := filepath.Join(out, "pair-b-1-1-any.pkg.tar.zst")
	if err := os.Rename(part, filepath.Join(b.dir, "later")); err != nil {
		t.Fatal(err)
	}
	b.add(out)

	code, log, out = b.run(split("1"), nil)
	b.want(code, log, out, makepkg.CodeOK, "pair-b-1-1-any.pkg.tar.zst")
	contains(t, log, "the repository lacks pair-b-1-1-any")
	b.add(out)

	code, log, out = b.run(split("1"), nil)
	b.want(code, log, out, makepkg.CodeAlreadyBuilt)
	contains(t, log, "the repository has these packages already")

	code, log, out = b.run(split("2"), nil)
	b.want(code, log, out, makepkg.CodeOK, "pair-a-1-2-any.pkg.tar.zst", "pair-b-1-2-any.pkg.tar.zst")
}

func TestAlreadyBuiltIsKnownAfterPkgver(t *testing.T) {
	b := newBench(t)
	source := b.pkg("dynamic", map[string]string{"PKGBUILD": `pkgname=dynamic
pkgver=1
pkgrel=1
arch=(any)
pkgver() { echo 2; }
package() { install -d "$pkgdir/a"; }
`})
	code, log, out := b.run(source, nil)
	b.want(code, log, out, makepkg.CodeOK, "dynamic-2-1-any.pkg.tar.zst")
	b.add(out)
	code, log, out = b.run(source, nil)
	b.want(code, log, out, makepkg.CodeAlreadyBuilt)
}

const head = "pkgver=1\npkgrel=1\narch=(any)\n"

func TestTheEndOfABuildHasItsCode(t *testing.T) {
	b := newBench(t)
	cases := []struct {
		name   string
		files  map[string]string
		change func(*makepkg.Request)
		code   int
		log    string
	}{
		{"a failing build", map[string]string{"PKGBUILD": head + "pkgname=p\nbuild() { false; }\npackage() { :; }"}, nil, 4, "A failure occurred in build()"},
		{"prepare skips", map[string]string{"PKGBUILD": head + "pkgname=p\npackage() { :; }", ".CI/prepare": "echo because; return $CI_CODE_SKIP"}, nil, 123, "skips this build"},
		{"prepare skips with another code", map[string]string{"PKGBUILD": head + "pkgname=p\npackage() { :; }", ".CI/prepare": "return $CI_CODE_SKIP"},
			func(r *makepkg.Request) { r.CodeSkip = 77 }, 77, "skipped on purpose"},
		{"prepare fails", map[string]string{"PKGBUILD": head + "pkgname=p\npackage() { :; }", ".CI/prepare": "exit 5"}, nil, 5, ".CI/prepare ended with status 5"},
		{"the time is over", map[string]string{"PKGBUILD": head + "pkgname=p\nbuild() { sleep 600; }\npackage() { :; }", ".CI/config": "BUILDER_EXTRA_TIMEOUT=0.5"},
			func(r *makepkg.Request) { r.Timeout = makepkg.Duration(4 * time.Second) }, makepkg.CodeTimedOut, "the time limit is over"},
		{"a dependency that nobody has", map[string]string{"PKGBUILD": head + "pkgname=p\nmakedepends=(caur-no-such)\npackage() { :; }"}, nil, makepkg.CodeDependencies, "caur-no-such"},
		{"a patch that does not apply", map[string]string{"PKGBUILD": head + "pkgname=p\npackage() { :; }", ".CI/interfere.patch": "--- a/PKGBUILD\n+++ b/PKGBUILD\n@@ -1 +1 @@\n-x\n+y\n"},
			nil, 1, "does not apply"},
		{"a config value that is none", map[string]string{"PKGBUILD": head + "pkgname=p\npackage() { :; }", ".CI/config": "BUILDER_EXTRA_TIMEOUT=long"}, nil, 1, ".CI/config:1: BUILDER_EXTRA_TIMEOUT"},
		{"no PKGBUILD", map[string]string{"README": ""}, nil, 1, "PKGBUILD"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b.t = t
			code, log, out := b.run(b.pkg("p", c.files), c.change)
			b.want(code, log, out, c.code)
			contains(t, log, c.log, "interferences:")
		})
	}
}

func TestTheWorldOfABuild(t *testing.T) {
	b := newBench(t)
	cases := []struct{ name, script, want string }{
		{"it is not root", `id -un`, "builder"},
		{"it has a home of its own", `echo $HOME; touch ~/x && echo ok`, "/build/home\nok"},
		{"make runs as many jobs as it may", `echo $MAKEFLAGS`, "-j2"},
		{"the source cannot be written", `touch "${SRC_DIR:-/nonexistent}/x" 2>/dev/null || echo no`, "no"},
		{"the output cannot be reached", `ls -d /*/*/job-*/out/x 2>/dev/null || echo no`, "no"},
		{"the log can be written by name", `echo named > /dev/stderr`, "named"},
		{"sudo is no way up", `sudo -n true 2>/dev/null && echo yes || echo no`, "no"},
		{"no secret of ours is in its environment", `env | grep -c -i -e token -e password -e redis || true`, "0"},
	}
	t.Setenv("ACCESS_TOKEN", "secret-token")
	script := head + "pkgname=p\nbuild() {\n"
	for i, c := range cases {
		script += fmt.Sprintf("echo BEGIN%d\n%s\necho END%d\n", i, c.script, i)
	}
	code, log, out := b.run(b.pkg("p", map[string]string{"PKGBUILD": script + "}\npackage() { install -d \"$pkgdir/a\"; }\n"}), nil)
	b.want(code, log, out, makepkg.CodeOK, "p-1-1-any.pkg.tar.zst")
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, rest, _ := strings.Cut(log, fmt.Sprintf("BEGIN%d\n", i))
			got, _, _ := strings.Cut(rest, fmt.Sprintf("END%d\n", i))
			if strings.TrimSpace(got) != c.want {
				t.Errorf("%s prints %q, want %q", c.script, got, c.want)
			}
		})
	}
}

func TestHooksRunAsTheBuildUserAndNeverFailTheBuild(t *testing.T) {
	b := newBench(t)
	hook := `echo "hook $PACKAGE $STATUS $LOG_URL $(id -un) in $(basename "$PWD")"; exit 3`
	good := b.pkg("p", map[string]string{"PKGBUILD": head + "pkgname=p\npackage() { install -d \"$pkgdir/a\"; }\n", ".CI/on-success.sh": hook, ".CI/on-failure.sh": "echo wrong"})
	code, log, out := b.run(good, func(r *makepkg.Request) { r.LogURL = "https://logs.example.org/x" })
	b.want(code, log, out, makepkg.CodeOK, "p-1-1-any.pkg.tar.zst")
	contains(t, log, "hook p success https://logs.example.org/x builder in p", "warning: .CI/on-success.sh ended with status 3")

	bad := b.pkg("p", map[string]string{"PKGBUILD": head + "pkgname=p\npackage() { false; }\n", ".CI/on-success.sh": "echo wrong", ".CI/on-failure.sh": hook})
	code, log, out = b.run(bad, nil)
	b.want(code, log, out, 4)
	contains(t, log, "hook p failure  builder in p")
	if strings.Contains(log, "wrong") {
		t.Errorf("the other hook ran:\n%s", log)
	}
}

func TestSourcesAreCachedWhereTheRequestSays(t *testing.T) {
	b := newBench(t)
	cache := b.mkdir(filepath.Join(b.dir, "cache"))
	served := b.mkdir(filepath.Join(b.dir, "served"))
	if err := os.WriteFile(filepath.Join(served, "data.txt"), []byte("data\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	source := b.pkg("p", map[string]string{"PKGBUILD": head + "pkgname=p\nsource=(\"file://" + served + "/data.txt\")\nsha256sums=(SKIP)\npackage() { install -D data.txt \"$pkgdir/data\"; }\n"})
	b.extra = []container.Mount{{Source: served, Target: served, ReadOnly: true}}
	cached := func(r *makepkg.Request) { r.SourceCacheDir = cache }
	code, log, out := b.run(source, cached)
	b.want(code, log, out, makepkg.CodeOK, "p-1-1-any.pkg.tar.zst")
	if err := os.Remove(filepath.Join(served, "data.txt")); err != nil {
		t.Fatal(err)
	}
	code, log, out = b.run(source, cached)
	b.want(code, log, out, makepkg.CodeOK, "p-1-1-any.pkg.tar.zst")
	if got := files(t, cache); len(got) != 1 || got[0] != "data.txt" {
		t.Errorf("the cache holds %q", got)
	}
}

func TestPrepareSeesTheRepositoryAndMayInstall(t *testing.T) {
	b := newBench(t)
	code, log, out := b.run(b.pkg("base", map[string]string{"PKGBUILD": head + "pkgname=base\npackage() { install -d \"$pkgdir/opt/caur-base\"; }\n"}), nil)
	b.want(code, log, out, makepkg.CodeOK, "base-1-1-any.pkg.tar.zst")
	b.add(out)
	source := b.pkg("p", map[string]string{
		"PKGBUILD":    head + "pkgname=p\nbuild() { ls -d /opt/caur-base; }\npackage() { install -d \"$pkgdir/a\"; }\n",
		".CI/prepare": "LC_ALL=C pacman -Si demo/base | grep ^Version\n$CAUR_PUSH 'yes | pacman -S base'\nid -un\n",
	})
	code, log, out = b.run(source, nil)
	b.want(code, log, out, makepkg.CodeOK, "p-1-1-any.pkg.tar.zst")
	contains(t, log, "Version         : 1-1", "\nroot\n", "\n/opt/caur-base\n", "prepare: ended with status 0")
}

func TestTheBuildFetchesItselfWhenNoDirectoryIsGiven(t *testing.T) {
	b := newBench(t)
	repo := testenv.PackageRepo(t)
	origin := repo.Origin()
	first := strings.TrimSpace(repo.Git("rev-parse", "HEAD"))
	repo.Write("caur-greeting/PKGBUILD", "broken")
	repo.Commit("chore: break it")
	repo.Git("push", "-q", "origin", "HEAD")
	b.extra = []container.Mount{{Source: origin, Target: origin, ReadOnly: true}}
	code, log, out := b.run("/nonexistent/caur-greeting", func(r *makepkg.Request) {
		r.SourceDir, r.RepoURL, r.SourceCommit = "", "file://"+origin, first
	})
	b.want(code, log, out, makepkg.CodeOK, "caur-greeting-1.2.0-1-any.pkg.tar.zst")
}
