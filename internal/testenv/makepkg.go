package testenv

import (
	"os"
	"path/filepath"
	"testing"
)

// makepkgLibrary is where makepkg keeps its parts.
const makepkgLibrary = "/usr/share/makepkg"

// LintDir holds makepkg's checks of a PKGBUILD. They start grep 280 times, nine tenths of the time of a small build.
const LintDir = makepkgLibrary + "/lint_pkgbuild"

// MakepkgLibrary gives a copy of makepkg's library, for the variable LIBRARY, in which lint_pkgbuild has only the one
// check that makepkg cannot do without (it is called after pkgver()). For tests to which those checks do not matter.
func MakepkgLibrary(t testing.TB) string {
	t.Helper()
	Need(t, "makepkg")
	dir := filepath.Join(BuildDir(t), "makepkg")
	if err := os.CopyFS(dir, os.DirFS(makepkgLibrary)); err != nil {
		t.Fatal(err)
	}
	checks, err := filepath.Glob(filepath.Join(dir, "lint_pkgbuild", "*.sh"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range checks {
		if filepath.Base(file) == "pkgver.sh" {
			continue
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	Chown(t, dir)
	return dir
}
