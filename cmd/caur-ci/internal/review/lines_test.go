package review

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// linesOf draws text whose lines are often the same, so that much is common.
func linesOf(t *rapid.T, label string) []byte {
	lines := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "  a", "", "longer line", strings.Repeat("x", 300), "é"}), 0, 12).Draw(t, label)
	text := strings.Join(lines, "\n")
	if rapid.Bool().Draw(t, label+" ends") && text != "" {
		text += "\n"
	}
	return []byte(text)
}

func TestCommonEndsAreWholeLinesAndAsLongAsCanBe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := linesOf(t, "a"), linesOf(t, "b")
		from, toA, toB := commonEnds(a, b)
		if from > toA || from > toB || !bytes.Equal(a[:from], b[:from]) || !bytes.Equal(a[toA:], b[toB:]) {
			t.Fatalf("%q, %q: %d, %d, %d", a, b, from, toA, toB)
		}
		for _, at := range []struct {
			text []byte
			i    int
		}{{a, from}, {b, from}, {a, toA}, {b, toB}} {
			if at.i > 0 && at.i < len(at.text) && at.text[at.i-1] != '\n' {
				t.Fatalf("%q, %q: %d, %d, %d: in the middle of a line", a, b, from, toA, toB)
			}
		}
		first := func(text []byte) string { line, _, _ := bytes.Cut(text, []byte("\n")); return string(line) }
		if bytes.IndexByte(a[from:toA], '\n') >= 0 && bytes.IndexByte(b[from:toB], '\n') >= 0 && first(a[from:]) == first(b[from:]) {
			t.Fatalf("%q, %q: %d: the next line is common, too", a, b, from)
		}
	})
}

func TestNewLinesAreThoseThatTheOldVersionHasNowhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		older, now := linesOf(t, "older"), linesOf(t, "now")
		old := map[string]bool{}
		for line := range strings.Lines(string(older)) {
			old[strings.TrimSpace(line)] = true
		}
		var want, got []string
		for line := range strings.Lines(string(now)) {
			if line = strings.TrimRight(line, "\n"); strings.TrimSpace(line) != "" && !old[strings.TrimSpace(line)] {
				want = append(want, line)
			}
		}
		lines := strings.Split(string(now), "\n")
		for number, line := range compareLines(older, now).fresh(now) {
			got = append(got, line)
			if lines[number-1] != line {
				t.Fatalf("line %d of %q is not %q", number, now, line)
			}
		}
		if !slices.Equal(want, got) {
			t.Fatalf("%q → %q: got %q, want %q", older, now, got, want)
		}
	})
}

func TestTheFirstDifferenceOfTextIsShown(t *testing.T) {
	for _, c := range []struct {
		a, b    string
		line    int
		was, is string
	}{
		{"a\nb\nc\n", "a\nx\nc\n", 2, "b", "x"},
		{"a\n", "a\nb\n", 2, "", "b"},
		{"a\nb\n", "a\n", 2, "b", ""},
		{"a", "a\nb", 2, "", "b"},
		{"", "a\n", 1, "", "a"},
		{"a\nb\n", "x\na\nb\n", 1, "", "x"},
		{strings.Repeat("y\n", 20), strings.Repeat("z\n", 20), 1, strings.TrimSuffix(strings.Repeat("y\n", 10), "\n"), strings.TrimSuffix(strings.Repeat("z\n", 10), "\n")},
	} {
		if line, was, is := textDifference([]byte(c.a), []byte(c.b)); line != c.line || was != c.was || is != c.is {
			t.Errorf("%q, %q: %d, %q, %q; want %d, %q, %q", c.a, c.b, line, was, is, c.line, c.was, c.is)
		}
	}
}
