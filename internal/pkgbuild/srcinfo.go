package pkgbuild

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/caur-build/caur/pkg/srcinfo"
)

// keys of a .SRCINFO in the order in which makepkg writes them (its srcinfo.sh and util/schema.sh).
func baseScalars() []string {
	return []string{"pkgdesc", "pkgver", "pkgrel", "epoch", "url", "install", "changelog"}
}

func baseArrays() []string {
	return append([]string{"arch", "groups", "license", "checkdepends", "makedepends", "depends", "optdepends", "provides",
		"conflicts", "replaces", "noextract", "options", "backup", "source", "validpgpkeys"}, ChecksumKeys()...)
}

func packageScalars() []string { return []string{"pkgdesc", "url", "install", "changelog"} }

func packageArrays() []string {
	return []string{"arch", "groups", "license", "checkdepends", "depends", "optdepends", "provides", "conflicts", "replaces",
		"options", "backup"}
}

func archArrays() []string {
	return append([]string{"source", "provides", "conflicts", "depends", "replaces", "optdepends", "makedepends", "checkdepends"},
		ChecksumKeys()...)
}

// ChecksumKeys lists the names of the checksum arrays, without architecture, in makepkg's order.
func ChecksumKeys() []string {
	return []string{"cksums", "md5sums", "sha1sums", "sha224sums", "sha256sums", "sha384sums", "sha512sums", "b2sums"}
}

// Srcinfo makes the .SRCINFO that `makepkg --printsrcinfo` prints. What is dynamic is left out and listed: with an
// empty list the result is the whole .SRCINFO. The error says why there is none, such as a pkgver that is missing or
// dynamic.
func (s *Static) Srcinfo() (*srcinfo.Info, []Dynamic, error) {
	fields, err := s.fields()
	if err != nil {
		return nil, nil, err
	}
	var out strings.Builder
	var dynamic []Dynamic
	for _, f := range fields {
		switch {
		case f.dyn != nil:
			dynamic = append(dynamic, *f.dyn)
		case f.key == "pkgname":
			fmt.Fprintf(&out, "\npkgname = %s\n", f.pkgname)
		case f.key == "pkgbase":
			fmt.Fprintf(&out, "pkgbase = %s\n", f.items[0])
		default:
			for _, item := range f.items {
				fmt.Fprintf(&out, "\t%s = %s\n", f.key, item)
			}
		}
	}
	info, _, err := srcinfo.Parse(".SRCINFO", []byte(out.String()))
	if err != nil {
		return nil, dynamic, fmt.Errorf("make a .SRCINFO: %w", err)
	}
	return info, dynamic, nil
}

// field is a key of one section with all its values, white space as makepkg's srcinfo_write_attr has it. The key pkgname
// begins a section.
type field struct {
	pkgname string // "" is the base
	key     string // with its architecture
	items   []string
	dyn     *Dynamic // why the items are unknown; its Name is for people
}

// errWork is for recipes with thousands of packages and architectures: the output grows with the product of the two.
var errWork = errors.New("make a .SRCINFO: more work than is done on a sane PKGBUILD")

// fields lists what a .SRCINFO says, in its order, dynamic values included.
func (s *Static) fields() ([]field, error) {
	w := &srcinfoWriter{static: s, work: maxWork, bodies: map[*function]*body{}}
	w.base()
	if w.work < 0 {
		return nil, errWork
	}
	return w.fields, nil
}

type srcinfoWriter struct {
	static *Static
	fields []field
	work   int // what is left of it
	bodies map[*function]*body
}

// known returns the items, or notes why they are not known.
func (w *srcinfoWriter) known(v Value, pkgname, key, what string) ([]string, bool) {
	w.work--
	if v.Dynamic == nil {
		return v.Items, v.Kind != Unset
	}
	dyn := &Dynamic{Name: what, Line: v.Dynamic.Line, Reason: v.Dynamic.Reason}
	w.fields = append(w.fields, field{pkgname: pkgname, key: key, dyn: dyn})
	return nil, false
}

func (w *srcinfoWriter) base() {
	names, _ := w.known(w.static.Get("pkgname"), "", "pkgname", "pkgname")
	pkgbase, _ := w.known(w.static.Get("pkgbase"), "", "pkgbase", "pkgbase")
	base := firstOf(pkgbase)
	if base == "" {
		base = firstOf(names)
	}
	w.fields = append(w.fields, field{key: "pkgbase", items: []string{base}})
	for _, key := range baseScalars() {
		if items, _ := w.known(w.static.Get(key), "", key, key); firstOf(items) != "" {
			w.write("", key, items[:1])
		}
	}
	for _, key := range baseArrays() {
		w.baseArray(key)
	}
	arches := w.static.Get("arch").Items // if dynamic, it has been noted above
	for _, arch := range arches {
		if arch == "any" {
			continue
		}
		for _, key := range archArrays() {
			w.baseArray(key + "_" + arch)
		}
	}
	for _, name := range names {
		if w.work < 0 {
			return
		}
		w.fields = append(w.fields, field{pkgname: name, key: "pkgname"})
		w.pkg(name, base, arches)
	}
}

func firstOf(items []string) string {
	if len(items) == 0 {
		return ""
	}
	return items[0]
}

func (w *srcinfoWriter) baseArray(key string) {
	if items, ok := w.known(w.static.Get(key), "", key, key); ok && len(items) > 0 {
		w.write("", key, items)
	}
}

func (w *srcinfoWriter) write(pkgname, key string, values []string) {
	f := field{pkgname: pkgname, key: key, items: make([]string, 0, max(1, len(values)))}
	for _, value := range values {
		w.work -= len(value) + 1
		f.items = append(f.items, squeeze(value))
	}
	if len(values) == 0 {
		f.items = append(f.items, "")
	}
	w.fields = append(w.fields, f)
}

var blanks = regexp.MustCompile(`[ \t\n\v\f\r]+`)

func (w *srcinfoWriter) pkg(name, base string, arches []string) {
	o := w.static.overridesOf(name, base, w.bodies)
	put := func(key string, array bool) Value {
		if w.work < 0 {
			return Value{}
		}
		v, found := o.value(key, array, &w.work)
		if !found {
			return Value{}
		}
		if items, ok := w.known(v, name, key, o.funcName+": "+key); ok {
			w.write(name, key, items)
		}
		return v
	}
	for _, key := range packageScalars() {
		put(key, false)
	}
	for _, key := range packageArrays() {
		if v := put(key, true); key == "arch" && v.Kind != Unset {
			arches = v.Items
		}
	}
	for _, arch := range arches {
		if arch == "any" {
			continue
		}
		for _, key := range archArrays() {
			put(key+"_"+arch, true)
		}
	}
}
