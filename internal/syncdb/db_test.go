package syncdb_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/internal/syncdb/pkgtest"
)

func pkg(name, version string, files ...string) *syncdb.Package {
	return &syncdb.Package{Name: name, Version: version, Arch: "any", Filename: name + "-" + version + "-any.pkg.tar.zst", Files: files}
}

func names(d *syncdb.DB) []string {
	var all []string
	for e := range d.Each() {
		all = append(all, e.Name)
	}
	return all
}

func TestPutGetRemove(t *testing.T) {
	d := syncdb.New()
	for _, p := range []*syncdb.Package{pkg("b", "1-1"), pkg("a", "1-1"), pkg("a-b", "1-1"), pkg("b", "2-1", "usr/", "usr/b")} {
		if err := d.Put(p); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"a", "a-b", "b"}, names(d)); diff != "" {
		t.Error(diff)
	}
	e, found := d.Get("b")
	if !found || e.Version != "2-1" || e.Filename != "b-2-1-any.pkg.tar.zst" {
		t.Errorf("b is %+v", e)
	}
	if files, err := d.Files("b"); err != nil || !slices.Equal(files, []string{"usr/", "usr/b"}) {
		t.Errorf("files of b: %v, %v", files, err)
	}
	if !d.Remove("a") || d.Remove("a") || d.Len() != 2 {
		t.Errorf("after removing a: %v", names(d))
	}
	if files, err := d.Files("a"); files != nil || err != nil {
		t.Errorf("files of nothing: %v, %v", files, err)
	}
}

func TestPutRefusesWhatWouldBeReadBackAsSomethingElse(t *testing.T) {
	for name, change := range map[string]func(*syncdb.Package){
		"a line break":              func(p *syncdb.Package) { p.Description = "a\n%SHA256SUM%\nb" },
		"an empty line in a list":   func(p *syncdb.Package) { p.Depends = []string{"a", "", "b"} },
		"another package's file":    func(p *syncdb.Package) { p.Filename = "b-1-1-any.pkg.tar.zst" },
		"a file elsewhere":          func(p *syncdb.Package) { p.Filename = "../a-1-1-any.pkg.tar.zst" },
		"a version that is no name": func(p *syncdb.Package) { p.Version = "1/1-1" },
	} {
		p := pkg("a", "1-1")
		change(p)
		d := syncdb.New()
		if err := d.Put(p); err == nil || d.Len() != 0 {
			t.Errorf("%s: %v, %d entries", name, err, d.Len())
		}
	}
}

func TestAnEmptyDatabaseIsWrittenAndRead(t *testing.T) {
	db, files := write(t, syncdb.New(), t.TempDir())
	if d := open(t, db, files); d.Len() != 0 {
		t.Errorf("%v", names(d))
	}
	if list := run(t, ".", "bsdtar", "-tf", db); list != "" {
		t.Errorf("bsdtar lists %q", list)
	}
}

func TestAMissingDatabaseIsNotExistAndMissingFilesAreNoError(t *testing.T) {
	dir := t.TempDir()
	if _, err := syncdb.Open(filepath.Join(dir, "r.db.tar.zst"), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing db: %v", err)
	}
	d := syncdb.New()
	pkgtest.Repository(t, d, 100)
	db, _ := write(t, d, dir)
	if got := open(t, db, filepath.Join(dir, "none")); len(got.WithoutFiles()) != 100 {
		t.Errorf("%d entries without files", len(got.WithoutFiles()))
	}
}

// A file list that is lost must be repaired by putting the package again, without touching the others.
func TestDamagedFileListsAreFoundAndRepaired(t *testing.T) {
	dir := t.TempDir()
	d := syncdb.New()
	pkgtest.Repository(t, d, 500)
	db, files := write(t, d, dir)
	whole := read(t, files)
	broken := slices.Clone(whole)
	broken[len(broken)/2] ^= 0x40
	if err := os.WriteFile(files, broken, 0o644); err != nil {
		t.Fatal(err)
	}
	got := open(t, db, files)
	missing := got.WithoutFiles()
	if len(missing) == 0 || len(missing) > 400 {
		t.Fatalf("one wrong byte costs %d of 500 file lists", len(missing))
	}
	for _, e := range missing {
		p, err := e.Package()
		if err != nil {
			t.Fatal(err)
		}
		if p.Files, err = d.Files(e.Name); err != nil {
			t.Fatal(err)
		}
		if err := got.Put(p); err != nil {
			t.Fatal(err)
		}
	}
	write(t, got, dir)
	if string(read(t, files)) != string(whole) {
		t.Error("the repaired archive is not the original one")
	}
}

