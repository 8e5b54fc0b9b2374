package buildlog

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Fields of a stream entry.
const (
	fieldPlain = "d"
	fieldZstd  = "z"
	fieldEnd   = "e"
)

// compressFrom is the size from which a chunk is worth compressing: a line or
// two gets larger by zstd's frame.
const compressFrom = 512

// codec compresses chunks: build output shrinks five- to tenfold, and Redis
// holds a week of it. Both halves are made when first used, because each costs
// about a megabyte that an idle process should not pay.
type codec struct {
	encoder func() *zstd.Encoder
	decoder func() *zstd.Decoder
}

func newCodec() *codec {
	return &codec{
		encoder: sync.OnceValue(func() *zstd.Encoder {
			e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2),
				zstd.WithWindowSize(ChunkSize), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
			if err != nil {
				panic(err) // only wrong options fail
			}
			return e
		}),
		decoder: sync.OnceValue(func() *zstd.Decoder {
			// The limit: a builder that was taken over must not make the web
			// process unpack a bomb.
			d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(ChunkSize),
				zstd.WithDecoderMaxWindow(ChunkSize), zstd.WithDecoderLowmem(true))
			if err != nil {
				panic(err)
			}
			return d
		}),
	}
}

// pack gives the field and value to store; scratch is reused for the value.
func (c *codec) pack(chunk, scratch []byte) (field string, value []byte) {
	if len(chunk) < compressFrom {
		return fieldPlain, chunk
	}
	packed := c.encoder().EncodeAll(chunk, scratch[:0])
	if len(packed) >= len(chunk) {
		return fieldPlain, chunk
	}
	return fieldZstd, packed
}

// unpack gives a chunk's bytes from the fields of its entry.
func (c *codec) unpack(id string, fields map[string]any) ([]byte, error) {
	if s, ok := fields[fieldPlain].(string); ok {
		if len(s) > ChunkSize {
			return nil, fmt.Errorf("log chunk %s is larger than %d bytes", id, ChunkSize)
		}
		return []byte(s), nil
	}
	s, ok := fields[fieldZstd].(string)
	if !ok {
		return nil, fmt.Errorf("log chunk %s has no data", id)
	}
	data, err := c.decoder().DecodeAll([]byte(s), nil)
	if err != nil {
		return nil, fmt.Errorf("unpack log chunk %s: %w", id, err)
	}
	return data, nil
}
