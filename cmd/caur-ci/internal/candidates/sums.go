package candidates

import (
	"context"
	"crypto/md5"  //nolint:gosec // PKGBUILDs have it
	"crypto/sha1" //nolint:gosec // PKGBUILDs have it
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/blake2b"

	"github.com/caur-build/caur/cmd/caur-ci/internal/download"
	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// Bounds of what is downloaded for its checksums.
const (
	maxSource     = 2 << 30
	sourceTimeout = 15 * time.Minute
	skipped       = "SKIP"
)

// newChecksum gives the checksum of a kind of array (sha256sums…), nil for one that is not known.
func newChecksum(kind string) hash.Hash {
	switch kind {
	case "cksums":
		return &cksum{}
	case "md5sums":
		return md5.New() //nolint:gosec // see above
	case "sha1sums":
		return sha1.New() //nolint:gosec // see above
	case "sha224sums":
		return sha256.New224()
	case "sha256sums":
		return sha256.New()
	case "sha384sums":
		return sha512.New384()
	case "sha512sums":
		return sha512.New()
	case "b2sums":
		h, _ := blake2b.New512(nil) // fails for keys only
		return h
	}
	return nil
}

// checksumText is how a PKGBUILD writes it: cksum in decimal, all others in hexadecimal digits.
func checksumText(kind string, h hash.Hash) string {
	if kind == "cksums" {
		return strconv.FormatUint(uint64(binary.BigEndian.Uint32(h.Sum(nil))), 10)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// newVersion sets a version, and the checksums of the sources that are others because of it: all or nothing.
//
// A source that stays keeps its checksum, and SKIP stays SKIP. If a version changes no source at all, the downloads are
// made again: a PKGBUILD of the kind "latest.tar.gz" has no other sign of what is new.
func newVersion(ctx context.Context, web *download.Client, files pkgdir.Dir, edit VersionEdit) (pkgdir.Dir, error) {
	next, err := EditVersion(files, edit)
	if err != nil {
		return nil, err
	}
	before, err := pkgbuild.Parse("PKGBUILD", files["PKGBUILD"].Data)
	if err != nil {
		return nil, err
	}
	after, err := pkgbuild.Parse("PKGBUILD", next["PKGBUILD"].Data)
	if err != nil {
		return nil, err
	}
	s := &summer{web: web, files: next, known: map[string]map[string]string{}}
	if err := s.plan(before.Static(), after.Static()); err != nil {
		return nil, err
	}
	if len(s.todo) == 0 {
		return next, nil
	}
	edit.Checksums = map[string][]string{}
	if err := s.fill(ctx, edit.Checksums); err != nil {
		return nil, err
	}
	return EditVersion(files, edit)
}

// parseRecipe evaluates the PKGBUILD of a directory.
func parseRecipe(files pkgdir.Dir) (*pkgbuild.Static, error) {
	recipe, err := regularFile(files, "PKGBUILD")
	if err != nil {
		return nil, err
	}
	f, err := pkgbuild.Parse("PKGBUILD", recipe.Data)
	if err != nil {
		return nil, err
	}
	return f.Static(), nil
}

// pinned is the value for the variable _commit: as many digits as it has now; "" where the PKGBUILD has no such variable.
func pinned(recipe *pkgbuild.Static, commit string) string {
	now := recipe.Get("_commit")
	if now.Kind == pkgbuild.Unset && now.Static() {
		return ""
	}
	if n := len(now.String()); n >= 7 && n < len(commit) {
		return commit[:n]
	}
	return commit
}

// summer works out the checksums of one PKGBUILD.
type summer struct {
	web   *download.Client
	files pkgdir.Dir
	todo  []item
	items map[string][]string          // array → its items now
	known map[string]map[string]string // source → kind of checksum → checksum
}

// item is a checksum that is to be made.
type item struct {
	array, kind string
	index       int
	source      string
}

// plan lists the checksums to be made.
func (s *summer) plan(before, after *pkgbuild.Static) error {
	s.items = map[string][]string{}
	var unchanged []item
	changes := false
	for _, array := range after.Checksums() {
		kind, arch, _ := strings.Cut(array, "_")
		sources := "source"
		if arch != "" {
			sources += "_" + arch
		}
		sums, now, old := after.Get(array), after.Get(sources), before.Get(sources)
		if allSkipped(sums) {
			changes = changes || !slices.Equal(now.Items, old.Items)
			continue
		}
		for name, v := range map[string]pkgbuild.Value{array: sums, sources: now} {
			if !v.Static() {
				return fmt.Errorf("%s: %w, so its checksums cannot be made without running the PKGBUILD", name, v.Dynamic)
			}
		}
		if len(sums.Items) != len(now.Items) {
			return fmt.Errorf("PKGBUILD:%d: %s has %d items for the %d of %s", sums.Line, array, len(sums.Items), len(now.Items), sources)
		}
		s.items[array] = sums.Items
		for i, sum := range sums.Items {
			it := item{array, kind, i, now.Items[i]}
			same := i < len(old.Items) && old.Items[i] == now.Items[i]
			changes = changes || !same
			switch {
			case sum == skipped:
			case same:
				unchanged = append(unchanged, it)
			default:
				s.todo = append(s.todo, it)
			}
		}
	}
	if changes {
		return nil
	}
	for _, it := range unchanged {
		if source := srcinfo.ParseSource(it.source); !source.Local && source.VCS == "" {
			s.todo = append(s.todo, it)
		}
	}
	return nil
}

func allSkipped(v pkgbuild.Value) bool {
	return v.Static() && !slices.ContainsFunc(v.Items, func(sum string) bool { return sum != skipped })
}

// fill makes the checksums, each source being read once, and puts the whole arrays into sums.
func (s *summer) fill(ctx context.Context, sums map[string][]string) error {
	kinds := map[string]map[string]bool{}
	for _, it := range s.todo {
		if kinds[it.source] == nil {
			kinds[it.source] = map[string]bool{}
		}
		kinds[it.source][it.kind] = true
	}
	for _, source := range slices.Sorted(maps.Keys(kinds)) {
		made, err := s.sum(ctx, source, slices.Sorted(maps.Keys(kinds[source])))
		if err != nil {
			return fmt.Errorf("checksum of %s: %w", download.Clean(source), err)
		}
		s.known[source] = made
	}
	for _, it := range s.todo {
		if sums[it.array] == nil {
			sums[it.array] = slices.Clone(s.items[it.array])
		}
		sums[it.array][it.index] = s.known[it.source][it.kind]
	}
	return nil
}

// sum makes checksums of one source.
func (s *summer) sum(ctx context.Context, entry string, kinds []string) (map[string]string, error) {
	source := srcinfo.ParseSource(entry)
	hashes := make([]hash.Hash, len(kinds))
	all := make([]io.Writer, len(kinds))
	for i, kind := range kinds {
		if hashes[i] = newChecksum(kind); hashes[i] == nil {
			return nil, fmt.Errorf("the checksum %s is not known", kind)
		}
		all[i] = hashes[i]
	}
	into := io.MultiWriter(all...)
	var err error
	switch {
	case source.Local:
		var f pkgdir.File
		if f, err = regularFile(s.files, source.Name); err == nil {
			_, err = into.Write(f.Data)
		}
	case source.VCS != "":
		err = gitArchive(ctx, source, into)
	default:
		request := download.Request{URL: source.URL, MaxBytes: maxSource, Timeout: sourceTimeout}
		err = s.web.Stream(ctx, request, func(_ http.Header, r io.Reader) error {
			for _, h := range hashes { // an earlier try may have come half way
				h.Reset()
			}
			_, err := io.Copy(into, r)
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	made := map[string]string{}
	for i, kind := range kinds {
		made[kind] = checksumText(kind, hashes[i])
	}
	return made, nil
}

// cksum is the checksum of cksum(1) (POSIX): a CRC whose highest bit comes first, with the length behind the content.
type cksum struct {
	crc   uint32
	size  uint64
	table *[256]uint32
}

const cksumPolynomial = 0x04c11db7

func (c *cksum) Write(p []byte) (int, error) {
	if c.table == nil {
		c.table = cksumTable()
	}
	for _, b := range p {
		c.crc = c.crc<<8 ^ c.table[byte(c.crc>>24)^b]
	}
	c.size += uint64(len(p))
	return len(p), nil
}

func cksumTable() *[256]uint32 {
	var table [256]uint32
	for i := range table {
		crc := uint32(i) << 24 //nolint:gosec // below 256
		for range 8 {
			carry := crc >> 31
			crc = crc<<1 ^ carry*cksumPolynomial
		}
		table[i] = crc
	}
	return &table
}

// Sum gives the four bytes of the checksum so far.
func (c *cksum) Sum(b []byte) []byte {
	end := *c
	var length []byte
	for n := c.size; n > 0; n >>= 8 {
		length = append(length, byte(n))
	}
	_, _ = end.Write(length)
	return binary.BigEndian.AppendUint32(b, ^end.crc)
}

// Reset begins anew.
func (c *cksum) Reset()         { c.crc, c.size = 0, 0 }
func (c *cksum) Size() int      { return 4 }
func (c *cksum) BlockSize() int { return 1 }
