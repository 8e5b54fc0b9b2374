package makepkg

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Bounds of what is read of a package's metadata, in bytes.
const (
	maxPkginfo = 10 << 20
	maxMtree   = 1 << 30 // unpacked; the .MTREE of a package with a million files
	maxMembers = 16      // at the head of the archive; makepkg writes the metadata first
	tarBlock   = 512
)

// rewrite is a package archive with another .PKGINFO and a .MTREE that agrees. All other members stay byte for byte where
// they are, so owners, modes, times, links and extended attributes cannot change by being read and written.
type rewrite struct {
	removed []string // lines of .PKGINFO
	parts   []part   // in the order of the archive
}

// part replaces the bytes from start to end of the archive.
type part struct {
	start, end int64
	data       []byte
}

// member is one metadata file as it stands in the archive.
type member struct {
	header     *tar.Header
	data       []byte
	start, end int64 // with all its header blocks and the padding
}

// planRewrite reads the metadata of an uncompressed package. It gives nil when nothing has to be removed.
func planRewrite(archive io.ReadSeeker) (*rewrite, error) {
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	pkginfo, mtree, err := readMetadata(archive)
	if err != nil {
		return nil, err
	}
	text, removed := withoutProhibited(pkginfo.data)
	if len(removed) == 0 {
		return nil, nil
	}
	r := &rewrite{removed: removed}
	changed := []*member{pkginfo}
	if mtree != nil {
		if mtree.data, err = adjustMtree(mtree.data, text); err != nil {
			return nil, fmt.Errorf(".MTREE: %w", err)
		}
		changed = append(changed, mtree)
		if mtree.start < pkginfo.start {
			changed[0], changed[1] = changed[1], changed[0]
		}
	}
	pkginfo.data = text
	for _, m := range changed {
		p, err := m.part()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.header.Name, err)
		}
		r.parts = append(r.parts, p)
	}
	return r, nil
}

// copy writes the archive with its parts replaced.
func (r *rewrite) copy(out io.Writer, archive io.ReadSeeker) error {
	var at int64
	for _, p := range r.parts {
		if _, err := io.CopyN(out, archive, p.start-at); err != nil {
			return err
		}
		if _, err := out.Write(p.data); err != nil {
			return err
		}
		if _, err := archive.Seek(p.end, io.SeekStart); err != nil {
			return err
		}
		at = p.end
	}
	_, err := io.Copy(out, archive)
	return err
}

// part encodes the member as it is now.
func (m *member) part() (part, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	m.header.Size = int64(len(m.data))
	if err := w.WriteHeader(m.header); err != nil {
		return part{}, err
	}
	if _, err := w.Write(m.data); err != nil {
		return part{}, err
	}
	if err := w.Flush(); err != nil {
		return part{}, err
	}
	return part{start: m.start, end: m.end, data: b.Bytes()}, nil
}

// countingReader hides Seek from package tar, so that its count is the position in the archive.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// readMetadata finds .PKGINFO, which must be there, and .MTREE among the first members.
func readMetadata(archive io.Reader) (pkginfo, mtree *member, err error) {
	counter := &countingReader{r: archive}
	t := tar.NewReader(counter)
	var start int64
	for range maxMembers {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read the archive: %w", err)
		}
		m := &member{header: h, start: start}
		name := strings.TrimPrefix(h.Name, "./")
		if h.Typeflag == tar.TypeReg && (name == ".PKGINFO" || name == ".MTREE") {
			limit := int64(maxPkginfo)
			if name == ".MTREE" {
				limit = maxMtree
			}
			if m.data, err = io.ReadAll(io.LimitReader(t, limit+1)); err != nil {
				return nil, nil, fmt.Errorf("read %s: %w", name, err)
			}
			if int64(len(m.data)) > limit {
				return nil, nil, fmt.Errorf("%s has more than %d bytes", name, limit)
			}
		} else if _, err := io.Copy(io.Discard, t); err != nil {
			return nil, nil, fmt.Errorf("read the archive: %w", err)
		}
		m.end = (counter.n + tarBlock - 1) / tarBlock * tarBlock
		start = m.end
		switch {
		case m.data == nil:
		case name == ".PKGINFO" && pkginfo == nil:
			pkginfo = m
		case name == ".MTREE" && mtree == nil:
			mtree = m
		default:
			return nil, nil, fmt.Errorf("%s is there twice", name)
		}
		if pkginfo != nil && mtree != nil {
			return pkginfo, mtree, nil
		}
	}
	if pkginfo == nil {
		return nil, nil, errors.New("there is no .PKGINFO at the head of the archive")
	}
	return pkginfo, mtree, nil
}

// withoutProhibited removes the lines of replaces and group: a package of a third party must neither push another one out
// nor become part of a group of the distribution.
func withoutProhibited(pkginfo []byte) (text []byte, removed []string) {
	for line := range bytes.Lines(pkginfo) {
		key, _, found := strings.Cut(string(line), "=")
		switch key = strings.TrimSpace(key); {
		case found && (key == "replaces" || key == "group"):
			removed = append(removed, strings.TrimSpace(string(line)))
		default:
			text = append(text, line...)
		}
	}
	return text, removed
}

// adjustMtree gives the line of .PKGINFO in a compressed mtree(5) the size and digests of the new text.
func adjustMtree(packed, pkginfo []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(z, maxMtree+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxMtree {
		return nil, fmt.Errorf("has more than %d bytes", maxMtree)
	}
	var out bytes.Buffer
	w := gzip.NewWriter(&out) // neither name nor time in it, like gzip -n
	found := false
	for line := range bytes.Lines(text) {
		if words := strings.Fields(string(line)); len(words) > 0 && words[0] == "./.PKGINFO" {
			found = true
			if line, err = adjustLine(words, pkginfo); err != nil {
				return nil, err
			}
		}
		if _, err := w.Write(line); err != nil {
			return nil, err
		}
	}
	if !found {
		return nil, errors.New("has no line for .PKGINFO")
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func adjustLine(words []string, pkginfo []byte) ([]byte, error) {
	for i, word := range words[1:] {
		key, _, _ := strings.Cut(word, "=")
		switch key {
		case "size":
			word = "size=" + strconv.Itoa(len(pkginfo))
		case "md5", "md5digest":
			sum := md5.Sum(pkginfo)
			word = key + "=" + hex.EncodeToString(sum[:])
		case "sha256", "sha256digest":
			sum := sha256.Sum256(pkginfo)
			word = key + "=" + hex.EncodeToString(sum[:])
		default:
			if strings.HasSuffix(key, "digest") || key == "cksum" {
				return nil, fmt.Errorf("has a %s of .PKGINFO, which caur cannot make", key)
			}
		}
		words[i+1] = word
	}
	return []byte(strings.Join(words, " ") + "\n"), nil
}
