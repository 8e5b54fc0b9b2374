package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/redisconn"
	"github.com/caur-build/caur/pkg/queue"
)

// drainLook is how often a drained builder is looked at beside what the queue's events tell.
const drainLook = 10 * time.Second

func (a *app) drain() *cobra.Command {
	var off, wait bool
	cmd := &cobra.Command{
		Use:   "drain [--off | --wait] BUILDER",
		Short: "Let a builder take no more jobs",
		Long: `From now on the builder of that name (its BUILDER_HOSTNAME) gets no more jobs; what it builds it finishes. The queue remembers
that, also while the builder is down, until 'drain --off' ends it. With --wait the command returns when the builder has no
build any more, so that the machine can be taken away.` + settingsHelp(redisconn.Config{}) + exitStatus,
		Example: `  caur-exec drain --wait builder1 && ssh builder1 reboot
  caur-exec drain --off builder1`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if off && wait {
				return command.Usagef("drain: --off or --wait, not both")
			}
			return a.withQueue(cmd.Context(), func(q *queue.Queue) error { return a.runDrain(cmd.Context(), q, args[0], off, wait) })
		},
	}
	cmd.Flags().BoolVar(&off, "off", false, "let it take jobs again")
	cmd.Flags().BoolVar(&wait, "wait", false, "return when it has no build any more")
	return cmd
}

func (a *app) runDrain(ctx context.Context, q *queue.Queue, builder string, off, wait bool) error {
	if err := q.Drain(ctx, builder, !off); err != nil {
		return err
	}
	snapshot, err := q.Snapshot(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(snapshot.Builders, func(b queue.BuilderState) bool { return b.Builder.Name == builder && b.LastSeen.Unix() > 0 }) {
		a.notef("warning: no builder called %s was seen lately", builder)
	}
	if off {
		a.notef("%s takes jobs again", builder)
		return nil
	}
	jobs := jobsOf(snapshot, builder)
	a.notef("%s takes no more jobs and has %d builds", builder, len(jobs))
	for wait && len(jobs) > 0 {
		a.notef("waiting for %s", strings.Join(jobs, " "))
		if err := waitForBuilder(ctx, q, builder); err != nil {
			return err
		}
		if snapshot, err = q.Snapshot(ctx); err != nil {
			return err
		}
		jobs = jobsOf(snapshot, builder)
	}
	return nil
}

// jobsOf lists what a builder has.
func jobsOf(s *queue.Snapshot, builder string) (ids []string) {
	for _, j := range s.Running {
		if j.Builder == builder {
			ids = append(ids, j.Job.ID())
		}
	}
	return ids
}

// waitForBuilder returns when a job of the builder has ended in any way, at the latest after drainLook. What happened
// before the first event was read is seen at the next look.
func waitForBuilder(ctx context.Context, q *queue.Queue, builder string) error {
	look, cancel := context.WithTimeout(ctx, drainLook)
	defer cancel()
	for e, err := range q.Events(look, "$") {
		if err != nil {
			return err
		}
		if e.Builder == builder && e.Kind != queue.EventStarted {
			return nil
		}
	}
	return ctx.Err()
}
