package cli

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/cmd/caur-ci/internal/commit"
	"github.com/caur-build/caur/cmd/caur-ci/internal/forge"
	"github.com/caur-build/caur/cmd/caur-ci/internal/review"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/state"
)

// forgeSource names the forge where a report names a source.
const forgeSource = "forge"

// requestReviews brings what needs review to branches and merge requests (pipeline.md section 4), and finds the branches
// that have had their day. A request that cannot be made is a failure of its package alone.
func (a *app) requestReviews(ctx context.Context, h *handIn) error {
	branches := h.base.requestBranches()
	var wanted []*decision
	for _, d := range h.decisions {
		if d.proposal != nil {
			wanted = append(wanted, d)
		}
	}
	if len(wanted) == 0 && len(branches) == 0 {
		return nil
	}
	r := &requests{a: a, h: h, branches: branches}
	if err := r.connect(ctx); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for _, d := range wanted {
			d.fail(forgeSource, err)
		}
		if len(wanted) == 0 {
			a.warnf("branches %s* are left alone: %v", forge.BranchPrefix, err)
		}
		return nil
	}
	if err := r.readBranches(ctx, wanted); err != nil {
		return err
	}
	if wanted, err := r.pushBranches(ctx, wanted); err != nil {
		return err
	} else if err := r.open(ctx, wanted); err != nil {
		return err
	}
	return r.retire(ctx)
}

// requests is the work on merge requests of one run.
type requests struct {
	a        *app
	h        *handIn
	branches map[string]string // update-* branches at the remote by pkgbase
	forge    forge.Forge
	opened   map[string]forge.Request // by branch
	content  map[string]pkgdir.Dir    // of the package on its branch
	made     map[string]string        // commits that were pushed now, by pkgbase
}

func (r *requests) connect(ctx context.Context) (err error) {
	if r.forge, err = forge.FromEnvironment(r.a.io.Getenv); err != nil {
		return err
	}
	list, err := r.forge.Open(ctx)
	if err != nil {
		return err
	}
	r.opened = make(map[string]forge.Request, len(list))
	for _, request := range list {
		r.opened[request.Branch] = request
	}
	return nil
}

// readBranches reads what the branches of these packages, and of all that have no open request, hold now.
func (r *requests) readBranches(ctx context.Context, wanted []*decision) error {
	r.content = map[string]pkgdir.Dir{}
	names := map[string]bool{}
	for _, d := range wanted {
		names[d.pkgbase] = true
	}
	for name := range r.branches {
		if _, open := r.opened[forge.BranchPrefix+name]; !open {
			names[name] = true
		}
	}
	var fetch []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if r.branches[name] != "" {
			fetch = append(fetch, forge.BranchPrefix+name)
		}
	}
	if err := r.h.repo.FetchBranches(ctx, r.h.base.remote, fetch...); err != nil {
		return err
	}
	for name := range names {
		if r.branches[name] == "" {
			continue
		}
		head, err := r.h.repo.Commit(ctx, r.branches[name])
		if err != nil {
			return err
		}
		files, err := r.h.repo.At(ctx, head)
		if err != nil {
			return err
		}
		// A branch that somebody broke is replaced; what it holds is of no consequence.
		r.content[name], _ = files.Dir(ctx, name)
	}
	return nil
}

// pushBranches makes a branch for each proposal that has none of the same content, and gives the decisions that go on.
func (r *requests) pushBranches(ctx context.Context, wanted []*decision) ([]*decision, error) {
	var list []commit.Commit
	var going, fresh []*decision
	for _, d := range wanted {
		branch := forge.BranchPrefix + d.pkgbase
		_, open := r.opened[branch]
		same := r.content[d.pkgbase] != nil && r.content[d.pkgbase].Equal(d.proposal)
		switch {
		case same && !open && d.draft.AUR == nil:
			// The AUR's packages are not looked at again until something changes there; others come every time.
			d.notes = append(d.notes, candidates.Reason{Source: forgeSource,
				Text: "its request was closed without being merged; delete the branch " + branch + " to be asked again"})
			d.proposal, d.outcome = nil, unchanged
			continue
		case !same:
			list = append(list, commit.Commit{
				Parent: r.h.base.head.ID, Message: commit.Message("update", []string{d.pkgbase}),
				Changes: commit.Dir(d.pkgbase, d.older, d.proposal),
			})
			fresh = append(fresh, d)
		}
		going = append(going, d)
	}
	ids, err := commit.Write(ctx, r.h.repo.Program(), r.h.by, r.h.at, list)
	if err != nil {
		return nil, err
	}
	r.made = make(map[string]string, len(ids))
	for i, d := range fresh {
		r.made[d.pkgbase] = ids[i]
	}
	r.push(ctx, fresh)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return slices.DeleteFunc(going, func(d *decision) bool { return d.proposal == nil }), nil
}

