package syncdb

import (
	"fmt"
	"regexp"
)

// Filename is the name of a package file taken apart.
type Filename struct {
	Name    string // pkgname
	Version string // [epoch:]pkgver-pkgrel
	Arch    string
	Ext     string // "", ".zst", ".xz" or ".gz"
}

// The characters are those of PKGBUILD(5), less everything that means something to a shell, a file system or a
// URL. A pkgname starts with neither '-' nor '.', so no file is hidden or taken for an option.
var packageFile = regexp.MustCompile(
	`^([A-Za-z0-9_@+][A-Za-z0-9_@.+-]*)-((?:[0-9]+:)?[A-Za-z0-9_.+~^@]+-[0-9]+(?:\.[0-9]+)*)-([A-Za-z0-9_]+)\.pkg\.tar(\.zst|\.xz|\.gz)?$`)

// Longest name that a package file may have: file systems allow 255 bytes, of which a temporary name needs a few.
const maxFilename = 240

// ParseFilename takes the name of a package file apart. A name that is not legal for a package file is an error;
// a name that passes is safe as one component of a path.
func ParseFilename(name string) (Filename, error) {
	m := packageFile.FindStringSubmatch(name)
	if m == nil || len(name) > maxFilename {
		return Filename{}, fmt.Errorf("%q is not a legal package file name (pkgname-pkgver-pkgrel-arch.pkg.tar.zst)", clip(name))
	}
	return Filename{Name: m[1], Version: m[2], Arch: m[3], Ext: m[4]}, nil
}

// clip bounds what a stranger's text adds to a message.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
