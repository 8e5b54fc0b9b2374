package pkgdir_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/caur-build/caur/pkg/pkgdir"
)

func file(text string) pkgdir.File { return pkgdir.File{Data: []byte(text)} }
func link(to string) pkgdir.File   { return pkgdir.File{Kind: pkgdir.Link, Data: []byte(to)} }

func TestPathsThatLeadOutOrIntoGitAreRefused(t *testing.T) {
	for _, name := range []string{
		"", "/etc/passwd", "../x", "a/../x", "..", ".", "a//b", "a/", "./a", ".git", ".git/config", ".GIT/config", "a/.git", "a/.Git/hooks/x",
		"git~1", "GIT~1/config", ".git. ", ".git ", ".git::$INDEX_ALLOCATION", ".g\u200cit/config", "a\nb", "a\x00b", "a\x7fb", `a\b`, "\xff\xfe",
		strings.Repeat("x", 2000),
	} {
		d := pkgdir.Dir{}
		err := d.Add(name, file("x"))
		var refused *pkgdir.Error
		if !errors.As(err, &refused) || refused.Path != name || len(d) != 0 {
			t.Errorf("%q: error %v, directory %v", name, err, d)
		}
	}
}

func TestOrdinaryPathsAreTaken(t *testing.T) {
	d := pkgdir.Dir{}
	names := []string{"PKGBUILD", ".SRCINFO", ".CI/config", "a b.patch", "ü.desktop", ".gitignore", ".gitattributes", "git", "x..y", "sub/dir/file", "-n"}
	for _, name := range names {
		if err := d.Add(name, file(name)); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff(names, d.Paths()); diff != "" {
		t.Error(diff)
	}
}

func TestLinksMustStayInside(t *testing.T) {
	for _, c := range []struct {
		name, to string
		fine     bool
	}{
		{"a", "b", true}, {"a/b", "../c", true}, {"a/b/c", "../../d", true}, {"a", "./b", true},
		{"a", "../b", false}, {"a", "/etc/passwd", false}, {"a/b", "../../c", false}, {"a", "", false}, {"a", "b/../../c", false},
		{"a", ".git/config", false}, {"a", "x\x00y", false}, {"a", strings.Repeat("x", 2000), false},
	} {
		if err := (pkgdir.Dir{}).Add(c.name, link(c.to)); (err == nil) != c.fine {
			t.Errorf("%s → %q: %v", c.name, c.to, err)
		}
	}
}

func TestAFileCannotLieBelowAFile(t *testing.T) {
	d := pkgdir.Dir{"a": link("b")}
	if err := d.Add("a/b/c", file("x")); err == nil || !strings.Contains(err.Error(), "below a file") {
		t.Error(err)
	}
}

func TestNumberAndSizeAreBounded(t *testing.T) {
	d := pkgdir.Dir{}
	for i := range pkgdir.MaxFiles {
		if err := d.Add(fmt.Sprint(i), file("")); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Add("more", file("")); err == nil {
		t.Error("one file too many was taken")
	}
	big := make([]byte, pkgdir.MaxBytes)
	d = pkgdir.Dir{}
	if err := d.Add("big", pkgdir.File{Data: big}); err != nil {
		t.Error(err)
	}
	if err := d.Add("big", pkgdir.File{Data: big[:1]}); err != nil {
		t.Error("a file that is replaced counts once:", err)
	}
	d["big"] = pkgdir.File{Data: big}
	if err := d.Add("more", file("x")); err == nil || d["more"].Data != nil {
		t.Error("one byte too many was taken")
	}
}

func TestAnUpdateReplacesAllButWhatIsOurs(t *testing.T) {
	ours := pkgdir.Dir{"PKGBUILD": file("old"), "gone.patch": file("x"), ".CI/config": file("c"), ".CI/prepare": file("p")}
	remote := pkgdir.Dir{"PKGBUILD": file("new"), "new.patch": file("y"), ".CI/config": file("evil"), ".CI/PKGBUILD.append": file("evil")}
	want := pkgdir.Dir{"PKGBUILD": file("new"), "new.patch": file("y"), ".CI/config": file("c"), ".CI/prepare": file("p")}
	if diff := cmp.Diff(want, ours.Take(remote)); diff != "" {
		t.Error(diff)
	}
	if string(ours["PKGBUILD"].Data) != "old" {
		t.Error("the older directory changed")
	}
}

func TestDiffListsWhatDiffersByPath(t *testing.T) {
	older := pkgdir.Dir{"same": file("1"), "b": file("1"), "a": file("1"), "mode": file("1")}
	newer := pkgdir.Dir{"same": file("1"), "b": file("2"), "c": file("1"), "mode": {Kind: pkgdir.Executable, Data: []byte("1")}}
	var got []string
	for _, c := range pkgdir.Diff(older, newer) {
		got = append(got, fmt.Sprintf("%s %t %t", c.Path, c.Old != nil, c.New != nil))
	}
	if diff := cmp.Diff([]string{"a true false", "b true true", "c false true", "mode true true"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestADiffTurnsOneDirectoryIntoTheOther(t *testing.T) {
	dir := rapid.Custom(func(t *rapid.T) pkgdir.Dir {
		d := pkgdir.Dir{}
		for name, text := range rapid.MapOf(rapid.StringMatching(`[a-d]`), rapid.StringMatching(`[xy]?`)).Draw(t, "files") {
			d[name] = pkgdir.File{Kind: pkgdir.Kind(rapid.IntRange(0, 1).Draw(t, "kind")), Data: []byte(text)}
		}
		return d
	})
	rapid.Check(t, func(t *rapid.T) {
		older, newer := dir.Draw(t, "older"), dir.Draw(t, "newer")
		got := older.Clone()
		for _, c := range pkgdir.Diff(older, newer) {
			if c.New == nil {
				delete(got, c.Path)
			} else {
				got[c.Path] = *c.New
			}
		}
		if !got.Equal(newer) {
			t.Fatalf("%v became %v, not %v", older, got, newer)
		}
	})
}

func TestWhatIsWrittenReadsBackTheSame(t *testing.T) {
	d := pkgdir.Dir{
		"PKGBUILD": file("pkgname=x\n"), ".CI/prepare": {Kind: pkgdir.Executable, Data: []byte("#!/bin/bash\n")},
		"sub/deep/file": file(""), "sub/link": link("deep/file"), "dangling": link("nowhere"),
	}
	dir := filepath.Join(t.TempDir(), "new", "pkg")
	if err := d.Write(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, ".git", "objects"), 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := pkgdir.Read(dir)
	if err != nil || !maps.EqualFunc(d, got, pkgdir.File.Equal) {
		t.Errorf("%v: %s", err, cmp.Diff(d, got))
	}
	if err := d.Write(dir); err == nil {
		t.Error("files that are there were written over")
	}
}

func TestReadRefusesWhatIsNoFile(t *testing.T) {
	for name, make := range map[string]func(string) error{
		"a pipe":            func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"a link out":        func(p string) error { return os.Symlink("../../etc/passwd", p) },
		"a link to a root":  func(p string) error { return os.Symlink("/etc/passwd", p) },
		"a backslash in it": func(p string) error { return os.WriteFile(p+`\x`, nil, 0o600) },
	} {
		dir := t.TempDir()
		if err := make(filepath.Join(dir, "odd")); err != nil {
			t.Fatal(err)
		}
		var refused *pkgdir.Error
		if _, err := pkgdir.Read(dir); !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := pkgdir.Read(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
