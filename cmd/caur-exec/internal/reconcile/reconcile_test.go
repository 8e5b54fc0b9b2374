package reconcile

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/srcinfo"
)

func info(t testing.TB, base, version string, more ...string) *srcinfo.Info {
	t.Helper()
	text := "pkgbase = " + base + "\n"
	if epoch, rest, ok := strings.Cut(version, ":"); ok {
		text += "\tepoch = " + epoch + "\n"
		version = rest
	}
	ver, rel, _ := strings.Cut(version, "-")
	text += "\tpkgver = " + ver + "\n\tpkgrel = " + rel + "\n\tarch = x86_64\n" + strings.Join(more, "\n") + "\n\npkgname = " + base + "\n"
	i, _, err := srcinfo.Parse(base, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

var options = Options{TargetRepo: "r", SourceRepo: "s", Arch: "x86_64", Class: "2", Head: "abc"}

func TestOnlyWhatIsMissingOrOlderIsBuilt(t *testing.T) {
	for _, c := range []struct{ name, base, published, source, bump, want string }{
		{"not there", "foo", "", "1-1", "", Missing},
		{"the same", "foo", "1-1", "1-1", "", ""},
		{"older", "foo", "1-1", "1-2", "", Older},
		{"newer in the repository", "foo", "2-1", "1-1", "", ""},
		{"older by epoch", "foo", "2-1", "1:1-1", "", Older},
		{"bumped already", "foo", "1-1.1", "1-1", "", ""},
		{"a bump that was not built", "foo", "1-1", "1-1", "1-1/1", Older},
		{"a bump that was built", "foo", "1-1.1", "1-1", "1-1/1", ""},
		{"a bump of an older version", "foo", "2-1", "2-1", "1-1/1", ""},
		{"VCS, never built", "foo-git", "", "r1.abc-1", "", Missing},
		{"VCS, built from a newer commit than .SRCINFO says", "foo-git", "r9.def-1", "r1.abc-1", "", ""},
		{"VCS, .SRCINFO is newer", "foo-git", "r1.abc-1", "r9.def-1", "", Older},
		{"VCS, bumped for what is published", "foo-git", "r9.def-1", "r1.abc-1", "r9.def-1/2", Older},
		{"VCS, that bump was built", "foo-git", "r9.def-1.2", "r1.abc-1", "r9.def-1/2", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Package{Dir: c.base, Info: info(t, c.base, c.source)}
			if c.bump != "" {
				var err error
				if p.Bump, err = srcinfo.ParseBump(c.bump); err != nil {
					t.Fatal(err)
				}
			}
			published := map[string]string{}
			if c.published != "" {
				published[c.base] = c.published
			}
			r := Compare(published, []Package{p}, nil, options)
			got := ""
			if len(r.Rows) == 1 {
				got = r.Rows[0].Verdict
			}
			if got != c.want || (len(r.Jobs) == 1) != (c.want != "") || (r.Batch != "") != (c.want != "") {
				t.Fatalf("report %+v, want %q", r, c.want)
			}
		})
	}
}

func TestTheBatchIsTheSameAsLongAsTheSameIsMissing(t *testing.T) {
	packages := []Package{{Dir: "a", Info: info(t, "a", "1-1", "\tdepends = b")}, {Dir: "b", Info: info(t, "b", "1-1", "\tprovides = c"), Class: "big"}}
	first := Compare(nil, packages, nil, options)
	if second := Compare(nil, packages, nil, options); second.Batch != first.Batch || len(first.Jobs) != 2 {
		t.Fatalf("%+v and %+v", first, second)
	}
	other := options
	other.Head = "def"
	for name, r := range map[string]Report{
		"another head":   Compare(nil, packages, nil, other),
		"one published":  Compare(map[string]string{"a": "1-1"}, packages, nil, options),
		"one is queued":  Compare(nil, packages, map[string]bool{"r/x86_64/a": true}, options),
		"nothing to do":  Compare(map[string]string{"a": "1-1", "b": "1-1"}, packages, nil, options),
		"another system": Compare(nil, packages, nil, Options{TargetRepo: "x", Arch: "x86_64", Head: "abc"}),
	} {
		if r.Batch == first.Batch {
			t.Errorf("%s: the same batch", name)
		}
	}
	a, b := first.Jobs[0], first.Jobs[1]
	if a.Class != "2" || b.Class != "big" || a.SourceCommit != "abc" || a.ID() != "r/x86_64/a" || a.SourceRepo != "s" ||
		!slices.Equal(a.Dependencies, []string{"b"}) || !slices.Equal(b.Provides, []string{"c"}) || !slices.Equal(b.Pkgnames, []string{"b"}) {
		t.Fatalf("jobs %+v, %+v", a, b)
	}
	if r := Compare(nil, packages, map[string]bool{"r/x86_64/a": true}, options); r.Rows[0].Verdict != InQueue || len(r.Jobs) != 1 {
		t.Fatalf("report %+v", r)
	}
	if r := Compare(nil, packages, nil, Options{TargetRepo: "r", Arch: "aarch64"}); len(r.Rows) != 0 {
		t.Fatalf("packages for another architecture: %+v", r.Rows)
	}
}

// Database writes a real database with these versions of one-package bases; "split" has a part that stayed behind.
func database(t testing.TB, versions map[string]string) string {
	t.Helper()
	db := syncdb.New()
	put := func(name, base, version string) {
		if err := db.Put(&syncdb.Package{Filename: name + "-" + version + "-any.pkg.tar.zst", Name: name, Base: base, Version: version, Arch: "any", SHA256: strings.Repeat("0", 64)}); err != nil {
			t.Fatal(err)
		}
	}
	for base, version := range versions {
		put(base, base, version)
	}
	put("split-old-part", "split", "1-1")
	put("split-part", "split", "2-1")
	file := filepath.Join(t.TempDir(), "r.db.tar.zst")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.EncodeDB(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPublishedVersionsAreReadFromFilesAndServers(t *testing.T) {
	file := database(t, map[string]string{"foo": "1:2-3"})
	want := map[string]string{"foo": "1:2-3", "split": "2-1"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/r/r.db" {
			http.Error(w, "no", http.StatusNotFound)
			return
		}
		http.ServeFile(w, r, file)
	}))
	defer server.Close()
	for _, where := range []string{file, server.URL + "/r/r.db"} {
		got, err := Published(t.Context(), server.Client(), where)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", where, diff)
		}
	}
	damaged := filepath.Join(t.TempDir(), "x.db")
	if err := os.WriteFile(damaged, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := strings.Replace(server.URL, "http://", "http://user:hunter2@", 1) + "/none?token=hunter2"
	gone := "http://user:hunter2@127.0.0.1:1/x?token=hunter2"
	for _, where := range []string{damaged, filepath.Join(t.TempDir(), "none"), secret, gone} {
		if _, err := Published(t.Context(), server.Client(), where); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error %v", where, err)
		}
	}
}

