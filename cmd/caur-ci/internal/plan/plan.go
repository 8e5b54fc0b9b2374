// Package plan makes jobs of packages, and keeps them in a file until they reach the queue (pipeline.md section 6).
//
// A plan is one batch: the jobs, and perhaps one clean-up of the target repo. There are three ways to hand it over:
// straight into the queue, as the versioned JSON file of Write and Read, and as the two files of the TypeScript manager
// (Legacy).
//
// One run schedules for one architecture, x86_64 unless the caller says otherwise. A package of architecture "any" gets
// the same single job: the queue lets its job stand for every architecture. A package that does not list the
// architecture gets a job, too, and a warning: .CI/prepare or PKGBUILD.append may add it.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/caur-build/caur/pkg/queue"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// DefaultArch is the architecture that is scheduled when nothing else is said.
const DefaultArch = "x86_64"

// Plan is one batch for the queue.
type Plan struct {
	Version int            `json:"version"` // of the file format, FormatVersion
	Batch   string         `json:"batch"`   // accepted once: handing a plan over again does no harm
	Jobs    []queue.Job    `json:"jobs"`
	Cleanup *queue.Cleanup `json:"cleanup,omitempty"`
}

// Package is what is known of a package when its job is made.
type Package struct {
	Pkgbase string
	Info    *srcinfo.Info // nil when the .SRCINFO is missing or cannot be read
	Class   string        // BUILDER_CLASS, "" when it names none
	Asked   string        // the class that PKG/CLASS asks for, "" when none
}

// Options are what the jobs of a run have in common.
type Options struct {
	TargetRepo   string // REPO_NAME
	SourceRepo   string // BUILD_REPO
	Arch         string
	DefaultClass string // CI_DEFAULT_CLASS
	Commit       string // SHA:PIPELINE_ID, "" outside of a pipeline
	SourceCommit string // full ID
	ArchMirror   string // of MirrorURL
}

// New makes the plan: one job a package, sorted by pkgbase. A package without an Info is scheduled under its pkgbase
// alone, without dependencies: it must not be forgotten because of a file that only orders builds.
func New(batch string, o Options, packages []Package) *Plan {
	p := &Plan{Version: FormatVersion, Batch: batch, Jobs: make([]queue.Job, 0, len(packages))}
	for _, pkg := range packages {
		p.Jobs = append(p.Jobs, o.job(pkg))
	}
	slices.SortFunc(p.Jobs, func(a, b queue.Job) int { return strings.Compare(a.Pkgbase, b.Pkgbase) })
	return p
}

func (o Options) job(pkg Package) queue.Job {
	job := queue.Job{
		Pkgbase: pkg.Pkgbase, TargetRepo: o.TargetRepo, SourceRepo: o.SourceRepo, Arch: o.Arch,
		Class:    firstSet(pkg.Asked, pkg.Class, o.DefaultClass, "1"),
		Pkgnames: []string{pkg.Pkgbase},
		Commit:   o.Commit, SourceCommit: o.SourceCommit, ArchMirror: o.ArchMirror,
	}
	if pkg.Info == nil {
		return job
	}
	job.Pkgnames = pkg.Info.Pkgnames()
	for _, name := range pkg.Info.Names(o.Arch) {
		if !slices.Contains(job.Pkgnames, name) {
			job.Provides = append(job.Provides, name)
		}
	}
	job.Dependencies = pkg.Info.Dependencies(o.Arch)
	return job
}

