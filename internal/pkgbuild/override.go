package pkgbuild

import (
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Override returns the value that makepkg takes for a variable of one package of the file: that of the last assignment in
// package_NAME(), else in package(), the global value for what these leave alone. Conditions inside the function are not looked at: makepkg
// does not run the function for this, it picks out the lines that assign the variable.
func (s *Static) Override(pkgname, key string) (v Value, own bool) {
	array, work := true, maxWork
	for _, scalar := range baseScalars() {
		array = array && key != scalar
	}
	if v, own = s.overridesOf(pkgname, "", map[*function]*body{}).value(key, array, &work); own {
		return v, true
	}
	return s.Get(key), false
}

// overrides are the lines of a package function that makepkg evaluates when it looks for a variable.
type overrides struct {
	static   *Static
	pkgname  string
	base     string
	funcName string
	fn       *function
	body     *body
}

// body is what there is to find in a package function. Packages without a function of their own share that of package().
type body struct {
	fn    *function
	lines map[string][]*syntax.Stmt // by the variable: assignments that begin a line in the output of declare -f, in order
	traps []overrideTrap
	size  int // bytes of all traps
}

// overrideTrap is text in the function, not code, that may look like an assignment to makepkg's search.
type overrideTrap struct {
	node syntax.Node
	text string
}

func (s *Static) overridesOf(pkgname, base string, known map[*function]*body) *overrides {
	o := &overrides{static: s, pkgname: pkgname, base: base, funcName: "package_" + pkgname}
	o.fn = s.end.funcs[o.funcName]
	if o.fn == nil {
		o.funcName = "package"
		o.fn = s.end.funcs[o.funcName]
	}
	if o.fn == nil || o.fn.decl == nil {
		return o
	}
	if o.body = known[o.fn]; o.body == nil {
		o.body = newBody(o.fn)
		known[o.fn] = o.body
	}
	return o
}

func newBody(fn *function) *body {
	b := &body{fn: fn, lines: map[string][]*syntax.Stmt{}}
	var lines []*syntax.Stmt
	b.collect(fn.decl.Body, &lines)
	slices.SortStableFunc(lines, func(a, b *syntax.Stmt) int { return int(a.Pos().Offset()) - int(b.Pos().Offset()) })
	for _, stmt := range lines {
		if call, ok := stmt.Cmd.(*syntax.CallExpr); ok && len(call.Assigns) > 0 && !stmt.Negated && call.Assigns[0].Index == nil {
			key := call.Assigns[0].Name.Value
			b.lines[key] = append(b.lines[key], stmt)
		}
	}
	return b
}

// collect finds the statements that declare -f prints at the start of a line: those of lists, but not what follows && or
// stands first in a subshell.
func (b *body) collect(root *syntax.Stmt, lines *[]*syntax.Stmt) {
	syntax.Walk(root, func(node syntax.Node) bool {
		switch node := node.(type) {
		case *syntax.Block:
			*lines = append(*lines, node.Stmts...)
		case *syntax.IfClause:
			*lines = append(*lines, node.Then...)
			*lines = append(*lines, after(node.Cond)...)
		case *syntax.WhileClause:
			*lines = append(*lines, node.Do...)
			*lines = append(*lines, after(node.Cond)...)
		case *syntax.ForClause:
			*lines = append(*lines, node.Do...)
		case *syntax.CaseItem:
			*lines = append(*lines, node.Stmts...)
		case *syntax.Subshell:
			*lines = append(*lines, after(node.Stmts)...)
		case *syntax.SglQuoted:
			b.trap(node, node.Value)
		case *syntax.DblQuoted:
			b.trap(node, b.fn.text.of(node))
		case *syntax.CmdSubst:
			b.trap(node, b.fn.text.of(node))
			return false
		case *syntax.Redirect:
			if node.Hdoc != nil {
				b.trap(node.Hdoc, "\n"+b.fn.text.of(node.Hdoc))
			}
		}
		return true
	})
}

func after(stmts []*syntax.Stmt) []*syntax.Stmt {
	if len(stmts) == 0 {
		return nil
	}
	return stmts[1:]
}

func (b *body) trap(node syntax.Node, text string) {
	if strings.Contains(text, "\n") {
		b.traps = append(b.traps, overrideTrap{node, text})
		b.size += len(text)
	}
}

// value evaluates the assignments to key one after the other, starting from the global value, as makepkg's get_pkgbuild_attribute does.
// It takes what that costs from work.
func (o *overrides) value(key string, array bool, work *int) (Value, bool) {
	*work--
	if o.body != nil && len(o.body.traps) > 0 {
		*work -= statementCost + o.body.size/4
	}
	if why := o.unknown(key, array); why != nil {
		return Value{Dynamic: why}, true
	}
	if o.body == nil {
		return Value{}, false
	}
	const out = "outvalue"
	var e *evaluator
	for _, stmt := range o.body.lines[key] {
		call := stmt.Cmd.(*syntax.CallExpr)          // the only kind that lines has
		if (call.Assigns[0].Array != nil) != array { // makepkg's search takes name=( for arrays, name= with anything else for scalars
			continue
		}
		if e == nil {
			e = o.begin(key, array, out)
			e.work = *work - (len(e.vars)+len(e.funcs))/16
		}
		if len(call.Assigns) > 1 || len(call.Args) > 0 || len(stmt.Redirs) > 0 || stmt.Background || multiline(call.Assigns[0]) {
			return Value{Dynamic: e.dynamic(stmt, "a line that does more than assign it")}, true
		}
		e.assign(call.Assigns[0], out)
	}
	if e == nil {
		return Value{}, false
	}
	*work = e.work
	v := e.vars[out].value(key)
	if !array && v.Dynamic == nil {
		v.Items = []string{e.vars[out].str}
	}
	return v, true
}

// multiline reports whether an assignment takes more than one line when bash prints it: makepkg reads only the first.
func multiline(a *syntax.Assign) bool {
	found := false
	syntax.Walk(a, func(node syntax.Node) bool {
		switch node := node.(type) {
		case *syntax.SglQuoted:
			found = found || strings.Contains(node.Value, "\n")
		case *syntax.DblQuoted:
			for _, part := range node.Parts {
				if lit, ok := part.(*syntax.Lit); ok {
					found = found || strings.Contains(lit.Value, "\n")
				}
			}
		}
		return true
	})
	return found
}

// begin prepares the variables that exist when makepkg evaluates a line of a package function.
func (o *overrides) begin(key string, array bool, out string) *evaluator {
	e := o.static.fork()
	e.text = o.fn.text
	e.vars["pkgname"] = &variable{kind: Scalar, str: o.pkgname}
	if v, _ := e.vars["pkgbase"].first(); v == "" && o.base != "" {
		e.vars["pkgbase"] = &variable{kind: Scalar, str: o.base}
	}
	delete(e.vars, out)
	global := o.static.end.vars[key]
	switch {
	case global != nil && global.dyn != nil:
		e.vars[out] = global
	case array:
		e.vars[out] = &variable{kind: Array, list: global.asList()}
	default:
		value, _ := global.first()
		e.vars[out] = &variable{kind: Scalar, str: value}
	}
	return e
}

// unknown says why it cannot be told what the function assigns.
func (o *overrides) unknown(key string, array bool) *Dynamic {
	if why := o.static.end.lost; why != nil {
		return why
	}
	if o.fn == nil {
		return nil
	}
	if o.fn.dyn != nil {
		return o.fn.dyn
	}
	if o.body == nil || len(o.body.traps) == 0 {
		return nil
	}
	end := `\+?=[^(]`
	if array {
		end = `\+?=\(`
	}
	search := regexp.MustCompile(`\n[ \t]* ` + regexp.QuoteMeta(key) + end)
	for _, trap := range o.body.traps {
		if search.MatchString(trap.text) {
			return &Dynamic{Line: o.fn.text.lineOf(trap.node), Reason: "text over several lines that makepkg takes for an assignment"}
		}
	}
	return nil
}
