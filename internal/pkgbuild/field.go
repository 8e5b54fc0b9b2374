package pkgbuild

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// fieldBuilder collects the fields of one word. As a scalar it collects one string.
type fieldBuilder struct {
	e       *evaluator
	ifs     string
	scalar  bool
	done    []string
	cur     strings.Builder
	started bool // cur is a field, even when it is empty
	glob    bool // cur has an unquoted pattern character
}

func (b *fieldBuilder) tokens(tokens []token, at syntax.Node) error {
	for i, t := range tokens {
		if t.part != nil {
			if err := b.part(t.part); err != nil {
				return err
			}
			continue
		}
		if !t.quoted && tildeAt(t.text, i == 0, b.scalar) {
			return b.e.dynamic(at, "a home directory (~)")
		}
		b.write(t.text, t.quoted)
	}
	return nil
}

// tildeAt reports whether plain text has a tilde that bash would expand: at the start, and in an assignment after a colon.
func tildeAt(s string, start, scalar bool) bool {
	return start && strings.HasPrefix(s, "~") || scalar && strings.Contains(s, ":~")
}

func (b *fieldBuilder) write(s string, quoted bool) {
	b.started = b.started || quoted || s != ""
	if !quoted && !b.scalar {
		b.glob = b.glob || strings.ContainsAny(s, "*?[")
	}
	b.cur.WriteString(s)
}

// end closes the current field.
func (b *fieldBuilder) end() {
	if !b.started || b.scalar {
		return
	}
	b.done = append(b.done, b.cur.String())
	b.cur.Reset()
	b.started = false
}

func (b *fieldBuilder) finish(word *syntax.Word) ([]string, error) {
	b.end()
	size := 0
	for _, field := range b.done {
		size += len(field) + 1
	}
	if !b.e.spend(size) {
		return nil, b.e.lost
	}
	if b.glob && !isURL(b.done) {
		for _, field := range b.done {
			if strings.ContainsAny(field, "*?") || strings.Contains(field, "[") && strings.Contains(field, "]") {
				return nil, b.e.dynamic(word, "files that match the pattern "+b.e.text.short(word))
			}
		}
	}
	return b.done, nil
}

// isURL allows a question mark in an unquoted URL: it is a pattern, but there is no directory "https:" in a package.
func isURL(fields []string) bool {
	for _, field := range fields {
		if !strings.Contains(field, "://") {
			return false
		}
	}
	return true
}

// split adds the result of an unquoted expansion, which bash cuts at the characters of IFS.
func (b *fieldBuilder) split(s string) {
	if b.scalar {
		b.write(s, false)
		return
	}
	for i := 0; i < len(s); {
		j := i
		for j < len(s) && strings.IndexByte(b.ifs, s[j]) < 0 {
			j++
		}
		b.write(s[i:j], false)
		if j == len(s) {
			return
		}
		i = b.skipSeparators(s, j)
	}
}

// skipSeparators ends a field at s[i] and returns where the next begins: blanks of IFS belong together, any other
// separator ends a field even when that is empty.
func (b *fieldBuilder) skipSeparators(s string, i int) int {
	blank := func(c byte) bool { return (c == ' ' || c == '\t' || c == '\n') && strings.IndexByte(b.ifs, c) >= 0 }
	hard := false
	for i < len(s) && strings.IndexByte(b.ifs, s[i]) >= 0 {
		if !blank(s[i]) {
			if hard {
				break
			}
			hard = true
		}
		i++
	}
	b.started = b.started || hard
	b.end()
	return i
}

func (b *fieldBuilder) part(part syntax.WordPart) error {
	switch part := part.(type) {
	case *syntax.SglQuoted:
		value := part.Value
		if part.Dollar {
			var ok bool
			if value, ok = ansiC(value); !ok {
				return b.e.dynamic(part, "an escape that depends on bash or the locale")
			}
		}
		b.write(value, true)
		return nil
	case *syntax.DblQuoted:
		return b.double(part)
	case *syntax.ParamExp:
		return b.param(part, false)
	case *syntax.ArithmExp:
		n, err := b.e.arith(part.X)
		if err != nil {
			return err
		}
		b.split(itoa(n))
		return nil
	case *syntax.CmdSubst:
		return b.commandSubst(part, false)
	}
	return b.e.refuse(part)
}

func (e *evaluator) refuse(part syntax.WordPart) error {
	what := "an expansion that is not understood: "
	switch part.(type) {
	case *syntax.ProcSubst:
		what = "the process substitution "
	case *syntax.CmdSubst:
		what = "the command substitution "
	case *syntax.ExtGlob:
		what = "the extended pattern "
	}
	return e.dynamic(part, what+e.text.short(part))
}

