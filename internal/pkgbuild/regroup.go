package pkgbuild

import (
	"bytes"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

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

// quoteTrap returns the line of text that bash and the parser read differently, else 0. In "${x:-'…'}" (and in here-documents) a single quote is a plain
// character to bash, but begins a string for the parser. With a brace or a quote in it, the two disagree on where the
// expansion ends, so that what looks like text to one of them is a command to the other.
func quoteTrap(tree *syntax.File) int {
	type state struct{ double, plain bool } // between double quotes; single quotes are plain characters
	stack := []state{{}}
	documents := map[*syntax.Word]bool{}
	line := 0
	syntax.Walk(tree, func(node syntax.Node) bool {
		if node == nil {
			stack = stack[:len(stack)-1]
			return true
		}
		now := stack[len(stack)-1]
		switch node := node.(type) {
		case *syntax.CmdSubst, *syntax.ProcSubst:
			now = state{}
		case *syntax.DblQuoted, *syntax.ArithmExp:
			now = state{double: true}
		case *syntax.Redirect:
			documents[node.Hdoc] = node.Hdoc != nil
		case *syntax.Word:
			if documents[node] {
				now = state{double: true}
			}
		case *syntax.ParamExp:
			now.plain = now.double && node.Exp != nil && isDefault(node.Exp.Op)
		case *syntax.SglQuoted:
			if now.plain && !samePlain(node.Value) && line == 0 {
				line = max(1, int(node.Pos().Line()))
			}
		}
		stack = append(stack, now)
		return true
	})
	return line
}

// gluedArray returns the line of an array with something right behind it, as in x=(a)y=b, else 0: one string for bash, two assignments for the parser.
func gluedArray(tree *syntax.File, src []byte) int {
	line := 0
	syntax.Walk(tree, func(node syntax.Node) bool {
		a, ok := node.(*syntax.Assign)
		if !ok || a.Array == nil {
			return true
		}
		rest := src[min(len(src), int(a.Array.End().Offset())):]
		for bytes.HasPrefix(rest, []byte("\\\n")) {
			rest = rest[2:]
		}
		if len(rest) > 0 && strings.IndexByte(" \t\n;&|)<>`", rest[0]) < 0 && line == 0 {
			line = max(1, int(a.Pos().Line()))
		}
		return true
	})
	return line
}

// emptyBlock returns the line of a block without a command, which the parser takes and bash does not, else 0.
func emptyBlock(tree *syntax.File) int {
	line := 0
	syntax.Walk(tree, func(node syntax.Node) bool {
		if block, ok := node.(*syntax.Block); ok && len(block.Stmts) == 0 && line == 0 {
			line = max(1, int(block.Pos().Line()))
		}
		return true
	})
	return line
}

// samePlain reports whether text between single quotes ends at the same place when the quotes are plain characters, and
// runs nothing: it may have variables in it, but no command and no quote.
func samePlain(value string) bool {
	if !strings.ContainsAny(value, "}\"`$\\\n") {
		return true
	}
	if strings.ContainsAny(value, "\"`\\\n") {
		return false
	}
	tree, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(value), "")
	if err != nil || strings.Contains(value, "$(") || strings.Contains(value, "$[") {
		return false
	}
	braces := 0 // closing braces that belong to no expansion
	syntax.Walk(tree, func(node syntax.Node) bool {
		if lit, ok := node.(*syntax.Lit); ok {
			braces += strings.Count(lit.Value, "}")
		}
		return true
	})
	return braces == 0
}

func isDefault(op syntax.ParExpOperator) bool {
	switch op {
	case syntax.AlternateUnset, syntax.AlternateUnsetOrNull, syntax.DefaultUnset, syntax.DefaultUnsetOrNull,
		syntax.AssignUnset, syntax.AssignUnsetOrNull, syntax.ErrorUnset, syntax.ErrorUnsetOrNull:
		return true
	}
	return false
}
