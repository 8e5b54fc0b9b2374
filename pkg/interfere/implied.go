package interfere

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// impliedBySuffix: what a pkgbase with that ending needs to fetch its sources (executor.md section 3, step 3).
var impliedBySuffix = [...]struct{ suffix, pkg string }{
	{"-git", "git"}, {"-svn", "subversion"}, {"-bzr", "breezy"}, {"-hg", "mercurial"},
}

// ImpliedPackages are the packages that must be installed because of the name of a package (-git: git, -svn:
// subversion, -bzr: breezy, -hg: mercurial, lib32-: multilib-devel) or its options (ccache: ccache). The PKGBUILD is
// parsed, never run; one that cannot be parsed has no options.
func ImpliedPackages(pkgbase string, pkgbuild []byte) []string {
	var out []string
	for _, i := range impliedBySuffix {
		if strings.HasSuffix(pkgbase, i.suffix) {
			out = append(out, i.pkg)
		}
	}
	if strings.HasPrefix(pkgbase, "lib32-") {
		out = append(out, "multilib-devel")
	}
	if bytes.Contains(pkgbuild, []byte("ccache")) && slices.Contains(options(pkgbuild), "ccache") {
		out = append(out, "ccache")
	}
	return out
}

// options lists the words of every options=(…) and options+=(…) outside functions.
func options(pkgbuild []byte) []string {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(bytes.NewReader(pkgbuild), "PKGBUILD")
	if err != nil {
		return nil
	}
	var out []string
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.FuncDecl:
			return false
		case *syntax.Assign:
			if n.Name != nil && n.Name.Value == "options" && n.Array != nil {
				for _, e := range n.Array.Elems {
					if e.Value != nil {
						out = append(out, literal(e.Value))
					}
				}
			}
		}
		return true
	})
	return out
}

// literal is the text of a word of plain and quoted text, "" when anything in it has to be expanded.
func literal(w *syntax.Word) string {
	var b strings.Builder
	for _, part := range w.Parts {
		switch p := part.(type) {
		case *syntax.Lit:
			b.WriteString(p.Value)
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			for _, in := range p.Parts {
				lit, ok := in.(*syntax.Lit)
				if !ok {
					return ""
				}
				b.WriteString(lit.Value)
			}
		default:
			return ""
		}
	}
	return b.String()
}

// checkSyntax parses a bash file; the error has name, line and column.
func checkSyntax(name string, data []byte) error {
	_, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(bytes.NewReader(data), name)
	if err != nil {
		return fmt.Errorf("syntax: %w", err)
	}
	return nil
}
