package pkgbuild

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// scalar expands a word the way the right side of an assignment is: no braces, no field splitting, no file names.
func (e *evaluator) scalar(word *syntax.Word) (string, error) {
	if word == nil {
		return "", nil
	}
	b := fieldBuilder{e: e, scalar: true}
	if err := b.tokens(lex(word.Parts), word); err != nil {
		e.maybe(e.asDynamic(err), word) // what stands behind may assign something too: ${x:=y}, $((i++))
		return "", err
	}
	value := b.cur.String()
	if !e.spend(len(value)) {
		return "", e.lost
	}
	return value, nil
}

// fields expands a word the way an element of an array or an argument is.
func (e *evaluator) fields(word *syntax.Word) ([]string, error) {
	fields, err := e.fieldsOf(word)
	if err != nil {
		e.maybe(e.asDynamic(err), word)
	}
	return fields, err
}

func (e *evaluator) fieldsOf(word *syntax.Word) ([]string, error) {
	tokens := lex(word.Parts)
	if nestedQuotes(word) {
		if raw := e.raw(word); strings.Contains(raw, ",") || strings.Contains(raw, "..") {
			return nil, e.dynamic(word, "braces near quotes inside quotes: "+shorten(raw))
		}
	}
	alternatives := [][]token{tokens}
	if hasBraces(tokens) {
		for _, t := range tokens {
			if _, isParam := t.part.(*syntax.ParamExp); isParam {
				if raw := e.raw(t.part); strings.Count(raw, "{") != strings.Count(raw, "}") {
					return nil, e.dynamic(word, "braces inside an expansion: "+e.text.short(word))
				}
			}
		}
		var ok bool
		if alternatives, ok = e.braces(tokens); !ok {
			return nil, e.lost
		}
		if slices.ContainsFunc(alternatives, growsName) {
			return nil, e.dynamic(word, "a name that braces make longer: "+e.text.short(word))
		}
	}
	var out []string
	for _, alternative := range alternatives {
		b := fieldBuilder{e: e, ifs: " \t\n"}
		if v := e.vars["IFS"]; v != nil {
			if v.dyn != nil {
				return nil, v.dyn
			}
			b.ifs, _ = v.first()
		}
		if err := b.tokens(alternative, word); err != nil {
			return nil, err
		}
		fields, err := b.finish(word)
		if err != nil {
			return nil, err
		}
		out = append(out, fields...)
	}
	return out, nil
}

// nestedQuotes finds quotes in an expansion inside double quotes, as in "${x:-"y"}". Bash's brace expansion does not understand them.
func nestedQuotes(word *syntax.Word) bool {
	found := false
	for _, part := range word.Parts {
		quoted, ok := part.(*syntax.DblQuoted)
		if !ok {
			continue
		}
		for _, inner := range quoted.Parts {
			p, ok := inner.(*syntax.ParamExp)
			if !ok || p.Exp == nil && p.Repl == nil {
				continue
			}
			syntax.Walk(p, func(node syntax.Node) bool {
				switch node.(type) {
				case *syntax.DblQuoted, *syntax.SglQuoted:
					found = true
				}
				return true
			})
		}
	}
	return found
}

// growsName finds $a{b,c}, which bash reads as $ab $ac: braces are expanded in the text, before names are looked for.
func growsName(tokens []token) bool {
	for i := 1; i < len(tokens); i++ {
		p, ok := tokens[i-1].part.(*syntax.ParamExp)
		if !ok || !p.Short || !syntax.ValidName(p.Param.Value) || tokens[i].part != nil || tokens[i].quoted {
			continue
		}
		if syntax.ValidName("_" + tokens[i].text[:1]) {
			return true
		}
	}
	return false
}
