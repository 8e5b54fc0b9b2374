package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/cmd/caur-ci/internal/commit"
	"github.com/caur-build/caur/cmd/caur-ci/internal/forge"
	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/cmd/caur-ci/internal/plan"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/state"
)

type onScheduleOptions struct {
	handover
	upstreamOptions
	remote, branch string
	trigger        string
}

func (a *app) onSchedule() *cobra.Command {
	var o onScheduleOptions
	cmd := &cobra.Command{
		Use:   "on-schedule [PKG…]",
		Short: "Find updates of all packages, take them over, schedule their builds",
		Long: `Asks where updates come from: the AUR, tags of GitLab projects, git repositories, nvchecker, the watched pacman
databases, the upstream repositories of VCS packages, and each package's own .CI/update.sh. Changes that people must look
at (CI_HUMAN_REVIEW) go to a branch update-PKGBASE and a merge request; all others become one commit. What is new is
scheduled, then the branch, the branch 'state' and the tag 'scheduled' are pushed at once: a run that dies loses nothing,
and the next one does it again.

One package or source that fails stops no other; it is listed at the end, and looked at again in the next run.

With arguments, or CI_TEST_PACKAGE(S), only these packages are looked at. With TRIGGER or --trigger nothing is looked for:
the packages with that CI_ON_TRIGGER are scheduled.

The token of the forge is ACCESS_TOKEN, the key for the AUR AUR_KEY, the keys of nvchecker (the text of its key file)
NVCHECKER_KEYS; each may be given as a file: ACCESS_TOKEN_FILE. CI_NVCHECKER_MODE is auto, native (without the program) or
program. CAUR_AUR_URL, CAUR_AUR_GIT_URL and CAUR_AUR_MIRROR name mirrors of the AUR, CAUR_RETRY_WAIT the pause before a
second try (30s).` + handoverHelp + exitStatus + ` Single packages that fail are listed; the run
as a whole is done all the same.`,
		Example: `  caur-ci on-schedule --dry-run
  caur-ci on-schedule --plan plan.json && caur-ci enqueue plan.json
  TRIGGER=midnight caur-ci on-schedule
  SKIP_ON_COMMIT_CHECK=true caur-ci on-schedule --dry-run --json yay paru | jq .packages`,
		ValidArgsFunction: a.packageArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(a); err != nil {
				return err
			}
			if o.trigger == "" {
				o.trigger, _ = a.io.Getenv("TRIGGER")
			}
			if o.trigger != "" {
				return a.runTrigger(cmd.Context(), args, o)
			}
			return a.runOnSchedule(cmd.Context(), args, o)
		},
	}
	o.handover.flags(cmd)
	o.upstreamOptions.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.remote, "remote", "origin", "the remote to work with")
	f.StringVar(&o.branch, "branch", "", "the branch to update (default: that of the pipeline, else the one that is checked out)")
	f.StringVar(&o.trigger, "trigger", "", "only schedule the packages with this CI_ON_TRIGGER (default $TRIGGER)")
	return cmd
}

// runTrigger is step 1 of section 3: nothing is fetched, nothing is committed.
func (a *app) runTrigger(ctx context.Context, args []string, o onScheduleOptions) (err error) {
	if len(args) > 0 {
		return command.Usagef("TRIGGER=%s chooses the packages: leave out %v", o.trigger, args)
	}
	repo, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer closeRepo(ctx, repo, &err)
	c, err := a.headCatalog(ctx, repo)
	if err != nil {
		return err
	}
	l, err := a.loadPackages(ctx, c, emptyMemory(), c.names)
	if err != nil {
		return err
	}
	var names []string
	for _, p := range l.packages {
		if p.Config.OnTrigger == o.trigger {
			names = append(names, p.Pkgbase)
		}
	}
	if len(names) == 0 {
		a.notef("no package has CI_ON_TRIGGER=%s: nothing to schedule", o.trigger)
		if !o.json {
			return nil
		}
	}
	return a.scheduleRequests(ctx, repo, c, requestsOf(names), o.handover)
}

func requestsOf(names []string) []plan.Request {
	list := make([]plan.Request, len(names))
	for i, name := range names {
		list[i].Pkgbase = name
	}
	return list
}

func (a *app) headCatalog(ctx context.Context, repo *gitrepo.Repo) (*catalog, error) {
	head, err := repo.Head(ctx)
	if err != nil {
		return nil, err
	}
	files, err := repo.At(ctx, head)
	if err != nil {
		return nil, err
	}
	return newCatalog(ctx, files)
}

func (a *app) runOnSchedule(ctx context.Context, args []string, o onScheduleOptions) (err error) {
	repo, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer closeRepo(ctx, repo, &err)
	cfg, err := a.repoConfig(ctx, repo)
	if err != nil {
		return err
	}
	by, err := a.author(ctx, repo, cfg)
	if err != nil && !o.dryRun {
		return err
	}
	base, err := a.findBase(ctx, repo, o.remote, o.branch, o.dryRun)
	if err != nil {
		return err
	}
	if made, err := a.updateTemplate(ctx, repo, cfg, base, by, o.dryRun); err != nil || made != "" {
		return err
	}
	if err := a.checkScheduled(ctx, repo, base, o.dryRun); err != nil {
		return err
	}
	c, err := a.headCatalog(ctx, repo)
	if err != nil {
		return err
	}
	found, err := a.findUpdates(ctx, cfg, c, base.memory, args, o.upstreamOptions)
	if err != nil {
		return err
	}
	h := &handIn{
		a: a, repo: repo, cfg: cfg, base: base, catalog: c, by: by, at: time.Now(), over: o.handover,
		decisions: found.decisions, versions: found.versions,
	}
	if !o.dryRun {
		if err := a.carryOut(ctx, h, found); err != nil {
			return errors.Join(err, a.tell(h, found, o))
		}
	}
	return a.tell(h, found, o)
}

