package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/cmd/caur-ci/internal/plan"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/deptree"
	"github.com/caur-build/caur/pkg/queue"
	"github.com/caur-build/caur/pkg/state"
)

// impactReport is what a new version of a package sets off.
type impactReport struct {
	Pkgbase      string      `json:"pkgbase"`
	InRepository bool        `json:"in_repository"`
	Runs         [][]rebuild `json:"runs"`        // what each run of on-schedule bumps, the next one first
	NotRebuilt   []string    `json:"not_rebuilt"` // packages that depend on it and do not name it as a trigger
	Notes        []string    `json:"notes"`       // what stands in the way, or could not be asked
	Time         *buildTime  `json:"time,omitempty"`
}

type rebuild struct {
	Pkgbase string   `json:"pkgbase"`
	Because []string `json:"because"` // the triggers
}

// buildTime is an estimate from the last build of each package.
type buildTime struct {
	Builds  int     `json:"builds"`
	Unknown int     `json:"unknown"` // never built before: each counts as the mean of the others
	Hours   float64 `json:"hours"`
	Least   float64 `json:"least_hours"` // of the longest chain: no number of builders is faster
}

func (a *app) impact() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "impact PKG",
		Short: "Tell what a new version of a package would rebuild",
		Long: `Tells which packages on-schedule would bump after a new version of PKG, because they or the repository name it in
CI_REBUILD_TRIGGERS, and which depend on it without being rebuilt. A package that is bumped has a new version itself, so what names
it follows in the run after, as long as its database is among those that are watched (CI_LIB_DB). PKG may be a package of
another repository, such as icu.

Where the queue's settings are there it estimates the build time, from the last build of each package on x86_64.` + exitStatus,
		Example: `  caur-ci impact icu
  caur-ci impact --json qt6-base | jq -r '.runs[0][].pkgbase'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.packageArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runImpact(cmd.Context(), strings.TrimSuffix(args[0], "/"), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}

func (a *app) runImpact(ctx context.Context, name string, asJSON bool) (err error) {
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
	catalog, err := newCatalog(ctx, files)
	if err != nil {
		return err
	}
	packages, err := a.loadPackages(ctx, catalog, emptyMemory(), catalog.names)
	if err != nil {
		return err
	}
	for _, f := range packages.faults {
		a.warnf("%s is left out: %v", f.pkgbase, f.err)
	}
	nodes := nodesOf(packages.packages)
	r := impactOf(name, cfg, packages.packages, nodes)
	if !r.InRepository && len(r.Runs) == 0 && len(r.NotRebuilt) == 0 {
		return command.Usagef("there is no package %q, and none depends on it or names it in CI_REBUILD_TRIGGERS", name)
	}
	if err := a.estimate(ctx, cfg, r, nodes); err != nil {
		return err
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

func nodesOf(packages []*candidates.Package) []deptree.Node {
	list := make([]deptree.Node, len(packages))
	for i, p := range packages {
		list[i] = deptree.Node{Pkgbase: p.Pkgbase, Names: []string{p.Pkgbase}}
		if p.Info != nil {
			list[i] = deptree.FromInfo(p.Info)
			list[i].Pkgbase = p.Pkgbase
		}
	}
	return list
}

// impactOf follows the triggers, run by run (pipeline.md section 5, "Library bump").
func impactOf(name string, cfg *state.RepoConfig, packages []*candidates.Package, nodes []deptree.Node) *impactReport {
	r := &impactReport{Pkgbase: name, Runs: [][]rebuild{}, NotRebuilt: []string{}, Notes: []string{}}
	done := map[string]bool{name: true}
	for changed := []string{name}; len(changed) > 0; {
		var run []rebuild
		for _, p := range packages {
			if because := causesOf(p, cfg, changed); !done[p.Pkgbase] && len(because) > 0 {
				run = append(run, rebuild{p.Pkgbase, because})
			}
		}
		changed = nil
		for _, b := range run {
			done[b.Pkgbase] = true
			changed = append(changed, b.Pkgbase)
		}
		if len(run) > 0 {
			r.Runs = append(r.Runs, run)
		}
	}
	offered := []string{name}
	for _, n := range nodes {
		if n.Pkgbase == name {
			r.InRepository, offered = true, append(offered, n.Names...)
		}
	}
	for _, n := range nodes {
		if !done[n.Pkgbase] && slices.ContainsFunc(n.Deps, func(dep string) bool { return slices.Contains(offered, dep) }) {
			r.NotRebuilt = append(r.NotRebuilt, n.Pkgbase)
		}
	}
	switch {
	case slices.Contains(cfg.RebuildBlacklist, name):
		r.Notes = append(r.Notes, name+" is in CI_REBUILD_BLACKLIST, so it never causes a rebuild")
	case len(cfg.LibDBs) == 0 && len(r.Runs) > 0:
		r.Notes = append(r.Notes, "CI_LIB_DB is not set, so no database is watched and none of this happens by itself")
	}
	return r
}

// causesOf lists which of the changed packages a package is rebuilt for.
func causesOf(p *candidates.Package, cfg *state.RepoConfig, changed []string) (because []string) {
	for _, name := range changed {
		triggered := slices.Contains(cfg.RebuildTriggers, name) || slices.Contains(p.Config.RebuildTriggers, name)
		if triggered && name != p.Pkgbase && !slices.Contains(cfg.RebuildBlacklist, name) {
			because = append(because, name)
		}
	}
	return because
}

// queueConfigured says whether anyone told where the queue is.
func (a *app) queueConfigured(cfg *state.RepoConfig) bool {
	return slices.ContainsFunc([]string{"REDIS_URL", "REDIS_URL_FILE", "REDIS_HOST", "REDIS_SSH_HOST"}, func(key string) bool {
		set, _ := a.io.Getenv(key)
		configured, _ := cfg.Lookup(key)
		return set != "" || configured != ""
	})
}

// estimate adds the build time where the queue can be asked. That it cannot is told, and no failure.
func (a *app) estimate(ctx context.Context, cfg *state.RepoConfig, r *impactReport, nodes []deptree.Node) error {
	var names []string
	if r.InRepository {
		names = append(names, r.Pkgbase)
	}
	for _, run := range r.Runs {
		for _, b := range run {
			names = append(names, b.Pkgbase)
		}
	}
	if !a.queueConfigured(cfg) {
		r.Notes = append(r.Notes, "the queue's settings are not here (REDIS_URL), so past builds were not asked for their time")
		return nil
	}
	var took map[string]time.Duration
	err := a.withQueue(ctx, cfg, func(q *queue.Queue) (err error) {
		took, err = q.Durations(ctx, plan.DefaultArch, names)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		r.Notes = append(r.Notes, fmt.Sprintf("past builds could not be asked for their time: %v", err))
		return nil
	case len(took) == 0:
		r.Notes = append(r.Notes, "none of these was built before, so there is no estimate of the time")
		return nil
	}
	r.Time = newBuildTime(names, took, nodes)
	return nil
}

func newBuildTime(names []string, took map[string]time.Duration, nodes []deptree.Node) *buildTime {
	t := &buildTime{Builds: len(names), Unknown: len(names) - len(took)}
	var known time.Duration
	for _, d := range took {
		known += d
	}
	mean := known / time.Duration(len(took))
	of := func(name string) time.Duration {
		if d, ok := took[name]; ok {
			return d
		}
		return mean
	}
	only := slices.DeleteFunc(slices.Clone(nodes), func(n deptree.Node) bool { return !slices.Contains(names, n.Pkgbase) })
	for _, name := range names {
		t.Hours += of(name).Hours()
	}
	for _, hours := range deptree.New(only).CriticalPath(func(name string) float64 { return of(name).Hours() }) {
		t.Least = max(t.Least, hours)
	}
	return t
}

// text prints the report for people.
func (r *impactReport) text(out io.Writer) {
	for i, run := range r.Runs {
		title := "The next run"
		if i > 0 {
			title = "The run after"
		}
		fmt.Fprintf(out, "%s rebuilds %s:\n", title, count(len(run), "package"))
		for _, b := range run {
			fmt.Fprintf(out, "  %s", b.Pkgbase)
			if i > 0 {
				fmt.Fprintf(out, " (for %s)", strings.Join(b.Because, ", "))
			}
			fmt.Fprintln(out)
		}
	}
	if len(r.Runs) == 0 {
		fmt.Fprintf(out, "A new version of %s rebuilds nothing else.\n", r.Pkgbase)
	}
	if n := len(r.NotRebuilt); n > 0 {
		fmt.Fprintf(out, "Depends on it and is not rebuilt (%d): %s\n", n, strings.Join(r.NotRebuilt, " "))
	}
	if t := r.Time; t != nil {
		fmt.Fprintf(out, "Build time: %s for %s, at least %s with any number of builders", hours(t.Hours), count(t.Builds, "build"), hours(t.Least))
		if t.Unknown > 0 {
			fmt.Fprintf(out, " (%d never built before: the mean of the others)", t.Unknown)
		}
		fmt.Fprintln(out)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(out, "Note: %s.\n", command.Sanitize(note))
	}
}

// hours writes a time for people: 2 h 05 min.
func hours(h float64) string {
	minutes := int(h*60 + 0.5)
	if minutes < 60 {
		return fmt.Sprintf("%d min", minutes)
	}
	return fmt.Sprintf("%d h %02d min", minutes/60, minutes%60)
}
