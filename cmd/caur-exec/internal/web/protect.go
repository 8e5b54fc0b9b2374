package web

import (
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// policy allows what the pages need: their own files, and nothing inline or from elsewhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

const (
	bodyTime = 5 * time.Second // that the body of a request may take
	maxBody  = 16 << 10        // bytes, of the few requests that have one
)

// protect sets the headers of every answer and refuses what no route wants before it gets to one.
func (s *Server) protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		if s.takesBody(r) {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime)) // fails in tests without a connection
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		} else if r.ContentLength != 0 {
			// Reading the rest of a body has no time limit of its own in net/http.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime)) // fails in tests without a connection
			h.Set("Connection", "close")
			text(w, http.StatusRequestEntityTooLarge, "a request like this has no body")
			return
		}
		if !plainPath(r.URL.Path) {
			text(w, http.StatusBadRequest, "not a path of this site")
			return
		}
		if strings.Contains(r.URL.Path, "/api/") {
			s.allowOrigin(w, r)
			if r.Method == http.MethodOptions {
				h.Set("Allow", "GET, HEAD, OPTIONS")
				w.WriteHeader(http.StatusNoContent)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// plainPath refuses what ServeMux would answer with a redirect to a cleaned path: that redirect is absolute and would
// leave the prefix of a reverse proxy.
func plainPath(path string) bool {
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "\\\x00") || strings.Contains(path, "//") {
		return false
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "." || part == ".." {
			return false
		}
	}
	return true
}

// allowOrigin lets pages of the configured origins read the answer. Nothing here depends on cookies, so none are allowed.
func (s *Server) allowOrigin(w http.ResponseWriter, r *http.Request) {
	origins := s.opt.Settings.Origins
	if len(origins) == 0 {
		return
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	switch {
	case slices.Contains(origins, "*"):
		h.Set("Access-Control-Allow-Origin", "*")
	case origin != "" && slices.Contains(origins, origin):
		h.Set("Access-Control-Allow-Origin", origin)
	default:
		return
	}
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "Range, Cache-Control, Last-Event-ID")
	h.Set("Access-Control-Expose-Headers", "Content-Length, Content-Range, Retry-After, X-Log-Size, X-Log-Status")
	h.Set("Access-Control-Max-Age", "86400")
}

// boundedListener answers connections above its limit with 503 at once: waiting in the kernel's line, they would look
// like a dead server.
type boundedListener struct {
	net.Listener
	free chan struct{}
}

const overloaded = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 5\r\n" +
	"Content-Length: 39\r\nConnection: close\r\n\r\ntoo many connections, try again later.\n"

func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.free <- struct{}{}:
			return &boundedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.free })}, nil
		default:
			// The answer fits the empty send buffer of a new connection; the deadline is for the case that it does not.
			_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			_, _ = io.WriteString(conn, overloaded)
			_ = conn.Close()
		}
	}
}

type boundedConn struct {
	net.Conn
	release func()
}

func (c *boundedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
