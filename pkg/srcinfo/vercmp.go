package srcinfo

import (
	"cmp"
	"strings"
)

// Vercmp orders two versions [epoch:]pkgver[-pkgrel] as pacman does: below, at or above
// zero where a is older than, the same as or newer than b. It gives what vercmp(8)
// prints for every pair of strings. The pkgrel counts only where both have one.
func Vercmp(a, b string) int {
	if a == b {
		return 0
	}
	epochA, versionA, relA, hasRelA := splitVersion(a)
	epochB, versionB, relB, hasRelB := splitVersion(b)
	if c := rpmVercmp(epochA, epochB); c != 0 {
		return c
	}
	if c := rpmVercmp(versionA, versionB); c != 0 {
		return c
	}
	if hasRelA && hasRelB {
		return rpmVercmp(relA, relB)
	}
	return 0
}

// splitVersion takes a version apart at the colon that follows leading digits and at the last hyphen.
func splitVersion(s string) (epoch, version, rel string, hasRel bool) {
	epoch = "0"
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	version = s
	if n < len(s) && s[n] == ':' {
		if n > 0 {
			epoch = s[:n]
		}
		version = s[n+1:]
	}
	if n := strings.LastIndexByte(version, '-'); n >= 0 {
		version, rel, hasRel = version[:n], version[n+1:], true
	}
	return epoch, version, rel, hasRel
}

// rpmVercmp compares segment by segment: runs of digits as numbers, runs of
// letters as text, and the lengths of what separates them.
func rpmVercmp(a, b string) int {
	if a == b {
		return 0
	}
	for a != "" && b != "" {
		sepA, sepB := separators(a), separators(b)
		a, b = a[sepA:], b[sepB:]
		if a == "" || b == "" {
			break
		}
		if sepA != sepB {
			return cmp.Compare(sepA, sepB)
		}
		class, number := isAlpha, isDigit(a[0])
		if number {
			class = isDigit
		}
		segA, segB := a[:run(a, class)], b[:run(b, class)]
		if segB == "" { // of different kinds: a number is newer than letters
			if number {
				return 1
			}
			return -1
		}
		a, b = a[len(segA):], b[len(segB):]
		if number {
			segA, segB = strings.TrimLeft(segA, "0"), strings.TrimLeft(segB, "0")
			if c := cmp.Compare(len(segA), len(segB)); c != 0 {
				return c
			}
		}
		if c := strings.Compare(segA, segB); c != 0 {
			return c
		}
	}
	switch {
	case a == "" && b == "":
		return 0
	// What is left over makes a version newer, unless it begins with a letter: 1.0rc < 1.0 < 1.0.1.
	case a == "" && !isAlpha(b[0]), a != "" && isAlpha(a[0]):
		return -1
	}
	return 1
}

func separators(s string) int {
	return run(s, func(c byte) bool { return !isDigit(c) && !isAlpha(c) })
}

func run(s string, class func(byte) bool) int {
	n := 0
	for n < len(s) && class(s[n]) {
		n++
	}
	return n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isAlpha(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
