package interfere

import (
	"fmt"
	"strings"

	"github.com/caur-build/caur/pkg/srcinfo"
)

// bump is a CI_PACKAGE_BUMP that is to be applied.
type bump struct {
	version string // "" is the older form: pkgrel + 0.1·n whatever the version
	n       int
}

// parseBump reads VERSION/N, VERSION (N is 1) or N (the older form).
func parseBump(text string) (bump, error) {
	b, err := srcinfo.ParseBump(text)
	return bump{version: b.Version, n: b.N}, err
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
