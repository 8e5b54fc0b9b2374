package candidates

import (
	"context"
	"errors"

	"github.com/caur-build/caur/internal/git"
)

// VCSOptions of NewVCS.
type VCSOptions struct {
	Heads *git.Heads
}

// VCS finds new commits of what VCS packages are built from (pipeline.md section 5.6).
type VCS struct{ o VCSOptions }

// NewVCS makes the source.
func NewVCS(o VCSOptions) *VCS { return &VCS{o: o} }

// Name is SourceVCS.
func (*VCS) Name() string { return SourceVCS }

// Wants packages whose name ends in -git, or that say so, and whose first git source is not pinned.
func (*VCS) Wants(*Package) bool { return false }

// Prepare asks for the heads of all repositories, each once.
func (v *VCS) Prepare(context.Context, []*Package) error { return errors.New("not there yet") }

// Check compares the head with the commit that was scheduled last.
func (v *VCS) Check(context.Context, *Draft) error { return errors.New("not there yet") }
