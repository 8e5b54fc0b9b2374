package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/caur-build/caur/pkg/queue"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed assets
var assetFiles embed.FS

// Head is what every page has.
type Head struct {
	Title, Nav string
	Query      string // in the search field
	Here       string // this page, relative: where forms lead back to
	AdminOn    bool   // there is an administrator's token
	Admin      bool   // who asks has given it
	Now        time.Time
}

func (s *Server) head(r *http.Request, title, nav string) Head {
	here := path.Base(r.URL.Path)
	if !strings.HasSuffix(here, ".html") {
		here = "./"
	} else if r.URL.RawQuery != "" {
		here += "?" + r.URL.RawQuery
	}
	return Head{Title: title, Nav: nav, Here: here, AdminOn: s.admin.enabled, Admin: s.admin.loggedIn(r), Now: s.now().UTC()}
}

func parsePages() *template.Template {
	functions := template.FuncMap{
		"log":    func(j queue.Job) string { return logLink("", j) },
		"logptr": func(j *queue.Job) string { return logLink("", *j) },
		"ago":    ago,
		"span":   span,
		"base":   base,
		"state":  statusState,
		"pkg":    func(name string) string { return "package.html?name=" + url.QueryEscape(name) },
		"bld":    func(name string) string { return "builder.html?name=" + url.QueryEscape(name) },
		"class": func(c string) string {
			if c == "" {
				return "1"
			}
			return c
		},
		"icon": func(state string) string { return icons[state] },
		"utc":  func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") },
		"date": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" },
		"badge": func(state, text string) badge {
			return badge{state, text}
		},
		"act": func(h Head, action, target, label string) actForm { return actForm{h, action, target, label} },
	}
	return template.Must(template.New("").Funcs(functions).ParseFS(templateFiles, "templates/*.html"))
}

// badge is a state with its sign and word: colour never says it alone.
type badge struct{ State, Text string }

// actForm is a button of an administrator.
type actForm struct {
	Head                  Head
	Action, Target, Label string
}

var icons = map[string]string{"good": "✓", "bad": "✕", "running": "▶", "ready": "●", "blocked": "◌", "held": "‖", "publishing": "↑", "off": "–", "drained": "‖", "warn": "!"}

// statusState is the look of an end state.
func statusState(s queue.Status) string {
	switch {
	case s.Good():
		return "good"
	case s == queue.Canceled || s == queue.CanceledRequeued:
		return "off"
	}
	return "bad"
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

// span is a duration to compare with others: 0:07, 12:30, 1:02:03.
func span(d time.Duration) string {
	seconds := int(max(d, 0).Round(time.Second).Seconds())
	if seconds < 3600 {
		return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
}

func (s *Server) render(w http.ResponseWriter, r *http.Request, name string, data any) {
	var page bytes.Buffer // a template that fails halfway must not leave half a page
	if err := s.pages.ExecuteTemplate(&page, name, data); err != nil {
		s.unavailable(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Vary", "Cookie")
	_, _ = page.WriteTo(w) // the client may have gone
}

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
