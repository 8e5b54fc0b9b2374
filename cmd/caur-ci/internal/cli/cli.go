// Package cli is the command line of caur-ci: a file a verb. It alone joins the stages (gitrepo → changes → plan →
// queue), and it alone prints. What a command was asked for goes to standard output; what it says about its work, and
// warnings, go to standard error.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/reference"
)

// scheduledTag is the last commit whose packages were handed to the queue (pipeline.md section 1).
const scheduledTag = "scheduled"

// Main runs caur-ci and returns its exit code.
func Main() int {
	tuneGC()
	return command.Main(New)
}

// tuneGC trades memory for time: a command lives for less than a second and throws its garbage away with itself. From
// 512 MiB on the collector works as hard as it must. GOGC in the environment wins.
func tuneGC() {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(400)
		debug.SetMemoryLimit(512 << 20)
	}
}

// app is what all commands share.
type app struct {
	io   *command.IO
	repo string // flag --repo
}

// New makes the root command.
func New(streams *command.IO) *cobra.Command {
	a := &app{io: streams}
	root := &cobra.Command{
		Use:   "caur-ci",
		Short: "Plan and schedule the builds of a PKGBUILD repository",
		Long: `caur-ci is the pipeline side of caur. It works on a PKGBUILD repository: a git repository with one directory for each
package. In a pipeline it hands what a commit changes to the build queue; on a laptop it answers questions about the
packages.

Settings come from flags, then the environment, then .ci/config, then defaults. A secret may also be given as a file:
REDIS_PASSWORD_FILE=/run/secrets/redis instead of REDIS_PASSWORD.` + exitStatus,
	}
	root.PersistentFlags().StringVarP(&a.repo, "repo", "C", ".", "the PKGBUILD repository: a checkout, any folder of it, or a bare repository")
	_ = root.MarkPersistentFlagDirname("repo")
	root.AddCommand(a.onCommit(), a.onSchedule(), a.checkCommand(), a.schedule(), a.enqueue(), a.queue(), a.logs(), a.deptree(), a.srcinfo())
	root.AddCommand(a.bump(), a.addCommand(), a.drop(), a.initCommand(), a.migrate())
	root.AddCommand(a.reviewCommand(), reference.Command())
	root.AddCommand(a.lint(), a.changelog(), a.impact(), a.why(), a.doctor())
	return root
}

const exitStatus = `

Exit status: 0 done, 1 failed, 2 wrong usage or settings.`

// open opens the repository. The caller closes it.
func (a *app) open(ctx context.Context) (*gitrepo.Repo, error) { return gitrepo.Open(ctx, a.repo) }

// closeRepo joins the error of closing; a process that was interrupted ends with one that nobody needs to read.
func closeRepo(ctx context.Context, r *gitrepo.Repo, err *error) {
	if closeErr := r.Close(); closeErr != nil && ctx.Err() == nil {
		*err = errors.Join(*err, closeErr)
	}
}

// packageArgs completes package names for the shell from the directories of the checkout.
func (a *app) packageArgs(_ *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	entries, err := os.ReadDir(a.repo)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") || !strings.HasPrefix(e.Name(), toComplete) {
			continue
		}
		if _, err := os.Stat(filepath.Join(a.repo, e.Name(), "PKGBUILD")); err == nil {
			names = append(names, e.Name())
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// warnf tells the user of something that does not stop the command.
func (a *app) warnf(format string, args ...any) {
	a.say("33", "warning: ", fmt.Sprintf(format, args...))
}

// notef tells the user how the work goes.
func (a *app) notef(format string, args ...any) { a.say("", "", fmt.Sprintf(format, args...)) }

func (a *app) say(color, label, text string) {
	if a.io.Color && label != "" {
		label = "\x1b[1;" + color + "m" + label + "\x1b[0m"
	}
	_, _ = fmt.Fprintf(a.io.Err, "%s%s\n", label, command.Sanitize(text)) // nowhere is left to report a broken standard error
}

// short is how people write a commit.
func short(id string) string { return id[:min(len(id), 12)] }

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
