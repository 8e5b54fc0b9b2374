package cli

import "io"

// colourWriter lets text and colours through to a terminal, and nothing else that a log may hold: no escape sequence that
// moves the cursor, sets a title or makes the terminal answer.
type colourWriter struct {
	out      io.Writer
	state    escapeState
	sequence []byte
}

type escapeState int

const (
	inText escapeState = iota
	afterEscape
	inControl // ESC [ …
	inString  // ESC ] … and its like, until BEL or ESC \
	inStringEscape
	inOther // a control sequence that is no colour
	afterC2 // the first byte of a C1 control in UTF-8, or of a letter
)

const longestSequence = 64

// Write never gives fewer bytes than it was given, unless writing fails.
func (w *colourWriter) Write(p []byte) (int, error) {
	clean := make([]byte, 0, len(p))
	for _, c := range p {
		clean = w.add(clean, c)
	}
	if _, err := w.out.Write(clean); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (w *colourWriter) add(clean []byte, c byte) []byte {
	switch w.state {
	case inText:
		switch {
		case c == 0x1b:
			w.state = afterEscape
		case c == 0xc2:
			w.state = afterC2
		case c >= ' ' && c != 0x7f, c == '\n', c == '\t', c == '\r':
			clean = append(clean, c)
		}
	case afterC2:
		w.state = inText
		if c >= 0xa0 {
			clean = append(clean, 0xc2, c)
		} else if c < 0x80 {
			return w.add(clean, c)
		}
	case afterEscape:
		switch c {
		case '[':
			w.state, w.sequence = inControl, append(w.sequence[:0], 0x1b, '[')
		case ']', 'P', '_', '^', 'X':
			w.state = inString
		case 0x1b:
		default:
			w.state = inText
		}
	case inControl:
		return w.control(clean, c)
	case inOther:
		if c >= 0x40 && c <= 0x7e || c < ' ' {
			w.state = inText
		}
	case inString, inStringEscape:
		switch {
		case c == 0x07, c == '\n', w.state == inStringEscape:
			w.state = inText
		case c == 0x1b:
			w.state = inStringEscape
		}
	}
	return clean
}

func (w *colourWriter) control(clean []byte, c byte) []byte {
	switch {
	case c >= '0' && c <= ';':
		if w.sequence = append(w.sequence, c); len(w.sequence) > longestSequence {
			w.state = inText
		}
	case c == 'm':
		clean, w.state = append(append(clean, w.sequence...), c), inText
	case c >= 0x40 && c <= 0x7e:
		w.state = inText
	case c == 0x1b:
		w.state = afterEscape
	case c < ' ' || c > '~': // broken: what follows is text
		w.state = inText
	default: // parameters that no colour has
		w.state = inOther
	}
	return clean
}
