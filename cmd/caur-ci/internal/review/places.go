package review

import (
	"slices"
	"strings"
)

// places are the versions that changed, old and new. Where only they differ, two values are the same.
type places struct {
	pairs [][2]string
}

// add notes a version that changed, and the forms in which people write it.
func (p *places) add(before, after string) {
	forms := func(v string) []string {
		list := []string{v, strings.ReplaceAll(v, ".", "_"), strings.ReplaceAll(v, ".", "-"), strings.ReplaceAll(v, "_", "-"), strings.ReplaceAll(v, ".", "")}
		list = append(list, strings.ReplaceAll(v, "_", "."), strings.TrimLeft(v, "vVr"))
		for _, cut := range []string{"+", "_", "-", ".r"} {
			head, _, _ := strings.Cut(v, cut)
			list = append(list, head)
		}
		parts := strings.SplitN(v, ".", 3)
		return append(list, strings.Join(parts[:min(2, len(parts))], "."))
	}
	a, b := forms(before), forms(after)
	for i := range a {
		p.pair(a[i], b[i])
	}
}

// pair notes one form of a version; what is too short to be told from other numbers is left out.
func (p *places) pair(before, after string) {
	const digits = "0123456789"
	if before == after || min(len(before), len(after)) < 3 || !strings.ContainsAny(before, digits) || !strings.ContainsAny(after, digits) {
		return
	}
	if pair := [2]string{before, after}; !slices.Contains(p.pairs, pair) && len(p.pairs) < 200 {
		p.pairs = append(p.pairs, pair)
	}
	slices.SortStableFunc(p.pairs, func(x, y [2]string) int { return len(y[0]) + len(y[1]) - len(x[0]) - len(x[1]) })
}

// same says whether two strings differ only in versions.
func (p *places) same(before, after string) bool {
	if before == after {
		return true
	}
	for len(before) > 0 || len(after) > 0 { // walk both, and jump over a pair of versions where they part
		n := common(before, after)
		if n == len(before) && n == len(after) {
			return true
		}
		rest := p.jump(before, after, n)
		if rest < 0 {
			return false
		}
		pair := p.pairs[rest/maxBack]
		from := n - rest%maxBack
		before, after = before[from+len(pair[0]):], after[from+len(pair[1]):]
		if wordStart(before) || wordStart(after) {
			return false
		}
	}
	return true
}

const maxBack = 256

// jump finds a pair of versions that covers position n of both strings: its number times maxBack, plus how many bytes
// before n it begins. A version is not the end of a longer number or word.
func (p *places) jump(before, after string, n int) int {
	for i, pair := range p.pairs {
		for back := 0; back <= min(n, maxBack-1, len(pair[0]), len(pair[1])); back++ {
			from := n - back
			if strings.HasPrefix(before[from:], pair[0]) && strings.HasPrefix(after[from:], pair[1]) && !joins(before[:from]) {
				return i*maxBack + back
			}
		}
	}
	return -1
}

func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// joins says whether a digit would go on what ends here: 1 before 1.2 is 11.2; v, r and words may stand before a version.
func joins(s string) bool {
	if s == "" {
		return false
	}
	c := s[len(s)-1]
	return c >= '0' && c <= '9'
}

func wordStart(s string) bool { return s != "" && (s[0] >= '0' && s[0] <= '9') }

func (p *places) equal(before, after []string) bool {
	if len(before) != len(after) || len(p.pairs) == 0 {
		return false
	}
	for i := range before {
		if !p.same(before[i], after[i]) {
			return false
		}
	}
	return true
}

var longHash = lazily(`\b(?:[0-9a-f]{40}|[0-9a-f]{64})\b`)
