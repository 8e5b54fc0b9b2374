package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/cmd/caur-ci/internal/review"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/srcinfo"
	"github.com/caur-build/caur/pkg/state"
)

// outcome is what becomes of a package in a run.
type outcome string

const (
	updated   outcome = "updated"   // new content on the branch
	bumped    outcome = "bumped"    // only CI_PACKAGE_BUMP rises
	built     outcome = "scheduled" // nothing changed here; upstream has new commits
	inReview  outcome = "in review"
	cooling   outcome = "cooling" // younger than CI_UPDATE_COOLDOWN
	failed    outcome = "failed"
	unchanged outcome = "unchanged"
)

// outcomes in the order of a report: what needs people first.
var outcomes = [...]outcome{failed, inReview, cooling, updated, bumped, built, unchanged}

// decision is what a run does with one package.
type decision struct {
	pkgbase  string
	outcome  outcome
	older    pkgdir.Dir // content now; nil where it was not needed
	direct   pkgdir.Dir // content to be on the branch; nil: as it is
	proposal pkgdir.Dir // content to be reviewed; nil: none
	state    *state.PackageState
	schedule bool

	from, to string // versions, "" where unknown
	reasons  []candidates.Reason
	notes    []candidates.Reason
	faults   []candidates.Fault
	verdict  *review.Verdict // nil where no content changes
	signals  review.Signals
	decided  review.Decision
	request  string // URL of the request
	draft    *candidates.Draft
}

// judge decides about all packages.
type judge struct {
	cfg     *state.RepoConfig
	trusted []string
	now     time.Time
}

func (j judge) decide(ctx context.Context, o candidates.Outcome) (*decision, error) {
	d := &decision{
		pkgbase: o.Draft.Package.Pkgbase, outcome: unchanged, draft: o.Draft, state: o.Draft.State,
		reasons: o.Draft.Reasons, notes: o.Draft.Notes, faults: o.Faults,
	}
	if info := o.Draft.Package.Info; info != nil {
		d.from = info.Version()
	}
	if len(o.Faults) > 0 {
		d.outcome = failed
	}
	if o.Draft.Schedule {
		d.become(built)
		d.schedule = true
	}
	newer := o.Draft.Changed()
	if newer == nil {
		return d, nil
	}
	older, err := o.Draft.Package.Files(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the directory of %s: %w", d.pkgbase, err)
	}
	d.older, d.to = older, versionIn(newer)
	if older.Equal(newer) {
		return d, nil
	}
	j.judge(d, newer)
	return d, nil
}

// judge sends the new content to the branch, to review, or back.
func (j judge) judge(d *decision, newer pkgdir.Dir) {
	signals := j.signals(d.draft)
	verdict := review.Judge(review.Input{
		Pkgbase: d.pkgbase, Old: d.older, New: newer, Allow: d.draft.Package.Config.AllowRegex, Signals: signals,
	})
	d.verdict, d.signals = &verdict, signals
	d.decided = review.Decide(verdict, review.Policy{
		HumanReview: j.cfg.HumanReview, ReviewCritical: j.cfg.ReviewCritical, Cooldown: j.cfg.UpdateCooldown,
		Because: d.draft.ReviewBecause,
	}, signals)
	switch {
	case d.decided.Cooling:
		d.become(cooling)
		d.holdBack()
		d.direct = onlyOwn(d.older, newer, d.reasons)
	case d.decided.NeedsReview:
		d.become(inReview)
		d.proposal = newer
		d.direct = onlyOwn(d.older, newer, d.reasons)
	default:
		d.become(updated)
		d.direct = newer
	}
	if d.direct == nil {
		return
	}
	d.schedule = true
	if d.outcome == updated && onlyBumped(d.reasons) {
		d.outcome = bumped
	}
}

// become sets the outcome; a failure of one source stays the headline whatever the others found.
func (d *decision) become(o outcome) {
	if d.outcome != failed {
		d.outcome = o
	}
}

// holdBack keeps the state of the content as it was: what waits or failed is looked at again in the next run. The commit
// of a VCS package is a matter of its own, and so is who holds the package now.
func (d *decision) holdBack() {
	held, _, err := state.ParsePackageState(d.pkgbase, d.draft.Package.State.Bytes())
	if err != nil { // what was parsed before parses again
		held = &state.PackageState{}
	}
	held.GitCommit, held.Held = d.state.GitCommit, d.state.Held
	d.state = held
}

// proposed keeps of the new state what a request may change: which version was looked at. Who held the package when it
// was last taken over is only known anew once people have taken it over.
func (d *decision) proposed() {
	d.state.AURMaintainers = slices.Clone(d.draft.Package.State.AURMaintainers)
}

// fail turns a decision that could not be carried out into a report: the content stays, and is looked at again.
func (d *decision) fail(source string, err error) {
	d.faults = append(d.faults, candidates.Fault{Source: source, Err: err})
	d.outcome = failed
	d.proposal = nil
	d.holdBack()
}

// onlyOwn is the part of a change that needs no review: a library bump in .CI/config, which this program made itself.
func onlyOwn(older, newer pkgdir.Dir, reasons []candidates.Reason) pkgdir.Dir {
	const config = ".CI/config"
	bump := slices.ContainsFunc(reasons, func(r candidates.Reason) bool { return r.Source == candidates.SourceLibs })
	if !bump || older[config].Equal(newer[config]) {
		return nil
	}
	next := older.Clone()
	next[config] = newer[config]
	return next
}

func onlyBumped(reasons []candidates.Reason) bool {
	return !slices.ContainsFunc(reasons, func(r candidates.Reason) bool {
		return r.Source != candidates.SourceLibs && r.Source != candidates.SourceVCS
	})
}

// contentSources bring new content, in the order in which they are asked; a package has one of them at most, and
// perhaps a hook.
var contentSources = []string{
	candidates.SourceAUR, candidates.SourceGitLab, candidates.SourceGit, candidates.SourceNVChecker, candidates.SourceHook, candidates.SourceLibs,
}

func (j judge) signals(d *candidates.Draft) review.Signals {
	s := review.Signals{
		Now: j.now, Trusted: j.trusted, AdoptionDays: j.cfg.AdoptionDays, MaintainersBefore: d.Package.State.AURMaintainers,
	}
	for _, source := range contentSources {
		if slices.ContainsFunc(d.Reasons, func(r candidates.Reason) bool { return r.Source == source }) {
			s.Source = source
			break
		}
	}
	if d.AUR != nil {
		s.MaintainersKnown = true
		s.MaintainersNow = d.AUR.Maintainers()
		s.MaintainersSince, s.MaintainersLonger = d.State.Held.Since, d.State.Held.Longer
		s.FirstSubmitted, s.LastModified = d.AUR.FirstSubmitted, d.AUR.LastModified
	}
	if d.AURCommit != nil {
		s.AuthorName, s.AuthorEmail, s.CommitTime = d.AURCommit.AuthorName, d.AURCommit.AuthorEmail, d.AURCommit.Time
	}
	return s
}

func versionIn(files pkgdir.Dir) string {
	info, _, err := srcinfo.Parse(".SRCINFO", files[".SRCINFO"].Data)
	if err != nil {
		return ""
	}
	return info.Version()
}

// worthTelling leaves the packages out that nothing is to be said about.
func (d *decision) worthTelling() bool {
	return d.outcome != unchanged || len(d.notes) > 0
}
