package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/redisconn"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/pkg/queue"
	"github.com/caur-build/caur/pkg/state"
)

// configFile holds the pipeline's settings, from the top of the repository.
const configFile = ".ci/config"

// repoConfig reads .ci/config with the environment on top: from the work tree, or of a bare repository from HEAD.
func (a *app) repoConfig(ctx context.Context, repo *gitrepo.Repo) (*state.RepoConfig, error) {
	if !repo.Bare() {
		return a.configIn(repo.Dir())
	}
	head, err := repo.Head(ctx)
	if err != nil {
		return nil, err
	}
	files, err := repo.At(ctx, head)
	if err != nil {
		return nil, err
	}
	var cfg *state.RepoConfig
	read := false
	err = files.Read(ctx, []string{configFile}, func(_ int, data []byte) (err error) {
		read = true
		cfg, err = a.parseConfig(data)
		return err
	})
	if err != nil || read {
		return cfg, err
	}
	return a.parseConfig(nil)
}

// anyConfig is repoConfig where there is a repository, else the .ci/config in the directory, if any: what only talks to
// the queue needs no repository.
func (a *app) anyConfig(ctx context.Context) (cfg *state.RepoConfig, err error) {
	repo, err := a.open(ctx)
	if errors.Is(err, gitrepo.ErrNoRepository) {
		return a.configIn(a.repo)
	}
	if err != nil {
		return nil, err
	}
	defer closeRepo(ctx, repo, &err)
	cfg, err = a.repoConfig(ctx, repo)
	if errors.Is(err, gitrepo.ErrNoCommit) {
		return a.parseConfig(nil)
	}
	return cfg, err
}

func (a *app) configIn(dir string) (*state.RepoConfig, error) {
	data, err := os.ReadFile(filepath.Join(dir, configFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	return a.parseConfig(data)
}

// parseConfig ends the program with the exit code for wrong settings when a value is wrong.
func (a *app) parseConfig(data []byte) (*state.RepoConfig, error) {
	cfg, _, err := state.ParseRepoConfig(configFile, data, a.io.Getenv)
	if err != nil {
		return nil, &command.ExitError{Code: command.WrongUsage, Err: err}
	}
	return cfg, nil
}

// lookup makes a function one of the settings package's sources.
type lookup func(string) (string, bool)

func (l lookup) Lookup(name string) (string, bool) { return l(name) }

// redisConfig says where the queue is. A REDIS_URL of the environment is complete in itself: the tunnel that .ci/config
// asks for leads to the address in .ci/config, not to that one.
func (a *app) redisConfig(ctx context.Context, cfg *state.RepoConfig) (redisconn.Config, error) {
	sources := []settings.Lookuper{lookup(a.io.Getenv)}
	if url, set := a.io.Getenv("REDIS_URL"); !set || url == "" {
		sources = append(sources, lookup(cfg.Lookup))
	}
	var c redisconn.Config
	err := settings.Load(ctx, &c, settings.First(sources...))
	return c, err
}

// withQueue connects to the queue for the time of do.
func (a *app) withQueue(ctx context.Context, cfg *state.RepoConfig, do func(*queue.Queue) error) error {
	where, err := a.redisConfig(ctx, cfg)
	if err != nil {
		return err
	}
	client, err := redisconn.Open(ctx, where)
	if err != nil {
		return err
	}
	err = do(queue.New(client))
	if closeErr := client.Close(); closeErr != nil && err == nil && ctx.Err() == nil {
		err = fmt.Errorf("close the connection to redis: %w", closeErr)
	}
	return err
}

// pipelineCommit is COMMIT:PIPELINE_ID of the CI system that runs us, for statuses and links, and whether it is GitLab;
// "" outside of a pipeline.
func (a *app) pipelineCommit() (commit string, gitlab bool) {
	get := func(key string) string { v, _ := a.io.Getenv(key); return v }
	join := func(sha, id string) string {
		if sha == "" || id == "" {
			return ""
		}
		return sha + ":" + id
	}
	if get("GITLAB_CI") != "" {
		return join(get("CI_COMMIT_SHA"), get("CI_PIPELINE_ID")), true
	}
	if get("GITHUB_ACTIONS") != "" {
		return join(get("GITHUB_SHA"), get("GITHUB_RUN_ID")), false
	}
	return "", false
}
