package review

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caur-build/caur/internal/pkgbuild"
)

var sumLength = map[string]int{"md5sums": 32, "sha1sums": 40, "sha224sums": 56, "sha256sums": 64, "sha384sums": 96, "sha512sums": 128, "b2sums": 128}

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
		case sum == "SKIP" && j.fromVCS(n, i): // that the source is another one now is a finding of its own
			changed = true
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
		return epochForm().MatchString(sum) || len(sum) == 10 && strings.Trim(sum, "0123456789") == ""
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

// fromVCS says whether a checksum belongs to a source that changed and is now one of a VCS, which has no checksum.
func (j *judging) fromVCS(n unit, i int) bool {
	if n.assign.Append {
		return false
	}
	name := "source" + strings.TrimPrefix(n.name, keyOf(n.name))
	older, newer := j.older.eval().Get(name), j.newer.eval().Get(name)
	return older.Static() && newer.Static() && i < len(newer.Items) && !slices.Contains(older.Items, newer.Items[i]) && parseSource(newer.Items[i]).vcs != ""
}

func (j *judging) sameVersion() bool {
	older, newer := j.older.eval(), j.newer.eval()
	return older.Get("pkgver").Static() && older.Get("pkgver").String() == newer.Get("pkgver").String()
}