func TestPackagesAreReadAtTheHead(t *testing.T) {
	repo := testenv.NewGitRepo(t)
	srcinfoOf := func(base string) string {
		return fmt.Sprintf("pkgbase = %s\n\tpkgver = 1\n\tpkgrel = 2\n\tarch = x86_64\n\npkgname = %s\n", base, base)
	}
	repo.Write("foo/.SRCINFO", srcinfoOf("foo"))
	repo.Write("foo/.CI/config", "BUILDER_CLASS=7\nCI_PACKAGE_BUMP=1-2/3\n")
	repo.Write("bar/.SRCINFO", srcinfoOf("bar"))
	repo.Write("bar/.CI/config", "CI_PACKAGE_BUMP=nonsense/x\n")
	repo.Write("empty/.SRCINFO", "")
	repo.Write("deep/er/.SRCINFO", srcinfoOf("er"))
	repo.Write("README", "x")
	first := repo.Commit("one")
	repo.Git("branch", "side")
	repo.Write("new/.SRCINFO", srcinfoOf("new"))
	second := repo.Commit("two")
	cache := filepath.Join(t.TempDir(), "cache")
	for branch, want := range map[string]struct {
		head string
		dirs string
	}{"": {second, "bar foo new"}, "side": {first, "bar foo"}} {
		head, packages, warnings, err := Packages(t.Context(), cache, repo.Dir, branch)
		if err != nil {
			t.Fatal(err)
		}
		var dirs []string
		for _, p := range packages {
			dirs = append(dirs, p.Dir)
			if p.Dir == "foo" && (p.Class != "7" || p.Bump.N != 3 || p.Info.Version() != "1-2") {
				t.Errorf("foo is %+v", p)
			}
		}
		if head != want.head || strings.Join(dirs, " ") != want.dirs || len(warnings) != 2 {
			t.Errorf("head %s, packages %v, warnings %q", head, dirs, warnings)
		}
	}
	if _, _, _, err := Packages(t.Context(), cache, repo.Dir, "nobranch"); err == nil {
		t.Error("a branch that is not there")
	}
}
