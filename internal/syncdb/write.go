package syncdb

import (
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// EncodeDB writes the db archive, as .tar.zst, to w. Where w is an *os.File or reads from one as it does (io.ReaderFrom),
// unchanged frames are copied by the kernel.
func (d *DB) EncodeDB(w io.Writer) error { return d.encode(w, d.db, false) }

// EncodeFiles writes the files archive in the same way.
func (d *DB) EncodeFiles(w io.Writer) error { return d.encode(w, d.files, true) }

func (d *DB) encode(w io.Writer, old *archive, files bool) error {
	if err := d.writeTo(w, old, files); err != nil {
		return fmt.Errorf("write database: %w", err)
	}
	return nil
}

// WriteDB writes the db archive to path, whose name ends in .tar.zst: to a temporary file beside it, .tmp.NAME as
// repo-add names it, which is synced and renamed. The directory is not synced.
func (d *DB) WriteDB(path string) error {
	return d.write(path, d.db, false)
}

// WriteFiles writes the files archive to path, in the same way.
func (d *DB) WriteFiles(path string) error {
	return d.write(path, d.files, true)
}

func (d *DB) write(path string, old *archive, files bool) (err error) {
	if !strings.HasSuffix(path, ".tar.zst") {
		return fmt.Errorf("write database %s: only .tar.zst is written", path)
	}
	tmp := filepath.Join(filepath.Dir(path), ".tmp."+filepath.Base(path))
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("write database: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(tmp)
			err = fmt.Errorf("write database %s: %w", path, err)
		}
	}()
	if err = d.writeTo(f, old, files); err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// planned is a group of the new archive: a frame of the old one or bytes that a goroutine makes.
type planned struct {
	sum  sum
	old  *group
	made chan frame
}

type frame struct {
	data []byte
	err  error
}

func (d *DB) writeTo(f io.Writer, old *archive, files bool) error {
	workers := max(1, min(runtime.GOMAXPROCS(0), d.changedGroups(old, files))) // each takes memory
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(workers),
		zstd.WithEncoderCRC(true), zstd.WithWindowSize(window))
	if err != nil {
		return err
	}
	defer enc.Close()
	plans := make(chan planned, workers)
	stop := make(chan struct{})
	defer close(stop)
	go d.plan(plans, stop, old, files, enc)

	out := &output{f: f, old: old}
	for p := range plans {
		if p.old != nil {
			err = out.keep(p.old)
		} else if made := <-p.made; made.err != nil {
			err = made.err
		} else {
			err = out.add(p.sum, made.data)
		}
		if err != nil {
			return err
		}
	}
	if err := out.add(sum{}, enc.EncodeAll(make([]byte, 1024), nil)); err != nil { // two zero records end a tar archive
		return err
	}
	if err := out.flush(); err != nil {
		return err
	}
	_, err = f.Write(encodeIndex(out.groups))
	return err
}

func (d *DB) changedGroups(old *archive, files bool) (n int) {
	for _, entries := range groupsOf(d.entries) {
		if old == nil || old.bySum[sumOf(entries, files)] == nil {
			n++
		}
	}
	return n
}

// level of the frames that are made. A change makes one frame, so it may be a good one.
const level = zstd.SpeedBetterCompression

// window is how far back a frame refers. A group of descs is far smaller and one of file lists seldom larger; the encoder
// clears that much memory for each.
const window = 1 << 20

// plan sends the groups in order; those that are new are packed side by side, at most as many as the channel
// holds.
func (d *DB) plan(plans chan<- planned, stop <-chan struct{}, old *archive, files bool, enc *zstd.Encoder) {
	defer close(plans)
	for _, entries := range groupsOf(d.entries) {
		p := planned{sum: sumOf(entries, files)}
		if old != nil {
			p.old = old.bySum[p.sum]
		}
		if p.old == nil {
			p.made = make(chan frame, 1)
			go func() {
				var l *lists
				if files {
					l = d.lists()
				}
				plain, err := tarGroup(entries, l)
				if err != nil {
					p.made <- frame{err: err}
					return
				}
				p.made <- frame{data: enc.EncodeAll(plain, nil)}
			}()
		}
		select {
		case plans <- p:
		case <-stop:
			return
		}
	}
}

// output writes frames one after the other and remembers them for the index. Frames that were neighbours in the
// old archive are copied together, in the kernel where it can.
type output struct {
	f       io.Writer
	old     *archive
	groups  []*group
	off     int64
	pending []*group
}

func (o *output) keep(g *group) error {
	if n := len(o.pending); n > 0 && o.pending[n-1].off+o.pending[n-1].size != g.off {
		if err := o.flush(); err != nil {
			return err
		}
	}
	o.pending = append(o.pending, g)
	return nil
}

func (o *output) flush() error {
	if len(o.pending) == 0 {
		return nil
	}
	start := o.pending[0].off
	size := int64(0)
	for _, g := range o.pending {
		o.groups = append(o.groups, &group{off: o.off + size, size: g.size, crc: g.crc, sum: g.sum})
		size += g.size
	}
	o.pending = o.pending[:0]
	if _, err := o.old.f.Seek(start, io.SeekStart); err != nil {
		return err
	}
	n, err := io.CopyN(o.f, o.old.f, size)
	if err != nil {
		return fmt.Errorf("copy %d bytes of %s, %d done: %w", size, o.old.f.Name(), n, err)
	}
	o.off += size
	return nil
}

func (o *output) add(id sum, data []byte) error {
	if err := o.flush(); err != nil {
		return err
	}
	o.groups = append(o.groups, &group{off: o.off, size: int64(len(data)), crc: crc32.Checksum(data, castagnoli()), sum: id})
	o.off += int64(len(data))
	_, err := o.f.Write(data)
	return err
}
