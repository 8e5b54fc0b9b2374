package pkgbuild

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/caur-build/caur/pkg/srcinfo"
)

// keys of a .SRCINFO in the order in which makepkg writes them (its srcinfo.sh and util/schema.sh).
func baseScalars() []string {
	return []string{"pkgdesc", "pkgver", "pkgrel", "epoch", "url", "install", "changelog"}
}

func baseArrays() []string {
	return append([]string{"arch", "groups", "license", "checkdepends", "makedepends", "depends", "optdepends", "provides",
		"conflicts", "replaces", "noextract", "options", "backup", "source", "validpgpkeys"}, ChecksumKeys()...)
}

func packageScalars() []string { return []string{"pkgdesc", "url", "install", "changelog"} }

func packageArrays() []string {
	return []string{"arch", "groups", "license", "checkdepends", "depends", "optdepends", "provides", "conflicts", "replaces",
		"options", "backup"}
}

func archArrays() []string {
	return append([]string{"source", "provides", "conflicts", "depends", "replaces", "optdepends", "makedepends", "checkdepends"},
		ChecksumKeys()...)
}

// ChecksumKeys lists the names of the checksum arrays, without architecture, in makepkg's order.
func ChecksumKeys() []string {
	return []string{"cksums", "md5sums", "sha1sums", "sha224sums", "sha256sums", "sha384sums", "sha512sums", "b2sums"}
}

// Srcinfo makes the .SRCINFO that `makepkg --printsrcinfo` prints. What is dynamic is left out and listed: with an
// empty list the result is the whole .SRCINFO. The error says why there is none, such as a pkgver that is missing or
// dynamic.
func (s *Static) Srcinfo() (*srcinfo.Info, []Dynamic, error) {
	w := &srcinfoWriter{static: s}
	w.base()
	info, _, err := srcinfo.Parse(".SRCINFO", []byte(w.out.String()))
	if err != nil {
		return nil, w.dynamic, fmt.Errorf("make a .SRCINFO: %w", err)
	}
	return info, w.dynamic, nil
}

type srcinfoWriter struct {
	static  *Static
	out     strings.Builder
	dynamic []Dynamic
}

// known returns the items, or notes why they are not known.
func (w *srcinfoWriter) known(v Value, what string) ([]string, bool) {
	if v.Dynamic == nil {
		return v.Items, v.Kind != Unset
	}
	w.dynamic = append(w.dynamic, Dynamic{Name: what, Line: v.Dynamic.Line, Reason: v.Dynamic.Reason})
	return nil, false
}

func (w *srcinfoWriter) base() {
	names, _ := w.known(w.static.Get("pkgname"), "pkgname")
	pkgbase, _ := w.known(w.static.Get("pkgbase"), "pkgbase")
	base := firstOf(pkgbase)
	if base == "" {
		base = firstOf(names)
	}
	fmt.Fprintf(&w.out, "pkgbase = %s\n", base)
	for _, key := range baseScalars() {
		if items, _ := w.known(w.static.Get(key), key); firstOf(items) != "" {
			w.write(key, items[:1])
		}
	}
	for _, key := range baseArrays() {
		w.baseArray(key)
	}
	arches := w.static.Get("arch").Items // if dynamic, it has been noted above
	for _, arch := range arches {
		if arch == "any" {
			continue
		}
		for _, key := range archArrays() {
			w.baseArray(key + "_" + arch)
		}
	}
	for _, name := range names {
		fmt.Fprintf(&w.out, "\npkgname = %s\n", name)
		w.pkg(name, base, arches)
	}
}

func firstOf(items []string) string {
	if len(items) == 0 {
		return ""
	}
	return items[0]
}

func (w *srcinfoWriter) baseArray(key string) {
	if items, ok := w.known(w.static.Get(key), key); ok && len(items) > 0 {
		w.write(key, items)
	}
}

