package publish

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/syncdb/pkgtest"
)

// history makes a line of each version: VERSION [*] PKGNAMES.
func (s *station) history(pkg string) []string {
	s.t.Helper()
	base, versions, err := s.publisher().History(s.t.Context(), target, arch, pkg)
	if err != nil {
		s.t.Fatal(err)
	}
	lines := []string{base}
	for _, v := range versions {
		line := v.Version
		if v.Current {
			line += " *"
		} else if left := time.Until(v.Deleted); left < 6*24*time.Hour || left > 7*24*time.Hour {
			s.t.Errorf("%s is deleted in %v", v.Version, left)
		}
		lines = append(lines, line+" "+strings.Join(v.Pkgnames, " "))
	}
	return lines
}

func (s *station) rollback(pkg, to string) (Outcome, error) {
	return s.publisher().Rollback(s.t.Context(), target, arch, pkg, to)
}

func TestRollback(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.o.SignDB = true
	s.publish("other", pkgtest.Spec{Name: "other"})
	s.publish("foo", pkgtest.Spec{Name: "foo"}, pkgtest.Spec{Name: "foo-old"})
	s.publish("other", pkgtest.Spec{Name: "other", Version: "2-1"})
	s.publish("foo", pkgtest.Spec{Name: "foo", Version: "2-1"}, pkgtest.Spec{Name: "foo-new", Version: "2-1"})
	if _, err := s.publisher().Cleanup(t.Context(), cleanup("foo", "other")); err != nil { // foo-old goes
		t.Fatal(err)
	}
	s.publish("foo", pkgtest.Spec{Name: "foo", Version: "3-1"}, pkgtest.Spec{Name: "foo-new", Version: "3-1"})
	s.check("foo 3-1", "foo-new 3-1", "other 2-1")
	all := []string{"foo", "3-1 * foo foo-new", "2-1 foo foo-new", "1-1 foo foo-old"}
	for _, name := range []string{"foo", "foo-new"} {
		if got := s.history(name); !slices.Equal(got, all) {
			t.Errorf("history of %s: %q, want %q", name, got, all)
		}
	}
	signature := s.read("archive/foo-2-1-any.pkg.tar.zst.sig")

	out, err := s.rollback("foo-new", "")
	if want := []string{"foo-2-1-any.pkg.tar.zst", "foo-new-2-1-any.pkg.tar.zst"}; err != nil || !slices.Equal(out.Added, want) || len(out.Removed) != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	s.check("foo 2-1", "foo-new 2-1", "other 2-1")
	s.checkPair()
	if got := s.read(arch + "/foo-2-1-any.pkg.tar.zst.sig"); got != signature {
		t.Error("the package came back with another signature")
	}
	// Farther back, to a version with other packages; and forth again.
	if _, err := s.rollback("foo", ""); err != nil {
		t.Fatal(err)
	}
	s.check("foo 1-1", "foo-old 1-1", "other 2-1")
	if out, err = s.rollback("foo", "3-1"); err != nil || !slices.Equal(out.Removed, []string{"foo-1-1-any.pkg.tar.zst", "foo-old-1-1-any.pkg.tar.zst"}) {
		t.Fatalf("%+v, %v", out, err)
	}
	s.check("foo 3-1", "foo-new 3-1", "other 2-1")
	// A package that was cleaned up comes back too, and what has lost its signature is signed.
	s.publish("bar", pkgtest.Spec{Name: "bar"})
	if _, err := s.publisher().Cleanup(t.Context(), cleanup("foo", "other")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.path("archive", "bar-1-1-any.pkg.tar.zst.sig")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.rollback("bar", ""); err != nil {
		t.Fatal(err)
	}
	s.check("bar 1-1", "foo 3-1", "foo-new 3-1", "other 2-1")
	// What follows is published as always.
	s.publish("foo", pkgtest.Spec{Name: "foo", Version: "4-1"}, pkgtest.Spec{Name: "foo-new", Version: "4-1"})
	s.check("bar 1-1", "foo 4-1", "foo-new 4-1", "other 2-1")
}

// A split package whose pkgbase has no package of its name: the packages tell.
func TestHistoryOfAPkgbaseWithoutAPackageOfItsName(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.publish("suite", pkgtest.Spec{Name: "one"}, pkgtest.Spec{Name: "two"})
	s.publish("suite", pkgtest.Spec{Name: "one", Version: "2-1"}, pkgtest.Spec{Name: "two", Version: "2-1"})
	s.publish("else", pkgtest.Spec{Name: "else"})
	s.publish("else", pkgtest.Spec{Name: "else", Version: "2-1"})
	want := []string{"suite", "2-1 * one two", "1-1 one two"}
	for _, name := range []string{"suite", "one", "two"} {
		if got := s.history(name); !slices.Equal(got, want) {
			t.Errorf("history of %s: %q, want %q", name, got, want)
		}
	}
	c := cleanup("else")
	c.Cleanup.Force = true
	if _, err := s.publisher().Cleanup(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"suite", "two"} {
		if got := s.history(name); !slices.Equal(got, []string{"suite", "2-1 one two", "1-1 one two"}) {
			t.Errorf("history of %s after the clean-up: %q", name, got)
		}
	}
}

func TestRollbackRefuses(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.publish("foo", pkgtest.Spec{Name: "foo"}, pkgtest.Spec{Name: "part"})
	s.publish("foo", pkgtest.Spec{Name: "foo", Version: "2-1"}, pkgtest.Spec{Name: "part", Version: "2-1"})
	s.publish("single", pkgtest.Spec{Name: "single"})
	s.publish("last", pkgtest.Spec{Name: "last", Version: "1-1"})
	s.publish("last", pkgtest.Spec{Name: "last", Version: "2-1"})
	s.o.Force = true // the package changes its pkgbase
	s.publish("part", pkgtest.Spec{Name: "part", Version: "3-1"})
	s.o.Force = false
	damaged := s.path("archive", "last-1-1-any.pkg.tar.zst")
	if err := os.WriteFile(damaged, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := s.versions()
	for what, tt := range map[string]struct{ pkg, to, err string }{
		"a package that is not there":       {"nothing", "", "nor its archive has a package nothing"},
		"the version that is there":         {"foo", "2-1", "foo 2-1 is in the repository now"},
		"a version that is not there":       {"foo", "0-1", "the archive has no version of foo 0-1; it has 1-1"},
		"where there is no other":           {"single", "", "the archive has no version of single that is older; it has no other"},
		"a package of another pkgbase now":  {"foo", "1-1", "package part belongs to pkgbase part in the repository, so foo may not replace it"},
		"to an archived file that is junk":  {"last", "1-1", "the archive has no version of last 1-1"},
		"in a path instead of a repository": {"../foo", "", "nor its archive"},
	} {
		_, err := s.rollback(tt.pkg, tt.to)
		var refused *Refused
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, want %q", what, err, tt.err)
		}
	}
	s.check(before...)
}

func TestPublishingByHand(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	foo, bar := s.make(pkgtest.Spec{Name: "foo", Version: "2-1"}), s.make(pkgtest.Spec{Name: "bar"})
	add := func(force bool, files ...string) (Outcome, error) {
		return s.publisher().Add(t.Context(), target, arch, force, files...)
	}
	if out, err := add(false, foo, bar); err != nil || len(out.Added) != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	if out, err := add(false, foo); err != nil || len(out.Present) != 1 {
		t.Fatalf("again: %+v, %v", out, err)
	}
	s.check("bar 1-1", "foo 2-1")
	older, thief := s.make(pkgtest.Spec{Name: "foo"}), s.make(pkgtest.Spec{Name: "bar", Base: "thief", Version: "2-1"})
	for what, tt := range map[string]struct{ file, err string }{
		"an older version":          {older, "foo 1-1 is older than 2-1"},
		"another pkgbase":           {thief, "belongs to pkgbase bar in the repository, so thief"},
		"other content":             {s.make(pkgtest.Spec{Name: "foo", Version: "2-1", Content: "x"}), "with other content"},
		"another architecture":      {s.make(pkgtest.Spec{Name: "arm", Arch: "aarch64"}), "it is not for x86_64"},
		"something that is no file": {s.dir + "/none-1-1-any.pkg.tar.zst", "no such file"},
	} {
		if _, err := add(false, tt.file); err == nil || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, want %q", what, err, tt.err)
		}
	}
	s.check("bar 1-1", "foo 2-1")
	if _, err := add(true, older, thief); err != nil {
		t.Fatal(err)
	}
	s.check("bar 2-1", "foo 1-1")
	s.o.Signer = nil
	if _, err := add(false, s.make(pkgtest.Spec{Name: "new"})); err == nil || !strings.Contains(err.Error(), "no signing key is configured") {
		t.Errorf("without a key: %v", err)
	}
}
