package git

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxPacket is the size of the longest packet, its length included (gitprotocol-common(5)).
const maxPacket = 65520

// Packets without content. A response of version 2 ends with flush.
const (
	flushPacket = "0000"
	delimPacket = "0001"
)

// errFlush ends a list of packets.
var errFlush = errors.New("flush packet")

// packets reads the pkt-lines of gitprotocol-common(5).
type packets struct {
	r   *bufio.Reader
	buf []byte
}

func newPackets(r io.Reader) *packets { return &packets{r: bufio.NewReaderSize(r, 16<<10)} }

// next gives the content of the next packet without its line break, valid until the next call. The error is errFlush at
// the end of a list, io.EOF where the stream ends between packets, else what is wrong.
func (p *packets) next() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		return nil, err
	}
	size, err := strconv.ParseUint(string(head[:]), 16, 16)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %q is no packet", errOther, head[:])
	case size <= 2: // flush, delimiter, end of response
		return nil, errFlush
	case size < 4 || size > maxPacket:
		return nil, fmt.Errorf("%w: a packet of %d bytes", errOther, size)
	}
	size -= 4
	if cap(p.buf) < int(size) {
		p.buf = make([]byte, max(int(size), 1024))
	}
	p.buf = p.buf[:size]
	if _, err := io.ReadFull(p.r, p.buf); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	if n := len(p.buf); n > 0 && p.buf[n-1] == '\n' {
		p.buf = p.buf[:n-1]
	}
	if text := string(p.buf[:min(len(p.buf), 300)]); strings.HasPrefix(text, "ERR ") {
		return nil, &refusal{printable(text[4:])}
	}
	return p.buf, nil
}

// refusal is what a server says instead of an answer.
type refusal struct{ text string }

func (e *refusal) Error() string { return "the server says: " + e.text }

// printable keeps what is safe to show from a text of somebody else.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\ufffd' {
			return -1
		}
		return r
	}, text)
}

// packet adds a packet with a line to a message.
func packet(b *strings.Builder, line string) {
	fmt.Fprintf(b, "%04x%s\n", len(line)+5, line)
}

// lsRefs is the message that asks for refs in version 2 (gitprotocol-v2(5)). A prefix finds longer names, too.
func lsRefs(refs []string, format string) string {
	var b strings.Builder
	packet(&b, "command=ls-refs")
	packet(&b, "agent=caur")
	if format != "" {
		packet(&b, "object-format="+format)
	}
	b.WriteString(delimPacket)
	for _, ref := range refs {
		packet(&b, "ref-prefix "+ref)
	}
	b.WriteString(flushPacket)
	return b.String()
}
