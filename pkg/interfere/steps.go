package interfere

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

	"github.com/caur-build/caur/internal/childproc"
)

// patchLimit bounds one run of patch(1).
const patchLimit = time.Minute

// work is one Apply on its way.
type work struct {
	Options
	root   *os.Root
	config config
	report Report
}

func (w *work) applied(name, format string, args ...any) {
	w.report.Applied = append(w.report.Applied, Step{Name: name, Detail: fmt.Sprintf(format, args...)})
}

func (w *work) note(format string, args ...any) {
	w.report.Notes = append(w.report.Notes, fmt.Sprintf(format, args...))
}

func (w *work) read(name string) ([]byte, error) { return readFile(w.root, name) }

// optional reads a file that need not be there.
func (w *work) optional(name string) (data []byte, ok bool, err error) {
	data, err = w.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	return data, err == nil, err
}

// write replaces the PKGBUILD by a new file, so that neither a link nor a second name of the old one is written through.
// The owner is kept: makepkg writes the outcome of pkgver() into the file as the build user.
func (w *work) write(data []byte) error {
	const name, temp = "PKGBUILD", ".PKGBUILD.caur"
	if err := w.root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := w.root.WriteFile(temp, data, 0o644); err != nil {
		return err
	}
	if uid, gid, ok := ownerOf(w.root, "."); ok && os.Geteuid() == 0 {
		if err := w.root.Lchown(temp, uid, gid); err != nil {
			return err
		}
	}
	return w.root.Rename(temp, name)
}

// update installs what the name implies together with the update of the system: one transaction, so that nothing is
// installed against libraries of another day.
func (w *work) update(ctx context.Context) error {
	var texts [][]byte
	for _, name := range []string{"PKGBUILD", ".CI/PKGBUILD.prepend", ".CI/PKGBUILD.append"} {
		data, ok, err := w.optional(name)
		if err != nil {
			return err
		}
		if ok {
			texts = append(texts, data)
		}
	}
	implied := ImpliedPackages(w.Pkgbase, bytes.Join(texts, []byte("\n")))
	if len(implied) > 0 {
		w.applied("implied packages", "%s", strings.Join(implied, " "))
	}
	if w.Update == nil {
		w.note("the system is not updated and nothing is installed: there is no container around")
		return nil
	}
	if err := w.Update(ctx, implied); err != nil {
		return fmt.Errorf("update the system: %w", err)
	}
	return nil
}

// generic gives the file exactly one newline at its end and removes -march=native, which would build for the builder's
// own processor.
func (w *work) generic(context.Context) error {
	old, err := w.read("PKGBUILD")
	if err != nil {
		return err
	}
	data := append(bytes.TrimRight(old, "\n"), '\n')
	if !bytes.Equal(data, old) {
		w.applied("generic", "one newline at the end of the file")
	}
	if n := bytes.Count(data, []byte("-march=native")); n > 0 {
		data = bytes.ReplaceAll(data, []byte("-march=native"), nil)
		w.applied("generic", "-march=native removed (%d times)", n)
	}
	if bytes.Equal(data, old) {
		return nil
	}
	return w.write(data)
}

// prepareScript is what RunPrepare gets. The command of $CAUR_PUSH is evaluated by a shell of its own without pipefail:
// `yes | pacman -S x` must not fail because yes dies of SIGPIPE.
const prepareScript = `set -euo pipefail
caur_push() { bash -c "$*"; }
export -f caur_push
export CAUR_PUSH=caur_push CI_CODE_SKIP=%d
source ./.CI/prepare
`

func (w *work) prepare(ctx context.Context) error {
	const name = ".CI/prepare"
	data, ok, err := w.optional(name)
	if err != nil || !ok {
		return err
	}
	if err := checkSyntax(name, data); err != nil {
		return err
	}
	if w.RunPrepare == nil {
		w.note("%s is not run: there is no container around; its syntax is fine", name)
		return nil
	}
	exit, err := w.RunPrepare(ctx, fmt.Sprintf(prepareScript, w.CodeSkip))
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	case exit == w.CodeSkip:
		w.report.Skip = true
		w.applied("prepare", "skips this build (status %d)", exit)
	case exit != 0:
		return &PrepareError{Status: exit}
	default:
		w.applied("prepare", "ended with status 0")
	}
	return nil
}

