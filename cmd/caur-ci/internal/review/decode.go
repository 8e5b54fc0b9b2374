package review

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ansiC decodes the inside of $'…', and the escapes of printf and echo -e (bash(1), "QUOTING").
func ansiC(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out.WriteByte(s[i])
			continue
		}
		i++
		n, text := escape(s[i:])
		out.WriteString(text)
		i += n - 1
	}
	return out.String()
}

// escape reads what follows a backslash: its length and its meaning.
func escape(s string) (int, string) {
	if at := strings.IndexByte(`abefnrtv\'"?E`, s[0]); at >= 0 {
		return 1, "\a\b\x1b\f\n\r\t\v\\'\"?\x1b"[at : at+1]
	}
	digits, base, prefix := 0, 16, 1
	switch s[0] {
	case 'x':
		digits = 2
	case 'u':
		digits = 4
	case 'U':
		digits = 8
	case '0', '1', '2', '3', '4', '5', '6', '7':
		digits, base, prefix = 3, 8, 0
		if s[0] == '0' {
			digits = 4 // \0nnn of echo -e and printf %b
		}
	default:
		return 1, `\` + s[:1]
	}
	end := prefix
	for end < len(s) && end-prefix < digits && strings.IndexByte("0123456789abcdefABCDEF"[:base+6*(base/16)], s[end]) >= 0 {
		end++
	}
	n, err := strconv.ParseUint(s[prefix:end], base, 32)
	switch {
	case err != nil:
		return 1, `\` + s[:1]
	case n == 0:
		return end, ""
	case s[0] == 'u' || s[0] == 'U':
		return end, string(rune(n))
	}
	return end, string([]byte{byte(n)})
}

// readable says whether bytes are text that a person, or a shell, could read.
func readable(b []byte) bool {
	if len(b) < 4 || !utf8.Valid(b) {
		return false
	}
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\t' && c != '\r' || c == 0x7f {
			return false
		}
	}
	return true
}

func decodeBase64(s string) ([]byte, bool) {
	s = strings.TrimRight(strings.Join(strings.Fields(s), ""), "=")
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := enc.DecodeString(s); err == nil {
			return b, true
		}
	}
	return nil, false
}

func decodeBase32(s string) ([]byte, bool) {
	s = strings.TrimRight(strings.Join(strings.Fields(s), ""), "=")
	b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(s)
	return b, err == nil
}

func decodeHex(s string) ([]byte, bool) {
	if strings.ContainsFunc(s, func(c rune) bool { return !strings.ContainsRune(`0123456789abcdefABCDEF\x :,`+"\n", c) }) {
		return nil, false // most text; looking is cheaper than trying
	}
	s = strings.NewReplacer(`\x`, "", "0x", "", " ", "", "\n", "", ":", "", ",", "").Replace(s)
	b, err := hex.DecodeString(s)
	return b, err == nil && len(b) > 0
}

func reverse(s string) string {
	r := []rune(strings.TrimRight(s, "\n"))
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return string(r)
}

// runes of tr's two sets; ranges are expanded.
func trSet(s string) []byte {
	s = ansiC(strings.Trim(s, "[]"))
	var out []byte
	for i := 0; i < len(s); i++ {
		if i+2 < len(s) && s[i+1] == '-' && s[i] <= s[i+2] {
			for c := int(s[i]); c <= int(s[i+2]); c++ {
				out = append(out, byte(c))
			}
			i += 2
			continue
		}
		out = append(out, s[i])
	}
	return out
}

func translate(text, from, to string) string {
	a, b := trSet(from), trSet(to)
	if len(a) == 0 || len(b) == 0 {
		return text
	}
	var table [256]byte
	for i := range table {
		table[i] = byte(i)
	}
	for i, c := range a {
		table[c] = b[min(i, len(b)-1)]
	}
	out := []byte(text)
	for i, c := range out {
		out[i] = table[c]
	}
	return string(out)
}

// printf gives the output of printf(1) for the formats that are about text; false for the others.
func printf(args []string) (string, bool) {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return "", false
	}
	format, rest := args[0], args[1:]
	var out strings.Builder
	for {
		used, ok := printfOnce(&out, format, rest)
		if !ok || out.Len() > maxWordLen {
			return "", false
		}
		if rest = rest[used:]; used == 0 || len(rest) == 0 {
			return out.String(), true
		}
	}
}

func printfOnce(out *strings.Builder, format string, args []string) (used int, ok bool) {
	for i := 0; i < len(format); i++ {
		switch {
		case format[i] == '\\' && i+1 < len(format):
			n, text := escape(format[i+1:])
			out.WriteString(text)
			i += n
		case format[i] == '%' && i+1 < len(format):
			i++
			if format[i] == '%' {
				out.WriteByte('%')
				continue
			}
			arg := ""
			if used < len(args) {
				arg = args[used]
				used++
			}
			switch format[i] {
			case 's', 'd', 'i', 'q':
				out.WriteString(arg)
			case 'b':
				out.WriteString(ansiC(arg))
			default:
				return 0, false
			}
		default:
			out.WriteByte(format[i])
		}
	}
	return used, true
}

// hidden is text that was found encoded in other text.
type hidden struct {
	how  string // "base64", "hexadecimal" or "base32"
	text string
	line int // of the text it was in, 1-based
}

const minEncoded = 16 // characters; shorter runs are words and hashes of no interest

// encodedIn finds runs of base64, hexadecimal and base32 in text that decode to readable text.
func encodedIn(text string) []hidden {
	var out []hidden
	line := 1
	for start := 0; start < len(text) && len(out) < 50; {
		if !encodedByte(text[start]) {
			if text[start] == '\n' {
				line++
			}
			start++
			continue
		}
		end := start
		for end < len(text) && encodedByte(text[end]) {
			end++
		}
		run := text[start:end]
		for end < len(text) && text[end] == '=' { // padding
			end++
		}
		if len(run) >= minEncoded && len(run) <= maxWordLen {
			if how, decoded, ok := decodeRun(run); ok {
				out = append(out, hidden{how, decoded, line})
			}
		}
		start = end
	}
	return out
}

func encodedByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '+' || c == '/' || c == '\\'
}

// decodeRun decodes what looks encoded. Words and paths happen to be base64, too; they do not decode to text.
func decodeRun(run string) (how, text string, ok bool) {
	if b, fine := decodeHex(run); fine && readable(b) {
		return "hexadecimal", string(b), true
	}
	if strings.Contains(run, `\`) {
		return "", "", false
	}
	if b, fine := decodeBase64(run); fine && readable(b) {
		return "base64", string(b), true
	}
	if b, fine := decodeBase32(run); fine && readable(b) {
		return "base32", string(b), true
	}
	return "", "", false
}
