package srcinfo

import (
	"slices"
	"strings"
)

// Bytes is the .SRCINFO as makepkg writes it: a section for the pkgbase, then one
// for each pkgname with an empty line before it, fields in the order they have
// here. A file that makepkg wrote comes out as it was, byte for byte, with the
// header and the empty last line of older versions; other comments and
// empty lines are not kept.
func (i *Info) Bytes() []byte {
	b := make([]byte, 0, i.size())
	for _, comment := range i.header {
		b = append(append(b, comment...), '\n')
	}
	b = appendLine(b, "pkgbase", "", i.Pkgbase)
	b = appendSection(b, i.Base)
	for n := range i.Packages {
		b = append(b, '\n')
		b = appendLine(b, "pkgname", "", i.Packages[n].Pkgname)
		b = appendSection(b, i.Packages[n].Own)
	}
	if i.blankEnd {
		b = append(b, '\n')
	}
	return b
}

func (i *Info) size() int {
	size := 16 + len(i.Pkgbase)
	for n := range i.Base {
		size += i.Base[n].size()
	}
	for n := range i.Packages {
		size += 16 + len(i.Packages[n].Pkgname)
		for m := range i.Packages[n].Own {
			size += i.Packages[n].Own[m].size()
		}
	}
	return size
}

func (f *Field) size() int { return len(f.Key) + len(f.Arch) + len(f.Value) + len("\t_ = \n") }

func appendSection(b []byte, s Section) []byte {
	for n := range s {
		b = append(b, '\t')
		b = appendLine(b, s[n].Key, s[n].Arch, s[n].Value)
	}
	return b
}

func appendLine(b []byte, key, arch, value string) []byte {
	b = append(b, key...)
	if arch != "" {
		b = append(b, '_')
		b = append(b, arch...)
	}
	b = append(b, " = "...)
	b = append(b, value...)
	return append(b, '\n')
}

// Set gives key, for arch or with "" for every architecture, these values in the section of
// pkgname ("" is the base; a pkgname that is not there is added). The first
// value takes the place of the old first one; a key that was not there goes where makepkg
// would write it. No value removes the key; one empty value in the section of a
// pkgname clears what the base says. White space inside a value is
// reduced to single blanks, as makepkg does, so a value can never become a second line.
func (i *Info) Set(pkgname, key, arch string, values ...string) {
	if pkgname == "" {
		i.Base = i.Base.with(key, arch, values, i.Arch)
		i.refresh()
		return
	}
	p := i.find(pkgname)
	if p == nil {
		i.AddPackage(pkgname)
		p = &i.Packages[len(i.Packages)-1]
	}
	p.Own = p.Own.with(key, arch, values, i.Arch)
}

func (s Section) with(key, arch string, values []string, arches []string) Section {
	fresh := make(Section, len(values))
	for n, value := range values {
		fresh[n] = Field{Key: key, Arch: arch, Value: strings.Join(strings.Fields(value), " ")}
	}
	at := slices.IndexFunc(s, func(f Field) bool { return f.Key == key && f.Arch == arch })
	rest := slices.DeleteFunc(slices.Clone(s), func(f Field) bool { return f.Key == key && f.Arch == arch })
	if at < 0 {
		own := rank(key, arch, arches)
		at = slices.IndexFunc(rest, func(f Field) bool { return rank(f.Key, f.Arch, arches) > own })
		if at < 0 {
			at = len(rest)
		}
	}
	return slices.Insert(rest, at, fresh...)
}

// rank orders fields as makepkg writes them: those for every architecture, then
// those of each architecture in the order of arch, what is unknown last.
func rank(key, arch string, arches []string) int {
	const block = 1000
	r, known := schema[key]
	switch {
	case !known:
		return block * (len(arches) + 2)
	case arch == "":
		return r.rank
	}
	n := slices.Index(arches, arch)
	if n < 0 {
		n = len(arches)
	}
	return block*(n+1) + archRanks[key]
}
