package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/landing"
	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/pkg/queue"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// Options of a Publisher.
type Options struct {
	RepoPath string // directory of the target repos
	Zone     *landing.Zone
	Signer   Signer // nil makes a Publisher that only reads: whatever is to be signed is an error
	SignDB   bool
	// TargetRepo says whether a target repo is configured; nil allows every legal name.
	TargetRepo func(repo string) bool
	// StillWanted is asked immediately before a change is committed; an error ends the transaction without a trace
	// and is returned as it is.
	StillWanted func(context.Context, *queue.Delivery) error
	Force       bool             // allow downgrades and packages that change their pkgbase
	Now         func() time.Time // nil means time.Now
}

// Publisher changes the target repos below one directory. It may be used by several goroutines and processes: a lock
// file lets one at a time change a target repo.
type Publisher struct {
	o     Options
	disk  disk
	fault func(point string) // set by tests: called at every point where a crash is to be survived
}

// New makes a Publisher. It touches nothing; see Recover.
func New(o Options) (*Publisher, error) {
	if o.RepoPath == "" {
		return nil, errors.New("publish: a repository directory is needed")
	}
	if o.Signer == nil {
		o.Signer = noSigner{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.StillWanted == nil {
		o.StillWanted = func(context.Context, *queue.Delivery) error { return nil }
	}
	return &Publisher{o: o, disk: osDisk{}}, nil
}

func (p *Publisher) point(name string) {
	if p.fault != nil {
		p.fault(name)
	}
}

// Refused is the error for what must not be published, however often it is tried.
type Refused struct{ Reason string }

func (e *Refused) Error() string { return e.Reason }

func refusef(format string, args ...any) error { return &Refused{fmt.Sprintf(format, args...)} }

// Outcome says what a transaction did, as names of package files.
type Outcome struct {
	Added   []string // new in the repository
	Present []string // there before, with the same content
	Removed []string // superseded or cleaned up: now in the archive
}

// Publish puts the packages of a delivered job into its target repo. Doing it again with the same delivery changes
// nothing. The landing zone is left as it is.
func (p *Publisher) Publish(ctx context.Context, d *queue.Delivery) (Outcome, error) {
	out, err := p.publish(ctx, d)
	if err != nil {
		return Outcome{}, fmt.Errorf("publish %s: %w", d.ID, err)
	}
	return out, nil
}

func (p *Publisher) publish(ctx context.Context, d *queue.Delivery) (Outcome, error) {
	if d.Job == nil {
		return Outcome{}, refusef("the delivery names no job")
	}
	l, err := p.layout(d.Job.TargetRepo, d.Job.Arch)
	if err != nil {
		return Outcome{}, err
	}
	if err := landing.CheckFiles(*d.Job, d.Result.Files); err != nil {
		return Outcome{}, refusef("%v", err)
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
	incoming, err := t.stagePackages(ctx, d)
	if err != nil {
		return Outcome{}, err
	}
	return t.publish(ctx, d.ID, incoming, p.o.Force, func() error { return p.o.StillWanted(ctx, d) })
}

// incoming is a package that is to be in the repository.
type incoming struct {
	pkg     *syncdb.Package
	present bool // its file is in the repository already
	signed  bool // not so, and its signature is staged beside it
}

// publish decides, changes the database and commits.
func (t *Transaction) publish(ctx context.Context, id string, packages []incoming, force bool, wanted func() error) (Outcome, error) {
	out, superseded, err := decide(t.db, packages, force)
	if err != nil {
		return Outcome{}, err
	}
	changed := false
	for _, in := range packages {
		signed := in.present && exists(t.l.abs(t.l.file(in.pkg.Filename+".sig")))
		if e, found := t.db.Get(in.pkg.Name); signed && found && e.Filename == in.pkg.Filename {
			continue
		}
		changed = true
		if err := t.put(ctx, in, signed); err != nil {
			return Outcome{}, err
		}
	}
	if !changed {
		return out, wanted()
	}
	if err := t.heal(); err != nil {
		return Outcome{}, err
	}
	return out, t.finish(ctx, id, superseded, wanted)
}

// put signs a package, adds it to the database and plans to put its files in place.
func (t *Transaction) put(ctx context.Context, in incoming, signed bool) error {
	name := in.pkg.Filename
	sig := t.l.abs(t.l.staged(name + ".sig"))
	switch {
	case signed:
		sig = t.l.abs(t.l.file(name + ".sig"))
	case in.present:
		if err := t.sign(ctx, t.l.file(name), sig); err != nil {
			return err
		}
		t.add(opPlace, t.l.staged(name+".sig"), t.l.file(name+".sig"))
	case in.signed:
		t.place(name)
	default:
		if err := t.sign(ctx, t.l.staged(name), sig); err != nil {
			return err
		}
		t.place(name)
	}
	var err error
	if in.pkg.PGPSig, err = syncdb.ReadSignature(sig); err != nil {
		return err
	}
	return t.db.Put(in.pkg)
}

// stagePackages copies the delivered files into the stage and reads them.
func (t *Transaction) stagePackages(ctx context.Context, d *queue.Delivery) ([]incoming, error) {
	var all []incoming
	for _, f := range d.Result.Files {
		place := landing.PlaceOf(*d.Job, d.Token)
		in, err := t.stagePackage(ctx, f, func(w io.Writer) error { return t.p.o.Zone.Copy(ctx, place, f, w) })
		if err != nil {
			return nil, refusedByZone(err)
		}
		if err := checkContent(in.pkg, d.Job.Pkgbase); err != nil {
			return nil, err
		}
		all = append(all, in)
		t.p.point("staged package")
	}
	return all, nil
}

// stagePackage reads a package that is in the repository, or else the copy of it that it has made in the stage.
func (t *Transaction) stagePackage(ctx context.Context, f queue.File, makeCopy func(io.Writer) error) (incoming, error) {
	path, present := t.l.abs(t.l.file(f.Name)), true
	err := sameFile(ctx, path, f)
	if errors.Is(err, os.ErrNotExist) {
		path, present = t.l.abs(t.l.staged(f.Name)), false
		err = t.p.create(path, makeCopy)
	}
	if err != nil {
		return incoming{}, err
	}
	pkg, err := syncdb.ReadPackage(path)
	if err != nil {
		return incoming{}, refusef("%s: %v", f.Name, errors.Unwrap(err))
	}
	pkg.Filename = f.Name
	if pkg.SHA256 != f.SHA256 {
		return incoming{}, fmt.Errorf("%s changed while it was read", path)
	}
	if err := pkg.CheckFilename(); err != nil {
		return incoming{}, refusef("%v", err)
	}
	return incoming{pkg: pkg, present: present}, nil
}

// refusedByZone tells what is wrong with the upload from what is wrong with our disk.
func refusedByZone(err error) error {
	var mismatch *landing.MismatchError
	var refused *landing.RefusedError
	if errors.As(err, &mismatch) || errors.As(err, &refused) || errors.Is(err, os.ErrNotExist) {
		return refusef("%v", err)
	}
	return err
}

// sameFile compares the file of a package in the repository with what is delivered.
func sameFile(ctx context.Context, path string, f queue.File) error {
	sum, size, err := hashFile(ctx, path)
	if err != nil {
		return err
	}
	if size != f.Size || sum != f.SHA256 {
		return refusef("%s is in the repository already, with other content: raise pkgrel (or CI_PACKAGE_BUMP) to publish a new build", filepath.Base(path))
	}
	return nil
}

// checkContent compares what a package says of itself with what the job was to build.
func checkContent(pkg *syncdb.Package, pkgbase string) error {
	if base := baseOf(pkg.Base, pkg.Name); base != pkgbase {
		return refusef("%s says that its pkgbase is %s, the job builds %s", pkg.Filename, base, pkgbase)
	}
	if b := pkg.Build; b != nil && (b.Pkgname != pkg.Name || b.Pkgver != pkg.Version || baseOf(b.Pkgbase, b.Pkgname) != pkgbase) {
		return refusef("%s: its .BUILDINFO is that of %s %s", pkg.Filename, b.Pkgname, b.Pkgver)
	}
	return nil
}

// baseOf is the pkgbase of a package; one without is its own.
func baseOf(base, name string) string {
	if base == "" {
		return name
	}
	return base
}

// decide checks packages against the database and returns which files they supersede. It changes nothing.
func decide(db *syncdb.DB, packages []incoming, force bool) (out Outcome, superseded []string, err error) {
	for _, in := range packages {
		name := in.pkg.Filename
		if in.present {
			out.Present = append(out.Present, name)
		} else {
			out.Added = append(out.Added, name)
		}
		e, found := db.Get(in.pkg.Name)
		if !found {
			continue
		}
		if err := checkClaim(e, in.pkg); err != nil && !force {
			return Outcome{}, nil, err
		}
		if srcinfo.Vercmp(in.pkg.Version, e.Version) < 0 && !force {
			return Outcome{}, nil, refusef("%s %s is older than %s in the repository: raise the epoch, or publish it by hand with caur-exec repo add --force", e.Name, in.pkg.Version, e.Version)
		}
		if e.Filename != name {
			superseded = append(superseded, e.Filename)
		}
	}
	out.Removed = superseded
	return out, superseded, nil
}

// checkClaim refuses a package of another pkgbase than that of the entry of its name.
func checkClaim(e *syncdb.Entry, pkg *syncdb.Package) error {
	owner, claims := baseOf(e.Base, e.Name), baseOf(pkg.Base, pkg.Name)
	if owner == claims {
		return nil
	}
	return refusef("package %s belongs to pkgbase %s in the repository, so %s may not replace it: remove one of them from the source repository and clean up",
		e.Name, owner, claims)
}

// Most file lists that one transaction repairs, so that a repository without REPO.files does not stop publishing.
const healAtOnce = 32

// heal reads the file lists anew that the files archive lacks (made by hand, or damaged).
func (t *Transaction) heal() error {
	for i, e := range t.db.WithoutFiles() {
		if i == healAtOnce {
			break
		}
		pkg, err := syncdb.ReadPackage(t.l.abs(t.l.file(e.Filename)))
		if err != nil || pkg.Name != e.Name || pkg.Version != e.Version || len(pkg.PGPSig) == 0 {
			continue // the entry stays as it is; repo verify reports it
		}
		if err := t.db.Put(pkg); err != nil {
			return err
		}
	}
	return nil
}
