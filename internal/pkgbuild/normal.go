package pkgbuild

import (
	"bytes"
	"fmt"

	"mvdan.cc/sh/v3/syntax"
)

// Normal returns a form of the file for comparing: without comments, with one layout and with redundant syntax
// removed (shfmt's minify and simplify). Two files with the same normal form run the same commands. Quotes and names are kept as they are.
func (f *File) Normal() ([]byte, error) {
	tree, err := parseTree(f.name, f.src) // Simplify changes the tree, so it gets one of its own
	if err != nil {
		return nil, err
	}
	return printNormal(f.name, tree)
}

func printNormal(name string, tree *syntax.File) ([]byte, error) {
	syntax.Simplify(tree)
	var out bytes.Buffer
	if err := syntax.NewPrinter(syntax.Minify(true)).Print(&out, tree); err != nil {
		return nil, fmt.Errorf("print the normal form of %s: %w", name, err)
	}
	return out.Bytes(), nil
}
