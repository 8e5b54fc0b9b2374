package testenv

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Corpus gives a temporary directory with a folder a package, each with .SRCINFO and perhaps .CI/config: those of a real
// repository of 2,500 packages where the corpus lies beside the repository, else those of testdata/pkgbuilds.
func Corpus(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if unpackCorpus(t, "metadata.tar.gz", dir) {
		return dir
	}
	for _, name := range packages {
		copyTree(t, filepath.Join(repoRoot(t), "testdata", "pkgbuilds", name), filepath.Join(dir, name))
	}
	return dir
}

// CorpusState gives a temporary directory with the tree of a state branch: the one that belongs to Corpus, or a small one.
func CorpusState(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if unpackCorpus(t, "state-branch.tar.gz", dir) {
		return dir
	}
	for name, content := range map[string]string{
		".version-state": "caur-greeting:1.2.0-1\ncaur-tools:1:0.5-2\n",
		"caur-clock-git": "CI_GIT_COMMIT=0123456789abcdef0123456789abcdef01234567\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// unpackCorpus extracts an archive of the corpus; false when there is no corpus.
func unpackCorpus(t testing.TB, name, dir string) bool {
	t.Helper()
	f, err := os.Open(filepath.Join(repoRoot(t), "..", "shared", "corpus", name))
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := untar(f, dir); err != nil {
		t.Fatalf("unpack %s: %v", name, err)
	}
	return true
}

func untar(r io.Reader, dir string) error {
	zr, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.Clean(h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeReg:
			err = errors.Join(root.MkdirAll(filepath.Dir(name), 0o755), writeFrom(root, name, tr))
		}
		if err != nil {
			return err
		}
	}
}

func writeFrom(root *os.Root, name string, r io.Reader) error {
	f, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
