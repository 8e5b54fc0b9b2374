package review

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/caur-build/caur/internal/pkgbuild"
)

// side is one version of a bash file.
type side struct {
	data   []byte
	file   *pkgbuild.File
	err    error
	units  []unit
	static *pkgbuild.Static
	made   map[string]pkgbuild.Assignment // top-level assignments by name and line
}

// unit is a top-level statement, or one assignment of a statement of assignments.
type unit struct {
	key    string // what it is: the variable and how many came before it, the function, or its form
	name   string // of the variable or function; "" for other statements
	line   int
	text   string
	node   syntax.Node
	raw    bool // quotes count in its form
	assign *syntax.Assign
	fn     *syntax.FuncDecl
	value  *syntax.Word // of `: ${name:=value}`
}

const (
	maxForm  = 1 << 16 // bytes of a statement outside of functions that is compared without regard to layout
	maxUnits = 10_000  // top-level statements; more are not compared one by one
)

func newSide(name string, data []byte) *side {
	s := &side{data: data}
	s.file, s.err = pkgbuild.Parse(name, data)
	if s.err != nil {
		return s
	}
	raw := strings.Contains(string(data), "alias") // then a quote decides whether a word is one
	count := map[string]int{}
	add := func(u unit, prefix string) {
		u.text = s.file.Text(u.node)
		u.line = int(u.node.Pos().Line())
		u.raw = raw
		u.key = prefix + u.name
		switch {
		case u.name == "" && len(u.text) > maxForm:
			u.key += u.text
		case u.name == "":
			u.key += formOf(u.node, raw)
		}
		count[u.key]++
		u.key = fmt.Sprintf("%s#%d", u.key, count[u.key])
		s.units = append(s.units, u)
	}
	for _, st := range s.file.Tree().Stmts {
		if len(s.units) >= maxUnits {
			break
		}
		switch cmd := st.Cmd.(type) {
		case *syntax.FuncDecl:
			if len(st.Redirs) == 0 && !st.Background && !st.Negated {
				add(unit{name: cmd.Name.Value, node: cmd, fn: cmd}, "f:")
				continue
			}
		case *syntax.CallExpr:
			if len(cmd.Args) == 0 && len(st.Redirs) == 0 && !st.Background && !st.Negated && !st.Coprocess {
				for _, a := range cmd.Assigns {
					add(unit{name: a.Name.Value, node: a, assign: a}, "v:")
				}
				continue
			}
			if p := defaultOf(st); p != nil {
				add(unit{name: p.Param.Value, node: st, value: p.Exp.Word}, "d:")
				continue
			}
		}
		add(unit{node: st}, "s:")
	}
	return s
}

// same says whether two statements do the same. The same text in a file of the same kind does, which is what most of a
// file is.
func (u unit) same(o unit) bool {
	return u.raw == o.raw && u.text == o.text || formOf(u.node, u.raw || o.raw) == formOf(o.node, u.raw || o.raw)
}

// defaultOf recognises `: ${name:=value}`.
func defaultOf(st *syntax.Stmt) *syntax.ParamExp {
	call := st.Cmd.(*syntax.CallExpr)
	if len(call.Assigns) > 0 || len(call.Args) != 2 || call.Args[0].Lit() != ":" || len(st.Redirs) > 0 || st.Background || st.Negated || len(call.Args[1].Parts) != 1 {
		return nil
	}
	part := call.Args[1].Parts[0]
	if quoted, ok := part.(*syntax.DblQuoted); ok && len(quoted.Parts) == 1 {
		part = quoted.Parts[0]
	}
	p, ok := part.(*syntax.ParamExp)
	if !ok || p.Param == nil || p.Excl || p.Length || p.Index != nil || p.Exp == nil || p.Exp.Op != syntax.AssignUnsetOrNull && p.Exp.Op != syntax.AssignUnset {
		return nil
	}
	return p
}

// eval evaluates what is static, once.
func (s *side) eval() *pkgbuild.Static {
	if s.static == nil && s.file != nil {
		s.static = s.file.Static()
		s.made = map[string]pkgbuild.Assignment{}
		for _, a := range s.static.Assignments() {
			key := fmt.Sprintf("%s:%d", a.Name, a.Line)
			if _, twice := s.made[key]; twice || a.Func != "" {
				a = pkgbuild.Assignment{Line: -1} // which of them is meant cannot be told
			}
			s.made[key] = a
		}
	}
	return s.static
}

// elements gives the words of an assignment and what they mean; ok is false when the evaluator does not know the
// assignment, as where it stands on a line with another of the same name.
func (s *side) elements(u unit) (list []pkgbuild.Element, ok bool) {
	s.eval()
	a, ok := s.made[fmt.Sprintf("%s:%d", u.name, u.line)]
	if !ok || a.Line < 0 || a.Append != u.assign.Append || a.Array != (u.assign.Array != nil) || !s.written(u, a.Elements) {
		return nil, false
	}
	return a.Elements, true
}

