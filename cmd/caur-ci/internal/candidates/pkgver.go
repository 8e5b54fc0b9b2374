package candidates

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	legalPkgver = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._+~]*$`)
	leadingV    = regexp.MustCompile(`^[vV][._-]?([0-9])`)
	// early is a dash before a word that means "before the release". Without it pacman has the word's version before the
	// release, too; with a dot or a low line in its place it would come after: 1.0rc1 < 1.0 < 1.0_rc1 (vercmp(8)).
	early = regexp.MustCompile(`(?i)-(alpha|beta|rc|pre|preview|dev|a[0-9]|b[0-9])`)
)

const maxPkgver = 100

// pkgverOf makes a pkgver of a version that others chose: without a leading v, and with a dash, which pacman forbids, left
// out before a word such as rc and made a low line elsewhere, as Arch Linux's packaging guidelines have it. Anything else
// that pacman forbids, or that no version has, is an error: nobody could say what is meant.
func pkgverOf(version string) (string, error) {
	v := leadingV.ReplaceAllString(strings.TrimSpace(version), "$1")
	v = early.ReplaceAllString(v, "$1")
	v = strings.ReplaceAll(v, "-", "_")
	if !legalPkgver.MatchString(v) || len(v) > maxPkgver {
		return "", fmt.Errorf("version %.60q has characters that a pkgver cannot have (from_pattern and to_pattern can change them)", version)
	}
	return v, nil
}
