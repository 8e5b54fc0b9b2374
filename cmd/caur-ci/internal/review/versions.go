package review

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// changedVersion judges pkgver, pkgrel and epoch.
func (j *judging) changedVersion(file string, was, n unit, o, e pkgbuild.Element) {
	before, after := first(o.Values), first(e.Values)
	form := map[string]func() *regexp.Regexp{"pkgver": pkgverForm, "pkgrel": pkgrelForm, "epoch": epochForm}[n.name]
	switch {
	case !e.Literal && o.Literal:
		j.find("version-expansion", file, e.Line, o.Raw, e.Raw, n.name)
	case !e.Literal && !(e.Dynamic == nil && o.Dynamic == nil && sameShape(was.assign.Value, n.assign.Value)):
		if !j.substitution(file, n) {
			j.find("version-form", file, e.Line, o.Raw, e.Raw, n.name)
		}
	case !form().MatchString(after) || len(after) > 200 || !strings.ContainsAny(after, "0123456789"):
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
	if n.assign.Array != nil || n.assign.Append || len(list) != 1 || !list[0].Literal || !epochForm().MatchString(first(list[0].Values)) {
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
	if known || !strings.HasPrefix(n.name, "_") && (!versionHint().MatchString(n.name) || strings.ToLower(n.name) != n.name) || !o.Literal || !pinned(n.name, before) {
		return false
	}
	switch {
	case before == after && e.Literal:
		j.find("layout", file, e.Line, o.Raw, e.Raw, n.name)
	case !e.Literal:
		j.find("version-expansion", file, e.Line, o.Raw, e.Raw, n.name)
	case hashForm().MatchString(before) && len(before) >= 12 && (!hashForm().MatchString(after) || len(after) < len(before)):
		j.find("pin-lost", file, e.Line, before, after, n.name)
	case !versionLike(n.name, before, after):
		return false
	default:
		j.pin(file, e.Line, before, after, n.name)
	}
	return true
}

// pinned says whether a literal is a version or a hash at all.
func pinned(name, value string) bool {
	parts := versionParts(value)
	numbered := slices.ContainsFunc(parts, func(p string) bool { return numberedPart().MatchString(p) || isHash(p) })
	return strictForm().MatchString(value) || isHash(value) || tokenForm().MatchString(value) && strings.ContainsAny(value, "0123456789") && (numbered && len(parts) >= 3 || hinted(name))
}

// hinted: the name says that it is a version or a commit.
func hinted(name string) bool {
	return slices.ContainsFunc(strings.Split(name, "_"), versionHint().MatchString)
}

// versionLike says whether after is a version or a hash of the kind that before is: of a strict form, or part for part the
// same but for numbers and hashes. Switches such as _lto=0 are none.
func versionLike(name, before, after string) bool {
	switch {
	case len(after) > 200 || !tokenForm().MatchString(after) || !strings.ContainsAny(after, "0123456789"):
		return false
	case strictForm().MatchString(after) && strictForm().MatchString(before), isHash(after) && isHash(before):
		return true
	}
	hint := hinted(name)
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
	return hashForm().MatchString(s) && (len(s) >= 12 || strings.ContainsAny(s, "0123456789") && strings.ContainsAny(s, "abcdef"))
}

var numberedPart = lazily(`^(|v|r|rc|a|b|alpha|beta|pre|p|pl|patch|rev|build|dev|post|sp|u|update|hotfix|ga|m|n|git|svn)[0-9]+([a-z]?)$`)

// sameKindOfPart: numbers with the same word before them (rc1, rc2), or hashes.
func sameKindOfPart(a, b string) bool {
	if isHash(a) && isHash(b) && len(a) == len(b) {
		return true
	}
	x, y := numberedPart().FindStringSubmatch(a), numberedPart().FindStringSubmatch(b)
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

// changedDefault judges `: ${_commit:=0123456}`, which gives a variable a value that it does not have yet.
func (j *judging) changedDefault(file string, o, n unit) {
	before, after := literalOf(o.value), literalOf(n.value)
	_, known := ruleOf[keyOf(n.name)]
	if known || n.value == nil || before == "" || !pinned(n.name, before) || !versionLike(n.name, before, after) || hashForm().MatchString(before) && len(before) >= 12 && len(after) < len(before) {
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
