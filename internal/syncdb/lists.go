package syncdb

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// lists finds file lists. It keeps the last group that it unpacked, since neighbours come from the same one; it is
// for one goroutine.
type lists struct {
	db    *DB
	dec   *zstd.Decoder
	group *group
	found map[string]string // by directory name
}

func (d *DB) lists() *lists { return &lists{db: d} }

// of returns the member "files" of an entry that has one.
func (l *lists) of(e *Entry) (string, error) {
	switch {
	case e.files.raw != "":
		return e.files.raw, nil
	case e.files.spool != nil:
		return l.db.spool.read(e.files.spool)
	}
	if l.group != e.files.group {
		if err := l.load(e.files.group); err != nil {
			return "", err
		}
	}
	raw, found := l.found[e.dir()]
	if !found {
		return "", fmt.Errorf("%s: the group at offset %d lacks it", l.db.files.f.Name(), e.files.group.off)
	}
	return raw, nil
}

func (l *lists) load(g *group) error {
	if l.dec == nil {
		dec, err := newDecoder(1)
		if err != nil {
			return err
		}
		l.dec = dec
	}
	plain, err := l.db.files.content(g, l.dec)
	if err != nil {
		return err
	}
	found := make(map[string]string)
	var m memberReader
	err = members(bytes.NewReader(plain), func(dir, name string, size int64, body io.Reader) error {
		if name != "files" {
			return nil
		}
		raw, err := m.read(body, size)
		found[dir] = raw
		return err
	})
	l.group, l.found = g, found
	return err
}

// Largest member of an archive that is taken into memory.
const maxMember = 512 << 20

// memberReader reads members one after the other through one buffer.
type memberReader struct{ buf []byte }

func (m *memberReader) read(r io.Reader, size int64) (string, error) {
	if size > maxMember {
		return "", fmt.Errorf("a member of %d bytes is too large", size)
	}
	m.buf = slices.Grow(m.buf[:0], int(size))[:size]
	if _, err := io.ReadFull(r, m.buf); err != nil {
		return "", fmt.Errorf("damaged archive: %w", err)
	}
	return string(m.buf), nil
}

func newDecoder(concurrency int) (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(concurrency), zstd.WithDecoderMaxWindow(maxWindow))
}

// spool keeps the file lists of an archive without an index, each compressed, in an unlinked temporary file: all of
// them together may be larger than memory.
type spool struct {
	f   *os.File
	off int64
	enc *zstd.Encoder
	mu  sync.Mutex // guards dec
	dec *zstd.Decoder
}

type spooled struct{ off, size int64 }

func newSpool() (*spool, error) {
	f, err := os.CreateTemp("", "caur-files-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		f.Close()
		return nil, err
	}
	dec, err := newDecoder(1)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &spool{f: f, enc: enc, dec: dec}, nil
}

func (s *spool) add(raw string) (*spooled, error) {
	b := s.enc.EncodeAll([]byte(raw), nil)
	at := &spooled{off: s.off, size: int64(len(b))}
	if _, err := s.f.WriteAt(b, s.off); err != nil {
		return nil, fmt.Errorf("keep file list: %w", err)
	}
	s.off += at.size
	return at, nil
}

func (s *spool) read(at *spooled) (string, error) {
	b := make([]byte, at.size)
	if _, err := s.f.ReadAt(b, at.off); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	plain, err := s.dec.DecodeAll(b, nil)
	return string(plain), err
}
