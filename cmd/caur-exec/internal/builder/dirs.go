package builder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cacheAge is how long the source cache of a package may be unused before it is removed (executor.md section 2).
const cacheAge = 30 * 24 * time.Hour

// dirs are the directories of a builder, as this process sees them.
//
//	jobs/HOST.PKGBASE.TOKEN/  one run: source, out, work, request.json; removed afterwards
//	sources/PKGBASE/          source cache of a package (makepkg's SRCDEST)
//	repos/SOURCE_REPO.git     bare cache of a source repository
type dirs struct {
	base, jobs, sources, repos string
	own, host                  string // BUILDER_BUILD_DIR_MANAGER and BUILDER_BUILD_DIR_HOST
}

// newDirs finds and makes them. A builder that runs in a container itself sees the build directory elsewhere than the
// engine does; then both paths are set.
func newDirs(s Settings) (dirs, error) {
	d := dirs{own: s.BuildDirManager, host: s.BuildDirHost}
	if d.host == "" {
		d.host = filepath.Join(s.SharedPath, "build")
	}
	if d.own == "" {
		d.own = filepath.Join(s.SharedPath, "build")
		if _, err := os.Stat(s.SharedPath); errors.Is(err, fs.ErrNotExist) {
			d.own = "/shared/build"
		}
	}
	d.base = d.own
	d.jobs, d.repos = filepath.Join(d.base, "jobs"), filepath.Join(d.base, "repos")
	d.sources = s.SrcdestCache
	if d.sources == "" {
		d.sources = filepath.Join(d.base, "sources")
	}
	for _, dir := range []string{d.jobs, d.repos, d.sources} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return dirs{}, fmt.Errorf("make the directories of the builder below SHARED_PATH: %w", err)
		}
	}
	return d, nil
}

// hostPath gives the path under which the engine knows one of ours.
func (d dirs) hostPath(path string) string {
	if rel, err := filepath.Rel(d.own, path); err == nil && filepath.IsLocal(rel) {
		return filepath.Join(d.host, rel)
	}
	return path
}

// clearJobs removes what a run that was killed has left.
func (d dirs) clearJobs(host string) error {
	entries, err := os.ReadDir(d.jobs)
	if err != nil {
		return fmt.Errorf("remove job directories of an earlier run: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), host+".") {
			if err := os.RemoveAll(filepath.Join(d.jobs, e.Name())); err != nil {
				return fmt.Errorf("remove job directories of an earlier run: %w", err)
			}
		}
	}
	return nil
}

// sourceCache makes the source cache of a package and holds it for one build; release lets it go. Its time of change
// says when it was used last.
func (d dirs) sourceCache(pkgbase string) (dir string, release func(), err error) {
	dir = filepath.Join(d.sources, pkgbase)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, fmt.Errorf("make the source cache: %w", err)
	}
	lock, err := lockCache(d.sources, pkgbase, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		// Another build of this package has it: two makepkg must not write to one SRCDEST.
		return "", func() {}, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("lock the source cache: %w", err)
	}
	now := time.Now()
	if err := os.Chtimes(dir, now, now); err != nil {
		lock.Close()
		return "", nil, fmt.Errorf("use the source cache: %w", err)
	}
	return dir, func() { lock.Close() }, nil
}

func lockCache(sources, pkgbase string, how int) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(sources, "."+pkgbase+".lock"), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), how); err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// sweepLoop removes unused source caches now and then.
func (d dirs) sweepLoop(ctx context.Context, log *slog.Logger) error {
	for ctx.Err() == nil {
		if err := d.sweepCaches(time.Now().Add(-cacheAge)); err != nil {
			log.Warn("unused source caches are not removed", "error", err)
		}
		sleep(ctx, 6*time.Hour)
	}
	return nil
}

// sweepCaches removes the caches that were last used before a time and that no build holds.
func (d dirs) sweepCaches(before time.Time) error {
	entries, err := os.ReadDir(d.sources)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || info.ModTime().After(before) {
			continue
		}
		lock, err := lockCache(d.sources, e.Name(), unix.LOCK_EX|unix.LOCK_NB)
		if err != nil {
			continue // in use
		}
		errs = append(errs, os.RemoveAll(filepath.Join(d.sources, e.Name())))
		lock.Close()
	}
	return errors.Join(errs...)
}
