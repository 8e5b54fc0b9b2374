package pkgbuild

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// call runs a simple command: assignments, a builtin that matters, or a function of the file. Any other program is
// taken to have run with an unknown exit status.
func (e *evaluator) call(cmd *syntax.CallExpr) flow {
	if len(cmd.Args) == 0 {
		e.status = status{ok: true}
		for _, a := range cmd.Assigns {
			e.assign(a, a.Name.Value)
		}
		return flowNext
	}
	name, err := e.commandName(cmd)
	if err != nil {
		e.lose(e.asDynamic(err))
		return flowNext
	}
	if fn := e.funcs[name]; fn != nil {
		e.status = status{ok: true}
		return e.callFunction(cmd, name, fn)
	}
	return e.builtin(cmd, name, cmd.Args[1:])
}

func (e *evaluator) commandName(cmd *syntax.CallExpr) (string, error) {
	fields, err := e.fields(cmd.Args[0])
	if err != nil {
		return "", err
	}
	if len(fields) != 1 {
		return "", e.dynamic(cmd, "a command whose name is made by an expansion")
	}
	return fields[0], nil
}

func (e *evaluator) builtin(cmd *syntax.CallExpr, name string, args []*syntax.Word) flow {
	before := e.status
	e.status = status{ok: true}
	switch name {
	case ":", "true", "echo":
		e.expandAll(args)
		return flowNext
	case "false":
		e.expandAll(args)
		e.status.ok = false
		return flowNext
	case "test", "[":
		e.setStatus(e.testCommand(cmd, name, args))
		return flowNext
	case "return", "exit":
		e.status = before
		e.setReturnStatus(args)
		if name == "exit" {
			return flowExit
		}
		return flowReturn
	case "break", "continue":
		if len(args) > 0 {
			break
		}
		switch {
		case e.loops == 0: // bash complains and goes on
			return flowNext
		case name == "break":
			return flowBreak
		}
		return flowContinue
	case "unset":
		e.unsetNames(args)
		return flowNext
	case "eval":
		return e.eval(cmd, args)
	case "printf":
		e.expandAll(args)
		if len(args) == 0 || literalWord(args[0]) != "-v" {
			return flowNext
		}
	case "command", "builtin":
		if len(args) > 0 && !strings.HasPrefix(literalWord(args[0]), "-") {
			return e.builtin(cmd, literalWord(args[0]), args[1:])
		}
		if len(args) > 0 && name == "command" { // -v, -V: only asks
			e.status = status{dyn: e.dynamic(cmd, "which programs exist")}
			return flowNext
		}
	case "shopt", "set":
		if e.harmlessOption(args) {
			return flowNext
		}
	}
	e.other(cmd, name, args)
	return flowNext
}

// other handles commands that are not followed: programs, and builtins that assign what cannot be known.
func (e *evaluator) other(cmd *syntax.CallExpr, name string, args []*syntax.Word) {
	why := e.dynamic(cmd, "the command "+e.text.short(cmd))
	if effectOf(name) == effectNone {
		e.expandAll(args)
	} else {
		e.maybe(why, cmd)
	}
	e.status = status{dyn: why}
}

// harmlessOption knows the shell options that change nothing here: extended patterns are dynamic anyway.
func (e *evaluator) harmlessOption(args []*syntax.Word) bool {
	if len(args) == 1 {
		switch literalWord(args[0]) {
		case "-u", "+u", "-e", "+e", "-eu": // what they stop does not build at all
			return true
		}
	}
	if len(args) < 2 {
		return false
	}
	for _, arg := range args[1:] {
		switch literalWord(arg) {
		case "extglob", "nullglob", "dotglob", "globstar", "failglob", "nocaseglob", "pipefail":
		default:
			return false
		}
	}
	switch literalWord(args[0]) {
	case "-s", "-u", "-q", "-o", "+o":
		return true
	}
	return false
}

// expandAll expands words for what the expansion assigns (${x:=y}, $((i++))).
func (e *evaluator) expandAll(words []*syntax.Word) {
	for _, word := range words {
		if _, ok := literal(word); !ok {
			_, _ = e.fields(word) // what is dynamic has been noted
		}
	}
}

func (e *evaluator) setReturnStatus(args []*syntax.Word) {
	if len(args) == 0 || e.text.of(args[0]) == "$?" {
		return
	}
	value, err := e.scalar(args[0])
	e.setStatus(value == "0", err)
}

