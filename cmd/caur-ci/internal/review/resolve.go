package review

import (
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/caur-build/caur/internal/pkgbuild"
)

// unknown stands in a resolved word for what cannot be known without running the code.
const unknown = "\x00"

// Bounds of resolving. What is beyond stays unknown, which the rules take for suspicious where it matters.
const (
	maxValues   = 8       // values of one variable that are told apart
	maxWordLen  = 1 << 16 // bytes of a resolved word
	maxCalls    = 60      // calls of the file's own functions that are walked
	maxNested   = 8       // code inside code inside …
	maxCommands = 6_000   // of one scan
	maxWork     = 4 << 20 // bytes made by one scan, and 16 for each word
)

// binding is what a name may hold: its possible values, in the order in which they are assigned, and the commands whose
// output is in them.
type binding struct {
	values [][]string // each the elements of an array; a scalar has one
	feeds  []*command
}

// resolver knows what variables may hold at a place of the code that is being walked. It is an approximation of bash that
// errs on the side of knowing more values than there are: branches are all taken, scopes are one.
type resolver struct {
	scan    *scan
	vars    map[string]*binding
	variant int  // which of several values of a variable is taken
	blank   bool // ${IFS} stood in the place of a blank
}

func (r *resolver) bind(name string, values []string, add bool, feeds []*command) {
	if !r.scan.spend(textLen(values) + 8) {
		return
	}
	b := r.vars[name]
	if b == nil {
		b = &binding{}
		r.vars[name] = b
	}
	b.feeds = join(b.feeds, feeds)
	if add && len(b.values) > 0 {
		last := b.values[len(b.values)-1]
		if !r.scan.spend(textLen(last)) {
			return
		}
		values = append(append([]string(nil), last...), values...)
	}
	b.push(values)
}

func (b *binding) push(values []string) {
	for _, have := range b.values {
		if strings.Join(have, "\x01") == strings.Join(values, "\x01") {
			return
		}
	}
	if len(b.values) == maxValues { // the first and the newest are kept
		b.values = append(b.values[:1], b.values[2:]...)
	}
	b.values = append(b.values, values)
}

// appendText is name+=text of a scalar.
func (r *resolver) appendText(name, text string, feeds []*command) {
	if old, ok := r.get(name); ok && len(old) > 0 {
		text = old[len(old)-1] + text
	}
	r.bind(name, []string{clip(text)}, false, feeds)
}

// get gives the value of a variable in this variant; the newest value is variant 0.
func (r *resolver) get(name string) ([]string, bool) {
	b := r.vars[name]
	if b == nil || len(b.values) == 0 {
		return nil, false
	}
	return b.values[max(0, len(b.values)-1-r.variant)], true
}

// variants is how often a word has to be resolved to see all values of its variables.
func (r *resolver) variants(node syntax.Node) int {
	most := 1
	syntax.Walk(node, func(n syntax.Node) bool {
		if !r.scan.spend(1) {
			return false
		}
		if p, ok := n.(*syntax.ParamExp); ok && p.Param != nil {
			if b := r.vars[p.Param.Value]; b != nil {
				most = max(most, len(b.values))
			}
		}
		return true
	})
	return most
}

func clip(s string) string {
	if len(s) > maxWordLen {
		return s[:maxWordLen] + unknown
	}
	return s
}

// textLen is the work that a list of words is.
func textLen(list []string) int {
	n := 16 * len(list)
	for _, s := range list {
		n += len(s)
	}
	return n
}

// fields resolves a word: the fields it expands to, and the commands whose output is in it. Unquoted variables are split
// at blanks, as bash does.
func (r *resolver) fields(w *syntax.Word) ([]string, []*command) {
	if w == nil {
		return []string{""}, nil
	}
	b := &wordBuilder{r: r}
	for _, part := range w.Parts {
		b.part(part, false)
	}
	b.end()
	r.scan.spend(textLen(b.out) + 1)
	return b.out, b.feeds
}

