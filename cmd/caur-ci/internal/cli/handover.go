package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/cmd/caur-ci/internal/plan"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/deptree"
	"github.com/caur-build/caur/pkg/queue"
	"github.com/caur-build/caur/pkg/state"
)

// handover is how a plan leaves the command: into the queue, into a file, or not at all.
type handover struct {
	dryRun bool
	file   string // of --plan; "-" is standard output
	format string
	arch   string
	json   bool
}

const (
	formatJSON   = "json"
	formatLegacy = "legacy"
)

func (h *handover) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVarP(&h.dryRun, "dry-run", "n", false, "say what would be scheduled and change nothing; needs no queue")
	f.StringVar(&h.file, "plan", "", "write the plan to this `FILE` instead of handing it to the queue; '-' is standard output")
	f.StringVar(&h.format, "plan-format", formatJSON,
		"json for 'caur-ci enqueue', or legacy for the TypeScript manager (default file "+plan.LegacyFile+", with deptree.txt beside it)")
	f.StringVar(&h.arch, "arch", "", "architecture to build for (default $CI_ARCH, else "+plan.DefaultArch+")")
	f.BoolVar(&h.json, "json", false, "report as JSON")
	_ = cmd.RegisterFlagCompletionFunc("plan-format", cobra.FixedCompletions([]string{formatJSON, formatLegacy}, cobra.ShellCompDirectiveNoFileComp))
}

var legalArch = regexp.MustCompile(`^[A-Za-z0-9_]+$`)

// check completes and checks the flags before anything is started.
func (h *handover) check(a *app) error {
	if !slices.Contains([]string{formatJSON, formatLegacy}, h.format) {
		return command.Usagef("--plan-format %s: want %s or %s", h.format, formatJSON, formatLegacy)
	}
	if h.arch == "" {
		h.arch, _ = a.io.Getenv("CI_ARCH")
	}
	if h.arch == "" {
		h.arch = plan.DefaultArch
	}
	if !legalArch.MatchString(h.arch) || h.arch == "any" {
		return command.Usagef("architecture %q: want one that makepkg builds for, such as x86_64", h.arch)
	}
	switch {
	case h.dryRun && h.file != "":
		return command.Usagef("--dry-run writes nothing: leave out --plan, or --dry-run")
	case h.file == "-" && (h.json || h.format == formatLegacy):
		return command.Usagef("--plan - leaves no room on standard output for --json, nor for the two files of --plan-format legacy")
	}
	return nil
}

// toFile is true when the plan goes into a file. The legacy format has a file of its own.
func (h *handover) toFile() bool { return h.file != "" || h.format == formatLegacy && !h.dryRun }

// options are what the jobs of this run have in common.
func (a *app) options(cfg *state.RepoConfig, h handover, head gitrepo.Commit) plan.Options {
	commit, _ := a.pipelineCommit()
	return plan.Options{
		TargetRepo: cfg.RepoName, SourceRepo: cfg.BuildRepo, Arch: h.arch, DefaultClass: cfg.DefaultClass,
		Commit: commit, SourceCommit: head.ID, ArchMirror: plan.MirrorURL(cfg.LibDBs),
	}
}

// deliver hands the plan over as the flags say and tells the user. The result is nil when the plan went into a file.
func (a *app) deliver(ctx context.Context, repo *gitrepo.Repo, cfg *state.RepoConfig, c *catalog, p *plan.Plan, h handover) (*queue.Enqueued, error) {
	switch {
	case h.dryRun:
		return nil, nil
	case h.toFile() && h.format == formatLegacy:
		return nil, a.writeLegacy(ctx, repo, cfg, c, p, h.file)
	case h.toFile():
		return nil, a.writePlan(p, h.file)
	}
	return a.enqueuePlan(ctx, cfg, p)
}

func (a *app) writePlan(p *plan.Plan, file string) error {
	if file == "-" {
		data, err := p.Bytes()
		if err == nil {
			_, err = a.io.Out.Write(data)
		}
		return err
	}
	if err := p.Write(file); err != nil {
		return err
	}
	a.notef("plan with %s written to %s", contents(p), file)
	return nil
}

// contents says what a plan holds.
func contents(p *plan.Plan) string {
	text := count(len(p.Jobs), "job")
	if p.Cleanup != nil {
		text += " and a clean-up"
	}
	return text
}

func (a *app) writeLegacy(ctx context.Context, repo *gitrepo.Repo, cfg *state.RepoConfig, c *catalog, p *plan.Plan, file string) error {
	if file == "" {
		if repo.Bare() {
			return command.Usagef("a bare repository has no %s: name a file with --plan", plan.LegacyFile)
		}
		file = filepath.Join(repo.Dir(), plan.LegacyFile)
	}
	_, gitlab := a.pipelineCommit()
	legacy := plan.Legacy{
		SSHHost: cfg.RedisSSHHost, SSHPort: strconv.Itoa(cfg.RedisSSHPort), SSHUser: cfg.RedisSSHUser,
		RedisPort: strconv.Itoa(cfg.RedisPort), WithCommit: gitlab,
	}
	if len(p.Jobs) > 0 {
		infos, _, err := c.infos(ctx, c.names)
		if err != nil {
			return err
		}
		legacy.Tree = deptree.New(nodes(c.names, infos)).Text()
	}
	if err := p.WriteLegacy(file, legacy); err != nil {
		return err
	}
	if p.Empty() {
		a.notef("nothing to schedule: no parameters for the manager")
		return nil
	}
	a.notef("parameters of the manager for %s written to %s", contents(p), file)
	return nil
}

// enqueuePlan hands the plan to the queue and says what came of it.
func (a *app) enqueuePlan(ctx context.Context, cfg *state.RepoConfig, p *plan.Plan) (*queue.Enqueued, error) {
	if p.Empty() {
		a.notef("nothing to enqueue")
		return nil, nil
	}
	var done queue.Enqueued
	err := a.withQueue(ctx, cfg, func(q *queue.Queue) (err error) {
		done, err = q.Enqueue(ctx, p.QueueBatch())
		return err
	})
	if err != nil {
		return nil, err
	}
	a.reportEnqueued(p, done)
	return &done, nil
}

func (a *app) reportEnqueued(p *plan.Plan, done queue.Enqueued) {
	if done.Duplicate {
		a.notef("an earlier run has enqueued this already (batch %s), nothing was added; to build again: caur-ci schedule PKG…", p.Batch)
		return
	}
	var details []string
	if n := len(done.Replaced); n > 0 {
		details = append(details, fmt.Sprintf("%d in place of jobs that waited", n))
	}
	if n := len(done.CanceledRuns); n > 0 {
		details = append(details, fmt.Sprintf("%d running builds canceled for newer jobs", n))
	}
	text := "enqueued " + contents(p)
	if len(details) > 0 {
		text += ": " + strings.Join(details, ", ")
	}
	a.notef("%s", text)
}