// written says whether the elements are the words of this very assignment.
func (s *side) written(u unit, list []pkgbuild.Element) bool {
	if u.assign.Array == nil {
		return len(list) == 1 && (u.assign.Value == nil && list[0].Raw == "" || u.assign.Value != nil && s.file.Text(u.assign.Value) == list[0].Raw)
	}
	if len(list) != len(u.assign.Array.Elems) {
		return false
	}
	for i, el := range u.assign.Array.Elems {
		if el.Value == nil || s.file.Text(el.Value) != list[i].Raw {
			return false
		}
	}
	return true
}

// values are the evaluated items of an assignment; known is false when one of them is dynamic.
func values(list []pkgbuild.Element) (out []string, known bool) {
	for _, e := range list {
		if e.Dynamic != nil {
			return nil, false
		}
		out = append(out, e.Values...)
	}
	return out, true
}

// comparePKGBUILD compares two readable versions of the PKGBUILD.
func (j *judging) comparePKGBUILD(name string, older, newer *side) {
	if max(len(older.units), len(newer.units)) >= maxUnits {
		j.find("too-much", name, 0, "", "", "")
		return
	}
	before := map[string]unit{}
	for _, u := range older.units {
		before[u.key] = u
	}
	var changed [][2]unit
	var added []unit
	for _, n := range newer.units {
		o, ok := before[n.key]
		switch {
		case !ok:
			added = append(added, n)
		case !o.same(n):
			changed = append(changed, [2]unit{o, n})
		}
		delete(before, n.key)
	}
	// versions first: what they are is left out where the others are compared
	slices.SortStableFunc(changed, func(a, b [2]unit) int { return rank(a[1]) - rank(b[1]) })
	j.releases(older, newer)
	for _, pair := range changed {
		j.changedUnit(name, pair[0], pair[1])
	}
	for _, n := range added {
		j.addedUnit(name, n)
	}
	for _, o := range older.units {
		if _, gone := before[o.key]; gone {
			j.removedUnit(name, o)
		}
	}
	j.compareOrder(name)
	j.compareHosts(name)
	j.compareHeader(name)
}

// releases notes pkgver-pkgrel as one version, where both are plain.
func (j *judging) releases(older, newer *side) {
	whole := func(s *side) (ver, rel string) {
		for _, u := range s.units {
			if u.assign != nil && u.assign.Array == nil && !u.assign.Append {
				switch u.name {
				case "pkgver":
					ver = literalOf(u.assign.Value)
				case "pkgrel":
					rel = literalOf(u.assign.Value)
				}
			}
		}
		return ver, rel
	}
	v1, r1 := whole(older)
	v2, r2 := whole(newer)
	if !pkgverForm().MatchString(v1) || !pkgverForm().MatchString(v2) || !pkgrelForm().MatchString(r1) || !pkgrelForm().MatchString(r2) || v1+r1 == v2+r2 {
		return
	}
	j.places.pair(v1+"-"+r1, v2+"-"+r2)
	j.places.pair(v1+"-"+r1, v2)
	j.places.pair(v1, v2+"-"+r2)
}

func rank(u unit) int {
	switch {
	case u.value != nil:
		return 0
	case u.assign == nil:
		return 3
	case u.name == "pkgver" || u.name == "pkgrel" || u.name == "epoch" || strings.HasPrefix(u.name, "_"):
		return 0
	case isSource(u.name):
		return 1
	}
	return 2
}

func (j *judging) changedUnit(file string, o, n unit) {
	switch {
	case n.assign != nil:
		j.changedAssign(file, o, n)
	case n.fn != nil:
		j.changedFunction(file, o, n)
	case n.value != nil:
		j.changedDefault(file, o, n)
	default:
		j.find("top-level", file, n.line, o.text, n.text, "")
	}
}

func (j *judging) changedFunction(file string, o, n unit) {
	line, before, after := firstDifference(o, n, j.older.file, j.newer.file)
	if j.allow(file, line, before, after, [2]string{before, after}, n.name+"()") {
		return
	}
	j.find("function-changed", file, line, before, after, n.name+"()")
}

