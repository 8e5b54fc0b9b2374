package review

import (
	"errors"
	"slices"
	"strings"

	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// errorLine is the line that an error of the parsers names.
func errorLine(err error) int {
	var bash *pkgbuild.Error
	var info *srcinfo.Error
	switch {
	case errors.As(err, &bash):
		return bash.Line
	case errors.As(err, &info):
		return info.Line
	}
	return 0
}

// srcinfo compares the .SRCINFO files: what the PKGBUILD gives is explained by it, what is only a version is minor.
func (j *judging) srcinfo() {
	const name = ".SRCINFO"
	a, hadA := j.in.Old[name]
	b, hasB := j.in.New[name]
	switch {
	case a.Equal(b):
		return
	case !hasB:
		j.find("file-removed", name, 0, "", "", name)
		return
	case b.Kind != a.Kind && hadA || b.Kind == pkgdir.Link:
		j.find("mode", name, 0, "", "", name)
	}
	j.flaws(name, b.Data, false)
	newer, _, err := srcinfo.Parse(name, b.Data)
	if err != nil {
		j.find("unreadable", name, errorLine(err), "", err.Error(), name)
		return
	}
	older, _, err := srcinfo.Parse(name, a.Data)
	if err != nil {
		older = srcinfo.New(newer.Pkgbase)
	}
	if older.Pkgbase != newer.Pkgbase {
		j.find("pkgname", name, 1, older.Pkgbase, newer.Pkgbase, "pkgbase")
	}
	if older.Pkgver != newer.Pkgver && pkgverForm().MatchString(newer.Pkgver) {
		j.places.add(older.Pkgver, newer.Pkgver)
	}
	if x, y := older.Version(), newer.Version(); x != y && pkgverForm().MatchString(newer.Pkgver) && pkgrelForm().MatchString(newer.Pkgrel) {
		j.places.add(x, y)
		j.places.add(older.Pkgver+"-"+older.Pkgrel, newer.Pkgver+"-"+newer.Pkgrel)
	}
	j.compareFields(older, newer)
}

type fieldKey struct{ section, key, arch string }

func fieldsOf(info *srcinfo.Info) (map[fieldKey][]srcinfo.Field, []fieldKey) {
	out := map[fieldKey][]srcinfo.Field{}
	var order []fieldKey
	add := func(section string, list srcinfo.Section) {
		for _, f := range list {
			k := fieldKey{section, f.Key, f.Arch}
			if out[k] == nil {
				order = append(order, k)
			}
			out[k] = append(out[k], f)
		}
	}
	add("", info.Base)
	for _, p := range info.Packages {
		k := fieldKey{p.Pkgname, "pkgname", ""}
		out[k] = []srcinfo.Field{{Key: "pkgname", Value: p.Pkgname, Line: p.Line}}
		order = append(order, k)
		add(p.Pkgname, p.Own)
	}
	return out, order
}

func fieldValues(list []srcinfo.Field) (out []string) {
	for _, f := range list {
		out = append(out, f.Value)
	}
	return out
}

func (j *judging) compareFields(older, newer *srcinfo.Info) {
	a, orderA := fieldsOf(older)
	b, orderB := fieldsOf(newer)
	for _, k := range orderA {
		if b[k] == nil {
			orderB = append(orderB, k)
		}
	}
	var made map[fieldKey][]srcinfo.Field
	var open map[string]bool
	for _, k := range orderB {
		old, now := fieldValues(a[k]), fieldValues(b[k])
		if slices.Equal(old, now) || j.ordinaryField(k, old, now) {
			continue
		}
		if made == nil {
			made, open = j.computed()
		}
		line := 0
		if len(b[k]) > 0 {
			line = b[k][0].Line
		}
		what := k.key
		if k.section != "" {
			what = k.section + ": " + k.key
		}
		was, is := strings.Join(old, " "), strings.Join(now, " ")
		computed, known := made[k]
		switch {
		case known && slices.Equal(fieldValues(computed), now), made != nil && !known && now == nil && !open[k.key]:
			continue // the PKGBUILD says so, and was judged itself
		case open[k.key] && !j.touched() && now != nil && old != nil && sameHosts(k.key, old, now):
			j.find("srcinfo-computed", ".SRCINFO", line, was, is, what) // by code that did not change
		case open[k.key] || len(made) == 0:
			j.find("srcinfo", ".SRCINFO", line, was, is, what)
		default:
			j.find("srcinfo-mismatch", ".SRCINFO", line, was, is, what)
		}
	}
}

// touched says whether anything in the PKGBUILD that could make a value changed.
func (j *judging) touched() bool {
	return j.older.file == nil || slices.ContainsFunc(j.v.Findings, func(f Finding) bool { return f.Major && f.File == "PKGBUILD" })
}

func sameHosts(key string, old, now []string) bool {
	return key != "source" || slices.EqualFunc(old, now, func(a, b string) bool {
		x, y := parseSource(a), parseSource(b)
		return x.host == y.host && x.scheme == y.scheme && x.vcs == y.vcs && x.local == y.local
	})
}

// ordinaryField: a new version, checksums of the same number, and values in which only the version differs.
func (j *judging) ordinaryField(k fieldKey, old, now []string) bool {
	switch {
	case k.key == "pkgver":
		return len(now) == 1 && pkgverForm().MatchString(now[0])
	case k.key == "pkgrel":
		return len(now) == 1 && pkgrelForm().MatchString(now[0])
	case k.key == "epoch":
		return len(now) == 1 && epochForm().MatchString(now[0])
	case isChecksum(k.key):
		if len(old) != len(now) {
			return false
		}
		for i := range now {
			if !sumForm(k.key, now[i]) || now[i] == "SKIP" && old[i] != "SKIP" {
				return false
			}
		}
		return true
	case k.key == "source":
		if len(old) != len(now) {
			return false
		}
		for i := range now {
			if !j.places.sameButVersion(parseSource(old[i]), parseSource(now[i])) {
				return false
			}
		}
		return true
	}
	return k.key != "install" && j.places.equal(old, now)
}

// computed is the .SRCINFO that the new PKGBUILD gives, and the keys that cannot be known.
func (j *judging) computed() (map[fieldKey][]srcinfo.Field, map[string]bool) {
	open := map[string]bool{}
	if j.newer.file == nil {
		return map[fieldKey][]srcinfo.Field{}, open
	}
	info, dynamic, err := j.newer.eval().Srcinfo()
	if err != nil || info == nil {
		return map[fieldKey][]srcinfo.Field{}, open
	}
	for _, d := range dynamic {
		name := d.Name
		if _, key, ok := strings.Cut(name, ": "); ok {
			name = key
		}
		open[keyOf(name)], open[name] = true, true
	}
	fields, _ := fieldsOf(info)
	return fields, open
}
