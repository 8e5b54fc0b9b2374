package candidates

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/caur-build/caur/cmd/caur-ci/internal/download"
	"github.com/caur-build/caur/cmd/caur-ci/internal/upstream"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/srcinfo"
	"github.com/caur-build/caur/pkg/state"
)

// NVCheckerMode says who looks for new versions.
type NVCheckerMode string

// The modes. Auto looks for what it can by itself and leaves the rest to the program, if that is installed.
const (
	NVCheckerAuto    NVCheckerMode = "auto"
	NVCheckerNative  NVCheckerMode = "native"
	NVCheckerProgram NVCheckerMode = "program"
)

const (
	programName    = "nvchecker"
	programTimeout = 5 * time.Minute
	readParallel   = 8 // directories read at once
)

// NVCheckerOptions of NewNVChecker.
type NVCheckerOptions struct {
	Web     *download.Client
	Mode    NVCheckerMode   // "": auto
	KeyFile settings.Secret // the text of nvchecker's keyfile.toml; may be empty
	Review  bool            // CI_NVCHECKER_REVIEW
	TempDir string          // for the program's files; "": the system's
	Program string          // "": nvchecker, found in PATH
	Timeout time.Duration   // of the program, for all packages together; 0: 5 minutes
}

// NVChecker finds new versions of packages with CI_NVCHECKER (pipeline.md section 5.4).
//
// Only packages that are kept by hand (custom) are checked: an nvchecker file may run commands (source cmd), so one that
// the AUR or a git remote wrote is no file to follow.
type NVChecker struct {
	o     NVCheckerOptions
	check upstream.Checker
	tasks map[string]*task // by pkgbase, since Prepare
}

// task is what is to be found out for one package.
type task struct {
	entry  upstream.Entry
	native bool
	note   string // why nothing is asked; else ""
	found  upstream.Result
	err    error
}

// NewNVChecker makes the source. The error is a mode that does not exist, or a key file that cannot be read.
func NewNVChecker(o NVCheckerOptions) (*NVChecker, error) {
	switch o.Mode {
	case "":
		o.Mode = NVCheckerAuto
	case NVCheckerAuto, NVCheckerNative, NVCheckerProgram:
	default:
		return nil, fmt.Errorf("there is no way %q to run nvchecker: auto, native and program are", o.Mode)
	}
	if o.Program == "" {
		o.Program = programName
	}
	if o.Timeout <= 0 {
		o.Timeout = programTimeout
	}
	keys, err := upstream.ParseKeys(o.KeyFile)
	if err != nil {
		return nil, err
	}
	return &NVChecker{o: o, check: upstream.Checker{Web: o.Web, Keys: keys}}, nil
}

// Name is SourceNVChecker.
func (*NVChecker) Name() string { return SourceNVChecker }

// Wants packages with CI_NVCHECKER.
func (*NVChecker) Wants(p *Package) bool { return p.Config.NVChecker }