// carryOut writes: requests, commits, the queue, the push.
func (a *app) carryOut(ctx context.Context, h *handIn, found *findings) error {
	if err := a.requestReviews(ctx, h); err != nil {
		return err
	}
	h.extra = aurStateChange(found.root, found.aurUntil(h.decisions))
	return h.run(ctx)
}

// tell reports the run.
func (a *app) tell(h *handIn, found *findings, o onScheduleOptions) error {
	r := newUpdateReport(h.base.head.ID, h.decisions, found.asked, o.dryRun)
	r.Commit, r.State, r.Plan, r.Enqueued = h.main, h.state, h.plan, h.enqueued
	for name := range h.obsolete {
		r.Deleted = append(r.Deleted, forge.BranchPrefix+name)
	}
	slices.Sort(r.Deleted)
	switch {
	case o.json:
		return r.printJSON(a.io.Out)
	case o.file == "-":
		return r.print(a.io.Err, a.io)
	}
	return r.print(a.io.Out, a.io)
}

// author is who automated commits are from: the settings, else git's own.
func (a *app) author(ctx context.Context, repo *gitrepo.Repo, cfg *state.RepoConfig) (commit.Person, error) {
	by := commit.Person{Name: cfg.GitAuthorName, Email: cfg.GitAuthorEmail}
	for key, value := range map[string]*string{"user.name": &by.Name, "user.email": &by.Email} {
		if *value != "" {
			continue
		}
		out, err := repo.Program().Output(ctx, "config", "--get", "--default=", key)
		if err != nil {
			return by, fmt.Errorf("read git's %s: %w", key, err)
		}
		*value = strings.TrimSpace(string(out))
	}
	if by.Name == "" || by.Email == "" {
		return by, command.Usagef("nobody says who automated commits are from: set GIT_AUTHOR_NAME and GIT_AUTHOR_EMAIL in %s", configFile)
	}
	return by, nil
}

// findings is everything that a run found before it writes anything.
type findings struct {
	decisions []*decision // sorted by pkgbase
	asked     []candidates.Asked
	versions  *state.VersionState // to remember; nil: as before
	root      *rootFiles
	aurTaken  time.Time // when the AUR's answer was made; the zero time when it was not asked
}

// findUpdates is steps 5 and 6 of section 3.
func (a *app) findUpdates(ctx context.Context, cfg *state.RepoConfig, c *catalog, m *memory, args []string, o upstreamOptions) (*findings, error) {
	names, err := a.chosen(c, args)
	if err != nil {
		return nil, err
	}
	root, err := a.readRootFiles(ctx, c.files)
	if err != nil {
		return nil, err
	}
	l, err := a.loadPackages(ctx, c, m, names)
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "caur-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for what is fetched: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	whole := len(names) == len(c.names)
	up, err := a.newUpstreams(ctx, cfg, root, m, l, whole, scratch, o)
	if err != nil {
		return nil, err
	}
	defer up.close()
	shown := a.newProgress(len(l.packages))
	found, asked, err := candidates.Run(ctx, up.finders(), l.packages, cfg.MaxParallel, shown)
	shown.close()
	if err != nil {
		return nil, err
	}
	for _, text := range up.aur.Warnings() {
		a.warnf("%s", text)
	}
	f := &findings{asked: asked, root: root, versions: up.versions(whole), aurTaken: up.aurTaken()}
	j := judge{cfg: cfg, trusted: root.trusted, now: time.Now()}
	for _, outcome := range found {
		d, err := j.decide(ctx, outcome)
		if err != nil {
			return nil, err
		}
		f.decisions = append(f.decisions, d)
	}
	for _, fault := range l.faults {
		f.decisions = append(f.decisions, faultyPackage(fault, m))
	}
	slices.SortFunc(f.decisions, func(a, b *decision) int { return strings.Compare(a.pkgbase, b.pkgbase) })
	return f, nil
}

// faultyPackage is a package whose settings are wrong: everything stays as it is.
func faultyPackage(fault packageFault, m *memory) *decision {
	p := &candidates.Package{Pkgbase: fault.pkgbase, Config: &state.PackageConfig{}, State: m.of(fault.pkgbase)}
	return &decision{
		pkgbase: fault.pkgbase, outcome: failed, state: m.of(fault.pkgbase), draft: candidates.NewDraft(p),
		faults: []candidates.Fault{{Source: configSource, Err: fault.err}},
	}
}

// configSource names .CI/config where a report names a source.
const configSource = "settings"

// aurUntil is the time up to which everything the AUR had is taken over or in review: when it was asked, or just before
// the oldest change that was not.
func (f *findings) aurUntil(decisions []*decision) time.Time {
	until := f.aurTaken
	for _, d := range decisions {
		meta := d.draft.AUR
		if meta == nil || (d.outcome != failed && d.outcome != cooling) {
			continue
		}
		if before := meta.LastModified.Add(-time.Second); before.Before(until) {
			until = before
		}
	}
	return until
}
