package pkgbuild

import (
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// maxThrough is how many variables may stand one behind the other: pkgver=$_v, _v=$_w, _w=1.0.
const maxThrough = 4

// piece is a part of a word that is made of literal text and variables, as pkgver=${_major}.${_minor} is.
type piece struct {
	lit     *syntax.Lit // text, else
	name    string      // a variable
	changed bool        // that is not taken as it is: ${name//-/_}
	old     string      // what it expands to now
}

// through gives a scalar that is written with variables its new value by setting these (and the text between them), where there is one way
// to do so. False means that there is none, and that nothing has been planned.
func (p *editPlan) through(edit Edit, el Element) bool {
	pieces, ok := p.pieces(el.word)
	if !ok || p.depth >= maxThrough {
		return false
	}
	parts, ok := divide(pieces, edit.items[0], firstOf(el.Values))
	if !ok {
		return false
	}
	before := *p
	p.cuts, p.wants = slices.Clone(p.cuts), slices.Clone(p.wants)
	p.depth++
	defer func() { p.depth-- }()
	for i, part := range parts {
		one := pieces[i]
		switch {
		case part == one.old:
		case one.lit == nil:
			ok = part != "" && p.add(Set(one.name, part)) == nil && p.wants[len(p.wants)-1].blocked == nil
		default:
			p.cuts = append(p.cuts, cut{int(one.lit.Pos().Offset()), int(one.lit.End().Offset()), part, el.Line})
		}
		if !ok {
			*p = before
			return false
		}
	}
	p.wants = append(p.wants, want{name: edit.name, items: edit.items, at: -1})
	return true
}

// pieces takes a word apart. False: it has something in it that cannot be written in another way, or a variable that another edit sets.
func (p *editPlan) pieces(word *syntax.Word) ([]piece, bool) {
	if word == nil {
		return nil, false
	}
	var out []piece
	for _, part := range word.Parts {
		inner := []syntax.WordPart{part}
		if quoted, ok := part.(*syntax.DblQuoted); ok && !quoted.Dollar {
			inner = quoted.Parts
		}
		for _, part := range inner {
			one, ok := p.piece(part)
			if !ok || one.name != "" && slices.ContainsFunc(out, func(o piece) bool { return o.name == one.name }) {
				return nil, false
			}
			out = append(out, one)
		}
	}
	return out, true
}

func (p *editPlan) piece(part syntax.WordPart) (piece, bool) {
	switch part := part.(type) {
	case *syntax.Lit:
		return piece{lit: part, old: part.Value}, !strings.Contains(part.Value, `\`)
	case *syntax.ParamExp:
		name := part.Param.Value
		v := p.static.Get(name)
		plain := !part.Excl && !part.Length && !part.Width && part.Index == nil && part.Names == 0
		if !plain || v.Kind != Scalar || !v.Static() || p.asked[name] {
			return piece{}, false
		}
		return piece{name: name, old: v.Items[0], changed: part.Slice != nil || part.Repl != nil || part.Exp != nil}, true
	}
	return piece{}, false
}

// divide says what each piece must be for the whole to be value. A single variable is the whole, a changed one only if what
// changes it left the old value alone and has nothing to change in the new one. Several share the value at its dots and between its
// digits and letters: each keeps as many parts as it has.
func divide(pieces []piece, value, old string) ([]string, bool) {
	if len(pieces) == 1 {
		one := pieces[0]
		return []string{value}, one.lit == nil && (!one.changed || one.old == old && plainVersion.MatchString(value))
	}
	if slices.ContainsFunc(pieces, func(p piece) bool { return p.changed }) || !isBare(value) {
		return nil, false
	}
	if parts, ok := divideParts(pieces, value); ok {
		return parts, true
	}
	return divideEnds(pieces, value)
}

var (
	plainVersion = regexp.MustCompile(`^[0-9A-Za-z.]+$`)
	versionPart  = regexp.MustCompile(`[0-9]+|[A-Za-z]+|[^0-9A-Za-z]`)
)

func divideParts(pieces []piece, value string) ([]string, bool) {
	rest := versionPart.FindAllString(value, -1)
	parts := make([]string, len(pieces))
	last := ""
	for i, one := range pieces {
		for n, was := range versionPart.FindAllString(one.old, -1) {
			if len(rest) == 0 || n == 0 && sameClass(last, was) || !sameClass(was, rest[0]) {
				return nil, false
			}
			last = was
			parts[i] += rest[0]
			rest = rest[1:]
		}
	}
	return parts, len(rest) == 0
}

// sameClass says whether two parts of a version would be one if they stood side by side. No part and anything are not.
func sameClass(a, b string) bool {
	class := func(s string) byte {
		switch c := s[0]; {
		case c >= '0' && c <= '9':
			return '0'
		case c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z':
			return 'a'
		default:
			return c
		}
	}
	return a != "" && b != "" && class(a) == class(b)
}

// divideEnds is for one variable with text before or behind that stays.
func divideEnds(pieces []piece, value string) ([]string, bool) {
	parts := make([]string, len(pieces))
	at := slices.IndexFunc(pieces, func(p piece) bool { return p.lit == nil })
	for i, one := range pieces {
		ok := true
		switch parts[i] = one.old; {
		case i < at:
			value, ok = strings.CutPrefix(value, one.old)
		case i > at && one.lit != nil:
			value, ok = strings.CutSuffix(value, one.old) // quotes make more than one piece of text in theory only
		case i > at:
			ok = false
		}
		if !ok {
			return nil, false
		}
	}
	if at < 0 {
		return nil, false
	}
	parts[at] = value
	return parts, value != ""
}
