package pkgbuild

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// token is a piece of a word: text that is plain or quoted, or a part that is still to be expanded.
type token struct {
	text   string
	quoted bool
	part   syntax.WordPart
}

// lex splits a word into tokens. In plain text only the backslash is special here.
func lex(parts []syntax.WordPart) []token {
	tokens := make([]token, 0, len(parts))
	for _, part := range parts {
		if lit, ok := part.(*syntax.Lit); ok {
			tokens = lexLit(tokens, lit.Value)
			continue
		}
		tokens = append(tokens, token{part: part})
	}
	return tokens
}

func lexLit(tokens []token, s string) []token {
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 || i == len(s)-1 {
			break
		}
		if i > 0 {
			tokens = append(tokens, token{text: s[:i]})
		}
		if s[i+1] != '\n' {
			tokens = append(tokens, token{text: s[i+1 : i+2], quoted: true})
		}
		s = s[i+2:]
	}
	if s != "" {
		tokens = append(tokens, token{text: s})
	}
	return tokens
}

// literal returns what a word without any expansion means, quotes removed. Patterns and braces are taken as they are written.
func literal(word *syntax.Word) (string, bool) {
	if word == nil {
		return "", true
	}
	var out strings.Builder
	for i, t := range lex(word.Parts) {
		switch part := t.part.(type) {
		case nil:
			if i == 0 && !t.quoted && strings.HasPrefix(t.text, "~") {
				return "", false
			}
			out.WriteString(t.text)
		case *syntax.SglQuoted:
			if part.Dollar {
				return "", false
			}
			out.WriteString(part.Value)
		case *syntax.DblQuoted:
			if part.Dollar {
				return "", false
			}
			for _, inner := range part.Parts {
				lit, ok := inner.(*syntax.Lit)
				if !ok {
					return "", false
				}
				out.WriteString(Unescape(lit.Value))
			}
		default:
			return "", false
		}
	}
	return out.String(), true
}

// Unescape removes the backslashes that mean something between double quotes (bash(1), "Double Quotes").
func Unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			switch s[i+1] {
			case '$', '`', '"', '\\':
				i++
			case '\n':
				i++
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

// namesIn lists the variables that a word expands, each once.
func namesIn(word *syntax.Word) []string {
	var names []string
	if word == nil {
		return nil
	}
	syntax.Walk(word, func(node syntax.Node) bool {
		if p, ok := node.(*syntax.ParamExp); ok && syntax.ValidName(p.Param.Value) && !slices.Contains(names, p.Param.Value) {
			names = append(names, p.Param.Value)
		}
		return true
	})
	return names
}
