package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/internal/redisconn"
	"github.com/caur-build/caur/pkg/queue"
)

// transfer gives the commands that carry a queue from one Redis to another.
func (a *app) transfer() []*cobra.Command {
	export := &cobra.Command{
		Use:   "export [FILE]",
		Short: "Write what is in the queue as JSON lines",
		Long: `Writes every job that waits, runs or is to be published, and every clean-up, to FILE or standard output, for 'caur-exec queue import'. What runs
would have to be built again. Nothing is changed.` + settingsHelp(redisconn.Config{}) + exitStatus,
		Example: `  caur-exec queue export queue.jsonl`,
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runExport(cmd.Context(), args) },
	}
	load := &cobra.Command{
		Use:   "import [FILE]",
		Short: "Enqueue what 'queue export' has written",
		Long: `Enqueues the jobs and clean-ups of FILE or standard input. A file is checked as a whole before anything is enqueued, and importing it again
enqueues nothing twice. Jobs that are in the queue already stay as they are.` + settingsHelp(redisconn.Config{}) + exitStatus,
		Example: `  REDIS_URL=redis://new.example.org caur-exec queue import queue.jsonl`,
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runImport(cmd.Context(), args) },
	}
	return []*cobra.Command{export, load}
}

func (a *app) runExport(ctx context.Context, args []string) error {
	return a.withQueue(ctx, func(q *queue.Queue) (err error) {
		var out io.Writer = a.io.Out
		if len(args) == 1 {
			f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return fmt.Errorf("queue export: %w", err)
			}
			defer func() {
				if closeErr := f.Close(); err == nil && closeErr != nil {
					err = fmt.Errorf("queue export: %w", closeErr)
				}
			}()
			out = f
		}
		n, err := q.Export(ctx, out)
		if err == nil {
			a.notef("%d jobs were written", n)
		}
		return err
	})
}

func (a *app) runImport(ctx context.Context, args []string) error {
	in := a.io.In
	if len(args) == 1 {
		f, err := os.Open(args[0])
		if err != nil {
			return fmt.Errorf("queue import: %w", err)
		}
		defer f.Close()
		in = f
	}
	return a.withQueue(ctx, func(q *queue.Queue) error {
		e, err := q.Import(ctx, in)
		if err != nil {
			return err
		}
		if e.Duplicate {
			a.notef("nothing was enqueued: this file was imported before")
			return nil
		}
		a.notef("%d jobs were enqueued, %d are in the queue already", len(e.Added), len(e.LeftOut))
		return nil
	})
}
