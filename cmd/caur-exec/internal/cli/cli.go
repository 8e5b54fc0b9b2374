// Package cli is the command line of caur-exec: a file a verb. It alone joins the roles and prints. What a command was
// asked for goes to standard output, what it says about its work to standard error.
package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/reference"
)

// Main runs caur-exec and returns its exit code.
func Main() int {
	os.Args = append(os.Args[:1:1], hoist(os.Args[1:])...)
	return command.Main(New)
}

// app is what all commands share.
type app struct{ io *command.IO }

// New makes the root command.
func New(streams *command.IO) *cobra.Command {
	a := &app{io: streams}
	root := &cobra.Command{
		Use:   "caur-exec",
		Short: "Build packages and keep their repository",
		Long: `caur-exec is the executor side of caur: it takes jobs from a queue in Redis, builds packages in containers, and keeps the
signed pacman repository that they end up in.

It runs as one or more roles: builder, database (with web) or web alone; standalone is all of them in one process.
Settings come from flags, then the environment, then defaults; each role's --help lists its own. Any setting may be given
as a file: REDIS_PASSWORD_FILE=/run/secrets/redis instead of REDIS_PASSWORD. LOG_FORMAT=json and LOG_LEVEL=debug change
the log on standard error.

The first SIGINT or SIGTERM ends a role in order (a running build goes back to the queue); a second one ends it at once.` + exitStatus,
		Example: `  caur-exec standalone
  caur-exec queue
  caur-exec interfere --dry-run ~/packages/firefox-nightly`,
	}
	root.AddCommand(a.builder(), a.build(), a.database(), a.web(), a.standalone(), a.interfere(), a.srcinfo(), a.schedule(), a.autoRepoRemove(), a.withLegacy(a.queue()), a.repo(), a.notify(), a.doctor(), a.drain(), a.offline(), a.reconcile())
	root.AddCommand(reference.Command())
	return root
}

const exitStatus = `

Exit status: 0 done, 1 failed, 2 wrong usage or settings.`

// managerOptions are the options that today's manager takes before its command (executor.md section 7).
var managerOptions = []string{"arch", "target-repo", "source-repo", "commit", "arch-mirror", "deptree", "web-port"}

// hoist moves options of the manager that stand before the command behind it, where cobra wants them: there a command
// still refuses those that are not its own.
func hoist(args []string) []string {
	i := 0
	for i < len(args) {
		name, isOption := strings.CutPrefix(args[i], "--")
		name, _, whole := strings.Cut(name, "=")
		if !isOption || !slices.Contains(managerOptions, name) {
			break
		}
		i++
		if !whole {
			i++ // its value
		}
	}
	if i == 0 || i >= len(args) || strings.HasPrefix(args[i], "-") {
		return args
	}
	return slices.Concat(args[i:i+1], args[:i], args[i+1:])
}

// printf writes to standard output. A reader that has gone is no failure of the command.
func (a *app) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(a.io.Out, format, args...)
}

// notef tells how the work goes, on standard error.
func (a *app) notef(format string, args ...any) {
	_, _ = fmt.Fprintln(a.io.Err, command.Sanitize(fmt.Sprintf(format, args...)))
}
