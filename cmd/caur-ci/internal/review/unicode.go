package review

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// invisible says whether a character turns the direction of text or shows nothing.
func invisible(r rune) bool {
	switch {
	case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f, r == 0x061c: // directions
		return true
	case r >= 0x200b && r <= 0x200d, r == 0x2060, r == 0x00ad, r == 0x180e, r >= 0xe0000 && r <= 0xe007f, r == 0x3164, r == 0x115f, r == 0x1160, r == 0xffa0:
		return true
	case r == 0xfeff:
		return true
	}
	return false
}

// overrides says whether a character makes text run in the other direction.
func overrides(r rune) bool { return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 }

// textFlaws looks at one line: invisible characters, control characters, and words of several alphabets.
// In text that is no code, translations need characters without width and marks of direction; overrides nobody needs.
func textFlaws(line string, comment, code bool) (rule, what string) {
	ascii := true
	for i := 0; i < len(line); i++ {
		if c := line[i]; c >= 0x80 {
			ascii = false
		} else if c < ' ' && c != '\t' && c != '\n' || c == 0x7f {
			return "control-characters", line
		}
	}
	if ascii || !utf8.ValidString(line) {
		return "", ""
	}
	for _, r := range line {
		if overrides(r) || code && invisible(r) {
			return "bidi", escaped(line)
		}
	}
	if comment || !code {
		return "", ""
	}
	for _, word := range strings.FieldsFunc(line, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) }) {
		if mixed(word) {
			return "lookalike", escaped(word)
		}
	}
	return "", ""
}

// mixed says whether a word has Latin letters and such of another alphabet that look like them.
func mixed(word string) bool {
	latin, other := false, false
	for _, r := range word {
		switch {
		case r < 0x80:
			latin = true
		case unicode.In(r, unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Cherokee, unicode.Coptic), r >= 0xff00 && r <= 0xff5e, r >= 0x1d400 && r <= 0x1d7ff:
			other = true
		}
	}
	return latin && other
}

// escaped shows characters beyond ASCII by number.
func escaped(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < 0x80 {
			b.WriteRune(r)
		} else {
			b.WriteString("\\u{" + strings.ToUpper(hex4(r)) + "}")
		}
	}
	return b.String()
}

func hex4(r rune) string {
	const digits = "0123456789abcdef"
	out := ""
	for ; r > 0 || len(out) < 4; r >>= 4 {
		out = digits[r&15:r&15+1] + out
	}
	return out
}
