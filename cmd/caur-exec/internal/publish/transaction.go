package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/caur-build/caur/internal/syncdb"
)

// Transaction is one change of one target repo and architecture, from what is staged to what is applied.
type Transaction struct {
	p     *Publisher
	l     layout
	db    *syncdb.DB
	steps []step
}

// step is one idempotent change. Paths are relative to the directory of the target repo.
type step struct {
	Op   string `json:"op"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// The operations of a step.
const (
	opPlace   = "place"   // rename From, staged, to To; done when From is gone and To is there
	opArchive = "archive" // rename From to To and note the time; done when From is gone
	opLink    = "link"    // make To a symbolic link to From
	opRemove  = "remove"  // remove To, if it is there
	opSync    = "sync"    // sync the directory To
)

const journalVersion = 1

type journal struct {
	Version int    `json:"version"`
	ID      string `json:"id"` // of the delivery, for people
	Steps   []step `json:"steps"`
}

// begin recovers what an earlier process left, empties the stage and reads the database. The caller holds the lock
// and calls end.
func (p *Publisher) begin(l layout) (*Transaction, error) { return p.beginWith(l, l.open) }

func (p *Publisher) beginWith(l layout, open func() (*syncdb.DB, error)) (*Transaction, error) {
	if err := p.recover(l); err != nil {
		return nil, err
	}
	for _, dir := range []string{l.arch, archiveDir, l.stage()} {
		if err := os.MkdirAll(l.abs(dir), 0o755); err != nil {
			return nil, err
		}
	}
	db, err := open()
	if err != nil {
		return nil, err
	}
	return &Transaction{p: p, l: l, db: db}, nil
}

// end releases what begin took and empties the stage, unless the transaction is committed and not fully applied.
func (t *Transaction) end() {
	t.db.Close()
	if !exists(t.l.abs(t.l.journal())) {
		_ = os.RemoveAll(t.l.abs(t.l.stage()))
	}
}

func (t *Transaction) add(op, from, to string) {
	t.steps = append(t.steps, step{Op: op, From: from, To: to})
}

// place moves a staged package and its signature into the repository.
func (t *Transaction) place(name string) {
	t.add(opPlace, t.l.staged(name+".sig"), t.l.file(name+".sig"))
	t.add(opPlace, t.l.staged(name), t.l.file(name))
}

// finish writes the databases of t.db and adds the steps that put them into place and move superseded, names of
// package files, to the archive; then it commits and applies.
func (t *Transaction) finish(ctx context.Context, id string, superseded []string, wanted func() error) error {
	t.p.point("before database")
	if len(t.steps) > 0 {
		t.add(opSync, "", t.l.arch)
	}
	for _, kind := range []string{"files", "db"} {
		if err := t.stageDB(ctx, kind); err != nil {
			return err
		}
	}
	t.add(opSync, "", t.l.arch)
	for _, name := range superseded {
		t.add(opArchive, t.l.file(name), t.l.archive(name))
		t.add(opArchive, t.l.file(name+".sig"), t.l.archive(name+".sig"))
	}
	if len(superseded) > 0 {
		t.add(opSync, "", archiveDir)
		t.add(opSync, "", t.l.arch)
	}
	if err := t.commit(id, wanted); err != nil {
		return err
	}
	if err := t.p.apply(t.l, t.steps, t.db); err != nil {
		return fmt.Errorf("the change is committed but not complete, it goes on at the next attempt: %w", err)
	}
	return nil
}

func (t *Transaction) stageDB(ctx context.Context, kind string) error {
	name := t.l.dbName(kind)
	part := t.l.staged(name)
	write := t.db.WriteDB
	if kind == "files" {
		write = t.db.WriteFiles
	}
	// The name of what is written must tell its compression; the stage is ours, so a second name does no harm.
	made := strings.TrimSuffix(t.l.abs(part), ".part")
	if err := write(made); err != nil {
		return err
	}
	if err := os.Rename(made, t.l.abs(part)); err != nil {
		return err
	}
	t.p.point("staged " + kind)
	link := strings.TrimSuffix(name, ".tar.zst")
	if !t.p.o.SignDB {
		// A signature of an older database would make every reader with SigLevel = Optional fail.
		t.add(opRemove, "", t.l.file(link+".sig"))
		t.add(opRemove, "", t.l.file(name+".sig"))
		t.add(opPlace, part, t.l.file(name))
		t.add(opLink, name, t.l.file(link))
		return nil
	}
	if err := t.sign(ctx, name); err != nil {
		return err
	}
	t.add(opPlace, part, t.l.file(name))
	t.add(opPlace, t.l.staged(name+".sig"), t.l.file(name+".sig"))
	t.add(opLink, name, t.l.file(link))
	t.add(opLink, name+".sig", t.l.file(link+".sig"))
	return nil
}

// sign makes the signature of a staged file, also staged and synced.
func (t *Transaction) sign(ctx context.Context, name string) error {
	sig := t.l.abs(t.l.staged(name + ".sig"))
	if err := t.p.o.Signer.Sign(ctx, t.l.abs(t.l.staged(name)), sig); err != nil {
		return err
	}
	t.p.point("signed")
	if err := os.Chmod(sig, 0o644); err != nil {
		return err
	}
	return syncPath(sig)
}

// commit writes the journal. Nothing has changed for readers when it fails.
func (t *Transaction) commit(id string, wanted func() error) error {
	if err := syncPath(t.l.abs(t.l.stage())); err != nil {
		return err
	}
	data, err := json.MarshalIndent(journal{Version: journalVersion, ID: id, Steps: t.steps}, "", "\t")
	if err != nil {
		return err
	}
	tmp := t.l.abs(t.l.journal()) + ".part"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return err
	}
	if err := syncPath(tmp); err != nil {
		return err
	}
	t.p.point("journal written")
	if err := wanted(); err != nil {
		os.Remove(tmp)
		return err
	}
	t.p.point("wanted")
	if err := os.Rename(tmp, t.l.abs(t.l.journal())); err != nil {
		return err
	}
	t.p.point("committed")
	return syncPath(t.l.abs(t.l.state()))
}

// apply makes the steps, writes the lists and removes the journal. It may be called again at any time until then. db
// is the database that the steps put in place; nil makes it be read.
func (p *Publisher) apply(l layout, steps []step, db *syncdb.DB) error {
	for _, s := range steps {
		if err := s.apply(l, p.o.Now()); err != nil {
			return fmt.Errorf("%s %s: %w", s.Op, s.To, err)
		}
		p.point("step " + s.Op + " " + s.To)
	}
	if err := p.writeLists(l, db); err != nil {
		return fmt.Errorf("write lists: %w", err)
	}
	p.point("lists")
	if err := os.Remove(l.abs(l.journal())); err != nil {
		return err
	}
	p.point("journal removed")
	return syncPath(l.abs(l.state()))
}

func (s step) apply(l layout, now time.Time) error {
	from, to := l.abs(s.From), l.abs(s.To)
	switch s.Op {
	case opPlace:
		err := os.Rename(from, to)
		if errors.Is(err, fs.ErrNotExist) && exists(to) {
			return nil
		}
		return err
	case opArchive:
		err := os.Chtimes(from, now, now)
		if err == nil {
			err = os.Rename(from, to)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	case opLink:
		return link(l, s.From, to)
	case opRemove:
		if err := os.Remove(to); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	case opSync:
		return syncPath(to)
	}
	return fmt.Errorf("unknown operation %q: the journal is of a newer version of this program", s.Op)
}

// link points to at target without a moment in which it is not there.
func link(l layout, target, to string) error {
	if now, err := os.Readlink(to); err == nil && now == target {
		return nil
	}
	tmp := l.abs(filepath.Join(l.state(), "link.part"))
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	return os.Rename(tmp, to)
}

// recover completes a committed transaction or forgets one that was not committed.
func (p *Publisher) recover(l layout) error {
	data, err := os.ReadFile(l.abs(l.journal()))
	if errors.Is(err, fs.ErrNotExist) {
		os.Remove(l.abs(l.journal()) + ".part")
		return os.RemoveAll(l.abs(l.stage()))
	}
	if err != nil {
		return err
	}
	j, err := parseJournal(data)
	if err != nil {
		return fmt.Errorf("journal %s: %w", l.abs(l.journal()), err)
	}
	if err := p.apply(l, j.Steps, nil); err != nil {
		return fmt.Errorf("complete transaction %s: %w", j.ID, err)
	}
	return os.RemoveAll(l.abs(l.stage()))
}

func parseJournal(data []byte) (*journal, error) {
	var j journal
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&j); err != nil {
		return nil, err
	}
	if j.Version != journalVersion {
		return nil, fmt.Errorf("version %d, this program knows %d: recover with the program that wrote it", j.Version, journalVersion)
	}
	for _, s := range j.Steps {
		local := func(path string) bool { return path == "" || filepath.IsLocal(path) }
		if !local(s.From) || !local(s.To) {
			return nil, fmt.Errorf("step %s %q %q leaves the repository", s.Op, s.From, s.To)
		}
	}
	return &j, nil
}
