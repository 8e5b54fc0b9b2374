package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

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
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")                               // nginx would hold a live log back
	h.Set("X-Log-Timestamp", strconv.FormatInt(key.Timestamp, 10)) // the newest is not the newest for long
	h.Set("X-Log-Size", strconv.FormatInt(info.Size, 10))
	if !info.Ended.IsZero() {
		h.Set("X-Log-Status", strconv.Itoa(info.Status))
	}
	if strings.Contains(r.Header.Get("Accept"), sse) {
		from, err := strconv.ParseInt(cmp.Or(r.Header.Get("Last-Event-ID"), r.URL.Query().Get("offset"), "0"), 10, 64)
		if err != nil || from < 0 || from > info.Size {
			text(w, http.StatusRequestedRangeNotSatisfiable, errRange.Error())
			return
		}
		s.streamEvents(w, r, key, from)
		return
	}
	p, err := partOf(r, info)
	if err != nil {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", info.Size))
		text(w, http.StatusRequestedRangeNotSatisfiable, err.Error())
		return
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	total := "*" // of a log that grows
	if !info.Ended.IsZero() {
		total = strconv.FormatInt(info.Size, 10)
		h.Set("Accept-Ranges", "bytes")
		if p.to < 0 {
			h.Set("Content-Length", strconv.FormatInt(info.Size-p.from, 10))
		}
	}
	if p.code == http.StatusPartialContent {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%s", p.from, p.to-1, total))
		h.Set("Content-Length", strconv.FormatInt(p.to-p.from, 10))
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(p.code)
		return
	}
	s.stream(w, r, key, p)
}
