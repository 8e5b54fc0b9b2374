package candidates

import (
	"context"
	"errors"
	"time"

	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/pkg/state"
)

// GitOptions of NewGit.
type GitOptions struct {
	CacheDir string // for the repositories that are fetched; each has a folder of its own in it
	// Style says how the PKGBUILD of a package is laid out (path: PKGBASE/PKGBUILD); nil: shfmt's default.
	Style    func(path string) (pkgbuild.Style, error)
	Delay    time.Duration // CI_CLONE_DELAY, between two clones from one host
	Parallel int           // clones at once; 0: 4
	Retry    time.Duration // pause before the second try of a clone; 0: 30 seconds

	Now   func() time.Time                           // nil: time.Now
	Sleep func(context.Context, time.Duration) error // nil: waits for real
}

// Git takes over packages that are kept in a git repository of their own (pipeline.md section 5.3).
type Git struct{ o GitOptions }

// NewGit makes the source.
func NewGit(o GitOptions) *Git { return &Git{o: o} }

// Name is SourceGit.
func (*Git) Name() string { return SourceGit }

// Wants packages whose source is a git URL.
func (*Git) Wants(p *Package) bool { return p.Config.Source.Kind == state.SourceGit }

// Prepare has nothing to ask: each repository is a question of its own.
func (*Git) Prepare(context.Context, []*Package) error { return nil }

// Check compares the newest commit of the default branch with the package.
func (g *Git) Check(context.Context, *Draft) error { return errors.New("not there yet") }
