package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-exec/internal/publish"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/settings"
)

// repoSettings are those of the database role that concern the repositories, with its names.
type repoSettings struct {
	RepoPath       string          `env:"REPO_PATH, required" help:"directory of the target repos"`
	GPGPath        string          `env:"GPG_PATH" help:"GnuPG home with the secret signing key"`
	GPGKey         string          `env:"GPGKEY" help:"fingerprint of the signing key (default: the first usable one)"`
	SigningKeyFile string          `env:"SIGNING_KEY_FILE" help:"file with the secret signing key; instead of GPG_PATH"`
	Passphrase     settings.Secret `env:"GPG_PASSPHRASE" help:"passphrase of the signing key"`
	SignDB         bool            `env:"REPO_SIGN_DB, default=false" help:"sign the databases too"`
}

// Check says what is wrong with the values.
func (s *repoSettings) Check() []string {
	if s.GPGPath != "" && s.SigningKeyFile != "" {
		return []string{"GPG_PATH: set it, or SIGNING_KEY_FILE, and not both"}
	}
	return nil
}

func (s *repoSettings) signer(ctx context.Context) (publish.Signer, error) {
	switch {
	case s.SigningKeyFile != "":
		return publish.NewKeyFile(s.SigningKeyFile, s.Passphrase)
	case s.GPGPath != "":
		return publish.NewGPG(ctx, s.GPGPath, s.GPGKey, s.Passphrase)
	}
	return nil, command.Usagef("a signing key is needed: set GPG_PATH or SIGNING_KEY_FILE")
}

const repoHelp = `

The database role may run meanwhile: one change at a time is made to a target repo.`

func (a *app) repo() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "repo COMMAND",
		Short: "Look at a package repository on this machine, repair it, take a package back",
		Long: `Works on the target repos in REPO_PATH, on the machine of the database role.` + repoHelp +
			settingsHelp(repoSettings{}) + exitStatus,
		Example: `  export REPO_PATH=/srv/repo GPG_PATH=/srv/gnupg
  caur-exec repo ls my-repo
  caur-exec repo verify my-repo --deep
  caur-exec repo rollback firefox-nightly`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.repoLs(), a.repoShow(), a.repoVerify(), a.repoRebuild(), a.repoAdd(), a.repoHistory(), a.repoRollback(), a.repoServe())
	return cmd
}

// repoFlags are those of most commands below repo.
type repoFlags struct {
	repo, arch string
	json       bool
}

func (f *repoFlags) add(cmd *cobra.Command, withRepo bool) {
	if withRepo {
		cmd.Flags().StringVar(&f.repo, "repo", "", "target `REPO` (default: the only one)")
	}
	cmd.Flags().StringVar(&f.arch, "arch", "", "`ARCH`itecture of the repository (default: the only one, or all where nothing is changed)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
}

// publisher opens the repositories; only with signing for what changes them.
func (a *app) publisher(ctx context.Context, signing bool) (*publish.Publisher, error) {
	var s repoSettings
	if err := a.load(ctx, &s); err != nil {
		return nil, err
	}
	o := publish.Options{RepoPath: s.RepoPath, SignDB: s.SignDB}
	if signing {
		var err error
		if o.Signer, err = s.signer(ctx); err != nil {
			return nil, err
		}
	}
	return publish.New(o)
}

// choose names the repository when there is only one, and its architectures when none is asked for.
func (f *repoFlags) choose(p *publish.Publisher) (arches []string, err error) {
	if f.repo == "" {
		repos, err := p.Repos()
		switch {
		case err != nil:
			return nil, err
		case len(repos) == 0:
			return nil, fmt.Errorf("there is no repository in REPO_PATH yet")
		case len(repos) > 1:
			return nil, command.Usagef("there are several repositories, choose one with --repo: %s", strings.Join(repos, ", "))
		}
		f.repo = repos[0]
	}
	have, err := p.Arches(f.repo)
	switch {
	case err != nil:
		return nil, err
	case len(have) == 0:
		return nil, fmt.Errorf("there is no repository %s in REPO_PATH", f.repo)
	case f.arch == "":
		return have, nil
	case !slices.Contains(have, f.arch):
		return nil, fmt.Errorf("repository %s has no architecture %s; it has %s", f.repo, f.arch, strings.Join(have, ", "))
	}
	return []string{f.arch}, nil
}

// one is choose for what takes one architecture.
func (f *repoFlags) one(p *publish.Publisher) (arch string, err error) {
	arches, err := f.choose(p)
	if err != nil {
		return "", err
	}
	if len(arches) > 1 {
		return "", command.Usagef("repository %s has several architectures, choose one with --arch: %s", f.repo, strings.Join(arches, ", "))
	}
	return arches[0], nil
}

func (a *app) printJSON(value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	a.printf("%s\n", data)
	return nil
}
