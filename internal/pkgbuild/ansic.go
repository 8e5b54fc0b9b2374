package pkgbuild

import (
	"strconv"
	"strings"
)

// ansiC decodes the inside of $'…' (bash(1), "QUOTING"). false is returned for what depends on the locale (characters beyond ASCII by number), for
// control characters, and for a NUL, which cuts the string.
func ansiC(s string) (string, bool) {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out.WriteByte(s[i])
			continue
		}
		i++
		if at := strings.IndexByte(`abefnrtv\'"?E`, s[i]); at >= 0 {
			out.WriteByte("\a\b\x1b\f\n\r\t\v\\'\"?\x1b"[at])
			continue
		}
		n, c, ok := numericEscape(s[i:])
		switch {
		case !ok:
			return "", false
		case n == 0: // no escape: the backslash stays
			out.WriteByte('\\')
			out.WriteByte(s[i])
		default:
			out.WriteByte(c)
			i += n - 1
		}
	}
	return out.String(), true
}

// numericEscape reads what follows a backslash: \nnn, \xHH, \uHHHH, \UHHHHHHHH. The length 0 means that it is none of these.
func numericEscape(s string) (length int, c byte, ok bool) {
	prefix, base, most := 1, 16, 0
	switch s[0] {
	case '0', '1', '2', '3', '4', '5', '6', '7':
		prefix, base, most = 0, 8, 3
	case 'x':
		most = 2
	case 'u':
		most = 4
	case 'U':
		most = 8
	case 'c':
		return 0, 0, false
	default:
		return 0, 0, true
	}
	end := prefix
	for end < len(s) && end-prefix < most && isDigit(s[end], base) {
		end++
	}
	if end == prefix {
		return 0, 0, false
	}
	n, err := strconv.ParseUint(s[prefix:end], base, 32)
	if err != nil || n == 0 || n >= 0x80 {
		return 0, 0, false
	}
	return end, byte(n), true
}

func isDigit(c byte, base int) bool {
	_, err := strconv.ParseUint(string(rune(c)), base, 8)
	return err == nil
}
