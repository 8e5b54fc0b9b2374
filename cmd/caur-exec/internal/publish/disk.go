package publish

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// disk is how this package changes files: everything it writes, moves, removes and syncs goes through here, and nothing
// else does, so that tests record the order of changes, cut the power after each, and let the disk be full at each.
type disk interface {
	// Create makes an empty file, or empties the one that is there.
	Create(path string) (diskFile, error)
	Mkdir(path string) error // its parent exists
	Rename(from, to string) error
	Link(from, to string) error // a second name of a file
	Symlink(target, path string) error
	Touch(path string, at time.Time) error // set the time of the last change
	Remove(path string) error
	RemoveAll(path string) error
	// Sync returns when the content of the file, or the names in the directory, survive a loss of power.
	Sync(path string) error
}

type diskFile interface {
	io.WriteCloser
	Sync() error
}

// osDisk is the real one.
type osDisk struct{}

func (osDisk) Create(path string) (diskFile, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
}
func (osDisk) Mkdir(path string) error               { return os.Mkdir(path, 0o755) }
func (osDisk) Rename(from, to string) error          { return os.Rename(from, to) }
func (osDisk) Link(from, to string) error            { return os.Link(from, to) }
func (osDisk) Symlink(target, path string) error     { return os.Symlink(target, path) }
func (osDisk) Touch(path string, at time.Time) error { return os.Chtimes(path, at, at) }
func (osDisk) Remove(path string) error              { return os.Remove(path) }
func (osDisk) RemoveAll(path string) error           { return os.RemoveAll(path) }

func (osDisk) Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// create writes a file through write and syncs it. After an error it is not there.
func (p *Publisher) create(path string, write func(io.Writer) error) error {
	f, err := p.disk.Create(path)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = p.disk.Remove(path)
	}
	return err
}

// mkdir makes a directory, and those above it, so that they survive a loss of power.
func (p *Publisher) mkdir(path string) error {
	if exists(path) {
		return nil
	}
	if err := p.mkdir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := p.disk.Mkdir(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return p.disk.Sync(filepath.Dir(path))
}

// remove removes a file; one that is not there is no error.
func (p *Publisher) remove(path string) error {
	if !exists(path) {
		return nil
	}
	if err := p.disk.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
