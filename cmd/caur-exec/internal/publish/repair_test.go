package publish

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/caur-build/caur/internal/syncdb/pkgtest"
)

func TestVerifyFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		s.publish(name, pkgtest.Spec{Name: name})
	}
	verify := func(deep bool) []string {
		t.Helper()
		problems, err := s.publisher().Verify(t.Context(), target, arch, deep)
		if err != nil {
			t.Fatal(err)
		}
		return problems
	}
	if problems := verify(true); len(problems) != 0 {
		t.Fatalf("of a good repository: %q", problems)
	}
	file := func(name string) string { return s.path(arch, name+"-1-1-any.pkg.tar.zst") }
	b, err := os.ReadFile(file("b"))
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	other, err := os.ReadFile(file("a") + ".sig")
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(os.Remove(file("a")), os.WriteFile(file("b"), b, 0o644), os.Truncate(file("c"), 10), os.Remove(file("d")+".sig"),
		os.WriteFile(file("e")+".sig", other, 0o644), os.WriteFile(file("new"), []byte("x"), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a-1-1-any.pkg.tar.zst: the package is missing", "b-1-1-any.pkg.tar.zst: the content is not",
		"c-1-1-any.pkg.tar.zst: not a file of", "d-1-1-any.pkg.tar.zst: the signature is missing",
		"e-1-1-any.pkg.tar.zst: the signature is not the one", "new-1-1-any.pkg.tar.zst: not in the database"}
	got := verify(true)
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("found %q, want %q", got, want)
	}
	if got := verify(false); len(got) != len(want)-1 {
		t.Errorf("without reading the packages: %q", got)
	}
}

func TestRebuild(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.publish("a", pkgtest.Spec{Name: "a"})
	s.publish("b", pkgtest.Spec{Name: "b"}, pkgtest.Spec{Name: "b-data"})
	before, err := os.ReadFile(s.path(arch, "demo.db.tar.zst"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(s.path(arch, "demo.db.tar.zst")), os.Remove(s.path(arch, "demo.files.tar.zst"))); err != nil {
		t.Fatal(err)
	}
	out, problems, err := s.publisher().Rebuild(t.Context(), target, arch)
	if err != nil || len(problems) != 0 || len(out.Present) != 3 {
		t.Fatalf("%+v, %q, %v", out, problems, err)
	}
	s.check("a 1-1", "b 1-1", "b-data 1-1")
	if after, err := os.ReadFile(s.path(arch, "demo.db.tar.zst")); err != nil || string(after) != string(before) {
		t.Errorf("the rebuilt database is another one: %v", err)
	}
	// A newer version, unsigned, an older one, and something that is no package.
	pkgtest.Make(t, s.path(arch), pkgtest.Spec{Name: "a", Version: "10-1"})
	pkgtest.Make(t, s.path(arch), pkgtest.Spec{Name: "a", Version: "9-1"})
	junk := s.path(arch, "junk-1-1-any.pkg.tar.zst")
	if err := os.WriteFile(junk, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, problems, err = s.publisher().Rebuild(t.Context(), target, arch)
	if err != nil || len(problems) != 1 || !strings.HasPrefix(problems[0], "junk-1-1-any.pkg.tar.zst: ") {
		t.Fatalf("%q, %v", problems, err)
	}
	if want := []string{"a-1-1-any.pkg.tar.zst", "a-9-1-any.pkg.tar.zst"}; !slices.Equal(out.Removed, want) {
		t.Errorf("removed %q, want %q", out.Removed, want)
	}
	if err := os.Remove(junk); err != nil {
		t.Fatal(err)
	}
	s.publish("c", pkgtest.Spec{Name: "c"})
	s.check("a 10-1", "b 1-1", "b-data 1-1", "c 1-1")
	if _, _, err := s.publisher().Rebuild(t.Context(), target, "none"); err == nil {
		t.Error("rebuilt what is not there")
	}
	if all, err := s.publisher().Arches(target); err != nil || !slices.Equal(all, []string{arch}) {
		t.Errorf("architectures: %v, %v", all, err)
	}
}
