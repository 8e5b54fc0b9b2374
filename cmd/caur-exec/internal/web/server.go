package web

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/buildlog"
	"github.com/caur-build/caur/cmd/caur-exec/internal/history"
	"github.com/caur-build/caur/pkg/queue"
)

const (
	maxHeader = 16 << 10 // bytes
	readyTime = 2 * time.Second
)

// limits are the times that clients may take.
type limits struct {
	header   time.Duration // to send a request's head
	idle     time.Duration // between requests of one connection
	write    time.Duration // to read one piece of an answer
	shutdown time.Duration // to read the rest, when the server ends
}

var usualLimits = limits{header: 10 * time.Second, idle: time.Minute, write: 30 * time.Second, shutdown: 10 * time.Second}

// Options of a Server.
type Options struct {
	Settings Settings
	Queue    *Snapshots
	Logs     *buildlog.Store
	History  *history.Index // the caller runs it
	// Control does what administrators ask for, and keeps the audit log. Used only with Settings.AdminToken.
	Control *queue.Queue
	// Ping says whether Redis can be reached.
	Ping func(context.Context) error
	Log  *slog.Logger
}

// Server serves the routes.
type Server struct {
	opt       Options
	limits    limits
	pages     *template.Template
	streams   chan struct{} // one slot for each open log stream
	listeners chan struct{} // one slot for each client that follows events
	versions  *versions
	admin     *admin
	now       func() time.Time
	ending    context.Context
	end       context.CancelFunc
	handler   http.Handler
}

// New makes a server. It serves nothing until Serve is called; Handler works at once.
func New(opt Options) *Server {
	s := &Server{opt: opt, limits: usualLimits, pages: parsePages(),
		streams: make(chan struct{}, max(1, opt.Settings.MaxConnections*3/4)), listeners: make(chan struct{}, max(1, opt.Settings.MaxConnections/4)),
		versions: newVersions(opt.Settings.RepoPath), admin: newAdmin(opt.Settings.AdminToken), now: time.Now}
	if s.opt.History == nil {
		s.opt.History = history.New(nil)
	}
	s.ending, s.end = context.WithCancel(context.Background())
	s.handler = s.protect(s.routes())
	return s
}

// Handler is the whole site.
func (s *Server) Handler() http.Handler { return s.handler }

// Serve answers requests on l until ctx ends, then lets answers under way finish, cuts log streams off, and returns nil.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: s.limits.header, IdleTimeout: s.limits.idle, WriteTimeout: s.limits.write,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.opt.Log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	release := context.AfterFunc(ctx, func() {
		s.end()
		ctx, cancel := context.WithTimeout(context.Background(), s.limits.shutdown)
		defer cancel()
		err := srv.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, srv.Close())
		}
		stopped <- err
	})
	err := srv.Serve(&boundedListener{Listener: l, free: make(chan struct{}, s.opt.Settings.MaxConnections)})
	if release() { // it ended by itself
		s.end()
		_ = srv.Close()
		return fmt.Errorf("serve web pages on %s: %w", l.Addr(), err)
	}
	if err := <-stopped; err != nil {
		s.opt.Log.Warn("some web clients were cut off", "error", err)
	}
	return nil
}

func healthz(w http.ResponseWriter, _ *http.Request) {
	text(w, http.StatusOK, "ok")
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTime)
	defer cancel()
	if err := s.opt.Ping(ctx); err != nil {
		s.opt.Log.Warn("not ready: Redis does not answer", "error", err)
		text(w, http.StatusServiceUnavailable, "Redis does not answer")
		return
	}
	text(w, http.StatusOK, "ok")
}

// text answers with one line of plain text.
func text(w http.ResponseWriter, code int, line string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	w.WriteHeader(code)
	fmt.Fprintln(w, line)
}

// unavailable answers when Redis does not; the reason is for the operator alone.
func (s *Server) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the client has gone
	}
	s.opt.Log.Error("cannot answer a web request", "path", r.URL.Path, "error", err)
	w.Header().Set("Retry-After", "5")
	text(w, http.StatusServiceUnavailable, "the queue cannot be reached at the moment, try again soon")
}
