package interfere

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/diff"
)

// dryRun applies everything to a copy without callbacks, checks the syntax of the outcome, and compares.
func dryRun(ctx context.Context, o Options) (Report, error) {
	temp, err := os.MkdirTemp("", "caur-interfere-")
	if err != nil {
		return Report{}, fmt.Errorf("interfere: %w", err)
	}
	defer os.RemoveAll(temp)
	copied := filepath.Join(temp, "p")
	if err := os.CopyFS(copied, os.DirFS(o.Dir)); err != nil {
		return Report{}, fmt.Errorf("interfere: copy %s: %w", o.Dir, err)
	}
	original := o.Dir
	o.Dir, o.Update, o.RunPrepare = copied, nil, nil
	report, err := apply(ctx, o)
	if err != nil {
		return report, err
	}
	changed, err := readFileIn(copied, "PKGBUILD")
	if err != nil {
		return report, fmt.Errorf("interfere: %w", err)
	}
	if err := checkSyntax("PKGBUILD", changed); err != nil {
		return report, fmt.Errorf("interfere: %s: with everything applied: %w", o.Pkgbase, err)
	}
	report.Diff, err = diffDirs(original, copied)
	return report, err
}

// diffDirs compares all regular files of two package directories.
func diffDirs(before, after string) ([]byte, error) {
	var names []string
	for _, dir := range []string{before, after} {
		err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				names = append(names, name)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("interfere: compare: %w", err)
		}
	}
	slices.Sort(names)
	var out bytes.Buffer
	for _, name := range slices.Compact(names) {
		a, errA := readFileIn(before, name)
		b, errB := readFileIn(after, name)
		if err := firstReal(errA, errB); err != nil {
			return nil, fmt.Errorf("interfere: compare: %w", err)
		}
		switch {
		case bytes.Equal(a, b) && (errA == nil) == (errB == nil):
		case !utf8.Valid(a) && bytes.IndexByte(a, 0) >= 0 || !utf8.Valid(b) && bytes.IndexByte(b, 0) >= 0:
			fmt.Fprintf(&out, "Binary files a/%s and b/%s differ\n", name, name)
		default:
			out.Write(diff.Diff(path.Join("a", name), a, path.Join("b", name), b))
		}
	}
	return out.Bytes(), nil
}

func readFileIn(dir, name string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return readFile(root, name)
}

// firstReal is the first error other than that a file is not there.
func firstReal(errs ...error) error {
	for _, err := range errs {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
