package srcinfo

import (
	"slices"
	"strings"
)

// Info is one .SRCINFO. The scalar fields and Arch are what the base section
// says, for reading: change them with Set, which keeps both in step.
type Info struct {
	Pkgbase string
	Pkgver  string
	Pkgrel  string
	Epoch   string // "" is 0
	Arch    []string

	Base     Section
	Packages []Package // at least one, in the order of the file

	header   []string // comments before pkgbase, kept for the writer
	blankEnd bool     // older makepkg ended a file with an empty line
}

// Package is the section of one pkgname: only what differs from the base.
type Package struct {
	Pkgname string
	Line    int // of its pkgname, 1-based; 0 when made by AddPackage
	Own     Section
}

// Section is a list of fields in the order of the file, without the pkgbase or
// pkgname line that opens it.
type Section []Field

// Field is one line of a section.
type Field struct {
	Key   string // without the architecture; an unknown key as it is written
	Arch  string // "x86_64" of depends_x86_64, "" where there is none
	Value string // "" in a pkgname section clears the key
	Line  int    // 1-based; 0 when made by Set
}

// Value is the last value of key without architecture, "" where there is none.
func (s Section) Value(key string) string {
	for _, f := range slices.Backward(s) {
		if f.Key == key && f.Arch == "" {
			return f.Value
		}
	}
	return ""
}

// Values lists the values of key that go for every architecture and those of the
// architectures named, in the order of the file and without empty ones.
func (s Section) Values(key string, arches ...string) []string {
	var values []string
	for _, f := range s {
		if f.Key == key && f.Value != "" && (f.Arch == "" || slices.Contains(arches, f.Arch)) {
			values = append(values, f.Value)
		}
	}
	return values
}

// Has tells whether the section names key for arch ("" for the key without architecture), with or without a value.
func (s Section) Has(key, arch string) bool {
	for _, f := range s {
		if f.Key == key && f.Arch == arch {
			return true
		}
	}
	return false
}

// New makes the Info of a pkgbase without fields and packages; fill it with Set and AddPackage.
func New(pkgbase string) *Info { return &Info{Pkgbase: pkgbase} }

// AddPackage appends the section of a pkgname.
func (i *Info) AddPackage(pkgname string) {
	i.Packages = append(i.Packages, Package{Pkgname: pkgname})
}

// Version is [epoch:]pkgver-pkgrel.
func (i *Info) Version() string {
	version := i.Pkgver + "-" + i.Pkgrel
	if i.Epoch == "" {
		return version
	}
	return i.Epoch + ":" + version
}

// Pkgnames lists the packages that are built, in the order of the file.
func (i *Info) Pkgnames() []string {
	names := make([]string, len(i.Packages))
	for n := range i.Packages {
		names[n] = i.Packages[n].Pkgname
	}
	return names
}

// Values lists what key means for one package: its own values where its section
// names the key, else those of the base, for every architecture and for the
// architectures named. A pkgname of "" or one that is not there means the base.
func (i *Info) Values(pkgname, key string, arches ...string) []string {
	p := i.find(pkgname)
	if p == nil {
		return i.Base.Values(key, arches...)
	}
	own := make(map[string]bool) // architectures for which the package has its own values
	for _, f := range p.Own {
		if f.Key == key {
			own[f.Arch] = true
		}
	}
	values := p.Own.Values(key, arches...)
	for _, f := range i.Base {
		if f.Key == key && f.Value != "" && !own[f.Arch] && (f.Arch == "" || slices.Contains(arches, f.Arch)) {
			values = append(values, f.Value)
		}
	}
	return values
}

func (i *Info) find(pkgname string) *Package {
	for n := range i.Packages {
		if i.Packages[n].Pkgname == pkgname {
			return &i.Packages[n]
		}
	}
	return nil
}

// Names lists what the packages can be called in a dependency: every pkgname,
// then every provides without its version, each once. Architectures limit it to
// the provides of these; without any, all architectures that are built count.
// Values that are no legal name are left out (Parse has reported them).
func (i *Info) Names(arches ...string) []string {
	c := i.collect(arches, len(i.Packages)+4)
	for n := range i.Packages {
		c.add(i.Packages[n].Pkgname)
	}
	c.fields(i.Base, i.overridden("provides"), "provides")
	for n := range i.Packages {
		c.fields(i.Packages[n].Own, nil, "provides")
	}
	return c.names
}

