package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/caur-build/caur/internal/syncdb"
)

// layout is where the files of one target repo and architecture are. Paths in steps are relative to root.
type layout struct {
	root, repo, arch string
}

const (
	hidden     = ".caur"
	archiveDir = "archive"
)

// The names become directories and parts of file names.
var (
	legalRepo = regexp.MustCompile(`^[A-Za-z0-9_@+][A-Za-z0-9_@.+-]{0,99}$`)
	legalArch = regexp.MustCompile(`^[a-z0-9_]{1,32}$`)
)

func (p *Publisher) layout(repo, arch string) (layout, error) {
	switch {
	case !legalRepo.MatchString(repo):
		return layout{}, refusef("%q is not a legal name of a repository", repo)
	case !legalArch.MatchString(arch) || arch == archiveDir:
		return layout{}, refusef("%q is not a legal name of an architecture", arch)
	case p.o.TargetRepo != nil && !p.o.TargetRepo(repo):
		return layout{}, refusef("target repo %s is not configured: add it to PACKAGE_TARGET_REPOS", repo)
	}
	return layout{root: filepath.Join(p.o.RepoPath, repo), repo: repo, arch: arch}, nil
}

func (l layout) abs(rel string) string { return filepath.Join(l.root, rel) }

func (l layout) state() string   { return filepath.Join(hidden, l.arch) }
func (l layout) stage() string   { return filepath.Join(l.state(), "stage") }
func (l layout) journal() string { return filepath.Join(l.state(), "journal.json") }

func (l layout) pairs() string { return filepath.Join(l.state(), "pairs") }

func (l layout) staged(name string) string  { return filepath.Join(l.stage(), name+".part") }
func (l layout) file(name string) string    { return filepath.Join(l.arch, name) }
func (l layout) archive(name string) string { return filepath.Join(archiveDir, name) }

// dbName is the file name of the db or files archive.
func (l layout) dbName(kind string) string { return l.repo + "." + kind + ".tar.zst" }

// open reads the database; one that is not there yet is empty.
func (l layout) open() (*syncdb.DB, error) {
	db, err := syncdb.Open(l.abs(l.file(l.dbName("db"))), l.abs(l.file(l.dbName("files"))))
	if !errors.Is(err, fs.ErrNotExist) {
		return db, err
	}
	files, err := packageFiles(l.abs(l.arch))
	if err != nil {
		return nil, err
	}
	if len(files) > 0 {
		return nil, fmt.Errorf("%s has %d package files but no database %s: restore it from a mirror or backup, or make it anew with caur-exec repo rebuild %s --arch %s",
			l.abs(l.arch), len(files), l.dbName("db"), l.repo, l.arch)
	}
	return syncdb.New(), nil
}

// packageFiles lists the names of packages and signatures in a directory, sorted; none when it is not there.
func packageFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if _, err := syncdb.ParseFilename(strings.TrimSuffix(e.Name(), ".sig")); err == nil && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// arches lists the architectures of a target repo: the directories that hold a database.
func arches(root, repo string) ([]string, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		l := layout{root: root, repo: repo, arch: e.Name()}
		if !e.IsDir() || !legalArch.MatchString(l.arch) || l.arch == archiveDir {
			continue
		}
		if exists(l.abs(l.file(l.dbName("db")))) || exists(l.abs(l.journal())) {
			names = append(names, l.arch)
		}
	}
	return names, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// lock makes this process the only one that changes the target repo, waiting until it may.
func (p *Publisher) lock(ctx context.Context, root string) (unlock func(), err error) {
	dir := filepath.Join(root, hidden)
	if err := p.mkdir(dir); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	wait := time.NewTicker(50 * time.Millisecond)
	defer wait.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("another process publishes to %s: %w", root, context.Cause(ctx))
		case <-wait.C:
		}
	}
}

// replace writes a small file by way of a temporary one in the hidden directory. The directory is not synced.
func (p *Publisher) replace(l layout, rel string, content []byte) error {
	tmp := l.abs(filepath.Join(hidden, filepath.Base(rel)+".part"))
	err := p.create(tmp, func(w io.Writer) error { _, err := w.Write(content); return err })
	if err != nil {
		return err
	}
	return p.disk.Rename(tmp, l.abs(rel))
}
