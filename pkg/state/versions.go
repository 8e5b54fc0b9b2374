package state

import (
	"bytes"
	"slices"
	"strings"

	"github.com/caur-build/caur/pkg/srcinfo"
)

// VersionState is .version-state: which version of every pkgbase the watched pacman databases
// hold. A pkgbase that stands in several databases has several versions. The
// zero VersionState is empty and ready to use.
type VersionState struct {
	versions map[string][]string
	lines    int
}

// ParseVersionState reads lines PKGBASE:VERSION; the version may hold an epoch and thus a second
// colon. Lines that are none of that are left out and reported.
func ParseVersionState(name string, data []byte) (*VersionState, []Problem) {
	var problems []Problem
	text := string(data)
	s := &VersionState{versions: make(map[string][]string, strings.Count(text, "\n")+1)}
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		pkgbase, version, _ := strings.Cut(line, ":")
		if !s.add(pkgbase, version) {
			problems = append(problems, Problem{File: name, Line: number, Message: excerpt(line) + " is not PKGBASE:VERSION and is ignored"})
		}
	}
	return s, problems
}

// add keeps duplicates: a file that is read is written the same.
func (s *VersionState) add(pkgbase, version string) bool {
	if !srcinfo.LegalName(pkgbase) || version == "" || strings.ContainsFunc(version, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return false
	}
	if s.versions == nil {
		s.versions = make(map[string][]string)
	}
	s.versions[pkgbase] = append(s.versions[pkgbase], version)
	s.lines++
	return true
}

// Add notes that a database holds a package in a version; false when pkgbase or version
// are not legal. What is known already is not noted again.
func (s *VersionState) Add(pkgbase, version string) bool {
	return slices.Contains(s.versions[pkgbase], version) || s.add(pkgbase, version)
}

// Len is the number of lines.
func (s *VersionState) Len() int { return s.lines }

// Newest is the newest version of a package in any database, "" where none has it.
func (s *VersionState) Newest(pkgbase string) string {
	newest := ""
	for _, version := range s.versions[pkgbase] {
		if newest == "" || srcinfo.Vercmp(version, newest) > 0 {
			newest = version
		}
	}
	return newest
}

// ChangedSince lists, sorted, the packages that have a version now which they did not
// have in the older state: as today's comparison line by line, a package that is new counts and
// one that is gone does not. A nil older state is an empty one.
func (s *VersionState) ChangedSince(older *VersionState) []string {
	if older == nil {
		older = &VersionState{}
	}
	var changed []string
	for pkgbase, versions := range s.versions {
		before := older.versions[pkgbase]
		if slices.ContainsFunc(versions, func(v string) bool { return !slices.Contains(before, v) }) {
			changed = append(changed, pkgbase)
		}
	}
	slices.Sort(changed)
	return changed
}

// Bytes is the file to write: lines sorted by bytes, as comm(1) and sort(1) want them in the C locale.
func (s *VersionState) Bytes() []byte {
	lines := make([]string, 0, s.lines)
	size := 0
	for pkgbase, versions := range s.versions {
		for _, version := range versions {
			lines = append(lines, pkgbase+":"+version)
			size += len(pkgbase) + len(version) + 2
		}
	}
	slices.Sort(lines)
	b := bytes.NewBuffer(make([]byte, 0, size))
	for _, line := range lines {
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.Bytes()
}
