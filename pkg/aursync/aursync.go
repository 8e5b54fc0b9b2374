// Package aursync knows what the AUR holds: the metadata of every package, and the files of those that are wanted.
package aursync

import (
	"time"

	"github.com/caur-build/caur/pkg/pkgdir"
)

// Meta is what the AUR says of one pkgbase, joined over its packages.
type Meta struct {
	Pkgbase        string
	Pkgnames       []string // sorted; from the RPC interface only those that were asked for
	Version        string   // [epoch:]pkgver-pkgrel
	Maintainer     string   // "" is an orphan
	CoMaintainers  []string // in the AUR's order
	Submitter      string
	OutOfDate      time.Time // when it was flagged; the zero time when it is not
	FirstSubmitted time.Time
	LastModified   time.Time
}

// Maintainers lists maintainer and co-maintainers, the maintainer first.
func (m *Meta) Maintainers() []string {
	if m.Maintainer == "" {
		return m.CoMaintainers
	}
	return append([]string{m.Maintainer}, m.CoMaintainers...)
}

// Commit is the newest commit of a pkgbase on the AUR.
type Commit struct {
	ID                      string
	AuthorName, AuthorEmail string
	Time                    time.Time // of the commit
	Subject                 string    // first line of the message
}

// Fetched is the outcome for one pkgbase: its files and commit, or why not.
type Fetched struct {
	Files  pkgdir.Dir
	Commit Commit
	Err    error
}
