package builder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A source cache lives in CACHES/SOURCE_REPO/PKGBASE. Beside it lies its lock file, whose time of change is that of the
// last use. A pkgbase never begins with a dot, so the two cannot be mistaken for each other.
const (
	lockPrefix  = ".lock-"
	cacheKeep   = 30 * 24 * time.Hour // unused for longer: removed (executor.md section 2)
	cacheSweeps = 6 * time.Hour
)

var errCacheBusy = errors.New("another build uses it")

// cacheLock holds the cache of one package for one build.
type cacheLock struct {
	dir  string
	file *os.File
}

// lockCache takes the cache of a package, making it if need be. It never waits: errCacheBusy says that another build,
// perhaps of another process, has it.
func lockCache(caches, sourceRepo, pkgbase string, now time.Time) (*cacheLock, error) {
	parent := filepath.Join(caches, sourceRepo)
	dir, name := filepath.Join(parent, pkgbase), filepath.Join(parent, lockPrefix+pkgbase)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, fmt.Errorf("source cache: %w", err)
	}
	for {
		f, err := lockFile(name, os.O_CREATE)
		if err != nil {
			return nil, fmt.Errorf("source cache of %s: %w", pkgbase, err)
		}
		if !sameFile(f, name) { // it was removed between open and lock
			f.Close()
			continue
		}
		if err := errors.Join(os.Chtimes(name, now, now), os.MkdirAll(dir, 0o755)); err != nil {
			f.Close()
			return nil, fmt.Errorf("source cache of %s: %w", pkgbase, err)
		}
		return &cacheLock{dir: dir, file: f}, nil
	}
}

// release lets others use the cache.
func (c *cacheLock) release() { c.file.Close() }

func lockFile(name string, flags int) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|flags, 0o644)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errCacheBusy
	}
	return nil, err
}

func sameFile(f *os.File, name string) bool {
	a, errA := f.Stat()
	b, errB := os.Lstat(name)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// sweepCaches removes the caches that nobody used since before, and names them.
func sweepCaches(caches string, before time.Time) (removed []string, err error) {
	repos, err := os.ReadDir(caches)
	if err != nil {
		return nil, fmt.Errorf("sweep the source caches: %w", err)
	}
	var errs []error
	for _, repo := range repos {
		parent := filepath.Join(caches, repo.Name())
		entries, err := os.ReadDir(parent)
		if err != nil {
			continue // no directory: nothing of ours
		}
		for _, e := range entries {
			pkgbase, isLock := strings.CutPrefix(e.Name(), lockPrefix)
			info, err := e.Info()
			if !isLock || err != nil || !info.ModTime().Before(before) {
				continue
			}
			err = removeCache(parent, pkgbase, before)
			switch {
			case err == nil:
				removed = append(removed, repo.Name()+"/"+pkgbase)
			case !errors.Is(err, errCacheBusy) && !errors.Is(err, fs.ErrNotExist):
				errs = append(errs, fmt.Errorf("sweep the source cache of %s: %w", pkgbase, err))
			}
		}
	}
	return removed, errors.Join(errs...)
}

func removeCache(parent, pkgbase string, before time.Time) error {
	name := filepath.Join(parent, lockPrefix+pkgbase)
	f, err := lockFile(name, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.ModTime().Before(before) || !sameFile(f, name) {
		return errCacheBusy // used since we looked
	}
	return errors.Join(os.RemoveAll(filepath.Join(parent, pkgbase)), os.Remove(name))
}
