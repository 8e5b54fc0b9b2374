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
	c := lineChange{known: map[string]bool{}}
	c.from, _, c.to = commonEnds(older, now)
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

// commonEnds are the offsets behind the lines that both texts begin with, and before those that they end with.
func commonEnds(a, b []byte) (from, toA, toB int) {
	const step = 256 // compared at once, which is many times faster than byte for byte
	n := min(len(a), len(b))
	same := 0
	for same+step <= n && bytes.Equal(a[same:same+step], b[same:same+step]) {
		same += step
	}
	for same < n && a[same] == b[same] {
		same++
	}
	from = bytes.LastIndexByte(a[:same], '\n') + 1
	n -= from
	same = 0
	for same+step <= n && bytes.Equal(a[len(a)-same-step:len(a)-same], b[len(b)-same-step:len(b)-same]) {
		same += step
	}
	for same < n && a[len(a)-same-1] == b[len(b)-same-1] {
		same++
	}
	// what is the same has to begin with a line
	toA, toB = len(a)-same, len(b)-same
	if begins(a, toA) && begins(b, toB) {
		return from, toA, toB
	}
	cut := bytes.IndexByte(a[toA:], '\n') + 1
	if cut == 0 {
		return from, len(a), len(b)
	}
	return from, toA + cut, toB + cut
}

// begins says whether a line begins at an offset.
func begins(text []byte, at int) bool { return at == 0 || text[at-1] == '\n' }

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
	change := j.oldLines(file)
	if plainASCII(now[change.from:change.to]) {
		return
	}
	reported := map[string]bool{}
	for number, line := range change.fresh(now) {
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
