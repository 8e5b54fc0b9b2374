package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/deptree"
	"github.com/caur-build/caur/pkg/state"
)

// whyReport is where a package stands.
type whyReport struct {
	Pkgbase     string     `json:"pkgbase"`
	Version     string     `json:"version,omitempty"` // of .SRCINFO, with CI_PACKAGE_BUMP
	Source      string     `json:"source,omitempty"`
	Settings    []string   `json:"settings"`            // what makes it wait or be built, one sentence each
	Uncommitted bool       `json:"uncommitted"`         // the work tree differs from the last commit
	Unscheduled []string   `json:"unscheduled"`         // files for which the next on-commit schedules it
	Review      *whyReview `json:"review,omitempty"`    // a branch that waits for people
	Jobs        []whyJob   `json:"jobs"`                // alive in the queue
	LastEnd     *whyEnd    `json:"last_end,omitempty"`  // how its last job ended
	DependsOn   []string   `json:"depends_on"`          // packages of the repository
	RequiredBy  []string   `json:"required_by"`         // directly
	AllAbove    int        `json:"required_by_in_all"`  // directly or not
	NotAsked    []string   `json:"not_asked,omitempty"` // what could not be asked, and why
}

type whyReview struct {
	Branch string `json:"branch"`
	Commit string `json:"commit"`
	URL    string `json:"url,omitempty"`
}

type whyJob struct {
	ID    string `json:"id"`
	State string `json:"state"` // waiting, running or publishing
	Text  string `json:"text"`
}

type whyEnd struct {
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
}

