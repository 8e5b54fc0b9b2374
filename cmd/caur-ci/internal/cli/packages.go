package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// catalog is the packages of a repository at one moment.
type catalog struct {
	files gitrepo.Files
	dirs  map[string]bool // every dir; the value says whether it holds a PKGBUILD
	names []string        // the packages: dirs with a legal name and a PKGBUILD, sorted
}

func newCatalog(ctx context.Context, files gitrepo.Files) (*catalog, error) {
	dirs := files.Dirs()
	has, err := files.Has(ctx, dirs, "PKGBUILD")
	if err != nil {
		return nil, err
	}
	c := &catalog{files: files, dirs: make(map[string]bool, len(dirs)), names: make([]string, 0, len(dirs))}
	for i, dir := range dirs {
		c.dirs[dir] = has[i]
		if has[i] && srcinfo.LegalName(dir) {
			c.names = append(c.names, dir)
		}
	}
	return c, nil
}

// remaining lists the pkgbases that a clean-up must keep. A dir that merely lost its PKGBUILD counts: a slip must not
// delete its packages.
func (c *catalog) remaining() []string {
	var names []string
	for dir := range c.dirs {
		if srcinfo.LegalName(dir) {
			names = append(names, dir)
		}
	}
	slices.Sort(names)
	return names
}

// oddities says which dirs are no packages, and why.
func (c *catalog) oddities() []string {
	var texts []string
	for dir, has := range c.dirs {
		switch {
		case !srcinfo.LegalName(dir):
			texts = append(texts, fmt.Sprintf("%q is left out: its name is no legal package name", dir))
		case !has:
			texts = append(texts, dir+" is left out: it holds no PKGBUILD")
		}
	}
	slices.Sort(texts)
	return texts
}

// infos reads the .SRCINFO of the packages. An entry is nil where it is missing or cannot be read; the warnings say why,
// with file and line, in the order of the names.
func (c *catalog) infos(ctx context.Context, names []string) (infos []*srcinfo.Info, warnings []string, err error) {
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = name + "/.SRCINFO"
	}
	infos = make([]*srcinfo.Info, len(names))
	faults := make([]error, len(names))
	for i := range faults {
		faults[i] = errNoSrcinfo
	}
	err = c.files.Read(ctx, paths, func(i int, data []byte) error {
		infos[i], _, faults[i] = srcinfo.Parse(paths[i], data)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	for i, fault := range faults {
		switch {
		case errors.Is(fault, errNoSrcinfo):
			warnings = append(warnings, fmt.Sprintf("%s: %v", paths[i], fault))
		case fault != nil:
			infos[i] = nil
			warnings = append(warnings, fmt.Sprintf("%v (until it is repaired, dependencies and split packages are unknown)", fault))
		case infos[i].Pkgbase != names[i]:
			warnings = append(warnings, fmt.Sprintf("%s: pkgbase is %s, not the name of the directory, which counts", paths[i], infos[i].Pkgbase))
		}
	}
	return infos, warnings, nil
}

var errNoSrcinfo = errors.New("there is none, so dependencies and split packages are unknown: make it with 'makepkg --printsrcinfo'")
