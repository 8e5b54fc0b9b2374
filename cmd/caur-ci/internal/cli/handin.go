package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caur-build/caur/cmd/caur-ci/internal/commit"
	"github.com/caur-build/caur/cmd/caur-ci/internal/forge"
	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/cmd/caur-ci/internal/plan"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/state"
)

// handIn is the end of an on-schedule run: commits, plan, and the one push (pipeline.md section 3, steps 7 to 9).
type handIn struct {
	a         *app
	repo      *gitrepo.Repo
	cfg       *state.RepoConfig
	base      *base
	catalog   *catalog // at the base
	by        commit.Person
	at        time.Time
	over      handover
	decisions []*decision
	extra     []commit.Change // of files beside the packages (.ci/aur-state)
	versions  *state.VersionState
	obsolete  map[string]string // update-* branches to delete, with where they are

	// What was made.
	main, state string // commits, "" where nothing changes
	replaces    bool   // main takes the place of HEAD (CI_OVERWRITE_COMMITS)
	onto        gitrepo.Commit
	moved       bool // main had moved, and was followed
	plan        *plan.Plan
	built       *catalog // the packages as they are built
	enqueued    *queueReply
}

// run makes the commits, hands the plan over, pushes, and last brings to the AUR what main has now. Until the push has gone through nothing at the remote has
// changed but the update-* branches, so that a run which ends before can simply be repeated.
func (h *handIn) run(ctx context.Context) error {
	h.onto = h.base.head
	if err := h.commit(ctx); err != nil {
		return err
	}
	if err := h.deliver(ctx); err != nil {
		return err
	}
	if err := h.pushOrFollow(ctx); err != nil {
		return err
	}
	return h.a.pushToAUR(ctx, h.repo, h.cfg, h.built, h.plan)
}

func (h *handIn) pushOrFollow(ctx context.Context) error {
	if h.main == "" && h.state == "" && len(h.obsolete) == 0 {
		return nil
	}
	err := h.push(ctx)
	if !errors.Is(err, git.ErrRaced) {
		return h.explain(err)
	}
	h.a.notef("%s has moved on meanwhile: working on what is there now", h.base.branch)
	if err := h.follow(ctx); err != nil {
		return err
	}
	return h.explain(h.push(ctx))
}

func (h *handIn) explain(err error) error {
	var refused *git.ErrRefused
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return fmt.Errorf("%w (may the token push to %s, %s and the tag %s? they must not be protected from it); nothing at %s has changed, the next run does it again",
			err, h.base.branch, stateBranch, scheduledTag, h.base.remote)
	default:
		return fmt.Errorf("%w; nothing at %s has changed, the next run does it again", err, h.base.remote)
	}
}

// commit writes the commits of main and state.
func (h *handIn) commit(ctx context.Context) error {
	var list []commit.Commit
	mainCommit, err := h.mainCommit(ctx)
	if err != nil {
		return err
	}
	if mainCommit != nil {
		list = append(list, *mainCommit)
	}
	states := make(map[string]*state.PackageState, len(h.decisions))
	for _, d := range h.decisions {
		states[d.pkgbase] = d.state
	}
	stateCommit := h.base.memory.next(h.catalog.names, states, h.versions)
	if stateCommit != nil && h.state == "" {
		list = append(list, *stateCommit)
	}
	ids, err := commit.Write(ctx, h.repo.Program(), h.by, h.at, list)
	if err != nil {
		return err
	}
	if mainCommit != nil {
		h.main, ids = ids[0], ids[1:]
	}
	if len(ids) > 0 {
		h.state = ids[0]
	}
	return nil
}

// mainCommit describes the commit of all packages that are updated without review; nil when there is none.
func (h *handIn) mainCommit(ctx context.Context) (*commit.Commit, error) {
	c := &commit.Commit{Parent: h.onto.ID}
	names := h.changed()
	if len(names) == 0 {
		return nil, nil
	}
	for _, d := range h.decisions {
		if d.direct != nil {
			c.Changes = append(c.Changes, commit.Dir(d.pkgbase, d.older, d.direct)...)
		}
	}
	c.Changes = append(c.Changes, h.extra...)
	c.Message = commit.Message("update", names)
	if h.skipsInMessage() && !h.moved {
		c.Message = commit.SkipCI(c.Message)
	}
	if h.cfg.OverwriteCommits && len(h.onto.Parents) == 1 && !h.moved {
		ours, err := commit.Automated(ctx, h.repo.Program(), h.onto.ID, h.by)
		if err != nil {
			return nil, err
		}
		if ours {
			return h.overwrite(ctx, c)
		}
	}
	return c, nil
}

// overwrite puts the commit in the place of HEAD: its tree is HEAD's with the changes, its parent HEAD's parent.
func (h *handIn) overwrite(ctx context.Context, c *commit.Commit) (*commit.Commit, error) {
	parent, ok, err := h.repo.Parent(ctx, h.onto, h.base.remote)
	if err != nil || !ok {
		return c, err
	}
	c.Tree, c.Parent = h.onto.Tree, parent.ID
	h.replaces = true
	return c, nil
}

// changed lists the packages whose content changes on the branch.
func (h *handIn) changed() []string {
	var names []string
	for _, d := range h.decisions {
		if d.direct != nil {
			names = append(names, d.pkgbase)
		}
	}
	return names
}