func (a *app) why() *cobra.Command {
	var asJSON bool
	var remote string
	cmd := &cobra.Command{
		Use:   "why PKG",
		Short: "Tell where a package stands: scheduled, in review, waiting for what",
		Long: `Tells of one package which settings hold it back or build it, whether it has changes that are not scheduled yet, whether a
branch waits for review, what it does in the queue and what it waits for there, how its last build ended, and what depends on it.

Files come from the checkout, branches from the remote, merge requests from the forge of the environment (as in a pipeline), jobs
from the queue. What could not be asked is said plainly, and is no failure.` + exitStatus,
		Example: `  caur-ci why paru
  caur-ci why --json paru | jq .jobs`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.packageArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runWhy(cmd.Context(), strings.TrimSuffix(args[0], "/"), remote, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	cmd.Flags().StringVar(&remote, "remote", "origin", "the remote that holds the branches")
	return cmd
}

func (a *app) runWhy(ctx context.Context, name, remote string, asJSON bool) (err error) {
	repo, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer closeRepo(ctx, repo, &err)
	cfg, err := a.repoConfig(ctx, repo)
	if err != nil {
		return err
	}
	files, err := localFiles(ctx, repo, "")
	if err != nil {
		return err
	}
	packages, err := newCatalog(ctx, files)
	if err != nil {
		return err
	}
	if !slices.Contains(packages.names, name) {
		return command.Usagef("there is no package %q", name)
	}
	r := &whyReport{Pkgbase: name, Settings: []string{}, Unscheduled: []string{}, Jobs: []whyJob{}}
	if err := r.readPackage(ctx, packages, cfg); err != nil {
		return err
	}
	for _, ask := range []func() error{
		func() error { return r.askCommits(ctx, repo) },
		func() error { return r.askReview(ctx, a, repo, remote) },
		func() error { return r.askQueue(ctx, a, cfg) },
	} {
		if err := ask(); err != nil {
			return err
		}
	}
	if asJSON {
		encoder := json.NewEncoder(a.io.Out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	out := bufio.NewWriter(a.io.Out)
	r.text(out)
	return out.Flush()
}

// readPackage reads what the files say: version, settings, the packages around it.
func (r *whyReport) readPackage(ctx context.Context, packages *catalog, cfg *state.RepoConfig) error {
	infos, _, err := packages.infos(ctx, packages.names)
	if err != nil {
		return err
	}
	config := &state.PackageConfig{}
	err = packages.files.Read(ctx, []string{r.Pkgbase + "/.CI/config"}, func(_ int, data []byte) error {
		parsed, _, err := state.ParsePackageConfig(r.Pkgbase+"/.CI/config", data)
		if err != nil {
			r.Settings = append(r.Settings, "wrong, so it is not checked for updates: "+err.Error())
			return nil
		}
		config = parsed
		return nil
	})
	if err != nil {
		return err
	}
	r.Source = config.Source.String()
	r.settings(config, cfg)
	if info := infos[slices.Index(packages.names, r.Pkgbase)]; info != nil {
		r.Version = bumpedVersion(info.Version(), config.Bump)
	} else {
		r.Settings = append(r.Settings, "its .SRCINFO is missing or cannot be read, so version and dependencies are unknown")
	}
	graph := deptree.New(nodes(packages.names, infos))
	r.DependsOn = append([]string{}, graph.DependsOn(r.Pkgbase)...)
	r.RequiredBy = append([]string{}, graph.RequiredBy(r.Pkgbase)...)
	r.AllAbove = above(graph, r.Pkgbase)
	return nil
}

func (r *whyReport) settings(p *state.PackageConfig, cfg *state.RepoConfig) {
	say := func(format string, args ...any) { r.Settings = append(r.Settings, fmt.Sprintf(format, args...)) }
	if p.OnTrigger != "" {
		say("scheduled only by a pipeline whose TRIGGER is %s", p.OnTrigger)
	}
	if p.Bump.N > 0 {
		say("bumped by CI_PACKAGE_BUMP=%s", p.Bump)
	}
	if names := slices.Concat(p.RebuildTriggers, cfg.RebuildTriggers); len(names) > 0 {
		say("rebuilt after a new version of %s", strings.Join(names, ", "))
	}
	if p.Class != "" {
		say("built only by builders of class %s", p.Class)
	}
	if p.ForceVCS || strings.HasSuffix(r.Pkgbase, "-git") {
		say("built after new commits of its sources")
	}
}

// above counts the packages that depend on one, directly or not.
func above(graph *deptree.Graph, pkgbase string) int {
	seen := map[string]bool{pkgbase: true}
	for next := []string{pkgbase}; len(next) > 0; next = next[1:] {
		for _, name := range graph.RequiredBy(next[0]) {
			if !seen[name] {
				seen[name] = true
				next = append(next, name)
			}
		}
	}
	return len(seen) - 1
}

// text prints the report for people.
func (r *whyReport) text(out io.Writer) {
	line := func(label, text string) {
		fmt.Fprintf(out, "  %-11s %s\n", label, command.Sanitize(strings.Join(strings.Fields(text), " ")))
	}
	fmt.Fprintln(out, strings.TrimSpace(r.Pkgbase+" "+command.Sanitize(r.Version)))
	if r.Source != "" {
		line("source", r.Source)
	}
	for _, text := range r.Settings {
		line("settings", text)
	}
	if r.Uncommitted {
		line("commit", "the checkout has changes that are not committed: nothing is done for them")
	}
	if len(r.Unscheduled) > 0 {
		line("commit", "changed since the tag "+scheduledTag+" ("+strings.Join(r.Unscheduled, ", ")+"): the next on-commit schedules it")
	}
	if r.Review != nil {
		line("review", strings.TrimSpace("the branch "+r.Review.Branch+" waits for people, at "+short(r.Review.Commit)+" "+r.Review.URL))
	}
	for _, job := range r.Jobs {
		line("queue", job.State+": "+job.Text)
	}
	if r.LastEnd != nil {
		line("last build", strings.TrimSuffix(r.LastEnd.Status+": "+r.LastEnd.Message, ": "))
	}
	if len(r.DependsOn) > 0 {
		line("depends on", strings.Join(r.DependsOn, " "))
	}
	if len(r.RequiredBy) > 0 {
		line("needed by", fmt.Sprintf("%s (%d in all)", strings.Join(r.RequiredBy, " "), r.AllAbove))
	}
	if !r.Uncommitted && len(r.Unscheduled) == 0 && r.Review == nil && len(r.Jobs) == 0 {
		line("so", "nothing is under way, as far as could be asked")
	}
	for _, text := range r.NotAsked {
		line("not asked", text)
	}
}

// askCommits looks for changes that nobody has scheduled yet.
func (r *whyReport) askCommits(ctx context.Context, repo *gitrepo.Repo) error {
	if !repo.Bare() {
		out, err := repo.Program().Output(ctx, "status", "--porcelain", "--untracked-files=normal", "--", r.Pkgbase)
		if err != nil {
			return fmt.Errorf("see what is not committed: %w", err)
		}
		r.Uncommitted = len(out) > 0
	}
	id, ok, err := repo.Tag(ctx, scheduledTag)
	if err != nil {
		return err
	}
	if !ok {
		r.NotAsked = append(r.NotAsked, "what is not scheduled yet: this clone has no tag "+scheduledTag+"; 'git fetch --tags --force' brings it")
		return nil
	}
	head, err := repo.Head(ctx)
	if err != nil {
		return err
	}
	snapshot, err := snapshotOf(ctx, repo, &head)
	if err != nil {
		return err
	}
	set, err := changesBetween(ctx, repo, id, head.ID, snapshot.dirs)
	if err != nil {
		r.NotAsked = append(r.NotAsked, fmt.Sprintf("what is not scheduled yet: %v", err))
		return ctx.Err()
	}
	for _, c := range set.Changed {
		if c.Pkgbase == r.Pkgbase {
			r.Unscheduled = append(r.Unscheduled, c.Files...)
		}
	}
	return nil
}
