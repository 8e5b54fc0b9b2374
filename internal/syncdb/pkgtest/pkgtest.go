// Package pkgtest makes packages and repositories for tests: with the real makepkg, or quickly, without a process,
// where many or malicious ones are needed. It is imported by _test.go files only.
package pkgtest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/internal/testenv"
)

// Makepkg builds a PKGBUILD with makepkg as a user without rights and returns the paths of the packages. env is added
// to makepkg's environment, such as PKGEXT=.pkg.tar.xz (default .pkg.tar.zst).
func Makepkg(t testing.TB, pkgbuild string, env ...string) []string {
	t.Helper()
	testenv.Need(t, "makepkg", "fakeroot", "bsdtar", "zstd")
	dir := testenv.BuildDir(t)
	if err := os.WriteFile(filepath.Join(dir, "PKGBUILD"), []byte(pkgbuild), 0o644); err != nil {
		t.Fatal(err)
	}
	uid, gid := testenv.UnprivilegedUser(t)
	cmd := exec.Command("makepkg", "--nodeps", "--noconfirm")
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LANG=C.UTF-8", "PKGEXT=.pkg.tar.zst",
		"LIBRARY=" + testenv.MakepkgLibrary(t),
		"PACKAGER=Tess Packager <packager@example.org>"}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("makepkg: %v\n%s", err, out)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.pkg.tar*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("makepkg made no package (%v)", err)
	}
	return files
}

// Member is a file in a package archive.
type Member struct {
	Name, Content string
	Type          byte // of the tar header, default a regular file
}

// Archive writes a zstd compressed tar archive with exactly these members.
func Archive(t testing.TB, path string, members ...Member) {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, m := range members {
		h := &tar.Header{Name: m.Name, Typeflag: m.Type, Mode: 0o644, Size: int64(len(m.Content))}
		switch {
		case m.Type == tar.TypeSymlink || m.Type == tar.TypeLink:
			h.Linkname, h.Size = m.Content, 0
		case m.Type == 0 && strings.HasSuffix(m.Name, "/"):
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(m.Content)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, close := range []func() error{w.Close, z.Close} {
		if err := close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Spec describes a small package.
type Spec struct {
	Name, Base, Version string // Base defaults to Name, Version to 1-1
	Arch                string // default any
	Date                int64  // build date, default one in 2023
	Extra               string // more lines of .PKGINFO
	Content             string // of its one file
}

// Make writes the package file of s into dir and returns its path.
func Make(t testing.TB, dir string, s Spec) string {
	t.Helper()
	if s.Base == "" {
		s.Base = s.Name
	}
	if s.Version == "" {
		s.Version = "1-1"
	}
	if s.Arch == "" {
		s.Arch = "any"
	}
	if s.Date == 0 {
		s.Date = 1_700_000_000
	}
	if s.Content == "" {
		s.Content = s.Name + " " + s.Version + "\n"
	}
	info := fmt.Sprintf("pkgname = %s\npkgbase = %s\npkgver = %s\npkgdesc = The package %s\nurl = https://example.org/\nbuilddate = %d\n"+
		"packager = Tess Packager <packager@example.org>\nsize = %d\narch = %s\nlicense = GPL\n%s",
		s.Name, s.Base, s.Version, s.Name, s.Date, len(s.Content), s.Arch, s.Extra)
	path := filepath.Join(dir, s.Name+"-"+s.Version+"-"+s.Arch+".pkg.tar.zst")
	Archive(t, path, Member{Name: ".PKGINFO", Content: info}, Member{Name: "usr/"}, Member{Name: "usr/share/"},
		Member{Name: "usr/share/" + s.Name, Content: s.Content})
	return path
}

// Repository puts n packages, as large as those of a real repository are in its databases, into db: the same ones
// each time. Their package files do not exist.
func Repository(t testing.TB, db *syncdb.DB, n int) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("lib python perl ruby haskell kernel font theme plugin data tools extra common server client engine core utils docs i18n gtk qt wayland audio video image text math crypto net")
	word := func() string { return words[r.IntN(len(words))] }
	names := make(map[string]bool)
	for len(names) < n {
		names[fmt.Sprintf("%s-%s-%s%d", word(), word(), word(), r.IntN(n))] = true
	}
	sorted := make([]string, 0, n)
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	for i, name := range sorted {
		sig := make([]byte, 310)
		for j := range sig {
			sig[j] = byte(r.IntN(256))
		}
		sum := sha256.Sum256([]byte(name))
		p := &syncdb.Package{
			Name: name, Base: name, Version: fmt.Sprintf("%d.%d.%d-%d", r.IntN(9), r.IntN(30), r.IntN(30), 1+r.IntN(4)),
			Description: "A " + word() + " for " + word() + " and " + word(), CSize: r.Int64N(1 << 24), ISize: r.Int64N(1 << 26),
			MD5: hex.EncodeToString(sum[:16]), SHA256: hex.EncodeToString(sum[:]), PGPSig: sig, URL: "https://example.org/" + name,
			Licenses: []string{"GPL-3.0-or-later"}, Arch: "x86_64", BuildDate: 1_700_000_000 + r.Int64N(1<<25),
			Packager: "Tess Packager <packager@example.org>",
		}
		for range r.IntN(8) {
			p.Depends = append(p.Depends, sorted[r.IntN(n)])
			p.MakeDepends = append(p.MakeDepends, sorted[r.IntN(n)])
		}
		p.Filename = p.Name + "-" + p.Version + "-x86_64.pkg.tar.zst"
		p.Files = fileList(r, name, word, i)
		if err := db.Put(p); err != nil {
			t.Fatal(err)
		}
	}
}

// fileList makes 20 to 60 paths for most packages and thousands for a few, as real ones have.
func fileList(r *rand.Rand, name string, word func() string, i int) []string {
	files := []string{"usr/", "usr/share/", "usr/share/" + name + "/"}
	count := 20 + r.IntN(40)
	switch {
	case i%500 == 0:
		count = 8000
	case i%10 == 0:
		count = 600
	}
	for range count {
		files = append(files, fmt.Sprintf("usr/share/%s/%s/%s-%s-%d.%s", name, word(), word(), word(), r.IntN(1<<20), word()))
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// Age makes a file or directory look as if it had last been changed that long ago.
func Age(t testing.TB, path string, age time.Duration) {
	t.Helper()
	at := time.Now().Add(-age)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}