func (b *fieldBuilder) commandSubst(part *syntax.CmdSubst, quoted bool) error {
	value, ok := b.e.functionText(part)
	if !ok {
		return b.e.refuse(part)
	}
	if quoted {
		b.write(value, true)
	} else {
		b.split(value)
	}
	return nil
}

// double expands what is between double quotes. "${empty[@]}" alone gives no field at all.
func (b *fieldBuilder) double(quoted *syntax.DblQuoted) error {
	if len(quoted.Parts) == 0 {
		b.write("", true)
	}
	for _, part := range quoted.Parts {
		if err := b.quotedPart(part); err != nil {
			return err
		}
	}
	return nil
}

func (b *fieldBuilder) quotedPart(part syntax.WordPart) error {
	switch part := part.(type) {
	case *syntax.Lit:
		b.write(Unescape(part.Value), true)
	case *syntax.ParamExp:
		return b.param(part, true)
	case *syntax.ArithmExp:
		n, err := b.e.arith(part.X)
		if err != nil {
			return err
		}
		b.write(itoa(n), true)
	case *syntax.CmdSubst:
		return b.commandSubst(part, true)
	case *syntax.SglQuoted, *syntax.DblQuoted: // only inside "${x:-…}"
		return b.part(part)
	default:
		return b.e.refuse(part)
	}
	return nil
}

// param adds the result of a parameter expansion.
func (b *fieldBuilder) param(p *syntax.ParamExp, quoted bool) error {
	x, err := b.e.paramExp(p, quoted)
	switch {
	case err != nil:
		return err
	case x.word != nil:
		return b.defaultWord(x.word, quoted)
	case !x.list:
		b.add(x.value(), quoted)
		return nil
	case b.scalar || x.star && quoted:
		sep, err := b.e.joiner(p, x.star)
		if err != nil {
			return err
		}
		b.add(strings.Join(x.vals, sep), quoted)
		return nil
	}
	for i, value := range x.vals {
		if i > 0 {
			b.end()
		}
		b.add(value, quoted)
	}
	return nil
}

func (b *fieldBuilder) add(value string, quoted bool) {
	if quoted {
		b.write(value, true)
	} else {
		b.split(value)
	}
}

// defaultWord expands the word of ${x:-word} or ${x:+word} in place.
func (b *fieldBuilder) defaultWord(word *syntax.Word, quoted bool) error {
	if !quoted {
		for i, t := range lex(word.Parts) {
			switch {
			case t.part != nil:
				if err := b.part(t.part); err != nil {
					return err
				}
			case !t.quoted && tildeAt(t.text, i == 0, b.scalar):
				return b.e.dynamic(word, "a home directory (~)")
			case t.quoted:
				b.write(t.text, true)
			default:
				b.split(t.text)
			}
		}
		return nil
	}
	for _, part := range word.Parts {
		switch part := part.(type) {
		case *syntax.ParamExp:
			if indexWord(part.Index) == "*" || part.Param.Value == "*" {
				return b.e.dynamic(word, "a list inside quotes: "+b.e.text.short(word))
			}
		case *syntax.DblQuoted, *syntax.SglQuoted:
			if len(word.Parts) > 1 || strings.Contains(b.e.raw(word), `\`) { // bash has rules of its own
				return b.e.dynamic(word, "quotes inside quotes: "+b.e.text.short(word))
			}
		}
		if sgl, ok := part.(*syntax.SglQuoted); ok { // quotes are plain characters here
			if sgl.Dollar || strings.Contains(sgl.Value, "$") {
				return b.e.dynamic(word, "quotes inside quotes: "+b.e.text.short(word))
			}
			b.write("'"+sgl.Value+"'", true)
			continue
		}
		if err := b.quotedPart(part); err != nil {
			return err
		}
	}
	if len(word.Parts) == 0 {
		b.write("", true)
	}
	return nil
}

// joiner is what stands between the items of a list that becomes one string: the first character of IFS for *, a blank for @.
func (e *evaluator) joiner(at syntax.Node, star bool) (string, error) {
	v := e.vars["IFS"]
	if !star || v == nil {
		return " ", nil
	}
	if v.dyn != nil {
		return "", v.dyn
	}
	ifs, _ := v.first()
	if len(ifs) > 0 && ifs[0] >= 0x80 {
		return "", e.dynamic(at, "an IFS that depends on the locale")
	}
	return ifs[:min(1, len(ifs))], nil
}
