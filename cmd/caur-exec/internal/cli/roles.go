package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/caur-build/caur/cmd/caur-exec/internal/builder"
	"github.com/caur-build/caur/cmd/caur-exec/internal/buildlog"
	"github.com/caur-build/caur/cmd/caur-exec/internal/database"
	"github.com/caur-build/caur/cmd/caur-exec/internal/history"
	"github.com/caur-build/caur/cmd/caur-exec/internal/metrics"
	"github.com/caur-build/caur/cmd/caur-exec/internal/notify"
	"github.com/caur-build/caur/cmd/caur-exec/internal/web"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/redisconn"
	"github.com/caur-build/caur/pkg/queue"
)

type (
	webRole struct {
		Web     web.Settings
		Metrics metrics.Settings
		Logs    logSettings
		Kept    keptLogs
		Redis   redisconn.Config
	}
	builderRole struct {
		Builder builder.Settings
		Logs    logSettings
		Redis   redisconn.Config
	}
	databaseRole struct {
		Database database.Settings
		Notify   notify.Settings
		Web      web.Settings
		Metrics  metrics.Settings
		Logs     logSettings
		Kept     keptLogs
		Redis    redisconn.Config
	}
)

// webFlags are the flags of every role with web pages.
type webFlags struct {
	host string
	port int
	cmd  *cobra.Command
}

func (f *webFlags) add(cmd *cobra.Command) {
	f.cmd = cmd
	cmd.Flags().StringVar(&f.host, "web-host", "", "`ADDRESS` to serve web pages on (default $WEB_HOST, else all)")
	cmd.Flags().IntVar(&f.port, "web-port", 0, "`PORT` to serve web pages on, 0 for none (default $WEB_PORT, else 8080)")
}

// apply puts the flags into the settings, and says whether there shall be web pages.
func (f *webFlags) apply(s *web.Settings) (serve bool) {
	s.Host, s.Port = f.host, f.port
	return f.port != 0 || !f.cmd.Flags().Changed("web-port")
}

func (a *app) web() *cobra.Command {
	var flags webFlags
	cmd := &cobra.Command{
		Use:   "web",
		Short: "Serve logs and the state of the queue",
		Long: `Serves the web pages alone: live build logs, the queue as a page and as JSON, /healthz and /readyz. The database role
serves them too; this is for a machine of its own.` + settingsHelp(webRole{}) + exitStatus,
		Example: `  REDIS_URL=rediss://redis.example.org:6380 REDIS_PASSWORD_FILE=/run/secrets/redis caur-exec web --web-port 8080`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s webRole
			if !flags.apply(&s.Web) {
				return command.Usagef("web: --web-port 0 leaves nothing to do")
			}
			if err := a.load(cmd.Context(), &s); err != nil {
				return err
			}
			return a.run(cmd.Context(), s.Redis, s.Logs, s.Kept, "", func(w *work) error {
				w.measure(s.Metrics)
				return w.web(s.Web)
			})
		},
	}
	flags.add(cmd)
	return cmd
}

func (a *app) database() *cobra.Command {
	var flags webFlags
	cmd := &cobra.Command{
		Use:   "database",
		Short: "Keep the package repositories: sign, publish, clean up; serve web pages",
		Long: `Takes finished packages from the landing zone, signs them, and keeps the databases that pacman reads. It also returns jobs
of dead builders to the queue, tells builders what they need to know, tells forges and people what became of jobs, and serves the web pages. Several may run; one at
a time publishes to a target repo.` + settingsHelp(databaseRole{}) + exitStatus,
		Example: `  export REPO_PATH=/srv/repo LANDING_ZONE_PATH=/srv/landing GPG_PATH=/srv/gnupg
  export PACKAGE_REPOS='{"packages": {"url": "https://git.example.org/packages.git"}}' PACKAGE_TARGET_REPOS='{"my-repo": {}}'
  caur-exec database --web-port 8080`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s databaseRole
			serve := flags.apply(&s.Web)
			if err := a.load(cmd.Context(), &s); err != nil {
				return err
			}
			return a.run(cmd.Context(), s.Redis, s.Logs, s.Kept, "", func(w *work) error {
				w.measure(s.Metrics)
				if err := w.database(s.Database, s.Notify); err != nil {
					return err
				}
				if serve {
					return w.web(s.Web)
				}
				return nil
			})
		},
	}
	flags.add(cmd)
	return cmd
}

