package pkgbuild

import (
	"bytes"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// regroup corrects the one known place where the parser groups commands in another way than bash: it takes all of `{ …; } && g`
// for the body of f in `f() { …; } && g`. In bash the function is defined first and then g runs, at top level; who
// reads the tree must see that.
func regroup(stmt *syntax.Stmt) {
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

// misread finds what the parser takes in another way than bash: the line, and what to tell its author. The line is 0 when
// there is nothing of the kind.
func misread(tree *syntax.File, src []byte) (line int, message string) {
	quotes := quoteTrap{stack: []quoting{{}}, documents: map[*syntax.Word]bool{}}
	found := func(at syntax.Pos, text string) {
		if line == 0 {
			line, message = max(1, int(at.Line())), text
		}
	}
	syntax.Walk(tree, func(node syntax.Node) bool {
		if quotes.visit(node) {
			found(node.Pos(), "a single quote inside \"${…}\" that bash takes for a plain character; rewrite it without quotes")
		}
		switch node := node.(type) {
		case nil:
			return true
		case *syntax.Assign:
			if gluedArray(node, src) {
				found(node.Pos(), "an array with something right behind its closing parenthesis")
			}
		case *syntax.Block:
			if len(node.Stmts) == 0 {
				found(node.Pos(), "a { } without a command in it, which bash does not accept; put a : in it")
			}
		}
		commentsOf(node, func(c *syntax.Comment) {
			if gluedComment(c, src) {
				found(c.Hash, "a # without a blank before it, which bash may take for a part of the word before; put a blank or quotes")
			}
		})
		return true
	})
	return line, message
}

// quoteTrap looks for text that bash and the parser read differently. In "${x:-'…'}" (and in here-documents) a single quote
// is a plain character to bash, but begins a string for the parser. With a brace or a quote in it, the two disagree on where
// the expansion ends, so that what looks like text to one of them is a command to the other.
type quoteTrap struct {
	stack     []quoting
	documents map[*syntax.Word]bool
}

type quoting struct{ double, plain bool } // between double quotes; single quotes are plain characters

// visit is called for every node of a walk, and with nil at the end of each; it says whether the node is a trap.
func (q *quoteTrap) visit(node syntax.Node) bool {
	if node == nil {
		q.stack = q.stack[:len(q.stack)-1]
		return false
	}
	now := q.stack[len(q.stack)-1]
	trapped := false
	switch node := node.(type) {
	case *syntax.CmdSubst, *syntax.ProcSubst:
		now = quoting{}
	case *syntax.DblQuoted, *syntax.ArithmExp:
		now = quoting{double: true}
	case *syntax.Redirect:
		if node.Hdoc != nil {
			q.documents[node.Hdoc] = true
		}
	case *syntax.Word:
		if q.documents[node] {
			now = quoting{double: true}
		}
	case *syntax.ParamExp:
		now.plain = now.double && node.Exp != nil && isDefault(node.Exp.Op)
	case *syntax.SglQuoted:
		trapped = now.plain && !samePlain(node.Value)
	}
	q.stack = append(q.stack, now)
	return trapped
}

// gluedArray says whether something stands right behind the closing parenthesis of an array.
func gluedArray(a *syntax.Assign, src []byte) bool {
	if a.Array == nil {
		return false
	}
	rest := src[min(len(src), int(a.Array.End().Offset())):]
	for bytes.HasPrefix(rest, []byte("\\\n")) {
		rest = rest[2:]
	}
	return len(rest) > 0 && strings.IndexByte(" \t\n;&|)<>`", rest[0]) < 0
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
