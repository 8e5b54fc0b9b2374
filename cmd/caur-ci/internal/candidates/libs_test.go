package candidates_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/cmd/caur-ci/internal/download"
	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/internal/syncdb/pkgtest"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/state"
)

// database makes a pacman database with the real repo-add out of packages NAME BASE VERSION.
func database(t testing.TB, ext string, packages ...[3]string) string {
	t.Helper()
	testenv.Need(t, "repo-add")
	dir := t.TempDir()
	args := []string{"-q", filepath.Join(dir, "test.db.tar"+ext)}
	for _, p := range packages {
		path := filepath.Join(dir, p[0]+"-"+p[2]+"-any.pkg.tar.zst")
		pkgtest.Archive(t, path, pkgtest.Member{Name: ".PKGINFO", Content: fmt.Sprintf(
			"pkgname = %s\npkgbase = %s\npkgver = %s\npkgdesc = x\nbuilddate = 1\nsize = 1\narch = any\n", p[0], p[1], p[2])})
		args = append(args, path)
	}
	cmd := exec.Command("repo-add", args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("repo-add: %v\n%s", err, out)
	}
	return filepath.Join(dir, "test.db")
}

func remembered(lines ...string) *state.VersionState {
	s, _ := state.ParseVersionState("", []byte(strings.Join(lines, "\n")))
	return s
}

const recipeOfLibs = "pkgname=app\npkgver=1.0\npkgrel=1\narch=(any)\n"

func TestANewVersionOfATriggerBumpsThePackage(t *testing.T) {
	db := database(t, ".zst", [3]string{"glibc", "glibc", "2.43-1"}, [3]string{"lib32-glibc", "glibc", "2.43-1"}, [3]string{"qt", "qt", "6.1-1"},
		[3]string{"app", "app", "1:1.0-1.2"}, [3]string{"new", "new", "1-1"})
	for name, c := range map[string]struct {
		old            *state.VersionState
		config         string // of the package
		all, blacklist []string
		why, want      string // the reasons, and .CI/config; "": unchanged
	}{
		"own trigger": {
			remembered("glibc:2.42-1", "qt:6.1-1", "app:1:1.0-1", "new:1-1"), "# mine\nCI_REBUILD_TRIGGERS=x:glibc\nOTHER='kept'\n", nil, nil,
			"libs: glibc 2.42-1 → 2.43-1", "# mine\nCI_REBUILD_TRIGGERS=x:glibc\nOTHER='kept'\nCI_PACKAGE_BUMP=1:1.0-1/1\n",
		},
		"of the repository": {
			remembered("glibc:2.42-1", "qt:6.0-1", "app:1:1.0-1.2", "new:1-1"), "", []string{"qt", "glibc"}, nil,
			"libs: glibc 2.42-1 → 2.43-1\nlibs: qt 6.0-1 → 6.1-1", "CI_PACKAGE_BUMP=1:1.0-1/3\n",
		},
		"config is ahead": {
			remembered("glibc:2.42-1", "qt:6.1-1", "app:1:1.0-1.2", "new:1-1"), "CI_PACKAGE_BUMP = \"1:1.0-1/7\"\r\nCI_REBUILD_TRIGGERS=glibc", nil, nil,
			"libs: glibc 2.42-1 → 2.43-1", "CI_PACKAGE_BUMP = \"1:1.0-1/8\"\r\nCI_REBUILD_TRIGGERS=glibc",
		},
		"config is of another version": {
			remembered("glibc:2.42-1", "qt:6.1-1", "app:1:1.0-1", "new:1-1"), "CI_PACKAGE_BUMP=0.9-1/7\nCI_REBUILD_TRIGGERS=glibc\n", nil, nil,
			"libs: glibc 2.42-1 → 2.43-1", "CI_PACKAGE_BUMP=1:1.0-1/1\nCI_REBUILD_TRIGGERS=glibc\n",
		},
		"a trigger that is new": {
			remembered("glibc:2.43-1", "qt:6.1-1", "app:1:1.0-1"), "CI_REBUILD_TRIGGERS=new\n", nil, nil,
			"libs: new new → 1-1", "CI_REBUILD_TRIGGERS=new\nCI_PACKAGE_BUMP=1:1.0-1/1\n",
		},
		"blacklisted":             {remembered("glibc:2.42-1", "app:1:1.0-1"), "CI_REBUILD_TRIGGERS=glibc\n", nil, []string{"glibc"}, "", ""},
		"nothing new":             {remembered("glibc:2.43-1", "qt:6.1-1", "app:1:1.0-1.2", "new:1-1"), "CI_REBUILD_TRIGGERS=glibc:qt:new\n", nil, nil, "", ""},
		"only itself":             {remembered("glibc:2.43-1", "app:1:1.0-1"), "CI_REBUILD_TRIGGERS=app\n", nil, nil, "", ""},
		"a library that is gone":  {remembered("glibc:2.43-1", "gone:1-1", "app:1:1.0-1"), "CI_REBUILD_TRIGGERS=gone\n", nil, nil, "", ""},
		"the first run":           {nil, "CI_REBUILD_TRIGGERS=glibc\n", nil, nil, "", ""},
		"an empty state":          {remembered(), "CI_REBUILD_TRIGGERS=glibc\n", nil, nil, "", ""},
		"a package not yet built": {remembered("glibc:2.42-1"), "CI_REBUILD_TRIGGERS=glibc\n", nil, nil, "note libs: glibc 2.42-1 → 2.43-1, but the watched databases had no version of app to bump", ""},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"PKGBUILD": recipeOfLibs}
			if c.config != "" {
				files[".CI/config"] = c.config
			}
			libs := candidates.NewLibs(candidates.LibsOptions{DBs: []string{"file://" + db}, Old: c.old, Triggers: c.all, Blacklist: c.blacklist})
			d, err := asked(t, libs, known(t, "app", directory(t, files)))
			if err != nil || reasons(d) != c.why || changedText(d, ".CI/config") != c.want {
				t.Errorf("%v\n%s\n%q\nwant %s\n%q", err, reasons(d), changedText(d, ".CI/config"), c.why, c.want)
			}
			if got := string(libs.Versions().Bytes()); got != "app:1:1.0-1.2\nglibc:2.43-1\nnew:1-1\nqt:6.1-1\n" {
				t.Errorf("to remember: %q", got)
			}
		})
	}
}

