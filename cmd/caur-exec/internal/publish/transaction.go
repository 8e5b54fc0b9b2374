package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	dated time.Time // of the databases that it writes
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
	opPrune   = "prune"   // remove the directory To with all that is in it
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
		if err := p.mkdir(l.abs(dir)); err != nil {
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
		_ = t.p.disk.RemoveAll(t.l.abs(t.l.stage()))
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
	t.dated = t.date()
	if len(t.steps) > 0 {
		t.add(opSync, "", t.l.arch)
	}
	for _, kind := range []string{"files", "db"} {
		if err := t.stageDB(ctx, kind); err != nil {
			return err
		}
	}
	if err := t.pair(); err != nil {
		return err
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

// date is when the new databases were changed, as readers are told: at least a second after the old ones, because in
// HTTP times have whole seconds. Else a reader that asks for what changed since its last visit would be told that
// nothing has, of the database, of the signature, or of one of them.
func (t *Transaction) date() time.Time {
	at := t.p.o.Now()
	for _, kind := range []string{"files", "db"} {
		if st, err := os.Stat(t.l.abs(t.l.file(t.l.dbName(kind)))); err == nil && !at.Truncate(time.Second).After(st.ModTime()) {
			at = st.ModTime().Truncate(time.Second).Add(time.Second)
		}
	}
	return at
}

func (t *Transaction) stageDB(ctx context.Context, kind string) error {
	name := t.l.dbName(kind)
	part, link := t.l.staged(name), strings.TrimSuffix(name, ".tar.zst")
	encode := t.db.EncodeDB
	if kind == "files" {
		encode = t.db.EncodeFiles
	}
	if err := t.p.create(t.l.abs(part), encode); err != nil {
		return err
	}
	if err := t.p.disk.Touch(t.l.abs(part), t.dated); err != nil {
		return err
	}
	t.p.point("staged " + kind)
	if !t.p.o.SignDB {
		// A signature of an older database would make every reader with SigLevel = Optional fail.
		t.add(opRemove, "", t.l.file(link+".sig"))
		t.add(opRemove, "", t.l.file(name+".sig"))
		t.add(opPlace, part, t.l.file(name))
		t.add(opLink, name, t.l.file(link))
		return nil
	}
	sig := t.l.abs(t.l.staged(name + ".sig"))
	if err := t.sign(ctx, part, sig); err != nil {
		return err
	}
	if err := t.p.disk.Touch(sig, t.dated); err != nil {
		return err
	}
	t.add(opPlace, part, t.l.file(name))
	t.add(opPlace, t.l.staged(name+".sig"), t.l.file(name+".sig"))
	t.add(opLink, name, t.l.file(link))
	t.add(opLink, name+".sig", t.l.file(link+".sig"))
	return nil
}

// sign writes the signature of a file, whose path is relative to the target repo, to sig in the stage.
func (t *Transaction) sign(ctx context.Context, rel, sig string) error {
	signature, err := t.p.o.Signer.Sign(ctx, t.l.abs(rel))
	if err != nil {
		return err
	}
	t.p.point("signed")
	return t.p.create(sig, func(w io.Writer) error { _, err := w.Write(signature); return err })
}

// commit writes the journal. Nothing has changed for readers when it fails.
func (t *Transaction) commit(id string, wanted func() error) error {
	if err := t.p.disk.Sync(t.l.abs(t.l.stage())); err != nil {
		return err
	}
	data, err := json.MarshalIndent(journal{Version: journalVersion, ID: id, Steps: t.steps}, "", "\t")
	if err != nil {
		return err
	}
	tmp := t.l.abs(t.l.journal()) + ".part"
	if err := t.p.create(tmp, func(w io.Writer) error { _, err := w.Write(data); return err }); err != nil {
		return err
	}
	t.p.point("journal written")
	if err := wanted(); err != nil {
		_ = t.p.disk.Remove(tmp)
		return err
	}
	t.p.point("wanted")
	if err := t.p.disk.Rename(tmp, t.l.abs(t.l.journal())); err != nil {
		return err
	}
	t.p.point("committed")
	return t.p.disk.Sync(t.l.abs(t.l.state()))
}

// apply makes the steps, writes the lists and removes the journal. It may be called again at any time until then. db
// is the database that the steps put in place; nil makes it be read.
func (p *Publisher) apply(l layout, steps []step, db *syncdb.DB) error {
	for _, s := range steps {
		if err := p.step(l, s); err != nil {
			return fmt.Errorf("%s %s: %w", s.Op, s.To, err)
		}
		p.point("step " + s.Op + " " + s.To)
	}
	if err := p.writeLists(l, db); err != nil {
		return fmt.Errorf("write lists: %w", err)
	}
	p.point("lists")
	if err := p.disk.Remove(l.abs(l.journal())); err != nil {
		return err
	}
	p.point("journal removed")
	return p.disk.Sync(l.abs(l.state()))
}

func (p *Publisher) step(l layout, s step) error {
	from, to := l.abs(s.From), l.abs(s.To)
	switch s.Op {
	case opPlace:
		err := p.disk.Rename(from, to)
		if errors.Is(err, fs.ErrNotExist) && exists(to) {
			return nil
		}
		return err
	case opArchive:
		err := p.disk.Touch(from, p.o.Now())
		if err == nil {
			err = p.disk.Rename(from, to)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	case opLink:
		return p.link(l, s.From, to)
	case opRemove:
		return p.remove(to)
	case opSync:
		return p.disk.Sync(to)
	case opPrune:
		return p.disk.RemoveAll(to)
	}
	return fmt.Errorf("unknown operation %q: the journal is of a newer version of this program", s.Op)
}

// link points to at target without a moment in which it is not there.
func (p *Publisher) link(l layout, target, to string) error {
	if now, err := os.Readlink(to); err == nil && now == target {
		return nil
	}
	tmp := l.abs(filepath.Join(l.state(), "link.part"))
	if err := p.remove(tmp); err != nil {
		return err
	}
	if err := p.disk.Symlink(target, tmp); err != nil {
		return err
	}
	return p.disk.Rename(tmp, to)
}

// recover completes a committed transaction or forgets one that was not committed.
func (p *Publisher) recover(l layout) error {
	data, err := os.ReadFile(l.abs(l.journal()))
	if errors.Is(err, fs.ErrNotExist) {
		if err := p.remove(l.abs(l.journal()) + ".part"); err != nil {
			return err
		}
		return p.disk.RemoveAll(l.abs(l.stage()))
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
	return p.disk.RemoveAll(l.abs(l.stage()))
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
