package syncdb

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
)

// DB is the content of a repository's two archives, REPO.db and REPO.files. Names are unique; entries are kept in
// the order of their names. Close it when done: file lists of unchanged entries stay in the archives until they
// are asked for.
type DB struct {
	entries []*Entry
	db      *archive // where unchanged groups of the db archive are copied from; nil when there is none
	files   *archive // the same of the files archive
	spool   *spool   // file lists that came from an archive without an index
}

// Entry is one package of a database. Package gives all fields.
type Entry struct {
	Name, Version, Base, Filename string

	desc  string
	sum   sum // of directory name and desc, once it was needed
	files fileList
}

// fileList is where the file list of an entry is: in memory, in a group of the files archive or in the spool; the
// zero value means that there is none.
type fileList struct {
	raw   string // content of the member "files"
	group *group
	spool *spooled
}

func (l fileList) known() bool { return l.raw != "" || l.group != nil || l.spool != nil }

// New returns an empty database.
func New() *DB { return &DB{} }

// Read reads one archive: a db (no file lists) or, told by ".files" in its name, a files archive.
func Read(path string) (*DB, error) {
	if strings.Contains(path[strings.LastIndexByte(path, '/')+1:], ".files") {
		return Open(path, path)
	}
	return Open(path, "")
}

// Open reads the db archive at db and takes the file lists of its entries from the files archive at files; an
// empty or missing files archive leaves the entries without (see WithoutFiles). A missing db archive is an error
// for which errors.Is(err, fs.ErrNotExist) holds.
func Open(db, files string) (*DB, error) {
	d := &DB{}
	if err := d.openDB(db); err != nil {
		d.Close()
		return nil, fmt.Errorf("read database %s: %w", db, err)
	}
	if files == "" {
		return d, nil
	}
	if err := d.openFiles(files); err != nil && !errors.Is(err, os.ErrNotExist) {
		d.Close()
		return nil, fmt.Errorf("read file lists %s: %w", files, err)
	}
	return d, nil
}

// Close releases the archives. The DB must not be used afterwards.
func (d *DB) Close() error {
	var errs []error
	for _, a := range []*archive{d.db, d.files} {
		if a != nil {
			errs = append(errs, a.f.Close())
		}
	}
	if d.spool != nil {
		errs = append(errs, d.spool.f.Close())
	}
	d.db, d.files, d.spool = nil, nil, nil
	return errors.Join(errs...)
}

func (d *DB) find(name string) (int, bool) {
	return slices.BinarySearchFunc(d.entries, name, func(e *Entry, name string) int { return cmp.Compare(e.Name, name) })
}

// Put adds p, replacing the entry of the same name. A package whose desc could not be read back as it is meant
// (an illegal file name, a line break in a value) is refused and changes nothing.
func (d *DB) Put(p *Package) error {
	if err := p.CheckFilename(); err != nil {
		return err
	}
	desc := string(p.Desc())
	if back, err := ParseDesc([]byte(desc)); err != nil || string(back.Desc()) != desc {
		return fmt.Errorf("package %s %s: a value would be read back as something else", p.Name, p.Version)
	}
	e, err := newEntry(p.Name+"-"+p.Version, desc)
	if err != nil {
		return err
	}
	e.files.raw = filesMember(p.Files)
	d.put(e)
	return nil
}

func (d *DB) put(e *Entry) {
	i, found := d.find(e.Name)
	if found {
		d.entries[i] = e
		return
	}
	d.entries = slices.Insert(d.entries, i, e)
}

// Remove takes the entry of that name out; it says whether there was one.
func (d *DB) Remove(name string) bool {
	i, found := d.find(name)
	if found {
		d.entries = slices.Delete(d.entries, i, i+1)
	}
	return found
}

// Get returns the entry of that name.
func (d *DB) Get(name string) (*Entry, bool) {
	i, found := d.find(name)
	if !found {
		return nil, false
	}
	return d.entries[i], true
}

// Len returns the number of entries.
func (d *DB) Len() int { return len(d.entries) }

// Each yields the entries in the order of their names. The database must not be changed meanwhile.
func (d *DB) Each() iter.Seq[*Entry] { return slices.Values(d.entries) }

// WithoutFiles returns the entries that have no file list: those that were in the db archive only. Reading their
// package files and putting them again repairs that.
func (d *DB) WithoutFiles() []*Entry {
	var missing []*Entry
	for _, e := range d.entries {
		if !e.files.known() {
			missing = append(missing, e)
		}
	}
	return missing
}

// Files returns the file list of the entry of that name, nil when it has none.
func (d *DB) Files(name string) ([]string, error) {
	e, found := d.Get(name)
	if !found || !e.files.known() {
		return nil, nil
	}
	raw, err := d.lists().of(e)
	if err != nil {
		return nil, fmt.Errorf("file list of %s: %w", name, err)
	}
	var files []string
	for line := range strings.Lines(raw) {
		line = strings.TrimSuffix(line, "\n")
		if line != "" && !isFieldName(line) {
			files = append(files, line)
		}
	}
	return files, nil
}

// Package returns all fields of the entry but its file list.
func (e *Entry) Package() (*Package, error) {
	p, err := ParseDesc([]byte(e.desc))
	if err != nil {
		return nil, fmt.Errorf("entry %s: %w", e.dir(), err)
	}
	return p, nil
}

// Desc returns the desc as it is in the archive.
func (e *Entry) Desc() string { return e.desc }

func (e *Entry) dir() string { return e.Name + "-" + e.Version }

// newEntry makes the entry of a directory in an archive from its desc, checking that both name the same package
// and that the file name is one component of a path.
func newEntry(dir, desc string) (*Entry, error) {
	e := &Entry{desc: desc}
	missing := 4
	for name, lines := range blocks(desc) {
		at := map[string]*string{"FILENAME": &e.Filename, "NAME": &e.Name, "BASE": &e.Base, "VERSION": &e.Version}[name]
		if at == nil || len(lines) == 0 {
			continue
		}
		*at = lines[0]
		if missing--; missing == 0 {
			break
		}
	}
	switch {
	case e.Name == "" || e.Version == "" || e.Filename == "":
		return nil, fmt.Errorf("entry %q: its desc needs %%FILENAME%%, %%NAME%% and %%VERSION%%", clip(dir))
	case e.dir() != dir:
		return nil, fmt.Errorf("entry %q: its desc is that of %q", clip(dir), clip(e.dir()))
	case strings.ContainsAny(e.Filename, "/\x00") || e.Filename == "." || e.Filename == "..":
		return nil, fmt.Errorf("entry %q: %q is not a file name", clip(dir), clip(e.Filename))
	}
	return e, nil
}

func filesMember(files []string) string {
	size := len("%FILES%\n")
	for _, f := range files {
		size += len(f) + 1
	}
	var b strings.Builder
	b.Grow(size)
	b.WriteString("%FILES%\n")
	for _, f := range files {
		b.WriteString(f)
		b.WriteByte('\n')
	}
	return b.String()
}
