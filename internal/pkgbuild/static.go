package pkgbuild

// Static is what is known of a PKGBUILD without running it. It is immutable.
type Static struct {
}

// Static evaluates the file as bash would when makepkg sources it in a clean environment with CARCH=x86_64. It never
// fails: what cannot be known is dynamic. The work is bounded; beyond the bound everything is dynamic.
func (f *File) Static() *Static { return f.StaticFor("x86_64") }

// StaticFor is Static with another CARCH.
func (f *File) StaticFor(carch string) *Static { return &Static{} }

// Get returns the value of a variable at the end of the file.
func (s *Static) Get(name string) Value { return Value{} }

// Names lists the variables that the file assigns, sorted.
func (s *Static) Names() []string { return nil }

// Assignments lists every assignment that the top level makes, in order of execution.
func (s *Static) Assignments() []Assignment { return nil }
