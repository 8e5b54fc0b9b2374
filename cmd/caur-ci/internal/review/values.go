package review

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/pkg/srcinfo"
)

var (
	pkgverForm  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~@^]*$`)
	pkgrelForm  = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`)
	epochForm   = regexp.MustCompile(`^[0-9]{1,9}$`)
	hashForm    = regexp.MustCompile(`^[0-9a-fA-F]{7,128}$`)
	tokenForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~:@-]*$`)
	strictForm  = regexp.MustCompile(`^[vVr]?[0-9]+(\.[0-9]+)+([._+~-]?[A-Za-z0-9]+)*$|^[0-9]{5,}$`)
	versionHint = regexp.MustCompile(`(?i)(ver|version|commit|rev|revision|tag|sha[0-9]*|hash|build|release|date|snapshot|timestamp|patch|patchlevel|major|minor|micro|rc|beta|pre|rel|count|sum|cksum|vername|id)[0-9a-z]?$`)
)

// keys that makepkg gives a meaning to and that hold neither versions nor sources (PKGBUILD(5)).
var ruleOf = map[string]string{
	"pkgname": "pkgname", "pkgbase": "pkgname", "pkgdesc": "metadata", "url": "metadata", "license": "metadata", "arch": "metadata", "groups": "metadata", "changelog": "metadata",
	"depends": "dependency", "makedepends": "dependency", "checkdepends": "dependency", "optdepends": "metadata", "conflicts": "takes-over", "provides": "takes-over", "replaces": "takes-over",
	"install": "install-variable", "options": "options", "backup": "options", "noextract": "options", "validpgpkeys": "pgpkeys", "pkgver": "version-form", "pkgrel": "version-form", "epoch": "epoch-abuse",
}

// keyOf takes the architecture off the name of an array: depends_x86_64.
func keyOf(name string) string {
	if head, _, ok := strings.Cut(name, "_"); ok && head != "" {
		if _, known := ruleOf[head]; known || head == "source" || slices.Contains(pkgbuild.ChecksumKeys(), head) {
			return head
		}
	}
	return name
}

func isSource(name string) bool   { return keyOf(name) == "source" }
func isChecksum(name string) bool { return slices.Contains(pkgbuild.ChecksumKeys(), keyOf(name)) }

func (j *judging) changedAssign(file string, o, n unit) {
	before, after := j.elementsOf(j.older, o), j.elementsOf(j.newer, n)
	sameKind := o.assign.Append == n.assign.Append && (o.assign.Array == nil) == (n.assign.Array == nil) && !indexed(o.assign) && !indexed(n.assign)
	scalar := sameKind && n.assign.Array == nil && len(before) == 1 && len(after) == 1 && !n.assign.Append
	switch {
	case scalar && (n.name == "pkgver" || n.name == "pkgrel" || n.name == "epoch"):
		j.changedVersion(file, o, n, before[0], after[0])
	case scalar && j.changedPin(file, n, before[0], after[0]):
	case !sameKind, j.passing(o, n):
		j.otherAssign(file, o, n, before, after, false)
	case isChecksum(n.name):
		j.compareChecksums(file, n, before, after)
	case isSource(n.name):
		j.compareSources(file, n.name, n.line, before, after)
	default:
		j.otherAssign(file, o, n, before, after, true)
	}
}

// indexed: a[1]=x, and a=([1]=x).
func indexed(a *syntax.Assign) bool {
	return a.Index != nil || a.Array != nil && slices.ContainsFunc(a.Array.Elems, func(e *syntax.ArrayElem) bool { return e.Index != nil })
}

// passing: something is newly assigned, or run, while the value is made: ${x:=y}, $((x=1)). It is not the value alone then.
func (j *judging) passing(o, n unit) bool {
	return !substitutes(n.node) && assignsInPassing(n.node) && !assignsInPassing(o.node)
}

// changedVersion judges pkgver, pkgrel and epoch.
func (j *judging) changedVersion(file string, was, n unit, o, e pkgbuild.Element) {
	before, after := first(o.Values), first(e.Values)
	form := map[string]*regexp.Regexp{"pkgver": pkgverForm, "pkgrel": pkgrelForm, "epoch": epochForm}[n.name]
	switch {
	case !e.Literal && o.Literal:
		j.find("version-expansion", file, e.Line, o.Raw, e.Raw, n.name)
	case !e.Literal && !(e.Dynamic == nil && o.Dynamic == nil && sameShape(was.assign.Value, n.assign.Value)):
		if !j.substitution(file, n) {
			j.find("version-form", file, e.Line, o.Raw, e.Raw, n.name)
		}
	case !form.MatchString(after) || len(after) > 200 || !strings.ContainsAny(after, "0123456789"):
		j.find("version-form", file, e.Line, o.Raw, e.Raw, n.name)
	case n.name == "epoch":
		j.changedEpoch(file, e.Line, before, after)
	case before == after:
		j.find("layout", file, e.Line, o.Raw, e.Raw, n.name)
	default:
		j.find("version", file, e.Line, before, after, n.name)
		if n.name == "pkgver" {
			j.places.add(before, after)
			if srcinfo.Vercmp(before, after) > 0 && before != "" {
				j.find("version-older", file, e.Line, before, after, "")
			}
		}
	}
}

// sameShape: two words have the same expansions in the same places, and between them only text that is part of a version.
func sameShape(a, b *syntax.Word) bool {
	x, ok1 := quotedPieces(a)
	y, ok2 := quotedPieces(b)
	if !ok1 || !ok2 || len(x) != len(y) {
		return false
	}
	for i := range x {
		switch {
		case x[i].part == nil && y[i].part == nil:
			if strings.Trim(x[i].text+y[i].text, versionBytes) != "" {
				return false
			}
		case x[i].part == nil || y[i].part == nil || formOf(x[i].part, true) != formOf(y[i].part, true):
			return false
		}
	}
	return true
}

const versionBytes = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._+~"

func (j *judging) changedEpoch(file string, line int, before, after string) {
	x, err1 := strconv.Atoi("0" + before)
	y, err2 := strconv.Atoi("0" + after)
	switch {
	case err1 != nil || err2 != nil || y < x || y > x+1:
		j.find("epoch-abuse", file, line, before, after, "")
	case y == x:
		j.find("layout", file, line, before, after, "")
	default:
		j.find("epoch", file, line, before, after, "")
	}
}

func (j *judging) addedEpoch(file string, n unit) bool {
	list := j.elementsOf(j.newer, n)
	if n.assign.Array != nil || n.assign.Append || len(list) != 1 || !list[0].Literal || !epochForm.MatchString(first(list[0].Values)) {
		j.find("version-expansion", file, n.line, "", n.text, "epoch")
		return true
	}
	j.changedEpoch(file, n.line, "", first(list[0].Values))
	return true
}

// changedPin judges a variable such as _commit whose value is a version or a hash; false when it is none.
func (j *judging) changedPin(file string, n unit, o, e pkgbuild.Element) bool {
	before, after := first(o.Values), first(e.Values)
	_, known := ruleOf[keyOf(n.name)]
	if known || !strings.HasPrefix(n.name, "_") && (!versionHint.MatchString(n.name) || strings.ToLower(n.name) != n.name) || !o.Literal || !pinned(n.name, before) {
		return false
	}
	switch {
	case before == after && e.Literal:
		j.find("layout", file, e.Line, o.Raw, e.Raw, n.name)
	case !e.Literal:
		j.find("version-expansion", file, e.Line, o.Raw, e.Raw, n.name)
	case hashForm.MatchString(before) && len(before) >= 12 && (!hashForm.MatchString(after) || len(after) < len(before)):
		j.find("pin-lost", file, e.Line, before, after, n.name)
	case !versionLike(n.name, before, after):
		return false
	default:
		j.pin(file, e.Line, before, after, n.name)
	}
	return true
}

// pinned says whether a literal is a version or a hash at all.
func pinned(name, value string) bool { return versionLike(name, value, value) }

// versionLike says whether after is a version or a hash of the kind that before is: of a strict form, or part for part the
// same but for numbers and hashes. Switches such as _lto=0 are none.
func versionLike(name, before, after string) bool {
	switch {
	case len(after) > 200 || !tokenForm.MatchString(after) || !strings.ContainsAny(after, "0123456789"):
		return false
	case strictForm.MatchString(after) && strictForm.MatchString(before), isHash(after) && isHash(before):
		return true
	}
	hint := slices.ContainsFunc(strings.Split(name, "_"), versionHint.MatchString)
	a, b := versionParts(before), versionParts(after)
	if len(a) != len(b) {
		return hint && letters(before) == letters(after)
	}
	changed := 0
	for i := range a {
		switch {
		case a[i] == b[i]:
			continue
		case !sameKindOfPart(a[i], b[i]) && !(hint && letters(a[i]) == letters(b[i])):
			return false
		}
		changed++
	}
	return hint || len(a) >= 3 || changed == 0 && len(a) > 1
}

func versionParts(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune("._+~:@-", r) })
}

// isHash: a commit, whole or shortened, also as git describe writes it (g0ac8be2b).
func isHash(s string) bool {
	s = strings.TrimPrefix(s, "g")
	return hashForm.MatchString(s) && (len(s) >= 12 || strings.ContainsAny(s, "0123456789") && strings.ContainsAny(s, "abcdef"))
}

var numberedPart = regexp.MustCompile(`^(|v|r|rc|a|b|alpha|beta|pre|p|pl|patch|rev|build|dev|post|sp|u|update|hotfix|ga|m|n|git|svn)[0-9]+([a-z]?)$`)

// sameKindOfPart: numbers with the same word before them (rc1, rc2), or hashes.
func sameKindOfPart(a, b string) bool {
	if isHash(a) && isHash(b) && len(a) == len(b) {
		return true
	}
	x, y := numberedPart.FindStringSubmatch(a), numberedPart.FindStringSubmatch(b)
	return x != nil && y != nil && x[1] == y[1]
}

// letters is what a value consists of beside digits, punctuation and the letters of a hash.
func letters(s string) string {
	if isHash(s) {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || strings.ContainsRune("._+~:@-", r) {
			return -1
		}
		return r
	}, s)
}

var sumLength = map[string]int{"md5sums": 32, "sha1sums": 40, "sha224sums": 56, "sha256sums": 64, "sha384sums": 96, "sha512sums": 128, "b2sums": 128}

// changedDefault judges `: ${_commit:=0123456}`, which gives a variable a value that it does not have yet.
func (j *judging) changedDefault(file string, o, n unit) {
	before, after := literalOf(o.value), literalOf(n.value)
	_, known := ruleOf[keyOf(n.name)]
	if known || n.value == nil || before == "" || !pinned(n.name, before) || !versionLike(n.name, before, after) || hashForm.MatchString(before) && len(before) >= 12 && len(after) < len(before) {
		j.find("top-level", file, n.line, o.text, n.text, n.name)
		return
	}
	j.pin(file, n.line, before, after, n.name)
}

// pin notes a version or hash that changed.
func (j *judging) pin(file string, line int, before, after, name string) {
	j.pins[name] = true
	j.places.add(before, after)
	j.find("pin", file, line, before, after, name)
}

// literalOf is the text of a word without expansions, "" for any other.
func literalOf(w *syntax.Word) string {
	if w == nil {
		return ""
	}
	pieces, ok := quotedPieces(w)
	if !ok || len(pieces) != 1 || pieces[0].part != nil {
		return ""
	}
	return pieces[0].text
}

func (j *judging) compareChecksums(file string, n unit, before, after []pkgbuild.Element) {
	find := func(rule string, e pkgbuild.Element, old, text string) {
		j.find(rule, file, e.Line, old, text, n.name)
	}
	for _, e := range after {
		switch {
		case !e.Literal && (substitutes(n.node) || e.Dynamic != nil) && !slices.ContainsFunc(before, func(o pkgbuild.Element) bool { return o.Raw == e.Raw }):
			find("version-expansion", e, "", e.Raw)
			return
		}
	}
	old, known1 := values(before)
	now, known2 := values(after)
	switch {
	case !known1 || !known2:
		j.find("checksum-form", file, n.line, "", n.text, n.name)
		return
	case len(old) != len(now):
		j.find("checksum-count", file, n.line, fmt.Sprint(len(old)), fmt.Sprint(len(now)), n.name)
	}
	changed := false
	for i, sum := range now {
		e := after[min(i, len(after)-1)]
		switch {
		case !sumForm(keyOf(n.name), sum):
			find("checksum-form", e, "", sum)
		case i >= len(old):
		case sum == old[i]:
			continue
		case sum == "SKIP":
			find("checksum-skip", e, old[i], sum)
		default:
			changed = true
			if old[i] != "SKIP" && j.sameSource(n, i) {
				find("checksum-same-version", e, old[i], sum)
			}
		}
	}
	if changed && len(old) == len(now) {
		j.find("checksum", file, n.line, "", "", n.name)
	} else if slices.Equal(old, now) {
		j.find("layout", file, n.line, "", "", n.name)
	}
}

func sumForm(key, sum string) bool {
	if sum == "SKIP" {
		return true
	}
	if key == "cksums" {
		return epochForm.MatchString(sum) || len(sum) == 10 && strings.Trim(sum, "0123456789") == ""
	}
	return len(sum) == sumLength[key] && strings.Trim(sum, "0123456789abcdefABCDEF") == ""
}

// sameSource says whether the source that a checksum belongs to is the same remote file as before, of the same version.
func (j *judging) sameSource(n unit, i int) bool {
	if n.assign.Append || !j.sameVersion() {
		return false
	}
	name := "source" + strings.TrimPrefix(n.name, keyOf(n.name))
	older, newer := j.older.eval().Get(name), j.newer.eval().Get(name)
	return older.Static() && newer.Static() && i < len(older.Items) && i < len(newer.Items) && older.Items[i] == newer.Items[i] && strings.Contains(newer.Items[i], "://")
}

func (j *judging) sameVersion() bool {
	older, newer := j.older.eval(), j.newer.eval()
	return older.Get("pkgver").Static() && older.Get("pkgver").String() == newer.Get("pkgver").String()
}

// otherAssign judges what may not change without review, unless the value is the same (which only counts where sameKind) or
// the allow list covers it.
func (j *judging) otherAssign(file string, o, n unit, before, after []pkgbuild.Element, sameKind bool) {
	old, known1 := values(before)
	now, known2 := values(after)
	line, was, is := elementDifference(n, before, after)
	switch {
	case substitutes(n.node) && j.substitution(file, n):
	case sameKind && known1 && known2 && (slices.Equal(old, now) || unordered[keyOf(n.name)] && sameSet(old, now)):
		j.find("layout", file, line, was, is, n.name)
	case j.allow(file, n.line, o.text, n.text, [2]string{was, is}, n.name):
	case sameKind && known1 && known2 && j.places.equal(old, now) && keyOf(n.name) != "install":
		j.find("values-version", file, line, was, is, n.name)
	default:
		j.find(j.variableRule(n.name, old, now), file, line, was, is, n.name)
	}
}

// unordered arrays mean the same in any order.
var unordered = map[string]bool{
	"depends": true, "makedepends": true, "checkdepends": true, "optdepends": true, "provides": true, "conflicts": true, "replaces": true, "license": true, "arch": true, "groups": true,
	"options": true, "backup": true, "noextract": true, "validpgpkeys": true,
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// elementDifference narrows a changed array down to the elements that differ.
func elementDifference(n unit, before, after []pkgbuild.Element) (line int, was, is string) {
	raw := func(list []pkgbuild.Element) (out []string) {
		for _, e := range list {
			out = append(out, e.Raw)
		}
		return out
	}
	a, b := raw(before), raw(after)
	gone := slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
	come := slices.DeleteFunc(slices.Clone(b), func(s string) bool { return slices.Contains(a, s) })
	line = n.line
	for _, e := range after {
		if len(come) > 0 && e.Raw == come[0] {
			line = e.Line
			break
		}
	}
	return line, strings.Join(gone, " "), strings.Join(come, " ")
}

// fetchingTools are packages whose only use in a build is to fetch or to run code from elsewhere.
var fetchingTools = map[string]bool{
	"npm": true, "bun": true, "bun-bin": true, "pnpm": true, "yarn": true, "python-pip": true, "python-pipx": true, "uv": true, "curl": true, "wget": true, "aria2": true, "composer": true,
	"rubygems": true, "luarocks": true, "cpanminus": true, "nvm": true, "rustup": true, "deno": true, "axel": true, "gnu-netcat": true, "openbsd-netcat": true, "socat": true, "docker": true, "podman": true,
	"proxychains-ng": true, "tor": true, "torsocks": true, "rclone": true, "yt-dlp": true, "cargo-binstall": true, "nodejs": false,
}

func (j *judging) variableRule(name string, before, after []string) string {
	rule, ok := ruleOf[keyOf(name)]
	if !ok {
		if isChecksum(name) {
			if before == nil && (keyOf(name) == "md5sums" || keyOf(name) == "sha1sums" || keyOf(name) == "cksums") {
				return "checksum-weaker"
			}
			return "checksum-count"
		}
		return "variable"
	}
	if rule == "dependency" || keyOf(name) == "optdepends" {
		for _, d := range after {
			if dep := srcinfo.ParseDep(d).Name; fetchingTools[dep] && keyOf(name) != "optdepends" && !slices.ContainsFunc(before, func(o string) bool { return srcinfo.ParseDep(o).Name == dep }) {
				return "dependency-fetches"
			}
		}
	}
	if rule == "takes-over" && keyOf(name) == "conflicts" {
		return "metadata"
	}
	return rule
}

// allow says whether the allow list covers a change, and notes it. before and after are the statements that differ, shown is
// what of them goes into the finding.
func (j *judging) allow(file string, line int, before, after string, shown [2]string, name string) bool {
	if len(j.in.Allow) == 0 || !j.covered(before, after) {
		return false
	}
	j.find("allowed", file, line, shown[0], shown[1], name)
	return true
}

// covered: every line that came or went matches an expression from its first to its last character, or is one plain
// assignment whose beginning matches; nothing in it is run to be expanded, and no rule warns of it.
func (j *judging) covered(before, after string) bool {
	old, now := lineSet(before), lineSet(after)
	matched := false
	check := func(lines, other map[string]bool) bool {
		for l := range lines {
			if l == "" || other[l] || strings.HasPrefix(l, "#") {
				continue
			}
			if !slices.ContainsFunc(j.in.Allow, func(re *regexp.Regexp) bool { return whole(re, l) }) {
				return false
			}
			matched = true
		}
		return true
	}
	if !check(now, old) || !check(old, now) || !matched {
		return false
	}
	file, err := pkgbuild.Parse("change", []byte(after))
	return err == nil && !substitutes(file.Tree()) && !j.alarming(file)
}

// whole: the expression matches all of a line, or the beginning of a line that is one plain assignment.
func whole(re *regexp.Regexp, line string) bool {
	at := re.FindStringIndex(line)
	if at == nil || at[0] != 0 {
		return false
	}
	return at[1] == len(line) || plainAssignment.MatchString(line)
}

var plainAssignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*\+?=(?:[A-Za-z0-9_./:+~@%,=-]*|"[^"$` + "`" + `\\]*"|'[^']*'|\((?:[^()$` + "`" + `;&|<>\\]*)\))$`)

func lineSet(text string) map[string]bool {
	set := map[string]bool{}
	for line := range strings.Lines(text) {
		set[strings.TrimSpace(line)] = true
	}
	return set
}
