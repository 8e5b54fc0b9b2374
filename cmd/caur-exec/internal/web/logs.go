package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/buildlog"
)

// What can be a package name and a timestamp (executor.md section 5).
var (
	nameSyntax  = regexp.MustCompile(`^[a-z0-9._+@-]+$`)
	stampSyntax = regexp.MustCompile(`^[0-9]+$`)
)

const (
	maxName  = 255 // bytes, as of a file name
	maxStamp = 16  // digits
)

func validName(name string) bool {
	return len(name) <= maxName && nameSyntax.MatchString(name) && !strings.HasPrefix(name, "-") && !strings.Contains(name, "..")
}

// logKey checks name and timestamp; when they are wrong it answers and gives false.
func logKey(w http.ResponseWriter, name, stamp string) (buildlog.Key, bool) {
	if !validName(name) {
		text(w, http.StatusBadRequest, "not a package name")
		return buildlog.Key{}, false
	}
	if len(stamp) > maxStamp || !stampSyntax.MatchString(stamp) {
		text(w, http.StatusBadRequest, "not a timestamp: it is the number of milliseconds since 1970")
		return buildlog.Key{}, false
	}
	number, _ := strconv.ParseInt(stamp, 10, 64) // sixteen digits fit
	return buildlog.Key{Pkgbase: name, Timestamp: number}, true
}

func (s *Server) log(w http.ResponseWriter, r *http.Request) {
	if key, ok := logKey(w, r.PathValue("pkgbase"), r.PathValue("timestamp")); ok {
		s.serveLog(w, r, key)
	}
}

func (s *Server) newestLog(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("pkgbase")
	if _, ok := logKey(w, name, "0"); !ok {
		return
	}
	key, err := s.opt.Logs.Newest(r.Context(), name)
	if err != nil {
		s.noLog(w, r, err)
		return
	}
	s.serveLog(w, r, key)
}

func (s *Server) noLog(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, buildlog.ErrNotFound) {
		text(w, http.StatusNotFound, "there is no such log (yet, or any more)")
		return
	}
	s.unavailable(w, r, err)
}

func (s *Server) serveLog(w http.ResponseWriter, r *http.Request, key buildlog.Key) {
	info, err := s.opt.Logs.Info(r.Context(), key)
	if err != nil {
		s.noLog(w, r, err)
		return
	}
	offset, partial, ok := startOf(r, info)
	if !ok {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", info.Size))
		text(w, http.StatusRequestedRangeNotSatisfiable, "the log does not reach that far")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // nginx would hold a live log back
	code := http.StatusOK
	if !info.Ended.IsZero() {
		h.Set("Accept-Ranges", "bytes")
		h.Set("Content-Length", strconv.FormatInt(max(info.Size-offset, 0), 10))
		if partial {
			code = http.StatusPartialContent
			h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", offset, info.Size-1, info.Size))
		}
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(code)
		return
	}
	s.stream(w, r, key, offset, code)
}

// startOf gives the byte to begin with: ?offset=N, or "Range: bytes=N-" of a log that has ended (what curl -C sends).
// Other ranges are ignored, as RFC 9110 allows; a growing log has no length to state in a range.
func startOf(r *http.Request, info buildlog.Info) (offset int64, partial, ok bool) {
	if v := r.URL.Query().Get("offset"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		return n, false, err == nil && n >= 0 && n <= info.Size
	}
	from, isRange := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	if digits, open := strings.CutSuffix(from, "-"); isRange && open && !info.Ended.IsZero() {
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil && n >= 0 {
			return n, true, n < info.Size
		}
	}
	return 0, false, true
}

// stream sends a log until its END. Each piece goes out at once; a client that does not read it in time is dropped.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, key buildlog.Key, offset int64, code int) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		w.Header().Del("Content-Length")
		w.Header().Set("Retry-After", "10")
		text(w, http.StatusServiceUnavailable, "too many logs are being read, try again soon")
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ending, cancel)()
	follower, err := s.opt.Logs.Follow(ctx, key, offset)
	if err != nil {
		w.Header().Del("Content-Length")
		s.noLog(w, r, err)
		return
	}
	defer follower.Close()

	out := http.NewResponseController(w)
	w.WriteHeader(code)
	for {
		if err = out.SetWriteDeadline(time.Now().Add(s.limits.write)); err == nil {
			err = out.Flush()
		}
		if err != nil {
			return // the client has gone
		}
		data, err := follower.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = out.SetWriteDeadline(time.Now().Add(s.limits.write))
		}
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			s.opt.Log.Debug("log stream ended early", "log", key.String(), "error", err)
			panic(http.ErrAbortHandler) // a normal end would look like the log's
		}
	}
}