// write puts each value on a line, white space as makepkg's srcinfo_write_attr has it.
func (w *srcinfoWriter) write(key string, values []string) {
	if len(values) == 0 {
		values = []string{""}
	}
	for _, value := range values {
		value = blanks.ReplaceAllString(value, " ")
		value = strings.TrimSuffix(strings.TrimPrefix(value, " "), " ")
		fmt.Fprintf(&w.out, "\t%s = %s\n", key, value)
	}
}

var blanks = regexp.MustCompile(`[ \t\n\v\f\r]+`)

func (w *srcinfoWriter) pkg(name, base string, arches []string) {
	o := w.static.overridesOf(name, base)
	put := func(key string, array bool) Value {
		v, found := o.value(key, array)
		if !found {
			return Value{}
		}
		if items, ok := w.known(v, o.funcName+": "+key); ok {
			w.write(key, items)
		}
		return v
	}
	for _, key := range packageScalars() {
		put(key, false)
	}
	for _, key := range packageArrays() {
		if v := put(key, true); key == "arch" && v.Kind != Unset {
			arches = v.Items
		}
	}
	for _, arch := range arches {
		if arch == "any" {
			continue
		}
		for _, key := range archArrays() {
			put(key+"_"+arch, true)
		}
	}
}

// Override returns the value that makepkg takes for a variable of one package of the file: that of the last assignment in
// package_NAME(), else in package(), the global value for what these leave alone. Conditions inside the function are not looked at: makepkg
// does not run the function for this, it picks out the lines that assign the variable.
func (s *Static) Override(pkgname, key string) (v Value, own bool) {
	array := true
	for _, scalar := range baseScalars() {
		array = array && key != scalar
	}
	if v, own = s.overridesOf(pkgname, "").value(key, array); own {
		return v, true
	}
	return s.Get(key), false
}

// overrides are the lines of a package function that makepkg evaluates when it looks for a variable.
type overrides struct {
	static   *Static
	pkgname  string
	base     string
	funcName string
	fn       *function
	lines    []*syntax.Stmt // statements that begin a line in the output of declare -f
	traps    []overrideTrap
}

// overrideTrap is text in the function, not code, that may look like an assignment to makepkg's search.
type overrideTrap struct {
	node syntax.Node
	text string
}

func (s *Static) overridesOf(pkgname, base string) *overrides {
	o := &overrides{static: s, pkgname: pkgname, base: base, funcName: "package_" + pkgname}
	o.fn = s.end.funcs[o.funcName]
	if o.fn == nil {
		o.funcName = "package"
		o.fn = s.end.funcs[o.funcName]
	}
	if o.fn != nil && o.fn.decl != nil {
		o.collect(o.fn.decl.Body)
		slices.SortStableFunc(o.lines, func(a, b *syntax.Stmt) int { return int(a.Pos().Offset()) - int(b.Pos().Offset()) })
	}
	return o
}

// collect finds the statements that declare -f prints at the start of a line: those of lists, but not what follows && or
// stands first in a subshell.
func (o *overrides) collect(body *syntax.Stmt) {
	syntax.Walk(body, func(node syntax.Node) bool {
		switch node := node.(type) {
		case *syntax.Block:
			o.lines = append(o.lines, node.Stmts...)
		case *syntax.IfClause:
			o.lines = append(o.lines, node.Then...)
			o.lines = append(o.lines, after(node.Cond)...)
		case *syntax.WhileClause:
			o.lines = append(o.lines, node.Do...)
			o.lines = append(o.lines, after(node.Cond)...)
		case *syntax.ForClause:
			o.lines = append(o.lines, node.Do...)
		case *syntax.CaseItem:
			o.lines = append(o.lines, node.Stmts...)
		case *syntax.Subshell:
			o.lines = append(o.lines, after(node.Stmts)...)
		case *syntax.SglQuoted:
			o.trap(node, node.Value)
		case *syntax.DblQuoted:
			o.trap(node, o.fn.text.of(node))
		case *syntax.CmdSubst:
			o.trap(node, o.fn.text.of(node))
			return false
		case *syntax.Redirect:
			if node.Hdoc != nil {
				o.trap(node.Hdoc, "\n"+o.fn.text.of(node.Hdoc))
			}
		}
		return true
	})
}

