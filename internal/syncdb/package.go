package syncdb

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Package is everything that a repository database says about one package. Field names follow the database's
// (%NAME%, %BASE% and so on); sizes are in bytes, BuildDate in Unix seconds.
type Package struct {
	Filename     string // base name of the package file
	Name         string
	Base         string // pkgbase; empty in very old packages
	Version      string // [epoch:]pkgver-pkgrel
	Description  string
	Groups       []string
	CSize, ISize int64 // of the file; of what is installed
	MD5, SHA256  string
	PGPSig       []byte // binary detached signature; nil when unsigned
	URL          string
	Licenses     []string
	Arch         string
	BuildDate    int64
	Packager     string
	Replaces     []string
	Conflicts    []string
	Provides     []string
	Depends      []string
	OptDepends   []string
	MakeDepends  []string
	CheckDepends []string

	// Files is what the package installs, sorted by byte, directories with a final slash, in the escaped form of
	// bsdtar -t. ReadPackage fills it; a parsed desc has none (see DB.Files).
	Files []string
	// Build is the content of .BUILDINFO; nil when the package has none. It is not part of the database.
	Build *BuildInfo
}

// Size limit of a signature in a database, as repo-add(8) and libalpm have it.
const maxSignature = 16384

// field is one kind of line block of a desc: its name and how it is read from and written to a Package.
type field struct {
	name string
	get  func(*Package) []string
	set  func(*Package, []string) error
}

// descFields returns the fields of a desc in repo-add's order.
func descFields() []field {
	return []field{
		text("FILENAME", func(p *Package) *string { return &p.Filename }),
		text("NAME", func(p *Package) *string { return &p.Name }),
		text("BASE", func(p *Package) *string { return &p.Base }),
		text("VERSION", func(p *Package) *string { return &p.Version }),
		text("DESC", func(p *Package) *string { return &p.Description }),
		list("GROUPS", func(p *Package) *[]string { return &p.Groups }),
		number("CSIZE", func(p *Package) *int64 { return &p.CSize }),
		number("ISIZE", func(p *Package) *int64 { return &p.ISize }),
		text("MD5SUM", func(p *Package) *string { return &p.MD5 }),
		text("SHA256SUM", func(p *Package) *string { return &p.SHA256 }),
		signature(),
		text("URL", func(p *Package) *string { return &p.URL }),
		list("LICENSE", func(p *Package) *[]string { return &p.Licenses }),
		text("ARCH", func(p *Package) *string { return &p.Arch }),
		number("BUILDDATE", func(p *Package) *int64 { return &p.BuildDate }),
		text("PACKAGER", func(p *Package) *string { return &p.Packager }),
		list("REPLACES", func(p *Package) *[]string { return &p.Replaces }),
		list("CONFLICTS", func(p *Package) *[]string { return &p.Conflicts }),
		list("PROVIDES", func(p *Package) *[]string { return &p.Provides }),
		list("DEPENDS", func(p *Package) *[]string { return &p.Depends }),
		list("OPTDEPENDS", func(p *Package) *[]string { return &p.OptDepends }),
		list("MAKEDEPENDS", func(p *Package) *[]string { return &p.MakeDepends }),
		list("CHECKDEPENDS", func(p *Package) *[]string { return &p.CheckDepends }),
	}
}

func text(name string, at func(*Package) *string) field {
	return field{
		name: name,
		get: func(p *Package) []string {
			if v := *at(p); v != "" {
				return []string{v}
			}
			return nil
		},
		set: func(p *Package, lines []string) error {
			if len(lines) != 1 {
				return fmt.Errorf("%d lines where one is expected", len(lines))
			}
			*at(p) = lines[0]
			return nil
		},
	}
}

func list(name string, at func(*Package) *[]string) field {
	return field{
		name: name,
		get:  func(p *Package) []string { return *at(p) },
		set:  func(p *Package, lines []string) error { *at(p) = lines; return nil },
	}
}

// A number is always written, zero too: repo-add writes %ISIZE% 0 for a meta package.
func number(name string, at func(*Package) *int64) field {
	return field{
		name: name,
		get:  func(p *Package) []string { return []string{strconv.FormatInt(*at(p), 10)} },
		set: func(p *Package, lines []string) error {
			if len(lines) != 1 {
				return fmt.Errorf("%d lines where one is expected", len(lines))
			}
			n, err := strconv.ParseInt(lines[0], 10, 64)
			if err != nil || n < 0 {
				return fmt.Errorf("%q is not a number", lines[0])
			}
			*at(p) = n
			return nil
		},
	}
}

func signature() field {
	return field{
		name: "PGPSIG",
		get: func(p *Package) []string {
			if len(p.PGPSig) == 0 {
				return nil
			}
			return []string{base64.StdEncoding.EncodeToString(p.PGPSig)}
		},
		set: func(p *Package, lines []string) error {
			sig, err := base64.StdEncoding.DecodeString(strings.Join(lines, ""))
			if err != nil {
				return fmt.Errorf("not base64: %w", err)
			}
			p.PGPSig = sig
			return nil
		},
	}
}

// Desc returns the desc of the package as repo-add writes it.
func (p *Package) Desc() []byte {
	var b bytes.Buffer
	for _, f := range descFields() {
		lines := f.get(p)
		if len(lines) == 0 {
			continue
		}
		b.WriteString("%" + f.name + "%\n")
		for _, line := range lines {
			b.WriteString(line)
			b.WriteByte('\n')
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// ParseDesc reads a desc of a repository database. Fields it does not know are passed over, as libalpm does; a
// desc without %NAME%, %VERSION% or %FILENAME%, or with a value of a wrong shape, is an error that says which.
func ParseDesc(desc []byte) (*Package, error) {
	fields := make(map[string]field)
	for _, f := range descFields() {
		fields[f.name] = f
	}
	p := &Package{}
	for name, lines := range blocks(string(desc)) {
		f, known := fields[name]
		if !known || len(lines) == 0 {
			continue
		}
		if err := f.set(p, lines); err != nil {
			return nil, fmt.Errorf("%%%s%%: %w", name, err)
		}
	}
	if p.Name == "" || p.Version == "" || p.Filename == "" {
		return nil, errors.New("a desc needs %FILENAME%, %NAME% and %VERSION%")
	}
	return p, nil
}

// blocks yields each %FIELD% of a desc with its lines up to the next empty one.
func blocks(desc string) func(yield func(string, []string) bool) {
	return func(yield func(string, []string) bool) {
		var name string
		var lines []string
		for line := range strings.Lines(desc) {
			line = strings.TrimSuffix(line, "\n")
			switch {
			case line == "":
				if name != "" && !yield(name, lines) {
					return
				}
				name, lines = "", nil
			case name == "" && isFieldName(line):
				name = line[1 : len(line)-1]
			case name != "":
				lines = append(lines, line)
			}
		}
		if name != "" {
			yield(name, lines)
		}
	}
}

// isFieldName tells the lines that open a field. A value of this form would pass for a field of its own: that is
// why packages with such values are refused.
func isFieldName(line string) bool {
	return len(line) > 2 && line[0] == '%' && line[len(line)-1] == '%'
}
