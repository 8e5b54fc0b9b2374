package syncdb_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/internal/syncdb/pkgtest"
	"github.com/caur-build/caur/internal/testenv"
)

// splitPKGBUILD uses every field that reaches a database, white space, an epoch and odd file names.
const splitPKGBUILD = `
pkgbase=alpha
pkgname=(alpha alpha-data 'lib+alpha')
epoch=2
pkgver=1.0.r3
pkgrel=1.2
pkgdesc='  An   alpha "quoted" $(thing)  '
arch=(x86_64)
url='https://example.org/?a=b&c=d'
license=('GPL' 'custom: alpha')
groups=(first second)
depends=('bash>=5' 'sh')
makedepends=(gcc)
checkdepends=(check)
optdepends=('python: for scripts' 'perl')
options=(!strip !zipman)
package_alpha() {
  provides=('alpha-virtual=1' 'libalpha.so=1-64')
  conflicts=(alpha-git)
  replaces=(old-alpha)
  backup=(etc/alpha.conf)
  install -d "$pkgdir/etc" "$pkgdir/usr/lib/systemd"
  echo conf > "$pkgdir/etc/alpha.conf"
  echo x > "$pkgdir/usr/lib/systemd/dev-disk-by\\x2dlabel.swap"
  echo x > "$pkgdir/usr/lib/with space"
  echo x > "$pkgdir/usr/lib/größe"
  echo x > "$pkgdir/usr/lib/.hidden"
  printf x > "$pkgdir/usr/lib/"$'tab\there'
  ln -s alpha "$pkgdir/usr/lib/link"
}
package_alpha-data() { arch=(any); pkgdesc=data; install -d "$pkgdir/usr/share/empty"; }
package_lib+alpha() { depends=(); optdepends=(); groups=(); license=(); url=''; }
`

