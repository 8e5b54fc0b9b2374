package candidates

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/pkg/aursync"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/srcinfo"
	"github.com/caur-build/caur/pkg/state"
)

// AUROptions of NewAUR.
type AUROptions struct {
	Client *aursync.Client
	// Style says how the PKGBUILD of a package is laid out (path: PKGBASE/PKGBUILD); nil: shfmt's default.
	Style func(path string) (pkgbuild.Style, error)
	// Fallback is the timestamp of packages that have none of their own: that of .ci/aur-state.
	Fallback time.Time
	// Now is the time of this run, noted for accounts that were not seen before.
	Now time.Time
}

// AUR finds updates of packages that come from the AUR (pipeline.md section 5.1). Every timestamp it sets is one that
// the AUR gave for what was taken over, never the time of this run: an update that a run misses is found by the next.
type AUR struct {
	o        AUROptions
	snapshot *aursync.Snapshot // of Prepare
	fetched  map[string]*aursync.Fetched

	mu     sync.Mutex
	oldest time.Time // LastModified of the oldest update that could not be taken over; the zero time when there is none
}

// NewAUR makes the source.
func NewAUR(o AUROptions) *AUR { return &AUR{o: o} }

// Name is SourceAUR.
func (*AUR) Name() string { return SourceAUR }

// Wants packages whose source is the AUR.
func (*AUR) Wants(p *Package) bool { return p.Config.Source.Kind == state.SourceAUR }

// Prepare asks for the metadata of all packages, and fetches those that are newer than what was taken over.
func (a *AUR) Prepare(ctx context.Context, packages []*Package) error {
	wants := make([]aursync.Want, len(packages))
	for i, p := range packages {
		wants[i].Pkgbase = p.Pkgbase
		if p.Info != nil {
			wants[i].Pkgnames = p.Info.Pkgnames()
		}
	}
	snapshot, err := a.o.Client.Metadata(ctx, wants)
	if err != nil {
		return err
	}
	var newer []string
	since := map[string]time.Time{}
	for _, p := range packages {
		if meta := snapshot.Packages[p.Pkgbase]; meta != nil && a.newer(p, meta) {
			newer = append(newer, p.Pkgbase)
			since[p.Pkgbase] = a.known(p)
		}
	}
	fetched, err := a.o.Client.Fetch(ctx, newer)
	if err != nil {
		return fmt.Errorf("fetch the updates of the AUR: %w", err)
	}
	if err := a.mend(ctx, snapshot, newer, since, fetched); err != nil {
		return fmt.Errorf("fetch the updates of the AUR: %w", err)
	}
	a.snapshot, a.fetched = snapshot, fetched
	return nil
}

// known is the LastModified of what was taken over last.
func (a *AUR) known(p *Package) time.Time {
	if p.State.Timestamp.IsZero() {
		return a.o.Fallback
	}
	return p.State.Timestamp
}

func (a *AUR) newer(p *Package, meta *aursync.Meta) bool { return meta.LastModified.After(a.known(p)) }

// mend looks for packages whose update the mirror does not have yet: it may be minutes behind the AUR. To take what it has
// and to note the AUR's time for it would lose the update for good. These few are asked of the AUR itself.
func (a *AUR) mend(ctx context.Context, snapshot *aursync.Snapshot, names []string, since map[string]time.Time, fetched map[string]*aursync.Fetched) error {
	var late []string
	for _, name := range names {
		if f := fetched[name]; f != nil && f.Err == nil && behind(f, snapshot.Packages[name], since[name]) {
			late = append(late, name)
		}
	}
	direct, err := a.o.Client.FetchDirect(ctx, late)
	if err != nil {
		return err
	}
	for _, name := range late {
		if f := direct[name]; f.Err == nil {
			fetched[name] = f
			continue
		}
		fetched[name] = &aursync.Fetched{Err: fmt.Errorf("the mirror does not have version %s of %s yet; from the AUR itself: %w",
			snapshot.Packages[name].Version, snapshot.Packages[name].LastModified.Format(time.RFC3339), direct[name].Err)}
	}
	return nil
}

// behind says whether a commit seems to be older than what the AUR announces: by its version, or because it was made
// before what we have had already was changed.
func behind(f *aursync.Fetched, meta *aursync.Meta, since time.Time) bool {
	if have := versionOf(f.Files); have != "" && srcinfo.Vercmp(have, meta.Version) < 0 {
		return true
	}
	return !since.IsZero() && !f.Commit.Time.After(since)
}