func firstSet(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// ErrEmptyCleanup refuses a clean-up that would remove every package of the target repo.
var ErrEmptyCleanup = errors.New("the repository holds no package any more, so a clean-up would empty the target repo; it is refused")

// AddCleanup makes the executor remove from the target repo whatever does not belong to the pkgbases that remain.
func (p *Plan) AddCleanup(o Options, remaining []string) error {
	if len(remaining) == 0 {
		return ErrEmptyCleanup
	}
	pkgbases := slices.Sorted(slices.Values(remaining))
	p.Cleanup = &queue.Cleanup{TargetRepo: o.TargetRepo, Arch: o.Arch, Pkgbases: slices.Compact(pkgbases), Commit: o.Commit}
	return nil
}

// Empty is true when there is nothing to hand over.
func (p *Plan) Empty() bool { return len(p.Jobs) == 0 && p.Cleanup == nil }

// QueueBatch is the plan as the queue takes it.
func (p *Plan) QueueBatch() queue.Batch {
	return queue.Batch{ID: p.Batch, Jobs: p.Jobs, Cleanup: p.Cleanup}
}

// CommitBatch names the batch of a range of commits. The same range for the same target gives the same name, so that a
// run that died after the queue had accepted everything can be repeated. tag is "" when there is none.
func CommitBatch(o Options, tag, head string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{o.TargetRepo, o.SourceRepo, o.Arch, tag, head}, "\x00")))
	return "on-commit-" + hex.EncodeToString(sum[:16])
}

// UpdateBatch names the batch of a run that found updates: of the commit that it made, or found nothing to change in, and
// of the commit of the state branch that remembers why ("" when there is none).
func UpdateBatch(o Options, head, state string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{o.TargetRepo, o.SourceRepo, o.Arch, head, state}, "\x00")))
	return "on-schedule-" + hex.EncodeToString(sum[:16])
}

// HandBatch names a batch that a person asks for: every time a new one.
func HandBatch() string { return "schedule-" + uuid.NewString() }

// archDatabase matches the path of the database of one of Arch Linux' own repositories: …/core/os/x86_64/core.db.
var archDatabase = regexp.MustCompile(`^(.+)/(core|extra|community)/os/[^/]+/(core|extra|community)\.db(\.tar\.[a-z]+)?$`)

// MirrorURL turns the first core or extra entry of CI_LIB_DB into a server line as pacman's configuration has it,
// https://mirror.example/$repo/os/$arch; "" when there is none.
func MirrorURL(libDB []string) string {
	for _, url := range libDB {
		if m := archDatabase.FindStringSubmatch(url); m != nil && m[2] == m[3] {
			return m[1] + "/$repo/os/$arch"
		}
	}
	return ""
}

// MissesArch says whether a package lists neither the architecture nor "any".
func MissesArch(info *srcinfo.Info, arch string) bool {
	if info == nil || len(info.Arch) == 0 {
		return false
	}
	return !slices.Contains(info.Arch, arch) && !slices.Contains(info.Arch, "any")
}

// Request is a package argument, PKGBASE or PKGBASE/CLASS.
type Request struct{ Pkgbase, Class string }

var legalClass = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// ParseRequest reads one package argument.
func ParseRequest(arg string) (Request, error) {
	dir, class, hasClass := strings.Cut(arg, "/")
	if arg != path.Clean(arg) && hasClass && class == "" {
		hasClass = false // PKGBASE/ is what a shell completes a directory to
	}
	switch {
	case !srcinfo.LegalName(dir):
		return Request{}, fmt.Errorf("%q is no package: want PKGBASE or PKGBASE/CLASS", arg)
	case hasClass && !legalClass.MatchString(class):
		return Request{}, fmt.Errorf("%q asks for the class %q: want a number or the name of a builder", arg, class)
	}
	return Request{Pkgbase: dir, Class: class}, nil
}

// ParseRequests reads package arguments. Each may hold several, separated by commas, colons or blanks, as the pipeline
// variable PACKAGES does. A package that is named twice is one; with two classes it is an error.
func ParseRequests(args []string) ([]Request, error) {
	var list []Request
	index := map[string]int{}
	for _, arg := range args {
		for _, word := range strings.FieldsFunc(arg, func(r rune) bool { return strings.ContainsRune(",: \t\r\n", r) }) {
			request, err := ParseRequest(word)
			if err != nil {
				return nil, err
			}
			i, known := index[request.Pkgbase]
			switch {
			case !known:
				index[request.Pkgbase] = len(list)
				list = append(list, request)
			case list[i].Class == "":
				list[i].Class = request.Class
			case request.Class != "" && request.Class != list[i].Class:
				return nil, fmt.Errorf("%s is asked for with class %s and with class %s", request.Pkgbase, list[i].Class, request.Class)
			}
		}
	}
	return list, nil
}
