package review

import (
	"regexp"
	"slices"
	"strings"

	"github.com/caur-build/caur/internal/pkgbuild"
)

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
	return at[1] == len(line) || plainAssignment().MatchString(line)
}

var plainAssignment = lazily(`^[A-Za-z_][A-Za-z0-9_]*\+?=(?:[A-Za-z0-9_./:+~@%,=-]*|"[^"$` + "`" + `\\]*"|'[^']*'|\((?:[^()$` + "`" + `;&|<>\\]*)\))$`)

func lineSet(text string) map[string]bool {
	set := map[string]bool{}
	for line := range strings.Lines(text) {
		set[strings.TrimSpace(line)] = true
	}
	return set
}
