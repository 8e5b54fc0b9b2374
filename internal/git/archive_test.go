package git

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/internal/testenv"
)

// tree describes what is below a directory: path → mode and content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			got[rel] = "dir"
		case d.Type() == fs.ModeSymlink:
			link, err := os.Readlink(path)
			got[rel] = "link " + link
			return err
		default:
			data, err := os.ReadFile(path)
			got[rel] = fmt.Sprintf("%o %s", info.Mode().Perm(), data)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestArchiveExtractsADirectoryByteForByte(t *testing.T) {
	g := testenv.NewGitRepo(t)
	big := strings.Repeat("0123456789abcdef", 1<<16)
	for path, content := range map[string]string{
		"pkg/PKGBUILD":              "pkgver=$Format:%H$\r\n",
		"pkg/.SRCINFO":              "",
		"pkg/.CI/config":            "A=1\n",
		"pkg/with blank\tand tab\n": "x",
		"pkg/sub/deep/ümlaut":       "latin \xe9",
		"pkg/big":                   big,
		"pkg/ignored":               "y",
		"pkg/.gitattributes":        "PKGBUILD export-subst text eol=lf\nignored export-ignore\n* ident\n",
		"pkg/empty/.gitkeep":        "",
		"pkgother/PKGBUILD":         "no",
		"root":                      "r",
	} {
		g.Write(path, content)
	}
	g.Write("pkg/run.sh", "#!/bin/sh\n")
	if err := os.Chmod(filepath.Join(g.Dir, "pkg/run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"a": "PKGBUILD", "sub/b": "../PKGBUILD", "sub/deep/c": "../../sub/./deep/", "dangling": "later"} {
		if err := os.Symlink(to, filepath.Join(g.Dir, "pkg", name)); err != nil {
			t.Fatal(err)
		}
	}
	g.Git("config", "core.autocrlf", "false")
	g.Write(".git/info/attributes", "* -text\n") // commits the line ends as they are
	sha := g.Commit("one")
	want := map[string]string{
		"PKGBUILD": "644 pkgver=$Format:%H$\r\n", ".SRCINFO": "644 ", ".CI": "dir", ".CI/config": "644 A=1\n",
		"with blank\tand tab\n": "644 x", "sub": "dir", "sub/deep": "dir", "sub/deep/ümlaut": "644 latin \xe9", "big": "644 " + big,
		"ignored": "644 y", ".gitattributes": "644 PKGBUILD export-subst text eol=lf\nignored export-ignore\n* ident\n",
		"empty": "dir", "empty/.gitkeep": "644 ", "run.sh": "755 #!/bin/sh\n",
		"a": "link PKGBUILD", "sub/b": "link ../PKGBUILD", "sub/deep/c": "link ../../sub/./deep/", "dangling": "link later",
	}
	for _, dest := range []string{filepath.Join(t.TempDir(), "new", "dir"), t.TempDir()} {
		if err := Archive(ctx, g.Origin(), sha, "pkg", dest); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, tree(t, dest)); diff != "" {
			t.Error(diff)
		}
	}
	whole := t.TempDir()
	if err := Archive(ctx, g.Origin(), sha, "", whole); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, whole); got["root"] != "644 r" || got["pkg/.CI/config"] != "644 A=1\n" {
		t.Errorf("the whole tree: %v", got)
	}
}

func TestArchiveSaysThatSomethingIsNotThere(t *testing.T) {
	g := testenv.NewGitRepo(t)
	g.Write("pkg/PKGBUILD", "x")
	sha := g.Commit("one")
	for _, test := range []struct{ commit, path string }{
		{sha, "absent"}, {sha, "pkg/PKGBUILD"}, {strings.Repeat("ab", 20), "pkg"},
	} {
		dest := filepath.Join(t.TempDir(), "out")
		if err := Archive(ctx, filepath.Join(g.Dir, ".git"), test.commit, test.path, dest); !errors.Is(err, ErrNotFound) {
			t.Errorf("%v: got %v", test, err)
		}
		if _, err := os.Stat(dest); err == nil {
			t.Errorf("%v: the destination was made", test)
		}
	}
	for _, test := range []struct{ commit, path string }{{"main", "pkg"}, {sha, "../x"}, {sha, "/etc"}, {"--help", "pkg"}} {
		if err := Archive(ctx, filepath.Join(g.Dir, ".git"), test.commit, test.path, t.TempDir()); err == nil {
			t.Errorf("%v is extracted", test)
		}
	}
}

