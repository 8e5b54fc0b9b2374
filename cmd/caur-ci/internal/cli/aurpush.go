package cli

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/caur-build/caur/cmd/caur-ci/internal/aurpush"
	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/cmd/caur-ci/internal/plan"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/pkg/state"
)

// aurKeys is what pushing to the AUR needs; all of it comes from the environment.
type aurKeys struct {
	Key        settings.Secret `env:"AUR_KEY" help:"private SSH key of the AUR account"`
	KnownHosts string          `env:"AUR_KNOWN_HOSTS" help:"pinned host keys of the AUR, instead of those in this program"`
	URL        string          `env:"CAUR_AUR_SSH_URL" help:"SSH address of the AUR (default: ssh://aur@aur.archlinux.org)"`
}

// pushToAUR brings the packages of a plan to the AUR that are managed here: CI_MANAGE_AUR of the repository and of the
// package (pipeline.md section 7). The builds are scheduled already, so whatever goes wrong here is a warning.
func (a *app) pushToAUR(ctx context.Context, repo *gitrepo.Repo, cfg *state.RepoConfig, c *catalog, p *plan.Plan) error {
	if !cfg.ManageAUR || p == nil {
		return nil
	}
	names, err := a.managed(ctx, c, p)
	if err != nil || len(names) == 0 {
		return err
	}
	var keys aurKeys
	if err := settings.Load(ctx, &keys, lookup(a.io.Getenv)); err != nil {
		return err
	}
	if keys.Key.IsZero() {
		a.warnf("not pushed to the AUR, because AUR_KEY is not set: %s", strings.Join(names, ", "))
		return nil
	}
	by, err := a.author(ctx, repo, cfg)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "caur-aur-")
	if err != nil {
		return fmt.Errorf("make a folder for the AUR: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	pusher, err := aurpush.New(ctx, aurpush.Options{URL: keys.URL, Key: keys.Key, KnownHosts: keys.KnownHosts, By: by, Scratch: scratch})
	if err != nil {
		a.warnf("not pushed to the AUR: %v", err)
		return nil
	}
	for _, name := range names {
		files, err := c.files.Dir(ctx, name)
		if err != nil {
			return err
		}
		id, err := pusher.Push(ctx, name, files, a.links(name))
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			a.warnf("%s is not pushed to the AUR: %v", name, err)
		case id != "":
			a.notef("%s is pushed to the AUR as %s", name, short(id))
		}
	}
	return nil
}

// managed lists the packages of a plan that are pushed to the AUR.
func (a *app) managed(ctx context.Context, c *catalog, p *plan.Plan) ([]string, error) {
	paths := make([]string, len(p.Jobs))
	for i, job := range p.Jobs {
		paths[i] = job.Pkgbase + "/.CI/config"
	}
	wanted := make([]bool, len(paths))
	err := c.files.Read(ctx, paths, func(i int, data []byte) error {
		if cfg, _, err := state.ParsePackageConfig(paths[i], data); err == nil { // a wrong one was reported with the plan
			wanted[i] = cfg.ManageAUR
		}
		return nil
	})
	var names []string
	for i, job := range p.Jobs {
		if wanted[i] {
			names = append(names, job.Pkgbase)
		}
	}
	return names, err
}

// links lead from the AUR's history to ours and to the pipeline that pushed.
func (a *app) links(pkgbase string) []string {
	get := func(key string) string { v, _ := a.io.Getenv(key); return v }
	var list []string
	name := url.PathEscape(pkgbase)
	switch {
	case get("CI_PROJECT_URL") != "":
		list = append(list, get("CI_PROJECT_URL")+"/-/commits/"+get("CI_DEFAULT_BRANCH")+"/"+name)
		if run := get("CI_PIPELINE_URL"); run != "" {
			list = append(list, run)
		}
	case get("GITHUB_REPOSITORY") != "":
		base := get("GITHUB_SERVER_URL") + "/" + get("GITHUB_REPOSITORY")
		list = append(list, base+"/commits/"+get("GITHUB_REF_NAME")+"/"+name, base+"/actions/runs/"+get("GITHUB_RUN_ID"))
	}
	return list
}
