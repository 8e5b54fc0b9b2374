package pkgdir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Read reads a directory of a file system. A directory called .git is passed over; anything but files, directories and
// links is an *Error, as is all that Add refuses.
func Read(dir string) (Dir, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // nothing was written
	d := Dir{}
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if gitName(entry.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		f, err := readFile(root, name, entry)
		if err != nil {
			return err
		}
		return d.Add(name, f)
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", dir, err)
	}
	return d, nil
}

func readFile(root *os.Root, name string, entry fs.DirEntry) (File, error) {
	if entry.Type() == fs.ModeSymlink {
		target, err := root.Readlink(name)
		return File{Link, []byte(target)}, err
	}
	if !entry.Type().IsRegular() {
		return File{}, &Error{name, "is neither a file nor a link"}
	}
	f, err := root.Open(name)
	if err != nil {
		return File{}, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	info, err := f.Stat()
	if err != nil {
		return File{}, err
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	kind := Regular
	if info.Mode()&0o100 != 0 {
		kind = Executable
	}
	return File{kind, data}, err
}

// Write writes the directory below dir, which is made when it is not there; files that are there already are an error.
// Modes are 0644 and 0755.
func (d Dir) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // a directory
	for _, name := range d.Paths() {
		if err := writeFile(root, name, d[name]); err != nil {
			return fmt.Errorf("write %s: %w", filepath.Join(dir, filepath.FromSlash(name)), err)
		}
	}
	return nil
}

func writeFile(root *os.Root, name string, f File) error {
	if parent := filepath.Dir(name); parent != "." {
		if err := root.MkdirAll(parent, 0o755); err != nil {
			return err
		}
	}
	if f.Kind == Link {
		return root.Symlink(string(f.Data), name)
	}
	mode := fs.FileMode(0o644)
	if f.Kind == Executable {
		mode = 0o755
	}
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(f.Data)
	return errors.Join(err, file.Close())
}
