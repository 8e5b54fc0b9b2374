package publish

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/caur-build/caur/internal/syncdb"
)

const (
	keepArchived = 7 * 24 * time.Hour
	keepOrphans  = 24 * time.Hour
)

// Recover completes or forgets what a crash left in any target repo. Call it before anything is published.
func (p *Publisher) Recover(ctx context.Context) error {
	return p.eachRepo(ctx, func(root, repo string) error {
		states, err := os.ReadDir(filepath.Join(root, hidden))
		if err != nil {
			return err
		}
		for _, s := range states {
			if !s.IsDir() || !legalArch.MatchString(s.Name()) {
				continue
			}
			if err := p.recover(layout{root: root, repo: repo, arch: s.Name()}); err != nil {
				return err
			}
		}
		return nil
	})
}

// eachRepo calls do for every target repo that caur has published to, under its lock, and joins the errors.
func (p *Publisher) eachRepo(ctx context.Context, do func(root, repo string) error) error {
	entries, err := os.ReadDir(p.o.RepoPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("REPO_PATH: %w", err)
	}
	var errs []error
	for _, e := range entries {
		root := filepath.Join(p.o.RepoPath, e.Name())
		if !e.IsDir() || !legalRepo.MatchString(e.Name()) || !exists(filepath.Join(root, hidden)) {
			continue
		}
		unlock, err := p.lock(ctx, root)
		if err == nil {
			err = do(root, e.Name())
			unlock()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("repository %s: %w", e.Name(), err))
		}
	}
	return errors.Join(errs...)
}

// Sweep deletes what has been in the archive for seven days, and moves to the archive what lies in an architecture's
// directory for a day without a use: a signature without its package, a package without signature that no database
// names. It returns the paths, relative to the directory of the target repos.
func (p *Publisher) Sweep(ctx context.Context) (swept []string, err error) {
	err = p.eachRepo(ctx, func(root, repo string) error {
		deleted, err := p.sweepArchive(root)
		names, archErr := arches(root, repo)
		errs := []error{err, archErr}
		for _, arch := range names {
			moved, err := p.sweepOrphans(layout{root: root, repo: repo, arch: arch})
			deleted, errs = append(deleted, moved...), append(errs, err)
		}
		for _, path := range deleted {
			swept = append(swept, filepath.Join(repo, path))
		}
		return errors.Join(errs...)
	})
	return swept, err
}

func (p *Publisher) sweepArchive(root string) (deleted []string, err error) {
	dir := filepath.Join(root, archiveDir)
	names, err := packageFiles(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if since, err := changed(filepath.Join(dir, name)); err != nil || p.o.Now().Sub(since) < keepArchived {
			continue
		}
		if err := p.disk.Remove(filepath.Join(dir, name)); err != nil {
			return deleted, err
		}
		deleted = append(deleted, filepath.Join(archiveDir, name))
	}
	return deleted, nil
}

// changed is when a file was last written or moved: the later of its two times. The modification time of a file that
// today's system archived is that of its build.
func changed(path string) (time.Time, error) {
	st, err := os.Lstat(path)
	if err != nil {
		return time.Time{}, err
	}
	at := st.ModTime()
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		if moved := time.Unix(sys.Ctim.Unix()); moved.After(at) {
			at = moved
		}
	}
	return at, nil
}

func (p *Publisher) sweepOrphans(l layout) (moved []string, err error) {
	if exists(l.abs(l.journal())) {
		return nil, nil // a transaction is to be completed first
	}
	names, err := packageFiles(l.abs(l.arch))
	if err != nil {
		return nil, err
	}
	db, err := syncdb.Read(l.abs(l.file(l.dbName("db"))))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	there, used := make(map[string]bool), make(map[string]bool)
	for _, name := range names {
		there[name] = true
	}
	for e := range db.Each() {
		used[e.Filename] = true
	}
	for _, name := range names {
		pkg, isSig := strings.CutSuffix(name, ".sig")
		if inUse := there[name+".sig"] || used[name]; (isSig && there[pkg]) || (!isSig && inUse) {
			continue
		}
		if since, err := changed(l.abs(l.file(name))); err != nil || p.o.Now().Sub(since) < keepOrphans {
			continue
		}
		if err := p.step(l, step{Op: opArchive, From: l.file(name), To: l.archive(name)}); err != nil {
			return moved, err
		}
		moved = append(moved, l.file(name))
	}
	return moved, nil
}
