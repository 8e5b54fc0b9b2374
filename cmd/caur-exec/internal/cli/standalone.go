package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-exec/internal/builder"
	"github.com/caur-build/caur/cmd/caur-exec/internal/database"
	"github.com/caur-build/caur/cmd/caur-exec/internal/metrics"
	"github.com/caur-build/caur/cmd/caur-exec/internal/notify"
	"github.com/caur-build/caur/cmd/caur-exec/internal/standalone"
	"github.com/caur-build/caur/cmd/caur-exec/internal/web"
	"github.com/caur-build/caur/internal/redisconn"
	"github.com/caur-build/caur/internal/settings"
)

type allRoles struct {
	Data     string `env:"STANDALONE_DATA, default=/var/lib/caur" help:"directory of the private Redis"`
	Database database.Settings
	Notify   notify.Settings
	Builder  builder.Settings
	Web      web.Settings
	Metrics  metrics.Settings
	Logs     logSettings
	Kept     keptLogs
	Redis    redisconn.Config
}

// redisStopTime bounds how long the private Redis may take to write its last data.
const redisStopTime = 20 * time.Second

func (a *app) standalone() *cobra.Command {
	var flags webFlags
	var data string
	var jobs int
	cmd := &cobra.Command{
		Use:   "standalone",
		Short: "Run all roles in one process, with a private Redis",
		Long: `Runs builder, database and web in one process, for one machine. When no Redis is configured (REDIS_URL, REDIS_HOST or
REDIS_SSH_HOST), it starts a private redis-server or valkey-server that keeps its data in the data directory, listens on the
Unix socket redis.sock there and nowhere else, and ends with this process. Other programs of the same user reach the
queue with REDIS_URL=unix://DATA/redis.sock.

BUILDER_HOSTNAME is the name of this machine unless it is set.` + settingsHelp(allRoles{}) + exitStatus,
		Example: `  export SHARED_PATH=/srv/build REPO_PATH=/srv/repo LANDING_ZONE_PATH=/srv/landing GPG_PATH=/srv/gnupg
  export PACKAGE_REPOS='{"packages": {"url": "https://git.example.org/packages.git"}}' PACKAGE_TARGET_REPOS='{"my-repo": {}}'
  caur-exec standalone --data /var/lib/caur --web-port 8080`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s := allRoles{Data: data}
			s.Builder.Jobs = jobs
			serve := flags.apply(&s.Web)
			return a.runStandalone(cmd.Context(), &s, serve)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&data, "data", "", "`DIRECTORY` of the private Redis (default $STANDALONE_DATA, else /var/lib/caur)")
	cmd.Flags().IntVar(&jobs, "jobs", 0, "builds at once (default $BUILDER_JOBS, else 1)")
	_ = cmd.MarkFlagDirname("data")
	return cmd
}

func (a *app) runStandalone(ctx context.Context, s *allRoles, serve bool) error {
	look := settings.First(lookup(a.io.Getenv), settings.Map(map[string]string{"BUILDER_HOSTNAME": hostname()}))
	if err := settings.Load(ctx, s, look); err != nil {
		return err
	}
	if err := s.hideSecrets(); err != nil {
		return err
	}
	log := a.io.Logger()
	if a.redisConfigured() {
		return a.runAll(ctx, s, serve)
	}
	private, err := standalone.Start(ctx, standalone.Options{Dir: s.Data, Notify: func(e standalone.Event) { tell(log, e) }})
	if err != nil {
		return err
	}
	log.Info("private Redis started", "program", private.Program(), "url", private.URL())
	s.Redis = redisconn.Config{URL: settings.NewSecret(private.URL())}
	err = a.runAll(ctx, s, serve)
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), redisStopTime)
	defer cancel()
	return errors.Join(err, private.Stop(stopCtx))
}

// hideSecrets keeps builds, which see this machine when there is no container engine, away from the queue's socket and
// the signing key. The builder hides the landing zone and GPG_PATH itself.
func (s *allRoles) hideSecrets() error {
	data, err := filepath.Abs(s.Data)
	if err != nil {
		return err
	}
	s.Builder.Hide = append(s.Builder.Hide, data, s.Database.SigningKeyFile)
	return nil
}

func (a *app) runAll(ctx context.Context, s *allRoles, serve bool) error {
	return a.run(ctx, s.Redis, s.Logs, s.Kept, s.Builder.Hostname, func(w *work) error {
		w.measure(s.Metrics)
		if serve {
			if err := w.web(s.Web); err != nil {
				return err
			}
		}
		if err := w.database(s.Database, s.Notify); err != nil {
			return err
		}
		w.builder(s.Builder, nil)
		return nil
	})
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "" // then BUILDER_HOSTNAME is reported as missing
	}
	return name
}

// redisConfigured says whether the environment names a Redis.
func (a *app) redisConfigured() bool {
	for _, name := range []string{"REDIS_URL", "REDIS_HOST", "REDIS_SSH_HOST"} {
		for _, suffix := range []string{"", "_FILE"} {
			if v, ok := a.io.Getenv(name + suffix); ok && v != "" {
				return true
			}
		}
	}
	return false
}

func tell(log *slog.Logger, e standalone.Event) {
	if e.Err == nil {
		log.Info("private Redis runs again")
		return
	}
	log.Error("private Redis has ended; it will be started again", "error", e.Err, "in", fmt.Sprint(e.Pause))
}
