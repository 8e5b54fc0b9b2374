package pkgbuild

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

func (e *evaluator) stmts(list []*syntax.Stmt) flow {
	for _, s := range list {
		if f := e.stmt(s); f != flowNext {
			return f
		}
	}
	return flowNext
}

func (e *evaluator) stmt(s *syntax.Stmt) flow {
	if !e.spend(statementCost) {
		return flowExit
	}
	if s.Background || s.Coprocess { // runs in a process of its own
		e.status = status{ok: true}
		return flowNext
	}
	if why := e.riskyRedirect(s); why != nil {
		e.maybe(why, s.Cmd)
		e.status = status{dyn: why}
		return flowNext
	}
	if s.Cmd == nil {
		return flowNext
	}
	f := e.command(s.Cmd)
	if s.Negated && e.status.dyn == nil {
		e.status.ok = !e.status.ok
	}
	return f
}

// riskyRedirect says why a redirection may keep the command from running or assign a variable. Writing to /dev/null or another descriptor is harmless.
func (e *evaluator) riskyRedirect(s *syntax.Stmt) *Dynamic {
	for _, r := range s.Redirs {
		if r.N != nil && strings.HasPrefix(r.N.Value, "{") {
			e.makeDynamic(strings.Trim(r.N.Value, "{}"), e.dynamic(r, "a file descriptor"))
		}
		switch r.Op {
		case syntax.Hdoc, syntax.DashHdoc, syntax.WordHdoc:
			e.maybe(e.dynamic(r, "a here-document"), r)
		case syntax.DplOut, syntax.DplIn:
		default:
			if lit := r.Word.Lit(); !strings.HasPrefix(lit, "/dev/") {
				return e.dynamic(r, "the redirection "+e.text.short(r))
			}
		}
	}
	return nil
}

func (e *evaluator) command(cmd syntax.Command) flow {
	switch cmd := cmd.(type) {
	case *syntax.CallExpr:
		return e.call(cmd)
	case *syntax.DeclClause:
		e.declare(cmd)
	case *syntax.FuncDecl:
		e.funcs[cmd.Name.Value] = &function{decl: cmd, text: e.text, dyn: e.unsure()}
		e.status = status{ok: true}
	case *syntax.Block:
		return e.stmts(cmd.Stmts)
	case *syntax.IfClause:
		return e.ifClause(cmd)
	case *syntax.CaseClause:
		return e.caseClause(cmd)
	case *syntax.ForClause:
		return e.forClause(cmd)
	case *syntax.WhileClause:
		return e.whileClause(cmd)
	case *syntax.BinaryCmd:
		return e.binary(cmd)
	case *syntax.TestClause:
		e.setStatus(e.test(cmd.X))
	case *syntax.ArithmCmd:
		e.arithStatus(cmd.X)
	case *syntax.LetClause:
		for _, x := range cmd.Exprs {
			e.arithStatus(x)
		}
	case *syntax.TimeClause:
		if cmd.Stmt != nil {
			return e.stmt(cmd.Stmt)
		}
	case *syntax.Subshell:
		e.status = status{dyn: e.dynamic(cmd, "the exit status of a subshell")}
	case *syntax.CoprocClause:
		e.maybe(e.dynamic(cmd, "a coprocess"), cmd)
	default:
		e.lose(e.dynamic(cmd, "a command that is not understood"))
	}
	return flowNext
}

func (e *evaluator) setStatus(ok bool, err error) {
	e.status = status{ok: ok, dyn: e.asDynamic(err)}
}

func (e *evaluator) asDynamic(err error) *Dynamic {
	if err == nil {
		return nil
	}
	return err.(*Dynamic) // expansion returns no other kind of error
}

func (e *evaluator) arithStatus(x syntax.ArithmExpr) {
	n, err := e.arith(x)
	if err != nil {
		e.maybe(e.asDynamic(err), x)
	}
	e.setStatus(n != 0, err)
}

func (e *evaluator) binary(cmd *syntax.BinaryCmd) flow {
	if cmd.Op != syntax.AndStmt && cmd.Op != syntax.OrStmt { // the parts of a pipeline run in processes of their own
		e.status = status{dyn: e.dynamic(cmd, "the exit status of a pipeline")}
		return flowNext
	}
	if f := e.stmt(cmd.X); f != flowNext {
		return f
	}
	if why := e.status.dyn; why != nil {
		e.maybe(why, cmd.Y)
		e.status = status{dyn: why}
		return flowNext
	}
	if e.status.ok == (cmd.Op == syntax.AndStmt) {
		return e.stmt(cmd.Y)
	}
	return flowNext
}

