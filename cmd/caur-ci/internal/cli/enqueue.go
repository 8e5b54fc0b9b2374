package cli

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/plan"
)

func (a *app) enqueue() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "enqueue PLAN",
		Short: "Hand a plan file to the queue",
		Long: `Reads a plan that 'on-commit --plan' or 'schedule --plan' wrote, and hands it to the queue: all of it or nothing. It
needs the queue's settings only; no token of the repository, and a repository only for the settings in its .ci/config.

The queue accepts a plan once, so the same file can be handed over again when it is not sure that it arrived. Plans of
another version of the format are refused.` + exitStatus,
		Example: `  caur-ci on-commit --plan plan.json   # a job that may push to the repository
  caur-ci enqueue plan.json            # a job that may reach the queue`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runEnqueue(cmd.Context(), args[0], asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "report as JSON")
	return cmd
}

func (a *app) runEnqueue(ctx context.Context, file string, asJSON bool) error {
	p, err := plan.Read(file)
	if err != nil {
		return err
	}
	cfg, err := a.anyConfig(ctx)
	if err != nil {
		return err
	}
	done, err := a.enqueuePlan(ctx, cfg, p)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(a.io.Out).Encode(scheduleReport{Plan: p, Enqueued: replyOf(done)})
	}
	return nil
}
