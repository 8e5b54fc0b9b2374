package interfere_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/interfere"
)

// source applies a bump to a harmless PKGBUILD and gives the pkgrel that bash sees after sourcing it n times.
func source(t *testing.T, pkgbuild, bump string, n int) string {
	t.Helper()
	dir := pkgDir(t, map[string]string{"PKGBUILD": pkgbuild, ".CI/config": "CI_PACKAGE_BUMP=" + bump + "\n"})
	if _, err := interfere.Apply(t.Context(), interfere.Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	script := "set -e; shopt -u extglob\n" + strings.Repeat("source ./PKGBUILD\n", n) + `echo "$pkgrel"`
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("source: %v\n%s\n%s", err, out, readPKGBUILD(t, dir))
	}
	return strings.TrimSpace(string(out))
}

func TestBumpComparesAsVercmpDoes(t *testing.T) {
	cases := []struct{ name, pkgbuild, bump, want string }{
		{"the version matches", "pkgver=1.2\npkgrel=1", "1.2-1/3", "1.3"},
		{"another version is left alone", "pkgver=1.3\npkgrel=1", "1.2-1/3", "1"},
		{"another pkgrel is left alone", "pkgver=1.2\npkgrel=2", "1.2-1/3", "2"},
		{"a version alone means 1", "pkgver=1.2\npkgrel=1", "1.2-1", "1.1"},
		{"without pkgrel any pkgrel matches", "pkgver=1.2\npkgrel=7", "1.2/2", "7.2"},
		{"an epoch counts", "epoch=1\npkgver=1.2\npkgrel=1", "1.2-1/3", "1"},
		{"an epoch matches", "epoch=1\npkgver=1.2\npkgrel=1", "1:1.2-1/3", "1.3"},
		{"an epoch of 0 is none", "pkgver=1.2\npkgrel=1", "0:1.2-1/3", "1.3"},
		{"versions that differ in text only are equal", "pkgver=1.02\npkgrel=1", "1.2-1/3", "1.3"},
		{"a pkgrel with a dot becomes valid again", "pkgver=1.2\npkgrel=1.1", "1.2-1.1/3", "1.4"},
		{"a leading zero behind the dot is no octal number", "pkgver=1.2\npkgrel=1.08", "1.2-1.08/1", "1.9"},
		{"git versions", "pkgver=r47.5d88174\npkgrel=1", "r47.5d88174-1/1", "1.1"},
		{"a computed pkgver", "_v=1.2\npkgver=${_v}\npkgrel=1", "1.2-1/1", "1.1"},
		{"a quoted pkgrel", "pkgver=1.2\npkgrel=\"1\"", "1.2-1/1", "1.1"},
		{"the older form, whatever the version", "pkgver=1.2\npkgrel=1", "3", "1.3"},
		{"the older form carries", "pkgver=1.2\npkgrel=1", "12", "2.2"},
		{"the older form adds to one digit", "pkgver=1.2\npkgrel=1.9", "1", "2.0"},
		{"the older form adds to more digits", "pkgver=1.2\npkgrel=1.12", "1", "1.13"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range []int{1, 3} {
				if got := source(t, c.pkgbuild, c.bump, n); got != c.want {
					t.Errorf("sourced %d times: pkgrel=%s, want %s", n, got, c.want)
				}
			}
		})
	}
}

func TestBumpThatIsNoneIsRefused(t *testing.T) {
	for _, text := range []string{
		"/1", "1.2-1/", "1.2-1/x", "1.2-1/-1", "1.2-1/1/1", "a b/1", "1.2-a/1", "1:2:3/1", "1.2-1/99999999", "99999999999999999999", "-1/1",
	} {
		dir := pkgDir(t, map[string]string{"PKGBUILD": plain})
		if _, err := interfere.Apply(t.Context(), interfere.Options{Dir: dir, Bump: text}); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func TestBumpWithoutVercmpStillMatchesTheSameText(t *testing.T) {
	dir := pkgDir(t, map[string]string{"PKGBUILD": "pkgver=1.2\npkgrel=1\n"})
	if _, err := interfere.Apply(t.Context(), interfere.Options{Dir: dir, Bump: "1.2-1/2"}); err != nil {
		t.Fatal(err)
	}
	bashPath, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal("bash is missing: run make test, which installs it")
	}
	cmd := exec.CommandContext(t.Context(), bashPath, "-c", `source ./PKGBUILD; echo "$pkgrel"`)
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "1.2" {
		t.Errorf("%v: %s", err, out)
	}
}

// makepkg writes the outcome of pkgver() into the file, sets pkgrel to 1 and sources it again.
func TestBumpWorksWithADynamicPkgver(t *testing.T) {
	testenv.Need(t, "makepkg", "setpriv")
	library := testenv.MakepkgLibrary(t)
	for _, c := range []struct{ name, bump, want string }{
		{"a version and a number", "2.r7-1/5", "1.5"},
		{"a version alone", "2.r7-1", "1.1"},
		{"a version without pkgrel", "2.r7/3", "1.3"},
		{"the older form", "3", "1.3"},
		{"the version that was there before", "1-4/5", "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := pkgDir(t, map[string]string{
				"PKGBUILD":   "pkgname=a\npkgver=1\npkgrel=4\narch=(any)\npkgver() { echo 2.r7; }\npackage() { mkdir \"$pkgdir/x\"; }\n",
				".CI/config": "CI_PACKAGE_BUMP=" + c.bump + "\n",
			})
			if _, err := interfere.Apply(t.Context(), interfere.Options{Dir: dir}); err != nil {
				t.Fatal(err)
			}
			makepkg(t, dir, library)
			built, err := filepath.Glob(filepath.Join(dir, "*.pkg.tar"))
			if want := "a-2.r7-" + c.want + "-any.pkg.tar"; err != nil || len(built) != 1 || filepath.Base(built[0]) != want {
				t.Errorf("built %v, want %s", built, want)
			}
		})
	}
}

// makepkg builds the package in dir, as a user without rights.
func makepkg(t *testing.T, dir, library string) {
	t.Helper()
	name, args := "makepkg", []string{"-d", "--nocheck", "--noconfirm"}
	if os.Geteuid() == 0 {
		name, args = "setpriv", append([]string{"--reuid=65534", "--regid=65534", "--clear-groups", "makepkg"}, args...)
		own(t, dir)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "PKGEXT=.pkg.tar", "PKGDEST="+dir, "BUILDDIR="+dir, "HOME="+dir, "LIBRARY="+library)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("makepkg: %v\n%s", err, out)
	}
}

// own hands the directory, and the way to it, to the user that makepkg runs as.
func own(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, 65534, 65534)
	})
	if err != nil {
		t.Fatal(err)
	}
	for up := filepath.Dir(dir); up != os.TempDir() && up != "/"; up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
