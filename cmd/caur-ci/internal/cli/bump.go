package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/cmd/caur-ci/internal/commit"
	"github.com/caur-build/caur/cmd/caur-ci/internal/download"
	"github.com/caur-build/caur/pkg/srcinfo"
	"github.com/caur-build/caur/pkg/state"
)

func (a *app) bump() *cobra.Command {
	var h byHand
	cmd := &cobra.Command{
		Use:   "bump {PKG… | all}",
		Short: "Have packages built again, with a higher pkgrel",
		Long: `Sets CI_PACKAGE_BUMP in .CI/config: the build gets pkgrel.N in the place of pkgrel until the package has a new version.
N is one more than what the watched databases (CI_LIB_DB) and .CI/config have. A version that the databases do not have
yet is taken from .SRCINFO; that of a VCS package is known from the databases alone.

Packages may be separated by commas, colons or blanks. Without arguments the variable PACKAGES is read.` + byHandHelp,
		Example: `  caur-ci bump paru
  caur-ci bump --dry-run all
  PACKAGES=paru:yay caur-ci bump --push`,
		ValidArgsFunction: a.packageArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runByHand(cmd.Context(), h, func(ctx context.Context, cfg *state.RepoConfig, c *catalog) (*handChange, error) {
				return a.bumps(ctx, cfg, c, args)
			})
		},
	}
	h.flags(cmd)
	return cmd
}

func (a *app) bumps(ctx context.Context, cfg *state.RepoConfig, c *catalog, args []string) (*handChange, error) {
	names, err := a.named(c, args)
	if err != nil {
		return nil, err
	}
	l, err := a.loadPackages(ctx, c, emptyMemory(), names)
	if err != nil {
		return nil, err
	}
	libs := candidates.NewLibs(candidates.LibsOptions{Web: download.New(download.Options{}), DBs: cfg.LibDBs})
	if err := libs.Prepare(ctx, nil); err != nil {
		return nil, fmt.Errorf("find out what is built: %w", err)
	}
	change := &handChange{}
	var failures []string
	for _, fault := range l.faults {
		failures = append(failures, fault.err.Error())
	}
	for _, p := range l.packages {
		if err := change.bump(ctx, p, libs.Versions().Newest(p.Pkgbase)); err != nil {
			failures = append(failures, fmt.Sprintf("%s: %v", p.Pkgbase, err))
		}
	}
	for _, text := range failures {
		a.warnf("not bumped: %s", text)
	}
	if len(change.names) == 0 && len(failures) > 0 {
		return nil, errors.New("no package could be bumped")
	}
	change.message = commit.Message("bump", change.names)
	return change, nil
}

// bump adds one package.
func (h *handChange) bump(ctx context.Context, p *candidates.Package, built string) error {
	version, err := versionToBump(p, built)
	if err != nil {
		return err
	}
	next, err := srcinfo.NextBump(version, p.Config.Bump)
	if err != nil {
		return err
	}
	older, err := p.Files(ctx)
	if err != nil {
		return err
	}
	newer, err := candidates.WithBump(older, next)
	if err != nil {
		return err
	}
	h.add(p.Pkgbase, fmt.Sprintf("%s: %s, the next build is pkgrel.%d", p.Pkgbase, next, next.N), commit.Dir(p.Pkgbase, older, newer))
	return nil
}

// versionToBump is what is built, or what is about to be.
func versionToBump(p *candidates.Package, built string) (string, error) {
	vcs := p.Config.ForceVCS || strings.HasSuffix(p.Pkgbase, "-git")
	switch {
	case built == "" && vcs:
		return "", errors.New("the watched databases (CI_LIB_DB) have no version of it, and that of a VCS package stands nowhere else")
	case built == "" && p.Info == nil:
		return "", errors.New("neither the watched databases (CI_LIB_DB) nor .SRCINFO have a version of it")
	case built == "" || !vcs && p.Info != nil && srcinfo.Vercmp(p.Info.Version(), built) > 0:
		return p.Info.Version(), nil
	}
	return built, nil
}
