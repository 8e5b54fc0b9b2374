package aursync

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/Jguer/aur"
	"github.com/klauspost/compress/gzip"
)

const (
	maxArchive = 1 << 30 // bytes after decompression; today's archive has 90 MB
	longLine   = 1 << 20 // a longer line is not one package, so the archive is not read line by line
)

// selection picks what is wanted from a stream of packages.
type selection struct {
	wants   []Want
	bases   map[string]bool
	names   map[string]bool // pkgnames that tell where a pkgbase went
	found   map[string]*Meta
	holders map[string]string // pkgname of names → the pkgbase that has it
	entries int
}

func newSelection(wants []Want) *selection {
	s := &selection{
		wants: wants, bases: make(map[string]bool, len(wants)), names: make(map[string]bool, len(wants)),
		found: make(map[string]*Meta, len(wants)), holders: map[string]string{},
	}
	for _, want := range wants {
		s.bases[want.Pkgbase] = true
		s.names[want.Pkgbase] = true
		for _, name := range want.Pkgnames {
			s.names[name] = true
		}
	}
	return s
}

func (s *selection) take(p *aur.Pkg) {
	if s.names[p.Name] {
		s.holders[p.Name] = p.PackageBase
	}
	if !s.bases[p.PackageBase] {
		return
	}
	m := s.found[p.PackageBase]
	if m == nil {
		m = &Meta{
			Pkgbase: p.PackageBase, Version: p.Version, Maintainer: p.Maintainer, CoMaintainers: p.CoMaintainers, Submitter: p.Submitter,
			OutOfDate: seconds(p.OutOfDate), FirstSubmitted: seconds(p.FirstSubmitted), LastModified: seconds(p.LastModified),
		}
		s.found[p.PackageBase] = m
	}
	if i, there := slices.BinarySearch(m.Pkgnames, p.Name); !there {
		m.Pkgnames = slices.Insert(m.Pkgnames, i, p.Name)
	}
	// All of these belong to the pkgbase; should they ever differ, the newest counts.
	if t := seconds(p.LastModified); t.After(m.LastModified) {
		m.LastModified, m.Version = t, p.Version
	}
}

func seconds(n int) time.Time {
	if n <= 0 {
		return time.Time{}
	}
	return time.Unix(int64(n), 0).UTC()
}

// snapshot is what was picked. An answer that lacks most of what is wanted is no answer: a proxy's own idea of an archive.
func (s *selection) snapshot(from string) (*Snapshot, error) {
	if n := len(s.bases); n >= 20 && len(s.found) < n/2 {
		return nil, fmt.Errorf("it knows only %d of %d packages, so it is not believed", len(s.found), n)
	}
	moved := map[string]string{}
	for _, want := range s.wants {
		if s.found[want.Pkgbase] != nil {
			continue
		}
		for _, name := range append([]string{want.Pkgbase}, want.Pkgnames...) {
			if to := s.holders[name]; to != "" {
				moved[want.Pkgbase] = to
				break
			}
		}
	}
	return &Snapshot{Packages: maps.Clone(s.found), Moved: moved, From: from}, nil
}

