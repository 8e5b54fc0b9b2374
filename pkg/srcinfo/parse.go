package srcinfo

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Problem is something in a file that does not keep it from being used.
type Problem struct {
	Line    int // 1-based
	Message string
}

// Error says why a file cannot be used.
type Error struct {
	Name    string // of the file
	Line    int    // 1-based
	Message string
}

// Error is NAME:LINE: MESSAGE.
func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.Name, e.Line, e.Message) }

// Limits far beyond any real file (the largest known has 700 fields and 40 KB).
const (
	maxBytes    = 16 << 20
	maxFields   = 1 << 19
	maxArches   = 64
	maxProblems = 100
)

// parser holds what Parse knows while it reads.
type parser struct {
	name     string
	info     *Info
	problems []Problem
	fields   []Field // of all sections, one after the other
	starts   []int   // first field of each pkgname section
	pkgnames map[string]int
	header   []string // comments before pkgbase
	baseLine int
	line     int
	blank    bool // the last line was
}

// Parse reads the text of a .SRCINFO. The name is for messages: the error is an
// *Error with name and line and means that the file tells nothing that could be trusted. Problems
// are what a person should look at (unknown keys, architectures that are
// not built, illegal names in a dependency): at most 100, in order of lines.
//
// CRLF, a byte order mark, other encodings than UTF-8 (kept byte for byte), comments,
// blank lines and a missing final newline are all fine.
func Parse(name string, data []byte) (*Info, []Problem, error) {
	if len(data) > maxBytes {
		return nil, nil, &Error{name, 1, fmt.Sprintf("%d bytes are no .SRCINFO: more than %d", len(data), maxBytes)}
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	p := &parser{name: name, info: &Info{}}
	p.fields = make([]Field, 0, min(strings.Count(text, "\n")+1, maxFields))
	if err := p.read(text); err != nil {
		return nil, nil, err
	}
	p.cut()
	p.info.header, p.info.blankEnd = p.header, p.blank
	if err := p.check(); err != nil {
		return nil, nil, err
	}
	if !utf8.ValidString(text) {
		p.problem(1+strings.Count(text[:firstInvalid(text)], "\n"), "is not UTF-8; the bytes are kept as they are")
	}
	slices.SortStableFunc(p.problems, func(a, b Problem) int { return a.Line - b.Line })
	return p.info, p.problems, nil
}

func firstInvalid(s string) int {
	for n, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[n:]); size == 1 {
				return n
			}
		}
	}
	return len(s)
}

func (p *parser) fail(line int, format string, args ...any) error {
	return &Error{p.name, line, fmt.Sprintf(format, args...)}
}

func (p *parser) problem(line int, format string, args ...any) {
	if len(p.problems) < maxProblems {
		p.problems = append(p.problems, Problem{line, fmt.Sprintf(format, args...)})
	}
}

// read goes through the lines once.
func (p *parser) read(text string) error {
	for rest := text; rest != ""; {
		var raw string
		raw, rest, _ = strings.Cut(rest, "\n")
		p.line++
		line := strings.TrimSpace(raw)
		if line == "" {
			p.blank = true
			continue
		}
		p.blank = false
		if line[0] == '#' {
			if p.baseLine == 0 {
				p.header = append(p.header, line)
			}
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch {
		case strings.IndexByte(line, 0) >= 0:
			return p.fail(p.line, "is binary data, not text")
		case !ok || key == "":
			return p.fail(p.line, "%s is not KEY = VALUE", excerpt(line))
		case key == "pkgbase":
			if err := p.openBase(value); err != nil {
				return err
			}
		case p.baseLine == 0:
			return p.fail(p.line, "%s stands before pkgbase", excerpt(key))
		case key == "pkgname":
			if err := p.openPackage(value); err != nil {
				return err
			}
		default:
			if len(p.fields) >= maxFields {
				return p.fail(p.line, "more than %d fields are no .SRCINFO", maxFields)
			}
			p.addField(key, value)
		}
	}
	if p.baseLine == 0 {
		return p.fail(1, "has no pkgbase, nothing else either: write it with makepkg --printsrcinfo > .SRCINFO")
	}
	return nil
}

func (p *parser) openBase(value string) error {
	if p.baseLine != 0 {
		return p.fail(p.line, "pkgbase again, after line %d", p.baseLine)
	}
	if !LegalName(value) {
		return p.fail(p.line, "pkgbase %s is no legal name", excerpt(value))
	}
	p.info.Pkgbase, p.baseLine = value, p.line
	return nil
}

func (p *parser) openPackage(value string) error {
	if !LegalName(value) {
		return p.fail(p.line, "pkgname %s is no legal name", excerpt(value))
	}
	if first, ok := p.pkgnames[value]; ok {
		return p.fail(p.line, "pkgname %s again, after line %d", value, first)
	}
	if p.pkgnames == nil {
		p.pkgnames = make(map[string]int)
	}
	p.pkgnames[value] = p.line
	p.info.Packages = append(p.info.Packages, Package{Pkgname: value, Line: p.line})
	p.starts = append(p.starts, len(p.fields))
	return nil
}

// addField splits the architecture from the key and looks the key up.
func (p *parser) addField(key, value string) {
	f := Field{Key: key, Value: value, Line: p.line}
	r, known := schema[key]
	if !known {
		if short, arch, ok := strings.Cut(key, "_"); ok && arch != "" {
			if r, known = schema[short]; known && r.arch {
				f.Key, f.Arch = short, arch
			} else {
				known = false
			}
		}
	}
	switch {
	case !known:
		p.problem(p.line, "unknown key %s", excerpt(key))
	case len(p.starts) > 0 && !r.pkg:
		p.problem(p.line, "%s means nothing in the section of a pkgname", key)
	}
	p.fields = append(p.fields, f)
}

// cut deals the fields out to their sections.
func (p *parser) cut() {
	end := len(p.fields)
	for n := len(p.starts) - 1; n >= 0; n-- {
		start := p.starts[n]
		p.info.Packages[n].Own = Section(p.fields[start:end:end])
		end = start
	}
	p.info.Base = Section(p.fields[:end:end])
	p.info.refresh()
}

// refresh takes the scalars from the base section.
func (i *Info) refresh() {
	i.Pkgver, i.Pkgrel, i.Epoch, i.Arch = "", "", "", nil
	for n := range i.Base {
		f := &i.Base[n]
		switch f.Key {
		case "pkgver":
			i.Pkgver = f.Value
		case "pkgrel":
			i.Pkgrel = f.Value
		case "epoch":
			i.Epoch = f.Value
		case "arch":
			if f.Value != "" {
				i.Arch = append(i.Arch, f.Value)
			}
		}
	}
}
