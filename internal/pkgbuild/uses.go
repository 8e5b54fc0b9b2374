package pkgbuild

import (
	"maps"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// uses says which variables and functions, written name(), may take part in the value of a variable. It errs on the side of
// too many: all that a statement of the top level, or of a function, reads takes part in all that it assigns.
type uses struct {
	units   []*unit
	known   map[string]bool    // the file's own functions
	writers map[string][]*unit // by what they assign
	unknown bool               // code is made at run time, or a return may skip some: anything may depend on anything
}

func usesOf(tree *syntax.File) uses {
	u := uses{writers: map[string][]*unit{}, known: map[string]bool{}}
	syntax.Walk(tree, func(node syntax.Node) bool {
		if fn, ok := node.(*syntax.FuncDecl); ok {
			u.known[fn.Name.Value] = true
		}
		return true
	})
	u.statements(tree.Stmts, "")
	return u
}

// dependents lists the variables and functions that may depend on those named, these included.
func (u *uses) dependents(todo []string) map[string]bool {
	readers := map[string][]*unit{}
	for _, one := range u.units {
		for read := range one.reads {
			readers[read] = append(readers[read], one)
		}
	}
	found, done := map[string]bool{}, map[*unit]bool{}
	for len(todo) > 0 {
		name := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if found[name] {
			continue
		}
		found[name] = true
		for _, one := range readers[name] {
			if !done[one] {
				done[one] = true
				todo = append(todo, one.writes()...)
			}
		}
	}
	return found
}

// statements notes the statements of the top level, or of a function. makepkg does not run the package functions when it
// reads a PKGBUILD, but it looks for assignments in them.
func (u *uses) statements(list []*syntax.Stmt, function string) {
	for _, stmt := range list {
		if fn, ok := stmt.Cmd.(*syntax.FuncDecl); ok {
			u.function(fn)
			continue
		}
		one := newUnit(u.known)
		one.add(stmt)
		for _, fn := range one.functions {
			u.function(fn)
		}
		u.unknown = u.unknown || function == "" && (one.unknown || one.returns)
		if function != "" && !isPackageFunction(function) {
			one.reads[function+"()"] = true // an earlier return may skip it
		}
		if function != "" {
			one.other[function+"()"] = true
		}
		u.units = append(u.units, one)
		for _, name := range one.writes() {
			u.writers[name] = append(u.writers[name], one)
		}
	}
}

func (u *uses) function(fn *syntax.FuncDecl) {
	body := []*syntax.Stmt{fn.Body}
	if block, ok := fn.Body.Cmd.(*syntax.Block); ok && len(fn.Body.Redirs) == 0 {
		body = block.Stmts
	}
	u.statements(body, fn.Name.Value)
}

func isPackageFunction(name string) bool {
	return name == "package" || strings.HasPrefix(name, "package_")
}

// unit is what one statement or word does.
type unit struct {
	known     map[string]bool
	reads     map[string]bool
	assigns   map[string][]*syntax.Assign
	other     map[string]bool // what it assigns in another way
	functions []*syntax.FuncDecl
	unknown   bool
	returns   bool
}

// writes lists all that the statement may assign.
func (u *unit) writes() []string {
	names := slices.Collect(maps.Keys(u.other))
	for name := range u.assigns {
		if !u.other[name] {
			names = append(names, name)
		}
	}
	return names
}

func newUnit(known map[string]bool) *unit {
	return &unit{known: known, reads: map[string]bool{}, assigns: map[string][]*syntax.Assign{}, other: map[string]bool{}}
}

func (u *unit) add(node syntax.Node) {
	syntax.Walk(node, func(node syntax.Node) bool {
		switch node := node.(type) {
		case *syntax.FuncDecl:
			u.functions = append(u.functions, node)
			return false
		case *syntax.ParamExp:
			u.reads[node.Param.Value] = true
			if node.Exp != nil && isDefault(node.Exp.Op) {
				u.other[node.Param.Value] = true
			}
			u.unknown = u.unknown || node.Excl && node.Index == nil
			u.names(node.Index)
			if node.Slice != nil {
				u.names(node.Slice.Offset, node.Slice.Length)
			}
		case *syntax.Assign:
			if node.Name != nil {
				u.assigns[node.Name.Value] = append(u.assigns[node.Name.Value], node)
				u.names(node.Index)
			}
		case *syntax.WordIter:
			u.other[node.Name.Value] = true
		case *syntax.CallExpr:
			u.call(node)
		case *syntax.BinaryArithm:
			u.names(node.X, node.Y)
		case *syntax.UnaryArithm:
			u.names(node.X)
		case *syntax.ArithmExp:
			u.names(node.X)
		case *syntax.ArithmCmd:
			u.names(node.X)
		case *syntax.ParenArithm:
			u.names(node.X)
		case *syntax.UnaryTest: // -v name
			u.names(node.X)
		}
		return true
	})
}

// names notes the variables that words name without a $, as in arithmetic.
func (u *unit) names(nodes ...syntax.Node) {
	for _, node := range nodes {
		if word, ok := node.(*syntax.Word); ok && word != nil {
			if name := literalWord(word); syntax.ValidName(name) {
				u.reads[name], u.other[name] = true, true
			}
		}
	}
}

func (u *unit) call(node *syntax.CallExpr) {
	if len(node.Args) == 0 {
		return
	}
	name := literalWord(node.Args[0])
	// read, unset, printf -v… may assign the variables that they are given the names of
	prints := name == "printf" && len(node.Args) > 1 && node.Args[1].Lit() != "-v"
	if !prints && effectOf(name) != effectNone || u.known[name] {
		for _, arg := range node.Args[1:] {
			u.names(arg)
		}
	}
	switch name {
	case "eval", "source", ".", "":
		u.unknown = true
	case "return", "exit":
		u.returns = true
	default:
		if u.known[name] {
			u.reads[name+"()"] = true
			if len(node.Args) > 1 { // what it does depends on its arguments
				u.other[name+"()"] = true
			}
		}
	}
}
