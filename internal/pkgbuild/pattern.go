package pkgbuild

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// atom is one element of a shell pattern.
type atom struct {
	kind atomKind
	char byte
	set  *[256]bool
}

type atomKind uint8

const (
	atomChar atomKind = iota
	atomAny           // ?
	atomStar          // *
	atomSet           // […]
)

type pattern []atom

// fits reports whether matching s does not depend on the locale: one character is one byte, or only * is special.
func (p pattern) fits(s string) bool {
	if isASCII(s) {
		return true
	}
	for _, a := range p {
		if a.kind == atomAny || a.kind == atomSet {
			return false
		}
	}
	return true
}

// ends returns for each n whether the pattern matches s[:n]. It takes len(s)·len(p) steps.
func (p pattern) ends(s string) []bool {
	out := make([]bool, len(s)+1)
	state := make([]bool, len(p)+1)
	next := make([]bool, len(p)+1)
	p.closure(state, 0)
	out[0] = state[len(p)]
	for i := range len(s) {
		clear(next)
		alive := false
		for j, a := range p {
			if !state[j] || !a.takes(s[i]) {
				continue
			}
			alive = true
			if a.kind == atomStar {
				p.closure(next, j)
			} else {
				p.closure(next, j+1)
			}
		}
		state, next = next, state
		out[i+1] = state[len(p)]
		if !alive {
			break
		}
	}
	return out
}

// closure enters state j and those that follow it over stars, which may match nothing.
func (p pattern) closure(state []bool, j int) {
	for {
		state[j] = true
		if j == len(p) || p[j].kind != atomStar {
			return
		}
		j++
	}
}

func (a atom) takes(c byte) bool {
	switch a.kind {
	case atomChar:
		return a.char == c
	case atomSet:
		return a.set[c]
	}
	return true
}

// pattern expands a word as a pattern: what is quoted stands for itself, what comes from an unquoted expansion may be special.
func (e *evaluator) pattern(word *syntax.Word, quoted bool) (pattern, error) {
	if word == nil {
		return nil, nil
	}
	var text strings.Builder // with special characters that are quoted escaped by a backslash
	for i, t := range lex(word.Parts) {
		switch {
		case t.part == nil && t.quoted:
			escape(&text, t.text)
		case t.part == nil:
			if i == 0 && strings.HasPrefix(t.text, "~") && !quoted {
				return nil, e.dynamic(word, "a home directory (~)")
			}
			text.WriteString(t.text)
		default:
			if err := e.patternPart(&text, t.part, quoted); err != nil {
				return nil, err
			}
		}
	}
	p, ok := compile(text.String())
	if !ok {
		return nil, e.dynamic(word, "the pattern "+e.text.short(word))
	}
	return p, nil
}

