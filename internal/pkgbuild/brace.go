package pkgbuild

import (
	"strconv"
	"strings"
)

// hasBraces is a quick test for words that may have a brace expansion.
func hasBraces(tokens []token) bool {
	open, comma := false, false
	for _, t := range tokens {
		if t.part == nil && !t.quoted {
			open = open || strings.Contains(t.text, "{")
			comma = comma || strings.Contains(t.text, ",") || strings.Contains(t.text, "..")
		}
	}
	return open && comma
}

// braces expands {a,b} and {1..3} as bash does: on the text, before any other expansion, quoted text and expansions
// being opaque. false means that the work for it is exhausted.
func (e *evaluator) braces(tokens []token) ([][]token, bool) {
	var units []token // plain text one byte at a time
	for _, t := range tokens {
		if t.part != nil || t.quoted {
			units = append(units, t)
			continue
		}
		for i := range len(t.text) {
			units = append(units, token{text: t.text[i : i+1]})
		}
	}
	out := e.expandBraces(units)
	for i := range out {
		out[i] = mergeText(out[i])
	}
	return out, !e.exhausted
}

func mergeText(units []token) []token {
	var out []token
	for _, u := range units {
		if n := len(out); u.part == nil && !u.quoted && n > 0 && out[n-1].part == nil && !out[n-1].quoted {
			out[n-1].text += u.text
			continue
		}
		out = append(out, u)
	}
	return out
}

func isPlain(t token, c string) bool { return t.part == nil && !t.quoted && t.text == c }

func (e *evaluator) expandBraces(units []token) [][]token {
	if !e.spend(len(units) + 1) {
		return nil
	}
	for i := range units {
		if !isPlain(units[i], "{") {
			continue
		}
		end, commas := closing(units, i)
		if end < 0 {
			continue
		}
		alternatives := e.alternatives(units[i+1:end], commas, i+1)
		if alternatives == nil {
			continue
		}
		return e.combine(units[:i], alternatives, e.expandBraces(units[end+1:]))
	}
	return [][]token{units}
}

// closing returns the index of the brace that closes the one at open, and the commas between them that belong to it.
func closing(units []token, open int) (end int, commas []int) {
	level := 0
	for i := open; i < len(units); i++ {
		switch {
		case isPlain(units[i], "{"):
			level++
		case isPlain(units[i], "}"):
			if level--; level == 0 {
				return i, commas
			}
		case isPlain(units[i], ",") && level == 1:
			commas = append(commas, i)
		}
	}
	return -1, nil
}

// alternatives returns what stands between braces, expanded; nil when it is no brace expansion.
func (e *evaluator) alternatives(inner []token, commas []int, offset int) [][]token {
	if len(commas) == 0 {
		return e.sequence(inner)
	}
	var out [][]token
	from := 0
	for _, comma := range append(commas, offset+len(inner)) {
		out = append(out, e.expandBraces(inner[from:comma-offset])...)
		from = comma - offset + 1
	}
	return out
}

func (e *evaluator) combine(before []token, middle, after [][]token) [][]token {
	var out [][]token
	for _, m := range middle {
		for _, a := range after {
			if !e.spend(len(before) + len(m) + len(a) + statementCost) {
				return nil
			}
			one := make([]token, 0, len(before)+len(m)+len(a))
			one = append(append(append(one, before...), m...), a...)
			out = append(out, one)
		}
	}
	return out
}

// sequence expands x..y and x..y..step, of integers or of single letters.
func (e *evaluator) sequence(inner []token) [][]token {
	var text strings.Builder
	for _, u := range inner {
		if u.part != nil || u.quoted {
			return nil
		}
		text.WriteString(u.text)
	}
	parts := strings.Split(text.String(), "..")
	if len(parts) < 2 || len(parts) > 3 {
		return nil
	}
	step := 1
	if len(parts) == 3 {
		var err error
		if step, err = strconv.Atoi(parts[2]); err != nil {
			return nil
		}
	}
	if step = max(step, -step, 1); step > 1<<40 {
		return nil
	}
	format, from, to, ok := sequenceEnds(parts[0], parts[1])
	if !ok {
		return nil
	}
	var out [][]token
	for n := from; from <= to && n <= to || from > to && n >= to; {
		if !e.spend(statementCost) {
			return nil
		}
		out = append(out, []token{{text: format(n)}})
		if from <= to {
			n += step
		} else {
			n -= step
		}
	}
	return out
}

func sequenceEnds(first, last string) (format func(int) string, from, to int, ok bool) {
	if isLetter(first) && isLetter(last) {
		return func(n int) string { return string(rune(n)) }, int(first[0]), int(last[0]), true
	}
	from, err1 := strconv.Atoi(first)
	to, err2 := strconv.Atoi(last)
	const limit = 1 << 40 // far from overflow; such a sequence exhausts the work anyway
	if err1 != nil || err2 != nil || from > limit || from < -limit || to > limit || to < -limit {
		return nil, 0, 0, false
	}
	width := 0
	if zeroPadded(first) || zeroPadded(last) {
		width = max(len(first), len(last))
	}
	return func(n int) string { return padded(n, width) }, from, to, true
}

func isLetter(s string) bool {
	return len(s) == 1 && (s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z')
}

func zeroPadded(s string) bool {
	s = strings.TrimPrefix(s, "-")
	return len(s) > 1 && s[0] == '0'
}

func padded(n, width int) string {
	digits := strconv.Itoa(n)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	if missing := width - len(sign) - len(digits); missing > 0 && missing < 100 {
		digits = strings.Repeat("0", missing) + digits
	}
	return sign + digits
}
