package publish

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A pair is a directory with the signed databases of one publish under the names that readers ask for: REPO.db,
// REPO.files and their .sig. It never changes, and stays for a while after it was superseded. The link current names the
// newest. Server sends readers there; see doc.go.

const (
	current   = "current"
	keepPairs = 10 * time.Minute // after they were superseded; how long a reader may take for a database
	mostPairs = 64
)

// pair plans to put the staged databases into a pair too, as second names of the same files, and to remove old ones.
func (t *Transaction) pair() error {
	at := filepath.Join(t.l.pairs(), current)
	if !t.p.o.SignDB {
		t.add(opRemove, "", at)
		return nil
	}
	if err := t.p.mkdir(t.l.abs(t.l.pairs())); err != nil {
		return err
	}
	old, err := pairsBefore(t.l.abs(t.l.pairs()), t.p.o.Now())
	if err != nil {
		return err
	}
	staged := filepath.Join(t.l.stage(), "pair")
	if err := t.p.disk.Mkdir(t.l.abs(staged)); err != nil {
		return err
	}
	for _, kind := range []string{"db", "files"} {
		for _, ext := range []string{"", ".sig"} {
			name := t.l.dbName(kind) + ext
			served := filepath.Join(staged, t.l.repo+"."+kind+ext)
			if err := t.p.disk.Link(t.l.abs(t.l.staged(name)), t.l.abs(served)); err != nil {
				return err
			}
		}
	}
	if err := t.p.disk.Sync(t.l.abs(staged)); err != nil {
		return err
	}
	name := strings.ToLower(rand.Text())
	t.add(opPlace, staged, filepath.Join(t.l.pairs(), name))
	t.add(opSync, "", t.l.pairs())
	t.add(opLink, name, at)
	t.add(opSync, "", t.l.pairs())
	for _, name := range old {
		t.add(opPrune, "", filepath.Join(t.l.pairs(), name))
	}
	return nil
}

// pairsBefore lists the pairs that nobody reads any more: each was superseded when the next one came.
func pairsBefore(dir string, now time.Time) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	type pair struct {
		name string
		came time.Time
	}
	var all []pair
	for _, e := range entries {
		if came, err := changed(filepath.Join(dir, e.Name())); err == nil && e.IsDir() {
			all = append(all, pair{e.Name(), came})
		}
	}
	slices.SortFunc(all, func(a, b pair) int { return a.came.Compare(b.came) })
	var old []string
	for i := range len(all) - 1 {
		if now.Sub(all[i+1].came) > keepPairs || len(all)-i > mostPairs {
			old = append(old, all[i].name)
		}
	}
	return old, nil
}
