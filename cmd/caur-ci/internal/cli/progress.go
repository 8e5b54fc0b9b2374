package cli

import (
	"fmt"
	"strings"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/internal/command"
)

// progress tells how a run goes: bars where a terminal looks on, lines elsewhere.
type progress struct {
	a     *app
	total int
	every bool // a line for every package, also for those without news

	mu     sync.Mutex
	bars   *mpb.Progress
	bar    *mpb.Bar
	asking map[string]int // sources that have not answered yet, with the number of packages
	found  map[string]int // packages for which a source has news
	end    func()
}

// newProgress shows bars only for more than one package: one is faster than a bar.
func (a *app) newProgress(total int) *progress {
	p := &progress{a: a, total: total, every: a.folds(), asking: map[string]int{}, found: map[string]int{}}
	if a.io.ErrTTY && total > 1 {
		p.bars = mpb.New(mpb.WithOutput(a.io.Err), mpb.WithAutoRefresh())
		p.bar = p.bars.New(int64(total), mpb.BarStyle().Lbound("").Rbound("").Filler("━").Tip("━").Padding(" "),
			mpb.PrependDecorators(decor.CountersNoUnit("%d/%d packages")),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return p.now() }), decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO), "")))
		p.end = func() {}
		return p
	}
	p.end = a.section("check", fmt.Sprintf("Checking %s", count(total, "package")), true)
	return p
}

// now says what goes on, for the end of the bar.
func (p *progress) now() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var parts []string
	for _, source := range sourceOrder {
		switch {
		case p.asking[source] > 0:
			parts = append(parts, "asking "+source)
		case p.found[source] > 0:
			parts = append(parts, fmt.Sprintf("%s %d", source, p.found[source]))
		}
	}
	return " " + strings.Join(parts, ", ") + " "
}

// Preparing is of candidates.Watcher.
func (p *progress) Preparing(source string, wanted int) {
	p.mu.Lock()
	p.asking[source] = wanted
	p.mu.Unlock()
	if p.bar == nil {
		p.a.notef("  %s: asking for %s", source, count(wanted, "package"))
	}
}

// Prepared is of candidates.Watcher. Errors are for the report, which comes at the end.
func (p *progress) Prepared(asked candidates.Asked) {
	p.mu.Lock()
	delete(p.asking, asked.Source)
	p.mu.Unlock()
	if p.bar == nil && asked.Err != nil {
		p.a.notef("  %s: no answer", asked.Source)
	}
}

// Checked is of candidates.Watcher.
func (p *progress) Checked(o candidates.Outcome) {
	p.mu.Lock()
	for _, r := range o.Draft.Reasons {
		p.found[r.Source]++
	}
	p.mu.Unlock()
	if p.bar != nil {
		p.bar.Increment()
		return
	}
	if text := news(o); text != "" {
		p.a.notef("  %s: %s", o.Draft.Package.Pkgbase, text)
	} else if p.every {
		p.a.notef("  %s: unchanged", o.Draft.Package.Pkgbase)
	}
}

// news is everything to say about a package on one line.
func news(o candidates.Outcome) string {
	var parts []string
	for _, r := range o.Draft.Reasons {
		parts = append(parts, r.Source+": "+r.Text)
	}
	for _, n := range o.Draft.Notes {
		parts = append(parts, n.Source+": "+n.Text)
	}
	for _, f := range o.Faults {
		parts = append(parts, f.Source+" failed: "+f.Err.Error())
	}
	return command.Sanitize(strings.ReplaceAll(strings.Join(parts, "; "), "\n", " "))
}

// close ends the bars, also those of a run that was interrupted, so that what follows is on lines of its own.
func (p *progress) close() {
	if p.bar != nil {
		if !p.bar.Completed() {
			p.bar.Abort(true)
		}
		p.bars.Wait()
	}
	p.end()
}
