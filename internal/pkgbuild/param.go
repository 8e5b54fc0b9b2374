package pkgbuild

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// expansion is the result of one ${…}.
type expansion struct {
	vals []string
	list bool         // made with @ or *: any number of items
	star bool         // made with *
	set  bool         // the parameter is set
	word *syntax.Word // the result is this word instead: ${x:-word}
}

func (x expansion) value() string {
	if len(x.vals) == 0 {
		return ""
	}
	return x.vals[0]
}

// null reports whether "${x:-…}" counts x as empty.
func (x expansion) null() bool { return strings.Join(x.vals, "") == "" && len(x.vals) < 2 }

func (e *evaluator) paramExp(p *syntax.ParamExp, quoted bool) (expansion, error) {
	if p.Width || p.Names != 0 {
		return expansion{}, e.dynamic(p, "an expansion that depends on other variables: "+e.text.short(p))
	}
	if p.Excl {
		return e.indirect(p, quoted)
	}
	x, err := e.lookup(p, p.Param.Value, p.Index)
	if err != nil {
		return x, err
	}
	return e.operate(p, x, quoted)
}

// lookup reads a variable, with its index.
func (e *evaluator) lookup(p *syntax.ParamExp, name string, index syntax.ArithmExpr) (expansion, error) {
	if !syntax.ValidName(name) {
		return e.special(p, name)
	}
	v, err := e.variable(p, name)
	if err != nil {
		return expansion{}, err
	}
	if !e.spend(v.size()) {
		return expansion{}, e.lost
	}
	if index == nil {
		value, ok := v.first()
		return expansion{vals: []string{value}, set: ok}, nil
	}
	if which := indexWord(index); which != "" {
		if v != nil && v.kind == Map && len(v.dict) > 1 {
			return expansion{}, e.dynamic(p, "the order of a map")
		}
		return expansion{vals: v.items(), list: true, star: which == "*", set: v.isSet() && len(v.items()) > 0}, nil
	}
	if v != nil && v.kind == Map {
		key, err := e.mapKey(index)
		value, ok := v.dict[key]
		return expansion{vals: []string{value}, set: ok}, err
	}
	idx, err := e.index(index, v)
	if err != nil {
		return expansion{}, err
	}
	value, ok := v.at(idx)
	return expansion{vals: []string{value}, set: ok}, nil
}

// indexWord returns "@" or "*" when the index is that.
func indexWord(index syntax.ArithmExpr) string {
	if word, ok := index.(*syntax.Word); ok {
		if lit := word.Lit(); lit == "@" || lit == "*" {
			return lit
		}
	}
	return ""
}

// special reads positional parameters of a function of the file; everything else of the kind ($?, $$…) is dynamic.
func (e *evaluator) special(p *syntax.ParamExp, name string) (expansion, error) {
	var args []string
	if len(e.frames) > 0 {
		args = e.frame().args
	}
	if args == nil {
		return expansion{}, e.dynamic(p, "the parameter $"+name)
	}
	if !e.spend(len(args)) {
		return expansion{}, e.lost
	}
	switch name {
	case "@", "*":
		return expansion{vals: args, list: true, star: name == "*", set: len(args) > 0}, nil
	case "#":
		return expansion{vals: []string{strconv.Itoa(len(args))}, set: true}, nil
	}
	n, err := strconv.Atoi(name)
	if err != nil || n == 0 {
		return expansion{}, e.dynamic(p, "the parameter $"+name)
	}
	if n > len(args) {
		return expansion{vals: []string{""}}, nil
	}
	return expansion{vals: args[n-1 : n], set: true}, nil
}

// variable returns a variable of the file, nil when it is unset. Names that makepkg or the environment may set are dynamic as long as the file does not.
func (e *evaluator) variable(at syntax.Node, name string) (*variable, error) {
	if e.lost != nil {
		return nil, e.lost
	}
	v := e.vars[name]
	switch {
	case v != nil && v.dyn != nil:
		return nil, v.dyn
	case specialName(name):
		return nil, e.dynamic(at, "the variable $"+name+" of bash")
	case v != nil:
		return v, nil
	case name == "CARCH":
		return &variable{kind: Scalar, str: e.carch}, nil
	case foreignName(name):
		return nil, e.dynamic(at, "the variable $"+name+" of makepkg or the environment")
	case e.unsure() != nil:
		return nil, e.unsure()
	}
	return nil, nil
}

// specialName lists variables whose value bash makes itself, whatever is assigned.
func specialName(name string) bool {
	switch name {
	case "RANDOM", "SRANDOM", "SECONDS", "LINENO", "EPOCHSECONDS", "EPOCHREALTIME", "BASHPID", "FUNCNAME", "DIRSTACK",
		"GROUPS", "PIPESTATUS", "UID", "EUID", "PPID", "_":
		return true
	}
	return strings.HasPrefix(name, "BASH")
}

