package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/caur-build/caur/cmd/caur-exec/internal/landing"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/internal/syncdb/pkgtest"
	"github.com/caur-build/caur/pkg/queue"
)

// crash is what a child of the test does: one transaction, in the middle of which it is killed.
type crash struct {
	RepoPath, Landing, KeyFile string
	SignDB, Force              bool
	Delivery                   *queue.Delivery
	Point                      int    // kill -9 at this point of the transaction, counted from 1; 0 never
	Limit                      uint64 // largest file that may be written, in bytes, 0 for any: a full disk
	Verify                     bool   // look at the repository instead, whole
	Peak                       bool   // write nothing but the most memory that it had, as Linux tells it
}

// crashVariable tells the test binary to be that child.
const crashVariable = "CAUR_TEST_CRASH"

func TestMain(m *testing.M) {
	if plan := os.Getenv(crashVariable); plan != "" {
		if err := beTheChild(plan); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// beTheChild writes the name of each point it passes to its output and dies at the wanted one.
func beTheChild(plan string) error {
	var c crash
	if err := json.Unmarshal([]byte(plan), &c); err != nil {
		return err
	}
	zone, err := landing.NewZone(c.Landing)
	if err != nil {
		return err
	}
	signer, err := NewKeyFile(c.KeyFile, settings.Secret{})
	if err != nil {
		return err
	}
	p, err := New(Options{RepoPath: c.RepoPath, Zone: zone, Signer: signer, SignDB: c.SignDB, Force: c.Force})
	if err != nil {
		return err
	}
	n := 0
	if c.Peak {
		defer func() {
			status, _ := os.ReadFile("/proc/self/status")
			os.Stdout.Write(status)
		}()
	}
	if c.Verify {
		problems, err := p.Verify(context.Background(), target, arch, true)
		if len(problems) > 0 {
			err = errors.Join(err, errors.New(problems[0]))
		}
		return err
	}
	p.fault = func(point string) {
		if !c.Peak {
			fmt.Println(point)
		}
		if n++; n == c.Point {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	if c.Limit > 0 {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: c.Limit, Max: c.Limit}); err != nil {
			return err
		}
	}
	if c.Delivery.Cleanup != nil {
		_, err = p.Cleanup(context.Background(), c.Delivery)
	} else {
		_, err = p.Publish(context.Background(), c.Delivery)
	}
	return err
}

// run starts the child and returns the points it passed. killed tells whether it died of the kill.
func (c crash) run(t *testing.T) (points []string, killed bool, stderr string) {
	t.Helper()
	plan, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashVariable+"="+string(plan))
	var errOut strings.Builder
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if text := strings.TrimSpace(string(out)); text != "" {
		points = strings.Split(text, "\n")
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		killed = exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	}
	if err != nil && !killed && c.Limit == 0 {
		t.Fatalf("child: %v\n%s", err, errOut.String())
	}
	return points, killed, errOut.String()
}

// crashScene is a repository with two packages, of which the first is about to be updated and to get a sibling.
type crashScene struct {
	*station
	seed  string // copy of the repository before
	crash crash
}

func newCrashScene(t *testing.T, signDB bool) *crashScene {
	t.Helper()
	s := newStation(t)
	s.o.SignDB = signDB
	for _, name := range []string{"alpha", "beta", "gamma", "delta"} {
		s.publish(name, pkgtest.Spec{Name: name})
	}
	scene := &crashScene{station: s, seed: filepath.Join(s.dir, "seed")}
	copyTree(t, s.repo, scene.seed)
	scene.crash = crash{RepoPath: s.repo, Landing: s.land, KeyFile: exportKey(t, s.gpg), SignDB: signDB}
	return scene
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
}

// readable demands what a reader may count on at any moment, before anything is recovered: the database names only
// files that are there and signed.
func (s *station) readable(versions ...[]string) {
	s.t.Helper()
	db, err := syncdb.Read(s.path(arch, target+".db"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	got := entries(db)
	if !slices.ContainsFunc(versions, func(want []string) bool { return slices.Equal(got, want) }) {
		s.t.Errorf("a reader sees %q", got)
	}
	for _, v := range got {
		name := strings.ReplaceAll(v, " ", "-") + "-any.pkg.tar.zst"
		for _, file := range []string{name, name + ".sig"} {
			if !exists(s.path(arch, file)) {
				s.t.Errorf("a reader sees an entry without %s", file)
			}
		}
	}
	files, err := os.ReadDir(s.path(arch))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range files {
		if strings.HasPrefix(e.Name(), ".") || strings.HasSuffix(e.Name(), ".part") {
			s.t.Errorf("a mirror sees the temporary file %s", e.Name())
		}
	}
}

// matrix kills the transaction of d at each of its points, and demands the old or the new repository after recovery,
// and the new one after doing it again.
func (s *crashScene) matrix(d *queue.Delivery, before, after []string) {
	t := s.t
	t.Helper()
	s.crash.Delivery, s.crash.Point = d, 0
	points, _, _ := s.crash.run(t)
	s.check(after...)
	committed := slices.Index(points, "committed") + 1
	if len(points) < 15 || committed == 0 {
		t.Fatalf("the transaction has the points %q", points)
	}
	for i, point := range points {
		copyTree(t, s.seed, s.repo)
		s.crash.Point = i + 1
		passed, killed, _ := s.crash.run(t)
		if !killed || len(passed) != i+1 {
			t.Fatalf("not killed at %q: passed %q", point, passed)
		}
		s.readable(before, after)
		p := s.publisher()
		if err := p.Recover(t.Context()); err != nil {
			t.Errorf("recovery after %q: %v", point, err)
		}
		want := before
		if s.crash.Point >= committed {
			want = after
		}
		s.check(want...)
		if err := s.again(p, d); err != nil {
			t.Errorf("again after %q: %v", point, err)
		}
		s.check(after...)
		if t.Failed() {
			t.Fatalf("killed at %q", point)
		}
	}
	t.Logf("killed at each of %d points", len(points))
}

func (s *crashScene) again(p *Publisher, d *queue.Delivery) error {
	if d.Cleanup != nil {
		_, err := p.Cleanup(s.t.Context(), d)
		return err
	}
	_, err := p.Publish(s.t.Context(), d)
	return err
}

func TestKilledAnywhereWhilePublishing(t *testing.T) {
	t.Parallel()
	s := newCrashScene(t, true)
	d := s.deliver("alpha", s.make(pkgtest.Spec{Name: "alpha", Version: "2-1"}), s.make(pkgtest.Spec{Name: "alpha-data", Base: "alpha", Version: "2-1"}))
	s.matrix(d, []string{"alpha 1-1", "beta 1-1", "delta 1-1", "gamma 1-1"}, []string{"alpha 2-1", "alpha-data 2-1", "beta 1-1", "delta 1-1", "gamma 1-1"})
}

func TestKilledAnywhereWhileCleaningUp(t *testing.T) {
	t.Parallel()
	s := newCrashScene(t, false)
	s.matrix(cleanup("alpha", "gamma", "delta"), []string{"alpha 1-1", "beta 1-1", "delta 1-1", "gamma 1-1"}, []string{"alpha 1-1", "delta 1-1", "gamma 1-1"})
}

// A recovery that is itself killed, at every point, must be completed by the next one.
func TestKilledAgainWhileRecovering(t *testing.T) {
	t.Parallel()
	s := newCrashScene(t, true)
	before, after := []string{"alpha 1-1", "beta 1-1", "delta 1-1", "gamma 1-1"}, []string{"alpha 2-1", "beta 1-1", "delta 1-1", "gamma 1-1"}
	s.crash.Delivery = s.deliver("alpha", s.make(pkgtest.Spec{Name: "alpha", Version: "2-1"}))
	points, _, _ := s.crash.run(t)
	copyTree(t, s.seed, s.repo)
	s.crash.Point = slices.Index(points, "committed") + 1
	s.crash.run(t)
	halfway := filepath.Join(s.dir, "halfway")
	copyTree(t, s.repo, halfway)
	for n := 1; ; n += 2 {
		copyTree(t, halfway, s.repo)
		s.crash.Point = n // now counted from the beginning of the recovery
		if _, killed, _ := s.crash.run(t); !killed {
			break
		}
		s.readable(before, after)
		if err := s.publisher().Recover(t.Context()); err != nil {
			t.Fatalf("recovery after point %d: %v", n, err)
		}
		s.check(after...)
	}
}

// Writing fails at every size of file: the repository stays as it was, and nothing is left over.
func TestAFullDiskLeavesTheOldRepository(t *testing.T) {
	t.Parallel()
	s := newCrashScene(t, false)
	before := []string{"alpha 1-1", "beta 1-1", "delta 1-1", "gamma 1-1"}
	d := s.deliver("alpha", s.make(pkgtest.Spec{Name: "alpha", Version: "2-1"}))
	s.crash.Delivery = d
	for _, limit := range []uint64{1, 64, 100, 300, 400, 800, 1200} {
		s.crash.Limit = limit
		points, _, stderr := s.crash.run(t)
		if slices.Contains(points, "committed") {
			t.Logf("a limit of %d bytes is enough", limit)
			break
		}
		if stderr == "" {
			t.Errorf("limit %d: no error; passed %q", limit, points)
		}
		s.check(before...)
	}
	s.crash.Limit = 0
	s.crash.run(t)
	s.check("alpha 2-1", "beta 1-1", "delta 1-1", "gamma 1-1")
}

func TestJournalsThatAreNotOursAreNotFollowed(t *testing.T) {
	t.Parallel()
	for what, text := range map[string]string{
		"another version":  `{"version": 2, "id": "x", "steps": []}`,
		"a path upwards":   `{"version": 1, "id": "x", "steps": [{"op": "remove", "to": "../../etc/passwd"}]}`,
		"an absolute path": `{"version": 1, "id": "x", "steps": [{"op": "place", "from": "/etc/passwd", "to": "x"}]}`,
		"an unknown key":   `{"version": 1, "id": "x", "steps": [], "more": 1}`,
		"half of one":      `{"version": 1, "id": "x", "st`,
		"an unknown step":  `{"version": 1, "id": "x", "steps": [{"op": "shell", "to": "x"}]}`,
	} {
		s := newStation(t)
		s.publish("foo", pkgtest.Spec{Name: "foo"})
		if err := os.WriteFile(s.path(".caur", arch, "journal.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := s.publisher().Recover(t.Context()); err == nil || !strings.Contains(err.Error(), target) {
			t.Errorf("%s: %v", what, err)
		}
		if got := s.versions(); !slices.Equal(got, []string{"foo 1-1"}) {
			t.Errorf("%s: %q", what, got)
		}
	}
}
