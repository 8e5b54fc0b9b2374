package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/caur-build/caur/pkg/pkgdir"
)

// WorkTree gives the files as they lie in the work tree, committed or not; ErrNoWorkTree for a bare repository.
func (r *Repo) WorkTree() (Files, error) {
	if r.workTree == "" {
		return nil, fmt.Errorf("%s: %w", r.Dir(), ErrNoWorkTree)
	}
	entries, err := os.ReadDir(r.workTree)
	if err != nil {
		return nil, fmt.Errorf("read the work tree: %w", err)
	}
	w := &workTree{top: r.workTree}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			w.dirs = append(w.dirs, e.Name())
		}
	}
	sorted(w.dirs)
	return w, nil
}

// workTree reads files below top. It asks the system directly: os.ReadFile costs three times the CPU on thousands of
// small files.
type workTree struct {
	top  string
	dirs []string
}

func (w *workTree) Dirs() []string { return w.dirs }

func (w *workTree) Has(ctx context.Context, dirs []string, file string) ([]bool, error) {
	has := make([]bool, len(dirs))
	err := w.each(ctx, len(dirs), func() func(top, i int) error {
		return func(top, i int) error {
			var info unix.Stat_t
			err := unix.Fstatat(top, dirs[i]+"/"+file, &info, unix.AT_SYMLINK_NOFOLLOW)
			if err == nil {
				has[i] = info.Mode&unix.S_IFMT == unix.S_IFREG
				return nil
			}
			return unlessAbsent(err, dirs[i]+"/"+file)
		}
	})
	return has, err
}

func (w *workTree) Read(ctx context.Context, paths []string, got func(i int, data []byte) error) error {
	return w.each(ctx, len(paths), func() func(top, i int) error {
		buf := make([]byte, 64<<10)
		return func(top, i int) error {
			data, ok, err := readAt(top, paths[i], buf)
			if err != nil || !ok {
				return err
			}
			buf = data[:cap(data)]
			return got(i, data)
		}
	})
}

func (w *workTree) Dir(_ context.Context, dir string) (pkgdir.Dir, error) {
	return pkgdir.Read(filepath.Join(w.top, dir))
}

// each calls the functions that worker returns, one a goroutine, for all of 0…n-1.
func (w *workTree) each(ctx context.Context, n int, worker func() func(top, i int) error) error {
	top, err := unix.Open(w.top, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("read the work tree %s: %w", w.top, err)
	}
	defer func() { _ = unix.Close(top) }()
	var next atomic.Int64
	const stride = 32
	group, ctx := errgroup.WithContext(ctx)
	for range min(runtime.GOMAXPROCS(0), (n+stride-1)/stride) {
		do := worker()
		group.Go(func() error {
			for {
				begin := int(next.Add(stride)) - stride
				if begin >= n {
					return nil
				}
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				for i := begin; i < min(begin+stride, n); i++ {
					if err := do(top, i); err != nil {
						return err
					}
				}
			}
		})
	}
	return group.Wait()
}

// readAt reads a regular file into buf, or into a larger one. O_NONBLOCK: a named pipe must not hold us up.
func readAt(top int, path string, buf []byte) (data []byte, ok bool, err error) {
	fd, err := openBelow(top, path)
	if err != nil {
		return nil, false, unlessAbsent(err, path)
	}
	defer func() { _ = unix.Close(fd) }()
	n := 0
	for {
		if n == len(buf) {
			if n > maxObject {
				return nil, false, fmt.Errorf("%s: it has more than the %d bytes that are read", path, maxObject)
			}
			buf = append(buf, make([]byte, 3*n)...)
		}
		m, err := unix.Read(fd, buf[n:])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EISDIR), errors.Is(err, unix.EAGAIN):
			return nil, false, nil
		case err != nil:
			return nil, false, fmt.Errorf("read %s: %w", path, err)
		case m == 0:
			return buf[:n], true, nil
		}
		full := m == len(buf)-n
		if n += m; !full {
			return buf[:n], true, nil // of a regular file, less than asked for is the end: half of all reads are saved
		}
	}
}

// openBelow opens a path without following a link in its last part.
func openBelow(top int, path string) (int, error) {
	for {
		fd, err := unix.Openat(top, path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// unlessAbsent keeps errors that do not mean "there is no such regular file".
func unlessAbsent(err error, path string) error {
	for _, absent := range []error{unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.ENXIO} {
		if errors.Is(err, absent) {
			return nil
		}
	}
	return fmt.Errorf("read %s: %w", filepath.Clean(path), err)
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}
