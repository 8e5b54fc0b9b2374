package syncdb

import (
	"archive/tar"
	"crypto/md5" //nolint:gosec // %MD5SUM% is part of the format; nothing trusts it
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of a package archive. Real packages stay far below; a stranger's may not make us run out of memory.
const (
	maxMetadata = 4 << 20   // bytes of .PKGINFO or .BUILDINFO
	maxEntries  = 2 << 20   // files in a package
	maxUnpacked = 1 << 40   // bytes of the unpacked archive
	maxListing  = 256 << 20 // bytes of all file names together
)

// ReadPackage reads the package file at path and, when there is one, its detached signature at path + ".sig". The
// archive may be zstd, xz or gzip compressed or plain. The whole file is read once, as a stream, for its hashes
// and its list of files; sizes and hashes are those of the bytes that were read.
//
// The file name is not compared with the content: CheckFilename does.
func ReadPackage(path string) (*Package, error) {
	p, err := readPackage(path)
	if err != nil {
		return nil, fmt.Errorf("read package %s: %w", path, err)
	}
	return p, nil
}

func readPackage(path string) (*Package, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	md, sha := md5.New(), sha256.New() //nolint:gosec // see import
	size := &counter{}
	all := io.TeeReader(f, io.MultiWriter(md, sha, size))
	p, err := readArchive(all)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, all); err != nil {
		return nil, err
	}
	p.Filename = filepath.Base(path)
	p.CSize = size.n
	p.MD5, p.SHA256 = hex.EncodeToString(md.Sum(nil)), hex.EncodeToString(sha.Sum(nil))
	sig, err := ReadSignature(path + ".sig")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	p.PGPSig = sig
	return p, nil
}

// CheckFilename says whether the package's file name is the one that makepkg gives a package of this content.
func (p *Package) CheckFilename() error {
	f, err := ParseFilename(p.Filename)
	if err != nil {
		return err
	}
	if f.Name != p.Name || f.Version != p.Version || f.Arch != p.Arch {
		return fmt.Errorf("file name %s does not match its content, which is %s %s for %s", p.Filename, p.Name, p.Version, p.Arch)
	}
	return nil
}

// ReadSignature reads a binary detached signature, refusing what libalpm would not take from a database: armour
// and more than 16 KiB.
func ReadSignature(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sig, err := io.ReadAll(io.LimitReader(f, maxSignature+1))
	switch {
	case err != nil:
		return nil, err
	case len(sig) == 0 || len(sig) > maxSignature:
		return nil, fmt.Errorf("%s is empty or larger than %d bytes", path, maxSignature)
	case strings.Contains(string(sig), "BEGIN PGP SIGNATURE"):
		return nil, fmt.Errorf("%s is armoured: make it with gpg --no-armor", path)
	}
	return sig, nil
}

type counter struct{ n int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return len(b), nil
}

func readArchive(r io.Reader) (*Package, error) {
	plain, err := decompress(r)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	a := &packageArchive{}
	limited := &io.LimitedReader{R: plain, N: maxUnpacked}
	if err := a.read(tar.NewReader(limited)); err != nil {
		if limited.N <= 0 {
			return nil, fmt.Errorf("unpacks to more than %d bytes", int64(maxUnpacked))
		}
		return nil, err
	}
	if a.info == nil {
		return nil, errors.New("no .PKGINFO: this is not a package")
	}
	slices.Sort(a.files)
	a.info.Files = slices.Compact(a.files)
	a.info.Build = a.build
	return a.info, nil
}

// packageArchive gathers what one pass over a package finds.
type packageArchive struct {
	info  *Package
	build *BuildInfo
	files []string
	bytes int
}

func (a *packageArchive) read(t *tar.Reader) error {
	for n := 0; ; n++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("damaged archive: %w", err)
		}
		if n == maxEntries {
			return fmt.Errorf("more than %d files", maxEntries)
		}
		if err := a.entry(t, h); err != nil {
			return err
		}
	}
}

func (a *packageArchive) entry(t *tar.Reader, h *tar.Header) error {
	switch {
	case h.Name == ".PKGINFO":
		data, err := a.metadata(t, h, a.info != nil)
		if err != nil {
			return err
		}
		a.info, err = ParsePkginfo(h.Name, data)
		return err
	case h.Name == ".BUILDINFO":
		data, err := a.metadata(t, h, a.build != nil)
		if err != nil {
			return err
		}
		a.build, err = ParseBuildinfo(h.Name, data)
		return err
	case strings.HasPrefix(h.Name, "."):
		return nil
	}
	if path.IsAbs(h.Name) || slices.Contains(strings.Split(h.Name, "/"), "..") {
		return fmt.Errorf("file %q is outside of the package", clip(h.Name))
	}
	name := escape(h.Name)
	if h.Typeflag == tar.TypeDir && !strings.HasSuffix(name, "/") {
		name += "/"
	}
	if a.bytes += len(name); a.bytes > maxListing {
		return fmt.Errorf("file names of more than %d bytes together", maxListing)
	}
	a.files = append(a.files, name)
	return nil
}

func (a *packageArchive) metadata(t *tar.Reader, h *tar.Header, again bool) ([]byte, error) {
	if again || h.Typeflag != tar.TypeReg || h.Size > maxMetadata {
		return nil, fmt.Errorf("%s is given twice, is no regular file or is larger than %d bytes", h.Name, maxMetadata)
	}
	data, err := io.ReadAll(t)
	if err != nil {
		return nil, fmt.Errorf("damaged archive: %s: %w", h.Name, err)
	}
	return data, nil
}

// escape writes a file name as bsdtar -t does in a UTF-8 locale, which is what repo-add puts into a database:
// a backslash is doubled, control characters and bytes that are not UTF-8 become escapes.
func escape(name string) string {
	if !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f || r == utf8.RuneError }) {
		return name
	}
	const named = "abtnvfr" // \a is 7, and so on
	var b strings.Builder
	for i := 0; i < len(name); {
		r, size := utf8.DecodeRuneInString(name[i:])
		c := name[i]
		switch {
		case c == '\\':
			b.WriteString(`\\`)
		case c >= '\a' && c <= '\r':
			b.WriteByte('\\')
			b.WriteByte(named[c-'\a'])
		case c < ' ' || c == 0x7f || (r == utf8.RuneError && size == 1):
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteString(name[i : i+size])
		}
		i += size
	}
	return b.String()
}
