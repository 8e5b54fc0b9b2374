package candidates

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Fault is a source that failed for one package. What the other sources found stands.
type Fault struct {
	Source string
	Err    error
}

// Outcome is what a run found for one package.
type Outcome struct {
	Draft  *Draft
	Faults []Fault
}

// Asked is how the bulk question of a source went.
type Asked struct {
	Source string
	Wanted int   // packages that the source has to do with
	Err    error // the source cannot be used in this run: none of these packages was checked by it
}

// Watcher is told how the work goes; calls come one at a time.
type Watcher interface {
	Preparing(source string, wanted int)
	Prepared(Asked)
	Checked(Outcome)
}

// Run asks all sources about all packages, parallel packages at once (CI_MAX_PARALLEL), and gives the outcomes in the
// order of the packages. A source that fails or panics for a package, or as a whole, stops nothing else. The error is
// only that of the context.
func Run(ctx context.Context, finders []Finder, packages []*Package, parallel int, w Watcher) ([]Outcome, []Asked, error) {
	watch := &serial{to: w}
	asked := prepare(ctx, finders, packages, watch)
	if ctx.Err() != nil {
		return nil, asked, context.Cause(ctx)
	}
	usable := make([]Finder, 0, len(finders))
	for i, f := range finders {
		if asked[i].Err == nil && asked[i].Wanted > 0 {
			usable = append(usable, f)
		}
	}
	outcomes := make([]Outcome, len(packages))
	var group errgroup.Group
	group.SetLimit(max(1, parallel))
	for i, p := range packages {
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			outcomes[i] = check(ctx, usable, p)
			watch.checked(outcomes[i])
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, asked, err
	}
	return outcomes, asked, nil
}

// serial makes the calls come one at a time.
type serial struct {
	mu sync.Mutex
	to Watcher
}

func (s *serial) do(call func(Watcher)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.to != nil {
		call(s.to)
	}
}

func (s *serial) checked(o Outcome) { s.do(func(w Watcher) { w.Checked(o) }) }

// prepare asks all sources at once: each waits for servers of its own.
func prepare(ctx context.Context, finders []Finder, packages []*Package, watch *serial) []Asked {
	asked := make([]Asked, len(finders))
	var wait sync.WaitGroup
	for i, f := range finders {
		var wanted []*Package
		for _, p := range packages {
			if f.Wants(p) {
				wanted = append(wanted, p)
			}
		}
		asked[i] = Asked{Source: f.Name(), Wanted: len(wanted)}
		if len(wanted) == 0 {
			continue
		}
		watch.do(func(w Watcher) { w.Preparing(f.Name(), len(wanted)) })
		wait.Go(func() {
			asked[i].Err = guarded(func() error { return f.Prepare(ctx, wanted) })
			watch.do(func(w Watcher) { w.Prepared(asked[i]) })
		})
	}
	wait.Wait()
	return asked
}

// check lets each source that wants the package add to its draft, and takes back what one did that failed.
func check(ctx context.Context, finders []Finder, p *Package) Outcome {
	o := Outcome{Draft: NewDraft(p)}
	for _, f := range finders {
		if !f.Wants(p) {
			continue
		}
		before := o.Draft.clone()
		if err := guarded(func() error { return f.Check(ctx, o.Draft) }); err != nil {
			o.Draft = before
			o.Faults = append(o.Faults, Fault{f.Name(), err})
		}
	}
	return o
}

// clone is deep enough that a source which fails half way leaves no trace.
func (d *Draft) clone() *Draft {
	c := *d
	c.Reasons, c.Notes = slices.Clone(d.Reasons), slices.Clone(d.Notes)
	copied := *d.State
	copied.AURMaintainers = slices.Clone(d.State.AURMaintainers)
	c.State = &copied
	return &c
}

// PanicError is a fault of ours that a package brought to light. The stack is for the report.
type PanicError struct {
	Value any
	Stack []byte
}

// Error names the place; the whole stack is in Stack.
func (e *PanicError) Error() string {
	return fmt.Sprintf("internal error, please report it: %v (at %s)", e.Value, e.place())
}

// place is the first line of the stack below the panic itself that lies in our code.
func (e *PanicError) place() string {
	lines := strings.Split(string(e.Stack), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "panic(") && i+3 < len(lines) {
			where, _, _ := strings.Cut(strings.TrimSpace(lines[i+3]), " ")
			return where[strings.LastIndexByte(where, '/')+1:]
		}
	}
	return "an unknown place"
}

func guarded(do func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return do()
}