func run(t testing.TB, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "LANG=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// unpack returns the members of a database as bsdtar unpacks them.
func unpack(t testing.TB, archive string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	run(t, dir, "bsdtar", "-xf", archive)
	content := make(map[string]string)
	entries, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range entries {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		rel, _ := filepath.Rel(dir, path)
		content[rel] = string(data)
	}
	return content
}

func repoAdd(t testing.TB, db string, packages ...string) {
	t.Helper()
	testenv.Need(t, "repo-add", "bsdtar")
	run(t, filepath.Dir(db), "repo-add", append([]string{"-q", db}, packages...)...)
}

// signAll puts a detached signature beside each package.
func signAll(t testing.TB, packages []string) {
	t.Helper()
	home, _ := testenv.GPGHome(t)
	for _, p := range packages {
		run(t, ".", "gpg", "--homedir", home, "--batch", "--quiet", "--no-armor", "--detach-sign", p)
	}
}

func write(t testing.TB, db *syncdb.DB, dir string) (dbPath, filesPath string) {
	t.Helper()
	dbPath, filesPath = filepath.Join(dir, "r.db.tar.zst"), filepath.Join(dir, "r.files.tar.zst")
	if err := db.WriteDB(dbPath); err != nil {
		t.Fatal(err)
	}
	if err := db.WriteFiles(filesPath); err != nil {
		t.Fatal(err)
	}
	return dbPath, filesPath
}

func open(t testing.TB, db, files string) *syncdb.DB {
	t.Helper()
	d, err := syncdb.Open(db, files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// recompressed returns the packages, which are zstd, in another compression.
func recompressed(t testing.TB, packages []string, ext string) []string {
	t.Helper()
	testenv.Need(t, "zstd", "xz", "gzip")
	dir := t.TempDir()
	var all []string
	for _, p := range packages {
		to := filepath.Join(dir, strings.TrimSuffix(filepath.Base(p), ".zst")+ext)
		pack := map[string]string{".zst": "zstd -q", ".xz": "xz", ".gz": "gzip -n", "": "cat"}[ext]
		run(t, dir, "sh", "-c", `zstd -qdc -- "$1" | `+pack+` > "$2"`, "sh", p, to)
		all = append(all, to)
	}
	return all
}

func TestAgainstRepoAddWithPackagesOfMakepkg(t *testing.T) {
	built := pkgtest.Makepkg(t, splitPKGBUILD)
	if len(built) != 3 {
		t.Fatalf("makepkg made %v", built)
	}
	for _, ext := range []string{".zst", ".xz", ".gz", ""} {
		t.Run("entries are those of repo-add, packages "+ext, func(t *testing.T) {
			packages := recompressed(t, built, ext)
			signAll(t, packages[:2])
			theirs := filepath.Join(t.TempDir(), "r.db.tar.zst")
			repoAdd(t, theirs, packages...)
			ours := syncdb.New()
			for _, path := range packages {
				p, err := syncdb.ReadPackage(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := ours.Put(p); err != nil {
					t.Fatal(err)
				}
			}
			db, files := write(t, ours, t.TempDir())
			if diff := cmp.Diff(unpack(t, theirs), unpack(t, db)); diff != "" {
				t.Errorf("db differs from repo-add's (-) :\n%s", diff)
			}
			if diff := cmp.Diff(unpack(t, strings.Replace(theirs, ".db.", ".files.", 1)), unpack(t, files)); diff != "" {
				t.Errorf("files differ from repo-add's (-) :\n%s", diff)
			}
		})
	}
	signAll(t, built)
	for _, ext := range []string{"zst", "xz", "gz"} {
		t.Run("databases of repo-add are kept byte for byte, "+ext, func(t *testing.T) {
			theirs := filepath.Join(t.TempDir(), "r.db.tar."+ext)
			repoAdd(t, theirs, built...)
			theirFiles := strings.Replace(theirs, ".db.", ".files.", 1)
			ours := open(t, theirs, theirFiles)
			if ours.Len() != 3 || len(ours.WithoutFiles()) != 0 {
				t.Fatalf("%d entries, %d without files", ours.Len(), len(ours.WithoutFiles()))
			}
			db, files := write(t, ours, t.TempDir())
			if diff := cmp.Diff(unpack(t, theirs), unpack(t, db)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(unpack(t, theirFiles), unpack(t, files)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRepoAddAndRepoRemoveContinueOurDatabase(t *testing.T) {
	dir := t.TempDir()
	d := syncdb.New()
	pkgtest.Repository(t, d, 300)
	db, files := write(t, d, dir)
	added := pkgtest.Make(t, dir, pkgtest.Spec{Name: "zzz"})
	repoAdd(t, db, added)
	var gone string
	for e := range d.Each() {
		gone = e.Name
		break
	}
	run(t, dir, "repo-remove", "-q", db, gone)
	after := open(t, db, files)
	if _, found := after.Get("zzz"); !found || after.Len() != 300 {
		t.Errorf("after repo-add and repo-remove: %d entries, zzz %v", after.Len(), found)
	}
	if _, found := after.Get(gone); found {
		t.Errorf("%s is still there", gone)
	}
	if missing := after.WithoutFiles(); len(missing) != 0 {
		t.Errorf("%d entries lost their file lists", len(missing))
	}
}

func TestEveryToolReadsTheFrames(t *testing.T) {
	testenv.Need(t, "zstd", "tar", "bsdtar")
	d := syncdb.New()
	pkgtest.Repository(t, d, 500)
	db, files := write(t, d, t.TempDir())
	for _, path := range []string{db, files} {
		run(t, ".", "zstd", "-q", "-t", path)
		for _, tool := range []string{"bsdtar", "tar"} {
			list := run(t, ".", tool, "-tf", path)
			if n := strings.Count(list, "/desc\n"); n != 500 {
				t.Errorf("%s finds %d of 500 entries in %s", tool, n, filepath.Base(path))
			}
		}
	}
}

func TestPacmanReadsTheDatabase(t *testing.T) {
	testenv.Need(t, "pacman")
	root := t.TempDir()
	d := syncdb.New()
	pkgtest.Repository(t, d, 400)
	db, files := write(t, d, root)
	for link, target := range map[string]string{"r.db": db, "r.files": files} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(root, "pacman.conf")
	config := fmt.Sprintf("[options]\nArchitecture = x86_64\nSigLevel = Never\n[r]\nServer = file://%s\n", root)
	if err := os.WriteFile(conf, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "var"), 0o755); err != nil {
		t.Fatal(err)
	}
	pacman := func(args ...string) string {
		return run(t, root, "pacman", append([]string{"--config", conf, "--root", root, "--dbpath", filepath.Join(root, "var"),
			"--cachedir", root, "--logfile", "/dev/null"}, args...)...)
	}
	pacman("-Sy")
	pacman("-Fy")
	var want []string
	for e := range d.Each() {
		want = append(want, "r "+e.Name+" "+e.Version)
	}
	got := strings.Split(strings.TrimSpace(pacman("-Sl", "r")), "\n")
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pacman -Sl:\n%s", diff)
	}
	name := strings.Fields(want[17])[1]
	listed := pacman("-Flq", name)
	ours, err := d.Files(name)
	if err != nil || strings.TrimSpace(listed) != strings.Join(ours, "\n") {
		t.Errorf("pacman -Fl %s differs from the list (%v): %d bytes", name, err, len(listed))
	}
}

func TestTheSameEntriesGiveTheSameBytes(t *testing.T) {
	dir := t.TempDir()
	d := syncdb.New()
	pkgtest.Repository(t, d, 700)
	db, files := write(t, d, dir)
	once := map[string][]byte{db: read(t, db), files: read(t, files)}

	// Take out every seventh entry and put it back, in three rounds of open and write.
	var some []*syncdb.Package
	i := 0
	for e := range d.Each() {
		if i++; i%7 == 0 {
			p, err := e.Package()
			if err != nil {
				t.Fatal(err)
			}
			if p.Files, err = d.Files(e.Name); err != nil {
				t.Fatal(err)
			}
			some = append(some, p)
		}
	}
	less := open(t, db, files)
	for _, p := range some {
		if !less.Remove(p.Name) {
			t.Fatalf("%s is not there", p.Name)
		}
	}
	write(t, less, dir)
	for _, half := range [][]*syncdb.Package{some[:30], some[30:]} {
		again := open(t, db, files)
		for _, p := range half {
			if err := again.Put(p); err != nil {
				t.Fatal(err)
			}
		}
		write(t, again, dir)
	}
	for path, want := range once {
		if !bytes.Equal(read(t, path), want) {
			t.Errorf("%s is not what it was", filepath.Base(path))
		}
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