// push pushes all branches at once, and one by one when a single one is refused.
func (r *requests) push(ctx context.Context, list []*decision) {
	if len(list) == 0 {
		return
	}
	opts := git.PushOptions{ForceWithLease: map[string]string{}}
	var specs []string
	for _, d := range list {
		ref := "refs/heads/" + forge.BranchPrefix + d.pkgbase
		specs = append(specs, r.made[d.pkgbase]+":"+ref)
		opts.ForceWithLease[ref] = r.branches[d.pkgbase]
	}
	err := r.h.repo.Program().PushAtomic(ctx, r.h.base.remote, specs, opts)
	switch {
	case err == nil:
	case len(list) == 1:
		list[0].fail(forgeSource, fmt.Errorf("push %s%s: %w", forge.BranchPrefix, list[0].pkgbase, err))
	default:
		for _, d := range list {
			r.push(ctx, []*decision{d})
		}
	}
}

// open opens or updates the requests.
func (r *requests) open(ctx context.Context, list []*decision) error {
	for _, d := range list {
		request, err := r.forge.Upsert(ctx, r.proposal(d))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			d.fail(forgeSource, fmt.Errorf("open the request of %s%s: %w", forge.BranchPrefix, d.pkgbase, err))
			continue
		}
		d.request = request.URL
		d.proposed()
	}
	return nil
}

func (r *requests) proposal(d *decision) forge.Proposal {
	p := forge.Proposal{
		Branch: forge.BranchPrefix + d.pkgbase, Target: r.h.base.branch, Title: "chore(update): " + d.pkgbase,
		Labels: []string{"ci", "human-review", "update"}, Assignee: r.h.cfg.HumanReviewAssignee,
		BaseSHA: r.h.base.head.ID, HeadSHA: r.made[d.pkgbase],
	}
	if p.HeadSHA == "" {
		p.HeadSHA = r.branches[d.pkgbase]
	}
	for _, reason := range d.reasons {
		if reason.Source == candidates.SourceNVChecker {
			p.Labels = append(p.Labels, candidates.SourceNVChecker)
		}
	}
	p.Body = describe(d)
	for _, f := range d.verdict.Findings {
		if f.Severity == review.Critical {
			p.Danger = true
			if f.Line > 0 {
				p.Threads = append(p.Threads, forge.Thread{ID: f.Rule + ":" + f.File, File: d.pkgbase + "/" + f.File, Line: f.Line, Text: f.Text})
			}
		}
	}
	return p
}

// retire finds the branches that have had their day: merged, closed, or overtaken by a direct update (section 3, step 9).
func (r *requests) retire(ctx context.Context) error {
	r.h.obsolete = map[string]string{}
	decided := map[string]*decision{}
	for _, d := range r.h.decisions {
		decided[d.pkgbase] = d
	}
	for _, name := range slices.Sorted(maps.Keys(r.branches)) {
		request, open := r.opened[forge.BranchPrefix+name]
		d := decided[name]
		there := slices.Contains(r.h.catalog.names, name)
		switch {
		case d == nil && there: // not looked at in this run
			continue
		case d != nil && (d.proposal != nil || d.outcome == failed || d.outcome == cooling || waitsForUpstream(d)):
			continue
		case d != nil && open && d.outcome != updated:
			continue
		case open:
			text := "Overtaken: the package was updated directly, without need of a review."
			if !there {
				text = "Closed: the package is gone from the repository."
			}
			if err := r.forge.Close(ctx, request.Number, text); err != nil {
				r.a.warnf("request %s stays open though it is overtaken: %v", request.URL, err)
				continue
			}
		case d != nil && d.draft.AUR != nil && r.merged(ctx, d):
			d.state.AURMaintainers = d.draft.AUR.Maintainers()
		}
		r.h.obsolete[name] = r.branches[name]
	}
	return ctx.Err()
}

// waitsForUpstream: a request that was closed without being merged is remembered by its branch (see pushBranches).
func waitsForUpstream(d *decision) bool {
	return slices.ContainsFunc(d.notes, func(n candidates.Reason) bool { return n.Source == forgeSource })
}

// merged says whether the branch holds of its package what main holds.
func (r *requests) merged(ctx context.Context, d *decision) bool {
	now, err := d.draft.Package.Files(ctx)
	return err == nil && r.content[d.pkgbase] != nil && r.content[d.pkgbase].Equal(now)
}

// describe is the text of a request: the risks first, then where the change comes from, then the difference.
func describe(d *decision) string {
	links := review.Links{Diff: dirDiff(d.pkgbase, d.older, d.proposal)}
	if d.draft.Package.Config.Source.Kind == state.SourceAUR {
		links.AUR = "https://aur.archlinux.org/pkgbase/" + url.PathEscape(d.pkgbase)
		if c := d.draft.AURCommit; c != nil {
			links.Commit = "https://aur.archlinux.org/cgit/aur.git/commit/?h=" + url.QueryEscape(d.pkgbase) + "&id=" + url.QueryEscape(c.ID)
		}
	}
	return d.verdict.Markdown(links, d.signals, d.decided)
}
