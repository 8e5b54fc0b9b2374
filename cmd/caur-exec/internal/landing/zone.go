package landing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/pkg/queue"
)

// Zone is a landing zone on this machine, seen by the receiver.
type Zone struct{ root string }

// NewZone checks that root is a directory, making it if need be.
func NewZone(root string) (*Zone, error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("landing zone: %w", err)
	}
	return &Zone{root: root}, nil
}

// open opens the directory of p, following no link on the way below the root.
func (z *Zone) open(p Place) (*os.File, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	fd, err := unix.Open(z.root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("landing zone: %w", &os.PathError{Op: "open", Path: z.root, Err: err})
	}
	at := z.root
	for _, name := range p.components() {
		at = path.Join(at, name)
		next, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		unix.Close(fd)
		if err != nil {
			if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
				return nil, fmt.Errorf("landing zone: %s is not a directory but a link or file", at)
			}
			return nil, fmt.Errorf("landing zone: %w", &os.PathError{Op: "open", Path: at, Err: err})
		}
		fd = next
	}
	return os.NewFile(uintptr(fd), at), nil
}

// Copy writes the delivered file f of a place to dst, and checks size and hash of the very bytes that it wrote. After an
// error what dst has got must not be used.
func (z *Zone) Copy(ctx context.Context, p Place, f queue.File, dst io.Writer) error {
	if _, err := syncdb.ParseFilename(f.Name); err != nil {
		return err
	}
	dir, err := z.open(p)
	if err != nil {
		return err
	}
	defer dir.Close()
	in, err := openMember(dir, f.Name)
	if err != nil {
		return err
	}
	defer in.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(dst, h), io.LimitReader(&contextReader{ctx, in}, f.Size+1))
	if err != nil {
		return fmt.Errorf("copy %s from the landing zone: %w", f.Name, err)
	}
	if sum := hex.EncodeToString(h.Sum(nil)); n != f.Size || sum != f.SHA256 {
		return &MismatchError{File: f, Size: n, SHA256: sum}
	}
	return nil
}

// MismatchError says that a file in the landing zone is not the one that the builder reported.
type MismatchError struct {
	File   queue.File // as reported
	Size   int64      // as found; one more than reported when there was even more
	SHA256 string
}

func (e *MismatchError) Error() string {
	if e.Size != e.File.Size {
		return fmt.Sprintf("%s in the landing zone has not the %d bytes that the builder reported", e.File.Name, e.File.Size)
	}
	return fmt.Sprintf("%s in the landing zone has SHA-256 %s, the builder reported %s", e.File.Name, e.SHA256, e.File.SHA256)
}

// RefusedError says that what is in the landing zone is nothing that may be published.
type RefusedError struct{ Path, Reason string }

func (e *RefusedError) Error() string { return fmt.Sprintf("landing zone: %s %s", e.Path, e.Reason) }

func openMember(dir *os.File, name string) (*os.File, error) {
	at := path.Join(dir.Name(), name)
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, &RefusedError{at, "is a link"}
	}
	if err != nil {
		return nil, fmt.Errorf("landing zone: %w", &os.PathError{Op: "open", Path: at, Err: err})
	}
	f := os.NewFile(uintptr(fd), at)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		f.Close()
		return nil, fmt.Errorf("landing zone: %w", &os.PathError{Op: "stat", Path: at, Err: err})
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		f.Close()
		return nil, &RefusedError{at, "is no regular file"}
	case st.Nlink != 1:
		f.Close()
		return nil, &RefusedError{at, "has a second name (hard link)"}
	}
	return f, nil
}

// Remove removes the directory of a place and its parents as far as they are empty. A place that is not there is no
// error.
func (z *Zone) Remove(p Place) error {
	if err := p.Check(); err != nil {
		return err
	}
	root, err := os.OpenRoot(z.root)
	if err != nil {
		return fmt.Errorf("landing zone: %w", err)
	}
	defer root.Close()
	if err := root.RemoveAll(p.Dir()); err != nil {
		return fmt.Errorf("landing zone: %w", err)
	}
	removeEmpty(root, path.Dir(p.Dir()))
	return nil
}

func removeEmpty(root *os.Root, dir string) {
	for ; dir != "." && dir != "/"; dir = path.Dir(dir) {
		if root.Remove(dir) != nil {
			return
		}
	}
}
