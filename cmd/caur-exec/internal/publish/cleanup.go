package publish

import (
	"context"
	"fmt"

	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/pkg/queue"
)

// Cleanup removes, from the architecture that the delivery names or from all, every package whose pkgbase is not
// listed, and of a listed pkgbase the split packages that its newest build no longer produced. An empty list, or one
// that would remove more than a third of a repository, is refused unless the clean-up is forced.
func (p *Publisher) Cleanup(ctx context.Context, d *queue.Delivery) (Outcome, error) {
	out, err := p.cleanup(ctx, d)
	if err != nil {
		return Outcome{}, fmt.Errorf("clean up %s: %w", d.ID, err)
	}
	return out, nil
}

func (p *Publisher) cleanup(ctx context.Context, d *queue.Delivery) (Outcome, error) {
	c := d.Cleanup
	if c == nil {
		return Outcome{}, refusef("the delivery names no clean-up")
	}
	if len(c.Pkgbases) == 0 && !c.Force {
		return Outcome{}, refusef("the list of packages that stay is empty: that would remove the whole repository; force it if that is meant")
	}
	l, err := p.layout(c.TargetRepo, "any")
	if err != nil {
		return Outcome{}, err
	}
	names := []string{c.Arch}
	if c.Arch == "" {
		if names, err = arches(l.root, l.repo); err != nil {
			return Outcome{}, err
		}
	}
	if !exists(l.root) {
		return Outcome{}, nil // nothing was published yet
	}
	unlock, err := p.lock(ctx, l.root)
	if err != nil {
		return Outcome{}, err
	}
	defer unlock()
	var all Outcome
	for _, arch := range names {
		if l, err = p.layout(c.TargetRepo, arch); err != nil {
			return Outcome{}, err
		}
		removed, err := p.cleanupArch(ctx, l, d)
		if err != nil {
			return Outcome{}, err
		}
		all.Removed = append(all.Removed, removed...)
	}
	return all, nil
}

func (p *Publisher) cleanupArch(ctx context.Context, l layout, d *queue.Delivery) ([]string, error) {
	if !exists(l.abs(l.arch)) {
		return nil, nil
	}
	t, err := p.begin(l)
	if err != nil {
		return nil, err
	}
	defer t.end()
	doomed := unwanted(t.db, d.Cleanup.Pkgbases)
	if len(doomed) == 0 {
		return nil, nil
	}
	if total := t.db.Len(); len(doomed)*3 > total && !d.Cleanup.Force {
		return nil, refusef("%d of the %d packages in %s/%s would be removed, more than a third: force it if that is meant", len(doomed), total, l.repo, l.arch)
	}
	var files []string
	for _, e := range doomed {
		t.db.Remove(e.Name)
		files = append(files, e.Filename)
	}
	if err := t.heal(); err != nil {
		return nil, err
	}
	err = t.finish(ctx, d.ID, files, func() error { return p.o.StillWanted(ctx, d) })
	return files, err
}

// unwanted lists the entries that a clean-up removes. The newest build of a pkgbase is that of its newest package by
// build date; what has another version was not produced by it.
func unwanted(db *syncdb.DB, pkgbases []string) []*syncdb.Entry {
	stays := make(map[string]bool, len(pkgbases))
	for _, base := range pkgbases {
		stays[base] = true
	}
	type build struct {
		date    int64
		version string
	}
	newest := make(map[string]build)
	for e := range db.Each() {
		base := baseOf(e.Base, e.Name)
		if b, found := newest[base]; stays[base] && (!found || e.BuildDate().Unix() > b.date) {
			newest[base] = build{e.BuildDate().Unix(), e.Version}
		}
	}
	var doomed []*syncdb.Entry
	for e := range db.Each() {
		base := baseOf(e.Base, e.Name)
		if !stays[base] || newest[base].version != e.Version {
			doomed = append(doomed, e)
		}
	}
	return doomed
}
