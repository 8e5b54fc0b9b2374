package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-exec/internal/builder"
	"github.com/caur-build/caur/internal/command"
)

func (a *app) builder() *cobra.Command {
	var jobs int
	cmd := &cobra.Command{
		Use:   "builder",
		Short: "Take jobs from the queue and build them in containers",
		Long: `Claims jobs from the queue, builds each in a container, and delivers the packages to the landing zone of the database role.
Where that is, which image builds and which repositories a build needs, the database role tells it.

When it is asked to end, running builds are stopped and their jobs go back to the queue, within 30 seconds. On SIGUSR1 it
takes no more jobs, finishes those that it has, and ends; 'caur-exec drain' asks for the same through the queue.` +
			settingsHelp(builderRole{}) + exitStatus,
		Example: `  BUILDER_HOSTNAME=builder1 SHARED_PATH=/srv/build REDIS_SSH_HOST=repo.example.org REDIS_SSH_USER=builder caur-exec builder
  CONTAINER_ENGINE=podman caur-exec builder --jobs 2`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s builderRole
			s.Builder.Jobs = jobs
			if err := a.load(cmd.Context(), &s); err != nil {
				return err
			}
			drain, stop := drainSignal()
			defer stop()
			return a.run(cmd.Context(), s.Redis, s.Logs, keptLogs{}, s.Builder.Hostname, func(w *work) error {
				w.builder(s.Builder, drain)
				return nil
			})
		},
	}
	cmd.Flags().IntVar(&jobs, "jobs", 0, "builds at once (default $BUILDER_JOBS, else 1)")
	return cmd
}

// drainSignal gives a channel that the first SIGUSR1 closes.
func drainSignal() (drain <-chan struct{}, stop func()) {
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGUSR1)
	go func() {
		if _, ok := <-signals; ok {
			close(done)
		}
	}()
	return done, func() {
		signal.Stop(signals)
		close(signals)
	}
}

func (w *work) builder(s builder.Settings, drain <-chan struct{}) {
	deps := builder.Deps{Queue: w.queue, Logs: w.logs, Log: w.log, Version: command.Version(), Drain: drain}
	w.role("builder", func(ctx context.Context) error { return builder.Run(ctx, s, deps) })
}
