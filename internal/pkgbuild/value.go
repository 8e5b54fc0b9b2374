package pkgbuild

import (
	"fmt"

	"mvdan.cc/sh/v3/syntax"
)

// Kind says what a variable holds.
type Kind uint8

// The kinds of a variable.
const (
	Unset  Kind = iota // never assigned, or unset again
	Scalar             // name=value: exactly one item
	Array              // name=(…): items in order of their index
	Map                // declare -A name: items in order of their keys
)

func (k Kind) String() string {
	return [...]string{"unset", "scalar", "array", "map"}[k]
}

// Dynamic says why a value cannot be known without running the PKGBUILD. It is an error too.
type Dynamic struct {
	Name   string // the variable, function or override ("package_foo: depends"); may be empty
	Line   int    // 1-based line of what cannot be evaluated
	Reason string // one phrase, such as "command substitution $(date)"
}

func (d *Dynamic) Error() string {
	if d.Name == "" {
		return fmt.Sprintf("line %d: %s", d.Line, d.Reason)
	}
	return fmt.Sprintf("line %d: %s needs %s", d.Line, d.Name, d.Reason)
}

// Value is the value of a variable after the whole file has been read.
type Value struct {
	Kind    Kind
	Items   []string // nil when Dynamic is set
	Line    int      // 1-based line of the last assignment; 0 when Unset
	Dynamic *Dynamic // nil when the value is static
}

// Static reports whether the value is known; that a variable is unset is known too.
func (v Value) Static() bool { return v.Dynamic == nil }

// String returns what `$name` gives: the scalar, or the first item of an array; empty when unset or dynamic.
func (v Value) String() string {
	if len(v.Items) == 0 || v.Kind == Map {
		return ""
	}
	return v.Items[0]
}

// Assignment is one assignment, in the order in which the file's top level makes them. Assignments under a condition
// that is false are left out; assignments whose condition is dynamic have a dynamic element.
type Assignment struct {
	Name     string
	Func     string // the function that makes it; empty at top level
	Line     int    // 1-based
	Append   bool   // +=
	Array    bool   // name=(…)
	Elements []Element

	node   *syntax.Assign
	inFile bool // written in the file itself, not made by eval
	unsure bool // not sure to be reached
}

// Element is one word of an assignment as it is written, with what it expands to.
type Element struct {
	Raw     string   // source text, quotes included
	Line    int      // 1-based
	Literal bool     // no expansion of any kind: what is written is what is meant
	Values  []string // a scalar has exactly one; a word of an array zero or more (braces, "${array[@]}")
	Dynamic *Dynamic // nil when Values are known

	word *syntax.Word // nil for the value of `name=`
}
