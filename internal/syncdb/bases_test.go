package syncdb_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/internal/syncdb"
)

// tarOf makes a plain tar archive of NAME, CONTENT pairs.
func tarOf(t testing.TB, pairs ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: pairs[i], Size: int64(len(pairs[i+1])), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, pairs[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func basesOf(data []byte) (list []string, err error) {
	err = syncdb.EachBase(bytes.NewReader(data), func(pkgbase, version string) error {
		list = append(list, pkgbase+" "+version)
		return nil
	})
	return list, err
}

func TestBasesComeInTheOrderOfTheArchive(t *testing.T) {
	data := tarOf(t,
		"b-1-1/desc", "%FILENAME%\nb-1-1-any.pkg.tar\n\n%NAME%\nb\n\n%BASE%\nbase\n\n%VERSION%\n1-1\n\n%DESC%\n%VERSION%\n",
		"b-1-1/files", "%FILES%\nusr/\n",
		"./a-2:1-1/desc", "%NAME%\na\n\n%VERSION%\n2:1-1",
		"last-1-1/desc", "%VERSION%\n1-1\n\n%NAME%\nlast\n\n%BASE%\nz\n",
		"lost", "%NAME%\nlost\n\n%VERSION%\n1\n",
	)
	for name, archive := range map[string][]byte{"plain": data, "gzip": gzipped(t, data)} {
		got, err := basesOf(archive)
		if diff := cmp.Diff([]string{"base 1-1", "a 2:1-1", "z 1-1"}, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

func TestAnEmptyDatabaseIsOneAndAnEmptyFileIsNone(t *testing.T) {
	if got, err := basesOf(gzipped(t, tarOf(t))); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
	for name, data := range map[string][]byte{"no bytes": nil, "no bytes in gzip": gzipped(t, nil), "a page": []byte(strings.Repeat("<html>", 200))} {
		if _, err := basesOf(data); err == nil {
			t.Errorf("%s is taken for a database", name)
		}
	}
}

func TestDamagedDatabasesAreRefused(t *testing.T) {
	var pairs []string
	for i := range 500 {
		pairs = append(pairs, fmt.Sprintf("p%d-1-1/desc", i), fmt.Sprintf("%%NAME%%\np%d\n\n%%VERSION%%\n1-1\n\n%%SHA256SUM%%\n%x\n", i, i*i*7919))
	}
	whole := gzipped(t, tarOf(t, pairs...))
	for cut := len(whole) - 1; cut > 20; cut -= len(whole) / 7 {
		if _, err := basesOf(whole[:cut]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d of %d: %v", cut, len(whole), err)
		}
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-6] ^= 1 // in the checksum behind the content
	for name, data := range map[string][]byte{
		"flipped":    flipped,
		"no version": tarOf(t, "a/desc", "%NAME%\na\n"),
		"no name":    tarOf(t, "a/desc", "%VERSION%\n1\n"),
		"empty name": tarOf(t, "a/desc", "%NAME%\n\n%VERSION%\n1\n"),
		"huge desc":  tarOf(t, "a/desc", "%NAME%\na\n\n%VERSION%\n1\n"+strings.Repeat("x", 1<<20)),
	} {
		if _, err := basesOf(data); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestWhoReadsBasesCanStop(t *testing.T) {
	enough := errors.New("enough")
	err := syncdb.EachBase(bytes.NewReader(tarOf(t, "a/desc", "%NAME%\na\n\n%VERSION%\n1\n")), func(string, string) error { return enough })
	if !errors.Is(err, enough) {
		t.Error(err)
	}
}