// Prepare reads what is to be checked and runs the program once for all packages that need it.
func (n *NVChecker) Prepare(ctx context.Context, packages []*Package) error {
	tasks := make([]*task, len(packages))
	var group errgroup.Group
	group.SetLimit(readParallel)
	for i, p := range packages {
		group.Go(func() error {
			tasks[i] = n.task(ctx, p)
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return context.Cause(ctx)
	}
	n.tasks = make(map[string]*task, len(packages))
	left := map[string]*task{}
	for i, p := range packages {
		t := tasks[i]
		n.tasks[p.Pkgbase] = t
		if t.err == nil && t.note == "" && !t.native {
			left[p.Pkgbase] = t
		}
	}
	if len(left) == 0 {
		return nil
	}
	return n.runProgram(ctx, left)
}

// task reads the nvchecker file of a package and decides who checks it.
func (n *NVChecker) task(ctx context.Context, p *Package) *task {
	kind := p.Config.Source.Kind
	if kind != state.SourceCustom && kind != state.SourceUnset {
		return &task{note: fmt.Sprintf("CI_NVCHECKER does nothing here: new versions come from %s (CI_PKGBUILD_SOURCE)", kind)}
	}
	files, err := p.Files(ctx)
	if err != nil {
		return &task{err: err}
	}
	name, data, err := nvcheckerFile(files)
	if err != nil {
		return &task{err: err}
	}
	t := &task{}
	if t.entry, t.err = upstream.ParseEntry(name, data, p.Pkgbase); t.err != nil {
		return t
	}
	reason := upstream.Supports(t.entry)
	t.native = n.o.Mode != NVCheckerProgram && reason == nil
	switch {
	case t.native:
	case n.o.Mode == NVCheckerNative:
		t.note = fmt.Sprintf("%s: only the program nvchecker can check %s, and it is not to be used", name, reason)
	case t.entry.Source() == "combiner":
		t.err = fmt.Errorf("%s: source combiner cannot be used: it joins several tables, and a package has one", name)
	default:
		if _, err := exec.LookPath(n.o.Program); err != nil {
			t.note = fmt.Sprintf("%s is not checked: only the program nvchecker can (%v), and it is not installed", name, reason)
			if reason == nil {
				t.note = name + " is not checked: the program nvchecker is not installed"
			}
		}
	}
	return t
}

// nvcheckerFile finds the file, in today's order.
func nvcheckerFile(files pkgdir.Dir) (name string, data []byte, err error) {
	for _, name := range []string{"nvchecker.toml", ".nvchecker.toml"} {
		if _, there := files[name]; there {
			f, err := regularFile(files, name)
			return name, f.Data, err
		}
	}
	return "", nil, errors.New("CI_NVCHECKER is set, but there is neither nvchecker.toml nor .nvchecker.toml")
}

// Check compares the newest version with pkgver.
func (n *NVChecker) Check(ctx context.Context, d *Draft) error {
	t := n.tasks[d.Package.Pkgbase]
	switch {
	case t == nil:
		return errors.New("it was not prepared")
	case t.err != nil:
		return t.err
	case t.note != "":
		d.Note(SourceNVChecker, "%s", t.note)
		return nil
	}
	found := t.found
	if t.native {
		var err error
		if found, err = n.check.Newest(ctx, t.entry); err != nil {
			return err
		}
	}
	return n.compare(ctx, d, found)
}

func (n *NVChecker) compare(ctx context.Context, d *Draft, found upstream.Result) error {
	info := d.Package.Info
	if info == nil {
		return errors.New("there is no .SRCINFO to compare the newest version with: make one with makepkg --printsrcinfo")
	}
	pkgver, err := pkgverOf(found.Version)
	switch {
	case err != nil:
		return err
	case found.Version == info.Pkgver || pkgver == info.Pkgver:
		return nil
	case srcinfo.Vercmp(pkgver, info.Pkgver) < 0:
		d.Note(SourceNVChecker, "the newest version %s is older than pkgver %s: nothing is changed", pkgver, info.Pkgver)
		return nil
	}
	files, err := d.Files(ctx)
	if err != nil {
		return err
	}
	next, err := n.update(ctx, files, pkgver, found.Revision)
	if err != nil {
		return fmt.Errorf("update to %s: %w", pkgver, err)
	}
	d.Change(SourceNVChecker, info.Version()+" → "+versionOf(next), next)
	if n.o.Review {
		d.ReviewBecause = "found by nvchecker"
	}
	return nil
}

func (n *NVChecker) update(ctx context.Context, files pkgdir.Dir, pkgver, revision string) (pkgdir.Dir, error) {
	recipe, err := parseRecipe(files)
	if err != nil {
		return nil, err
	}
	edit := VersionEdit{Pkgver: pkgver, Pkgrel: "1"}
	if fullCommit.MatchString(revision) {
		edit.Commit = pinned(recipe, revision)
	} else if pinned(recipe, "any") != "" {
		return nil, errors.New("the PKGBUILD pins _commit, but this check says no commit: use source git in the nvchecker file")
	}
	return newVersion(ctx, n.o.Web, files, edit)
}
