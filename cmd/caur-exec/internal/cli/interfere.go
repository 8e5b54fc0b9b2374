package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/interfere"
)

func (a *app) interfere() *cobra.Command {
	var o interfere.Options
	cmd := &cobra.Command{
		Use:   "interfere [--dry-run] DIRECTORY",
		Short: "Apply a package's interferences to its PKGBUILD",
		Long: `Makes the changes to a package directory that a build makes before makepkg runs: trailing newline, -march=native,
.CI/interfere.patch, .CI/PKGBUILD.prepend and .append, and the pkgrel bump of CI_PACKAGE_BUMP. With --dry-run the directory
stays as it is and the result is printed as a diff. The list of what was applied goes to standard error.

.CI/prepare and the system update need a build container and are left out; prepare is checked for its syntax. Nothing of
the package is executed.` + exitStatus,
		Example: `  caur-exec interfere --dry-run ~/packages/firefox-nightly
  caur-exec interfere --bump 120.0-1/2 ./yay`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir = args[0]
			return a.runInterfere(cmd.Context(), o)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.DryRun, "dry-run", "n", false, "print a diff and change nothing")
	f.StringVar(&o.Bump, "bump", "", "`VERSION/N` instead of CI_PACKAGE_BUMP")
	f.StringVar(&o.Pkgbase, "pkgbase", "", "name of the package (default the directory's)")
	return cmd
}

func (a *app) runInterfere(ctx context.Context, o interfere.Options) error {
	report, err := interfere.Apply(ctx, o)
	if err != nil {
		return err
	}
	a.printf("%s", command.Sanitize(string(report.Diff)))
	a.notef("%s", report.Text())
	return nil
}
