package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/cmd/caur-ci/internal/plan"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/queue"
)

// allPackages in place of a package argument means every package.
const allPackages = "all"

func (a *app) schedule() *cobra.Command {
	var h handover
	cmd := &cobra.Command{
		Use:   "schedule {PKG[/CLASS]… | all[/CLASS]}",
		Short: "Schedule packages by hand",
		Long: `Makes a job for each package, of its newest committed state, and hands all of them to the queue at once. A job that
already waits is replaced; a build that runs is canceled for it.

Packages may be separated by commas, colons or blanks. Without arguments the variable PACKAGES is read. The class of a
job is the argument's, else BUILDER_CLASS of the package, else CI_DEFAULT_CLASS, else 1; it is a number or the name of
one builder.` + handoverHelp + exitStatus,
		Example: `  caur-ci schedule paru yay/5
  caur-ci schedule all --plan plan.json
  PACKAGES=paru:yay/builder-7 caur-ci schedule
  caur-ci schedule all --dry-run --json | jq '.plan.jobs | length'`,
		ValidArgsFunction: a.packageArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := h.check(a); err != nil {
				return err
			}
			return a.runSchedule(cmd.Context(), args, h)
		},
	}
	h.flags(cmd)
	return cmd
}

const handoverHelp = `

The plan goes straight into the queue (REDIS_URL, or REDIS_HOST, REDIS_PORT, REDIS_PASSWORD, REDIS_SSH_HOST …). With
--plan it goes into a file that a later job, which has the queue's secrets, hands over with 'caur-ci enqueue FILE'. One
run schedules for one architecture; packages of architecture 'any' get one job that stands for all.`

// scheduleReport is what --json prints. Keys may be added.
type scheduleReport struct {
	Plan     *plan.Plan  `json:"plan"`
	Enqueued *queueReply `json:"enqueued,omitempty"`
	DryRun   bool        `json:"dry_run"`
}

// queueReply is what the queue said.
type queueReply struct {
	Added        []string `json:"added"`
	Replaced     []string `json:"replaced"`
	CanceledRuns []string `json:"canceled_runs"`
	CleanupID    string   `json:"cleanup_id,omitempty"`
	Duplicate    bool     `json:"duplicate"`
}

func replyOf(e *queue.Enqueued) *queueReply {
	if e == nil {
		return nil
	}
	list := func(l []string) []string { return append([]string{}, l...) } // never null
	return &queueReply{list(e.Added), list(e.Replaced), list(e.CanceledRuns), e.CleanupID, e.Duplicate}
}

func (a *app) runSchedule(ctx context.Context, args []string, h handover) (err error) {
	requests, err := a.requests(args)
	if err != nil {
		return err
	}
	repo, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer closeRepo(ctx, repo, &err)
	packages, err := a.headCatalog(ctx, repo)
	if err != nil {
		return err
	}
	if requests, err = a.expand(packages, requests); err != nil {
		return err
	}
	return a.scheduleRequests(ctx, repo, packages, requests, h)
}

// scheduleRequests hands jobs for packages of the last commit over.
func (a *app) scheduleRequests(ctx context.Context, repo *gitrepo.Repo, packages *catalog, requests []plan.Request, h handover) error {
	cfg, err := a.repoConfig(ctx, repo)
	if err != nil {
		return err
	}
	head, err := repo.Head(ctx)
	if err != nil {
		return err
	}
	planned, err := a.plannedPackages(ctx, packages, requests, h.arch)
	if err != nil {
		return err
	}
	p := plan.New(plan.HandBatch(), a.options(cfg, h, head), planned)
	done, err := a.deliver(ctx, repo, cfg, packages, p, h)
	if err != nil {
		return err
	}
	if h.json {
		return json.NewEncoder(a.io.Out).Encode(scheduleReport{Plan: p, Enqueued: replyOf(done), DryRun: h.dryRun})
	}
	if h.dryRun {
		return a.printJobs(p)
	}
	return nil
}

// requests reads the arguments, or the variable PACKAGES when there are none.
func (a *app) requests(args []string) ([]plan.Request, error) {
	if len(args) == 0 {
		if list, ok := a.io.Getenv("PACKAGES"); ok {
			args = []string{list}
		}
	}
	requests, err := plan.ParseRequests(args)
	if err != nil {
		return nil, command.Usagef("%w", err)
	}
	if len(requests) == 0 {
		return nil, command.Usagef("no package: name some, say 'all', or set PACKAGES")
	}
	return requests, nil
}

// expand checks the names and puts every package in the place of "all". A class of its own wins over that of "all".
func (a *app) expand(c *catalog, requests []plan.Request) ([]plan.Request, error) {
	var wrong []string
	list := make([]plan.Request, 0, len(requests))
	named := map[string]bool{}
	var all *plan.Request
	for _, r := range requests {
		if r.Pkgbase == allPackages {
			all = &r
			continue
		}
		if _, found := slices.BinarySearch(c.names, r.Pkgbase); !found {
			wrong = append(wrong, r.Pkgbase)
		}
		named[r.Pkgbase] = true
		list = append(list, r)
	}
	if len(wrong) > 0 {
		return nil, command.Usagef("no such package in the last commit: %s", strings.Join(wrong, ", "))
	}
	if all == nil {
		return list, nil
	}
	for _, text := range c.oddities() {
		a.warnf("%s", text)
	}
	for _, name := range c.names {
		if !named[name] {
			list = append(list, plan.Request{Pkgbase: name, Class: all.Class})
		}
	}
	return list, nil
}

// printJobs shows a plan that goes nowhere.
func (a *app) printJobs(p *plan.Plan) error {
	var b strings.Builder
	width := 0
	for _, job := range p.Jobs {
		width = max(width, len(job.Pkgbase))
	}
	for _, job := range p.Jobs {
		fmt.Fprintf(&b, "%-*s  class %s\n", width, job.Pkgbase, job.Class)
	}
	_, err := a.io.Out.Write([]byte(b.String()))
	return err
}
