// Package interfere makes every change that a PKGBUILD gets before it is built, in the order of executor.md section 3.
//
// An interference is one such change. Some come with the package, as files in its .CI directory (prepare,
// interfere.patch, PKGBUILD.prepend, PKGBUILD.append) or as a key of .CI/config (CI_PACKAGE_BUMP, CI_PATCH_OPTIONAL);
// others are made to every package: what its name implies is installed, the system is updated, the file gets its last
// newline, -march=native goes.
//
// The package itself runs nothing that comes from a PKGBUILD repository. The steps that must run something (install,
// update, prepare) are handed to callbacks, which only the build container has. In a dry run they are left out, prepare
// is checked for its syntax, and the directory stays as it was.
package interfere

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/caur-build/caur/internal/conf"
)

// DefaultCodeSkip is the status with which prepare skips a build when CI_CODE_SKIP says nothing else.
const DefaultCodeSkip = 123

// maxFile bounds what is read of one file, in bytes.
const maxFile = 10 << 20

// Options says what to work on and how.
type Options struct {
	// Dir is the package directory (PKGBUILD, .CI, local sources). Apply changes its PKGBUILD in place, unless DryRun
	// is set. No link in it is followed to the outside.
	Dir string
	// Pkgbase decides what the name implies (-git: git). "" takes the name of Dir.
	Pkgbase string
	// Bump overrides CI_PACKAGE_BUMP of .CI/config when it is not "".
	Bump string
	// CodeSkip is the status with which prepare asks to skip the build; 0 means DefaultCodeSkip.
	CodeSkip int
	// DryRun changes a copy of Dir and reports what would have changed.
	DryRun bool
	// Update updates the system and installs the packages that the name implies (which may be none). nil: left out.
	Update func(ctx context.Context, implied []string) error
	// RunPrepare runs script, the text of a bash program that sources .CI/prepare, as root with Dir as working
	// directory, and gives its exit status. err is for a program that could not be run. nil: prepare is left out.
	RunPrepare func(ctx context.Context, script string) (exit int, err error)
}

// Step is one interference that was applied.
type Step struct {
	Name   string // prepare, interfere.patch, PKGBUILD.append, …
	Detail string // one line: what it did
}

// Report says what Apply did.
type Report struct {
	Applied []Step
	Notes   []string // what was looked at but not done, and why
	Skip    bool     // prepare asked to skip this build on purpose
	Diff    []byte   // of a dry run: unified diff of every file that would change
}

// Text is the closing list for the log: a line for each interference and note.
func (r Report) Text() string {
	var b strings.Builder
	if len(r.Applied) == 0 {
		b.WriteString("no interference was applied\n")
	}
	for _, s := range r.Applied {
		fmt.Fprintf(&b, "%s: %s\n", s.Name, s.Detail)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	return b.String()
}

// PrepareError is a prepare that ended with a status other than 0 and CodeSkip; the build ends with that status.
type PrepareError struct{ Status int }

func (e *PrepareError) Error() string {
	return fmt.Sprintf(".CI/prepare ended with status %d", e.Status)
}

// ErrPatch is wrapped by the error of an interfere.patch that does not apply while CI_PATCH_OPTIONAL is not true.
var ErrPatch = errors.New("does not apply")

// Apply makes all changes to the package in o.Dir. An error leaves the directory in an undefined state (a dry run never
// touches it) and comes with the report of what was done until then. When prepare skips the build, Report.Skip is set
// and nothing after prepare is done.
func Apply(ctx context.Context, o Options) (Report, error) {
	if o.Pkgbase == "" {
		abs, err := filepath.Abs(o.Dir)
		if err != nil {
			return Report{}, fmt.Errorf("interfere: %w", err)
		}
		o.Pkgbase = filepath.Base(abs)
	}
	if o.CodeSkip == 0 {
		o.CodeSkip = DefaultCodeSkip
	}
	if o.DryRun {
		return dryRun(ctx, o)
	}
	return apply(ctx, o)
}

func apply(ctx context.Context, o Options) (Report, error) {
	root, err := os.OpenRoot(o.Dir)
	if err != nil {
		return Report{}, fmt.Errorf("interfere: %w", err)
	}
	defer root.Close()
	w := &work{Options: o, root: root}
	if w.config, err = readConfig(root); err != nil {
		return Report{}, err
	}
	if _, err := w.read("PKGBUILD"); err != nil {
		return Report{}, fmt.Errorf("interfere: %s: %w", o.Pkgbase, err)
	}
	for _, step := range []func(context.Context) error{
		w.update, w.generic, w.prepare, w.patch, w.prepend, w.append, w.bump,
	} {
		if err := ctx.Err(); err != nil {
			return w.report, fmt.Errorf("interfere: %w", context.Cause(ctx))
		}
		if err := step(ctx); err != nil {
			return w.report, fmt.Errorf("interfere: %s: %w", o.Pkgbase, err)
		}
		if w.report.Skip {
			break
		}
	}
	return w.report, nil
}

// config is what the steps read of .CI/config.
type config struct {
	bump          string
	bumpLine      int
	patchOptional bool
}

const configName = ".CI/config"

func readConfig(root *os.Root) (config, error) {
	data, err := readFile(root, configName)
	if errors.Is(err, fs.ErrNotExist) {
		return config{}, nil
	}
	if err != nil {
		return config{}, fmt.Errorf("interfere: %w", err)
	}
	file := conf.Parse(configName, data)
	var c config
	c.bump, _ = file.Get("CI_PACKAGE_BUMP")
	c.bumpLine = file.Line("CI_PACKAGE_BUMP")
	if text, ok := file.Get("CI_PATCH_OPTIONAL"); ok && text != "" {
		if c.patchOptional, err = conf.Bool(text); err != nil {
			return c, fmt.Errorf("%s:%d: CI_PATCH_OPTIONAL=%q: must be true or false",
				configName, file.Line("CI_PATCH_OPTIONAL"), text)
		}
	}
	return c, nil
}

// readFile reads a regular file within root. A link that leads outside, and anything that is no regular file, is refused.
func readFile(root *os.Root, name string) ([]byte, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is no regular file", name)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s: has %d bytes; more than %d are not read", name, info.Size(), maxFile)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile))
}
