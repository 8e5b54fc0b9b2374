// Package changes decides what a range of commits asks for: which packages changed in a way that matters for their
// build, which are gone, and which are named by [deploy NAME] (pipeline.md section 2, steps 1 to 3). It reads nothing
// and touches nothing: what git knows is handed to it.
//
// A dir is a directory at the top of the repository whose name does not begin with a dot; it is a package when its name
// is legal and it holds a PKGBUILD. A dir is gone when the older commit has it and the newer one has not; a dir that
// merely lost its PKGBUILD is reported, neither scheduled nor gone, so that a slip does not delete packages.
package changes

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caur-build/caur/pkg/srcinfo"
)

// Input is everything that the decision depends on.
type Input struct {
	Commits []Commit        // every commit of the range, in any order
	Files   []File          // every file that differs between the two ends of the range
	Dirs    map[string]bool // the dirs of the newer commit; the value says whether there is a PKGBUILD in it
}

// Commit is a commit's full ID and message.
type Commit struct{ ID, Message string }

// File is a file that differs. A rename is two of them.
type File struct {
	Path string // from the top of the repository, with slashes
	// Old and New are the contents where NeedsContent says so, nil where the file does not exist.
	Old, New []byte
}

// Set is what is to be done. All lists are sorted and free of duplicates.
type Set struct {
	Changed  []Changed // packages with a relevant change
	Deploy   []Deploy  // packages that a commit message names
	All      string    // the commit whose message says [deploy all], else ""
	Removed  []string  // dirs that are gone
	Skipped  []Skipped // what changed and still is not scheduled, with the reason
	Warnings []string  // one sentence each
}

// Changed is a package and the files, relative to its directory, for which it is scheduled.
type Changed struct {
	Pkgbase string
	Files   []string
}

// Deploy is a package and the commits that name it.
type Deploy struct {
	Pkgbase string
	Commits []string
}

// Skipped is a dir and why its change schedules nothing.
type Skipped struct{ Dir, Reason string }

// Reasons of Skipped.
const (
	NoPKGBUILD  = "it holds no PKGBUILD"
	IllegalName = "its name is no legal package name"
	Irrelevant  = "nothing that changes the package or how it is built"
)

// Pkgbases lists every package of the set but those that only All covers, sorted.
func (s *Set) Pkgbases() []string {
	names := make(map[string]bool, len(s.Changed)+len(s.Deploy))
	for _, c := range s.Changed {
		names[c.Pkgbase] = true
	}
	for _, d := range s.Deploy {
		names[d.Pkgbase] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// Empty is true when there is nothing to schedule and nothing to remove.
func (s *Set) Empty() bool {
	return len(s.Changed) == 0 && len(s.Deploy) == 0 && s.All == "" && len(s.Removed) == 0
}

// Find decides. The only error is a *DeployError.
func Find(in Input) (*Set, error) {
	set := &Set{}
	set.addFiles(in)
	if err := set.addDeploys(in); err != nil {
		return nil, err
	}
	return set, nil
}

// dirChange collects what happened in one dir.
type dirChange struct {
	relevant []string
	other    bool
}

func (s *Set) addFiles(in Input) {
	dirs := map[string]*dirChange{}
	for _, f := range in.Files {
		dir, path, inside := strings.Cut(f.Path, "/")
		if !inside || strings.HasPrefix(dir, ".") {
			continue
		}
		d := dirs[dir]
		if d == nil {
			d = &dirChange{}
			dirs[dir] = d
		}
		if relevant(path, f) {
			d.relevant = append(d.relevant, path)
		} else {
			d.other = true
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		hasPKGBUILD, exists := in.Dirs[dir]
		d := dirs[dir]
		switch {
		case !srcinfo.LegalName(dir):
			s.skip(dir, IllegalName)
		case !exists:
			s.Removed = append(s.Removed, dir)
		case !hasPKGBUILD:
			s.skip(dir, NoPKGBUILD)
		case len(d.relevant) == 0:
			s.skip(dir, Irrelevant)
		default:
			slices.Sort(d.relevant)
			s.Changed = append(s.Changed, Changed{Pkgbase: dir, Files: slices.Compact(d.relevant)})
		}
	}
}

func (s *Set) skip(dir, reason string) {
	s.Skipped = append(s.Skipped, Skipped{Dir: dir, Reason: reason})
}

func (s *Set) warnf(format string, args ...any) {
	s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...))
}
