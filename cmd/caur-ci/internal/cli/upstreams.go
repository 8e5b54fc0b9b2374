package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/pkg/state"
)

// upstreamOptions say where updates come from.
type upstreamOptions struct {
	cache string
}

func (o *upstreamOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.cache, "cache", "", "keep what is downloaded in this `DIR` for the next run (default $CAUR_CACHE, else nothing is kept)")
	_ = cmd.MarkFlagDirname("cache")
}

// sourceOrder is the order in which sources are asked about a package and named in reports.
var sourceOrder = []string{
	candidates.SourceAUR, candidates.SourceGitLab, candidates.SourceGit, candidates.SourceNVChecker,
	candidates.SourceHook, candidates.SourceLibs, candidates.SourceVCS,
}

// upstreams is all sources of one run.
type upstreams struct {
	list []candidates.Finder
}

func (a *app) newUpstreams(ctx context.Context, cfg *state.RepoConfig, root *rootFiles, m *memory, scratch string, o upstreamOptions) (*upstreams, error) {
	return &upstreams{}, nil
}

func (u *upstreams) finders() []candidates.Finder { return u.list }

func (u *upstreams) versions(all bool) *state.VersionState { return nil }

func (u *upstreams) aurTaken() time.Time { return time.Time{} }
