package pkgbuild

import "mvdan.cc/sh/v3/syntax"

// regroup corrects the one known place where the parser groups commands in another way than bash: it takes all of `{ …; } && g`
// for the body of f in `f() { …; } && g`. In bash the function is defined first and then g runs, at top level; who
// reads the tree must see that.
func regroup(tree *syntax.File) {
	syntax.Walk(tree, func(node syntax.Node) bool {
		if stmt, ok := node.(*syntax.Stmt); ok {
			regroupStmt(stmt)
		}
		return true
	})
}

func regroupStmt(stmt *syntax.Stmt) {
	fn, ok := stmt.Cmd.(*syntax.FuncDecl)
	if !ok {
		return
	}
	chain, ok := fn.Body.Cmd.(*syntax.BinaryCmd)
	if !ok {
		return
	}
	whole := fn.Body
	first := chain // the innermost command on the left, whose left side is the body
	for {
		inner, ok := first.X.Cmd.(*syntax.BinaryCmd)
		if !ok {
			break
		}
		first.X.Position = stmt.Position
		first = inner
	}
	body := first.X
	first.X = &syntax.Stmt{Cmd: fn, Position: stmt.Position, Negated: stmt.Negated}
	fn.Body = body
	stmt.Cmd, stmt.Negated = chain, whole.Negated
	stmt.Background = stmt.Background || whole.Background
	stmt.Redirs = append(stmt.Redirs, whole.Redirs...)
	stmt.Comments = append(stmt.Comments, whole.Comments...)
}
