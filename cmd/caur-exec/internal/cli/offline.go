package cli

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-exec/internal/offline"
)

// offline is what 'caur-exec build' calls for a package with CI_BUILD_NETWORK=none.
func (a *app) offline() *cobra.Command {
	return &cobra.Command{
		Use:    "offline -- PROGRAM [ARGUMENT...]",
		Short:  "Run a program that has no network",
		Hidden: true,
		Long: `Replaces itself by a program that cannot open a socket but Unix ones, nor can anything it starts. Needs no right.

Exit status: 0 done, else that of the program; 1 when it cannot be started.`,
		Example: `  caur-exec offline -- makepkg --noconfirm`,
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return offline.Exec(args, os.Environ()) },
	}
}
