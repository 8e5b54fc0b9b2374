package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/forge"
	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/state"
)

// How a check of doctor ended.
const (
	doctorOK      = "ok"
	doctorWarning = "warning" // it works; something should be looked at, or is not there to be asked
	doctorFailed  = "failed"  // a pipeline would fail here
)

type doctorFinding struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// checkup collects what the checks find.
type checkup struct {
	a        *app
	repo     *gitrepo.Repo
	cfg      *state.RepoConfig
	remote   string
	findings []doctorFinding
}

func (a *app) doctor() *cobra.Command {
	var asJSON bool
	var remote string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check whether pipelines of this repository can work, and say what to mend",
		Long: `Looks, with the settings of the environment, at what on-commit and on-schedule need: git, the repository and .ci/config,
the remote with the tag scheduled and the branch state, the forge of review requests, the queue and its builders, the builder
classes of packages, and programs that some commands use. Each check is ok, a warning, or has failed, with what to do. It only
reads; whether the remote takes a push is not tried.

Exit status: 0 all is well or there are only warnings; 1 a check failed; 2 wrong usage or settings.`,
		Example: `  caur-ci doctor
  caur-ci doctor --json | jq -r '.[] | select(.status != "ok") | .fix'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runDoctor(cmd.Context(), remote, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: a list of {check, status, detail, fix}")
	cmd.Flags().StringVar(&remote, "remote", "origin", "the remote that pipelines work with")
	return cmd
}

func (a *app) runDoctor(ctx context.Context, remote string, asJSON bool) (err error) {
	c := &checkup{a: a, remote: remote}
	c.program(doctorFailed, "git", "install git: nothing works without it")
	if len(c.failed()) == 0 {
		err = c.repository(ctx)
	}
	if err != nil {
		return err
	}
	c.program(doctorWarning, "shellcheck", "install shellcheck, and 'caur-ci lint' tells what it finds")
	c.program(doctorWarning, "caur-exec", "install caur-exec for 'caur-ci srcinfo' of PKGBUILDs with dynamic values")
	if asJSON {
		encoder := json.NewEncoder(a.io.Out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(c.findings)
	} else {
		_, err = io.WriteString(a.io.Out, command.Sanitize(c.text()))
	}
	if failed := c.failed(); err == nil && len(failed) > 0 {
		err = fmt.Errorf("%s failed: %s", count(len(failed), "check"), strings.Join(failed, ", "))
	}
	return err
}

func (c *checkup) add(status, check, detail, fix string) {
	c.findings = append(c.findings, doctorFinding{check, status, detail, fix})
}

func (c *checkup) ok(check, format string, args ...any) {
	c.add(doctorOK, check, fmt.Sprintf(format, args...), "")
}

func (c *checkup) failed() (checks []string) {
	for _, f := range c.findings {
		if f.Status == doctorFailed {
			checks = append(checks, f.Check)
		}
	}
	return checks
}

// text is a line a check, and what to do below it.
func (c *checkup) text() string {
	var b strings.Builder
	for _, f := range c.findings {
		fmt.Fprintf(&b, "%-8s %s: %s\n", f.Status, f.Check, strings.ReplaceAll(f.Detail, "\n", "\n         "))
		if f.Fix != "" {
			fmt.Fprintf(&b, "         → %s\n", f.Fix)
		}
	}
	return b.String()
}

// program looks for a program in PATH.
func (c *checkup) program(without, name, fix string) {
	if path, err := exec.LookPath(name); err == nil {
		c.ok(name, "%s", path)
		return
	}
	c.add(without, name, "is not installed", fix)
}

// repository makes all checks that need one.
func (c *checkup) repository(ctx context.Context) (err error) {
	c.repo, err = c.a.open(ctx)
	if err != nil {
		if ctx.Err() == nil {
			c.add(doctorFailed, "repository", err.Error(), "go into a checkout of the PKGBUILD repository, or name one with --repo")
		}
		return ctx.Err()
	}
	defer closeRepo(ctx, c.repo, &err)
	files, err := localFiles(ctx, c.repo, "")
	if errors.Is(err, gitrepo.ErrNoCommit) {
		c.add(doctorFailed, "repository", err.Error(), "commit something first")
		return nil
	}
	if err != nil {
		return err
	}
	if err := c.settings(ctx, files); err != nil {
		return err
	}
	packages, err := newCatalog(ctx, files)
	if err != nil {
		return err
	}
	classes, err := c.packages(ctx, packages)
	if err != nil {
		return err
	}
	for _, ask := range []func(context.Context){c.askRemote, c.askForge} {
		if ask(ctx); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return c.askQueue(ctx, classes)
}

// settings reads .ci/config under the environment. Wrong values leave the defaults for the checks that follow.
func (c *checkup) settings(ctx context.Context, files gitrepo.Files) error {
	var data []byte
	err := files.Read(ctx, []string{configFile}, func(_ int, text []byte) error {
		data = slices.Clone(text)
		return nil
	})
	if err != nil {
		return err
	}
	cfg, remarks, err := state.ParseRepoConfig(configFile, data, c.a.io.Getenv)
	switch {
	case err != nil:
		c.add(doctorFailed, "settings", err.Error(), "correct these values")
	case len(remarks) > 0:
		c.add(doctorWarning, "settings", remarks[0].String(), "see 'caur-ci lint' for all of them")
	case data == nil:
		c.add(doctorWarning, "settings", "there is no "+configFile+", so all settings have their defaults", "see 'caur-ci init' for a commented one")
	default:
		c.ok("settings", "%s", configFile)
	}
	if cfg == nil {
		cfg, _, err = state.ParseRepoConfig(configFile, nil, nil)
	} else {
		err = nil
	}
	c.cfg = cfg
	return err
}

// packages counts them and gives the builder classes that they ask for, with one package for each.
func (c *checkup) packages(ctx context.Context, packages *catalog) (map[string]string, error) {
	_, warnings, err := packages.infos(ctx, packages.names)
	if err != nil {
		return nil, err
	}
	paths := make([]string, len(packages.names))
	for i, name := range packages.names {
		paths[i] = name + "/.CI/config"
	}
	found := make([]*state.PackageConfig, len(paths))
	faults := make([]error, len(paths))
	err = packages.files.Read(ctx, paths, func(i int, data []byte) error {
		found[i], _, faults[i] = state.ParsePackageConfig(paths[i], data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	classes := map[string]string{}
	for i, name := range packages.names {
		class := c.cfg.DefaultClass
		if found[i] != nil && found[i].Class != "" {
			class = found[i].Class
		}
		if classes[class] == "" {
			classes[class] = name
		}
	}
	warnings = append(warnings, packages.oddities()...)
	for _, fault := range faults {
		if fault != nil {
			warnings = append(warnings, fault.Error())
		}
	}
	if len(warnings) > 0 {
		c.add(doctorWarning, "packages", fmt.Sprintf("%d, with %s, such as %s", len(packages.names), count(len(warnings), "fault"), warnings[0]), "see 'caur-ci lint' for all of them")
		return classes, nil
	}
	c.ok("packages", "%d", len(packages.names))
	return classes, nil
}

// askRemote looks for what pipelines keep at the remote.
func (c *checkup) askRemote(ctx context.Context) {
	refs, err := c.repo.RemoteRefs(ctx, c.remote, "refs/tags/"+scheduledTag, "refs/heads/"+stateBranch, "refs/heads/"+forge.BranchPrefix+"*")
	if err != nil {
		c.add(doctorFailed, "remote", err.Error(), "check 'git remote -v', the network and the credentials of git")
		return
	}
	waiting := 0
	for name := range refs {
		if strings.HasPrefix(name, "refs/heads/"+forge.BranchPrefix) {
			waiting++
		}
	}
	c.ok("remote", "%s can be read; %s waiting for review", c.remote, count(waiting, "update"))
	if refs["refs/tags/"+scheduledTag] == "" {
		c.add(doctorWarning, "tag "+scheduledTag, "is not at the remote", "nothing to do before the first run: on-commit makes it")
	}
	if refs["refs/heads/"+stateBranch] == "" {
		c.add(doctorWarning, "branch "+stateBranch, "is not at the remote, so every VCS package counts as changed once", "nothing to do before the first run: on-schedule makes it")
	}
}

// askForge lists review requests, which needs the token.
func (c *checkup) askForge(ctx context.Context) {
	f, err := forge.FromEnvironment(c.a.io.Getenv)
	var missing *forge.MissingError
	if errors.As(err, &missing) && !c.cfg.HumanReview {
		c.add(doctorWarning, "forge", "not asked: "+err.Error(), "nothing to do outside of a pipeline")
		return
	}
	var requests []forge.Request
	if err == nil {
		requests, err = f.Open(ctx)
	}
	if err != nil {
		status, fix := doctorFailed, "set ACCESS_TOKEN to a token that may read and open review requests"
		if missing != nil {
			status, fix = doctorWarning, "CI_HUMAN_REVIEW is on, so pipelines need it; nothing to do outside of one"
		}
		c.add(status, "forge", err.Error(), fix)
		return
	}
	c.ok("forge", "%s answers; %s", f.Kind(), count(len(requests), "open request"))
}