func after(stmts []*syntax.Stmt) []*syntax.Stmt {
	if len(stmts) == 0 {
		return nil
	}
	return stmts[1:]
}

func (o *overrides) trap(node syntax.Node, text string) {
	if strings.Contains(text, "\n") {
		o.traps = append(o.traps, overrideTrap{node, text})
	}
}

// value evaluates the assignments to key one after the other, starting from the global value, as makepkg's get_pkgbuild_attribute does.
func (o *overrides) value(key string, array bool) (Value, bool) {
	if why := o.unknown(key, array); why != nil {
		return Value{Dynamic: why}, true
	}
	const out = "outvalue"
	var e *evaluator
	for _, stmt := range o.lines {
		call, ok := stmt.Cmd.(*syntax.CallExpr)
		if !ok || len(call.Assigns) == 0 || stmt.Negated || !picks(call.Assigns[0], key, array) {
			continue
		}
		if e == nil {
			e = o.begin(key, array, out)
		}
		if len(call.Assigns) > 1 || len(call.Args) > 0 || len(stmt.Redirs) > 0 || stmt.Background || multiline(call.Assigns[0]) {
			return Value{Dynamic: e.dynamic(stmt, "a line that does more than assign it")}, true
		}
		e.assign(call.Assigns[0], out)
	}
	if e == nil {
		return Value{}, false
	}
	v := e.vars[out].value(key)
	if !array && v.Dynamic == nil {
		v.Items = []string{e.vars[out].str}
	}
	return v, true
}

// picks reports whether makepkg's search takes an assignment: name=( for arrays, name= with anything else for scalars.
func picks(a *syntax.Assign, key string, array bool) bool {
	return a.Name.Value == key && a.Index == nil && (a.Array != nil) == array
}

// multiline reports whether an assignment takes more than one line when bash prints it: makepkg reads only the first.
func multiline(a *syntax.Assign) bool {
	found := false
	syntax.Walk(a, func(node syntax.Node) bool {
		switch node := node.(type) {
		case *syntax.SglQuoted:
			found = found || strings.Contains(node.Value, "\n")
		case *syntax.DblQuoted:
			for _, part := range node.Parts {
				if lit, ok := part.(*syntax.Lit); ok {
					found = found || strings.Contains(lit.Value, "\n")
				}
			}
		}
		return true
	})
	return found
}

// begin prepares the variables that exist when makepkg evaluates a line of a package function.
func (o *overrides) begin(key string, array bool, out string) *evaluator {
	e := o.static.fork()
	e.text = o.fn.text
	e.vars["pkgname"] = &variable{kind: Scalar, str: o.pkgname}
	if v, _ := e.vars["pkgbase"].first(); v == "" && o.base != "" {
		e.vars["pkgbase"] = &variable{kind: Scalar, str: o.base}
	}
	delete(e.vars, out)
	global := o.static.end.vars[key]
	switch {
	case global != nil && global.dyn != nil:
		e.vars[out] = global
	case array:
		e.vars[out] = &variable{kind: Array, list: global.asList()}
	default:
		value, _ := global.first()
		e.vars[out] = &variable{kind: Scalar, str: value}
	}
	return e
}

// unknown says why it cannot be told what the function assigns.
func (o *overrides) unknown(key string, array bool) *Dynamic {
	if why := o.static.end.lost; why != nil {
		return why
	}
	if o.fn == nil {
		return nil
	}
	if o.fn.dyn != nil {
		return o.fn.dyn
	}
	if len(o.traps) == 0 {
		return nil
	}
	end := `\+?=[^(]`
	if array {
		end = `\+?=\(`
	}
	search := regexp.MustCompile(`\n[ \t]* ` + regexp.QuoteMeta(key) + end)
	for _, trap := range o.traps {
		if search.MatchString(trap.text) {
			return &Dynamic{Line: o.fn.text.lineOf(trap.node), Reason: "text over several lines that makepkg takes for an assignment"}
		}
	}
	return nil
}