// work is what the roles of one process share, and the group they run in.
type work struct {
	ctx       context.Context
	group     *errgroup.Group
	log       *slog.Logger
	rdb       redis.UniversalClient
	queue     *queue.Queue
	logs      *buildlog.Store
	snapshots *web.Snapshots
	metrics   *metrics.Metrics
}

// run connects to Redis, starts roles, and returns when all have ended: because ctx has, or because one failed, which
// ends the others.
func (a *app) run(ctx context.Context, where redisconn.Config, logs logSettings, kept keptLogs, name string, start func(*work) error) error {
	rdb, err := redisconn.Open(ctx, where)
	if err != nil {
		return redisError(err)
	}
	w := &work{log: a.io.Logger(), rdb: rdb, queue: queue.New(rdb)}
	w.snapshots = web.NewSnapshots(w.queue.Snapshot, time.Now)
	w.logs = buildlog.NewStore(rdb, buildlog.Options{
		Retention: logs.Retention.Duration, MaxBytes: logs.MaxMiB << 20, Builder: name, Live: w.snapshots.Live, Path: kept.Path,
	})
	w.group, w.ctx = errgroup.WithContext(ctx)
	w.role("logs", func(ctx context.Context) error { return w.logs.Keep(ctx, w.tellOfLogs) })
	if err = start(w); err != nil {
		w.group.Go(func() error { return err }) // ends those that were started before it
	}
	err = w.group.Wait()
	w.logs.Close()
	if closeErr := rdb.Close(); closeErr != nil {
		w.log.Debug("close the connection to Redis", "error", closeErr)
	}
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		w.log.Info("ended in order")
		return nil
	}
	return err
}

// tellOfLogs tells that logs could not be moved to LOGS_PATH, or be removed there.
func (w *work) tellOfLogs(err error) {
	if errors.Is(err, buildlog.ErrForbidden) {
		w.log.Info("this role reads LOGS_PATH and moves no logs there: its Redis user may not; the database role's may", "error", err)
		return
	}
	w.log.Error("logs could not be moved to LOGS_PATH; they stay in Redis and it is tried again", "error", err)
}

func (w *work) role(name string, run func(context.Context) error) {
	w.group.Go(func() error {
		if err := run(w.ctx); err != nil && w.ctx.Err() == nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

func (w *work) database(s database.Settings, n notify.Settings) error {
	observer := w.observe(&s)
	w.role("database", func(ctx context.Context) error { return database.Run(ctx, s, w.queue, w.log, observer) })
	return w.notify(n)
}

// web listens before it returns, so that an address that is taken is known before other roles begin to work.
func (w *work) web(s web.Settings) error {
	listener, err := (&net.ListenConfig{}).Listen(w.ctx, "tcp", s.Address())
	if err != nil {
		return fmt.Errorf("serve web pages: %w (WEB_PORT or --web-port chooses another port)", err)
	}
	past := history.New(w.queue.Events)
	w.role("history", past.Run)
	server := web.New(web.Options{
		Settings: s, Queue: w.snapshots, Logs: w.logs, Log: w.log, History: past, Control: w.queue,
		Ping: func(ctx context.Context) error { return w.rdb.Ping(ctx).Err() },
	})
	server.AddMetrics(w.metrics.Handler())
	w.log.Info("web pages are served", "address", listener.Addr().String())
	w.role("web", func(ctx context.Context) error { return server.Serve(ctx, listener) })
	return nil
}
