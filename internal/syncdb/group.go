package syncdb

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/klauspost/compress/zstd"
)

// groupSpread is the mean number of entries in a group. Smaller groups compress worse, larger ones cost more for
// each change.
const groupSpread = 64

// startsGroup says whether the entry of that name begins a new group. It depends on the name alone, so that a
// change anywhere else in the repository moves no boundary.
func startsGroup(name string) bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return h.Sum32()%groupSpread == 0
}

// groupsOf cuts entries, which are in order, into groups.
func groupsOf(entries []*Entry) [][]*Entry {
	var groups [][]*Entry
	start := 0
	for i := 1; i <= len(entries); i++ {
		if i == len(entries) || startsGroup(entries[i].Name) {
			groups = append(groups, entries[start:i])
			start = i
		}
	}
	return groups
}

// sum identifies the content of a group: the directory names and descs of its entries. A file list belongs to its
// desc, which holds the package's SHA-256, so it need not be part; of a files archive (files is true), it matters
// which entries have one.
type sum [16]byte

func sumOf(entries []*Entry, files bool) sum {
	h := sha256.New()
	for _, e := range entries {
		if e.sum == (sum{}) {
			e.sum = e.digest()
		}
		h.Write(e.sum[:])
		if files && !e.files.known() {
			h.Write([]byte{1})
		}
	}
	return sum(h.Sum(nil)[:len(sum{})])
}

func (e *Entry) digest() sum {
	h := sha256.New()
	io.WriteString(h, e.dir())
	h.Write([]byte{0})
	io.WriteString(h, e.desc)
	return sum(h.Sum(nil)[:len(sum{})])
}

// group is one frame of an archive on disk.
type group struct {
	off, size int64 // of the compressed frame
	crc       uint32
	sum       sum
}

// archive is an open archive with an index.
type archive struct {
	f      *os.File
	groups []*group
	bySum  map[sum]*group
}

// Index: a skippable frame (RFC 8878, section 3.1.2) whose content is one record a group, in order of the file,
// and a trailer. The last record is that of the end-of-archive marker, with an all-zero sum.
//
//	record:  size uint64, crc-32c uint32, sum [16]byte      (little endian)
//	trailer: number of records uint32, version uint32, "caur-idx"
const (
	indexMagic   = 0x184d2a5c
	indexVersion = 1
	indexMark    = "caur-idx"
	recordSize   = 8 + 4 + len(sum{})
	trailerSize  = 4 + 4 + len(indexMark)
	maxGroups    = 1 << 20
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func encodeIndex(groups []*group) []byte {
	size := len(groups)*recordSize + trailerSize
	b := make([]byte, 0, 8+size)
	b = binary.LittleEndian.AppendUint32(b, indexMagic)
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	for _, g := range groups {
		b = binary.LittleEndian.AppendUint64(b, uint64(g.size))
		b = binary.LittleEndian.AppendUint32(b, g.crc)
		b = append(b, g.sum[:]...)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(groups)))
	b = binary.LittleEndian.AppendUint32(b, indexVersion)
	return append(b, indexMark...)
}

// readIndex returns the groups of an archive, nil when it has no index of this version or one that does not fit
// the file: such an archive is read as a stream.
func readIndex(f *os.File) ([]*group, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	trailer := make([]byte, trailerSize)
	if st.Size() < int64(trailerSize) {
		return nil, nil
	}
	if _, err := f.ReadAt(trailer, st.Size()-int64(trailerSize)); err != nil {
		return nil, err
	}
	count := int64(binary.LittleEndian.Uint32(trailer))
	if string(trailer[8:]) != indexMark || binary.LittleEndian.Uint32(trailer[4:]) != indexVersion || count > maxGroups {
		return nil, nil
	}
	content := count*int64(recordSize) + int64(trailerSize)
	start := st.Size() - content - 8
	if start < 0 {
		return nil, nil
	}
	b := make([]byte, 8+content)
	if _, err := f.ReadAt(b, start); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(b) != indexMagic || int64(binary.LittleEndian.Uint32(b[4:])) != content {
		return nil, nil
	}
	groups := make([]*group, count)
	off := int64(0)
	for i := range groups {
		r := b[8+i*recordSize:]
		g := &group{off: off, size: int64(binary.LittleEndian.Uint64(r)), crc: binary.LittleEndian.Uint32(r[8:])}
		copy(g.sum[:], r[12:])
		if g.size < 0 || g.size > start-off {
			return nil, nil
		}
		off += g.size
		groups[i] = g
	}
	if off != start {
		return nil, nil
	}
	return groups, nil
}

