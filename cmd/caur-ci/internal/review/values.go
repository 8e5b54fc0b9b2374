package review

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/pkg/srcinfo"
)

var (
	pkgverForm  = lazily(`^[A-Za-z0-9][A-Za-z0-9._+~@^]*$`)
	pkgrelForm  = lazily(`^[0-9]+(\.[0-9]+)*$`)
	epochForm   = lazily(`^[0-9]{1,9}$`)
	hashForm    = lazily(`^[0-9a-fA-F]{7,128}$`)
	tokenForm   = lazily(`^[A-Za-z0-9][A-Za-z0-9._+~:@-]*$`)
	strictForm  = lazily(`^[vVr]?[0-9]+(\.[0-9]+)+([._+~-]?[A-Za-z0-9]+)*$|^[0-9]{5,}$`)
	versionHint = lazily(`(?i)(ver|version|commit|rev|revision|tag|sha[0-9]*|hash|build|release|date|snapshot|timestamp|patch|patchlevel|major|minor|micro|rc|beta|pre|rel|count|sum|cksum|vername)[0-9a-z]?$`)
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

func isSource(name string) bool { return keyOf(name) == "source" }

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
