package syncdb

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// openDB fills d.entries from the db archive.
func (d *DB) openDB(path string) error {
	a, indexed, err := openArchive(path)
	if err != nil {
		return err
	}
	d.db = a
	if !indexed {
		return d.streamDB(a)
	}
	parts := make([][]*Entry, len(a.groups))
	dec, err := newDecoder(runtime.GOMAXPROCS(0))
	if err != nil {
		return err
	}
	defer dec.Close()
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, at := range a.groups {
		g.Go(func() error {
			plain, err := a.content(at, dec)
			if err != nil {
				return err
			}
			parts[i], err = readEntries(bytes.NewReader(plain))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	d.take(slices.Concat(parts...))
	return nil
}

func (d *DB) streamDB(a *archive) error {
	plain, err := decompress(a.f)
	if err != nil {
		return err
	}
	defer plain.Close()
	entries, err := readEntries(plain)
	if err != nil {
		return err
	}
	d.take(entries)
	return nil
}

// take makes entries, of any order, the content of d. Of several of one name the last counts, as with repo-add.
func (d *DB) take(entries []*Entry) {
	slices.SortStableFunc(entries, func(a, b *Entry) int { return strings.Compare(a.Name, b.Name) })
	kept := entries[:0]
	for i, e := range entries {
		if i+1 == len(entries) || entries[i+1].Name != e.Name {
			kept = append(kept, e)
		}
	}
	d.entries = kept
}

// readEntries reads the descs of a tar stream. Databases of pacman before 4.2 have a second file, depends, which
// continues the desc.
func readEntries(r io.Reader) ([]*Entry, error) {
	type found struct{ dir, desc, depends string }
	var all []*found
	var m memberReader
	err := members(r, func(dir, name string, size int64, body io.Reader) error {
		if name != "desc" && name != "depends" {
			return nil
		}
		content, err := m.read(body, size)
		if err != nil {
			return err
		}
		if len(all) == 0 || all[len(all)-1].dir != dir {
			all = append(all, &found{dir: dir})
		}
		if name == "desc" {
			all[len(all)-1].desc = content
		} else {
			all[len(all)-1].depends = content
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	entries := make([]*Entry, len(all))
	for i, f := range all {
		if entries[i], err = newEntry(f.dir, f.desc+f.depends); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// openFiles gives the entries the file lists of the files archive. Groups that hold the same entries as here are
// only noted; the rest of the archive, all of it when there is no index, is read.
func (d *DB) openFiles(path string) error {
	a, indexed, err := openArchive(path)
	if err != nil {
		return err
	}
	d.files = a
	if !indexed {
		plain, err := decompress(a.f)
		if err != nil {
			return err
		}
		defer plain.Close()
		return d.spoolFiles(plain)
	}
	for _, e := range d.entries {
		e.files.group = &group{} // an index counts on every entry having its list
	}
	used := make(map[*group]bool)
	var buf []byte
	for _, entries := range groupsOf(d.entries) {
		g := a.bySum[sumOf(entries, true)]
		if g != nil {
			if buf, err = a.frame(g, buf); err != nil {
				delete(a.bySum, g.sum) // damaged, never to be copied
				g = nil
			}
		}
		for _, e := range entries {
			e.files.group = g
		}
		used[g] = true
	}
	if !used[nil] {
		return nil
	}
	return d.spoolGroups(a, used)
}

// spoolGroups reads the groups of the files archive that match none of ours. Damaged ones are passed over: their
// entries show up in WithoutFiles.
func (d *DB) spoolGroups(a *archive, used map[*group]bool) error {
	dec, err := newDecoder(1)
	if err != nil {
		return err
	}
	defer dec.Close()
	for _, g := range a.groups {
		if used[g] {
			continue
		}
		plain, err := a.content(g, dec)
		if err != nil {
			continue
		}
		if err := d.spoolFiles(bytes.NewReader(plain)); err != nil {
			return err
		}
	}
	return nil
}

// spoolFiles takes the file lists of a tar stream for the entries that have none.
func (d *DB) spoolFiles(r io.Reader) error {
	wanted := make(map[string]*Entry)
	for _, e := range d.entries {
		if !e.files.known() {
			wanted[e.dir()] = e
		}
	}
	if d.spool == nil {
		s, err := newSpool()
		if err != nil {
			return fmt.Errorf("keep file lists: %w", err)
		}
		d.spool = s
	}
	var m memberReader
	return members(r, func(dir, name string, size int64, body io.Reader) error {
		e := wanted[dir]
		if name != "files" || e == nil {
			return nil
		}
		raw, err := m.read(body, size)
		if err != nil {
			return err
		}
		e.files.spool, err = d.spool.add(raw)
		return err
	})
}
