package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/changes"
	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/cmd/caur-ci/internal/plan"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/pkg/state"
)

type onCommitOptions struct {
	handover
	remote string
}

func (a *app) onCommit() *cobra.Command {
	var o onCommitOptions
	cmd := &cobra.Command{
		Use:   "on-commit",
		Short: "Schedule what the commits since the last run changed",
		Long: `Looks at every commit since the tag 'scheduled', or at the last commit when there is no such tag, and schedules

  - every package of which a file changed that matters for the build,
  - every package that a commit message names as [deploy NAME], or all with [deploy all].

When a package directory is gone, the target repo is cleaned up, too: it keeps the packages of the directories that
remain. Only when the queue has accepted everything, or the plan is written, does the tag move to HEAD, here and at the
remote. A run that died before can be repeated: the queue takes the same range of commits once.

Packages with CI_MANAGE_AUR are pushed to the AUR with the key AUR_KEY, if the repository's settings allow that; what goes
wrong with it is a warning.

A [deploy NAME] that names no package stops the run: nothing is scheduled and no tag moves until the message is fixed.
A shallow clone that does not reach back to the tag is deepened from the remote.` + handoverHelp + exitStatus,
		Example: `  caur-ci on-commit --dry-run
  caur-ci on-commit
  caur-ci on-commit --plan plan.json && caur-ci enqueue plan.json
  caur-ci on-commit --plan-format legacy`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(a); err != nil {
				return err
			}
			return a.runOnCommit(cmd.Context(), o)
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.remote, "remote", "origin", "the remote that holds the tag")
	return cmd
}

// commitRange is what on-commit looks at.
type commitRange struct {
	head    gitrepo.Commit
	tag     string // commit of the tag, "" when there is none
	from    string // the older end: the tag, else HEAD's parent, else "" for the empty tree
	commits []gitrepo.Commit
}

func (a *app) runOnCommit(ctx context.Context, o onCommitOptions) (err error) {
	repo, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer closeRepo(ctx, repo, &err)
	cfg, err := a.repoConfig(ctx, repo)
	if err != nil {
		return err
	}
	if !o.dryRun {
		if err := checkRemote(ctx, repo, o.remote); err != nil {
			return err
		}
	}
	r, err := a.commitRange(ctx, repo, o)
	if err != nil {
		return err
	}
	packages, set, err := a.findChanges(ctx, repo, r)
	if err != nil {
		return err
	}
	p, err := a.commitPlan(ctx, packages, set, r, a.options(cfg, o.handover, r.head), o.arch)
	if err != nil {
		return err
	}
	report := newCommitReport(r, set, p, o.dryRun)
	if !o.json && o.file != "-" {
		if err := report.print(a.io.Out); err != nil {
			return err
		}
	}
	if err := a.finishOnCommit(ctx, repo, cfg, packages, p, r, o, report); err != nil {
		return err
	}
	if o.json {
		return report.printJSON(a.io.Out)
	}
	return nil
}

// finishOnCommit hands the plan over and then moves the tag.
func (a *app) finishOnCommit(ctx context.Context, repo *gitrepo.Repo, cfg *state.RepoConfig, packages *catalog, p *plan.Plan,
	r *commitRange, o onCommitOptions, report *commitReport) error {
	done, err := a.deliver(ctx, repo, cfg, packages, p, o.handover)
	if err != nil {
		return err
	}
	report.Enqueued = replyOf(done)
	if o.dryRun {
		return nil
	}
	if err := a.pushToAUR(ctx, repo, cfg, packages, p); err != nil {
		return err
	}
	if r.tag == r.head.ID {
		return nil
	}
	if err := moveTag(ctx, repo, o.remote, r.head.ID); err != nil {
		return err
	}
	report.TagMoved = true
	a.notef("tag %s moved to %s", scheduledTag, short(r.head.ID))
	return nil
}

func checkRemote(ctx context.Context, repo *gitrepo.Repo, remote string) error {
	has, err := repo.HasRemote(ctx, remote)
	if err != nil {
		return fmt.Errorf("look for the remote %s: %w", remote, err)
	}
	if !has {
		return command.Usagef("there is no remote %q to push to: name one with --remote, or try --dry-run", remote)
	}
	return nil
}

// commitRange finds both ends of what is new, and the commits between (pipeline.md section 2, step 1).
func (a *app) commitRange(ctx context.Context, repo *gitrepo.Repo, o onCommitOptions) (*commitRange, error) {
	head, err := repo.Head(ctx)
	if err != nil {
		return nil, err
	}
	r := &commitRange{head: head}
	if r.tag, err = a.findTag(ctx, repo, o); err != nil {
		return nil, err
	}
	if r.tag == "" {
		parent, _, err := repo.Parent(ctx, head, o.remote)
		if err != nil {
			return nil, err
		}
		r.from, r.commits = parent.ID, []gitrepo.Commit{head}
		return r, nil
	}
	r.from = r.tag
	if r.tag == head.ID {
		return r, nil
	}
	if r.commits, err = repo.Since(ctx, r.tag, head.ID, o.remote, "refs/tags/"+scheduledTag); err != nil {
		return nil, err
	}
	if len(r.commits) == 0 {
		a.warnf("HEAD (%s) is older than the tag %s (%s): what differs is scheduled as it is in HEAD, and the tag goes back",
			short(head.ID), scheduledTag, short(r.tag))
	}
	return r, nil
}

