package buildlog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"
)

// The file of a moved log is a zstd file, so that zstdcat shows it. It has one frame for each [ChunkSize] bytes of the log, then two
// frames that zstd skips: the marks, and the head, which says where each frame begins. The file ends with the head's length
// and fileEnd. To read from a byte on, one frame is unpacked and not what lies before it.
const (
	fileEnd    = "caur-log"
	skipMagic  = 0x184D2A5C // a skippable frame of RFC 8878
	skipHead   = 8          // bytes of its head
	endLength  = 4 + len(fileEnd)
	maxFiled   = 64 << 20 // of the head or the marks
	fileSuffix = ".log.zst"
)

var errFile = errors.New("not a whole log file")

// filed is the head of a log's file. Times are Unix milliseconds.
type filed struct {
	Pkgbase   string  `json:"pkgbase"`
	Timestamp int64   `json:"timestamp"`
	Size      int64   `json:"size"`
	Started   int64   `json:"started"`
	Ended     int64   `json:"ended"`
	Status    int     `json:"status"`
	Builder   string  `json:"builder"`
	Token     int64   `json:"token"`
	Frames    []int64 `json:"frames"` // where each frame begins, and where the last one ends
	Marks     int64   `json:"marks"`  // bytes of the marks
}

func (h *filed) info() Info {
	return Info{Key: Key{h.Pkgbase, h.Timestamp}, Size: h.Size, Started: time.UnixMilli(h.Started), Builder: h.Builder,
		Ended: time.UnixMilli(h.Ended), Status: h.Status, token: h.Token, moved: h.Size}
}

// fileWriter puts a log into a file.
type fileWriter struct {
	out    io.Writer
	at     int64
	packer *zstd.Encoder
}

func (w *fileWriter) write(p []byte) error {
	n, err := w.out.Write(p)
	w.at += int64(n)
	return err
}

func (w *fileWriter) skippable(body []byte) error {
	head := binary.LittleEndian.AppendUint32(nil, skipMagic)
	if err := w.write(binary.LittleEndian.AppendUint32(head, uint32(len(body)))); err != nil {
		return err
	}
	return w.write(body)
}

// writeFile writes the log that text gives. Text of another length than info says is an error.
func writeFile(out io.Writer, packer *zstd.Encoder, info Info, text io.Reader, marks []Mark) error {
	w := &fileWriter{out: out, packer: packer}
	h := filed{Pkgbase: info.Key.Pkgbase, Timestamp: info.Key.Timestamp, Size: info.Size, Started: info.Started.UnixMilli(),
		Ended: info.Ended.UnixMilli(), Status: info.Status, Builder: info.Builder, Token: info.token, Frames: []int64{0}}
	chunk, packed, total := make([]byte, ChunkSize), []byte(nil), int64(0)
	for {
		n, err := io.ReadFull(text, chunk)
		if n > 0 {
			packed = packer.EncodeAll(chunk[:n], packed[:0])
			if err := w.write(packed); err != nil {
				return err
			}
			h.Frames = append(h.Frames, w.at)
			total += int64(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if total != info.Size {
		return fmt.Errorf("%d of %d bytes could be read", total, info.Size)
	}
	pairs := make([][2]int64, 0, len(marks))
	for _, m := range marks {
		pairs = append(pairs, [2]int64{m.Offset, m.Time.UnixMilli()})
	}
	body, err := json.Marshal(pairs)
	if err != nil {
		return err
	}
	h.Marks = int64(len(body))
	if err = w.skippable(body); err != nil {
		return err
	}
	if body, err = json.Marshal(h); err != nil {
		return err
	}
	body = binary.LittleEndian.AppendUint32(body, uint32(len(body)))
	return w.skippable(append(body, fileEnd...))
}

// openFile reads the head of a log's file. The caller closes it.
func openFile(path string) (*os.File, *filed, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	h, err := readHead(f)
	if err != nil {
		_ = f.Close() // was read only
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, h, nil
}

func readHead(f *os.File) (*filed, error) {
	stat, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if stat.Size() < int64(endLength) {
		return nil, errFile
	}
	end := make([]byte, endLength)
	if _, err = f.ReadAt(end, stat.Size()-int64(endLength)); err != nil {
		return nil, err
	}
	length := int64(binary.LittleEndian.Uint32(end))
	if !bytes.Equal(end[4:], []byte(fileEnd)) || length > maxFiled || length > stat.Size()-int64(endLength) {
		return nil, errFile
	}
	body := make([]byte, length)
	if _, err = f.ReadAt(body, stat.Size()-int64(endLength)-length); err != nil {
		return nil, err
	}
	var h filed
	if err = json.Unmarshal(body, &h); err != nil || h.Size < 0 || int64(len(h.Frames)) != (h.Size+ChunkSize-1)/ChunkSize+1 || h.Marks < 0 || h.Marks > maxFiled {
		return nil, errFile
	}
	return &h, nil
}

// readFrames unpacks at most count chunks, the first of which holds the byte at offset.
func readFrames(f *os.File, h *filed, unpack *zstd.Decoder, offset int64, count int) ([]entry, error) {
	var entries []entry
	for i := offset / ChunkSize; i < int64(len(h.Frames)-1) && len(entries) < count; i++ {
		length := h.Frames[i+1] - h.Frames[i]
		if length < 0 || length > 2*ChunkSize {
			return nil, errFile
		}
		packed := make([]byte, length)
		if _, err := f.ReadAt(packed, h.Frames[i]); err != nil {
			return nil, err
		}
		data, err := unpack.DecodeAll(packed, nil)
		if err != nil {
			return nil, fmt.Errorf("unpack the log from byte %d on: %w", i*ChunkSize, err)
		}
		if int64(len(data)) != min(ChunkSize, h.Size-i*ChunkSize) {
			return nil, errFile
		}
		entries = append(entries, entry{offset: i * ChunkSize, data: data})
	}
	return entries, nil
}

func readMarks(f *os.File, h *filed) ([]Mark, error) {
	body := make([]byte, h.Marks)
	if _, err := f.ReadAt(body, h.Frames[len(h.Frames)-1]+skipHead); err != nil {
		return nil, err
	}
	var pairs [][2]int64
	if err := json.Unmarshal(body, &pairs); err != nil {
		return nil, errFile
	}
	marks := make([]Mark, 0, len(pairs))
	for _, p := range pairs {
		marks = append(marks, Mark{p[0], time.UnixMilli(p[1])})
	}
	return marks, nil
}

// missing says that there is no such file, and nothing else is wrong.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
