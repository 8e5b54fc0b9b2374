package srcinfo

import (
	"slices"
	"strconv"
	"strings"
)

// check refuses what cannot be used and reports what should be looked at.
func (p *parser) check() error {
	i := p.info
	for _, missing := range []struct {
		key string
		bad bool
	}{
		{"pkgver", i.Pkgver == ""},
		{"pkgrel", i.Pkgrel == ""},
		{"arch", len(i.Arch) == 0},
		{"pkgname", len(i.Packages) == 0},
	} {
		if missing.bad {
			return p.fail(p.baseLine, "pkgbase %s has no %s", i.Pkgbase, missing.key)
		}
	}
	built := i.built()
	if len(built) > maxArches {
		return p.fail(p.baseLine, "more than %d architectures are no .SRCINFO", maxArches)
	}
	if err := p.checkSection(i.Base, i.Arch); err != nil {
		return err
	}
	for n := range i.Packages {
		if err := p.checkSection(i.Packages[n].Own, built); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) checkSection(s Section, arches []string) error {
	single := map[string]int{}
	for n := range s {
		f := &s[n]
		if why := unsafe(f.Key, f.Value); why != "" {
			return p.fail(f.Line, "%s %s %s", f.Key, excerpt(f.Value), why)
		}
		if why := doubtful(f.Key, f.Value); why != "" {
			p.problem(f.Line, "%s %s %s", f.Key, excerpt(f.Value), why)
		}
		if f.Arch != "" && (f.Arch == "any" || !slices.Contains(arches, f.Arch)) {
			p.problem(f.Line, "%s_%s is for an architecture that arch does not name", f.Key, excerpt(f.Arch))
		}
		r, known := schema[f.Key]
		if known && !r.multi {
			if first, ok := single[f.Key]; ok {
				p.problem(f.Line, "%s again, after line %d; the last one counts", f.Key, first)
			}
			single[f.Key] = f.Line
		}
		if f.Value != "" && isDepKey(f.Key) && !LegalName(ParseDep(f.Value).Name) {
			p.problem(f.Line, "%s %s has no legal name and is left out", f.Key, excerpt(f.Value))
		}
	}
	return nil
}

func isDepKey(key string) bool {
	switch key {
	case "depends", "makedepends", "checkdepends", "optdepends", "provides", "conflicts", "replaces":
		return true
	}
	return false
}

// unsafe says why a value cannot be used: these values become parts of file
// names and of job identities, so what could lead elsewhere is refused.
func unsafe(key, value string) string {
	switch key {
	case "pkgver", "pkgrel", "epoch":
		for n := 0; n < len(value); n++ {
			if c := value[n]; c <= ' ' || c == 0x7f || c == '/' {
				return "may not hold a slash or white space"
			}
		}
	case "arch":
		if value != "" && (!LegalName(value) || strings.ContainsAny(value, "@.+-")) {
			return "is no name of an architecture"
		}
	}
	return ""
}

// doubtful says what makepkg would refuse; files made otherwise hold it nevertheless.
func doubtful(key, value string) string {
	switch key {
	case "pkgver":
		if strings.ContainsAny(value, ":-") || strings.IndexFunc(value, func(r rune) bool { return r > 0x7e }) >= 0 {
			return "may not hold a colon, a hyphen or other than ASCII"
		}
	case "pkgrel":
		whole, part, dotted := strings.Cut(value, ".")
		if !isDigits(whole) || dotted && !isDigits(part) {
			return "is not of the form INTEGER[.INTEGER]"
		}
	case "epoch":
		if value != "" && !isDigits(value) {
			return "is not an integer"
		}
	}
	return ""
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// excerpt quotes a piece of a file for a message.
func excerpt(s string) string {
	const most = 60
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.QuoteToASCII(s)
}