// Check compares what was fetched with the package.
func (a *AUR) Check(ctx context.Context, d *Draft) error {
	p := d.Package
	meta := a.snapshot.Packages[p.Pkgbase]
	if meta == nil {
		if to := a.snapshot.Moved[p.Pkgbase]; to != "" {
			d.Note(SourceAUR, "the AUR has no pkgbase %s any more, it is part of %s now: follow it or drop it", p.Pkgbase, to)
		} else {
			d.Note(SourceAUR, "the AUR has no pkgbase %s any more: look for its new place, keep it by hand (CI_PKGBUILD_SOURCE=custom) or drop it", p.Pkgbase)
		}
		return nil
	}
	d.AUR = meta
	d.State.Held = d.State.Held.Seen(meta.Maintainers(), a.o.Now)
	if !meta.OutOfDate.IsZero() {
		d.Note(SourceAUR, "flagged out of date on the AUR since %s", meta.OutOfDate.Format(time.DateOnly))
	}
	if !a.newer(p, meta) {
		return nil
	}
	if err := a.takeOver(ctx, d, meta); err != nil {
		a.missed(meta)
		return err
	}
	d.State.Timestamp = meta.LastModified
	d.State.AURMaintainers = meta.Maintainers()
	return nil
}

func (a *AUR) takeOver(ctx context.Context, d *Draft, meta *aursync.Meta) error {
	f := a.fetched[meta.Pkgbase]
	if f == nil {
		return errors.New("it was not fetched")
	}
	if f.Err != nil {
		return f.Err
	}
	ours, err := d.Files(ctx)
	if err != nil {
		return err
	}
	remote, err := a.laidOut(d, f.Files)
	if err != nil {
		return fmt.Errorf("commit %.12s of the AUR: %w", f.Commit.ID, err)
	}
	commit := f.Commit
	d.AURCommit = &commit
	if next := ours.Take(remote); !next.Equal(ours) {
		d.Change(SourceAUR, aurReason(ours, next, commit), next)
	}
	return nil
}

// laidOut gives the remote's files with a PKGBUILD as shfmt would lay it out, or as it is where that cannot be done: the
// review looks at it all the same.
func (a *AUR) laidOut(d *Draft, remote pkgdir.Dir) (pkgdir.Dir, error) {
	recipe, err := regularFile(remote, "PKGBUILD")
	if err != nil {
		return nil, err
	}
	if _, err := regularFile(remote, srcinfoName); err != nil {
		return nil, err
	}
	var style pkgbuild.Style
	if a.o.Style != nil {
		if style, err = a.o.Style(d.Package.Pkgbase + "/PKGBUILD"); err != nil {
			return nil, err
		}
	}
	text, err := format(recipe.Data, style)
	if err != nil {
		d.Note(SourceAUR, "the PKGBUILD is kept as it is, since it cannot be formatted: %v", err)
		return remote, nil
	}
	remote = remote.Clone()
	remote["PKGBUILD"] = pkgdir.File{Kind: recipe.Kind, Data: text}
	return remote, nil
}

// format is pkgbuild.Format, for a text that may bring a fault of a parser to light.
func format(recipe []byte, style pkgbuild.Style) (text []byte, err error) {
	err = guarded(func() error {
		text, err = pkgbuild.Format("PKGBUILD", recipe, style)
		return err
	})
	return text, err
}

// aurReason is a phrase for what an update changes.
func aurReason(ours, next pkgdir.Dir, commit aursync.Commit) string {
	if older, newer := versionOf(ours), versionOf(next); older != "" && newer != "" && older != newer {
		return older + " → " + newer
	}
	var names []string
	for i, change := range pkgdir.Diff(ours, next) {
		if i == 4 {
			names = append(names, "…")
			break
		}
		names = append(names, change.Path)
	}
	return fmt.Sprintf("commit %.12s changes %s", commit.ID, strings.Join(names, ", "))
}

// missed remembers an update that was not taken over.
func (a *AUR) missed(meta *aursync.Meta) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.oldest.IsZero() || meta.LastModified.Before(a.oldest) {
		a.oldest = meta.LastModified
	}
}

// Taken is the time up to which everything that the AUR had was looked at, by the AUR's clock: when its answer was made,
// or just before the oldest update that could not be taken over. It is for .ci/aur-state, which packages without a timestamp
// of their own go by. The zero time says that the AUR was not asked. Call it after all of Check.
func (a *AUR) Taken() time.Time {
	if a.snapshot == nil {
		return time.Time{}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if before := a.oldest.Add(-time.Second); !a.oldest.IsZero() && before.Before(a.snapshot.Taken) {
		return before
	}
	return a.snapshot.Taken
}

// Warnings are what people should know of the run as a whole: that the archive could not be used, and why.
func (a *AUR) Warnings() []string {
	if a.snapshot == nil || a.snapshot.Fallback == nil {
		return nil
	}
	return []string{fmt.Sprintf("%v; its RPC interface was asked instead", a.snapshot.Fallback)}
}
