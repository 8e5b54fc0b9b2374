package pkgbuild

import (
	"bytes"
	"fmt"
	"reflect"

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
	var out bytes.Buffer
	if err := syntax.NewPrinter(syntax.Minify(true)).Print(&out, tree); err != nil {
		return nil, fmt.Errorf("print the normal form of %s: %w", name, err)
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