func TestArchiveRefusesADestinationThatIsUsed(t *testing.T) {
	g := testenv.NewGitRepo(t)
	g.Write("pkg/PKGBUILD", "x")
	sha := g.Commit("one")
	dest := t.TempDir()
	if err := os.WriteFile(filepath.Join(dest, "mine"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Archive(ctx, filepath.Join(g.Dir, ".git"), sha, "pkg", dest); err == nil {
		t.Error("extracted over other files")
	}
	if _, err := os.Stat(filepath.Join(dest, "mine")); err != nil {
		t.Error(err)
	}
}

// hostile commits a tree that git itself would not make, with hash-object, and gives the commit.
func hostile(t *testing.T, g *testenv.GitRepo, entries ...[3]string) string {
	t.Helper()
	write := func(content []byte, kind string) string {
		path := filepath.Join(t.TempDir(), "object")
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return g.Git("hash-object", "-w", "--literally", "-t", kind, path)
	}
	var raw []byte
	for _, e := range entries {
		sha := strings.Repeat("1", 40)
		switch e[0] {
		case "160000":
		case "40000":
			sha = write(append([]byte("100644 file\x00"), binary(write([]byte(e[2]), "blob"))...), "tree")
		default:
			sha = write([]byte(e[2]), "blob")
		}
		raw = append(append(raw, e[0]+" "+e[1]+"\x00"...), binary(sha)...)
	}
	return g.Git("commit-tree", "-m", "hostile", write(raw, "tree"))
}

func binary(sha string) []byte {
	var out []byte
	_, _ = fmt.Sscanf(sha, "%x", &out)
	return out
}

func TestArchiveRefusesWhatLeadsOutside(t *testing.T) {
	g := testenv.NewGitRepo(t)
	for name, entries := range map[string][][3]string{
		"a name that climbs":            {{"100644", "../evil", "x"}},
		"dot-dot":                       {{"40000", "..", "x"}},
		"an absolute name":              {{"100644", "/evil", "x"}},
		"dot":                           {{"40000", ".", "x"}},
		"git's own folder":              {{"40000", ".git", "x"}},
		"git's own folder, other case":  {{"40000", ".GiT", "x"}},
		"a name with a slash that ends": {{"100644", "a/", "x"}},
		"an absolute link":              {{"120000", "l", "/etc/passwd"}},
		"a link that climbs":            {{"120000", "l", "../evil"}},
		"a link that climbs later":      {{"120000", "l", "a/../../evil"}},
		"a climb through another link":  {{"120000", "d", "."}, {"120000", "l", "d/../evil"}},
		"an empty link":                 {{"120000", "l", ""}},
		"a link with a long target":     {{"120000", "l", strings.Repeat("a/", 3000)}},
		"a link with a NUL":             {{"120000", "l", "a\x00b"}},
		"a file through a link":         {{"120000", "l", "/tmp"}, {"40000", "l", "x"}},
		"a name twice":                  {{"100644", "a", "x"}, {"100644", "a", "y"}},
	} {
		t.Run(name, func(t *testing.T) {
			sha := hostile(t, g, entries...)
			outer := t.TempDir()
			dest := filepath.Join(outer, "dest")
			err := Archive(ctx, filepath.Join(g.Dir, ".git"), sha, "", dest)
			if err == nil {
				t.Error("it is extracted")
			}
			if got := tree(t, outer); len(got) != 0 {
				t.Errorf("left behind: %v", got)
			}
		})
	}
}

func TestArchiveMakesASubmoduleAnEmptyDirectory(t *testing.T) {
	g := testenv.NewGitRepo(t)
	sha := hostile(t, g, [3]string{"160000", "module", ""}, [3]string{"100664", "old-mode", "x"})
	dest := t.TempDir()
	if err := Archive(ctx, filepath.Join(g.Dir, ".git"), sha, "", dest); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"module": "dir", "old-mode": "644 x"}, tree(t, dest)); diff != "" {
		t.Error(diff)
	}
}

func TestArchiveIsBounded(t *testing.T) {
	g := testenv.NewGitRepo(t)
	blob := g.Git("hash-object", "-w", "--stdin")
	var lines strings.Builder
	for i := range MaxArchiveFiles + 1 {
		fmt.Fprintf(&lines, "100644 blob %s\tf%05d\n", blob, i)
	}
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte(lines.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	id := g.Git("-c", "alias.mk=!git mktree <"+list, "mk")
	sha := g.Git("commit-tree", "-m", "many", id)
	dest := t.TempDir()
	if err := Archive(ctx, filepath.Join(g.Dir, ".git"), sha, "", dest); err == nil || !strings.Contains(err.Error(), "has more than") {
		t.Errorf("got %v", err)
	}
	if got := tree(t, dest); len(got) != 0 {
		t.Errorf("%d files are left", len(got))
	}
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
}

func TestStaysInside(t *testing.T) {
	for _, test := range []struct {
		name, target string
		want         bool
	}{
		{"a", "b", true}, {"a", "b/c", true}, {"a", ".", true}, {"a", "./b", true}, {"d/a", "..", true}, {"d/a", "../b", true},
		{"d/e/a", "../../b", true}, {"a", "..", false}, {"a", "../b", false}, {"d/a", "../../b", false}, {"d/e/a", "x/../b", false},
		{"a", "/b", false}, {"a", "", false}, {"a", "b//c", true}, {"d/a", ".././../b", false},
	} {
		if got := staysInside(test.name, test.target); got != test.want {
			t.Errorf("%s → %s: %v", test.name, test.target, got)
		}
	}
}
