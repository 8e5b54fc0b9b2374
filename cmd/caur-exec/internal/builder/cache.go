package builder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A source cache lives in CACHES/SOURCE_REPO/PKGBASE. Beside it lies its lock file, whose time of change is that of the
// last use. A pkgbase never begins with a dot, so the two cannot be mistaken for each other.
const (
	lockPrefix  = ".lock-"
	cacheKeep   = 30 * 24 * time.Hour // unused for longer: removed (executor.md section 2)
	cacheSweeps = 6 * time.Hour       // and after each build that used one, when their size is limited
)

var errCacheBusy = errors.New("another build uses it")

// cacheLock holds the cache of one package for one build.
type cacheLock struct {
	dir  string
	name string // of the lock file
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
		return &cacheLock{dir: dir, name: name, file: f}, nil
	}
}

// release lets others use the cache. It was in use until now.
func (c *cacheLock) release(now time.Time) {
	_ = os.Chtimes(c.name, now, now) // else it counts from the lock on
	c.file.Close()
}

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

// cached is the cache of one package, as the sweep sees it.
type cached struct {
	parent, pkgbase string
	used            time.Time
	bytes           int64 // on the disk; counted only when there is a limit
}

// sweepCaches removes the caches that nobody used since before and then, the least recently used first, as many as it
// takes to get below most bytes (0: no limit). What a build has now stays. Removed caches are named REPO/PKGBASE.
func sweepCaches(caches string, before time.Time, most int64) (removed []string, err error) {
	all, err := listCaches(caches)
	if err != nil {
		return nil, err
	}
	var total int64
	for i := range all {
		if most > 0 {
			all[i].bytes = diskUsage(filepath.Join(all[i].parent, all[i].pkgbase))
			total += all[i].bytes
		}
	}
	slices.SortFunc(all, func(a, b cached) int { return a.used.Compare(b.used) })
	var errs []error
	for _, c := range all {
		if !c.used.Before(before) && (most == 0 || total <= most) {
			break
		}
		err := removeCache(c)
		switch {
		case err == nil:
			removed = append(removed, filepath.Base(c.parent)+"/"+c.pkgbase)
			total -= c.bytes
		case !errors.Is(err, errCacheBusy) && !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, fmt.Errorf("sweep the source cache of %s: %w", c.pkgbase, err))
		}
	}
	return removed, errors.Join(errs...)
}

// listCaches finds the caches by their lock files: nothing else was made by us.
func listCaches(caches string) (all []cached, err error) {
	repos, err := os.ReadDir(caches)
	if err != nil {
		return nil, fmt.Errorf("sweep the source caches: %w", err)
	}
	for _, repo := range repos {
		parent := filepath.Join(caches, repo.Name())
		entries, err := os.ReadDir(parent)
		if err != nil {
			continue // no directory: nothing of ours
		}
		for _, e := range entries {
			pkgbase, isLock := strings.CutPrefix(e.Name(), lockPrefix)
			info, err := e.Info()
			if isLock && err == nil {
				all = append(all, cached{parent: parent, pkgbase: pkgbase, used: info.ModTime()})
			}
		}
	}
	return all, nil
}

// diskUsage counts what the files below dir take on the disk. Links are not followed; what vanishes meanwhile counts nothing.
func diskUsage(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				bytes += st.Blocks * 512 / int64(max(1, st.Nlink)) // of a file with several names each counts its part
			}
		}
		return nil
	})
	return bytes
}

// removeCache removes a cache that nobody has, and has used since it was listed.
func removeCache(c cached) error {
	name := filepath.Join(c.parent, lockPrefix+c.pkgbase)
	f, err := lockFile(name, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.ModTime().Equal(c.used) || !sameFile(f, name) {
		return errCacheBusy // used since we looked
	}
	return errors.Join(os.RemoveAll(filepath.Join(c.parent, c.pkgbase)), os.Remove(name))
}
