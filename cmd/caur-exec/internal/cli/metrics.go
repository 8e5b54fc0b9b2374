package cli

import (
	"context"
	"net"

	"github.com/caur-build/caur/cmd/caur-exec/internal/database"
	"github.com/caur-build/caur/cmd/caur-exec/internal/metrics"
	"github.com/caur-build/caur/cmd/caur-exec/internal/notify"
	"github.com/caur-build/caur/internal/command"
)

// measure makes the metrics of this process and serves them on a port of their own. One that is taken, perhaps by another role on the same machine, is no
// reason not to work: the web pages serve them too.
func (w *work) measure(s metrics.Settings) {
	w.metrics = metrics.New(metrics.Options{Settings: s, Snapshot: w.queue.Snapshot, Redis: w.rdb, Version: command.Version(), Log: w.log})
	if s.Port < 0 {
		return
	}
	listener, err := (&net.ListenConfig{}).Listen(w.ctx, "tcp", s.Address())
	if err != nil {
		w.log.Warn("metrics have no port of their own; METRICS_PORT chooses another, -1 none", "error", err)
		return
	}
	w.log.Info("metrics are served", "address", listener.Addr().String())
	w.role("metrics", func(ctx context.Context) error { return w.metrics.Serve(ctx, listener) })
}

// observe lets the metrics see what the database role does.
func (w *work) observe(s *database.Settings) database.Option {
	w.metrics.Publishing(s.RepoPath, s.TargetRepoNames())
	w.role("metrics", func(ctx context.Context) error { return w.metrics.Follow(ctx, w.queue) })
	w.role("metrics", w.metrics.WatchSizes)
	return database.WithObserver(w.metrics)
}

// notify tells forges and people.
func (w *work) notify(s notify.Settings) error {
	n, err := notify.New(notify.Options{Settings: s, Queue: w.queue, Redis: w.rdb, Log: w.log})
	if err != nil {
		return err
	}
	w.role("notify", n.Run)
	return nil
}
