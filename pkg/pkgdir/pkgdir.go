package pkgdir

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a directory. The AUR takes no file over 250 kB; what people keep in their own repository is larger at times.
const (
	MaxFiles = 2_000
	MaxBytes = 64 << 20 // of all files together
)

// Kind is what a file is.
type Kind uint8

// The kinds of a file; git knows no other attribute.
const (
	Regular Kind = iota
	Executable
	Link // Data is the target
)

// File is one file. Data is shared by copies and must not be changed.
type File struct {
	Kind Kind
	Data []byte
}

// Equal says whether two files are the same.
func (f File) Equal(o File) bool { return f.Kind == o.Kind && bytes.Equal(f.Data, o.Data) }

// Dir is the files of a package directory by path. Directories exist by the files in them, as in git.
type Dir map[string]File

// Error says which path is refused and why.
type Error struct{ Path, Reason string }

// Error is the path, quoted, and the reason.
func (e *Error) Error() string { return fmt.Sprintf("%q %s", e.Path, e.Reason) }

// Add puts a file into the directory after checking it. The error is an *Error, and then nothing has changed.
func (d Dir) Add(name string, f File) error {
	if err := CheckPath(name); err != nil {
		return err
	}
	if f.Kind == Link {
		if err := checkLink(name, string(f.Data)); err != nil {
			return err
		}
	}
	if len(d) >= MaxFiles {
		return &Error{name, fmt.Sprintf("is one file too many: a package has at most %d", MaxFiles)}
	}
	if size := d.Size() - int64(len(d[name].Data)) + int64(len(f.Data)); size > MaxBytes {
		return &Error{name, fmt.Sprintf("makes the directory larger than %d MiB", MaxBytes>>20)}
	}
	for parent := path.Dir(name); parent != "."; parent = path.Dir(parent) {
		if _, clash := d[parent]; clash {
			return &Error{name, "lies below a file"}
		}
	}
	d[name] = f
	return nil
}

// Size is the number of bytes of all files.
func (d Dir) Size() int64 {
	var n int64
	for _, f := range d {
		n += int64(len(f.Data))
	}
	return n
}

// Paths lists the files, sorted by bytes.
func (d Dir) Paths() []string { return slices.Sorted(maps.Keys(d)) }

// Clone makes a copy whose files can be added and taken away without changing d.
func (d Dir) Clone() Dir {
	if d == nil {
		return Dir{}
	}
	return maps.Clone(d)
}

// Equal says whether two directories hold the same.
func (d Dir) Equal(o Dir) bool { return maps.EqualFunc(d, o, File.Equal) }

// Take makes the directory that an update leaves: all files of remote, and of d only .CI/, which is ours alone and
// which remote cannot bring (pipeline.md sections 1 and 5.1).
func (d Dir) Take(remote Dir) Dir {
	next := make(Dir, len(remote)+8)
	for name, f := range remote {
		if !OurOwn(name) {
			next[name] = f
		}
	}
	for name, f := range d {
		if OurOwn(name) {
			next[name] = f
		}
	}
	return next
}

// OurOwn says whether a path is one that no update from outside may touch: .CI and everything in it (section 1).
func OurOwn(name string) bool { return name == ".CI" || strings.HasPrefix(name, ".CI/") }

// Change is a file that differs; a file that does not exist is nil.
type Change struct {
	Path     string
	Old, New *File
}

// Diff lists the files that differ, sorted by path.
func Diff(older, newer Dir) []Change {
	var list []Change
	for name, o := range older {
		n, there := newer[name]
		switch {
		case !there:
			list = append(list, Change{name, &o, nil})
		case !o.Equal(n):
			list = append(list, Change{name, &o, &n})
		}
	}
	for name, n := range newer {
		if _, there := older[name]; !there {
			list = append(list, Change{name, nil, &n})
		}
	}
	slices.SortFunc(list, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return list
}

// CheckPath says whether a path may be a file of a package directory. The error is an *Error.
func CheckPath(name string) error {
	reason := ""
	switch {
	case name == "":
		reason = "is no file name"
	case len(name) > 1024:
		reason = "is too long"
	case !utf8.ValidString(name):
		reason = "is no UTF-8"
	case strings.HasPrefix(name, "/"):
		reason = "is absolute"
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }):
		reason = "has a control character or a backslash in its name"
	}
	if reason != "" {
		return &Error{name, reason}
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == ".":
			return &Error{name, "is no clean path"}
		case part == "..":
			return &Error{name, "leads out of the directory"}
		case gitName(part):
			return &Error{name, "would be a file of git's own"}
		}
	}
	return nil
}

// gitName recognises the names that some file system takes for .git (git's own fsck refuses them, too): other case,
// the short name of Windows, trailing dots and blanks, and the code points that HFS+ ignores.
func gitName(part string) bool {
	part = strings.Map(func(r rune) rune {
		if r >= 0x200c && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x206a && r <= 0x206f || r == 0xfeff {
			return -1
		}
		return r
	}, part)
	part, _, _ = strings.Cut(part, ":")
	part = strings.ToLower(strings.TrimRight(part, ". "))
	return part == ".git" || part == "git~1"
}

// checkLink refuses a link that leads out of the directory.
func checkLink(name, target string) error {
	resolved := path.Join(path.Dir(name), target)
	switch {
	case target == "" || strings.ContainsRune(target, 0) || len(target) > 1024:
		return &Error{name, "is a link to nowhere"}
	case path.IsAbs(target) || resolved == ".." || strings.HasPrefix(resolved, "../"):
		return &Error{name, "is a link that points out of the directory"}
	}
	for part := range strings.SplitSeq(target, "/") {
		if gitName(part) {
			return &Error{name, "is a link to a file of git's own"}
		}
	}
	return nil
}
