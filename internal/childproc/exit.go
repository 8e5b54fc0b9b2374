package childproc

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"
)

// ExitError says how a program ended that did not end well.
type ExitError struct {
	Program string         // base name
	Code    int            // exit status; -1 when a signal ended it
	Signal  syscall.Signal // 0 when it exited by itself
	Stderr  string         // last lines of its error output, safe to print
	Cause   error          // why the context ended it, nil when it ended by itself
}

// Error names the program, how it ended, and the last lines it wrote.
func (e *ExitError) Error() string {
	var b strings.Builder
	b.WriteString(e.Program)
	switch {
	case e.Cause != nil:
		fmt.Fprintf(&b, " was stopped: %v", e.Cause)
	case e.Signal != 0:
		fmt.Fprintf(&b, " was ended by signal %d (%v)", int(e.Signal), e.Signal)
	default:
		fmt.Fprintf(&b, " ended with status %d", e.Code)
	}
	if e.Stderr != "" {
		b.WriteString(": " + e.Stderr)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *ExitError) Unwrap() error { return e.Cause }

func (c *Cmd) exitError(state *os.ProcessState, tail *tailBuffer, cause error) *ExitError {
	e := &ExitError{Program: c.name(), Code: -1, Stderr: tail.String(), Cause: cause}
	if state == nil {
		return e
	}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		e.Signal = ws.Signal()
		return e
	}
	e.Code = state.ExitCode()
	return e
}

// tailSize bounds the error output that an ExitError carries, in bytes.
const tailSize = 2048

// tailBuffer keeps the last bytes written to it.
type tailBuffer struct {
	buf []byte
	cut bool
}

func (t *tailBuffer) Write(p []byte) (int, error) {
	n := len(p)
	if len(p) > tailSize {
		p = p[len(p)-tailSize:]
		t.cut = true
	}
	if extra := len(t.buf) + len(p) - tailSize; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
		t.cut = true
	}
	t.buf = append(t.buf, p...)
	return n, nil
}

// String gives the kept text without anything that could steer a terminal or forge a line of a log viewer: control
// characters but newline and tab become their escaped form, bytes that are no UTF-8 the replacement character.
func (t *tailBuffer) String() string {
	p := t.buf
	for t.cut && len(p) > 0 && !utf8.RuneStart(p[0]) {
		p = p[1:]
	}
	var b strings.Builder
	if t.cut {
		b.WriteString("…")
	}
	for _, r := range strings.TrimSpace(string(p)) {
		switch {
		case r == '\n' || r == '\t':
			b.WriteRune(r)
		case r == '\r':
			b.WriteByte('\n')
		case r < ' ' || r >= 0x7f && r < 0xa0 || isDirection(r):
			fmt.Fprintf(&b, "\\x%02x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// isDirection finds the marks that change the direction of text, with which a line can be made to read as another.
func isDirection(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f
}
