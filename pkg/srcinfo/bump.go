package srcinfo

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Bump is a parsed CI_PACKAGE_BUMP (pipeline.md section 1): a package is built anew with a higher pkgrel although its
// PKGBUILD stays as it is. The zero Bump changes nothing.
type Bump struct {
	Version string // [epoch:]pkgver[-pkgrel] that it goes for; "" in the older form: every version
	N       int    // pkgrel becomes pkgrel.N; in the older form pkgrel + 0.1·N
}

// maxBump keeps the arithmetic of shells far from an overflow.
const maxBump = 1_000_000

// bumpVersion is [epoch:]pkgver[-pkgrel]; a pkgver has neither colon, slash, hyphen nor white space (PKGBUILD(5)).
var bumpVersion = regexp.MustCompile(`^([0-9]+:)?[!-,.0-9;-~]+(-[0-9]+(\.[0-9]+)?)?$`)

// ParseBump reads VERSION/N, VERSION (N is 1) or the older bare number N. The
// empty text is the zero Bump.
func ParseBump(s string) (Bump, error) {
	if s == "" {
		return Bump{}, nil
	}
	version, count, counted := strings.Cut(s, "/")
	if !counted {
		if isDigits(s) {
			n, err := parseCount(s)
			return Bump{N: n}, err
		}
		count = "1"
	}
	if !bumpVersion.MatchString(version) {
		return Bump{}, errors.New("must be VERSION/N, VERSION or N, with VERSION as [epoch:]pkgver[-pkgrel]")
	}
	n, err := parseCount(count)
	if err != nil {
		return Bump{}, err
	}
	return Bump{Version: version, N: n}, nil
}

func parseCount(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || !isDigits(s) || n > maxBump {
		return 0, fmt.Errorf("must end with a whole number up to %d", maxBump)
	}
	return n, nil
}

// String is the form that ParseBump reads, VERSION/N also where /1 was left out; "" for the zero Bump.
func (b Bump) String() string {
	switch {
	case b.Version != "":
		return b.Version + "/" + strconv.Itoa(b.N)
	case b.N > 0:
		return strconv.Itoa(b.N)
	}
	return ""
}

var builtVersion = regexp.MustCompile(`^(.+-[0-9]+)(?:\.([0-9]+))?$`)

// NextBump is the bump after which a package that stands as built in a database has a
// newer version (pipeline.md section 5, "Library bump"): pkgrel.N of the database gives N+1, or one more than
// configured where that goes for the same version and is as high already.
func NextBump(built string, configured Bump) (Bump, error) {
	m := builtVersion.FindStringSubmatch(built)
	if m == nil || !bumpVersion.MatchString(built) {
		return Bump{}, fmt.Errorf("version %s of the package is not of the form [epoch:]pkgver-pkgrel", excerpt(built))
	}
	n := 0
	if m[2] != "" {
		var err error
		if n, err = parseCount(m[2]); err != nil {
			return Bump{}, fmt.Errorf("version %s: pkgrel %w", excerpt(built), err)
		}
	}
	next := Bump{Version: m[1], N: n + 1}
	if configured.Version == next.Version && configured.N >= next.N {
		next.N = configured.N + 1
	}
	if next.N > maxBump {
		return Bump{}, fmt.Errorf("%s has been bumped more than %d times", excerpt(next.Version), maxBump)
	}
	return next, nil
}
