package makepkg

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

type entry struct {
	name, text string
	change     func(*tar.Header)
}

// archive makes a package as makepkg lays it out: metadata first, modification times with fractions of a second.
func archive(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{
			Name: e.name, Size: int64(len(e.text)), Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatPAX,
			ModTime: time.Unix(1_700_000_000, 123_000_000), Uname: "root", Gname: "root",
		}
		if e.change != nil {
			e.change(h)
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gz(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const mtreeText = "#mtree\n/set type=file uid=0 gid=0 mode=644\n./.BUILDINFO time=1.0 size=3 sha256digest=aa\n" +
	"./.PKGINFO time=1700000000.0 size=99 md5digest=00 sha256digest=00\n./usr time=1.0 mode=755 type=dir\n"

func pack(t *testing.T, data []byte, allow bool) (removed []string, out []byte, err error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "p.tar")
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var packed bytes.Buffer
	if removed, err = compress(f, &packed, allow); err != nil {
		return nil, nil, err
	}
	d, err := zstd.NewReader(&packed)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	out, err = io.ReadAll(d)
	if err != nil {
		t.Fatal(err)
	}
	return removed, out, nil
}

func TestAPackageWithoutProhibitedLinesStaysByteForByte(t *testing.T) {
	data := archive(t, entry{".BUILDINFO", "abc", nil}, entry{".MTREE", gz(t, mtreeText), nil},
		entry{".PKGINFO", "pkgname = p\nprovides = replaces\n", nil}, entry{"usr/x", strings.Repeat("x", 3000), nil})
	removed, out, err := pack(t, data, false)
	if err != nil || len(removed) != 0 || !bytes.Equal(out, data) {
		t.Errorf("removed %q, %v, same bytes: %v", removed, err, bytes.Equal(out, data))
	}
}

func TestOnlyPkginfoAndMtreeChange(t *testing.T) {
	tail := []entry{
		{".INSTALL", "post_install() { :; }\n", nil},
		{"usr/", "", func(h *tar.Header) { h.Typeflag, h.Mode = tar.TypeDir, 0o755 }},
		{"usr/long/" + strings.Repeat("n", 200), "long", func(h *tar.Header) {
			h.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": "\x01\x00\x00\x02"}
		}},
		{"usr/link", "", func(h *tar.Header) { h.Typeflag, h.Linkname = tar.TypeSymlink, "/etc/shadow" }},
	}
	pkginfo := "pkgname = p\nreplaces = glibc\ngroup = base\n  replaces=other\nconflict = x\n"
	for name, order := range map[string][]entry{
		"as makepkg writes it": {{".BUILDINFO", "abc", nil}, {".MTREE", gz(t, mtreeText), nil}, {".PKGINFO", pkginfo, nil}},
		"the other way round":  {{".PKGINFO", pkginfo, nil}, {".MTREE", gz(t, mtreeText), nil}},
		"with ./ before":       {{"./.MTREE", gz(t, mtreeText), nil}, {"./.PKGINFO", pkginfo, nil}},
	} {
		t.Run(name, func(t *testing.T) {
			entries := append(order[:len(order):len(order)], tail...)
			removed, out, err := pack(t, archive(t, entries...), false)
			if err != nil || len(removed) != 3 {
				t.Fatalf("removed %q, %v", removed, err)
			}
			want := "pkgname = p\nconflict = x\n"
			sum := sha256.Sum256([]byte(want))
			before, after := tar.NewReader(bytes.NewReader(archive(t, entries...))), tar.NewReader(bytes.NewReader(out))
			for range entries {
				a, errA := before.Next()
				b, errB := after.Next()
				if errA != nil || errB != nil {
					t.Fatal(errA, errB)
				}
				text, _ := io.ReadAll(after)
				switch strings.TrimPrefix(b.Name, "./") {
				case ".PKGINFO":
					if string(text) != want {
						t.Errorf(".PKGINFO %q", text)
					}
					a.Size = b.Size
				case ".MTREE":
					z, err := gzip.NewReader(bytes.NewReader(text))
					if err != nil {
						t.Fatal(err)
					}
					mtree, _ := io.ReadAll(z)
					line := fmt.Sprintf("./.PKGINFO time=1700000000.0 size=%d md5digest=", len(want))
					if !strings.Contains(string(mtree), line) || !strings.Contains(string(mtree), " sha256digest="+hex.EncodeToString(sum[:])+"\n./usr time") ||
						!strings.Contains(string(mtree), "./.BUILDINFO time=1.0 size=3 sha256digest=aa\n") {
						t.Errorf(".MTREE:\n%s", mtree)
					}
					a.Size = b.Size
				}
				if fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", b) {
					t.Errorf("header\n%+v\nwas\n%+v", b, a)
				}
			}
			if _, err := after.Next(); err != io.EOF {
				t.Errorf("after the last member: %v", err)
			}
		})
	}
}

func TestArchivesThatAreNoPackageAreRefused(t *testing.T) {
	bad := "pkgname = p\nreplaces = x\n"
	cases := []struct {
		name string
		data []byte
		want string
	}{
		{"a text", []byte("no archive at all, but longer than a block" + strings.Repeat(".", 600)), "read the archive"},
		{"an archive without .PKGINFO", archive(t, entry{"usr/x", "x", nil}), "no .PKGINFO"},
		{"an empty archive", archive(t), "no .PKGINFO"},
		{".PKGINFO twice", archive(t, entry{".PKGINFO", bad, nil}, entry{".PKGINFO", bad, nil}), "twice"},
		{".MTREE that is not packed", archive(t, entry{".MTREE", "#mtree", nil}, entry{".PKGINFO", bad, nil}), ".MTREE"},
		{".MTREE without the line", archive(t, entry{".MTREE", gz(t, "#mtree\n"), nil}, entry{".PKGINFO", bad, nil}), "no line for .PKGINFO"},
		{".MTREE with another digest", archive(t, entry{".MTREE", gz(t, "./.PKGINFO size=1 rmd160digest=0\n"), nil}, entry{".PKGINFO", bad, nil}), "rmd160digest"},
		{".PKGINFO behind many members", archive(t, append(many(40), entry{".PKGINFO", bad, nil})...), "no .PKGINFO at the head"},
		{"half an archive", archive(t, entry{".MTREE", gz(t, mtreeText), nil}, entry{".PKGINFO", bad, nil})[:700], "archive"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, _, err := pack(t, c.data, false); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
}

func many(n int) []entry {
	out := make([]entry, n)
	for i := range out {
		out[i] = entry{fmt.Sprintf("usr/%d", i), "", nil}
	}
	return out
}

func TestAPackageWithoutMtreeIsStillCleaned(t *testing.T) {
	removed, out, err := pack(t, archive(t, entry{".PKGINFO", "group = g\npkgname = p\n", nil}, entry{"x", "x", nil}), false)
	if err != nil || len(removed) != 1 || bytes.Contains(out, []byte("group")) {
		t.Errorf("removed %q, %v", removed, err)
	}
}

func BenchmarkCompress(b *testing.B) {
	var text bytes.Buffer
	for i := range 200_000 {
		fmt.Fprintf(&text, "line %d of something that looks like %x code\n", i, sha256.Sum256([]byte{byte(i), byte(i >> 8)}))
	}
	name := filepath.Join(b.TempDir(), "p.tar")
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	for name, data := range map[string][]byte{".PKGINFO": []byte("group = g\n"), "usr/x": text.Bytes()} {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(data)), Mode: 0o644}); err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		if _, err := compress(f, io.Discard, true); err != nil {
			b.Fatal(err)
		}
	}
}
