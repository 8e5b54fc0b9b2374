package candidates

import (
	"context"
	"errors"
	"time"

	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/pkg/aursync"
	"github.com/caur-build/caur/pkg/state"
)

// AUROptions of NewAUR.
type AUROptions struct {
	Client *aursync.Client
	// Style says how the PKGBUILD of a package is laid out (path: PKGBASE/PKGBUILD); nil: shfmt's default.
	Style func(path string) (pkgbuild.Style, error)
	// Fallback is the timestamp of packages that have none of their own: that of .ci/aur-state.
	Fallback time.Time
}

// AUR finds updates of packages that come from the AUR (pipeline.md section 5.1).
type AUR struct{ o AUROptions }

// NewAUR makes the source.
func NewAUR(o AUROptions) *AUR { return &AUR{o: o} }

// Name is SourceAUR.
func (*AUR) Name() string { return SourceAUR }

// Wants packages whose source is the AUR.
func (*AUR) Wants(p *Package) bool { return p.Config.Source.Kind == state.SourceAUR }

// Prepare asks for the metadata of all packages, and fetches those that are newer than what was taken over.
func (a *AUR) Prepare(context.Context, []*Package) error { return errors.New("not there yet") }

// Check compares what was fetched with the package.
func (a *AUR) Check(context.Context, *Draft) error { return errors.New("not there yet") }

// Taken is when the AUR's answer was made, by its clock; the zero time when it was not asked.
func (a *AUR) Taken() time.Time { return time.Time{} }

// Warnings are what people should know of the run as a whole: that the archive could not be used, and why.
func (a *AUR) Warnings() []string { return nil }
