package pkgbuild

import (
	"bytes"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// parseComments parses a file, correcting what the parser makes of comments that end in a backslash. To bash a comment ends with
// its line; the parser joins the next line to the command before the comment, so that `a # b \` above `c` reads
// `a c`. Such backslashes are hidden from the parser; bytes keep their places and the comments their text.
func parseComments(name string, data []byte) (*syntax.File, error) {
	tree, err := parseOnce(name, data)
	if err != nil || !mayContinue(data) {
		return tree, err
	}
	hidden := map[int]bool{}
	patched := data
	for range 10 {
		found := continued(tree, patched)
		if len(found) == 0 {
			return tree, checkHidden(name, tree, data, hidden)
		}
		if len(hidden) == 0 {
			patched = bytes.Clone(data)
		}
		for _, offset := range found {
			patched[offset] = ' '
			hidden[offset] = true
		}
		if tree, err = parseOnce(name, patched); err != nil {
			return nil, err
		}
	}
	return nil, &Error{File: name, Message: "has comments that end in a backslash and cannot be told from code"}
}

// mayContinue says whether a line with a # in it ends in a backslash.
func mayContinue(data []byte) bool {
	for end := 0; ; {
		i := bytes.Index(data[end:], []byte("\\\n"))
		if i < 0 {
			return false
		}
		line := data[:end+i]
		if bytes.IndexByte(line[bytes.LastIndexByte(line, '\n')+1:], '#') >= 0 {
			return true
		}
		end += i + 2
	}
}

// continued returns the offsets of backslashes at the end of comments.
func continued(tree *syntax.File, data []byte) []int {
	var found []int
	eachComment(tree, func(c *syntax.Comment) {
		from := int(c.Hash.Offset())
		eol := bytes.IndexByte(data[from:], '\n')
		if eol > 0 && data[from+eol-1] == '\\' {
			found = append(found, from+eol-1)
		}
	})
	return found
}

// checkHidden gives the comments their own text again. Every hidden backslash must have ended a comment after all.
func checkHidden(name string, tree *syntax.File, data []byte, hidden map[int]bool) error {
	if len(hidden) == 0 {
		return nil
	}
	seen := 0
	eachComment(tree, func(c *syntax.Comment) {
		from := int(c.Hash.Offset())
		eol := bytes.IndexByte(data[from:], '\n')
		if eol > 0 && hidden[from+eol-1] {
			seen++
			c.Text = string(data[from+1 : from+eol])
		}
	})
	if seen != len(hidden) {
		return &Error{File: name, Message: "has comments that end in a backslash and cannot be told from code"}
	}
	return nil
}

// eachComment calls f for every comment, each once, with a pointer into the tree.
func eachComment(tree *syntax.File, f func(*syntax.Comment)) {
	syntax.Walk(tree, func(node syntax.Node) bool {
		commentsOf(node, f)
		return true
	})
}

// commentsOf calls f for the comments that hang on one node.
func commentsOf(node syntax.Node, f func(*syntax.Comment)) {
	each := func(list []syntax.Comment) {
		for i := range list {
			f(&list[i])
		}
	}
	switch node := node.(type) {
	case *syntax.File:
		each(node.Last)
	case *syntax.Stmt:
		each(node.Comments)
	case *syntax.Subshell:
		each(node.Last)
	case *syntax.Block:
		each(node.Last)
	case *syntax.IfClause:
		each(node.CondLast)
		each(node.ThenLast)
		each(node.Last)
	case *syntax.WhileClause:
		each(node.CondLast)
		each(node.DoLast)
	case *syntax.ForClause:
		each(node.DoLast)
	case *syntax.CaseClause:
		each(node.Last)
	case *syntax.CaseItem:
		each(node.Comments)
		each(node.Last)
	case *syntax.ArrayExpr:
		each(node.Last)
	case *syntax.ArrayElem:
		each(node.Comments)
	case *syntax.CmdSubst:
		each(node.Last)
	case *syntax.ProcSubst:
		each(node.Last)
	}
}

// gluedComment says whether a comment has no blank before it. `$(a)#b; c` is a comment to the parser; to bash it is the
// word `$(a)#b` and then the command c.
func gluedComment(c *syntax.Comment, data []byte) bool {
	at := int(c.Hash.Offset())
	return at > 0 && strings.IndexByte(" \t\n;&|(<>", data[at-1]) < 0
}
