package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// Version is one version of a pkgbase that is in the repository or in its archive.
type Version struct {
	Version  string    `json:"version"`
	Current  bool      `json:"current"`
	Pkgnames []string  `json:"pkgnames"`
	Built    time.Time `json:"built"`
	Archived time.Time `json:"archived,omitzero"`
	Deleted  time.Time `json:"deleted,omitzero"` // when the archive will have deleted it
	files    []string  // names in the archive
}

// History lists the versions of a pkgbase, given by its name or that of one of its packages, that the repository and its
// archive hold, the newest first.
func (p *Publisher) History(ctx context.Context, repo, arch, pkg string) (pkgbase string, versions []Version, err error) {
	l, err := p.layout(repo, arch)
	if err != nil {
		return "", nil, err
	}
	db, err := l.open()
	if err != nil {
		return "", nil, err
	}
	defer db.Close()
	return l.history(ctx, db, pkg)
}

func (l layout) history(ctx context.Context, db *syncdb.DB, pkg string) (string, []Version, error) {
	pkgbase := pkg
	if e, found := db.Get(pkg); found {
		pkgbase = baseOf(e.Base, e.Name)
	}
	versions := make(map[string]*Version)
	names := map[string]bool{pkg: true}
	for _, e := range entriesOf(db, pkgbase) {
		names[e.Name] = true
		v := versions[e.Version]
		if v == nil {
			v = &Version{Version: e.Version, Current: true}
			versions[e.Version] = v
		}
		v.Pkgnames, v.Built = append(v.Pkgnames, e.Name), e.BuildDate()
	}
	archived, err := l.archived(ctx, &pkgbase, names)
	if err != nil {
		return "", nil, err
	}
	for _, a := range archived {
		v := versions[a.pkg.Version]
		if v == nil {
			v = &Version{Version: a.pkg.Version, Built: time.Unix(a.pkg.BuildDate, 0), Archived: a.since, Deleted: a.since.Add(keepArchived)}
			versions[a.pkg.Version] = v
		}
		if v.files = append(v.files, a.pkg.Filename); !slices.Contains(v.Pkgnames, a.pkg.Name) {
			v.Pkgnames = append(v.Pkgnames, a.pkg.Name)
		}
	}
	var all []Version
	for _, v := range versions {
		slices.Sort(v.Pkgnames)
		all = append(all, *v)
	}
	slices.SortFunc(all, func(a, b Version) int { return srcinfo.Vercmp(b.Version, a.Version) })
	if len(all) == 0 {
		return "", nil, refusef("neither %s/%s nor its archive has a package %s", l.repo, l.arch, pkg)
	}
	return pkgbase, all, nil
}

func entriesOf(db *syncdb.DB, pkgbase string) []*syncdb.Entry {
	var all []*syncdb.Entry
	for e := range db.Each() {
		if baseOf(e.Base, e.Name) == pkgbase {
			all = append(all, e)
		}
	}
	return all
}

type archivedPackage struct {
	pkg   *syncdb.Package
	since time.Time
}