func TestAVersionThatCannotBeBumpedIsAFaultOfThePackage(t *testing.T) {
	db := database(t, ".gz", [3]string{"glibc", "glibc", "2-1"})
	libs := candidates.NewLibs(candidates.LibsOptions{DBs: []string{"file://" + db}, Old: remembered("app:odd", "glibc:1-1")})
	_, err := asked(t, libs, known(t, "app", directory(t, map[string]string{"PKGBUILD": recipeOfLibs, ".CI/config": "CI_REBUILD_TRIGGERS=glibc"})))
	if err == nil || !strings.Contains(err.Error(), "bump app") {
		t.Error(err)
	}
}

func TestALinkInPlaceOfTheConfigIsNotFollowed(t *testing.T) {
	files := directory(t, map[string]string{"PKGBUILD": recipeOfLibs, ".CI/config": "CI_REBUILD_TRIGGERS=glibc"})
	p := known(t, "app", files)
	files[".CI/config"] = pkgdir.File{Kind: pkgdir.Link, Data: []byte("other")}
	libs := candidates.NewLibs(candidates.LibsOptions{DBs: []string{"file://" + database(t, ".xz", [3]string{"glibc", "glibc", "2-1"})}, Old: remembered("app:1-1", "glibc:1-1")})
	if d, err := asked(t, libs, p); err == nil || d.Changed() != nil {
		t.Error(err)
	}
}

func TestSeveralDatabasesAreReadOverHTTPOfEveryCompression(t *testing.T) {
	pages := map[string][]testenv.Page{}
	var urls []string
	for _, ext := range []string{"", ".gz", ".xz", ".zst"} {
		data, err := os.ReadFile(database(t, ext, [3]string{"lib" + ext, "lib" + ext, "1-1"}, [3]string{"both", "both", "1" + ext + "-1"}, [3]string{"both-sub", "both", "0.9-1"}))
		if err != nil {
			t.Fatal(err)
		}
		urls = append(urls, "https://example.org/x86_64/core.db"+ext)
		pages["GET "+urls[len(urls)-1]] = []testenv.Page{{Body: string(data), Times: 1}}
	}
	libs := candidates.NewLibs(candidates.LibsOptions{Web: download.New(download.Options{Transport: testenv.Hosts(t, pages)}), DBs: urls, Always: true})
	p := known(t, "app", directory(t, map[string]string{"PKGBUILD": recipeOfLibs}))
	if d, err := asked(t, libs, p); err != nil || reasons(d) != "" {
		t.Error(err, reasons(d))
	}
	want := "both:1-1\nboth:1.gz-1\nboth:1.xz-1\nboth:1.zst-1\nlib.gz:1-1\nlib.xz:1-1\nlib.zst:1-1\nlib:1-1\n"
	if diff := cmp.Diff(want, string(libs.Versions().Bytes())); diff != "" {
		t.Error(diff)
	}
}