// unpack gives the JSON of an archive that may be compressed: once, not at all (the server or a proxy has done it), or
// twice.
func unpack(r io.Reader) (io.Reader, error) {
	for range 2 {
		b := bufio.NewReaderSize(r, 64<<10)
		magic, err := b.Peek(2)
		if err != nil || magic[0] != 0x1f || magic[1] != 0x8b {
			return b, nil
		}
		if r, err = gzip.NewReader(b); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// bounded is a reader that fails where a LimitReader would end.
type bounded struct {
	from io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("it has more than %d MiB", maxArchive>>20)
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// scan reads an archive to its end, where the checksum is: an array of packages. The AUR writes each on a line of its
// own, so most lines can be passed by after a look at two of their values. encoding/json reads whatever is laid out
// otherwise, from the first line on that is not one whole object.
func (s *selection) scan(archive io.Reader) error {
	content, err := unpack(archive)
	if err != nil {
		return broken(err)
	}
	r := bufio.NewReaderSize(&bounded{content, maxArchive}, longLine)
	if err := s.open(r); err != nil {
		return broken(err)
	}
	after, err := s.lines(r)
	if err != nil {
		return broken(err)
	}
	rest, err := io.ReadAll(io.LimitReader(after, 1<<10))
	if err == nil && len(bytes.TrimSpace(rest)) > 0 {
		err = fmt.Errorf("there is something after its end: %.40q", rest)
	}
	if err == nil && s.entries == 0 {
		err = errors.New("it is empty")
	}
	return broken(err)
}

// broken tells an archive that was cut short, which another try may mend, from one that is something else.
func broken(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &passingError{errors.New("it is cut short")}
	}
	if errors.Is(err, gzip.ErrChecksum) {
		return &passingError{errors.New("it is damaged: its checksum is wrong")}
	}
	return err
}

// open reads the bracket that opens the array, and the rest of its line when it is empty.
func (s *selection) open(r *bufio.Reader) error {
	for {
		c, err := r.ReadByte()
		switch {
		case err != nil:
			return err
		case c == '[':
			return nil
		case !strings.ContainsRune(" \t\r\n", rune(c)):
			start, _ := r.Peek(min(r.Buffered(), 30))
			return fmt.Errorf("it is no list of packages: it begins with %q", string(c)+string(start))
		}
	}
}

// lines reads packages up to the bracket that closes the array, and gives what comes after it.
func (s *selection) lines(r *bufio.Reader) (io.Reader, error) {
	comma := true // a package may come
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return s.stream(line, r, comma)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		trimmed := bytes.TrimSpace(line)
		switch {
		case len(trimmed) == 0:
		case len(trimmed) == 1 && trimmed[0] == ']' && (!comma || s.entries == 0):
			return r, nil
		default:
			object, more := bytes.CutSuffix(trimmed, []byte{','})
			if !comma || len(object) < 2 || object[0] != '{' || object[len(object)-1] != '}' {
				return s.stream(line, r, comma)
			}
			if decodeErr := s.line(object); decodeErr != nil {
				return s.stream(line, r, comma)
			}
			comma = more
		}
		if err != nil {
			return nil, io.ErrUnexpectedEOF
		}
	}
}

var keyName, keyBase = []byte(`"Name":"`), []byte(`"PackageBase":"`)

// line takes one package, after a look at whether it is wanted. A quote within a value has a backslash before it, so
// the keys are found nowhere else; where a value has an escape, or a key is written otherwise, the whole is decoded.
func (s *selection) line(object []byte) error {
	name, plainName := valueOf(object, keyName)
	base, plainBase := valueOf(object, keyBase)
	single := bytes.IndexByte(object, '}') == len(object)-1 // else several may share the line
	if single && plainName && plainBase && !s.bases[string(base)] && !s.names[string(name)] {
		s.entries++
		return nil
	}
	var p aur.Pkg
	if err := json.Unmarshal(object, &p); err != nil {
		return err
	}
	s.entries++
	s.take(&p)
	return nil
}

func valueOf(object, key []byte) (value []byte, plain bool) {
	at := bytes.Index(object, key)
	if at < 0 {
		return nil, false
	}
	rest := object[at+len(key):]
	end := bytes.IndexByte(rest, '"')
	if end < 0 || bytes.IndexByte(rest[:end], '\\') >= 0 {
		return nil, false
	}
	return rest[:end], true
}

// stream reads the rest of the array with encoding/json, from a line on that was read already.
func (s *selection) stream(line []byte, r *bufio.Reader, comma bool) (io.Reader, error) {
	line = bytes.TrimLeft(line, " \t\r\n")
	closing := bytes.HasPrefix(line, []byte{']'})
	if s.entries > 0 && !comma && !closing {
		rest, more := bytes.CutPrefix(line, []byte{','})
		if !more {
			return nil, fmt.Errorf("it is no JSON: after package %d comes %.40q", s.entries, line)
		}
		line = rest
	}
	if s.entries > 0 && comma && closing {
		return nil, errors.New("it is no JSON: there is a comma after its last package")
	}
	from := io.MultiReader(strings.NewReader("["), bytes.NewReader(bytes.Clone(line)), r)
	dec := json.NewDecoder(from)
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	for dec.More() {
		var p aur.Pkg
		if err := dec.Decode(&p); err != nil {
			return nil, notJSON(err)
		}
		s.entries++
		s.take(&p)
	}
	if _, err := dec.Token(); err != nil {
		return nil, notJSON(err)
	}
	return io.MultiReader(dec.Buffered(), from), nil
}

func notJSON(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return io.ErrUnexpectedEOF
	}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	if errors.As(err, &syntax) || errors.As(err, &kind) {
		return fmt.Errorf("it is no JSON of packages: %w", err)
	}
	return err
}