// archived reads the archived packages of a pkgbase. Where the repository has none of it, a package of one of the names
// tells the pkgbase. Packages of other names are looked into when they have the version of one that belongs to it: a
// split package that newer builds no longer make.
func (l layout) archived(ctx context.Context, pkgbase *string, names map[string]bool) ([]archivedPackage, error) {
	files, err := packageFiles(l.abs(archiveDir))
	if err != nil {
		return nil, err
	}
	var all []archivedPackage
	versions, told := make(map[string]bool), len(names) > 1
	read := func(file string) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		since, err := changed(l.abs(l.archive(file)))
		pkg, readErr := syncdb.ReadPackage(l.abs(l.archive(file)))
		if err != nil || readErr != nil || pkg.CheckFilename() != nil {
			return nil // swept meanwhile, or damaged: it is no way back
		}
		base := baseOf(pkg.Base, pkg.Name)
		if !told && names[pkg.Name] {
			*pkgbase, told = base, true
		}
		if base == *pkgbase {
			versions[pkg.Version] = true
			all = append(all, archivedPackage{pkg, since})
		}
		return nil
	}
	for _, known := range []bool{true, false} {
		hint := len(all) > 0 // else there is none, and every package is looked into
		for _, file := range files {
			name, err := syncdb.ParseFilename(file)
			if err != nil || (name.Arch != "any" && name.Arch != l.arch) || names[name.Name] != known || (!known && hint && !versions[name.Version]) {
				continue // a signature, or of something else
			}
			if err := read(file); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(all, func(a, b archivedPackage) int { return cmp.Compare(a.pkg.Filename, b.pkg.Filename) })
	return all, nil
}

// Rollback puts an archived version of a pkgbase, given by its name or that of one of its packages, in place of the one
// in the repository, as one transaction: all packages of that version come back, all others of the pkgbase go to the
// archive. to is the version; empty, it is the newest one that is older than that in the repository. The files stay in
// the archive too, so that the next rollback finds them.
func (p *Publisher) Rollback(ctx context.Context, repo, arch, pkg, to string) (Outcome, error) {
	l, err := p.layout(repo, arch)
	if err != nil {
		return Outcome{}, err
	}
	unlock, err := p.lock(ctx, l.root)
	if err != nil {
		return Outcome{}, err
	}
	defer unlock()
	t, err := p.begin(l)
	if err != nil {
		return Outcome{}, err
	}
	defer t.end()
	pkgbase, versions, err := l.history(ctx, t.db, pkg)
	if err != nil {
		return Outcome{}, err
	}
	v, err := wayBack(pkgbase, versions, to)
	if err != nil {
		return Outcome{}, err
	}
	return t.rollback(ctx, pkgbase, v)
}

// wayBack chooses the version to return to.
func wayBack(pkgbase string, versions []Version, to string) (Version, error) {
	var have []string
	passed := !slices.ContainsFunc(versions, func(v Version) bool { return v.Current })
	for _, v := range versions { // the newest first
		switch {
		case v.Current && v.Version == to:
			return Version{}, refusef("%s %s is in the repository now", pkgbase, to)
		case v.Current:
			passed = true
		case v.Version == to || (to == "" && passed):
			return v, nil
		default:
			have = append(have, v.Version)
		}
	}
	if to == "" {
		to = "that is older"
	}
	if len(have) == 0 {
		have = []string{"no other"}
	}
	return Version{}, refusef("the archive has no version of %s %s; it has %s", pkgbase, to, strings.Join(have, ", "))
}

func (t *Transaction) rollback(ctx context.Context, pkgbase string, v Version) (Outcome, error) {
	var out Outcome
	var packages []incoming
	back := make(map[string]bool)
	for _, file := range v.files {
		in, err := t.stageArchived(ctx, file)
		if err != nil {
			return Outcome{}, fmt.Errorf("%s: %w", t.l.archive(file), err)
		}
		if e, found := t.db.Get(in.pkg.Name); found {
			if err := checkClaim(e, in.pkg); err != nil {
				return Outcome{}, err
			}
		}
		packages, out.Added = append(packages, in), append(out.Added, file)
		back[file] = true
	}
	for _, e := range entriesOf(t.db, pkgbase) {
		t.db.Remove(e.Name)
		if !back[e.Filename] {
			out.Removed = append(out.Removed, e.Filename)
		}
	}
	for _, in := range packages {
		if err := t.put(ctx, in, in.present && exists(t.l.abs(t.l.file(in.pkg.Filename+".sig")))); err != nil {
			return Outcome{}, err
		}
	}
	if err := t.heal(); err != nil {
		return Outcome{}, err
	}
	return out, t.finish(ctx, "rollback of "+pkgbase+" to "+v.Version, out.Removed, func() error { return nil })
}

// stageArchived copies an archived package, and its signature when it has one, into the stage: a second name would keep a
// later move to the archive from doing anything.
func (t *Transaction) stageArchived(ctx context.Context, name string) (incoming, error) {
	from := t.l.abs(t.l.archive(name))
	in, err := t.stageFile(ctx, from)
	if err != nil || in.present {
		return in, err
	}
	signature, err := os.ReadFile(from + ".sig")
	if errors.Is(err, fs.ErrNotExist) {
		return in, nil
	}
	if err != nil {
		return incoming{}, err
	}
	in.signed = true
	return in, t.p.create(t.l.abs(t.l.staged(name+".sig")), func(w io.Writer) error { _, err := w.Write(signature); return err })
}
