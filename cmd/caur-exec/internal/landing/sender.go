package landing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/pkg/queue"
)

// Sender puts the packages of one job into the landing zone.
type Sender interface {
	// Put sends the file at localFile as name, which must be a legal package file name, and returns what belongs into
	// the job's result. It may be called again with the same arguments, after an error too: what is there already is
	// not sent twice. The local sender moves the file; SFTP leaves it.
	Put(ctx context.Context, localFile, name string) (queue.File, error)
	// Check says whether a file could be put, without one: nil, or what is wrong and what to do.
	Check(ctx context.Context) error
	// Close releases the connection. It removes nothing.
	Close() error
}

// tempName is the name of a file while it is uploaded.
func tempName(name string) string { return "." + name + ".part" }

type local struct{ root, dir string }

// NewLocal makes the sender for a landing zone on this machine, at root.
func NewLocal(root string, p Place) (Sender, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	return &local{root: root, dir: filepath.Join(root, filepath.FromSlash(p.Dir()))}, nil
}

func (l *local) Close() error { return nil }

func (l *local) Put(ctx context.Context, localFile, name string) (queue.File, error) {
	if _, err := syncdb.ParseFilename(name); err != nil {
		return queue.File{}, err
	}
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return queue.File{}, fmt.Errorf("make place in the landing zone: %w", err)
	}
	final := filepath.Join(l.dir, name)
	f, err := describe(ctx, localFile, name)
	if errors.Is(err, os.ErrNotExist) {
		if done, doneErr := describe(ctx, final, name); doneErr == nil {
			return done, nil // moved by an earlier call
		}
	}
	if err != nil {
		return queue.File{}, err
	}
	err = os.Rename(localFile, final)
	if errors.Is(err, syscall.EXDEV) {
		err = l.copy(ctx, localFile, name)
	}
	if err != nil {
		return queue.File{}, fmt.Errorf("move %s to the landing zone: %w", name, err)
	}
	if err := os.Chmod(final, 0o644); err != nil {
		return queue.File{}, fmt.Errorf("move %s to the landing zone: %w", name, err)
	}
	return f, syncDir(l.dir)
}

func (l *local) copy(ctx context.Context, localFile, name string) error {
	in, err := openRegular(localFile)
	if err != nil {
		return err
	}
	defer in.Close()
	tmp := filepath.Join(l.dir, tempName(name))
	out, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, &contextReader{ctx, in}); err == nil {
		err = out.Sync()
	}
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		os.Remove(tmp)
		return err
	}
	if err := os.Rename(tmp, filepath.Join(l.dir, name)); err != nil {
		return err
	}
	return os.Remove(localFile)
}

// describe reads a finished package for its size and hash. No link is followed: a build could have left one to a file
// that it may not read.
func describe(ctx context.Context, file, name string) (queue.File, error) {
	f, err := openRegular(file)
	if err != nil {
		return queue.File{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, &contextReader{ctx, f})
	if err != nil {
		return queue.File{}, fmt.Errorf("read %s: %w", file, err)
	}
	if n == 0 {
		return queue.File{}, fmt.Errorf("%s is empty", file)
	}
	return queue.File{Name: name, Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}

func openRegular(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, syscall.ELOOP) {
			return nil, fmt.Errorf("%s is a link", file)
		}
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", file)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// contextReader ends a copy when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(b []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(b)
}
