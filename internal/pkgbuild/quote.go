package pkgbuild

import (
	"bytes"
	"fmt"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// requote writes value as one literal word, quoted the way the old word was as far as the value allows.
func requote(old *syntax.Word, value string) (string, error) {
	for _, c := range value {
		if c < ' ' || c == 0x7f || c == '\uFFFD' {
			return "", fmt.Errorf("the new value %q has a control character or is not UTF-8", value)
		}
	}
	text := quoteLike(old, value)
	if got, ok := readBack(text); !ok || got != value {
		return "", fmt.Errorf("the new value %q cannot be written safely", value)
	}
	return text, nil
}

func quoteLike(old *syntax.Word, value string) string {
	single := "'" + value + "'"
	double := `"` + escapeDouble.Replace(value) + `"`
	noSingle := strings.Contains(value, "'")
	switch styleOfWord(old) {
	case '"':
		return double
	case '\'':
		if noSingle {
			return double
		}
		return single
	}
	switch {
	case isBare(value):
		return value
	case noSingle:
		return double
	}
	return single
}

var escapeDouble = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`")

// styleOfWord is the quote that the word uses first, 0 when it uses none.
func styleOfWord(word *syntax.Word) byte {
	if word == nil {
		return 0
	}
	for _, part := range word.Parts {
		switch part.(type) {
		case *syntax.DblQuoted:
			return '"'
		case *syntax.SglQuoted:
			return '\''
		}
	}
	return 0
}

// isBare reports whether a value needs no quotes anywhere.
func isBare(value string) bool {
	for i := range len(value) {
		c := value[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && strings.IndexByte("_.+:@%,/-", c) < 0 {
			return false
		}
	}
	return value != ""
}

// readBack parses text as an element of an array and returns what it means; false when it is not exactly one literal word.
func readBack(text string) (string, bool) {
	tree, err := syntax.NewParser(syntax.Variant(syntax.LangBash), syntax.KeepComments(true)).
		Parse(bytes.NewReader([]byte("a=("+text+")\n")), "")
	if err != nil || len(tree.Stmts) != 1 || len(tree.Last) > 0 || len(tree.Stmts[0].Comments) > 0 {
		return "", false
	}
	call, ok := tree.Stmts[0].Cmd.(*syntax.CallExpr)
	if !ok || len(call.Args) > 0 || len(call.Assigns) != 1 || call.Assigns[0].Array == nil {
		return "", false
	}
	elems := call.Assigns[0].Array.Elems
	if len(elems) != 1 || elems[0].Index != nil || len(elems[0].Comments) > 0 {
		return "", false
	}
	return literal(elems[0].Value)
}