func (e *evaluator) patternPart(text *strings.Builder, part syntax.WordPart, quoted bool) error {
	b := fieldBuilder{e: e, scalar: true}
	if err := b.part(part); err != nil {
		return err
	}
	if _, isParam := part.(*syntax.ParamExp); isParam {
		value := b.cur.String()
		if strings.Contains(value, `\`) {
			return e.dynamic(part, "a backslash in a pattern that comes from a variable")
		}
		text.WriteString(value)
		return nil
	}
	escape(text, b.cur.String())
	return nil
}

func escape(out *strings.Builder, s string) {
	for i := range len(s) {
		if strings.IndexByte(`*?[]\-!^`, s[i]) >= 0 {
			out.WriteByte('\\')
		}
		out.WriteByte(s[i])
	}
}

// compile reads the text of a pattern. false means that it is one that is not understood.
func compile(s string) (pattern, bool) {
	var p pattern
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '*':
			if n := len(p); n == 0 || p[n-1].kind != atomStar {
				p = append(p, atom{kind: atomStar})
			}
		case '?':
			p = append(p, atom{kind: atomAny})
		case '[':
			set, end, ok := bracket(s[i:])
			if !ok {
				return nil, false
			}
			if end > 0 {
				p = append(p, atom{kind: atomSet, set: set})
				i += end - 1
				continue
			}
			p = append(p, atom{char: '['})
		case '\\':
			if i++; i == len(s) {
				return nil, false
			}
			p = append(p, atom{char: s[i]})
		default:
			p = append(p, atom{char: s[i]})
		}
	}
	return p, true
}

// bracket reads a bracket expression at the start of s: the bytes it takes and its length, 0 when it is not closed and
// so is a plain bracket. Ranges are ranges of ASCII, as in bash with globasciiranges, its default.
func bracket(s string) (set *[256]bool, length int, ok bool) {
	set = new([256]bool)
	i := 1
	negated := i < len(s) && (s[i] == '!' || s[i] == '^')
	if negated {
		i++
	}
	for first := true; ; first = false {
		if i >= len(s) {
			return nil, 0, !strings.Contains(s, "[:") && !strings.Contains(s, `\`)
		}
		if s[i] == ']' && !first {
			break
		}
		if strings.HasPrefix(s[i:], "[.") || strings.HasPrefix(s[i:], "[=") || s[i] >= 0x80 || s[i] == '/' {
			return nil, 0, false
		}
		if name, found := strings.CutPrefix(s[i:], "[:"); found {
			n, known := addClass(set, name)
			if !known {
				return nil, 0, false
			}
			i += n + 2
			continue
		}
		var good bool
		if i, good = addRange(set, s, i); !good {
			return nil, 0, false
		}
	}
	if negated {
		for c := range set {
			set[c] = !set[c]
		}
	}
	return set, i + 1, true
}

func addRange(set *[256]bool, s string, i int) (next int, ok bool) {
	char := func() (byte, bool) {
		if s[i] == '\\' {
			i++
		}
		if i >= len(s) || s[i] >= 0x80 {
			return 0, false
		}
		i++
		return s[i-1], true
	}
	low, ok := char()
	if !ok {
		return i, false
	}
	high := low
	if i+1 < len(s) && s[i] == '-' && s[i+1] != ']' {
		i++
		if s[i] == '[' {
			return i, false
		}
		if high, ok = char(); !ok || high < low {
			return i, false
		}
	}
	for c := int(low); c <= int(high); c++ {
		set[c] = true
	}
	return i, true
}

// addClass adds a class such as alpha:] and returns the length of that text.
func addClass(set *[256]bool, s string) (length int, ok bool) {
	name, _, closed := strings.Cut(s, ":]")
	in := func(from, to byte) {
		for c := int(from); c <= int(to); c++ {
			set[c] = true
		}
	}
	switch name {
	case "digit":
		in('0', '9')
	case "lower":
		in('a', 'z')
	case "upper":
		in('A', 'Z')
	case "alpha":
		in('a', 'z')
		in('A', 'Z')
	case "alnum":
		in('a', 'z')
		in('A', 'Z')
		in('0', '9')
	case "space":
		in('\t', '\r')
		in(' ', ' ')
	case "blank":
		in('\t', '\t')
		in(' ', ' ')
	case "punct":
		in('!', '/')
		in(':', '@')
		in('[', '`')
		in('{', '~')
	case "xdigit":
		in('0', '9')
		in('a', 'f')
		in('A', 'F')
	default:
		return 0, false
	}
	return len(name) + 2, closed
}

// spendMatch accounts for matching s against p n times; what depends on the locale is dynamic.
func (e *evaluator) spendMatch(at syntax.Node, s string, p pattern, n int) error {
	if !p.fits(s) {
		return e.dynamic(at, "a pattern match that depends on the locale")
	}
	if !e.spend((len(s)+1)*(len(p)+1)/8*n + 1) {
		return e.lost
	}
	return nil
}

// matches reports whether the whole of s matches the pattern.
func (e *evaluator) matches(s string, word *syntax.Word) (bool, error) {
	p, err := e.pattern(word, false)
	if err != nil {
		return false, err
	}
	if err := e.spendMatch(word, s, p, 1); err != nil {
		return false, err
	}
	return p.ends(s)[len(s)], nil
}

// remove cuts a prefix (#, ##) or suffix (%, %%) off every item.
func (e *evaluator) remove(x *syntax.ParamExp, in expansion, quoted bool) (expansion, error) {
	p, err := e.pattern(x.Exp.Word, quoted)
	if err != nil {
		return in, err
	}
	out := make([]string, len(in.vals))
	for i, s := range in.vals {
		if err := e.spendMatch(x, s, p, len(s)+1); err != nil {
			return in, err
		}
		out[i] = p.remove(s, x.Exp.Op)
	}
	in.vals = out
	return in, nil
}

func (p pattern) remove(s string, op syntax.ParExpOperator) string {
	switch op {
	case syntax.RemSmallPrefix, syntax.RemLargePrefix:
		cut := -1
		for n, ok := range p.ends(s) {
			if ok && (cut < 0 || op == syntax.RemLargePrefix) {
				cut = n
			}
		}
		return s[max(cut, 0):]
	}
	cut := len(s)
	for n := len(s); n >= 0; n-- {
		if p.ends(s[n:])[len(s)-n] {
			cut = n
			if op == syntax.RemSmallSuffix {
				break
			}
		}
	}
	return s[:cut]
}

// replace makes ${x/pattern/text} on every item: the longest match at the first place, or everywhere.
func (e *evaluator) replace(x *syntax.ParamExp, in expansion, quoted bool) (expansion, error) {
	p, err := e.pattern(x.Repl.Orig, quoted)
	if err != nil {
		return in, err
	}
	with, err := e.replacement(x, quoted)
	if err != nil {
		return in, err
	}
	anchor := byte(0)
	if !x.Repl.All && len(p) > 0 && p[0].kind == atomChar && (p[0].char == '#' || p[0].char == '%') {
		if !anchorWritten(x.Repl.Orig, p[0].char) {
			return in, e.dynamic(x, "the expansion "+e.text.short(x))
		}
		anchor, p = p[0].char, p[1:]
	}
	out := make([]string, len(in.vals))
	for i, s := range in.vals {
		if err := e.spendMatch(x, s, p, len(s)+1); err != nil {
			return in, err
		}
		var ok bool
		if out[i], ok = p.replace(s, with, anchor, x.Repl.All); !ok {
			return in, e.dynamic(x, "a pattern that matches nothing at all: "+e.text.short(x))
		}
		if !e.spend(len(out[i])) {
			return in, e.lost
		}
	}
	in.vals = out
	return in, nil
}

func anchorWritten(word *syntax.Word, anchor byte) bool {
	lit, ok := word.Parts[0].(*syntax.Lit)
	return ok && lit.Value != "" && lit.Value[0] == anchor
}

// replacement expands the new text. In bash 5.2 an unquoted & stands for the match, before it did not.
func (e *evaluator) replacement(x *syntax.ParamExp, quoted bool) (string, error) {
	if x.Repl.With == nil {
		return "", nil
	}
	b := fieldBuilder{e: e, scalar: true}
	if err := b.tokens(lex(x.Repl.With.Parts), x); err != nil {
		return "", err
	}
	with := b.cur.String()
	if strings.Contains(with, "&") || strings.Contains(with, `\`) {
		return "", e.dynamic(x, "a replacement that depends on the version of bash: "+e.text.short(x))
	}
	return with, nil
}

func (p pattern) replace(s, with string, anchor byte, all bool) (string, bool) {
	if len(p) == 0 {
		switch anchor {
		case '#':
			return with + s, true
		case '%':
			return s + with, true
		}
		return s, true
	}
	var out strings.Builder
	for i := 0; i <= len(s); {
		if n := p.longest(s[i:], anchor == '%'); n >= 0 {
			if n == 0 {
				return "", false
			}
			out.WriteString(with)
			if i += n; all {
				continue
			}
			out.WriteString(s[i:])
			return out.String(), true
		}
		if i == len(s) || anchor == '#' {
			break
		}
		out.WriteByte(s[i])
		i++
	}
	if anchor == '#' {
		return s, true
	}
	return out.String(), true
}

// longest returns the length of the longest match at the start of s, -1 when there is none.
func (p pattern) longest(s string, whole bool) int {
	ends := p.ends(s)
	if whole {
		if ends[len(s)] {
			return len(s)
		}
		return -1
	}
	for n := len(s); n >= 0; n-- {
		if ends[n] {
			return n
		}
	}
	return -1
}
