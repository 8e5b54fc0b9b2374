package pkgbuild

import (
	"maps"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// assign makes one assignment to the variable called name (which is the one written, but for overrides).
func (e *evaluator) assign(a *syntax.Assign, name string) {
	record := Assignment{
		Name: a.Name.Value, Func: e.inFunc(), Line: e.text.lineOf(a),
		Append: a.Append, Array: a.Array != nil, node: a, inFile: e.text.line == 0,
	}
	v := &variable{line: record.Line}
	before := e.vars[name]
	switch {
	case a.Index != nil:
		e.assignIndex(a, name, v, &record)
	case a.Array != nil:
		e.assignArray(a, name, v, &record)
	default:
		e.assignScalar(a, name, v, &record)
	}
	if e.vars[name] != before && (a.Array != nil || a.Index != nil) && v.dyn == nil {
		v.dyn = e.dynamic(a, "an array that changes while it is assigned")
	}
	if v.dyn != nil {
		e.status = status{dyn: v.dyn}
	}
	e.set(name, v)
	if record.unsure = v.guarded; v.guarded {
		for i := range record.Elements {
			record.Elements[i].Values, record.Elements[i].Dynamic = nil, v.dyn
		}
	}
	e.assignments = append(e.assignments, record)
}

func (e *evaluator) element(word *syntax.Word, line int) Element {
	if word == nil {
		return Element{Line: line, Literal: true}
	}
	_, isLiteral := literal(word)
	return Element{Raw: e.raw(word), Line: e.text.lineOf(word), Literal: isLiteral, word: word}
}

func (e *evaluator) assignScalar(a *syntax.Assign, name string, v *variable, record *Assignment) {
	el := e.element(a.Value, record.Line)
	value, err := e.scalar(a.Value)
	old := e.vars[name]
	switch {
	case err != nil:
		el.Dynamic = e.asDynamic(err)
		v.kind, v.dyn = Scalar, el.Dynamic
		if old != nil && (old.kind != Unset || old.dyn != nil) {
			v.kind = old.kind
		}
	case old != nil && old.dyn != nil && (a.Append || old.kind != Scalar):
		el.Values = []string{value}
		v.kind, v.dyn = old.kind, old.dyn
	default:
		el.Values = []string{value}
		e.storeScalar(v, old, value, a.Append)
	}
	record.Elements = []Element{el}
}

// storeScalar follows bash: assigning to an array or map without an index means element 0.
func (e *evaluator) storeScalar(v, old *variable, value string, add bool) {
	if add {
		before, _ := old.first()
		if !e.spend(len(before) + len(value)) {
			return
		}
		value = before + value
	}
	if old != nil && old.kind != Scalar && !e.spend(old.size()) {
		return
	}
	switch {
	case old != nil && old.kind == Array:
		v.kind, v.list = Array, withIndex(old.list, 0, value)
	case old != nil && old.kind == Map:
		v.kind, v.dict = Map, maps.Clone(old.dict)
		v.dict["0"] = value
	default:
		v.kind, v.str = Scalar, value
	}
}

// setScalar assigns a variable where no assignment is written: in loops, arithmetic and ${name:=word}.
func (e *evaluator) setScalar(at syntax.Node, name, value string) {
	v := &variable{line: e.text.lineOf(at)}
	if old := e.vars[name]; old != nil && old.dyn != nil && old.kind != Scalar {
		v.kind, v.dyn = old.kind, old.dyn
	} else {
		e.storeScalar(v, old, value, false)
	}
	e.set(name, v)
}

func (e *evaluator) assignIndex(a *syntax.Assign, name string, v *variable, record *Assignment) {
	el := e.element(a.Value, record.Line)
	old := e.vars[name]
	v.kind = Array
	if old != nil {
		v.dyn = old.dyn
	}
	if old != nil && old.kind == Map {
		v.kind = Map
	}
	value, err := e.scalar(a.Value)
	if err != nil {
		el.Dynamic = e.asDynamic(err)
	} else {
		el.Values = []string{value}
		err = e.storeIndex(a, v, old, value)
	}
	if err != nil && v.dyn == nil {
		v.dyn = e.asDynamic(err)
	}
	record.Elements, record.Array = []Element{el}, true
}

func (e *evaluator) storeIndex(a *syntax.Assign, v, old *variable, value string) error {
	if v.dyn != nil {
		return v.dyn
	}
	if old != nil && old.kind == Map {
		key, err := e.mapKey(a.Index)
		if err != nil {
			return err
		}
		if !e.spend(old.size()) {
			return e.lost
		}
		if v.dict = maps.Clone(old.dict); a.Append {
			value = v.dict[key] + value
		}
		v.dict[key] = value
		return nil
	}
	idx, err := e.index(a.Index, old)
	if err != nil {
		return err
	}
	if a.Append {
		if before, ok := old.at(idx); ok {
			value = before + value
		}
	}
	if !e.spend(len(value) + statementCost + old.size()) {
		return e.lost
	}
	v.kind, v.list = Array, withIndex(old.asList(), idx, value)
	return nil
}

// at returns the element with this index.
func (v *variable) at(idx int) (string, bool) {
	for _, it := range v.asList() {
		if it.idx == idx {
			return it.val, true
		}
	}
	return "", false
}

// index evaluates the index of an array; negative ones count from the end.
func (e *evaluator) index(x syntax.ArithmExpr, v *variable) (int, error) {
	n, err := e.arith(x)
	if err != nil {
		return 0, err
	}
	if n < 0 {
		n += int64(v.next())
	}
	if n < 0 || n > 1<<20 {
		return 0, e.dynamic(x, "an array index out of range")
	}
	return int(n), nil
}

func (e *evaluator) mapKey(x syntax.ArithmExpr) (string, error) {
	if word, ok := x.(*syntax.Word); ok {
		return e.scalar(word)
	}
	return "", e.dynamic(x, "a key that is not a plain word")
}

func (e *evaluator) assignArray(a *syntax.Assign, name string, v *variable, record *Assignment) {
	old := e.vars[name]
	if old != nil && old.kind == Map {
		e.assignMap(a, v, old, record)
		return
	}
	v.kind = Array
	next := 0
	if a.Append {
		if old != nil && old.dyn != nil {
			v.dyn = old.dyn
		}
		if e.spend(old.size()) {
			v.list = slices.Clone(old.asList())
		}
		next = old.next()
	}
	for _, one := range a.Array.Elems {
		el := e.element(one.Value, e.text.lineOf(one))
		fields, err := e.arrayElement(one, v, &next)
		if err != nil {
			el.Dynamic = e.asDynamic(err)
			if v.dyn == nil {
				v.dyn = el.Dynamic
			}
		}
		el.Values = fields
		if el.Literal { // a pattern or braces are written without $, but mean something
			value, _ := literal(one.Value)
			el.Literal = len(fields) == 1 && fields[0] == value
		}
		record.Elements = append(record.Elements, el)
	}
	e.spend(len(a.Array.Elems))
}

func (e *evaluator) arrayElement(one *syntax.ArrayElem, v *variable, next *int) ([]string, error) {
	if one.Index == nil {
		fields, err := e.fields(one.Value)
		for _, field := range fields {
			v.list = append(v.list, item{*next, field})
			*next++
		}
		return fields, err
	}
	idx, err := e.index(one.Index, v)
	if err != nil {
		return nil, err
	}
	value, err := e.scalar(one.Value)
	if err != nil {
		return nil, err
	}
	if n := len(v.list); n == 0 || v.list[n-1].idx < idx {
		v.list = append(v.list, item{idx, value})
	} else if e.spend(n) {
		v.list = withIndex(v.list, idx, value)
	}
	*next = idx + 1
	return []string{value}, nil
}

func (e *evaluator) assignMap(a *syntax.Assign, v, old *variable, record *Assignment) {
	v.kind, v.dict, v.dyn = Map, map[string]string{}, nil
	if a.Append {
		e.spend(old.size())
		v.dict, v.dyn = maps.Clone(old.dict), old.dyn
		if v.dict == nil {
			v.dict = map[string]string{}
		}
	}
	for _, one := range a.Array.Elems {
		el := e.element(one.Value, e.text.lineOf(one))
		value, err := e.mapElement(one, v)
		if err != nil {
			el.Dynamic = e.asDynamic(err)
			v.dyn = el.Dynamic
		} else {
			el.Values = []string{value}
		}
		record.Elements = append(record.Elements, el)
	}
}

func (e *evaluator) mapElement(one *syntax.ArrayElem, v *variable) (string, error) {
	if one.Index == nil {
		return "", e.dynamic(one, "a map element without a key")
	}
	key, err := e.mapKey(one.Index)
	if err != nil {
		return "", err
	}
	value, err := e.scalar(one.Value)
	if err == nil {
		e.spend(len(key) + len(value))
		v.dict[key] = value
	}
	return value, err
}

// declare runs declare, typeset, local, export and readonly.
func (e *evaluator) declare(cmd *syntax.DeclClause) {
	e.status = status{ok: true}
	d := declaration{local: cmd.Variant.Value != "export" && cmd.Variant.Value != "readonly", readonly: cmd.Variant.Value == "readonly"}
	for _, arg := range cmd.Args {
		if !arg.Naked || arg.Name != nil {
			e.declareOne(cmd, arg, d)
			continue
		}
		option, ok := literal(arg.Value)
		if quoted, isAssign := quotedAssign(arg.Value, option); ok && isAssign {
			e.declareOne(cmd, quoted, d)
			continue
		}
		if !ok || option == "" || !d.option(option) {
			e.lose(e.dynamic(cmd, "the declaration "+e.text.short(cmd)))
			return
		}
	}
}

// quotedAssign reads a word such as "name=value", which is an assignment although it is quoted as a whole.
func quotedAssign(word *syntax.Word, value string) (*syntax.Assign, bool) {
	name, _, found := strings.Cut(value, "=")
	if !found || !syntax.ValidName(name) {
		return nil, false
	}
	return &syntax.Assign{
		Name:  &syntax.Lit{ValuePos: word.Pos(), ValueEnd: word.Pos(), Value: name},
		Value: &syntax.Word{Parts: []syntax.WordPart{&syntax.SglQuoted{Left: word.Pos(), Right: word.Pos(), Value: value[len(name)+1:]}}},
	}, true
}

type declaration struct {
	local, global, readonly, array, dict, remove, print bool
	special                                             string
}

// option reads one option word such as -gA; false means that it is not one.
func (d *declaration) option(word string) bool {
	if len(word) < 2 || word[0] != '-' && word[0] != '+' {
		return false
	}
	d.remove = word[0] == '+'
	for _, c := range word[1:] {
		switch c {
		case 'a':
			d.array = true
		case 'A':
			d.dict = true
		case 'g':
			d.local, d.global = false, true
		case 'r':
			d.readonly = true
		case 'x', 't', '-':
		case 'f', 'F', 'p':
			d.print = true
		case 'i':
			d.special = "integer"
		case 'l', 'u', 'c':
			d.special = "letter case"
		case 'n':
			if !d.remove {
				d.special = "reference"
			}
		default:
			return false
		}
	}
	return true
}

func (e *evaluator) declareOne(cmd *syntax.DeclClause, arg *syntax.Assign, d declaration) {
	name := arg.Name.Value
	if d.print {
		return
	}
	if d.special == "reference" {
		e.lose(e.dynamic(cmd, "a variable that is a reference to another"))
		return
	}
	if d.global && e.isLocal(name) {
		e.loseShadowed(name, e.dynamic(cmd, "a global variable behind a local one"))
		return
	}
	target := name
	_, here := e.frame().saved[name]
	if d.local && !here { // the value is expanded before the new variable hides the old one
		target = "local " + name
	}
	e.declareAs(arg, target, d)
	if target != name {
		v := e.vars[target]
		delete(e.vars, target)
		e.makeLocal(name)
		if v != nil {
			e.vars[name] = v
		}
	}
	if strings.HasPrefix(name, "BASH_") {
		e.lose(e.dynamic(cmd, "a variable of bash itself"))
	}
}

// declareAs gives the variable called target its attributes and its value.
func (e *evaluator) declareAs(arg *syntax.Assign, target string, d declaration) {
	old := e.vars[target]
	switch {
	case d.dict && (old == nil || old.kind != Map):
		e.vars[target] = &variable{kind: Map, dict: map[string]string{}, line: e.text.lineOf(arg)}
	case d.array && old == nil:
		e.vars[target] = &variable{kind: Array, line: e.text.lineOf(arg)}
	}
	if d.special != "" {
		v := &variable{special: d.special}
		if now := e.vars[target]; now != nil {
			*v = *now
			v.special = d.special
		}
		e.vars[target] = v
	}
	if !arg.Naked {
		e.assign(arg, target)
	}
	if v := e.vars[target]; v != nil && d.readonly {
		sealed := *v
		sealed.readonly = true
		e.vars[target] = &sealed
	}
}
