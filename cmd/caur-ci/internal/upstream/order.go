package upstream

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// version is a version as Python's packaging orders them (PEP 440, "Summary of permitted suffixes and relative
// ordering"). What is no version in its sense is older than all that are, and ordered by the rules of setuptools.
type version struct {
	legacy  []string // nil for a version of PEP 440
	epoch   string
	release []string
	pre     string // "" is none; a, b or rc
	preN    string
	post    string // "" is none
	dev     string // "" is none
	local   []string
}

var pep440 = regexp.MustCompile(`^\s*v?(?:([0-9]+)!)?([0-9]+(?:\.[0-9]+)*)` +
	`(?:[-_.]?(a|b|c|rc|alpha|beta|pre|preview)[-_.]?([0-9]+)?)?` +
	`((?:-([0-9]+))|(?:[-_.]?(?:post|rev|r)[-_.]?([0-9]+)?))?` +
	`([-_.]?dev[-_.]?([0-9]+)?)?` +
	`(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?\s*$`)

func parseVersion(text string) *version {
	m := pep440.FindStringSubmatch(strings.ToLower(text))
	if m == nil {
		return &version{legacy: legacyParts(strings.ToLower(text))}
	}
	v := &version{epoch: number(m[1]), release: strings.Split(m[2], "."), pre: m[3], preN: number(m[4])}
	for i, part := range v.release {
		v.release[i] = number(part)
	}
	for len(v.release) > 1 && v.release[len(v.release)-1] == "" {
		v.release = v.release[:len(v.release)-1]
	}
	switch v.pre {
	case "alpha":
		v.pre = "a"
	case "beta":
		v.pre = "b"
	case "c", "pre", "preview":
		v.pre = "rc"
	}
	if m[5] != "" {
		v.post = "0" + number(m[6]+m[7])
	}
	if m[8] != "" {
		v.dev = "0" + number(m[9])
	}
	if m[10] != "" {
		v.local = strings.FieldsFunc(m[10], func(r rune) bool { return strings.ContainsRune("-_.", r) })
	}
	return v
}

// number is a number of any length without leading zeros; "" is zero.
func number(digits string) string { return strings.TrimLeft(digits, "0") }

func compareNumbers(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

func (v *version) compare(o *version) int {
	switch {
	case v.legacy != nil && o.legacy != nil:
		return slices.Compare(v.legacy, o.legacy)
	case v.legacy != nil:
		return -1
	case o.legacy != nil:
		return 1
	}
	return cmp.Or(
		compareNumbers(v.epoch, o.epoch),
		slices.CompareFunc(v.release, o.release, compareNumbers),
		cmp.Compare(v.stage(), o.stage()),
		compareNumbers(v.preN, o.preN),
		compareNumbers(v.post, o.post), // none is "", less than any
		v.compareDev(o),
		slices.CompareFunc(v.local, o.local, compareLocal),
	)
}

// stage orders a release by what leads to it: a development version, alpha, beta, candidate, the release itself.
func (v *version) stage() int {
	switch {
	case v.pre == "" && v.post == "" && v.dev != "":
		return 0
	case v.pre == "":
		return 4
	}
	return slices.Index([]string{"", "a", "b", "rc"}, v.pre)
}

// compareDev puts a version without dev behind those with.
func (v *version) compareDev(o *version) int {
	if v.dev == "" || o.dev == "" {
		return cmp.Compare(len(o.dev), len(v.dev))
	}
	return compareNumbers(v.dev, o.dev)
}

// compareLocal orders the parts of +local: words before numbers.
func compareLocal(a, b string) int {
	an, bn := isNumber(a), isNumber(b)
	switch {
	case an && bn:
		return compareNumbers(number(a), number(b))
	case an:
		return 1
	case bn:
		return -1
	}
	return strings.Compare(a, b)
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

var legacyPart = regexp.MustCompile(`[0-9]+|[a-z]+|\.|-|[^0-9a-z.-]+`)

// legacyParts makes the list that setuptools 8 and older compared: numbers padded to eight digits, words with a star in
// front, *final at the end; zeros and dashes before a word that means "before the release" do not count.
func legacyParts(text string) []string {
	parts := []string{}
	add := func(p string) {
		if strings.HasPrefix(p, "*") {
			if p < "*final" {
				for len(parts) > 0 && parts[len(parts)-1] == "*final-" {
					parts = parts[:len(parts)-1]
				}
			}
			for len(parts) > 0 && parts[len(parts)-1] == "00000000" {
				parts = parts[:len(parts)-1]
			}
		}
		parts = append(parts, p)
	}
	for _, p := range legacyPart.FindAllString(text, -1) {
		switch p {
		case ".":
			continue
		case "pre", "preview", "rc":
			p = "c"
		case "-":
			p = "final-"
		case "dev":
			p = "@"
		}
		if isNumber(p[:1]) {
			add(strings.Repeat("0", max(0, 8-len(p))) + p)
			continue
		}
		add("*" + p)
	}
	add("*final")
	return parts
}
