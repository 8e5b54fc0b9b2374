package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/redisconn"
	"github.com/caur-build/caur/pkg/queue"
)

// withLegacy adds what belongs to the earlier manager to the queue command.
func (a *app) withLegacy(queue *cobra.Command) *cobra.Command {
	queue.AddCommand(a.importLegacy())
	queue.AddCommand(a.transfer()...)
	return queue
}

func (a *app) importLegacy() *cobra.Command {
	var keep, dryRun bool
	cmd := &cobra.Command{
		Use:   "import-legacy",
		Short: "Take the waiting jobs of the earlier manager over",
		Long: `Reads what the earlier manager has saved of its queue in the same Redis (the key build-queue), puts its jobs into the queue of
caur as one batch, and removes the key. Stop the manager first. A job that waits here already is newer and stays as it is. Jobs
that cannot be taken are named, and then the key stays. Doing it again enqueues nothing twice.` +
			settingsHelp(redisconn.Config{}) + `

Exit status: 0 done, also when there is nothing to import, 1 failed or some jobs cannot be taken, 2 wrong usage or settings.`,
		Example: `  caur-exec queue import-legacy --dry-run
  REDIS_SSH_HOST=repo.example.org caur-exec queue import-legacy`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runImportLegacy(cmd.Context(), keep, dryRun) },
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the queue of the earlier manager as it is")
	cmd.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "say what would be imported and change nothing")
	return cmd
}

func (a *app) runImportLegacy(ctx context.Context, keep, dryRun bool) error {
	return a.withQueue(ctx, func(q *queue.Queue) error {
		done, err := q.ImportLegacy(ctx, keep, dryRun)
		if !done.Found {
			if err == nil {
				a.notef("there is no queue of the earlier manager in this Redis")
			}
			return err
		}
		for _, id := range done.Imported {
			a.printf("%s\n", command.Sanitize(id))
		}
		for _, reason := range done.Refused {
			a.notef("not taken: %s", reason)
		}
		verb := "now wait here"
		if dryRun {
			verb = "would wait here"
		}
		a.notef("%d jobs %s, %d were here already", len(done.Imported), verb, len(done.Here))
		if err == nil && len(done.Refused) > 0 {
			err = errors.New("some jobs of the earlier manager were not taken; its queue stays as it is")
		}
		return err
	})
}
