package buildlog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// staleAfter is how old a file must be that a process has begun and not finished.
const staleAfter = time.Hour

// disk keeps moved logs: ROOT/PKGBASE/TIMESTAMP.log.zst, as old as the log's END. A file with such a name is whole. Several processes
// may work in one folder.
type disk struct {
	root   string
	codec  *codec
	packer func() *zstd.Encoder
	create func(dir, pattern string) (newFile, error) // a test lets it fail
}

// newFile is a file that is being written.
type newFile interface {
	io.WriteCloser
	Name() string
	Sync() error
	Chmod(os.FileMode) error
}

func newDisk(root string, c *codec) *disk {
	return &disk{root: root, codec: c,
		packer: sync.OnceValue(func() *zstd.Encoder {
			e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1),
				zstd.WithWindowSize(ChunkSize), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true))
			if err != nil {
				panic(err) // only wrong options fail
			}
			return e
		}),
		create: func(dir, pattern string) (newFile, error) { return os.CreateTemp(dir, pattern) },
	}
}

// path is the file of a log. Names come from Redis: one that would leave the folder is refused.
func (d *disk) path(k Key) (string, error) {
	if k.Pkgbase == "" || k.Pkgbase[0] == '.' || strings.ContainsAny(k.Pkgbase, "/\x00") {
		return "", fmt.Errorf("log %q cannot be a file: %q is no package name", k.String(), k.Pkgbase)
	}
	return filepath.Join(d.root, k.Pkgbase, strconv.FormatInt(k.Timestamp, 10)+fileSuffix), nil
}

func (d *disk) open(k Key) (*os.File, *filed, error) {
	path, err := d.path(k)
	if err != nil {
		return nil, nil, err
	}
	return openFile(path)
}

func (d *disk) info(k Key) (Info, error) {
	f, h, err := d.open(k)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	info := h.info()
	info.Key = k
	return info, nil
}

// read gives a few chunks, the first of which holds the byte at offset; none when the log is not that long.
func (d *disk) read(k Key, offset int64) ([]entry, error) {
	f, h, err := d.open(k)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := readFrames(f, h, d.codec.decoder(), offset, historyChunks)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return entries, nil
}

func (d *disk) marks(k Key) ([]Mark, error) {
	f, h, err := d.open(k)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	marks, err := readMarks(f, h)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return marks, nil
}

// stamps gives the timestamps of the logs of a pkgbase.
func (d *disk) stamps(pkgbase string) ([]int64, error) {
	path, err := d.path(Key{Pkgbase: pkgbase})
	if err != nil {
		return nil, nil // it has none
	}
	names, err := os.ReadDir(filepath.Dir(path))
	if err != nil && !missing(err) {
		return nil, err
	}
	var all []int64
	for _, name := range names {
		if text, ok := strings.CutSuffix(name.Name(), fileSuffix); ok {
			if stamp, err := strconv.ParseInt(text, 10, 64); err == nil {
				all = append(all, stamp)
			}
		}
	}
	return all, nil
}

// has says whether the file of a log has all of it already.
func (d *disk) has(info Info) bool {
	kept, err := d.info(info.Key)
	return err == nil && kept.Size == info.Size && kept.token == info.token && kept.Ended.Equal(info.Ended)
}

// write makes the file of a log. When it returns without an error the file outlives a power cut; with one, what was there before
// is unchanged.
func (d *disk) write(info Info, text io.Reader, marks []Mark) (err error) {
	path, err := d.path(info.Key)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err = os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := d.create(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err = writeFile(f, d.packer(), info, text, marks); err != nil {
		return err
	}
	if err = errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Chtimes(f.Name(), info.Ended, info.Ended); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return errors.Join(syncDir(dir), syncDir(d.root))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// sweep removes logs that are older than retention, and what processes that died have begun.
func (d *disk) sweep(now time.Time, retention time.Duration) (removed int, err error) {
	dirs, err := os.ReadDir(d.root)
	if err != nil {
		return 0, err
	}
	var problems []error
	for _, dir := range dirs {
		if !dir.IsDir() || dir.Name()[0] == '.' {
			continue
		}
		n, err := sweepDir(filepath.Join(d.root, dir.Name()), now, retention)
		removed += n
		if err != nil && !missing(err) { // another process sweeps, too
			problems = append(problems, err)
		}
	}
	return removed, errors.Join(problems...)
}

func sweepDir(dir string, now time.Time, retention time.Duration) (removed int, err error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	left := len(names)
	for _, name := range names {
		begun := strings.HasPrefix(name.Name(), ".") && strings.Contains(name.Name(), fileSuffix+".")
		limit := retention
		if begun {
			limit = staleAfter
		} else if !strings.HasSuffix(name.Name(), fileSuffix) {
			continue // not ours
		}
		info, err := name.Info()
		if missing(err) {
			left--
			continue
		}
		if err != nil {
			return removed, err
		}
		if now.Sub(info.ModTime()) < limit {
			continue
		}
		if err := os.Remove(filepath.Join(dir, name.Name())); err != nil && !missing(err) {
			return removed, err
		}
		left--
		removed++
	}
	if left == 0 {
		_ = os.Remove(dir) // fails when another process has just put a file there
	}
	return removed, nil
}
