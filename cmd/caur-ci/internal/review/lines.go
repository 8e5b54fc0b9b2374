package review

import (
	"bytes"
	"iter"
	"strings"
)

// lineChange tells which lines of a file are new: the lines between from and to (offsets in the new version) that are not
// in known. Lines are compared without the blanks around them.
type lineChange struct {
	from, to int
	known    map[string]bool
}

func compareLines(older, now []byte) lineChange {
	c := lineChange{to: len(now), known: map[string]bool{}}
	for i := 0; i < min(len(older), len(now)) && older[i] == now[i]; i++ {
		if now[i] == '\n' {
			c.from = i + 1
		}
	}
	for a, b := len(older), len(now); a > c.from && b > c.from && older[a-1] == now[b-1]; a, b = a-1, b-1 {
		if now[b-1] == '\n' {
			c.to = b
		}
	}
	if len(older) == 0 {
		return c
	}
	for line := range bytes.Lines(now[c.from:c.to]) {
		c.known[string(bytes.TrimSpace(line))] = false
	}
	if len(c.known) == 0 {
		return c
	}
	for line := range bytes.Lines(older) {
		line = bytes.TrimSpace(line)
		if seen, wanted := c.known[string(line)]; wanted && !seen {
			c.known[string(line)] = true
		}
	}
	return c
}

// fresh gives the lines of the new version that the old one does not have, with their numbers.
func (c lineChange) fresh(now []byte) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		number := bytes.Count(now[:c.from], []byte("\n"))
		for line := range strings.Lines(string(now[c.from:c.to])) {
			number++
			if trimmed := strings.TrimSpace(line); trimmed != "" && !c.known[trimmed] && !yield(number, strings.TrimRight(line, "\n")) {
				return
			}
		}
	}
}

// flaws looks for characters that hide something in the lines that are new. Once in a file is enough.
func (j *judging) flaws(file string, now []byte, code bool) {
	if plainASCII(now) {
		return
	}
	reported := map[string]bool{}
	for number, line := range j.oldLines(file).fresh(now) {
		comment := strings.HasPrefix(strings.TrimSpace(line), "#")
		if !code {
			line = strings.TrimRight(line, "\r") // CRLF is no secret in a plain text
		}
		if rule, what := textFlaws(line, comment, code); rule != "" && !reported[rule] {
			reported[rule] = true
			j.find(rule, file, number, "", visible(what), "")
		}
	}
}

// plainASCII says whether text has nothing but printable ASCII, line ends and tabs.
func plainASCII(text []byte) bool {
	for _, c := range text {
		if c < ' ' && c != '\n' && c != '\t' || c >= 0x7f {
			return false
		}
	}
	return true
}

// outOfSight looks for new code where nobody reads: far to the right, and at the end of endless lines. It is about code
// that did change; a formatter may move the rest as it likes.
func (j *judging) outOfSight(file string, now []byte) {
	far := table().byID["far-right"]
	for number, line := range j.oldLines(file).fresh(now) {
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "#") {
			continue
		}
		if len(line) > 120 && strings.Contains(line, far.needles[0]) && far.pattern.MatchString(line) {
			j.find("far-right", file, number, "", trimmed, "")
		}
		if len(line) > 2000 {
			j.find("long-line", file, number, "", trimmed, "")
		}
	}
}

// visible shows control characters.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' {
			return 0x2400 + r
		}
		return r
	}, s)
}
