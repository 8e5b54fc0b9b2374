package pkgbuild

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Change is a key of a .SRCINFO whose values differ between two versions of a PKGBUILD.
type Change struct {
	Pkgname  string   // whose section; "" is the base
	Key      string   // with its architecture: source_x86_64
	Old, New []string // as makepkg writes them; none: the key is not there
	// Partial: Old and New are not all values but those that changed, one for one; the others are dynamic, and do not depend
	// on anything that differs.
	Partial bool
}

// Changes lists what differs in the .SRCINFO of two versions of a file, before and after Apply, in the order of a .SRCINFO. What is dynamic in
// both and does not depend on anything that differs is the same, whatever it is. The error is a *Dynamic that names a
// value of which this cannot be said.
func Changes(before, after *File) ([]Change, error) {
	c := &comparison{before: before.Static(), after: after.Static()}
	for _, s := range []*Static{c.before, c.after} {
		if why := s.end.lost; why != nil {
			return nil, &Dynamic{Name: "everything", Line: why.Line, Reason: why.Reason}
		}
	}
	older, err := c.before.fields()
	if err != nil {
		return nil, err
	}
	newer, err := c.after.fields()
	if err != nil {
		return nil, err
	}
	c.uses = usesOf(after.tree)
	c.olderBy, c.newerBy = elementsBy(c.before), elementsBy(c.after)
	c.findDependent()
	return c.changes(older, newer)
}

type comparison struct {
	before, after    *Static
	olderBy, newerBy map[string]*elements
	uses             uses
	dependent        map[string]bool // variables that differ, or may do so because they depend on one that differs
}

type fieldID struct{ pkgname, key string }

func (c *comparison) changes(older, newer []field) ([]Change, error) {
	old := map[fieldID]field{}
	for _, f := range older {
		old[fieldID{f.pkgname, f.key}] = f
	}
	var list []Change
	for _, now := range newer {
		id := fieldID{now.pkgname, now.key}
		was := old[id]
		delete(old, id)
		switch {
		case now.dyn != nil || was.dyn != nil:
			more, err := c.partly(was, now)
			if err != nil {
				return nil, err
			}
			if more != nil {
				list = append(list, *more)
			}
		case !slices.Equal(was.items, now.items):
			list = append(list, Change{Pkgname: now.pkgname, Key: now.key, Old: was.items, New: now.items})
		}
	}
	for _, f := range older { // what is no longer there, in order
		was, gone := old[fieldID{f.pkgname, f.key}]
		if !gone {
			continue
		}
		if was.dyn != nil || was.key == "pkgname" {
			return nil, &Dynamic{Name: was.key, Line: c.before.Get(was.key).Line, Reason: "a condition on what changes"}
		}
		list = append(list, Change{Pkgname: was.pkgname, Key: was.key, Old: was.items})
	}
	return list, nil
}

// partly compares a key with values that are unknown.
func (c *comparison) partly(was, now field) (*Change, error) {
	why := now.dyn
	if why == nil {
		why = was.dyn
	}
	name := now.key
	if !c.dependent[name] && !c.uses.unknown {
		return nil, nil
	}
	older, newer := c.olderBy[name], c.newerBy[name]
	whole := (was.dyn == nil) != (now.dyn == nil) || now.pkgname != "" || c.after.Get(name).Kind != Array || c.uses.unknown
	if whole || older == nil || newer == nil || len(older.list) != len(newer.list) || c.elsewhere(name, newer) {
		return nil, why
	}
	change := Change{Key: name, Partial: true}
	for i, el := range newer.list {
		was := older.list[i]
		switch {
		case el.Dynamic != nil || was.Dynamic != nil:
			if c.wordDepends(el.word) {
				return nil, &Dynamic{Name: name, Line: el.Line, Reason: why.Reason}
			}
		case len(el.Values) != len(was.Values):
			return nil, &Dynamic{Name: name, Line: el.Line, Reason: "a number of items that changes"}
		default:
			for j, value := range el.Values {
				if old := was.Values[j]; old != value {
					change.Old, change.New = append(change.Old, squeeze(old)), append(change.New, squeeze(value))
				}
			}
		}
	}
	if len(change.New) == 0 {
		return nil, nil
	}
	return &change, nil
}

// elements are the words that a global variable is sure to get.
type elements struct {
	list  []Element
	nodes map[*syntax.Assign]bool // their assignments
}

func elementsBy(s *Static) map[string]*elements {
	by := map[string]*elements{}
	for _, a := range s.end.assignments {
		e := by[a.Name]
		if e == nil || !a.Append {
			e = &elements{nodes: map[*syntax.Assign]bool{}}
			by[a.Name] = e
		}
		if !a.unsure {
			e.list = append(e.list, a.Elements...)
			e.nodes[a.node] = true
		}
	}
	return by
}

// elsewhere says whether a statement that is not sure to run, or is no plain assignment, may give the variable something
// that differs.
func (c *comparison) elsewhere(name string, known *elements) bool {
	for _, u := range c.uses.writers[name] {
		plain := !u.other[name]
		for _, a := range u.assigns[name] {
			plain = plain && known.nodes[a]
		}
		if !plain && c.readsDependent(u) {
			return true
		}
	}
	return false
}

// findDependent finds the variables that do not have the same value, or are not written in the same way, and all that may
// depend on them.
func (c *comparison) findDependent() {
	var todo []string
	for _, name := range slices.Concat(c.before.Names(), c.after.Names()) {
		was, now := c.before.Get(name), c.after.Get(name)
		differs := was.Static() != now.Static() || !slices.Equal(was.Items, now.Items)
		if older, newer := c.olderBy[name], c.newerBy[name]; !now.Static() && older != nil && newer != nil {
			differs = differs || !slices.EqualFunc(older.list, newer.list, func(a, b Element) bool { return a.Raw == b.Raw })
		}
		if differs {
			todo = append(todo, name)
		}
	}
	c.dependent = c.uses.dependents(todo)
}

func (c *comparison) wordDepends(word *syntax.Word) bool {
	if word == nil {
		return false
	}
	u := newUnit(c.uses.known)
	u.add(word)
	for name := range u.reads {
		if !syntax.ValidName(name) && !strings.HasSuffix(name, "()") { // $1: any caller may give it anything
			return true
		}
	}
	return u.unknown || c.readsDependent(u)
}

func (c *comparison) readsDependent(u *unit) bool {
	for name := range u.reads {
		if c.dependent[name] {
			return true
		}
	}
	return false
}

// squeeze is white space as makepkg writes it into a .SRCINFO.
func squeeze(value string) string {
	return strings.TrimSuffix(strings.TrimPrefix(blanks.ReplaceAllString(value, " "), " "), " ")
}
