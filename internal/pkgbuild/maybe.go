package pkgbuild

import (
	"reflect"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// maybe records that nodes may or may not have run: every variable they could assign becomes dynamic.
func (e *evaluator) maybe(why *Dynamic, nodes ...syntax.Node) {
	m := &maybeWalk{e: e, why: why, seen: map[*syntax.FuncDecl]bool{}}
	for _, node := range nodes {
		if node != nil && !reflect.ValueOf(node).IsNil() {
			m.walk(node)
		}
	}
}

func (e *evaluator) maybeStmts(why *Dynamic, stmts []*syntax.Stmt) {
	for _, s := range stmts {
		e.maybe(why, s)
	}
}

type maybeWalk struct {
	e    *evaluator
	why  *Dynamic
	seen map[*syntax.FuncDecl]bool
	loop int // loops entered: a break inside does not leave the loop outside
	deep int // functions entered: neither does a return
}

func (m *maybeWalk) walk(node syntax.Node) {
	syntax.Walk(node, m.visit)
}

func (m *maybeWalk) mark(name string) { m.e.makeDynamic(name, m.why) }

func (m *maybeWalk) visit(node syntax.Node) bool {
	if node == nil || !m.e.spend(1) {
		return false
	}
	switch node := node.(type) {
	case *syntax.Subshell, *syntax.CmdSubst, *syntax.ProcSubst:
		return false
	case *syntax.FuncDecl:
		m.e.funcs[node.Name.Value] = &function{decl: node, text: m.e.text, dyn: m.why}
		return false
	case *syntax.Assign:
		if node.Name != nil {
			m.assign(node)
		}
	case *syntax.ParamExp:
		if node.Exp != nil && (node.Exp.Op == syntax.AssignUnset || node.Exp.Op == syntax.AssignUnsetOrNull) {
			m.mark(node.Param.Value)
		}
	case *syntax.BinaryArithm, *syntax.UnaryArithm:
		m.arith(node)
	case *syntax.ForClause:
		if words, ok := node.Loop.(*syntax.WordIter); ok {
			m.mark(words.Name.Value)
		}
		return m.inLoop(node.Do, node.Loop)
	case *syntax.WhileClause:
		return m.inLoop(append(append([]*syntax.Stmt{}, node.Cond...), node.Do...), nil)
	case *syntax.CoprocClause:
		m.mark("COPROC")
		return false
	case *syntax.DeclClause:
		m.declare(node)
	case *syntax.CallExpr:
		m.call(node)
	}
	return true
}

func (m *maybeWalk) assign(a *syntax.Assign) {
	old := m.e.vars[a.Name.Value]
	m.mark(a.Name.Value)
	switch v := m.e.vars[a.Name.Value]; {
	case a.Array != nil || a.Index != nil: // a later name=x would assign one element only
		v.kind = Array
	case old == nil:
		v.kind = Scalar
	}
}

func (m *maybeWalk) inLoop(body []*syntax.Stmt, loop syntax.Node) bool {
	m.loop++
	defer func() { m.loop-- }()
	if loop != nil {
		m.walk(loop)
	}
	for _, s := range body {
		m.walk(s)
	}
	return false
}

func (m *maybeWalk) arith(node syntax.Node) {
	var target syntax.ArithmExpr
	switch node := node.(type) {
	case *syntax.BinaryArithm:
		if assigns(node.Op) {
			target = node.X
		}
	case *syntax.UnaryArithm:
		if node.Op == syntax.Inc || node.Op == syntax.Dec {
			target = node.X
		}
	}
	if target != nil {
		if name := arithName(target); name != "" {
			m.mark(name)
		} else {
			m.e.lose(m.why)
		}
	}
}

// declare handles the words of declare, export… that are no assignments: options, names, and expansions.
func (m *maybeWalk) declare(node *syntax.DeclClause) {
	for _, arg := range node.Args {
		if arg.Name == nil && (arg.Value == nil || arg.Value.Lit() == "") {
			m.e.lose(m.why)
		}
		if arg.Name != nil && m.deep == 0 && node.Variant.Value != "export" {
			m.mark(arg.Name.Value) // it may be a local variable from here on, or have attributes
			m.e.vars[arg.Name.Value].special = "maybe declared"
		}
		if arg.Name != nil && node.Variant.Value != "export" {
			m.e.loseShadowed(arg.Name.Value, m.why) // declare -g reaches behind a local variable
		}
	}
}

func (m *maybeWalk) call(node *syntax.CallExpr) {
	if len(node.Args) == 0 {
		return
	}
	name := literalWord(node.Args[0])
	if fn := m.e.funcs[name]; fn != nil {
		m.function(fn)
		return
	}
	switch effectOf(name) {
	case effectNone:
	case effectNames:
		for _, arg := range node.Args[1:] {
			lit := literalWord(arg)
			lit, _, _ = strings.Cut(lit, "[")
			if syntax.ValidName(lit) {
				m.mark(lit)
			} else if lit == "" {
				m.e.lose(m.why)
			}
		}
	case effectReturn:
		if m.deep == 0 {
			m.e.uncertainFunc = m.why
		}
	case effectBreak:
		if m.loop == 0 {
			m.e.uncertainLoop = m.why
		}
	default:
		m.e.lose(m.why)
	}
}

func (m *maybeWalk) function(fn *function) {
	if fn.decl == nil || fn.dyn != nil {
		m.e.lose(m.why)
		return
	}
	if m.seen[fn.decl] {
		return
	}
	m.seen[fn.decl] = true
	m.deep++
	loop := m.loop
	m.loop = 1
	m.walk(fn.decl.Body)
	m.loop = loop
	m.deep--
}

// effect is what a command can do to the variables of the shell that runs it.
type effect uint8

const (
	effectAnything effect = iota
	effectNone            // a program, or a builtin without effect on variables
	effectNames           // assigns the variables whose names are among its arguments
	effectReturn
	effectBreak
)

// effectOf classifies a command by its name; the empty name is one that is not literal. Every program and every function of makepkg that
// only prints has no effect; the builtins and functions that evaluate code or assign variables are listed.
func effectOf(name string) effect {
	switch name {
	case "", "eval", "source", ".", "trap", "enable", "alias", "shopt", "set", "shift", "builtin", "command", "exec", "fc",
		"declare", "typeset", "local", "export", "readonly", "let", "coproc",
		// functions of makepkg and its library that evaluate or source
		"array_build", "extract_global_variable", "extract_function_variable", "get_pkgbuild_attribute", "exists_function_variable",
		"get_pkgbuild_all_split_attributes", "get_all_sources", "get_all_sources_for_arch", "merge_arch_attrs", "parseopts",
		"source_safe", "source_buildfile", "source_makepkg_config", "load_makepkg_config", "run_function", "run_function_safe", "update_pkgver":
		return effectAnything
	case "unset", "read", "mapfile", "readarray", "getopts", "printf", "wait":
		return effectNames
	case "return":
		return effectReturn
	case "break", "continue":
		return effectBreak
	}
	return effectNone
}

// literalWord returns the text of a word without expansions, quotes removed; empty when there are any.
func literalWord(word *syntax.Word) string {
	value, ok := literal(word)
	if !ok {
		return ""
	}
	return value
}