func TestOneDatabaseThatCannotBeReadAdvancesNothing(t *testing.T) {
	good := "file://" + database(t, ".zst", [3]string{"glibc", "glibc", "2-1"})
	whole, err := os.ReadFile(database(t, ".gz", [3]string{"a", "a", "1-1"}))
	if err != nil {
		t.Fatal(err)
	}
	const at = "https://example.org/extra.db?key=hush"
	for name, c := range map[string]struct {
		url, want string
		page      testenv.Page
	}{
		"not there":     {at, "answers 404", testenv.Page{Status: 404}},
		"a web page":    {at, "damaged archive", testenv.Page{Body: strings.Repeat("<html>moved</html>", 100)}},
		"empty":         {at, "no pacman database", testenv.Page{}},
		"half of it":    {at, "unexpected EOF", testenv.Page{Body: string(whole[:len(whole)/2])}},
		"broken off":    {at, "unexpected EOF", testenv.Page{Header: http.Header{"Content-Length": {"99999"}}, Body: string(whole)}},
		"no such file":  {"file:///nonexistent/x.db", "no such file", testenv.Page{}},
		"no URL":        {"::", "no URL", testenv.Page{}},
		"other schemes": {"ftp://u:hush@example.org/x.db", "no http or https address", testenv.Page{}},
	} {
		t.Run(name, func(t *testing.T) {
			pages := map[string][]testenv.Page{}
			if c.url == at {
				pages["GET "+at] = []testenv.Page{c.page}
			}
			libs := candidates.NewLibs(candidates.LibsOptions{
				Web: download.New(download.Options{Transport: testenv.Hosts(t, pages), Tries: 1}), DBs: []string{good, c.url}, Old: remembered("glibc:1-1"), Always: true,
			})
			err := libs.Prepare(t.Context(), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush") || libs.Versions() != nil {
				t.Errorf("%v, %v", err, libs.Versions())
			}
		})
	}
}

func TestDatabasesAreReadOnlyForThoseWhoAsk(t *testing.T) {
	plain := known(t, "app", directory(t, map[string]string{"PKGBUILD": recipeOfLibs}))
	for _, c := range []struct {
		o    candidates.LibsOptions
		want bool
	}{
		{candidates.LibsOptions{DBs: []string{"x"}}, false},
		{candidates.LibsOptions{DBs: []string{"x"}, Always: true}, true},
		{candidates.LibsOptions{DBs: []string{"x"}, Triggers: []string{"a"}}, true},
		{candidates.LibsOptions{Triggers: []string{"a"}, Always: true}, false},
	} {
		if got := candidates.NewLibs(c.o).Wants(plain); got != c.want {
			t.Errorf("%+v: %t", c.o, got)
		}
	}
}

// BenchmarkDatabase reads a database of 15,000 packages as repo-add would compress it.
func BenchmarkDatabase(b *testing.B) {
	db := syncdb.New()
	for i := range 15_000 {
		name := fmt.Sprintf("package-%05d", i)
		p := &syncdb.Package{
			Name: name, Base: name, Version: "1.2.3-1", Filename: name + "-1.2.3-1-x86_64.pkg.tar.zst", Arch: "x86_64",
			Description: "A package among many others that make up a repository", CSize: 1 << 20, ISize: 4 << 20, URL: "https://example.org/" + name,
			MD5: fmt.Sprintf("%032x", i*7919), SHA256: fmt.Sprintf("%064x", i*104729), Licenses: []string{"GPL-3.0-or-later"}, BuildDate: 1_700_000_000 + int64(i),
			Packager: "Tess Packager <packager@example.org>", Depends: []string{"glibc", "gcc-libs", "zlib", "package-00001"}, MakeDepends: []string{"cmake", "ninja"},
			PGPSig: []byte(strings.Repeat(fmt.Sprint(i*31), 100)),
		}
		if err := db.Put(p); err != nil {
			b.Fatal(err)
		}
	}
	path := filepath.Join(b.TempDir(), "big.db.tar.zst")
	if err := db.WriteDB(path); err != nil {
		b.Fatal(err)
	}
	for _, program := range []string{"gzip", "zstd"} {
		testenv.Need(b, program, "zstd")
		packed := path
		if program == "gzip" {
			packed = strings.TrimSuffix(path, ".zst") + ".gz"
			if out, err := exec.Command("bash", "-c", `zstd -dc "$0" | gzip -c > "$1"`, path, packed).CombinedOutput(); err != nil {
				b.Fatalf("%v %s", err, out)
			}
		}
		b.Run(program, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				libs := candidates.NewLibs(candidates.LibsOptions{DBs: []string{"file://" + packed}, Always: true})
				if err := libs.Prepare(b.Context(), nil); err != nil || libs.Versions().Len() != 15_000 {
					b.Fatal(err)
				}
			}
		})
	}
}
