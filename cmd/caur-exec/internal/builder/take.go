package builder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/pkg/queue"
)

// takeResults moves the packages of a job out of the directory that its container could write to, into taken, and gives
// their names. Whatever else is there is described in ignored and stays: a link, a device, a name that is no package of
// this job. The container has ended, so nothing changes any more; what it left may still lie about what it is.
func takeResults(job queue.Job, out, taken string) (names, ignored []string, err error) {
	root, err := os.OpenRoot(out)
	if err != nil {
		return nil, nil, fmt.Errorf("take the packages: %w", err)
	}
	defer root.Close()
	dir, err := root.Open(".")
	if err != nil {
		return nil, nil, fmt.Errorf("take the packages: %w", err)
	}
	entries, err := dir.ReadDir(-1)
	dir.Close()
	if err != nil {
		return nil, nil, fmt.Errorf("take the packages: %w", err)
	}
	for _, e := range entries {
		if err := acceptable(root, job, e.Name()); err != nil {
			ignored = append(ignored, fmt.Sprintf("%.250q: %v", e.Name(), err))
			continue
		}
		if err := os.Rename(filepath.Join(out, e.Name()), filepath.Join(taken, e.Name())); err != nil {
			return nil, nil, fmt.Errorf("take the packages: %w", err)
		}
		names = append(names, e.Name())
	}
	slices.Sort(names)
	slices.Sort(ignored)
	return names, ignored, nil
}

// acceptable says what is wrong with a file of the output, nil when it may be delivered.
func acceptable(root *os.Root, job queue.Job, name string) error {
	parsed, err := syncdb.ParseFilename(name)
	switch {
	case err != nil:
		return errors.New("no legal package file name")
	case parsed.Ext != ".zst":
		return errors.New("not compressed with zstd")
	case !slices.Contains(pkgnames(job), parsed.Name):
		return errors.New("no package of this job")
	case parsed.Arch != job.Arch && parsed.Arch != "any" && job.Arch != "any":
		return fmt.Errorf("of architecture %s, the job is for %s", parsed.Arch, job.Arch)
	}
	info, err := root.Lstat(name)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return errors.New("no regular file")
	case info.Size() == 0:
		return errors.New("empty")
	case !ok || st.Nlink != 1:
		return errors.New("has more than one name")
	}
	return nil
}

// pkgnames are the packages that a job makes; a job that names none makes the one called like its pkgbase.
func pkgnames(job queue.Job) []string {
	if len(job.Pkgnames) == 0 {
		return []string{job.Pkgbase}
	}
	return job.Pkgnames
}