// patch applies .CI/interfere.patch to the package directory. It is tried on a copy first, so that a patch that does not
// apply leaves nothing half-done where CI_PATCH_OPTIONAL allows it to fail.
func (w *work) patch(ctx context.Context) error {
	const name = ".CI/interfere.patch"
	data, ok, err := w.optional(name)
	if err != nil || !ok {
		return err
	}
	trial, err := os.MkdirTemp("", "caur-patch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(trial)
	dir := filepath.Join(trial, "p")
	if err := os.CopyFS(dir, os.DirFS(w.Dir)); err != nil {
		return fmt.Errorf("%s: copy the package: %w", name, err)
	}
	if err := runPatch(ctx, dir, data); err != nil {
		if !errors.Is(err, ErrPatch) || !w.config.patchOptional {
			return fmt.Errorf("%s: %w", name, err)
		}
		w.note("%s: %v; CI_PATCH_OPTIONAL=true allows that", name, err)
		return nil
	}
	if err := runPatch(ctx, w.Dir, data); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	w.applied("interfere.patch", "applied with -p1 in the package directory")
	return nil
}

// runPatch calls patch(1) with the format given, never guessed: of a text that looks like an ed script older versions
// run commands.
func runPatch(ctx context.Context, dir string, text []byte) error {
	format := "--context"
	if bytes.HasPrefix(text, []byte("@@ ")) || bytes.Contains(text, []byte("\n@@ ")) {
		format = "--unified"
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patchLimit, fmt.Errorf("patch took longer than %v", patchLimit))
	defer cancel()
	var out bytes.Buffer
	err := childproc.Run(ctx, childproc.Cmd{
		Path: "patch",
		Args: []string{"-p1", format, "--forward", "--batch", "--no-backup-if-mismatch", "--reject-file=-"},
		Dir:  dir, Env: childproc.MinimalEnv("LC_ALL=C"),
		Stdin: bytes.NewReader(text), Stdout: &out, Stderr: &out,
	})
	var exit *childproc.ExitError
	if errors.As(err, &exit) && exit.Cause == nil && exit.Code > 0 {
		return fmt.Errorf("%w: %s", ErrPatch, lastLines(out.String(), 6))
	}
	return err
}

// lastLines keeps the last n lines of a program's output, on one line, without control characters.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.Join(lines, "; "))
}

func (w *work) prepend(context.Context) error { return w.join("PKGBUILD.prepend", true) }
func (w *work) append(context.Context) error  { return w.join("PKGBUILD.append", false) }

func (w *work) join(name string, before bool) error {
	part, ok, err := w.optional(".CI/" + name)
	if err != nil || !ok {
		return err
	}
	data, err := w.read("PKGBUILD")
	if err != nil {
		return err
	}
	first, second := data, part
	if before {
		first, second = part, data
	}
	joined := withNewline(withNewline(nil, first), second)
	if err := w.write(joined); err != nil {
		return err
	}
	w.applied(name, "%d lines", bytes.Count(withNewline(nil, part), []byte("\n")))
	return nil
}

// withNewline appends more to data and ends it with a newline.
func withNewline(data, more []byte) []byte {
	data = append(data, more...)
	if len(data) > 0 && data[len(data)-1] != '\n' {
		data = append(data, '\n')
	}
	return data
}

func (w *work) bump(context.Context) error {
	text, where := w.Bump, "CI_PACKAGE_BUMP"
	if text == "" {
		text, where = w.config.bump, fmt.Sprintf("%s:%d: CI_PACKAGE_BUMP", configName, w.config.bumpLine)
	}
	if text == "" {
		return nil
	}
	b, err := parseBump(text)
	if err != nil {
		return fmt.Errorf("%s=%q: %w", where, text, err)
	}
	data, err := w.read("PKGBUILD")
	if err != nil {
		return err
	}
	if err := w.write(append(withNewline(nil, data), b.shell()...)); err != nil {
		return err
	}
	w.applied("CI_PACKAGE_BUMP", "%s", b)
	return nil
}
