package publish

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/syncdb/pkgtest"
	"github.com/caur-build/caur/pkg/queue"
)

func TestCleanup(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	for _, name := range []string{"a", "b", "c"} {
		s.publish(name, pkgtest.Spec{Name: name})
	}
	s.publish("split", pkgtest.Spec{Name: "split"}, pkgtest.Spec{Name: "split-old"}, pkgtest.Spec{Name: "split-data"})
	s.publish("split", pkgtest.Spec{Name: "split", Version: "2-1", Date: 1_700_000_100}, pkgtest.Spec{Name: "split-data", Version: "2-1", Date: 1_700_000_100})

	out, err := s.publisher().Cleanup(t.Context(), cleanup("a", "b", "split", "unknown"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"c-1-1-any.pkg.tar.zst", "split-old-1-1-any.pkg.tar.zst"}; !slices.Equal(out.Removed, want) {
		t.Errorf("removed %q, want %q", out.Removed, want)
	}
	s.check("a 1-1", "b 1-1", "split 2-1", "split-data 2-1")
	for _, name := range []string{"c-1-1-any.pkg.tar.zst", "c-1-1-any.pkg.tar.zst.sig"} {
		if !slices.Contains(s.archived(), name) {
			t.Errorf("%s is not in the archive", name)
		}
	}
	before := s.read("lastupdate")
	if out, err := s.publisher().Cleanup(t.Context(), cleanup("a", "b", "split")); err != nil || len(out.Removed) != 0 {
		t.Errorf("again: %+v, %v", out, err)
	}
	if s.read("lastupdate") != before {
		t.Error("a clean-up without work touched the repository")
	}
}

func TestCleanupRefusesMassRemoval(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		s.publish(name, pkgtest.Spec{Name: name})
	}
	all := []string{"a 1-1", "b 1-1", "c 1-1", "d 1-1", "e 1-1", "f 1-1"}
	for what, tt := range map[string]struct {
		d   *queue.Delivery
		err string
	}{
		"an empty list":     {cleanup(), "the list of packages that stay is empty"},
		"more than a third": {cleanup("a", "b", "c"), "3 of the 6 packages in demo/x86_64 would be removed"},
		"no clean-up":       {&queue.Delivery{ID: "x"}, "names no clean-up"},
	} {
		_, err := s.publisher().Cleanup(t.Context(), tt.d)
		var refused *Refused
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v", what, err)
		}
		s.check(all...)
	}
	if _, err := s.publisher().Cleanup(t.Context(), cleanup("a", "b", "c", "d")); err != nil {
		t.Errorf("exactly a third: %v", err)
	}
	s.check(all[:4]...)
	d := cleanup("a")
	d.Cleanup.Force = true
	d.Cleanup.Arch = "" // all architectures
	if _, err := s.publisher().Cleanup(t.Context(), d); err != nil {
		t.Error(err)
	}
	s.check(all[:1]...)
	d = cleanup()
	d.Cleanup.Force = true
	if _, err := s.publisher().Cleanup(t.Context(), d); err != nil {
		t.Error(err)
	}
	s.check()
	s.publish("a", pkgtest.Spec{Name: "a"})
	s.check(all[:1]...)
}

func TestCleanupOfARepositoryThatIsNotThereMakesNone(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	if _, err := s.publisher().Cleanup(t.Context(), cleanup("a")); err != nil || exists(s.repo) {
		t.Errorf("%v; %s was made: %v", err, s.repo, exists(s.repo))
	}
	s.publish("a", pkgtest.Spec{Name: "a"})
	d := cleanup("a")
	d.Cleanup.Arch = "aarch64"
	if _, err := s.publisher().Cleanup(t.Context(), d); err != nil || exists(s.path("aarch64")) {
		t.Errorf("%v; a directory was made: %v", err, exists(s.path("aarch64")))
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.publish("foo", pkgtest.Spec{Name: "foo"})
	s.publish("foo", pkgtest.Spec{Name: "foo", Version: "2-1"})
	for _, name := range []string{"orphan-1-1-any.pkg.tar.zst", "lost-1-1-any.pkg.tar.zst.sig", "kept-1-1-any.pkg.tar.zst", "kept-1-1-any.pkg.tar.zst.sig", "notes.txt"} {
		if err := os.WriteFile(s.path(arch, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(s.path("archive", "notes.txt"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	sweep := func(after time.Duration) []string {
		s.o.Now = later(after)
		swept, err := s.publisher().Sweep(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(swept)
		return swept
	}
	if swept := sweep(0); len(swept) != 0 {
		t.Errorf("at once: %q", swept)
	}
	want := []string{"demo/x86_64/lost-1-1-any.pkg.tar.zst.sig", "demo/x86_64/orphan-1-1-any.pkg.tar.zst"}
	if swept := sweep(25 * time.Hour); !slices.Equal(swept, want) {
		t.Errorf("after a day: %q", swept)
	}
	want = []string{"demo/archive/foo-1-1-any.pkg.tar.zst", "demo/archive/foo-1-1-any.pkg.tar.zst.sig"}
	if swept := sweep(7*24*time.Hour + time.Minute); !slices.Equal(swept, want) {
		t.Errorf("after a week: %q", swept)
	}
	if got := s.archived(); !slices.Equal(got, []string{"lost-1-1-any.pkg.tar.zst.sig", "notes.txt", "orphan-1-1-any.pkg.tar.zst"}) {
		t.Errorf("archive: %q", got)
	}
	if sweep(9 * 24 * time.Hour); len(s.archived()) != 1 {
		t.Errorf("archive: %q", s.archived())
	}
}
