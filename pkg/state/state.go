// Package state knows the settings and the memory of a PKGBUILD repository
// (pipeline.md section 1): .ci/config, PKGDIR/.CI/config, and on the state branch one file
// a package and .version-state. It turns bytes into typed values and back; where the bytes
// come from and where they go (a commit, a work tree) is the caller's business.
//
// Words: a root key is one of .ci/config and may also come from the environment; a
// package key is one of .CI/config; a state key is one of the state branch. A key that steers
// updates only decides when and how updates are looked for or where they are pushed to, so a
// change of it builds nothing.
//
// An empty value is the same as an absent key. Booleans are true or false; yes, no, 1 and 0
// are understood too, but reported, because today's Bash scripts compare
// with the text true. Unknown keys are kept and reported. A wrong value is an error; all
// wrong values of a file come in one error. Messages name file, line and key, and never show
// a value that may hold a password.
package state

import (
	"fmt"
	"strings"
)

// Problem is a remark on one key of a file.
type Problem struct {
	File    string // as given by the caller, or "environment"
	Line    int    // 1-based; 0 for the environment
	Key     string // "" for a line that sets nothing
	Message string
}

// String is FILE:LINE: KEY: MESSAGE without the parts that are not there.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Key != "" {
		b.WriteString(": " + p.Key)
	}
	return b.String() + ": " + p.Message
}

// Error lists every wrong value of a file and of the environment. At least one.
type Error struct{ Problems []Problem }

// Error is one line a problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}