// deliver makes the plan of what is to be built, and hands it over.
func (h *handIn) deliver(ctx context.Context) error {
	head := h.onto
	if h.main != "" {
		var err error
		if head, err = h.repo.Commit(ctx, h.main); err != nil {
			return err
		}
	}
	files, err := h.repo.At(ctx, head)
	if err != nil {
		return err
	}
	c, err := newCatalog(ctx, files)
	if err != nil {
		return err
	}
	var requests []plan.Request
	for _, d := range h.decisions {
		if d.schedule && d.draft.Package.Config.OnTrigger == "" {
			requests = append(requests, plan.Request{Pkgbase: d.pkgbase})
		}
	}
	packages, err := h.a.plannedPackages(ctx, c, requests, h.over.arch)
	if err != nil {
		return err
	}
	h.built = c
	o := h.a.options(h.cfg, h.over, head)
	h.plan = plan.New(plan.UpdateBatch(o, head.ID, h.state), o, packages)
	if h.plan.Empty() && !h.over.toFile() {
		return nil
	}
	done, err := h.a.deliver(ctx, h.repo, h.cfg, c, h.plan, h.over)
	h.enqueued = replyOf(done)
	return err
}

// push moves everything at once.
func (h *handIn) push(ctx context.Context) error {
	opts := git.PushOptions{ForceWithLease: map[string]string{}}
	var specs []string
	add := func(id, ref, was string) {
		specs = append(specs, id+":"+ref)
		opts.ForceWithLease[ref] = was
	}
	if h.main != "" {
		add(h.main, "refs/heads/"+h.base.branch, h.onto.ID)
		if tag := h.base.ref("refs/tags/" + scheduledTag); !h.moved || tag == h.onto.ID {
			add(h.main, "refs/tags/"+scheduledTag, tag)
		}
	}
	if h.state != "" {
		add(h.state, "refs/heads/"+stateBranch, h.base.ref("refs/heads/"+stateBranch))
	}
	for _, name := range slices.Sorted(maps.Keys(h.obsolete)) {
		ref := "refs/heads/" + forge.BranchPrefix + name
		specs = append(specs, ":"+ref)
		opts.ForceWithLease[ref] = h.obsolete[name]
	}
	if len(specs) == 0 { // git would push the branch that is checked out
		return nil
	}
	if _, gitlab := h.a.pipelineCommit(); gitlab && !h.moved {
		opts.PushOptions = append(opts.PushOptions, "ci.skip")
	}
	return h.repo.Program().PushAtomic(ctx, h.base.remote, specs, opts)
}

// skipsInMessage: GitHub reads in the subject that no pipeline shall run; GitLab has a push option.
func (h *handIn) skipsInMessage() bool {
	v, _ := h.a.io.Getenv("GITHUB_ACTIONS")
	return v != ""
}

// follow goes on from what others have pushed meanwhile, once, if they touched no package that changes here. Their
// commits may not be scheduled yet: unless the tag says so, ours is pushed without the tag and without skipping the
// pipeline, which then schedules theirs and, once more, ours.
func (h *handIn) follow(ctx context.Context) error {
	const again = "nothing was lost, the next run does it again"
	was := h.base
	refs, err := h.repo.RemoteRefs(ctx, was.remote, "refs/heads/*", "refs/tags/"+scheduledTag)
	if err != nil {
		return err
	}
	if refs["refs/heads/"+stateBranch] != was.ref("refs/heads/"+stateBranch) {
		return fmt.Errorf("another run of on-schedule has written the branch %s meanwhile: %s", stateBranch, again)
	}
	if err := h.repo.FetchBranches(ctx, was.remote, was.branch); err != nil {
		return err
	}
	theirs, err := h.repo.Commit(ctx, refs["refs/heads/"+was.branch])
	if err != nil {
		return err
	}
	diff, err := h.repo.Diff(ctx, was.head.ID, theirs.ID)
	if err != nil {
		return err
	}
	ours := h.changed()
	var both []string
	for _, change := range diff {
		dir, _, _ := strings.Cut(change.Path, "/")
		if slices.Contains(ours, dir) && !slices.Contains(both, dir) {
			both = append(both, dir)
		}
	}
	if len(both) > 0 {
		return fmt.Errorf("%s was changed meanwhile by others, too: %s: %s", was.branch, strings.Join(both, ", "), again)
	}
	next := *was
	next.refs = refs
	h.base, h.onto, h.moved, h.replaces = &next, theirs, true, false
	for name, id := range h.obsolete {
		if refs["refs/heads/"+forge.BranchPrefix+name] != id {
			delete(h.obsolete, name) // someone is at it
		}
	}
	if err := h.commit(ctx); err != nil {
		return err
	}
	return h.deliver(ctx)
}

// aurStateChange writes the time up to which the AUR is known into .ci/aur-state, for today's scripts, which know no
// other: never beyond a change that was not taken over, and only along with other changes.
func aurStateChange(root *rootFiles, until time.Time) []commit.Change {
	if root.rawState == nil || !until.After(root.aurState) {
		return nil
	}
	return []commit.Change{{Path: aurStateFile, File: &pkgdir.File{Data: []byte(strconv.FormatInt(until.Unix(), 10) + "\n")}}}
}
