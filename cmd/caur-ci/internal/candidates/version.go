package candidates

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/pkg/pkgdir"
)

// VersionEdit is what an update sets; "" and nil leave a value as it is.
type VersionEdit struct {
	Pkgver, Pkgrel, Epoch string
	// Commit is for the variable _commit. A PKGBUILD without one must name the commit in a source, else it is an error
	// that wraps pkgbuild.ErrMissing.
	Commit string
	// Sources has new items by the old ones, both as they are evaluated, of whatever architecture.
	Sources map[string]string
	// Checksums has all items of an array by its name, such as sha256sums_x86_64.
	Checksums map[string][]string
}

// EditVersion makes the edits in PKGBUILD and .SRCINFO of files, all or nothing, and returns the changed copy. Only the
// words of changed values differ in the PKGBUILD. An error wraps pkgbuild.ErrNotLiteral or pkgbuild.ErrMissing where the
// PKGBUILD is written in a way that cannot be edited; it names file, line and what to change by hand.
func EditVersion(files pkgdir.Dir, e VersionEdit) (pkgdir.Dir, error) {
	recipe, err := regularFile(files, "PKGBUILD")
	if err != nil {
		return nil, err
	}
	if _, there := files[srcinfoName]; there {
		if _, err := regularFile(files, srcinfoName); err != nil {
			return nil, err
		}
	}
	before, err := pkgbuild.Parse("PKGBUILD", recipe.Data)
	if err != nil {
		return nil, err
	}
	old := before.Static()
	edits, err := e.edits(old)
	if err != nil {
		return nil, err
	}
	after, err := before.Apply(edits...)
	if err != nil {
		return nil, err
	}
	now := after.Static()
	if e.Commit != "" && old.Get("_commit").Kind == pkgbuild.Unset && !namesCommit(now, e.Commit) {
		return nil, &pkgbuild.Error{
			File: "PKGBUILD", Err: pkgbuild.ErrMissing,
			Message: fmt.Sprintf("has no variable _commit, and no source names the commit %s", e.Commit),
		}
	}
	text, err := updatedSrcinfo(files, before, after)
	if err != nil {
		return nil, err
	}
	changed := files.Clone()
	changed["PKGBUILD"] = pkgdir.File{Kind: recipe.Kind, Data: after.Bytes()}
	changed[srcinfoName] = pkgdir.File{Kind: files[srcinfoName].Kind, Data: text}
	return changed, nil
}

func regularFile(files pkgdir.Dir, name string) (pkgdir.File, error) {
	f, there := files[name]
	switch {
	case !there:
		return f, fmt.Errorf("there is no %s to change", name)
	case f.Kind == pkgdir.Link:
		return f, fmt.Errorf("%s is a link to %q, which is not followed", name, f.Data)
	}
	return f, nil
}

// edits lists the changes of the PKGBUILD in an order that does not depend on maps.
func (e VersionEdit) edits(s *pkgbuild.Static) ([]pkgbuild.Edit, error) {
	var list []pkgbuild.Edit
	set := func(name, value string) {
		if value != "" {
			list = append(list, pkgbuild.Set(name, value))
		}
	}
	set("pkgver", e.Pkgver)
	set("pkgrel", e.Pkgrel)
	set("epoch", e.Epoch)
	if commit := s.Get("_commit"); commit.Kind != pkgbuild.Unset || !commit.Static() {
		set("_commit", e.Commit)
	}
	for _, item := range slices.Sorted(maps.Keys(e.Sources)) {
		arrays := sourcesWith(s, item)
		if len(arrays) == 0 {
			return nil, &pkgbuild.Error{File: "PKGBUILD", Message: fmt.Sprintf("has no source %q", item), Err: pkgbuild.ErrMissing}
		}
		for _, array := range arrays {
			list = append(list, pkgbuild.ReplaceItem(array, item, e.Sources[item]))
		}
	}
	for _, array := range slices.Sorted(maps.Keys(e.Checksums)) {
		list = append(list, pkgbuild.SetItems(array, e.Checksums[array]...))
	}
	return list, nil
}

// sourcesWith lists the source arrays that have the item, those for one architecture included.
func sourcesWith(s *pkgbuild.Static, item string) []string {
	var names []string
	for _, a := range s.Assignments() {
		if !isSource(a.Name) || slices.Contains(names, a.Name) {
			continue
		}
		if slices.ContainsFunc(a.Elements, func(el pkgbuild.Element) bool { return slices.Contains(el.Values, item) }) {
			names = append(names, a.Name)
		}
	}
	return names
}

func isSource(name string) bool { return name == "source" || strings.HasPrefix(name, "source_") }

func namesCommit(s *pkgbuild.Static, commit string) bool {
	for _, a := range s.Assignments() {
		for _, el := range a.Elements {
			if isSource(a.Name) && slices.ContainsFunc(el.Values, func(v string) bool { return strings.Contains(v, commit) }) {
				return true
			}
		}
	}
	return false
}