// openArchive opens path; indexed is false when it must be read as a stream, from its beginning.
func openArchive(path string) (a *archive, indexed bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	groups, err := readIndex(f)
	if info, statErr := f.Stat(); err == nil && statErr == nil && info.Size() == 0 {
		err = errors.New("damaged archive: the file is empty") // a full disk leaves such; a database without packages has bytes
	}
	if err != nil {
		f.Close()
		return nil, false, err
	}
	a = &archive{f: f, groups: groups, bySum: make(map[sum]*group, len(groups))}
	for _, g := range groups {
		a.bySum[g.sum] = g
	}
	return a, groups != nil, nil
}

// frame returns the compressed bytes of g, checked against the index, in buf when they fit.
func (a *archive) frame(g *group, buf []byte) ([]byte, error) {
	b := slices.Grow(buf[:0], int(g.size))[:g.size]
	if _, err := a.f.ReadAt(b, g.off); err != nil {
		return b, err
	}
	if crc32.Checksum(b, castagnoli()) != g.crc {
		return b, fmt.Errorf("%s is damaged: the %d bytes at offset %d do not match its index", a.f.Name(), g.size, g.off)
	}
	return b, nil
}

// content returns the tar records of g.
func (a *archive) content(g *group, dec *zstd.Decoder) ([]byte, error) {
	b, err := a.frame(g, nil)
	if err != nil {
		return nil, err
	}
	plain, err := dec.DecodeAll(b, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: offset %d: %w", a.f.Name(), g.off, err)
	}
	return plain, nil
}

// members calls yield for each regular file DIR/NAME of a tar stream, which need not have an end marker.
func members(r io.Reader, yield func(dir, name string, size int64, body io.Reader) error) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("damaged archive: %w", err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		dir, name, found := cutLast(h.Name)
		if !found {
			continue
		}
		if err := yield(dir, name, h.Size, t); err != nil {
			return err
		}
	}
}

func cutLast(path string) (dir, name string, found bool) {
	for len(path) > 2 && path[:2] == "./" {
		path = path[2:]
	}
	i := bytes.LastIndexByte([]byte(path), '/')
	if i < 0 {
		return "", "", false
	}
	return path[:i], path[i+1:], true
}

// tarGroup writes the tar records of entries. lists gives the file lists; nil makes a group of a db archive. The
// time of a record is the build date of its package, so that the bytes depend on the content alone.
func tarGroup(entries []*Entry, lists *lists) ([]byte, error) {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	for _, e := range entries {
		h := tar.Header{Uname: "root", Gname: "root", ModTime: e.BuildDate()}
		h.Typeflag, h.Name, h.Mode = tar.TypeDir, e.dir()+"/", 0o755
		if err := t.WriteHeader(&h); err != nil {
			return nil, err
		}
		if err := tarMember(t, h, e.dir()+"/desc", e.desc); err != nil {
			return nil, err
		}
		if lists == nil || !e.files.known() {
			continue
		}
		files, err := lists.of(e)
		if err != nil {
			return nil, fmt.Errorf("file list of %s: %w", e.dir(), err)
		}
		if err := tarMember(t, h, e.dir()+"/files", files); err != nil {
			return nil, err
		}
	}
	if err := t.Flush(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func tarMember(t *tar.Writer, h tar.Header, name, content string) error {
	h.Typeflag, h.Name, h.Mode, h.Size = tar.TypeReg, name, 0o644, int64(len(content))
	if err := t.WriteHeader(&h); err != nil {
		return err
	}
	_, err := io.WriteString(t, content)
	return err
}

// BuildDate returns when the package was built, the beginning of 1970 when its desc does not say.
func (e *Entry) BuildDate() time.Time {
	for name, lines := range blocks(e.desc) {
		if name == "BUILDDATE" && len(lines) == 1 {
			if n, err := strconv.ParseInt(lines[0], 10, 64); err == nil && n > 0 && n < 1<<33 {
				return time.Unix(n, 0)
			}
		}
	}
	return time.Unix(0, 0)
}
