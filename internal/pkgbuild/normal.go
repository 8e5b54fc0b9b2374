package pkgbuild

import (
	"bytes"
	"reflect"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Normal returns a form of the file for comparing: without comments, with one layout and with redundant syntax
// removed (shfmt's minify and simplify). Two files with the same normal form run the same commands. Quotes and names are kept as they are.
func (f *File) Normal() ([]byte, error) {
	tree, err := parseTree(f.name, f.src) // the tree is changed, so it gets one of its own
	if err != nil {
		return nil, err
	}
	return printNormal(f.name, tree)
}

func printNormal(name string, tree *syntax.File) ([]byte, error) {
	syntax.Simplify(tree)
	flatten(tree)
	return printTree(syntax.NewPrinter(syntax.Minify(true)), name, tree)
}

// printTree prints code. The printer lays text out in columns with text/tabwriter, to which a vertical tab and a form feed
// mean something; they would be lost.
func printTree(printer *syntax.Printer, name string, node syntax.Node) ([]byte, error) {
	lost := 0
	syntax.Walk(node, func(n syntax.Node) bool {
		value := ""
		switch n := n.(type) {
		case *syntax.Lit:
			value = n.Value
		case *syntax.SglQuoted:
			value = n.Value
		}
		if lost == 0 && strings.ContainsAny(value, "\v\f") {
			lost = max(1, int(n.Pos().Line()))
		}
		return true
	})
	if lost > 0 {
		return nil, &Error{File: name, Line: lost, Message: "contains a vertical tab or a form feed, which cannot be printed again; remove it"}
	}
	var out bytes.Buffer
	if err := printer.Print(&out, node); err != nil {
		return nil, &Error{File: name, Message: "cannot be laid out: " + err.Error()}
	}
	return out.Bytes(), nil
}

var (
	posType      = reflect.TypeFor[syntax.Pos]()
	commentsType = reflect.TypeFor[[]syntax.Comment]()
)

// flatten puts the whole tree on one line and drops its comments. The printer breaks lines where the source does, which
// it tells by the positions of the nodes; whether a position is there at all means something, so that is kept.
func flatten(tree *syntax.File) {
	here := reflect.ValueOf(syntax.NewPos(0, 1, 1))
	syntax.Walk(tree, func(node syntax.Node) bool {
		v := reflect.ValueOf(node)
		if node == nil || v.Kind() != reflect.Pointer {
			return node != nil
		}
		v = v.Elem()
		for i := range v.NumField() {
			switch field := v.Field(i); field.Type() {
			case posType:
				if field.Interface().(syntax.Pos).IsValid() {
					field.Set(here)
				}
			case commentsType:
				field.SetZero()
			}
		}
		return true
	})
}
