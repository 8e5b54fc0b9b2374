package syncdb

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Window that a zstd archive may ask for: zstd --ultra -22 uses 128 MiB. More would let a stranger's package take
// as much memory as it likes.
const maxWindow = 128 << 20

// decompress returns the content of a zstd, xz or gzip stream, told by its first bytes, or r's own bytes when it
// is none of these. The returned reader must be closed.
func decompress(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 128<<10)
	magic, err := b.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case isZstd(magic):
		d, err := zstd.NewReader(b, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, fmt.Errorf("open zstd stream: %w", err)
		}
		return d.IOReadCloser(), nil
	case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")):
		d, err := xz.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("open xz stream: %w", err)
		}
		return io.NopCloser(d), nil
	case bytes.HasPrefix(magic, []byte("\x1f\x8b")):
		d, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("open gzip stream: %w", err)
		}
		return d, nil
	}
	return io.NopCloser(b), nil
}

// isZstd tells a zstd file by its first frame, which may be a skippable one.
func isZstd(magic []byte) bool {
	if len(magic) < 4 {
		return false
	}
	return bytes.HasPrefix(magic, []byte("\x28\xb5\x2f\xfd")) || (magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:4], []byte("\x2a\x4d\x18")))
}
