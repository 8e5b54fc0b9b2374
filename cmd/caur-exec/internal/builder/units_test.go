package builder

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/settings"
)

func TestCachesAreLockedAndSweptWhenUnused(t *testing.T) {
	caches, now := t.TempDir(), time.Now()
	held, err := lockCache(caches, "src", "held", now.Add(-60*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockCache(caches, "src", "held", now); !errors.Is(err, errCacheBusy) {
		t.Errorf("a second lock: %v", err)
	}
	if other, err := lockCache(caches, "other", "held", now); err != nil {
		t.Errorf("the same pkgbase of another source repo: %v", err)
	} else {
		other.release()
	}
	for name, used := range map[string]time.Time{"old": now.Add(-31 * 24 * time.Hour), "new": now.Add(-29 * 24 * time.Hour)} {
		c, err := lockCache(caches, "src", name, used)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(c.dir, "source.tar"), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		c.release()
	}
	removed, err := sweepCaches(caches, now.Add(-cacheKeep))
	if err != nil || !slices.Equal(removed, []string{"src/old"}) {
		t.Errorf("removed %q, %v", removed, err)
	}
	for name, want := range map[string]bool{"src/old": false, "src/.lock-old": false, "src/new/source.tar": true, "src/held": true, "other/held": true} {
		if _, err := os.Stat(filepath.Join(caches, name)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
	held.release()
	again, err := lockCache(caches, "src", "held", now)
	if err != nil {
		t.Fatal(err)
	}
	again.release()
	if removed, err := sweepCaches(caches, now.Add(-cacheKeep)); err != nil || len(removed) > 0 {
		t.Errorf("used a moment ago, but removed %q, %v", removed, err)
	}
}

func TestTheSweepFollowsNoLink(t *testing.T) {
	caches, outside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := lockCache(caches, "src", "p", time.Now().Add(-60*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(c.dir, "link")); err != nil {
		t.Fatal(err)
	}
	c.release()
	if _, err := sweepCaches(caches, time.Now().Add(-cacheKeep)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(outside, "file")); err != nil {
		t.Error("the file behind the link is gone")
	}
}

func TestPathsOfTheEngine(t *testing.T) {
	here := t.TempDir()
	cases := []struct {
		name   string
		s      Settings
		builds string
		path   string
		host   string
	}{
		{"a builder on the machine itself", Settings{Hostname: "b", SharedPath: here}, here + "/build/b", here + "/build/b/1/out", here + "/build/b/1/out"},
		{"a build directory of its own", Settings{Hostname: "b", SharedPath: here, BuildDirManager: "/in/build", BuildDirHost: "/srv/build"}, "/in/build/b", "/in/build/b/1/out", "/srv/build/b/1/out"},
		{"a name that only begins alike", Settings{Hostname: "b", SharedPath: here, BuildDirManager: "/in/build", BuildDirHost: "/srv/build"}, "/in/build/b", "/in/building", "/in/building"},
		{"the build directory elsewhere on the host", Settings{Hostname: "b", SharedPath: here, BuildDirHost: "/srv/build"}, here + "/build/b", here + "/build/x", "/srv/build/x"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := findPlaces(c.s)
			if p.builds != c.builds || p.host(c.path) != c.host {
				t.Errorf("builds in %s, %s is %s; want %s, %s", p.builds, c.path, p.host(c.path), c.builds, c.host)
			}
		})
	}
}

func TestWrongSettingsAreAllNamedAtOnce(t *testing.T) {
	var s Settings
	err := settings.Load(t.Context(), &s, settings.Map(map[string]string{
		"BUILDER_HOSTNAME": "a/b", "SHARED_PATH": "relative", "BUILDER_TIMEOUT": "0", "BUILDER_JOBS": "0", "CONTAINER_ENGINE": "lxc",
		"BUILDER_PULL": "always", "BUILDER_OVERLAY": "maybe", "CI_BUILD_NETWORK": "host", "CI_CODE_SKIP": "300", "BUILDER_LEASE": "1s",
		"BUILDER_LIMITS_CPUS": "-1", "BUILDER_LIMITS_RAM": "-1", "BUILDER_LIMITS_PIDS": "-1", "BUILDER_EXTRA_MOUNTS": "/ok,not",
	}))
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{
		"BUILDER_HOSTNAME", "SHARED_PATH", "BUILDER_TIMEOUT", "BUILDER_JOBS", "CONTAINER_ENGINE", "BUILDER_PULL", "BUILDER_OVERLAY",
		"CI_BUILD_NETWORK", "CI_CODE_SKIP", "BUILDER_LEASE", "BUILDER_LIMITS_CPUS", "BUILDER_LIMITS_RAM", "BUILDER_LIMITS_PIDS", "BUILDER_EXTRA_MOUNTS",
	} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named:\n%v", name, err)
		}
	}
	if err := settings.Load(t.Context(), &Settings{}, settings.Map(nil)); err == nil ||
		!strings.Contains(err.Error(), "BUILDER_HOSTNAME") || !strings.Contains(err.Error(), "SHARED_PATH") {
		t.Errorf("without settings: %v", err)
	}
}

func TestContainerNamesAreLegal(t *testing.T) {
	if got := containerName("bü lder_1.example", 7); got != "caur-b__lder_1.example-7" {
		t.Error(got)
	}
}