func (e *evaluator) unsetNames(args []*syntax.Word) {
	functions := false
	for _, arg := range args {
		fields, err := e.fields(arg)
		if err != nil {
			e.lose(e.asDynamic(err))
			return
		}
		for _, name := range fields {
			switch base, _, indexed := strings.Cut(name, "["); {
			case name == "-f":
				functions = true
			case name == "-v":
			case name == "-n":
				e.lose(e.dynamic(arg, "a reference that is unset"))
			case indexed:
				e.makeDynamic(base, e.dynamic(arg, "an array element that is unset"))
			case functions || e.vars[name] == nil && e.funcs[name] != nil:
				e.unsetFunction(name)
			default:
				e.unset(name)
			}
		}
	}
}

func (e *evaluator) unsetFunction(name string) {
	if why := e.unsure(); why != nil {
		e.funcs[name] = &function{dyn: why}
		return
	}
	delete(e.funcs, name)
}

func (e *evaluator) callFunction(cmd *syntax.CallExpr, name string, fn *function) flow {
	if fn.dyn != nil || fn.decl == nil || len(cmd.Assigns) > 0 || e.calls >= maxCalls {
		e.lose(e.dynamic(cmd, "what the function "+name+" does"))
		return flowNext
	}
	args := []string{}
	for _, arg := range cmd.Args[1:] {
		fields, err := e.fields(arg)
		if err != nil {
			args = nil
			break
		}
		args = append(args, fields...)
	}
	outerText, outerFunc, outerLoop, outerLoops := e.text, e.uncertainFunc, e.uncertainLoop, e.loops
	e.loops = 0
	e.text = fn.text
	e.calls++
	e.frames = append(e.frames, &frame{name: name, args: args, saved: map[string]*variable{}})
	f := e.stmt(fn.decl.Body)
	e.popFrame()
	e.calls--
	e.text, e.uncertainFunc, e.uncertainLoop, e.loops = outerText, outerFunc, outerLoop, outerLoops
	if f == flowExit {
		return flowExit
	}
	return flowNext
}

// eval reads its arguments as code. Code that is known is followed like any other.
func (e *evaluator) eval(cmd *syntax.CallExpr, args []*syntax.Word) flow {
	why := e.dynamic(cmd, "code that is evaluated")
	var parts []string
	outer := e.inEval
	for _, arg := range args {
		e.inEval = true
		fields, err := e.fields(arg)
		e.inEval = outer
		if err != nil {
			why.Reason += ", which needs " + e.asDynamic(err).Reason
			e.lose(why)
			return flowNext
		}
		parts = append(parts, fields...)
	}
	code := []byte(strings.Join(parts, " "))
	tree, err := parseTree("eval", code)
	if err != nil || e.calls >= maxCalls || checkBytes("eval", code) != nil || !e.spend(8*len(code)) {
		e.lose(why)
		return flowNext
	}
	outerText := e.text
	e.text = text{src: code, line: e.text.lineOf(cmd)}
	e.calls++
	f := e.stmts(tree.Stmts)
	e.calls--
	e.text = outerText
	return f
}

// functionText answers $(declare -f name) in the arguments of eval. It is not what bash prints byte for byte, but the same code.
func (e *evaluator) functionText(subst *syntax.CmdSubst) (string, bool) {
	if !e.inEval || len(subst.Stmts) != 1 || len(subst.Stmts[0].Redirs) > 0 || subst.Stmts[0].Negated {
		return "", false
	}
	decl, ok := subst.Stmts[0].Cmd.(*syntax.DeclClause)
	if !ok || len(decl.Args) != 2 || decl.Variant.Value != "declare" && decl.Variant.Value != "typeset" {
		return "", false
	}
	if decl.Args[0].Value == nil || decl.Args[0].Value.Lit() != "-f" {
		return "", false
	}
	name, err := e.declaredName(decl.Args[1])
	fn := e.funcs[name]
	if err != nil || fn == nil || fn.dyn != nil || fn.decl == nil {
		return "", false
	}
	out, err := printTree(syntax.NewPrinter(), name, fn.decl)
	if err != nil {
		return "", false
	}
	return strings.TrimRight(string(out), "\n"), true
}

func (e *evaluator) declaredName(arg *syntax.Assign) (string, error) {
	if arg.Name != nil {
		return arg.Name.Value, nil
	}
	return e.scalar(arg.Value)
}

func shorten(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 60 {
		return string(slices.Concat(r[:57], []rune("…")))
	}
	return s
}
