// Package reconcile finds what a queue has lost: it compares a published repository with the head of a source repository and with what is in the queue, and makes the jobs that are missing.
//
// A package is built when the repository lacks it, or has an older version than the head of the source repository; by pacman's order, so a bumped pkgrel counts and an epoch too. What the
// repository has in a newer version stays as it is: VCS packages take their version from upstream when they are built, and their .SRCINFO says what it was at some time before.
// A package whose build failed is older as well: it is asked for once for each head (see [Report.Batch]).
package reconcile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/caur-build/caur/pkg/queue"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// Package is one directory of the source repository.
type Package struct {
	Dir   string // names the package, as everywhere
	Info  *srcinfo.Info
	Class string // BUILDER_CLASS, "" for none
	Bump  srcinfo.Bump
}

// Options of Compare.
type Options struct {
	TargetRepo, SourceRepo, Arch string
	Class                        string // of packages that name none
	Head                         string // commit that the packages are of, and that is built
}

// Verdicts of a row.
const (
	Missing = "missing" // the repository lacks it
	Older   = "older"   // the repository has an older version
	InQueue = "queued"  // it would be one of those, and waits, runs or is being published already
)

// Row is a package that the repository should have otherwise.
type Row struct {
	Pkgbase   string `json:"pkgbase"`
	Verdict   string `json:"verdict"`
	Published string `json:"published,omitempty"` // version in the repository
	Source    string `json:"source"`              // version at the head
}

// Report is what Compare found.
type Report struct {
	Head  string      `json:"head"`
	Batch string      `json:"batch,omitempty"` // id of the batch: the same as long as the same is missing, so that asking twice enqueues once
	Rows  []Row       `json:"packages"`
	Same  int         `json:"same"`  // packages that the repository has as they are
	Newer int         `json:"newer"` // packages that it has in a newer version
	Jobs  []queue.Job `json:"-"`
}

// Compare is the whole decision. published is the version of each pkgbase in the repository, alive the ids of the jobs in the queue.
func Compare(published map[string]string, packages []Package, alive map[string]bool, o Options) Report {
	r := Report{Head: o.Head, Rows: []Row{}}
	sum := sha256.New()
	fmt.Fprintln(sum, o.TargetRepo, o.Arch, o.Head)
	for _, p := range packages {
		if !slices.Contains(p.Info.Arch, o.Arch) && !slices.Contains(p.Info.Arch, "any") {
			continue
		}
		row := Row{Pkgbase: p.Dir, Published: published[p.Dir]}
		row.Source = p.wanted(row.Published)
		switch order := srcinfo.Vercmp(row.Published, row.Source); {
		case row.Published == "":
			row.Verdict = Missing
		case order < 0:
			row.Verdict = Older
		case order == 0:
			r.Same++
			continue
		default:
			r.Newer++
			continue
		}
		job := p.job(o)
		if alive[job.ID()] {
			row.Verdict = InQueue
		} else {
			r.Jobs = append(r.Jobs, job)
			fmt.Fprintln(sum, row.Pkgbase, row.Published, row.Source)
		}
		r.Rows = append(r.Rows, row)
	}
	if len(r.Jobs) > 0 {
		r.Batch = "reconcile:" + hex.EncodeToString(sum.Sum(nil)[:16])
	}
	return r
}

// wanted is the version that a build of the head is known to reach at least. A bump is for what .SRCINFO says, or for what is published of a VCS package.
func (p Package) wanted(published string) string {
	version := p.Info.Version()
	if p.Bump.N == 0 || p.Bump.Version == "" {
		return version
	}
	for _, of := range []string{version, published} {
		if srcinfo.Vercmp(of, p.Bump.Version) == 0 && srcinfo.Vercmp(of, version) >= 0 {
			return fmt.Sprintf("%s.%d", of, p.Bump.N)
		}
	}
	return version
}

func (p Package) job(o Options) queue.Job {
	j := queue.Job{Pkgbase: p.Dir, TargetRepo: o.TargetRepo, SourceRepo: o.SourceRepo, Arch: o.Arch, Class: p.Class, SourceCommit: o.Head,
		Pkgnames: p.Info.Pkgnames(), Dependencies: p.Info.Dependencies(o.Arch)}
	if j.Class == "" {
		j.Class = o.Class
	}
	for _, name := range p.Info.Names(o.Arch) {
		if !slices.Contains(j.Pkgnames, name) {
			j.Provides = append(j.Provides, name)
		}
	}
	return j
}

// Text is the report for people.
func (r Report) Text() string {
	var b strings.Builder
	for _, row := range r.Rows {
		published := row.Published
		if published == "" {
			published = "-"
		}
		fmt.Fprintf(&b, "%-8s %s %s → %s\n", row.Verdict, row.Pkgbase, published, row.Source)
	}
	return b.String()
}
