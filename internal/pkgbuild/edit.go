package pkgbuild

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The kinds of an edit that is refused, for errors.Is.
var (
	ErrNotLiteral = errors.New("not written as a literal") // the value is made by an expansion, or may depend on a condition
	ErrMissing    = errors.New("not there")                // no such variable or no such item
)

// Edit is one change of a PKGBUILD, made by Set, SetItems or ReplaceItem.
type Edit struct {
	kind  editKind
	name  string
	items []string
	old   string
}

type editKind uint8

const (
	editScalar editKind = iota
	editItems
	editItem
)

// Set gives a scalar variable (pkgver, pkgrel, epoch, _commit…) a new value. An epoch that is not there yet gets a
// line of its own below pkgrel; any other variable must exist.
func Set(name, value string) Edit { return Edit{kind: editScalar, name: name, items: []string{value}} }

// SetItems gives the items of an array (sha256sums, source_x86_64…) new values, one by one; their number must stay.
func SetItems(name string, items ...string) Edit {
	return Edit{kind: editItems, name: name, items: items}
}

// ReplaceItem replaces the item of an array that has the value old, which must be there exactly once.
func ReplaceItem(name, old, value string) Edit {
	return Edit{kind: editItem, name: name, old: old, items: []string{value}}
}

// Apply makes all edits or none and returns the new file. Only the words of changed values are replaced, in their
// own quoting; every other byte stays. A scalar that is written with other variables (pkgver=${_major}.9) gets its
// value through them where there is one way to do so, except pkgrel: who resets that means no other number. Any other value that is no literal is left alone when the other edits give it the
// value that is asked for (a source that is written with $pkgver), else the error wraps ErrNotLiteral. Every error is an *Error.
func (f *File) Apply(edits ...Edit) (*File, error) {
	p := &editPlan{file: f, static: f.Static(), asked: map[string]bool{}}
	for _, edit := range edits {
		p.asked[edit.name] = true
	}
	for _, edit := range edits {
		if err := p.add(edit); err != nil {
			return nil, err
		}
	}
	src, err := p.splice()
	if err != nil {
		return nil, err
	}
	after, err := Parse(f.name, src)
	if err != nil {
		return nil, err
	}
	if err := p.verify(after.Static()); err != nil {
		return nil, err
	}
	return after, nil
}

type editPlan struct {
	file   *File
	static *Static
	cuts   []cut
	wants  []want
	asked  map[string]bool // the variables that edits name
	depth  int             // of variables that are set for another
}

// cut replaces the bytes from..to.
type cut struct {
	from, to int
	text     string
	line     int
}

// want is what an edited variable must be afterwards.
type want struct {
	name    string
	items   []string
	at      int // the one item that matters; -1 for all
	blocked *Error
}

func (p *editPlan) fail(kind error, line int, format string, args ...any) *Error {
	return &Error{File: p.file.name, Line: line, Message: fmt.Sprintf(format, args...), Err: kind}
}

func (p *editPlan) add(edit Edit) error {
	if edit.kind == editScalar {
		if err := p.checkValue(edit.name, edit.items[0]); err != nil {
			return err
		}
	}
	if why := p.static.end.lost; why != nil {
		return p.fail(ErrNotLiteral, why.Line, "%s cannot be set for sure: anything may depend on %s", edit.name, why.Reason)
	}
	value := p.static.Get(edit.name)
	if value.Kind == Unset && value.Dynamic == nil {
		if edit.kind == editScalar && edit.name == "epoch" {
			return p.addEpoch(edit.items[0])
		}
		return p.fail(ErrMissing, 0, "has no variable %s to change", edit.name)
	}
	elements, err := p.elements(edit.name)
	if err != nil {
		return err
	}
	switch {
	case edit.kind == editItem:
		return p.replaceItem(edit, elements)
	case edit.kind == editScalar && len(elements) == 1 && edit.name != "pkgrel" && !elements[0].Literal && p.through(edit, elements[0]):
		return nil
	case edit.kind == editScalar && (value.Kind != Scalar || len(elements) != 1):
		return p.fail(ErrNotLiteral, value.Line, "%s is not a plain variable that is assigned once", edit.name)
	}
	return p.setItems(edit, elements)
}

