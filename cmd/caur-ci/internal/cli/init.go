package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/template"
)

func (a *app) initCommand() *cobra.Command {
	var forge string
	var force bool
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Begin a PKGBUILD repository",
		Long: `Writes a repository to begin with: CI definition, settings with every key explained, hooks, README. DIR is made, and
becomes a git repository if it is none; nothing is committed. A file that is there already stops it, before anything is written;
with --force such files are left as they are, and the others are written.` + exitStatus,
		Example: `  caur-ci init packages
  caur-ci init --forge github packages
  cd packages && git add -A && git commit -m 'feat: begin'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := template.ParseForge(forge)
			if err != nil {
				return command.Usagef("--forge: %w", err)
			}
			return a.runInit(cmd.Context(), args[0], f, force)
		},
	}
	cmd.Flags().StringVar(&forge, "forge", string(template.Both), "write the CI definition for gitlab, github or both")
	cmd.Flags().BoolVar(&force, "force", false, "write into a directory that has some of the files already, and leave those alone")
	_ = cmd.RegisterFlagCompletionFunc("forge", cobra.FixedCompletions([]string{"gitlab", "github", "both"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *app) runInit(ctx context.Context, dir string, forge template.Forge, force bool) error {
	files, err := template.Files(forge)
	if err != nil {
		return err
	}
	there, err := existing(dir, files)
	if err != nil {
		return err
	}
	if len(there) > 0 && !force {
		return fmt.Errorf("%s has %s already; nothing was written (--force leaves what is there and writes the rest)", dir, there[0])
	}
	for _, name := range there {
		a.notef("left alone: %s", name)
		delete(files, name)
	}
	if err := files.Write(dir); err != nil {
		return err
	}
	repo := git.Repo{Dir: dir}
	if _, err := os.Stat(filepath.Join(dir, ".git")); errors.Is(err, fs.ErrNotExist) {
		if err := repo.Run(ctx, "init", "-q", "--initial-branch=main"); err != nil {
			return err
		}
	}
	a.notef("wrote %s to %s", count(len(files), "file"), dir)
	a.notef("next: set names in .ci/config, say in .ci/caur.env where caur-ci is, commit, and set the secrets that README.md lists")
	return nil
}

// existing lists the files that are there already.
func existing(dir string, files pkgdir.Dir) (there []string, err error) {
	for _, name := range files.Paths() {
		switch _, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(name))); {
		case err == nil:
			there = append(there, name)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return there, nil
}