func TestAnArchiveThatLacksSomeListsKeepsTheOthers(t *testing.T) {
	dir := t.TempDir()
	d := syncdb.New()
	pkgtest.Repository(t, d, 300)
	db, files := write(t, d, dir)
	fewer := open(t, db, files)
	all := names(d)
	for _, name := range all[100:110] {
		fewer.Remove(name)
	}
	if err := fewer.WriteFiles(files); err != nil { // the db archive still has them
		t.Fatal(err)
	}
	got := open(t, db, files)
	if missing := got.WithoutFiles(); len(missing) != 10 {
		t.Fatalf("%d file lists are missing, 10 were taken out", len(missing))
	}
	write(t, got, dir)
	again := open(t, db, files)
	if missing := again.WithoutFiles(); len(missing) != 10 {
		t.Errorf("after writing: %d missing", len(missing))
	}
	for _, name := range []string{all[0], all[99], all[110], all[299]} {
		want, _ := d.Files(name)
		if files, err := again.Files(name); err != nil || !slices.Equal(files, want) {
			t.Errorf("%s: %d files, %v", name, len(files), err)
		}
	}
}

func TestDamagedDatabasesAreErrorsThatNameTheFile(t *testing.T) {
	dir := t.TempDir()
	d := syncdb.New()
	pkgtest.Repository(t, d, 200)
	db, _ := write(t, d, dir)
	whole := read(t, db)
	for name, change := range map[string]func([]byte) []byte{
		"a wrong byte in a frame":   func(b []byte) []byte { b[1000] ^= 1; return b },
		"cut in the middle":         func(b []byte) []byte { return b[:len(b)/2] },
		"without index, then wrong": func(b []byte) []byte { b = b[:len(b)-20]; b[2000] ^= 1; return b },
		"empty, as on a full disk":  func([]byte) []byte { return nil },
		"text":                      func([]byte) []byte { return []byte(strings.Repeat("not a database\n", 100)) },
	} {
		if err := os.WriteFile(db, change(slices.Clone(whole)), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := syncdb.Read(db); err == nil || !strings.Contains(err.Error(), db) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				got.Close()
			}
		}
	}
	// Only the index is gone: the archive is read as a stream.
	if err := os.WriteFile(db, whole[:len(whole)-8], 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := syncdb.Read(db); err == nil {
		defer got.Close()
		if got.Len() != 200 {
			t.Errorf("without index: %d entries", got.Len())
		}
	}
}

func TestEntriesThatContradictThemselvesAreRefused(t *testing.T) {
	const ok = "%FILENAME%\na-1-1-any.pkg.tar.zst\n\n%NAME%\na\n\n%VERSION%\n1-1\n\n"
	for name, m := range map[string]pkgtest.Member{
		"another directory": {Name: "b-1-1/desc", Content: ok},
		"no name":           {Name: "a-1-1/desc", Content: "%FILENAME%\nx\n\n"},
		"a path":            {Name: "a-1-1/desc", Content: strings.Replace(ok, "a-1-1-any", "../a-1-1-any", 1)},
	} {
		path := filepath.Join(t.TempDir(), "r.db.tar.zst")
		pkgtest.Archive(t, path, m)
		if _, err := syncdb.Read(path); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	path := filepath.Join(t.TempDir(), "r.db.tar.zst")
	pkgtest.Archive(t, path, pkgtest.Member{Name: "./a-1-1/"}, pkgtest.Member{Name: "./a-1-1/desc", Content: ok},
		pkgtest.Member{Name: "./a-1-1/depends", Content: "%DEPENDS%\nb\n\n"}, pkgtest.Member{Name: "README", Content: "x"})
	d := open(t, path, "")
	e, found := d.Get("a")
	if !found {
		t.Fatal("an archive with ./ and a separate depends is not read")
	}
	if p, err := e.Package(); err != nil || !slices.Equal(p.Depends, []string{"b"}) {
		t.Errorf("depends: %v, %v", p, err)
	}
}

func TestOnlyZstdIsWrittenAndAFailureLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	d := syncdb.New()
	if err := d.WriteDB(filepath.Join(dir, "r.db.tar.gz")); err == nil {
		t.Error("wrote .tar.gz")
	}
	target := filepath.Join(dir, "r.db.tar.zst")
	if err := os.Mkdir(target, 0o755); err != nil { // rename cannot replace a directory
		t.Fatal(err)
	}
	_ = d.WriteDB(target)
	if err := d.WriteDB(filepath.Join(dir, "none", "r.db.tar.zst")); err == nil {
		t.Error("wrote into a directory that is not there")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

// Memory must follow the descs and a few groups, not the file lists.
func TestFileListsStayOnDisk(t *testing.T) {
	d := syncdb.New()
	pkgtest.Repository(t, d, 4000)
	db, files := write(t, d, t.TempDir())
	d = nil
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := open(t, db, files)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4000*4096 {
		t.Errorf("an open database of 4,000 packages takes %d bytes", grown)
	}
	runtime.KeepAlive(got)
}