// checkValue holds the rules of PKGBUILD(5) for the version, so that no foreign tag becomes a PKGBUILD that makepkg refuses.
func (p *editPlan) checkValue(name, value string) error {
	rule := map[string]string{
		"pkgver": `^[!-~]+$`, "pkgrel": `^[0-9]+(\.[0-9]+)?$`, "epoch": `^[0-9]+$`,
	}[name]
	if rule == "" {
		return nil
	}
	if !regexp.MustCompile(rule).MatchString(value) || name == "pkgver" && strings.ContainsAny(value, ":/-<>='\"$`\\&;|(){}[]*?!#") {
		return p.fail(nil, 0, "%q is no legal %s (see PKGBUILD(5))", value, name)
	}
	return nil
}

// elements returns the words that together make the variable, in order: those of the assignment and of the += after it.
func (p *editPlan) elements(name string) ([]Element, error) {
	var out []Element
	first := 0
	for _, a := range p.static.end.assignments {
		if a.Name != name {
			continue
		}
		switch {
		case !a.inFile:
			return nil, p.fail(ErrNotLiteral, a.Line, "%s is assigned by an eval", name)
		case a.Func != "":
			return nil, p.fail(ErrNotLiteral, a.Line, "%s is assigned in the function %s", name, a.Func)
		case a.node.Index != nil || a.Append && !a.Array:
			return nil, p.fail(ErrNotLiteral, a.Line, "%s is made of pieces", name)
		case !a.Append && first > 0:
			return nil, p.fail(ErrNotLiteral, a.Line, "%s is assigned twice, here and in line %d", name, first)
		}
		first = a.Line
		out = append(out, a.Elements...)
	}
	value := p.static.Get(name)
	if len(out) == 0 && len(value.Items) > 0 || value.Dynamic != nil && len(out) == 0 {
		return nil, p.fail(ErrNotLiteral, value.Line, "%s is not assigned in a plain way", name)
	}
	return out, nil
}

func (p *editPlan) setItems(edit Edit, elements []Element) error {
	value := p.static.Get(edit.name)
	plain := !slices.ContainsFunc(elements, func(el Element) bool { return !el.Literal })
	if n := len(value.Items); plain && value.Static() && n != len(edit.items) {
		return p.fail(ErrMissing, value.Line, "%s has %d items, not the %d that are to be set", edit.name, n, len(edit.items))
	}
	p.wants = append(p.wants, want{name: edit.name, items: edit.items, at: -1})
	w := &p.wants[len(p.wants)-1]
	at := 0
	for _, el := range elements {
		n := len(el.Values)
		if el.Dynamic != nil || at+n > len(edit.items) {
			n = min(1, len(edit.items)-at)
		}
		if el.Dynamic == nil && slices.Equal(el.Values, edit.items[at:at+n]) {
			at += n
			continue
		}
		if !el.Literal || el.Dynamic != nil || n == 0 {
			if w.blocked == nil {
				w.blocked = p.notLiteral(edit.name, el)
			}
			at += n
			continue
		}
		if err := p.cut(edit.name, el, edit.items[at]); err != nil {
			return err
		}
		at++
	}
	if w.blocked == nil && at != len(edit.items) {
		return p.fail(ErrMissing, value.Line, "%s has %d items, not the %d that are to be set", edit.name, at, len(edit.items))
	}
	return nil
}

func (p *editPlan) notLiteral(name string, el Element) *Error {
	message := fmt.Sprintf("%s is not written as a literal but as %s", name, shorten(el.Raw))
	if el.Dynamic != nil {
		message += " and needs " + el.Dynamic.Reason
	} else if names := namesIn(el.word); len(names) > 0 {
		message += "; change " + strings.Join(names, ", ") + " instead"
	}
	return p.fail(ErrNotLiteral, el.Line, "%s", message)
}