// text resolves a word to one string.
func (r *resolver) text(w *syntax.Word) (string, []*command) {
	fields, feeds := r.fields(w)
	return clip(strings.Join(fields, " ")), feeds
}

type wordBuilder struct {
	r     *resolver
	out   []string
	cur   strings.Builder
	open  bool
	feeds []*command
}

func (b *wordBuilder) add(s string) {
	if b.cur.Len() < maxWordLen {
		b.cur.WriteString(s)
	}
	b.open = true
}

func (b *wordBuilder) end() {
	if b.open {
		b.out = append(b.out, clip(b.cur.String()))
	}
	b.cur.Reset()
	b.open = false
}

// split adds an unquoted expansion: blanks in it end the field.
func (b *wordBuilder) split(s string) {
	for i, field := range strings.FieldsFunc(s, func(c rune) bool { return c == ' ' || c == '\t' || c == '\n' }) {
		if i > 0 || strings.ContainsAny(s[:1], " \t\n") {
			b.end()
		}
		b.add(field)
	}
	if s != "" && strings.ContainsAny(s[len(s)-1:], " \t\n") {
		b.end()
	}
}

func (b *wordBuilder) part(part syntax.WordPart, quoted bool) {
	switch part := part.(type) {
	case *syntax.Lit:
		if quoted {
			b.add(pkgbuild.Unescape(part.Value))
		} else if text := unescape(part.Value); text != "" {
			b.add(text)
		}
	case *syntax.SglQuoted:
		text := part.Value
		if part.Dollar {
			text = ansiC(text)
		}
		b.add(text)
	case *syntax.DblQuoted:
		b.add("")
		for _, inner := range part.Parts {
			b.part(inner, true)
		}
	case *syntax.ParamExp:
		b.param(part, quoted)
	case *syntax.CmdSubst:
		text, feeds := b.r.scan.substitution(b.r, part.Stmts)
		b.feeds = join(b.feeds, feeds)
		if quoted {
			b.add(strings.TrimRight(text, "\n"))
		} else {
			b.split(text)
		}
	case *syntax.ProcSubst:
		_, feeds := b.r.scan.substitution(b.r, part.Stmts)
		b.feeds = join(b.feeds, feeds)
		b.add("/dev/fd/63")
	default:
		b.add(unknown)
	}
}