// Dependencies lists the names that must be there before the packages can be
// built and used: depends, makedepends and checkdepends of the base and of every
// package, without constraint, each once, the package's own names included.
// Architectures limit it as for Names. The depends of the base count also where every
// package has its own: makepkg installs them before it builds.
func (i *Info) Dependencies(arches ...string) []string {
	c := i.collect(arches, 16)
	c.fields(i.Base, nil, "depends", "makedepends", "checkdepends")
	for n := range i.Packages {
		c.fields(i.Packages[n].Own, nil, "depends", "checkdepends")
	}
	return c.names
}

// overridden gives the architectures for which every package has its own values of
// key, so that nothing of the base is left. It reads each field once: a
// file with many packages must not cost their product.
func (i *Info) overridden(key string) map[string]bool {
	type count struct{ packages, last int }
	counts := make(map[string]count)
	for n := range i.Packages {
		for _, f := range i.Packages[n].Own {
			if f.Key != key {
				continue
			}
			if c := counts[f.Arch]; c.packages == 0 || c.last != n {
				counts[f.Arch] = count{c.packages + 1, n}
			}
		}
	}
	arches := make(map[string]bool, len(counts))
	for arch, c := range counts {
		arches[arch] = c.packages == len(i.Packages)
	}
	return arches
}

// collector gathers names, each once, in order of appearance.
type collector struct {
	arches []string
	names  []string
	seen   map[string]struct{} // nil while a look through names is cheaper
}

func (i *Info) collect(arches []string, size int) *collector {
	if len(arches) == 0 {
		arches = i.built()
	}
	return &collector{arches: arches, names: make([]string, 0, size)}
}

// built lists the architectures that any package is built for.
func (i *Info) built() []string {
	arches := i.Arch
	for n := range i.Packages {
		for _, f := range i.Packages[n].Own {
			if f.Key == "arch" && len(arches) <= maxArches && !slices.Contains(arches, f.Value) {
				arches = append(slices.Clip(arches), f.Value)
			}
		}
	}
	return arches
}

// fields adds the names in the values of the keys, leaving out what is overridden.
func (c *collector) fields(s Section, overridden map[string]bool, keys ...string) {
	for n := range s {
		f := &s[n]
		if f.Value == "" || !slices.Contains(keys, f.Key) || !c.counts(f.Arch) || overridden[f.Arch] {
			continue
		}
		if name := ParseDep(f.Value).Name; LegalName(name) {
			c.add(name)
		}
	}
}

func (c *collector) counts(arch string) bool {
	return arch == "" || arch != "any" && slices.Contains(c.arches, arch)
}

func (c *collector) add(name string) {
	const few = 24
	if c.seen == nil {
		if slices.Contains(c.names, name) {
			return
		}
		c.names = append(c.names, name)
		if len(c.names) == few {
			c.seen = make(map[string]struct{}, 4*few)
			for _, n := range c.names {
				c.seen[n] = struct{}{}
			}
		}
		return
	}
	if _, ok := c.seen[name]; !ok {
		c.seen[name] = struct{}{}
		c.names = append(c.names, name)
	}
}

// LegalName tells whether name may be a pkgbase, a pkgname or a name in a
// dependency: ^[A-Za-z0-9_@.+-]+$ and neither - nor . in front (PKGBUILD(5)).
// A legal name is safe as a file name and in the lists of the dependency tree.
func LegalName(name string) bool {
	if name == "" || name[0] == '-' || name[0] == '.' {
		return false
	}
	for n := 0; n < len(name); n++ {
		if !legalBytes[name[n]] {
			return false
		}
	}
	return true
}

var legalBytes = func() (table [256]bool) {
	const legal = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@.+-"
	for n := 0; n < len(legal); n++ {
		table[legal[n]] = true
	}
	return table
}()

// Dep is a dependency string: NAME, or NAME with a constraint on its version.
type Dep struct {
	Name    string
	Op      string // "", "=", "<", ">", "<=" or ">="
	Version string
}

// ParseDep splits a value of depends, optdepends, provides, conflicts or
// replaces. The description of an optional dependency (NAME: TEXT) is dropped. It never
// fails: whether the name is legal is LegalName's to say.
func ParseDep(s string) Dep {
	if n := strings.Index(s, ": "); n >= 0 {
		s = s[:n]
	}
	s = strings.TrimSpace(strings.TrimSuffix(s, ":"))
	n := strings.IndexAny(s, "<>=")
	if n < 0 {
		return Dep{Name: s}
	}
	op := s[n : n+1]
	if op != "=" && n+1 < len(s) && s[n+1] == '=' {
		op = s[n : n+2]
	}
	return Dep{Name: strings.TrimSpace(s[:n]), Op: op, Version: strings.TrimSpace(s[n+len(op):])}
}

// String is the form that ParseDep reads.
func (d Dep) String() string { return d.Name + d.Op + d.Version }