func (p *editPlan) replaceItem(edit Edit, elements []Element) error {
	items := p.static.Get(edit.name).Items
	found, at, index := -1, 0, 0
	for i, el := range elements {
		if hit := slices.Index(el.Values, edit.old); hit >= 0 {
			if found >= 0 {
				return p.fail(ErrMissing, el.Line, "%s has %q twice, here and in line %d", edit.name, edit.old, elements[found].Line)
			}
			found, index = i, at+hit
		}
		at += len(el.Values)
	}
	if found < 0 {
		return p.fail(ErrMissing, p.static.Get(edit.name).Line, "%s has no item %q", edit.name, edit.old)
	}
	el := elements[found]
	w := want{name: edit.name, items: edit.items, at: index}
	if items == nil { // another item is dynamic: there is no whole to check, so the word itself must be literal
		w.items = nil
	}
	if el.Literal {
		p.wants = append(p.wants, w)
		return p.cut(edit.name, el, edit.items[0])
	}
	w.blocked = p.notLiteral(edit.name, el)
	if items == nil {
		return w.blocked
	}
	p.wants = append(p.wants, w)
	return nil
}

func (p *editPlan) cut(name string, el Element, value string) error {
	text, err := requote(el.word, value)
	if err != nil {
		return p.fail(nil, el.Line, "%s: %v", name, err)
	}
	c := cut{text: text, line: el.Line}
	if el.word != nil {
		c.from, c.to = int(el.word.Pos().Offset()), int(el.word.End().Offset())
	} else {
		end := p.emptyEnd(name)
		c.from, c.to = end, end
	}
	p.cuts = append(p.cuts, c)
	return nil
}

// emptyEnd is the place behind `name=`.
func (p *editPlan) emptyEnd(name string) int {
	for _, a := range p.static.end.assignments {
		if a.Name == name {
			return int(a.node.End().Offset())
		}
	}
	return 0
}

// addEpoch puts a line below the one that assigns pkgrel.
func (p *editPlan) addEpoch(value string) error {
	elements, err := p.elements("pkgrel")
	if err != nil {
		return err
	}
	for _, stmt := range p.file.tree.Stmts {
		end := int(stmt.End().Offset())
		if len(elements) != 1 || elements[0].word == nil || int(elements[0].word.End().Offset()) != end {
			continue
		}
		if eol := bytes.IndexByte(p.file.src[end:], '\n'); eol >= 0 {
			end += eol + 1
			p.cuts = append(p.cuts, cut{from: end, to: end, text: "epoch=" + value + "\n", line: lineAt(p.file.src, end)})
			p.wants = append(p.wants, want{name: "epoch", items: []string{value}, at: -1})
			return nil
		}
	}
	return p.fail(ErrMissing, 0, "has no epoch and no plain pkgrel line to put one below")
}

func (p *editPlan) splice() ([]byte, error) {
	slices.SortFunc(p.cuts, func(a, b cut) int { return a.from - b.from })
	var out bytes.Buffer
	at := 0
	for i, c := range p.cuts {
		if c.from < at || i > 0 && c.from == p.cuts[i-1].from {
			return nil, p.fail(nil, c.line, "the same value is to be changed twice")
		}
		out.Write(p.file.src[at:c.from])
		out.WriteString(c.text)
		at = c.to
	}
	out.Write(p.file.src[at:])
	return out.Bytes(), nil
}

// verify looks whether the edited file says what was asked for.
func (p *editPlan) verify(after *Static) error {
	for _, w := range p.wants {
		got := after.Get(w.name)
		ok := slices.Equal(got.Items, w.items)
		switch {
		case w.at >= 0 && w.items == nil:
			ok = true
		case w.at >= 0:
			ok = w.at < len(got.Items) && got.Items[w.at] == w.items[0]
		case w.blocked == nil && got.Dynamic != nil:
			return p.fail(ErrNotLiteral, got.Dynamic.Line, "%s cannot be set for sure: it needs %s", w.name, got.Dynamic.Reason)
		}
		if ok {
			continue
		}
		if w.blocked != nil {
			return w.blocked
		}
		return p.fail(ErrNotLiteral, got.Line, "%s would be %q instead of %q", w.name, got.Items, w.items)
	}
	return nil
}
