package cli

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/cmd/caur-ci/internal/download"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/pkg/aursync"
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

// upstreamSettings come from the environment alone: they concern the machine, not the repository.
type upstreamSettings struct {
	AUR       string          `env:"CAUR_AUR_URL, default=https://aur.archlinux.org" help:"address of the AUR"`
	AURGit    string          `env:"CAUR_AUR_GIT_URL" help:"address of the git repositories of the AUR (default: that of the AUR)"`
	AURMirror string          `env:"CAUR_AUR_MIRROR, default=https://github.com/archlinux/aur.git" help:"git mirror of the AUR, a branch a package, from which many packages come at once"`
	Cache     string          `env:"CAUR_CACHE" help:"directory that keeps what is downloaded for the next run (default: nothing is kept)"`
	Retry     time.Duration   `env:"CAUR_RETRY_WAIT, default=30s" help:"pause before a server that did not answer is asked once more"`
	NVMode    string          `env:"CI_NVCHECKER_MODE, default=auto" help:"who looks for new versions: native (caur), program (nvchecker) or auto"`
	NVKeys    settings.Secret `env:"NVCHECKER_KEYS" help:"key file of nvchecker, in TOML"`
	Token     settings.Secret `env:"ACCESS_TOKEN" help:"token of the forge: opens review requests, pushes, reads packages of GitLab"`
	GitLabAPI string          `env:"CI_API_V4_URL" help:"address of the API of GitLab; its jobs have it"`
}

// sourceOrder is the order in which sources are asked about a package and named in reports.
var sourceOrder = []string{
	candidates.SourceAUR, candidates.SourceGitLab, candidates.SourceGit, candidates.SourceNVChecker,
	candidates.SourceHook, candidates.SourceLibs, candidates.SourceVCS,
}

// upstreams is all sources of one run.
type upstreams struct {
	list  []candidates.Finder
	close func() // ends idle connections
	aur   *candidates.AUR
	libs  *candidates.Libs
}

// newUpstreams sets the sources up; whole says that the run is about every package of the repository.
func (a *app) newUpstreams(ctx context.Context, cfg *state.RepoConfig, root *rootFiles, m *memory, l *loaded, whole bool, scratch string, o upstreamOptions) (*upstreams, error) {
	var s upstreamSettings
	if err := settings.Load(ctx, &s, lookup(a.io.Getenv)); err != nil {
		return nil, err
	}
	if o.cache != "" {
		s.Cache = o.cache
	}
	style, err := root.style(scratch)
	if err != nil {
		return nil, err
	}
	cache := s.Cache
	if cache == "" {
		cache = filepath.Join(scratch, "cache")
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder for downloads: %w", err)
	}
	web := download.New(download.Options{})
	nvchecker, err := candidates.NewNVChecker(candidates.NVCheckerOptions{
		Web: web, Mode: candidates.NVCheckerMode(s.NVMode), KeyFile: s.NVKeys, Review: cfg.NVCheckerReview, TempDir: scratch,
	})
	if err != nil {
		return nil, command.Usagef("%w", err)
	}
	client, err := aursync.New(s.aur(cfg, cache))
	if err != nil {
		return nil, command.Usagef("%w", err)
	}
	heads := git.NewHeads(git.HeadsOptions{})
	u := &upstreams{
		close: func() { client.Close(); heads.Close() },
		aur:   candidates.NewAUR(candidates.AUROptions{Client: client, Style: style, Fallback: root.aurState, Now: time.Now()}),
		libs: candidates.NewLibs(candidates.LibsOptions{
			Web: web, DBs: cfg.LibDBs, Triggers: cfg.RebuildTriggers, Blacklist: cfg.RebuildBlacklist, Old: m.versions, Always: whole,
		}),
	}
	u.list = []candidates.Finder{
		u.aur,
		candidates.NewGitLab(candidates.GitLabOptions{Web: web, Token: s.Token, TokenHost: hostOf(s.GitLabAPI)}),
		candidates.NewGit(candidates.GitOptions{CacheDir: filepath.Join(cache, "git"), Style: style, Delay: cfg.CloneDelay, Retry: s.Retry}),
		nvchecker,
		candidates.NewHook(candidates.HookOptions{Has: l.hasHook, TempDir: scratch, GitIgnore: root.gitIgnore}),
		u.libs,
		candidates.NewVCS(candidates.VCSOptions{Heads: heads}),
	}
	return u, nil
}

// aur says where the AUR is. A test or a mirror of one's own has everything below one address.
func (s *upstreamSettings) aur(cfg *state.RepoConfig, cache string) aursync.Options {
	base := strings.TrimSuffix(s.AUR, "/")
	repos := s.AURGit
	if repos == "" {
		repos = base
	}
	return aursync.Options{
		ArchiveURL: base + "/packages-meta-ext-v1.json.gz", RPCURL: base + "/rpc", GitURL: repos, MirrorURL: s.AURMirror,
		Proxy: cfg.AURProxy(), CacheDir: filepath.Join(cache, "aur"), GitDir: filepath.Join(cache, "aur.git"), Retry: s.Retry,
	}
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// style gives the layout that the repository's own .editorconfig wants; those of packages have no say.
func (r *rootFiles) style(scratch string) (func(path string) (pkgbuild.Style, error), error) {
	dir := filepath.Join(scratch, "editorconfig")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a folder for settings: %w", err)
	}
	if r.editor != nil {
		if err := os.WriteFile(filepath.Join(dir, editorFile), r.editor, 0o644); err != nil {
			return nil, fmt.Errorf("keep the settings of the editor: %w", err)
		}
	}
	return func(path string) (pkgbuild.Style, error) { return pkgbuild.StyleFor(os.DirFS(dir), path) }, nil
}

func (u *upstreams) finders() []candidates.Finder { return u.list }

// versions is what to remember of the watched databases; nil: what was remembered. A run about a few packages must not
// swallow what changed for the others.
func (u *upstreams) versions(whole bool) *state.VersionState {
	if !whole {
		return nil
	}
	return u.libs.Versions()
}

// aurTaken is when the AUR's answer was made.
func (u *upstreams) aurTaken() time.Time { return u.aur.Taken() }
