package publish

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/caur-build/caur/internal/syncdb/pkgtest"
)

// scene is one change of a repository, as the tests of crashes make it: what is there before, what is done, what is there
// after.
type scene struct {
	*station
	seed          string // copy of the repository before
	before, after []string
	act           func(p *Publisher) error
}

// scenes are the kinds of transactions there are.
func scenes(t *testing.T) map[string]func(t *testing.T) *scene {
	start := func(t *testing.T, names ...string) *scene {
		s := newStation(t)
		s.o.SignDB = true
		sc := &scene{station: s, seed: filepath.Join(s.dir, "seed")}
		for _, name := range names {
			s.publish(name, pkgtest.Spec{Name: name})
			sc.before = append(sc.before, name+" 1-1")
		}
		return sc
	}
	t.Helper()
	return map[string]func(t *testing.T) *scene{
		"the first publish": func(t *testing.T) *scene {
			sc := start(t)
			d := sc.deliver("alpha", sc.make(pkgtest.Spec{Name: "alpha"}))
			sc.act = func(p *Publisher) error { _, err := p.Publish(t.Context(), d); return err }
			sc.after = []string{"alpha 1-1"}
			return sc
		},
		"a publish": func(t *testing.T) *scene {
			sc := start(t, "alpha", "beta")
			d := sc.deliver("alpha", sc.make(pkgtest.Spec{Name: "alpha", Version: "2-1"}), sc.make(pkgtest.Spec{Name: "alpha-data", Base: "alpha", Version: "2-1"}))
			sc.act = func(p *Publisher) error { _, err := p.Publish(t.Context(), d); return err }
			sc.after = []string{"alpha 2-1", "alpha-data 2-1", "beta 1-1"}
			return sc
		},
		"a clean-up": func(t *testing.T) *scene {
			sc := start(t, "alpha", "beta", "delta", "gamma")
			sc.act = func(p *Publisher) error {
				_, err := p.Cleanup(t.Context(), cleanup("alpha", "delta", "gamma"))
				return err
			}
			sc.after = []string{"alpha 1-1", "delta 1-1", "gamma 1-1"}
			return sc
		},
		"a rollback": func(t *testing.T) *scene {
			sc := start(t, "alpha", "beta")
			sc.publish("alpha", pkgtest.Spec{Name: "alpha", Version: "2-1"}, pkgtest.Spec{Name: "alpha-data", Version: "2-1"})
			sc.act = func(p *Publisher) error {
				_, err := p.Rollback(t.Context(), target, arch, "alpha", "1-1")
				var refused *Refused
				if errors.As(err, &refused) && strings.Contains(err.Error(), "is in the repository now") {
					return nil // done before the crash
				}
				return err
			}
			sc.before, sc.after = []string{"alpha 2-1", "alpha-data 2-1", "beta 1-1"}, []string{"alpha 1-1", "beta 1-1"}
			return sc
		},
	}
}

// keep makes the copy that every attempt begins with.
func (sc *scene) keep() {
	if err := os.MkdirAll(sc.repo, 0o755); err != nil {
		sc.t.Fatal(err)
	}
	copyTree(sc.t, sc.repo, sc.seed)
}

// record makes the change on a copy of the repository and returns what it did to the disk.
func (sc *scene) record(fail func(int, change) error) ([]change, error) {
	copyTree(sc.t, sc.seed, sc.repo)
	p := sc.publisher()
	r := &recorder{root: sc.repo, fail: fail}
	p.disk = r
	err := sc.act(p)
	return r.changes, err
}

// isOldOrNew demands that the repository is as before or as after, and tells which.
func (sc *scene) isOldOrNew() {
	sc.t.Helper()
	if !exists(sc.path(arch, target+".db.tar.zst")) {
		files, err := packageFiles(sc.path(arch))
		if len(sc.before) != 0 || len(files) != 0 || err != nil || exists(sc.path(".caur", arch, "journal.json")) {
			sc.t.Errorf("there is no database, but %q: %v", files, err)
		}
		return
	}
	want := sc.before
	if got := sc.versions(); slices.Equal(got, sc.after) {
		want = sc.after
	}
	sc.check(want...)
	sc.checkPair()
}

// checkPair demands that the server's pair is that of the database in the repository.
func (s *station) checkPair() {
	s.t.Helper()
	for _, name := range []string{target + ".db", target + ".db.sig", target + ".files", target + ".files.sig"} {
		pair, err := os.ReadFile(s.path(".caur", arch, "pairs", current, name))
		file, fileErr := os.ReadFile(s.path(arch, name))
		if err != nil || fileErr != nil || string(pair) != string(file) {
			s.t.Errorf("%s of the pair is not that of the repository: %v, %v", name, err, fileErr)
		}
	}
}

