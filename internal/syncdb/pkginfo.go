package syncdb

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// BuildInfo is what .BUILDINFO says of how a package came to be (BUILDINFO(5)); the keys that caur has a use for.
type BuildInfo struct {
	Pkgname, Pkgbase, Pkgver, Pkgarch string
	PKGBUILDSHA256                    string
	BuildTool                         string
	Installed                         []string // NAME-VERSION-ARCH of what was installed while it was built
}

// keyValues yields the KEY = VALUE lines of .PKGINFO and .BUILDINFO with their line numbers (1-based). White space
// is collapsed as repo-add does. A line that is neither that nor a comment nor empty is an error.
func keyValues(name string, data []byte, yield func(key, value string) error) error {
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, found := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.Join(strings.Fields(value), " ")
		if !found || key == "" || strings.ContainsAny(key, " \t") {
			return fmt.Errorf("%s:%d: %q is not of the form key = value", name, n, clip(line))
		}
		if err := checkValue(value); err != nil {
			return fmt.Errorf("%s:%d: %s: %w", name, n, clip(key), err)
		}
		if err := yield(key, value); err != nil {
			return fmt.Errorf("%s:%d: %s: %w", name, n, clip(key), err)
		}
	}
	return nil
}

// checkValue refuses what would turn into something else inside a desc.
func checkValue(value string) error {
	if isFieldName(value) {
		return fmt.Errorf("%q would pass for a field of the database", clip(value))
	}
	if !utf8.ValidString(value) {
		return fmt.Errorf("%q is not UTF-8", clip(value))
	}
	for _, r := range value {
		if r < ' ' || r == 0x7f {
			return fmt.Errorf("%q has a control character", clip(value))
		}
	}
	return nil
}

// ParsePkginfo reads a .PKGINFO (written by makepkg) into a Package without file name, sizes, hashes and files.
// name is for messages, which have the form NAME:LINE: KEY: what is wrong. Unknown keys are passed over, as
// libalpm does (newer versions of makepkg add some); a key that may come once and comes twice is an error.
func ParsePkginfo(name string, data []byte) (*Package, error) {
	p := &Package{}
	once := map[string]*string{
		"pkgname": &p.Name, "pkgbase": &p.Base, "pkgver": &p.Version, "pkgdesc": &p.Description,
		"url": &p.URL, "packager": &p.Packager, "arch": &p.Arch,
	}
	numbers := map[string]*int64{"size": &p.ISize, "builddate": &p.BuildDate}
	lists := map[string]*[]string{
		"group": &p.Groups, "license": &p.Licenses, "replaces": &p.Replaces, "conflict": &p.Conflicts,
		"provides": &p.Provides, "depend": &p.Depends, "optdepend": &p.OptDepends,
		"makedepend": &p.MakeDepends, "checkdepend": &p.CheckDepends,
	}
	seen := make(map[string]bool)
	err := keyValues(name, data, func(key, value string) error {
		if l := lists[key]; l != nil {
			if value != "" {
				*l = append(*l, value)
			}
			return nil
		}
		s, num := once[key], numbers[key]
		if s == nil && num == nil {
			return nil
		}
		if seen[key] {
			return fmt.Errorf("given twice")
		}
		seen[key] = true
		if s != nil {
			*s = value
			return nil
		}
		v, err := strconv.ParseInt(value, 10, 64)
		if err != nil || v < 0 {
			return fmt.Errorf("%q is not a number", clip(value))
		}
		*num = v
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, key := range []string{"pkgname", "pkgver", "arch"} {
		if *once[key] == "" {
			return nil, fmt.Errorf("%s: %s is missing", name, key)
		}
	}
	if _, err := ParseFilename(p.Name + "-" + p.Version + "-" + p.Arch + ".pkg.tar"); err != nil {
		return nil, fmt.Errorf("%s: pkgname %q, pkgver %q and arch %q do not make a legal package name",
			name, clip(p.Name), clip(p.Version), clip(p.Arch))
	}
	return p, nil
}

// ParseBuildinfo reads a .BUILDINFO; name is for messages as in ParsePkginfo.
func ParseBuildinfo(name string, data []byte) (*BuildInfo, error) {
	b := &BuildInfo{}
	once := map[string]*string{
		"pkgname": &b.Pkgname, "pkgbase": &b.Pkgbase, "pkgver": &b.Pkgver, "pkgarch": &b.Pkgarch,
		"pkgbuild_sha256sum": &b.PKGBUILDSHA256, "buildtool": &b.BuildTool,
	}
	err := keyValues(name, data, func(key, value string) error {
		if s := once[key]; s != nil {
			*s = value
		} else if key == "installed" {
			b.Installed = append(b.Installed, value)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}