// firstDifference narrows a changed function down to the statements that differ.
func firstDifference(o, n unit, older, newer *pkgbuild.File) (line int, before, after string) {
	a, b := bodyOf(o.fn), bodyOf(n.fn)
	same := func(x, y *syntax.Stmt) bool {
		return older.Text(x) == newer.Text(y) && older.Text(x) != "" || formOf(x, true) == formOf(y, true)
	}
	for len(a) > 0 && len(b) > 0 && same(a[0], b[0]) {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && same(a[len(a)-1], b[len(b)-1]) {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	line = n.line
	if len(b) > 0 {
		line = int(b[0].Pos().Line())
	}
	return line, between(older, a), between(newer, b)
}

func bodyOf(fn *syntax.FuncDecl) []*syntax.Stmt {
	if block, ok := fn.Body.Cmd.(*syntax.Block); ok && len(fn.Body.Redirs) == 0 {
		return block.Stmts
	}
	return []*syntax.Stmt{fn.Body}
}

func between(f *pkgbuild.File, list []*syntax.Stmt) string {
	if len(list) == 0 {
		return ""
	}
	src := f.Bytes()
	return string(src[min(int(list[0].Pos().Offset()), len(src)):min(int(list[len(list)-1].End().Offset()), len(src))])
}

func (j *judging) addedUnit(file string, n unit) {
	switch {
	case n.fn != nil:
		j.find("function-added", file, n.line, "", n.text, n.name+"()")
	case n.assign == nil:
		if !j.allow(file, n.line, "", n.text, [2]string{"", n.text}, "") {
			j.find("top-level", file, n.line, "", n.text, "")
		}
	case n.name == "epoch" && j.addedEpoch(file, n):
	case isSource(n.name):
		j.compareSources(file, n.name, n.line, nil, j.elementsOf(j.newer, n))
	default:
		j.substitution(file, n)
		if !j.allow(file, n.line, "", n.text, [2]string{"", n.text}, n.name) {
			j.find(j.variableRule(n.name, nil, j.valuesOf(j.newer, n)), file, n.line, "", n.text, n.name)
		}
	}
}

func (j *judging) removedUnit(file string, o unit) {
	switch {
	case o.fn != nil:
		j.find("function-removed", file, o.line, o.text, "", o.name+"()")
	case o.assign == nil:
		j.find("top-level", file, o.line, o.text, "", "")
	case o.name == "epoch":
		j.find("epoch-abuse", file, o.line, o.text, "", "")
	case isSource(o.name):
		j.compareSources(file, o.name, o.line, j.elementsOf(j.older, o), nil)
	case isChecksum(o.name):
		j.find("checksum-weaker", file, o.line, o.text, "", o.name)
	default:
		if !j.allow(file, o.line, o.text, "", [2]string{o.text, ""}, o.name) {
			j.find(j.variableRule(o.name, j.valuesOf(j.older, o), nil), file, o.line, o.text, "", o.name)
		}
	}
}

// substitution reports commands that run when the value is made.
func (j *judging) substitution(file string, n unit) bool {
	if !substitutes(n.node) {
		return false
	}
	j.find("top-level-substitution", file, n.line, "", n.text, n.name)
	return true
}

// substitutes says whether anything is run to expand what a node holds, assigned in passing, or read indirectly.
func substitutes(node syntax.Node) bool {
	found := false
	syntax.Walk(node, func(x syntax.Node) bool {
		switch x := x.(type) {
		case *syntax.CmdSubst, *syntax.ProcSubst:
			found = true
		case *syntax.ParamExp:
			found = found || x.Excl || x.Exp != nil && x.Exp.Op == syntax.OtherParamOps
		}
		return !found
	})
	return found
}

func (j *judging) elementsOf(s *side, u unit) []pkgbuild.Element {
	list, ok := s.elements(u)
	if !ok {
		return []pkgbuild.Element{{Raw: u.text, Line: u.line, Dynamic: &pkgbuild.Dynamic{Name: u.name, Line: u.line, Reason: "not followed"}}}
	}
	return list
}

func (j *judging) valuesOf(s *side, u unit) []string {
	list, _ := values(j.elementsOf(s, u))
	return list
}

var headerLine = lazily(`^\s*(?i:maintainer|co-maintainer)s?\s*:?\s*(.+)$`)

// headerPeople are the maintainers whom the comments at the head of a PKGBUILD name, in lower case.
func headerPeople(data []byte) (list []string, line int) {
	number := 0
	for text := range bytes.Lines(data[:min(len(data), 8192)]) {
		number++
		text, isComment := bytes.CutPrefix(bytes.TrimSpace(text), []byte("#"))
		if !isComment || len(list) == 20 {
			continue
		}
		if m := headerLine().FindSubmatch(text); m != nil {
			if line == 0 {
				line = number
			}
			list = append(list, strings.ToLower(strings.Join(strings.Fields(string(m[1])), " ")))
		}
	}
	return list, line
}

// compareHeader compares the people that the comments name as maintainers.
func (j *judging) compareHeader(file string) {
	before, _ := headerPeople(j.older.data)
	after, line := headerPeople(j.newer.data)
	if len(before) == 0 || len(after) == 0 || slices.ContainsFunc(after, func(name string) bool { return slices.Contains(before, name) }) {
		return
	}
	j.find("maintainer-header", file, line, strings.Join(before, ", "), strings.Join(after, ", "), "")
}
