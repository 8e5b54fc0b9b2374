package builder

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
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
		other.release(now)
	}
	for name, used := range map[string]time.Time{"old": now.Add(-31 * 24 * time.Hour), "new": now.Add(-29 * 24 * time.Hour)} {
		c, err := lockCache(caches, "src", name, used)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(c.dir, "source.tar"), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		c.release(used)
	}
	removed, err := sweepCaches(caches, now.Add(-cacheKeep), 0)
	if err != nil || !slices.Equal(removed, []string{"src/old"}) {
		t.Errorf("removed %q, %v", removed, err)
	}
	for name, want := range map[string]bool{"src/old": false, "src/.lock-old": false, "src/new/source.tar": true, "src/held": true, "other/held": true} {
		if _, err := os.Stat(filepath.Join(caches, name)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
	held.release(now.Add(-60 * 24 * time.Hour))
	again, err := lockCache(caches, "src", "held", now)
	if err != nil {
		t.Fatal(err)
	}
	again.release(now)
	if removed, err := sweepCaches(caches, now.Add(-cacheKeep), 0); err != nil || len(removed) > 0 {
		t.Errorf("used a moment ago, but removed %q, %v", removed, err)
	}
}

func TestCachesStayBelowTheirSizeLeastRecentlyUsedFirst(t *testing.T) {
	caches, now := t.TempDir(), time.Now()
	const size = 100 << 10
	var held *cacheLock
	for i, name := range []string{"held", "oldest", "older", "new", "newest"} {
		used := now.Add(time.Duration(i-10) * time.Hour)
		c, err := lockCache(caches, "src", name, used)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(c.dir, "source.tar"), make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
		if held == nil {
			held = c // a build that goes on: it is the oldest, and stays
			continue
		}
		c.release(used)
	}
	for _, c := range []struct {
		most int64
		want []string
	}{
		{0, nil},
		{10 * size, nil},
		{4*size + size/2, []string{"src/oldest"}},
		{2*size + size/2, []string{"src/older", "src/new"}},
		{1, []string{"src/newest"}},
	} {
		removed, err := sweepCaches(caches, now.Add(-cacheKeep), c.most)
		if err != nil || !slices.Equal(removed, c.want) {
			t.Errorf("most %d: removed %q, %v; want %q", c.most, removed, err, c.want)
		}
	}
	if _, err := os.Stat(filepath.Join(held.dir, "source.tar")); err != nil {
		t.Error("the cache of a running build is gone")
	}
	held.release(now)
}

// Many users of few caches, each sees only its own files; in between all caches are swept as too large and too old.
func TestBuildsAndSweepsAtOnceNeverShareACache(t *testing.T) {
	caches := t.TempDir()
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 150 {
				c, err := lockCache(caches, "src", fmt.Sprint("p", i%3), time.Now())
				if errors.Is(err, errCacheBusy) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				file := filepath.Join(c.dir, "mine")
				mine := []byte(fmt.Sprint(worker, i))
				if err := os.WriteFile(file, mine, 0o644); err != nil {
					t.Error(err)
				}
				if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, mine) {
					t.Errorf("%q, %v; want %q", got, err, mine)
				}
				c.release(time.Now())
			}
		})
	}
	for range 2 {
		group.Go(func() {
			for range 100 {
				if _, err := sweepCaches(caches, time.Now().Add(time.Hour), 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

// A process that dies gives its caches back, whatever it did with them.
func TestACacheOfADeadProcessIsFree(t *testing.T) {
	caches := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other := exec.Command(self)
	other.Env = append(os.Environ(), "CAUR_TEST_HOLD_CACHE="+caches)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if _, err := lockCache(caches, "src", "p", time.Now()); !errors.Is(err, errCacheBusy) {
		t.Errorf("another process has it, but: %v", err)
	}
	if removed, err := sweepCaches(caches, time.Now().Add(time.Hour), 1); err != nil || len(removed) > 0 {
		t.Errorf("removed %q, %v", removed, err)
	}
	_ = other.Process.Kill()
	_ = other.Wait()
	c, err := lockCache(caches, "src", "p", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "theirs")); err != nil {
		t.Error("the cached source is gone")
	}
	c.release(time.Now())
}

// HoldCache is what the other process of that test does.
func HoldCache(caches string) {
	c, err := lockCache(caches, "src", "p", time.Now())
	if err == nil {
		err = os.WriteFile(filepath.Join(c.dir, "theirs"), nil, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print("ready")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the test ends, at the latest
}

func TestMemoryAndCpusAreSharedByBuildsAtOnce(t *testing.T) {
	total := machineMemory("/proc/meminfo")
	if total < 64 || machineMemory("/nonexistent") != 0 {
		t.Errorf("this machine has %d MiB", total)
	}
	for _, c := range []struct{ in, want Settings }{
		{Settings{Jobs: 1}, Settings{Jobs: 1}},
		{Settings{Jobs: 4}, Settings{Jobs: 4, CPUs: float64(runtime.NumCPU()) / 4, MemoryMiB: total / 4}},
		{Settings{Jobs: 4, CPUs: 8, MemoryMiB: 100}, Settings{Jobs: 4, CPUs: 8, MemoryMiB: 100}},
	} {
		b := &builder{Settings: c.in}
		b.divide()
		if !reflect.DeepEqual(b.Settings, c.want) {
			t.Errorf("%+v, want %+v", b.Settings, c.want)
		}
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
	c.release(time.Now().Add(-60 * 24 * time.Hour))
	if _, err := sweepCaches(caches, time.Now().Add(-cacheKeep), 0); err != nil {
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
		"BUILDER_LIMITS_CPUS": "-1", "BUILDER_LIMITS_RAM": "-1", "BUILDER_LIMITS_PIDS": "-1", "BUILDER_EXTRA_MOUNTS": "/ok,not", "BUILDER_CACHE_MAX_GB": "-1", "BUILDER_CLASS": "a b", "BUILDER_RETRY_AFTER": "-1s",
	}))
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{
		"BUILDER_HOSTNAME", "SHARED_PATH", "BUILDER_TIMEOUT", "BUILDER_JOBS", "CONTAINER_ENGINE", "BUILDER_PULL", "BUILDER_OVERLAY",
		"CI_BUILD_NETWORK", "CI_CODE_SKIP", "BUILDER_LEASE", "BUILDER_LIMITS_CPUS", "BUILDER_LIMITS_RAM", "BUILDER_LIMITS_PIDS", "BUILDER_EXTRA_MOUNTS", "BUILDER_CACHE_MAX_GB", "BUILDER_CLASS", "BUILDER_RETRY_AFTER",
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

// A builder in a container has its program where only it sees it; the engine mounts what lies on the machine.
func TestTheProgramIsPutWhereTheEngineFindsIt(t *testing.T) {
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := places{shared: t.TempDir()}
	if got, err := p.program(false); err != nil || got != own {
		t.Errorf("on the machine itself: %s, %v", got, err)
	}
	first, err := p.program(true)
	if err != nil || !strings.HasPrefix(first, p.shared+"/bin/") {
		t.Fatalf("in a container: %s, %v", first, err)
	}
	want, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(first)
	if info, statErr := os.Stat(first); err != nil || statErr != nil || !bytes.Equal(got, want) || info.Mode().Perm() != 0o755 {
		t.Errorf("the copy differs: %v, %v", err, statErr)
	}
	if err := os.WriteFile(first, []byte("cut"), 0o755); err != nil { // by a crash, or a full disk
		t.Fatal(err)
	}
	if again, err := p.program(true); err != nil || again != first {
		t.Errorf("again: %s, %v", again, err)
	} else if info, err := os.Stat(again); err != nil || info.Size() != int64(len(want)) {
		t.Errorf("a cut copy stays: %v", err)
	}
}