// findTag gives the commit of the tag. Runners often clone without tags, so the remote is asked before it counts as
// missing: to look at HEAD alone would lose the commits before it.
func (a *app) findTag(ctx context.Context, repo *gitrepo.Repo, o onCommitOptions) (string, error) {
	id, ok, err := repo.Tag(ctx, scheduledTag)
	if err != nil || ok {
		return id, err
	}
	has, err := repo.HasRemote(ctx, o.remote)
	if err != nil {
		return "", err
	}
	if has {
		ok, err = repo.FetchTag(ctx, o.remote, scheduledTag)
		if err != nil && !o.dryRun {
			return "", err
		}
		if err != nil {
			a.warnf("the tag %s counts as missing: %v", scheduledTag, err)
		}
	}
	if !ok {
		a.notef("there is no tag %s yet: only the last commit counts", scheduledTag)
		return "", nil
	}
	id, _, err = repo.Tag(ctx, scheduledTag)
	return id, err
}

// findChanges lets changes decide, and says what is odd.
func (a *app) findChanges(ctx context.Context, repo *gitrepo.Repo, r *commitRange) (*catalog, *changes.Set, error) {
	diff, err := repo.Diff(ctx, r.from, r.head.ID)
	if err != nil {
		return nil, nil, err
	}
	in := changes.Input{Files: make([]changes.File, len(diff))}
	var ids []string
	var wanted []int
	for i, change := range diff {
		in.Files[i].Path = change.Path
		if changes.NeedsContent(change.Path) {
			ids, wanted = append(ids, change.Old, change.New), append(wanted, i)
		}
	}
	contents, err := repo.Blobs(ctx, ids)
	if err != nil {
		return nil, nil, err
	}
	for n, i := range wanted {
		in.Files[i].Old, in.Files[i].New = contents[2*n], contents[2*n+1]
	}
	for _, c := range r.commits {
		in.Commits = append(in.Commits, changes.Commit{ID: c.ID, Message: c.Message})
	}
	files, err := repo.At(ctx, r.head)
	if err != nil {
		return nil, nil, err
	}
	packages, err := newCatalog(ctx, files)
	if err != nil {
		return nil, nil, err
	}
	in.Dirs = packages.dirs
	set, err := changes.Find(in)
	if err != nil {
		return nil, nil, err
	}
	for _, text := range set.Warnings {
		a.warnf("%s", text)
	}
	for _, s := range set.Skipped {
		if s.Reason != changes.Irrelevant {
			a.warnf("%s changed, but %s: it is not scheduled", s.Dir, s.Reason)
		}
	}
	return packages, set, nil
}

// commitPlan makes the jobs and, when a package is gone, the clean-up.
func (a *app) commitPlan(ctx context.Context, c *catalog, set *changes.Set, r *commitRange, o plan.Options, arch string) (*plan.Plan, error) {
	names := set.Pkgbases()
	if set.All != "" {
		names = c.names
	}
	requests := make([]plan.Request, len(names))
	for i, name := range names {
		requests[i].Pkgbase = name
	}
	packages, err := a.plannedPackages(ctx, c, requests, arch)
	if err != nil {
		return nil, err
	}
	p := plan.New(plan.CommitBatch(o, r.tag, r.head.ID), o, packages)
	if len(set.Removed) > 0 {
		if err := p.AddCleanup(o, c.remaining()); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// moveTag moves the tag at the remote first: the local one must not claim what the remote does not know.
func moveTag(ctx context.Context, repo *gitrepo.Repo, remote, commit string) error {
	const ref = "refs/tags/" + scheduledTag
	const retry = "everything is scheduled, only the tag %s did not move; repeat the run once this is solved, nothing is scheduled twice: %w"
	err := repo.Program().PushAtomic(ctx, remote, []string{"+" + commit + ":" + ref}, git.PushOptions{})
	var refused *git.ErrRefused
	switch {
	case errors.As(err, &refused):
		return fmt.Errorf(retry, scheduledTag, fmt.Errorf("%w (may the token push this tag? it must not be protected from it)", err))
	case err != nil:
		return fmt.Errorf(retry, scheduledTag, err)
	}
	if err := repo.Program().Run(ctx, "update-ref", ref, commit); err != nil {
		return fmt.Errorf("the tag %s moved at %s, but not here: %w", scheduledTag, remote, err)
	}
	return nil
}
