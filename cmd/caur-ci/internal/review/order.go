package review

import (
	"slices"

	"mvdan.cc/sh/v3/syntax"
)

// compareOrder looks whether statements changed places, and whether that can matter.
func (j *judging) compareOrder(file string) {
	old := map[string]bool{}
	for _, u := range j.older.units {
		old[u.key] = true
	}
	now := map[string]unit{}
	for _, u := range j.newer.units {
		now[u.key] = u
	}
	kept := func(list []unit, in func(string) bool) (out []unit) {
		for _, u := range list {
			if in(u.key) {
				out = append(out, u)
			}
		}
		return out
	}
	a := kept(j.older.units, func(k string) bool { _, ok := now[k]; return ok })
	b := kept(j.newer.units, func(k string) bool { return old[k] })
	sameKey := func(x, y unit) bool { return x.key == y.key }
	if slices.EqualFunc(a, b, sameKey) {
		return
	}
	line := 0
	for i := range b {
		if i < len(a) && a[i].key != b[i].key {
			line = b[i].line
			break
		}
	}
	fixed := func(list []unit) (out []unit) {
		count := map[string]int{}
		for _, u := range list {
			count[nameOf(u)]++
		}
		for _, u := range list {
			if !movable(u, count) {
				out = append(out, u)
			}
		}
		return out
	}
	if slices.EqualFunc(fixed(a), fixed(b), sameKey) && !slices.ContainsFunc(b, func(u unit) bool { return u.name == "" }) && j.sameValues() {
		j.find("order", file, line, "", "", "")
		return
	}
	j.find("top-level", file, line, "", "", "statements in another order")
}

// movable: a function or a plain assignment that is the only one of its name means the same wherever it stands, as long
// as every value stays what it was.
func movable(u unit, count map[string]int) bool {
	switch {
	case u.name == "" || count[nameOf(u)] != 1:
		return false
	case u.fn != nil:
		return true
	}
	return u.assign != nil && !u.assign.Append && u.assign.Index == nil && !assignsInPassing(u.node)
}

func nameOf(u unit) string {
	if u.fn != nil {
		return u.name + "()"
	}
	return u.name
}

func assignsInPassing(node syntax.Node) bool {
	if substitutes(node) {
		return true
	}
	found := false
	syntax.Walk(node, func(x syntax.Node) bool {
		switch x := x.(type) {
		case *syntax.ParamExp:
			found = found || x.Exp != nil && (x.Exp.Op == syntax.AssignUnset || x.Exp.Op == syntax.AssignUnsetOrNull || x.Exp.Op == syntax.ErrorUnset || x.Exp.Op == syntax.ErrorUnsetOrNull)
		case *syntax.ArithmExp:
			found = true
		}
		return !found
	})
	return found
}

// sameValues: every variable is static and has the value that it had, but for versions.
func (j *judging) sameValues() bool {
	older, newer := j.older.eval(), j.newer.eval()
	if !slices.Equal(older.Names(), newer.Names()) {
		return false
	}
	for _, name := range newer.Names() {
		a, b := older.Get(name), newer.Get(name)
		if !a.Static() || !b.Static() || a.Kind != b.Kind {
			return false
		}
		judged := isChecksum(name) || isSource(name) || name == "pkgver" || name == "pkgrel" || name == "epoch" || j.pins[name]
		if !judged && !slices.Equal(a.Items, b.Items) && !j.places.equal(a.Items, b.Items) {
			return false
		}
	}
	return true
}
