package review

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// zone is where code runs, which is what makes the same command more or less of a risk.
type zone uint8

const (
	inFunction zone = iota // prepare(), build(), package()…: as the build user, in the build container
	atTop                  // whenever somebody only reads the PKGBUILD
	inInstall              // as root, on the machine of everybody who installs the package
	inFile                 // a script, unit or patch beside the PKGBUILD
)

// command is one simple command, resolved as far as it is static.
type command struct {
	name   string   // base name of words[0]: curl; "" where there is no command, only redirections
	words  []string // with unknown in the place of what cannot be known
	env    []string // NAME=value before the command, or all assignments where there is no command
	redirs []redir
	feeds  []*command // whose output it is given: through pipes, substitutions, variables
	input  string     // what it reads from standard input, where that is known
	inline string     // code of another language: python -c, perl -e

	zone  zone
	fn    string // function it stands in
	file  string
	line  int
	how   string   // how it was hidden: "decoded from base64", "in an eval"
	every []string // what all gives

	classified, fetch, decode bool // see classify

	ifs bool // blanks in it are written as ${IFS}
	odd bool // its name is written so that a search does not find it: c'u'rl
}

type redir struct {
	op     string
	target string
}

// text is the command on one line.
func (c *command) text() string {
	var b strings.Builder
	for _, list := range [][]string{c.env, c.words} {
		for _, w := range list {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(w)
		}
	}
	for _, r := range c.redirs {
		b.WriteString(" " + r.op + r.target)
	}
	return b.String()
}

// oddName says whether a command's name is put together from pieces, as nobody does without a reason.
func oddName(w *syntax.Word) bool {
	letters := func(s string) bool { return strings.IndexFunc(s, isLetter) >= 0 }
	pieces := 0
	for _, part := range w.Parts {
		switch part := part.(type) {
		case *syntax.Lit:
			if i := strings.IndexByte(part.Value, '\\'); i > 0 && i+1 < len(part.Value) && isLetter(rune(part.Value[i+1])) {
				return true
			}
			if letters(part.Value) {
				pieces++
			}
		case *syntax.SglQuoted:
			if part.Dollar && strings.Contains(part.Value, `\`) {
				return true
			}
			pieces++
		case *syntax.DblQuoted:
			if len(part.Parts) == 0 {
				pieces++
			}
			for _, inner := range part.Parts {
				if lit, ok := inner.(*syntax.Lit); ok && letters(lit.Value) && !strings.Contains(lit.Value, "/") {
					pieces++
				}
			}
		}
		if lit, ok := part.(*syntax.Lit); ok && strings.Contains(lit.Value, "/") {
			return false // a path
		}
	}
	return pieces > 1
}

// join adds the commands whose output matters to what reads it: what downloads and what decodes, a bounded number of them.
func join(list, more []*command) []*command {
	for _, c := range more {
		if len(list) < maxFeeds && (fetches(c) || decodes(c)) {
			list = append(list, c)
		}
	}
	return list
}

const maxFeeds = 64

func isLetter(c rune) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