// foreignName says that an unassigned name may be set from outside: capital letters are the environment and makepkg's
// configuration; the rest are variables of makepkg that exist while it sources a PKGBUILD.
func foreignName(name string) bool {
	switch name {
	case "startdir", "srcdir", "pkgdir", "pkgdirbase", "makepkg_version", "confdir", "splitpkg_overrides", "known_hash_algos",
		"pkgbuild_schema_arrays", "pkgbuild_schema_strings", "pkgbuild_schema_arch_arrays", "pkgbuild_schema_package_overrides",
		"shellopts", "basever", "fullver", "attr", "attrname", "isarray", "outputvar", "outvalue", "funcname", "attr_regex", "decl", "r", "a", "package_arch":
		return true
	}
	hasLetter := false
	for _, c := range name {
		if c >= 'a' && c <= 'z' {
			return false
		}
		hasLetter = hasLetter || c >= 'A' && c <= 'Z'
	}
	return hasLetter && name[0] != '_'
}

// indirect expands ${!name} and the indexes ${!name[@]}.
func (e *evaluator) indirect(p *syntax.ParamExp, quoted bool) (expansion, error) {
	if p.Index != nil && indexWord(p.Index) != "" {
		return e.keys(p)
	}
	x, err := e.lookup(p, p.Param.Value, p.Index)
	if err != nil {
		return x, err
	}
	name, rest, indexed := strings.Cut(x.value(), "[")
	if !syntax.ValidName(name) {
		return x, e.dynamic(p, "a variable whose name is made by an expansion: "+e.text.short(p))
	}
	var index syntax.ArithmExpr
	if indexed {
		if index = indirectIndex(rest); index == nil {
			return x, e.dynamic(p, "an array element whose name is made by an expansion: "+e.text.short(p))
		}
	}
	if x, err = e.lookup(p, name, index); err != nil {
		return x, err
	}
	return e.operate(p, x, quoted)
}

func indirectIndex(rest string) syntax.ArithmExpr {
	index, closed := strings.CutSuffix(rest, "]")
	if _, err := strconv.ParseUint(index, 10, 16); !closed || err != nil && index != "@" && index != "*" {
		return nil
	}
	return &syntax.Word{Parts: []syntax.WordPart{&syntax.Lit{Value: index}}}
}

func (e *evaluator) keys(p *syntax.ParamExp) (expansion, error) {
	v, err := e.variable(p, p.Param.Value)
	if err != nil {
		return expansion{}, err
	}
	if !e.spend(v.size()) {
		return expansion{}, e.lost
	}
	var keys []string
	if v != nil && v.kind == Map {
		if len(v.dict) > 1 {
			return expansion{}, e.dynamic(p, "the order of a map")
		}
		keys = slices.Collect(maps.Keys(v.dict))
	} else {
		for _, it := range v.asList() {
			keys = append(keys, strconv.Itoa(it.idx))
		}
	}
	return expansion{vals: keys, list: true, star: indexWord(p.Index) == "*", set: len(keys) > 0}, nil
}

// operate applies what follows the name: length, substring, replacement, prefix, default…
func (e *evaluator) operate(p *syntax.ParamExp, x expansion, quoted bool) (expansion, error) {
	switch {
	case p.Length:
		return e.length(p, x)
	case p.Slice != nil:
		return e.slice(p, x)
	case p.Repl != nil:
		return e.replace(p, x, quoted)
	case p.Exp == nil:
		return x, nil
	}
	switch p.Exp.Op {
	case syntax.AlternateUnset, syntax.AlternateUnsetOrNull, syntax.DefaultUnset, syntax.DefaultUnsetOrNull,
		syntax.AssignUnset, syntax.AssignUnsetOrNull, syntax.ErrorUnset, syntax.ErrorUnsetOrNull:
		return e.whenUnset(p, x)
	case syntax.RemSmallPrefix, syntax.RemLargePrefix, syntax.RemSmallSuffix, syntax.RemLargeSuffix:
		return e.remove(p, x, quoted)
	case syntax.UpperFirst, syntax.UpperAll, syntax.LowerFirst, syntax.LowerAll:
		return e.letterCase(p, x)
	}
	return x, e.dynamic(p, "the expansion "+e.text.short(p))
}

