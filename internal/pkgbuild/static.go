package pkgbuild

import (
	"maps"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Static is what is known of a PKGBUILD without running it. It is immutable and safe for concurrent use.
type Static struct {
	end evaluator // its state at the end of the file; copied before anything else is evaluated in it
}

// Static evaluates the file as bash would when makepkg sources it in a clean environment with CARCH=x86_64. It never
// fails: what cannot be known is dynamic. The work is bounded; beyond the bound everything is dynamic.
func (f *File) Static() *Static { return f.StaticFor("x86_64") }

// StaticFor is Static with another CARCH.
func (f *File) StaticFor(carch string) *Static {
	e := newEvaluator(f, carch)
	e.run(f)
	return &Static{end: *e}
}

// Get returns the value of a variable at the end of the file.
func (s *Static) Get(name string) Value {
	v := s.end.vars[name]
	if why := s.end.lost; why != nil {
		return Value{Dynamic: &Dynamic{Name: name, Line: why.Line, Reason: why.Reason}}
	}
	return v.value(name)
}

// Names lists the variables that the file assigns, sorted.
func (s *Static) Names() []string { return slices.Sorted(maps.Keys(s.end.vars)) }

// Assignments lists every assignment that the top level makes, in order of execution, those of functions that it calls included.
func (s *Static) Assignments() []Assignment {
	return slices.Clone(s.end.assignments)
}

// Function is a function that the file defines.
type Function struct {
	Name    string
	Line    int              // 1-based, of its name
	Decl    *syntax.FuncDecl // its syntax; nil when it cannot be known
	Dynamic *Dynamic         // it is not sure that it is defined, or which of several is
}

// Functions lists the functions that exist at the end of the file, sorted by line: prepare, build, package_NAME and the file's own.
// A function that was made by an eval of known code has the line of the eval.
func (s *Static) Functions() []Function {
	var out []Function
	for name, fn := range s.end.funcs {
		one := Function{Name: name, Decl: fn.decl, Dynamic: fn.dyn}
		if fn.decl != nil {
			one.Line = fn.text.lineOf(fn.decl)
		}
		if s.end.lost != nil {
			one.Dynamic = s.end.lost
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b Function) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

// Checksums lists the checksum arrays that the file has, those for one architecture included: sha256sums,
// b2sums_x86_64… The array belongs to the source array with the same ending.
func (s *Static) Checksums() []string {
	var out []string
	for _, name := range s.Names() {
		for _, key := range ChecksumKeys() {
			if name == key || strings.HasPrefix(name, key+"_") {
				out = append(out, name)
			}
		}
	}
	return out
}

// fork returns an evaluator that goes on from the end of the file without changing it.
func (s *Static) fork() *evaluator {
	e := s.end
	e.vars = maps.Clone(s.end.vars)
	e.funcs = maps.Clone(s.end.funcs)
	e.assignments = nil
	e.frames = []*frame{{saved: map[string]*variable{}}}
	return &e
}