func (b *wordBuilder) param(p *syntax.ParamExp, quoted bool) {
	if p.Param != nil && p.Param.Value == "IFS" && !quoted {
		b.r.blank = true
		b.end()
		return
	}
	value, feeds := b.r.param(p)
	b.feeds = join(b.feeds, feeds)
	all := p.Index != nil && isAll(p.Index) || p.Param != nil && p.Param.Value == "@"
	switch {
	case quoted && all:
		for i, v := range value {
			if i > 0 {
				b.end()
			}
			b.add(v)
		}
	case quoted:
		b.add(first(value))
	case all:
		for i, v := range value {
			if i > 0 {
				b.end()
			}
			b.split(v)
		}
	default:
		b.split(first(value))
	}
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

func isAll(x syntax.ArithmExpr) bool {
	w, ok := x.(*syntax.Word)
	return ok && (w.Lit() == "@" || w.Lit() == "*")
}

// wellKnown are the variables of makepkg that tell where code may write; they stay readable in resolved words.
func wellKnown(name string) (string, bool) {
	switch name {
	case "srcdir", "pkgdir", "startdir", "HOME", "IFS", "USER", "XDG_CONFIG_HOME", "CARCH", "BASH_ENV":
		return "$" + name, true
	}
	return "", false
}

// param resolves a parameter expansion.
func (r *resolver) param(p *syntax.ParamExp) (value []string, feeds []*command) {
	if p.Param == nil || p.Excl || p.Length || p.Width {
		return []string{unknown}, nil
	}
	name := p.Param.Value
	value, ok := r.get(name)
	if b := r.vars[name]; b != nil {
		feeds = b.feeds
	}
	if own, known := wellKnown(name); known && !ok {
		value, ok = []string{own}, true
	}
	value = element(value, p.Index)
	if p.Exp != nil && defaults(p.Exp.Op) && (!ok || first(value) == "") {
		text, more := r.text(p.Exp.Word)
		if p.Exp.Op == syntax.AssignUnset || p.Exp.Op == syntax.AssignUnsetOrNull {
			r.bind(name, []string{text}, false, more)
		}
		return []string{text}, append(feeds, more...)
	}
	if !ok {
		return []string{unknown}, feeds
	}
	out := make([]string, len(value))
	for i, v := range value {
		out[i] = r.transform(p, v)
	}
	return out, feeds
}

func defaults(op syntax.ParExpOperator) bool {
	switch op {
	case syntax.DefaultUnset, syntax.DefaultUnsetOrNull, syntax.AssignUnset, syntax.AssignUnsetOrNull:
		return true
	}
	return false
}

func element(value []string, index syntax.ArithmExpr) []string {
	if index == nil || isAll(index) {
		return value
	}
	w, ok := index.(*syntax.Word)
	if !ok {
		return []string{unknown}
	}
	n, err := strconv.Atoi(w.Lit())
	if n < 0 {
		n += len(value)
	}
	if err != nil || n < 0 || n >= len(value) {
		return []string{unknown}
	}
	return value[n : n+1]
}

// transform applies ${v:x:y}, ${v/x/y}, ${v#x} and the like where their words are literals.
func (r *resolver) transform(p *syntax.ParamExp, v string) string {
	switch {
	case p.Slice != nil:
		return slice(v, p.Slice)
	case p.Repl != nil:
		from, _ := r.text(p.Repl.Orig)
		to := ""
		if p.Repl.With != nil {
			to, _ = r.text(p.Repl.With)
		}
		if from == "" || strings.ContainsAny(from, "*?[") || len(to)*strings.Count(v, from) > maxWordLen {
			return unknown
		}
		if p.Repl.All {
			return strings.ReplaceAll(v, from, to)
		}
		return strings.Replace(v, from, to, 1)
	case p.Exp != nil:
		return r.expansion(p.Exp, v)
	}
	return v
}

func (r *resolver) expansion(x *syntax.Expansion, v string) string {
	word := ""
	if x.Word != nil {
		word, _ = r.text(x.Word)
	}
	switch x.Op {
	case syntax.LowerAll, syntax.LowerFirst:
		return strings.ToLower(v)
	case syntax.UpperAll, syntax.UpperFirst:
		return strings.ToUpper(v)
	case syntax.AlternateUnset, syntax.AlternateUnsetOrNull:
		return word
	case syntax.RemSmallPrefix, syntax.RemLargePrefix:
		if !strings.ContainsAny(word, "*?[") {
			return strings.TrimPrefix(v, word)
		}
	case syntax.RemSmallSuffix, syntax.RemLargeSuffix:
		if !strings.ContainsAny(word, "*?[") {
			return strings.TrimSuffix(v, word)
		}
	default:
		if defaults(x.Op) {
			return v
		}
	}
	return unknown
}

func slice(v string, s *syntax.Slice) string {
	number := func(x syntax.ArithmExpr, absent int) (int, bool) {
		if x == nil {
			return absent, true
		}
		w, ok := x.(*syntax.Word)
		if !ok {
			return 0, false
		}
		n, err := strconv.Atoi(w.Lit())
		return n, err == nil
	}
	from, ok1 := number(s.Offset, 0)
	length, ok2 := number(s.Length, len(v))
	if !ok1 || !ok2 || from < 0 || from > len(v) {
		return unknown
	}
	if length < 0 {
		length = max(0, len(v)-from+length)
	}
	return v[from:min(len(v), from+length)]
}

// unescape removes the backslashes of unquoted text.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			if i++; s[i] == '\n' {
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}