func (e *evaluator) whenUnset(p *syntax.ParamExp, x expansion) (expansion, error) {
	op := p.Exp.Op
	missing := !x.set
	switch op {
	case syntax.AlternateUnsetOrNull, syntax.DefaultUnsetOrNull, syntax.AssignUnsetOrNull, syntax.ErrorUnsetOrNull:
		missing = missing || x.null()
	}
	word := p.Exp.Word
	if word == nil {
		word = &syntax.Word{}
	}
	switch op {
	case syntax.AlternateUnset, syntax.AlternateUnsetOrNull:
		if missing && x.list {
			return expansion{list: true, star: x.star, set: true}, nil
		}
		if missing {
			return expansion{vals: []string{""}, set: true}, nil
		}
		return expansion{word: word, set: true}, nil
	case syntax.DefaultUnset, syntax.DefaultUnsetOrNull:
		if missing {
			return expansion{word: word, set: true}, nil
		}
	case syntax.AssignUnset, syntax.AssignUnsetOrNull:
		if missing {
			return e.assignDefault(p, word)
		}
	default:
		if missing {
			return x, e.dynamic(p, "a parameter that must be set: "+e.text.short(p))
		}
	}
	return x, nil
}

func (e *evaluator) assignDefault(p *syntax.ParamExp, word *syntax.Word) (expansion, error) {
	if p.Index != nil || p.Excl || !syntax.ValidName(p.Param.Value) {
		return expansion{}, e.dynamic(p, "the assignment "+e.text.short(p))
	}
	value, err := e.scalar(word)
	if err != nil {
		e.makeDynamic(p.Param.Value, e.asDynamic(err))
		return expansion{}, err
	}
	e.setScalar(p, p.Param.Value, value)
	return expansion{vals: []string{value}, set: true}, nil
}

func (e *evaluator) length(p *syntax.ParamExp, x expansion) (expansion, error) {
	n := len(x.vals)
	if !x.list {
		n = len(x.value())
		if !isASCII(x.value()) {
			return x, e.dynamic(p, "a length that depends on the locale")
		}
	}
	return expansion{vals: []string{strconv.Itoa(n)}, set: true}, nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// slice cuts ${x:offset:length} out of a string, or items out of a list.
func (e *evaluator) slice(p *syntax.ParamExp, x expansion) (expansion, error) {
	if x.list && (!syntax.ValidName(p.Param.Value) || p.Excl || !e.vars[p.Param.Value].isDense()) {
		return x, e.dynamic(p, "a slice of an array with gaps or of the arguments")
	}
	size := len(x.vals)
	if !x.list {
		if size = len(x.value()); !isASCII(x.value()) {
			return x, e.dynamic(p, "a substring that depends on the locale")
		}
	}
	from, to, err := e.bounds(p, size, x.list)
	if err != nil {
		return x, err
	}
	if x.list {
		x.vals = x.vals[from:to]
	} else {
		x.vals = []string{x.value()[from:to]}
	}
	return x, nil
}

func (v *variable) isDense() bool { return v == nil || v.dense() }

// bounds follows bash(1), "Substring Expansion".
func (e *evaluator) bounds(p *syntax.ParamExp, size int, list bool) (from, to int, err error) {
	offset, length := int64(0), int64(size)
	if p.Slice.Offset != nil {
		if offset, err = e.arith(p.Slice.Offset); err != nil {
			return 0, 0, err
		}
	}
	if offset < 0 {
		offset += int64(size)
	}
	if offset < 0 || offset > int64(size) {
		return 0, 0, nil
	}
	if p.Slice.Length != nil {
		if length, err = e.arith(p.Slice.Length); err != nil {
			return 0, 0, err
		}
	}
	end := offset + min(length, int64(size))
	if length < 0 {
		end = int64(size) + length
	}
	if length < 0 && list || end < offset {
		return 0, 0, e.dynamic(p, "a substring of negative length")
	}
	return int(offset), int(min(end, int64(size))), nil
}

func (e *evaluator) letterCase(p *syntax.ParamExp, x expansion) (expansion, error) {
	if p.Exp.Word != nil && len(p.Exp.Word.Parts) > 0 {
		return x, e.dynamic(p, "the expansion "+e.text.short(p))
	}
	out := make([]string, len(x.vals))
	for i, s := range x.vals {
		if !isASCII(s) {
			return x, e.dynamic(p, "letter case that depends on the locale")
		}
		head, tail := s[:min(1, len(s))], s[min(1, len(s)):]
		switch p.Exp.Op {
		case syntax.UpperFirst:
			s = strings.ToUpper(head) + tail
		case syntax.LowerFirst:
			s = strings.ToLower(head) + tail
		case syntax.UpperAll:
			s = strings.ToUpper(s)
		default:
			s = strings.ToLower(s)
		}
		out[i] = s
	}
	x.vals = out
	return x, nil
}
