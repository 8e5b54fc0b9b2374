package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"

	"github.com/caur-build/caur/cmd/caur-exec/internal/notify"
	"github.com/caur-build/caur/pkg/queue"
)

// Options of Metrics.
type Options struct {
	Settings Settings
	Snapshot func(context.Context) (*queue.Snapshot, error)
	Redis    redis.UniversalClient
	Version  string // of the program
	Log      *slog.Logger
	Now      func() time.Time // nil: time.Now
}

// Metrics is everything that one process exports.
type Metrics struct {
	registry *prometheus.Registry
	handler  http.Handler
	log      *slog.Logger
	counts   *Counts
	publish  *publishing
}

// New makes them. It does not talk to Redis.
func New(opt Options) *Metrics {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	m := &Metrics{registry: prometheus.NewRegistry(), log: opt.Log, counts: NewCounts(opt.Redis, opt.Settings.PerPackage)}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "caur_build_info", Help: "1, with the version of this program.",
		ConstLabels: prometheus.Labels{"version": opt.Version, "go": runtime.Version()}})
	info.Set(1)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info,
		collector{&source{snapshot: opt.Snapshot, outbox: notify.NewOutbox(opt.Redis), counts: m.counts, log: opt.Log, now: opt.Now}})
	// No OpenMetrics: it would add _total to the names that today's scrapers expect.
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(opt.Log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4})
	return m
}

// Handler serves /metrics.
func (m *Metrics) Handler() http.Handler { return m.handler }

// Follow counts builds until ctx ends; for the database role.
func (m *Metrics) Follow(ctx context.Context, q *queue.Queue) error {
	return m.counts.Follow(ctx, q, m.log)
}

const (
	headTime     = 10 * time.Second
	answerTime   = 30 * time.Second
	shutdownTime = 3 * time.Second
)

// Serve answers on l until ctx ends, then returns nil.
func (m *Metrics) Serve(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.handler)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: headTime, ReadTimeout: headTime, WriteTimeout: answerTime, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelDebug)}
	stopped := make(chan struct{})
	release := context.AfterFunc(ctx, func() {
		defer close(stopped)
		ending, cancel := context.WithTimeout(context.Background(), shutdownTime)
		defer cancel()
		if srv.Shutdown(ending) != nil {
			_ = srv.Close() // who scrapes so slowly comes again
		}
	})
	err := srv.Serve(l)
	if release() {
		_ = srv.Close()
		return fmt.Errorf("serve metrics on %s: %w", l.Addr(), err)
	}
	<-stopped
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
