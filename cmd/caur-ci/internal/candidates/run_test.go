package candidates

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/state"
)

// scripted is a source whose answers the test writes.
type scripted struct {
	name    string
	wants   func(string) bool
	prepare func([]*Package) error
	check   func(*Draft) error
}

func (s scripted) Name() string          { return s.name }
func (s scripted) Wants(p *Package) bool { return s.wants == nil || s.wants(p.Pkgbase) }
func (s scripted) Prepare(_ context.Context, list []*Package) error {
	if s.prepare == nil {
		return nil
	}
	return s.prepare(list)
}
func (s scripted) Check(_ context.Context, d *Draft) error { return s.check(d) }

func somePackages(names ...string) []*Package {
	var list []*Package
	for _, name := range names {
		list = append(list, &Package{
			Pkgbase: name, Config: &state.PackageConfig{}, State: &state.PackageState{},
			Files: func(context.Context) (pkgdir.Dir, error) { return pkgdir.Dir{"PKGBUILD": {Data: []byte(name)}}, nil },
		})
	}
	return list
}

func TestOnePackageThatFailsOrPanicsStopsNoOther(t *testing.T) {
	odd := scripted{name: "aur", check: func(d *Draft) error {
		d.Change("aur", "half", pkgdir.Dir{})
		d.State.AURMaintainers = append(d.State.AURMaintainers, "x")
		switch d.Package.Pkgbase {
		case "fails":
			return errors.New("no answer")
		case "panics":
			var none []int
			_ = none[len(d.Package.Pkgbase)]
		}
		return nil
	}}
	after := scripted{name: "vcs", check: func(d *Draft) error { d.Build("vcs", "new commit"); return nil }}
	outcomes, _, err := Run(t.Context(), []Finder{odd, after}, somePackages("fails", "fine", "panics"), 8, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range outcomes {
		line := fmt.Sprintf("%s %v changed=%t maintainers=%d", o.Draft.Package.Pkgbase, o.Draft.Reasons, o.Draft.Changed() != nil, len(o.Draft.State.AURMaintainers))
		for _, f := range o.Faults {
			line += " " + f.Source + ": " + f.Err.Error()
		}
		got = append(got, line)
	}
	got[2] = got[2][:strings.IndexByte(got[2], '(')+len("(at run_test.go:")]
	want := []string{
		"fails [{vcs new commit}] changed=false maintainers=0 aur: no answer",
		"fine [{aur half} {vcs new commit}] changed=true maintainers=1",
		"panics [{vcs new commit}] changed=false maintainers=0 aur: internal error, please report it: runtime error: index out of range [6] with length 0 (at run_test.go:",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestASourceThatCannotBeAskedDisablesOnlyItsOwnChecks(t *testing.T) {
	never := func(*Draft) error { t.Error("it was called"); return nil }
	finders := []Finder{
		scripted{name: "down", prepare: func([]*Package) error { return errors.New("down") }, check: never},
		scripted{name: "panics", prepare: func([]*Package) error { panic("oh") }, check: never},
		scripted{name: "unwanted", wants: func(string) bool { return false }, prepare: func([]*Package) error { t.Error("asked"); return nil }, check: never},
		scripted{name: "fine", wants: func(n string) bool { return n == "b" }, check: func(d *Draft) error { d.Build("fine", "x"); return nil }},
	}
	outcomes, asked, err := Run(t.Context(), finders, somePackages("a", "b"), 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	if asked[0].Err == nil || asked[1].Err == nil || asked[2].Wanted != 0 || asked[3] != (Asked{Source: "fine", Wanted: 1}) {
		t.Errorf("%+v", asked)
	}
	if len(outcomes[0].Draft.Reasons) != 0 || len(outcomes[1].Draft.Reasons) != 1 || len(outcomes[0].Faults) != 0 {
		t.Errorf("%+v", outcomes)
	}
}

// tally is a Watcher that would race if calls came at once.
type tally struct{ lines []string }

func (r *tally) Preparing(source string, wanted int) {
	r.lines = append(r.lines, fmt.Sprint("preparing ", source, wanted))
}
func (r *tally) Prepared(a Asked) {
	r.lines = append(r.lines, fmt.Sprint("prepared ", a.Source, a.Wanted))
}
func (r *tally) Checked(o Outcome) { r.lines = append(r.lines, "checked "+o.Draft.Package.Pkgbase) }

func TestNoMoreThanTheLimitAtOnceAndEachIsTold(t *testing.T) {
	var running, most atomic.Int32
	arrived := make(chan struct{}, 100)
	busy := scripted{name: "s", check: func(*Draft) error {
		now := running.Add(1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		arrived <- struct{}{}
		running.Add(-1)
		return nil
	}}
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("p%02d", i))
	}
	var seen tally
	outcomes, _, err := Run(t.Context(), []Finder{busy}, somePackages(names...), 3, &seen)
	if err != nil || len(arrived) != 50 || most.Load() > 3 {
		t.Errorf("%v: %d checks, %d at once", err, len(arrived), most.Load())
	}
	for i, o := range outcomes {
		if o.Draft.Package.Pkgbase != names[i] {
			t.Fatalf("outcome %d is of %s", i, o.Draft.Package.Pkgbase)
		}
	}
	if slices.Sort(seen.lines); len(seen.lines) != 52 || seen.lines[51] != "preparing s50" {
		t.Error(seen.lines)
	}
}

func TestACancelledRunGivesNothing(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped by hand")
	s := scripted{name: "s", check: func(*Draft) error { cancel(stop); return nil }}
	if outcomes, _, err := Run(ctx, []Finder{s}, somePackages("a", "b", "c"), 1, nil); !errors.Is(err, stop) || outcomes != nil {
		t.Errorf("%v %v", err, outcomes)
	}
}

func TestADraftBeginsAsAnUnchangedCopy(t *testing.T) {
	s, _, err := state.ParsePackageState("a", []byte("CI_GIT_COMMIT="+strings.Repeat("a", 40)+"\nOTHER=kept\n"))
	if err != nil {
		t.Fatal(err)
	}
	p := somePackages("a")[0]
	p.State = s
	d := NewDraft(p)
	d.State.GitCommit = strings.Repeat("b", 40)
	if s.GitCommit == d.State.GitCommit {
		t.Error("the package's own state changed")
	}
	if got := string(d.State.Bytes()); got != "CI_GIT_COMMIT="+strings.Repeat("b", 40)+"\nOTHER=kept\n" {
		t.Errorf("%q", got)
	}
	if d.Changed() != nil {
		t.Error("it has changed already")
	}
	files, err := d.Files(t.Context())
	if err != nil || string(files["PKGBUILD"].Data) != "a" {
		t.Error(files, err)
	}
	d.Change("hook", "why", pkgdir.Dir{})
	if files, err = d.Files(t.Context()); err != nil || len(files) != 0 {
		t.Error("a later source does not see the change:", files, err)
	}
}

func TestADirectoryThatCannotBeReadNamesThePackage(t *testing.T) {
	p := somePackages("a")[0]
	p.Files = func(context.Context) (pkgdir.Dir, error) { return nil, errors.New("damaged") }
	if _, err := NewDraft(p).Files(t.Context()); err == nil || err.Error() != "read the directory of a: damaged" {
		t.Error(err)
	}
}
