package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/buildlog"
	"github.com/caur-build/caur/pkg/queue"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed assets
var assetFiles embed.FS

// rowsShown bounds the lists of the overview; the counts above them are complete, and the API gives all rows.
const rowsShown = 200

func parsePages() *template.Template {
	functions := template.FuncMap{
		"log": func(j *queue.Job) string { return logLink("", *j) },
		"ago": ago,
		"class": func(c string) string {
			if c == "" {
				return "1"
			}
			return c
		},
	}
	return template.Must(template.New("").Funcs(functions).ParseFS(templateFiles, "templates/*.html"))
}

// ago is a duration for people: 3 s, 12 min, 5 h, 2 d.
func ago(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

func (s *Server) render(w http.ResponseWriter, r *http.Request, name string, data any) {
	var page bytes.Buffer // a template that fails halfway must not leave half a page
	if err := s.pages.ExecuteTemplate(&page, name, data); err != nil {
		s.unavailable(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = page.WriteTo(w) // the client may have gone
}

// logPage shows a log in a terminal view. The log itself is fetched by the page's script, or read as plain text.
func (s *Server) logPage(w http.ResponseWriter, r *http.Request) {
	id, stamp := r.URL.Query().Get("id"), r.URL.Query().Get("timestamp")
	if stamp == "" {
		if _, ok := logKey(w, id, "0"); !ok {
			return
		}
		// Settled once: should the page lose its connection, it must go on with the same log.
		newest, err := s.opt.Logs.Newest(r.Context(), id)
		switch {
		case err == nil:
			stamp = strconv.FormatInt(newest.Timestamp, 10)
		case !errors.Is(err, buildlog.ErrNotFound):
			s.unavailable(w, r, err)
			return
		}
	}
	data := struct {
		Pkgbase, Source string
		Queued          time.Time
	}{Pkgbase: id, Source: "api/logs/" + id}
	if stamp != "" {
		key, ok := logKey(w, id, stamp)
		if !ok {
			return
		}
		data.Source += fmt.Sprintf("/%d", key.Timestamp)
		data.Queued = time.UnixMilli(key.Timestamp).UTC()
	}
	s.render(w, r, "log.html", data)
}

// overview shows what runs, waits and is published, and the builders.
func (s *Server) overview(w http.ResponseWriter, r *http.Request) {
	v, err := s.opt.Queue.get(r.Context())
	if err != nil {
		s.unavailable(w, r, err)
		return
	}
	data := overviewData{Snapshot: v.queue, Now: v.queue.Time, Shown: v.queue.Waiting}
	data.Shown = data.Shown[:min(len(data.Shown), rowsShown)]
	data.More = len(v.queue.Waiting) - len(data.Shown)
	for _, j := range v.queue.Waiting {
		if j.Ready {
			data.Ready++
		}
	}
	s.render(w, r, "overview.html", data)
}

type overviewData struct {
	*queue.Snapshot
	Now         time.Time
	Shown       []queue.WaitingJob
	More, Ready int
}

// Since is the time from t to the moment of the snapshot.
func (d overviewData) Since(t time.Time) time.Duration { return d.Now.Sub(t) }

// Waited is how long a job has waited.
func (d overviewData) Waited(j queue.Job) time.Duration { return d.Since(time.UnixMilli(j.Timestamp)) }

// asset serves a file of the pages. The hash lets browsers keep it and still see an update at once.
func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	body, err := fs.ReadFile(assetFiles, "assets/"+name)
	kind := map[string]string{".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}[path.Ext(name)]
	if err != nil || kind == "" {
		text(w, http.StatusNotFound, "there is no such file")
		return
	}
	sum := sha256.Sum256(body)
	w.Header().Set("Content-Type", kind+"; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:12])+`"`)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(body)))
}
