// Package candidates finds what could be updated (pipeline.md sections 3 and 5): a file a source. It decides nothing about
// review and writes nothing; it gives for each package a Draft that says what would change, and why.
//
// A run has two parts. Prepare asks a source in bulk, once, for all packages: the AUR's archive, the heads of 760 git
// repositories, the pacman databases. Check then looks at one package, many at a time, and has little left to ask.
// Sources are asked in a fixed order on the same Draft, so that a later one sees what an earlier one brought: the content
// (aur, gitlab, git, nvchecker), the package's own hook, library bumps, VCS commits.
//
// A source that cannot be asked disables only the checks that need it: Prepare's error is reported once, Check is not
// called, and no state moves for it. An error of Check concerns one package and leaves its Draft to be thrown away.
package candidates

import (
	"context"
	"fmt"

	"github.com/caur-build/caur/pkg/aursync"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/srcinfo"
	"github.com/caur-build/caur/pkg/state"
)

// Names of the sources, as reports and labels show them.
const (
	SourceAUR       = "aur"
	SourceGitLab    = "gitlab"
	SourceGit       = "git"
	SourceNVChecker = "nvchecker"
	SourceHook      = "update.sh"
	SourceLibs      = "libs"
	SourceVCS       = "vcs"
)

// Package is what is known of a package before anything is asked. It is read-only and shared.
type Package struct {
	Pkgbase string
	Config  *state.PackageConfig // of .CI/config; never nil
	State   *state.PackageState  // of the state branch; never nil
	Info    *srcinfo.Info        // of .SRCINFO; nil where it is missing or cannot be read
	// Files reads all files of the directory, .CI included. It is for several goroutines at once, and slow: sources call it
	// only for what they change (through Draft.Files).
	Files func(context.Context) (pkgdir.Dir, error)
}

// Finder finds the updates of one source.
type Finder interface {
	// Name is one of the Source constants.
	Name() string
	// Wants says whether the source has anything to do with the package; it asks nobody.
	Wants(*Package) bool
	// Prepare asks in bulk what Check will need, for all packages that the source wants. It is called once, before Check.
	Prepare(ctx context.Context, packages []*Package) error
	// Check notes in the draft what the source has for its package. It may be called for several packages at once.
	Check(ctx context.Context, d *Draft) error
}

// Reason is why a package is in the report.
type Reason struct {
	Source string `json:"source"`
	Text   string `json:"text"` // one phrase: "1.2-1 → 1.3-1", "new commit 0a1b2c3d4e5f", "glibc 2.42-1 → 2.43-1"
}

// Draft is what would become of one package. One goroutine at a time.
type Draft struct {
	Package  *Package
	Reasons  []Reason            // why something changes; empty: nothing to do
	Notes    []Reason            // what people should know though nothing changes: renamed, gone, out of date
	State    *state.PackageState // the state to keep when the draft is taken over; a copy from the start
	Schedule bool                // build it though no file changed

	// ReviewBecause says why people must look at the change whatever it is ("found by nvchecker"); else "".
	ReviewBecause string
	// AUR is what the AUR says of the package, AURCommit who wrote what was taken over; nil for other sources.
	AUR       *aursync.Meta
	AURCommit *aursync.Commit

	files pkgdir.Dir // nil while unchanged
}

// NewDraft begins with everything unchanged.
func NewDraft(p *Package) *Draft {
	copied, _, err := state.ParsePackageState(p.Pkgbase, p.State.Bytes())
	if err != nil { // what was parsed before parses again
		copied = &state.PackageState{}
	}
	return &Draft{Package: p, State: copied}
}

// Files gives the content as it would be now: that of the last Change, else the package's own.
func (d *Draft) Files(ctx context.Context) (pkgdir.Dir, error) {
	if d.files != nil {
		return d.files, nil
	}
	files, err := d.Package.Files(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the directory of %s: %w", d.Package.Pkgbase, err)
	}
	return files, nil
}

// Changed gives the new content, nil when no file changes.
func (d *Draft) Changed() pkgdir.Dir { return d.files }

// Change notes new content and why. The directory belongs to the draft from then on.
func (d *Draft) Change(source, why string, files pkgdir.Dir) {
	d.files = files
	d.Reasons = append(d.Reasons, Reason{source, why})
}

// Build notes that the package is to be built though no file changes, and why.
func (d *Draft) Build(source, why string) {
	d.Schedule = true
	d.Reasons = append(d.Reasons, Reason{source, why})
}

// Note tells people something that changes nothing.
func (d *Draft) Note(source, format string, args ...any) {
	d.Notes = append(d.Notes, Reason{source, fmt.Sprintf(format, args...)})
}
