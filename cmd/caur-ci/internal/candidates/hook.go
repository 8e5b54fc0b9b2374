package candidates

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"

	"github.com/caur-build/caur/internal/childproc"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/srcinfo"
)

const (
	hookPath    = ".CI/update.sh"
	hookTimeout = 5 * time.Minute
	hookTail    = 1_500 // bytes of a failing hook's output that are shown
)

// HookOptions of NewHook.
type HookOptions struct {
	// Has says whether a package has a .CI/update.sh, from the list of the repository's files: reading the directories of
	// all packages to find out would take most of a run. nil: none has.
	Has       func(pkgbase string) bool
	TempDir   string        // "": the system's
	Timeout   time.Duration // of one hook; 0: 5 minutes
	GitIgnore []byte        // the repository's .gitignore: new files that it names are left behind, as git add would
}

// Hook runs each package's .CI/update.sh (pipeline.md section 5.7) in a copy of the package directory, and takes over
// what it changed there, .CI/config included.
//
// The script belongs to the owner of the repository (.CI never comes from a remote), so it is run where no PKGBUILD
// ever is. It gets no more than it needs all the same: a home of its own, and an environment without any secret.
type Hook struct{ o HookOptions }

// NewHook makes the source.
func NewHook(o HookOptions) *Hook { return &Hook{o} }

// Name is SourceHook.
func (*Hook) Name() string { return SourceHook }

// Wants packages that have a hook.
func (h *Hook) Wants(p *Package) bool { return h.o.Has != nil && h.o.Has(p.Pkgbase) }

// Prepare has nothing to ask.
func (*Hook) Prepare(context.Context, []*Package) error { return nil }

// Check runs the hook.
func (h *Hook) Check(ctx context.Context, d *Draft) error {
	before, err := d.Files(ctx)
	if err != nil {
		return err
	}
	if hook, there := before[hookPath]; !there || hook.Kind == pkgdir.Link {
		return nil
	}
	scratch, err := os.MkdirTemp(h.o.TempDir, "update-")
	if err != nil {
		return fmt.Errorf("make a folder for %s: %w", hookPath, err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	dir := filepath.Join(scratch, "work", d.Package.Pkgbase)
	if err := before.Write(dir); err != nil {
		return fmt.Errorf("copy the package for %s: %w", hookPath, err)
	}
	if err := h.run(ctx, d.Package.Pkgbase, scratch, dir); err != nil {
		return err
	}
	if err := h.dropIgnored(dir, before); err != nil {
		return fmt.Errorf("look at what %s left: %w", hookPath, err)
	}
	after, err := pkgdir.Read(dir)
	if err != nil {
		return fmt.Errorf("look at what %s left: %w", hookPath, err)
	}
	if _, there := after["PKGBUILD"]; !there {
		return fmt.Errorf("%s left no PKGBUILD", hookPath)
	}
	if !after.Equal(before) {
		d.Change(SourceHook, hookReason(before, after), after)
	}
	return nil
}

func (h *Hook) run(ctx context.Context, pkgbase, scratch, dir string) error {
	home, temp := filepath.Join(scratch, "home"), filepath.Join(scratch, "tmp")
	for _, folder := range []string{home, temp} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			return fmt.Errorf("make a folder for %s: %w", hookPath, err)
		}
	}
	limit := h.o.Timeout
	if limit <= 0 {
		limit = hookTimeout
	}
	tooLong := fmt.Errorf("not done within %s", limit)
	timed, cancel := context.WithTimeoutCause(ctx, limit, tooLong)
	defer cancel()
	var said tail
	err := childproc.Run(timed, childproc.Cmd{
		Path: "bash", Args: []string{hookPath}, Dir: dir,
		Env:    hookEnv("HOME="+home, "TMPDIR="+temp, "PACKAGE="+pkgbase),
		Stdout: &said, Stderr: &said,
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case timed.Err() != nil:
		return fmt.Errorf("%s: %w%s", hookPath, tooLong, said.lines())
	}
	var exit *childproc.ExitError
	if errors.As(err, &exit) && exit.Signal == 0 {
		return fmt.Errorf("%s failed with exit status %d%s", hookPath, exit.Code, said.lines())
	} else if exit != nil {
		return fmt.Errorf("%s was ended by signal %q%s", hookPath, exit.Signal, said.lines())
	}
	return fmt.Errorf("run %s: %w", hookPath, err)
}

// hookEnv leaves out a proxy whose address has a password: a hook needs none of ours.
func hookEnv(extra ...string) []string {
	var env []string
	for _, setting := range childproc.MinimalEnv(extra...) {
		name, value, _ := strings.Cut(setting, "=")
		if strings.HasSuffix(strings.ToLower(name), "_proxy") && strings.Contains(value, "@") {
			continue
		}
		env = append(env, setting)
	}
	return env
}

// dropIgnored removes what the hook made and git would not add: downloads, build folders.
func (h *Hook) dropIgnored(dir string, before pkgdir.Dir) error {
	patterns := ignorePatterns(h.o.GitIgnore)
	patterns = append(patterns, ignorePatterns(before[".gitignore"].Data)...)
	if len(patterns) == 0 {
		return nil
	}
	ours := map[string]bool{}
	for _, name := range before.Paths() {
		for ; name != "."; name = filepath.Dir(name) {
			ours[name] = true
		}
	}
	matcher := gitignore.NewMatcher(patterns)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // a directory
	return fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." || ours[name] || !matcher.Match(strings.Split(name, "/"), entry.IsDir()) {
			return err
		}
		if err := root.RemoveAll(name); err != nil {
			return err
		}
		if entry.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}

func ignorePatterns(text []byte) []gitignore.Pattern {
	var list []gitignore.Pattern
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		if line != "" && !strings.HasPrefix(line, "#") {
			list = append(list, gitignore.ParsePattern(line, nil))
		}
	}
	return list
}

// hookReason is the step of the version, or else the files that changed.
func hookReason(before, after pkgdir.Dir) string {
	older, newer := versionOf(before), versionOf(after)
	if older != "" && newer != "" && older != newer {
		return older + " → " + newer
	}
	var names []string
	for i, change := range pkgdir.Diff(before, after) {
		if i == 4 {
			names = append(names, "…")
			break
		}
		names = append(names, change.Path)
	}
	return hookPath + " changed " + strings.Join(names, ", ")
}

// versionOf is the version that .SRCINFO says, "" where it cannot be read.
func versionOf(files pkgdir.Dir) string {
	info, _, err := srcinfo.Parse(srcinfoName, files[srcinfoName].Data)
	if err != nil {
		return ""
	}
	return info.Version()
}

// tail keeps the end of what is written to it.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*hookTail {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-hookTail:]...)
	}
	return len(p), nil
}

// lines are the last lines, safe to print, each on a line of its own.
func (t *tail) lines() string {
	text := bytes.ToValidUTF8(t.kept, []byte("?"))
	if len(text) > hookTail {
		text = text[len(text)-hookTail:]
	}
	text = bytes.TrimSpace(bytes.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, text))
	if len(text) == 0 {
		return ""
	}
	return "; it said last:\n  " + strings.ReplaceAll(string(text), "\n", "\n  ")
}