func (e *evaluator) ifClause(cmd *syntax.IfClause) flow {
	for c := cmd; c != nil; c = c.Else {
		if len(c.Cond) > 0 {
			if f := e.stmts(c.Cond); f != flowNext {
				return f
			}
			if why := e.status.dyn; why != nil {
				e.maybeStmts(why, c.Then)
				if c.Else != nil {
					e.maybe(why, c.Else)
				}
				e.status = status{dyn: why}
				return flowNext
			}
			if !e.status.ok {
				continue
			}
		}
		return e.stmts(c.Then)
	}
	e.status = status{ok: true}
	return flowNext
}

func (e *evaluator) caseClause(cmd *syntax.CaseClause) flow {
	subject, err := e.scalar(cmd.Word)
	if err != nil {
		return e.maybeCase(e.asDynamic(err), cmd.Items)
	}
	through := false // the case before ends in ;&
	for i, it := range cmd.Items {
		matched := through
		if !matched {
			if matched, err = e.matchesAny(subject, it.Patterns); err != nil {
				return e.maybeCase(e.asDynamic(err), cmd.Items[i:])
			}
		}
		if !matched {
			continue
		}
		if len(it.Stmts) == 0 {
			e.status = status{ok: true}
		}
		if f := e.stmts(it.Stmts); f != flowNext || it.Op == syntax.Break {
			return f
		}
		through = it.Op == syntax.Fallthrough
	}
	e.status = status{dyn: e.dynamic(cmd, "the exit status of a case without a match")}
	return flowNext
}

func (e *evaluator) matchesAny(subject string, patterns []*syntax.Word) (bool, error) {
	for _, word := range patterns {
		if matched, err := e.matches(subject, word); matched || err != nil {
			return matched, err
		}
	}
	return false, nil
}

func (e *evaluator) maybeCase(why *Dynamic, items []*syntax.CaseItem) flow {
	for _, it := range items {
		e.maybeStmts(why, it.Stmts)
	}
	e.status = status{dyn: why}
	return flowNext
}

func (e *evaluator) forClause(cmd *syntax.ForClause) flow {
	words, isWords := cmd.Loop.(*syntax.WordIter)
	if !isWords || cmd.Select || !words.InPos.IsValid() {
		why := e.dynamic(cmd, "a loop that counts, selects or reads the arguments")
		e.maybe(why, cmd)
		e.status = status{dyn: why}
		return flowNext
	}
	var values []string
	for _, word := range words.Items {
		fields, err := e.fields(word)
		if err != nil {
			e.maybe(e.asDynamic(err), cmd)
			e.status = status{dyn: e.asDynamic(err)}
			return flowNext
		}
		values = append(values, fields...)
	}
	return e.loop(func(i int) (bool, flow) {
		if i >= len(values) {
			return false, flowNext
		}
		e.setScalar(words, words.Name.Value, values[i])
		return true, flowNext
	}, cmd.Do)
}

func (e *evaluator) whileClause(cmd *syntax.WhileClause) flow {
	defer func() { e.status = status{dyn: e.dynamic(cmd, "the exit status of a loop")} }()
	return e.loop(func(int) (bool, flow) {
		f := e.stmts(cmd.Cond)
		if why := e.status.dyn; why != nil {
			e.maybe(why, cmd)
			return false, f
		}
		return e.status.ok != cmd.Until, f
	}, cmd.Do)
}

// loop runs the body as long as more says so. A break or continue that is only maybe reached makes everything dynamic up to the end of the loop.
func (e *evaluator) loop(more func(i int) (bool, flow), body []*syntax.Stmt) flow {
	outer := e.uncertainLoop
	e.loops++
	defer func() {
		e.uncertainLoop = outer
		e.loops--
	}()
	for i := 0; e.spend(1); i++ {
		again, f := more(i)
		if f == flowReturn || f == flowExit {
			return f
		}
		if !again || f == flowBreak {
			return flowNext
		}
		switch f := e.stmts(body); f {
		case flowBreak:
			return flowNext
		case flowReturn, flowExit:
			return f
		}
	}
	return flowExit
}
