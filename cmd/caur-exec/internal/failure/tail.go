package failure

import (
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

const (
	tailSize = 64 << 10 // bytes of a log that are looked at
	maxLines = 10       // of a report
	maxWidth = 300      // bytes of one of its lines
	// width is what is matched of a line: an error that begins later than that is none for people either, and expressions
	// stay fast on a line without end.
	width = 2000
)

// Tail keeps the end of what is written to it, for Classify. It never fails, and takes 64 KiB at most.
type Tail struct {
	mu   sync.Mutex
	ring [tailSize]byte
	n    int64 // bytes written
}

// Write is the method of io.Writer.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	written := len(p)
	if len(p) > tailSize {
		t.n += int64(len(p) - tailSize)
		p = p[len(p)-tailSize:]
	}
	at := int(t.n % tailSize)
	copied := copy(t.ring[at:], p)
	copy(t.ring[:], p[copied:])
	t.n += int64(len(p))
	return written, nil
}

// Bytes gives what is kept.
func (t *Tail) Bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n <= tailSize {
		return append([]byte(nil), t.ring[:t.n]...)
	}
	at := int(t.n % tailSize)
	return append(append(make([]byte, 0, tailSize), t.ring[at:]...), t.ring[:at]...)
}

// escapes are the control sequences of ECMA-48: CSI, OSC and other strings up to their end, and those of two bytes.
var escapes = regexp.MustCompile("\x1b(?:\\[[0-?]*[ -/]*[@-~]?|[\\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[ -/]*[0-~]?)")

// clean makes lines for people of the end of a log: without escapes and control characters, of a line that was written
// over only what stood there in the end, and without empty lines.
func clean(tail []byte) []string {
	if len(tail) > tailSize {
		tail = tail[len(tail)-tailSize:]
	}
	text := escapes.ReplaceAllString(strings.ToValidUTF8(string(tail), "�"), "")
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		if i := strings.LastIndexByte(line, '\r'); i >= 0 {
			line = line[i+1:]
		}
		line = strings.Map(printable, cut(line, width))
		if line = strings.TrimRight(line, " "); line != "" {
			out = append(out, line)
		}
	}
	return out
}

func printable(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case unicode.IsControl(r) || unicode.Is(unicode.Cf, r): // the latter hide or turn text
		return -1
	}
	return r
}

// cut shortens a text to at most n bytes, between characters.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
