package gitrepo

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/pkgdir"
)

func TestAWholeDirIsReadFromACommitAndFromTheWorkTree(t *testing.T) {
	g := testenv.NewGitRepo(t)
	g.Write("paru/PKGBUILD", "one\n")
	g.Write("paru/.CI/prepare", "#!/bin/bash\n")
	g.Write("paru/sub/deep/file", "")
	g.Write("other/PKGBUILD", "two\n")
	if err := errors.Join(os.Chmod(filepath.Join(g.Dir, "paru/.CI/prepare"), 0o755),
		os.Symlink("../PKGBUILD", filepath.Join(g.Dir, "paru/sub/link"))); err != nil {
		t.Fatal(err)
	}
	g.Commit("all kinds")
	want := pkgdir.Dir{
		"PKGBUILD": {Data: []byte("one\n")}, ".CI/prepare": {Kind: pkgdir.Executable, Data: []byte("#!/bin/bash\n")},
		"sub/deep/file": {Data: []byte{}}, "sub/link": {Kind: pkgdir.Link, Data: []byte("../PKGBUILD")},
	}
	r := openDir(t, g.Dir)
	for name, files := range bothFiles(t, r) {
		got, err := files.Dir(t.Context(), "paru")
		if err != nil || !got.Equal(want) {
			t.Errorf("%s: %v %s", name, err, cmp.Diff(want, got))
		}
		if _, err := files.Dir(t.Context(), "none"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a dir that is not there: %v", name, err)
		}
	}
}

func TestADirWithALinkThatLeadsOutIsRefused(t *testing.T) {
	g := testenv.NewGitRepo(t)
	g.Write("paru/PKGBUILD", "one\n")
	if err := os.Symlink("../../../etc/passwd", filepath.Join(g.Dir, "paru/link")); err != nil {
		t.Fatal(err)
	}
	g.Commit("out")
	for name, files := range bothFiles(t, openDir(t, g.Dir)) {
		var refused *pkgdir.Error
		if _, err := files.Dir(t.Context(), "paru"); !errors.As(err, &refused) || !strings.Contains(err.Error(), "paru") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func openDir(t *testing.T, dir string) *Repo {
	t.Helper()
	r, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func bothFiles(t *testing.T, r *Repo) map[string]Files {
	t.Helper()
	head, err := r.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	committed, err := r.At(t.Context(), head)
	if err != nil {
		t.Fatal(err)
	}
	lying, err := r.WorkTree()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]Files{"commit": committed, "work tree": lying}
}
