package landing

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/syncdb/pkgtest"
)

const day = 24 * time.Hour

func TestSweepSetsAsideOldRunsAndRemovesWhatIsNoUpload(t *testing.T) {
	z, root := newZone(t)
	put := func(rel string, age time.Duration) {
		path := writeFile(t, filepath.Join(root, rel), "x")
		for ; path != root; path = filepath.Dir(path) {
			pkgtest.Age(t, path, age)
		}
	}
	put("demo/x86_64/live/1/"+name, time.Minute) // the run before: its token is old
	put("demo/x86_64/live/2/"+name, 2*day)
	put("demo/x86_64/dead/3/"+name, time.Minute)
	put("demo/x86_64/dead/three/"+name, 2*day)
	put("demo/x86_64/stray.txt", 2*day)
	put("foo-1-1-any.pkg.tar.zst", 2*day) // flat, as in today's installations
	put("new.txt", time.Hour)
	put("demo/aarch64/x", time.Hour)
	if err := errors.Join(os.Remove(filepath.Join(root, "demo/aarch64/x")), os.Symlink("/etc", filepath.Join(root, "link"))); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	swept, err := z.Sweep(now, now.Add(-day), func(p Place) bool { return p.Pkgbase == "live" && p.Token != 1 })
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"demo/x86_64/dead/3", "demo/x86_64/live/1"}; !slices.Equal(swept.Quarantined, want) {
		t.Errorf("set aside %q, want %q", swept.Quarantined, want)
	}
	if want := []string{"demo/x86_64/dead/three", "demo/x86_64/stray.txt", "foo-1-1-any.pkg.tar.zst"}; !slices.Equal(swept.Removed, want) {
		t.Errorf("removed %q, want %q", swept.Removed, want)
	}
	for _, rel := range []string{"demo/x86_64/live/2/" + name, "new.txt", "link", "demo/aarch64", quarantine + "/demo/x86_64/live/1/" + name} {
		if _, err := os.Lstat(filepath.Join(root, rel)); err != nil {
			t.Errorf("%s is gone: %v", rel, err)
		}
	}
	// The age of an upload does not shorten its day in quarantine.
	pkgtest.Age(t, filepath.Join(root, quarantine, "demo/x86_64/live/1", name), 9*day)
	if swept, err = z.Sweep(now, now.Add(-day), func(Place) bool { return true }); err != nil || len(swept.Removed)+len(swept.Quarantined) != 0 {
		t.Errorf("%+v, %v", swept, err)
	}
	after := now.Add(day + time.Second)
	swept, err = z.Sweep(after, after.Add(-day), func(Place) bool { return true })
	if want := []string{quarantine + "/demo/x86_64/dead/3", quarantine + "/demo/x86_64/live/1"}; err != nil || !slices.Equal(swept.Removed[len(swept.Removed)-2:], want) {
		t.Errorf("removed %q, want the end %q; %v", swept.Removed, want, err)
	}
	if _, err := os.Stat(filepath.Join(root, quarantine)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty quarantine stays: %v", err)
	}
	if _, err := os.Stat("/etc/passwd"); err != nil {
		t.Fatalf("the sweep followed a link: %v", err)
	}
}

func TestQuarantineKeepsTheUploadAndSaysWhy(t *testing.T) {
	now := time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)
	elsewhere := writeFile(t, filepath.Join(t.TempDir(), "elsewhere"), "precious")
	tests := []struct {
		what    string
		prepare func(dir string) error
		kept    bool
	}{
		{"an upload", func(string) error { return nil }, true},
		{"one with a file of our name", func(dir string) error { return os.WriteFile(filepath.Join(dir, reasonFile), []byte("lie"), 0o644) }, true},
		{"one with a link of our name", func(dir string) error { return os.Symlink(elsewhere, filepath.Join(dir, reasonFile)) }, true},
		{"one with a fifo of our name", func(dir string) error { return syscall.Mkfifo(filepath.Join(dir, reasonFile), 0o644) }, true},
		{"a link in its place", func(dir string) error {
			return errors.Join(os.RemoveAll(dir), os.Symlink(filepath.Dir(elsewhere), dir))
		}, false},
		{"nothing", os.RemoveAll, false},
	}
	for _, tt := range tests {
		z, root := newZone(t)
		dir := filepath.Join(root, place.Dir())
		writeFile(t, filepath.Join(dir, name), "content")
		if err := tt.prepare(dir); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second one has nothing to do
			if _, err := z.Quarantine(place, "a wrong\n hash", now); err != nil {
				t.Fatalf("%s: %v", tt.what, err)
			}
		}
		if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s stays in the zone: %v", tt.what, err)
		}
		aside := filepath.Join(root, quarantine, place.Dir())
		why, err := os.ReadFile(filepath.Join(aside, reasonFile))
		if !tt.kept {
			if err == nil {
				t.Errorf("%s was kept", tt.what)
			}
			continue
		}
		content, readErr := os.ReadFile(filepath.Join(aside, name))
		if err != nil || readErr != nil || string(content) != "content" || string(why) != "2024-03-01T12:00:00Z\na wrong hash\n" {
			t.Errorf("%s: %q, %q, %v, %v", tt.what, content, why, err, readErr)
		}
		// The same run, refused again.
		writeFile(t, filepath.Join(dir, name), "more")
		if to, err := z.Quarantine(place, "again", now); err != nil || to != filepath.Join(quarantine, place.Dir()) {
			t.Errorf("%s, again: %q, %v", tt.what, to, err)
		}
	}
	if text, err := os.ReadFile(elsewhere); err != nil || string(text) != "precious" {
		t.Errorf("a link was followed: %q, %v", text, err)
	}
	z, _ := newZone(t)
	if _, err := z.Quarantine(Place{TargetRepo: "..", Arch: "x", Pkgbase: "y", Token: 1}, "", now); err == nil || !strings.Contains(err.Error(), "not a legal name") {
		t.Errorf("a path upwards: %v", err)
	}
	if err := (Place{TargetRepo: quarantine, Arch: "x", Pkgbase: "y", Token: 1}).Check(); err == nil {
		t.Error("what is in quarantine can be published")
	}
}
