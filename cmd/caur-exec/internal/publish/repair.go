package publish

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// Arches lists the architectures of a target repo that have a database.
func (p *Publisher) Arches(repo string) ([]string, error) {
	l, err := p.layout(repo, "any")
	if err != nil {
		return nil, err
	}
	return arches(l.root, l.repo)
}

// Repos lists the target repos that have a database.
func (p *Publisher) Repos() ([]string, error) {
	entries, err := os.ReadDir(p.o.RepoPath)
	if err != nil {
		return nil, fmt.Errorf("REPO_PATH: %w", err)
	}
	var repos []string
	for _, e := range entries {
		if !e.IsDir() || !legalRepo.MatchString(e.Name()) {
			continue
		}
		if names, err := arches(filepath.Join(p.o.RepoPath, e.Name()), e.Name()); err != nil {
			return nil, err
		} else if len(names) > 0 {
			repos = append(repos, e.Name())
		}
	}
	return repos, nil
}

// Open reads the databases of a target repo and architecture. Close what it returns.
func (p *Publisher) Open(repo, arch string) (*syncdb.DB, error) {
	l, err := p.layout(repo, arch)
	if err != nil {
		return nil, err
	}
	return syncdb.Open(l.abs(l.file(l.dbName("db"))), l.abs(l.file(l.dbName("files"))))
}

// Verify compares the database of a target repo and architecture with its files: each entry has its package, of the
// right size, a signature that is the one in the entry, and a file list; each package has an entry. deep also reads
// the packages and compares hashes. It returns what is wrong, a sentence each; a committed transaction that is not
// complete is wrong too. It changes nothing.
func (p *Publisher) Verify(ctx context.Context, repo, arch string, deep bool) (problems []string, err error) {
	l, err := p.layout(repo, arch)
	if err != nil {
		return nil, err
	}
	if exists(l.abs(l.journal())) {
		problems = append(problems, "a committed change is not complete: the database role completes it at its start")
	}
	db, err := p.Open(repo, arch)
	if err != nil {
		return problems, err
	}
	defer db.Close()
	found, err := packageFiles(l.abs(l.arch))
	if err != nil {
		return problems, err
	}
	for _, e := range db.WithoutFiles() {
		problems = append(problems, e.Filename+": no file list in the files database")
	}
	used := make(map[string]bool)
	for e := range db.Each() {
		used[e.Filename], used[e.Filename+".sig"] = true, true
		if wrong := l.verify(ctx, e, deep); wrong != "" {
			problems = append(problems, e.Filename+": "+wrong)
		}
		if ctx.Err() != nil {
			return problems, context.Cause(ctx)
		}
	}
	for _, name := range found {
		if !used[name] {
			problems = append(problems, name+": not in the database")
		}
	}
	return problems, nil
}

// verify says what is wrong with one entry, nothing when all is right.
func (l layout) verify(ctx context.Context, e *syncdb.Entry, deep bool) string {
	want, err := e.Package()
	if err != nil {
		return err.Error()
	}
	path := l.abs(l.file(e.Filename))
	st, err := os.Lstat(path)
	switch {
	case err != nil:
		return "the package is missing"
	case !st.Mode().IsRegular() || st.Size() != want.CSize:
		return fmt.Sprintf("not a file of the %d bytes that the database says", want.CSize)
	}
	sig, err := syncdb.ReadSignature(path + ".sig")
	switch {
	case err != nil:
		return "the signature is missing or unusable"
	case !bytes.Equal(sig, want.PGPSig):
		return "the signature is not the one in the database"
	}
	if deep {
		sum, _, err := hashFile(ctx, path)
		if err != nil {
			return err.Error()
		}
		if sum != want.SHA256 {
			return "the content is not the one in the database: SHA-256 " + sum
		}
	}
	return ""
}

// Rebuild makes the database of a target repo and architecture anew from its package files, as one transaction: of
// several versions of a package the newest, the others go to the archive; what has no signature is signed. Files that
// are no readable packages stay where they are, are not entered, and come back as problems.
func (p *Publisher) Rebuild(ctx context.Context, repo, arch string) (out Outcome, problems []string, err error) {
	l, err := p.layout(repo, arch)
	if err != nil {
		return Outcome{}, nil, err
	}
	if !exists(l.abs(l.arch)) {
		return Outcome{}, nil, refusef("%s does not exist", l.abs(l.arch))
	}
	unlock, err := p.lock(ctx, l.root)
	if err != nil {
		return Outcome{}, nil, err
	}
	defer unlock()
	t, err := p.beginWith(l, func() (*syncdb.DB, error) { return syncdb.New(), nil })
	if err != nil {
		return Outcome{}, nil, err
	}
	defer t.end()
	packages, problems, err := l.readAll(ctx)
	if err != nil {
		return Outcome{}, nil, err
	}
	for _, pkg := range packages {
		if e, found := t.db.Get(pkg.Name); found {
			out.Removed = append(out.Removed, e.Filename) // older: they come in order of version
		}
		in := incoming{pkg: pkg, present: true}
		if err := t.put(ctx, in, len(pkg.PGPSig) > 0); err != nil {
			return Outcome{}, problems, err
		}
	}
	for e := range t.db.Each() {
		out.Present = append(out.Present, e.Filename)
	}
	return out, problems, t.finish(ctx, "rebuild", out.Removed, func() error { return nil })
}

// readAll reads every package in the architecture's directory, older versions of a package first.
func (l layout) readAll(ctx context.Context) ([]*syncdb.Package, []string, error) {
	names, err := packageFiles(l.abs(l.arch))
	if err != nil {
		return nil, nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, ".sig") })
	packages, wrong := make([]*syncdb.Package, len(names)), make([]string, len(names))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range names {
		g.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			pkg, err := syncdb.ReadPackage(l.abs(l.file(name)))
			if err == nil {
				err = pkg.CheckFilename()
			}
			if err != nil {
				wrong[i] = name + ": " + err.Error()
				return nil
			}
			packages[i] = pkg
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	packages = slices.DeleteFunc(packages, func(p *syncdb.Package) bool { return p == nil })
	slices.SortStableFunc(packages, func(a, b *syncdb.Package) int {
		if a.Name != b.Name {
			return strings.Compare(a.Name, b.Name)
		}
		return srcinfo.Vercmp(a.Version, b.Version)
	})
	return packages, slices.DeleteFunc(wrong, func(s string) bool { return s == "" }), nil
}
