package interfere

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// bump is a parsed CI_PACKAGE_BUMP (pipeline.md section 1).
type bump struct {
	version string // "" is the older form: pkgrel + 0.1·n whatever the version
	n       int
}

// maxBump keeps the shell's arithmetic far from an overflow.
const maxBump = 1_000_000

// versionPattern is [epoch:]pkgver[-pkgrel]. A pkgver has neither colon, slash, hyphen nor white space (PKGBUILD(5)).
var versionPattern = regexp.MustCompile(`^([0-9]+:)?[!-,.0-9;-~]+(-[0-9]+(\.[0-9]+)?)?$`)

// parseBump reads VERSION/N, VERSION (N is 1) or N (the older form).
func parseBump(text string) (bump, error) {
	version, count, counted := strings.Cut(text, "/")
	if !counted {
		if text != "" && strings.Trim(text, "0123456789") == "" {
			n, ok := parseCount(text)
			if !ok {
				return bump{}, fmt.Errorf("a number alone is added to pkgrel and must be at most %d; for a version write VERSION/1", maxBump)
			}
			return bump{n: n}, nil
		}
		count = "1"
	}
	n, ok := parseCount(count)
	if !ok {
		return bump{}, fmt.Errorf("after the / must be a whole number up to %d", maxBump)
	}
	if !versionPattern.MatchString(version) {
		return bump{}, errors.New("must be VERSION/N, VERSION or N, with VERSION as [epoch:]pkgver[-pkgrel]")
	}
	return bump{version: version, n: n}, nil
}

func parseCount(text string) (int, bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n <= maxBump
}

// String says in words what the bump does.
func (b bump) String() string {
	if b.version == "" {
		return fmt.Sprintf("pkgrel + 0.1·%d", b.n)
	}
	return fmt.Sprintf("pkgrel gets .%d while the version is %s", b.n, b.version)
}

// shell is the text for the end of the PKGBUILD. makepkg sources the file anew after pkgver() has written a new version
// into it, so the comparison is made at each sourcing. It must leave no status other than 0 (makepkg takes the status of
// the last command for that of the file) and must not hold a line that begins with pkgver= or pkgrel= (makepkg rewrites
// these). vercmp(8) comes with pacman; without it only the same text is the same version.
func (b bump) shell() string {
	header := fmt.Sprintf("\n# caur: CI_PACKAGE_BUMP: %s\n", b)
	if b.version == "" {
		return header + fmt.Sprintf(bumpPlain, b.n)
	}
	return header + fmt.Sprintf(bumpVersion, quote(b.version), b.n)
}

const bumpVersion = `_caur_bump=%[1]s
_caur_this="${epoch:+$epoch:}$pkgver-$pkgrel"
if [[ "$_caur_bump" == "$_caur_this" || "$(vercmp "$_caur_bump" "$_caur_this" 2>/dev/null)" == 0 ]]; then
  case "$pkgrel" in
    *.*) printf -v pkgrel '%%s.%%d' "${pkgrel%%%%.*}" "$((10#${pkgrel#*.} + %[2]d))" ;;
    *) printf -v pkgrel '%%s.%%d' "$pkgrel" %[2]d ;;
  esac
fi
unset _caur_bump _caur_this
`

// A pkgrel with one digit behind the dot is a decimal number, as the older form had it (1.9 + 0.1 is 2.0); with more
// digits only the part behind the dot can grow.
const bumpPlain = `case "$pkgrel" in
  *.?) printf -v pkgrel '%%d' "$((10#${pkgrel%%%%.*} * 10 + 10#${pkgrel#*.} + %[1]d))" &&
    printf -v pkgrel '%%d.%%d' "$((pkgrel / 10))" "$((pkgrel %% 10))" ;;
  *.*) printf -v pkgrel '%%s.%%d' "${pkgrel%%%%.*}" "$((10#${pkgrel#*.} + %[1]d))" ;;
  *) printf -v pkgrel '%%d.%%d' "$((10#$pkgrel + %[1]d / 10))" "$((%[1]d %% 10))" ;;
esac
`

// quote makes text one word of the shell.
func quote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