// recovered lets a Publisher find the repository as it is in dir after a crash, and demands that it is the old or the
// new one, and when it is done again, the new one.
func (sc *scene) recovered(dir string, again bool) {
	sc.t.Helper()
	s := *sc.station
	after := *sc
	after.station, s.repo, s.o.RepoPath = &s, dir, dir
	if exists(s.path(arch, target+".db")) {
		after.readable(sc.before, sc.after)
	}
	p := after.publisher()
	p.disk = &recorder{root: dir}
	if err := p.Recover(sc.t.Context()); err != nil {
		sc.t.Errorf("recover: %v", err)
	}
	after.isOldOrNew()
	if !again {
		return
	}
	if err := after.act(p); err != nil {
		sc.t.Errorf("again: %v", err)
	}
	after.check(after.after...)
}

// The power is cut after every single change of the disk, and the disk then holds more or less of what was not synced.
func TestThePowerIsCutAnywhere(t *testing.T) {
	for what, make := range scenes(t) {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			sc := make(t)
			sc.keep()
			changes, err := sc.record(nil)
			if err != nil {
				t.Fatal(err)
			}
			sc.check(sc.after...)
			states := sc.cuts(sc.seed, changes, func(dir string, n int) { sc.recovered(dir, n%5 == 0) })
			t.Logf("%d changes, %d different states of the disk", len(changes), states)
			if len(changes) < 40 || states < 20 {
				t.Errorf("only %d changes and %d states: the seam sees not everything", len(changes), states)
			}
		})
	}
}

// The power fails again while the first failure is recovered from.
func TestThePowerIsCutAgainWhileRecovering(t *testing.T) {
	t.Parallel()
	sc := scenes(t)["a publish"](t)
	sc.keep()
	changes, err := sc.record(nil)
	if err != nil {
		t.Fatal(err)
	}
	committed := slices.IndexFunc(changes, func(c change) bool { return c.op == "rename" && filepath.Base(c.path) == "journal.json" })
	disk, err := newPower(sc.seed)
	if err != nil || committed < 0 {
		t.Fatal(committed, err)
	}
	for _, c := range changes[:committed+2] { // and its directory is synced
		disk.do(c)
	}
	halfway := filepath.Join(sc.dir, "halfway")
	_, write := disk.off(lost, nil)
	if err := write(halfway); err != nil {
		t.Fatal(err)
	}
	copyTree(t, halfway, sc.repo)
	p := sc.publisher()
	r := &recorder{root: sc.repo}
	p.disk = r
	if err := p.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	sc.check(sc.after...)
	states := sc.cuts(halfway, r.changes, func(dir string, _ int) { sc.recovered(dir, false) })
	t.Logf("%d changes, %d different states of the disk", len(r.changes), states)
}

// cuts makes the changes one by one, and for every state that the disk may be in after a loss of power behind one of them
// calls try with a directory of that content.
func (sc *scene) cuts(seed string, changes []change, try func(dir string, n int)) (states int) {
	t := sc.t
	t.Helper()
	disk, err := newPower(seed)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	dice := rand.New(rand.NewPCG(1, 2))
	for n := 0; n <= len(changes); n++ {
		for _, how := range []string{lost, namesOnly, some, all} {
			state, write := disk.off(how, dice)
			if seen[state] {
				continue
			}
			seen[state] = true
			dir := filepath.Join(sc.dir, fmt.Sprintf("cut%d", n))
			if err := write(dir); err != nil {
				t.Fatal(err)
			}
			try(dir, len(seen))
			if t.Failed() {
				t.Fatalf("the power was cut after change %d of %d (%s %s): %s", n, len(changes), changes[max(n-1, 0)].op, changes[max(n-1, 0)].path, how)
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
		if n < len(changes) {
			disk.do(changes[n])
		}
	}
	return len(seen)
}

// The disk is full at every single change that may need space, and stays so until somebody makes room.
func TestTheDiskIsFullAtEveryWrite(t *testing.T) {
	needsNone := []string{"remove", "removeAll", "touch"}
	for what, make := range scenes(t) {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			sc := make(t)
			sc.keep()
			changes, err := sc.record(nil)
			if err != nil {
				t.Fatal(err)
			}
			tried := 0
			for n, c := range changes {
				if slices.Contains(needsNone, c.op) {
					continue
				}
				tried++
				_, err := sc.record(func(at int, c change) error {
					if at > n && !slices.Contains(needsNone, c.op) {
						return &fs.PathError{Op: c.op, Path: c.path, Err: syscall.ENOSPC}
					}
					return nil
				})
				if !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("error is %v", err)
				}
				var refused *Refused
				if errors.As(err, &refused) {
					t.Errorf("a full disk is held against the package: %v", err)
				}
				sc.recovered(sc.repo, true)
				if t.Failed() {
					t.Fatalf("the disk was full at change %d: %s %s", n+1, c.op, c.path)
				}
			}
			t.Logf("%d changes that need space", tried)
		})
	}
}
