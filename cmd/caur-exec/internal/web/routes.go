package web

import (
	"net/http"
	"strings"

	"github.com/caur-build/caur/pkg/queue"
)

// route is one route: what serves it, and what the API's description says of it. The server and openapi.json are made of
// the same table, so that they cannot differ.
type route struct {
	method, path string
	serve        http.HandlerFunc
	summary      string
	query        []param  // of the query and of headers; those of the path are read from it
	body         any      // a value of what is sent as JSON; nil for nothing
	answers      []answer // the codes that a client must expect
	admin        bool     // wants the administrator's token
}

type param struct{ name, in, about, example string }

type answer struct {
	code  int
	kind  string // content type; empty for an answer without body
	about string
	value any // what JSON it is; nil for text
}

const (
	plain = "text/plain"
	asJS  = "application/json"
	page  = "text/html"
	sse   = "text/event-stream"
)

var (
	away     = answer{503, plain, "the queue cannot be reached, or too many clients are served", nil}
	badName  = answer{400, plain, "not a package name or timestamp", nil}
	noSuch   = answer{404, plain, "there is no such thing", nil}
	logQuery = []param{
		{"offset", "query", "byte to begin with", "0"},
		{"Range", "header", "bytes=FROM-, bytes=FROM-TO or bytes=-LAST", ""},
		{"Last-Event-ID", "header", "with Accept: text/event-stream, the byte to go on with", ""},
	}
	logAnswers = []answer{
		{200, plain, "the log, growing until the build ends; with Accept: text/event-stream as events log and end", nil},
		{206, plain, "the part that was asked for", nil}, badName, noSuch, {416, plain, "the log does not reach that far", nil}, away,
	}
)

func (s *Server) table() []route {
	const get = http.MethodGet
	return append([]route{
		{get, "/api/logs/{pkgbase}/{timestamp}", s.log, "A log, while it grows", logQuery, nil, logAnswers, false},
		{get, "/api/logs/{pkgbase}/{timestamp}/times", s.logTimes, "When a log was how long", nil, nil, []answer{{200, asJS, "marks", timesBody{}}, badName, noSuch, away}, false},
		{get, "/api/logs/{pkgbase}", s.newestLog, "The newest log of a package", logQuery, nil, logAnswers, false},
		{get, "/api/queue/stats", s.queueJSON(stats), "What runs, waits and is published, and who is idle", nil, nil, []answer{{200, asJS, "the queue", statsBody{}}, away}, false},
		{get, "/api/queue/packages", s.queueJSON(packages), "Packages that run or wait", nil, nil, []answer{{200, asJS, "a list of objects with one key, the pkgbase", []map[string]packageInfo{}}, away}, false},
		{get, "/api/queue/metrics", s.queueJSON(metrics), "Counters since the queue began", nil, nil, []answer{{200, asJS, "counters", metricsBody{}}, away}, false},
		{get, "/api/packages/{pkgbase}", s.packageJSON, "Past builds of a package, newest first", nil, nil, []answer{{200, asJS, "builds", []buildBody{}}, badName}, false},
		{get, "/api/events", s.events, "What happens to jobs, as server-sent events", []param{
			{"Last-Event-ID", "header", "go on after this event", ""}, {"after", "query", "the same, for clients that cannot set the header", "0"},
			{"pkgbase", "query", "events of this package only", "linux"}},
			nil, []answer{{200, sse, "events queued, started, requeued, delivered, ended, gap; a comment as heartbeat", nil}, {400, plain, "not an event's ID or a package name", nil}, away}, false},
		{get, "/api/openapi.json", s.openapi, "This description", nil, nil, []answer{{200, asJS, "OpenAPI 3.0", map[string]any{}}}, false},
		{get, "/{$}", s.overview, "The overview", nil, nil, []answer{{200, page, "a page", nil}, away}, false},
		{get, "/queue.html", s.queuePage, "All jobs that wait", []param{{"q", "query", "names that contain this", ""}}, nil, []answer{{200, page, "a page", nil}, away}, false},
		{get, "/graph.html", s.graphPage, "What waits on what", nil, nil, []answer{{200, page, "a page", nil}, away}, false},
		{get, "/package.html", s.packagePage, "A package and its builds", []param{{"name", "query", "pkgbase", "linux"}}, nil, []answer{{200, page, "a page", nil}, badName, away}, false},
		{get, "/builder.html", s.builderPage, "A builder and its builds", []param{{"name", "query", "name of the builder", "box"}}, nil, []answer{{200, page, "a page", nil}, {400, plain, "not a builder's name", nil}, away}, false},
		{get, "/failures.html", s.failuresPage, "Failures of the last day by cause", nil, nil, []answer{{200, page, "a page", nil}, away}, false},
		{get, "/search.html", s.searchPage, "Search for packages and builders", []param{{"q", "query", "what to look for", "linux"}}, nil, []answer{{200, page, "a page", nil}, away}, false},
		{get, "/logs.html", s.logPage, "A log in a terminal view", []param{{"id", "query", "pkgbase", "linux"}, {"timestamp", "query", "of the job; without it the newest", ""}}, nil, []answer{{200, page, "a page", nil}, badName, away}, false},
		{get, "/assets/{name}", s.asset, "Scripts and styles of the pages", nil, nil, []answer{{200, "text/css", "a file", nil}, noSuch}, false},
		{get, "/healthz", healthz, "Is the process alive", nil, nil, []answer{{200, plain, "ok", nil}}, false},
		{get, "/readyz", s.readyz, "Does Redis answer", nil, nil, []answer{{200, plain, "ok", nil}, away}, false},
	}, s.adminTable()...)
}

func (s *Server) adminTable() []route {
	if s.opt.Settings.AdminToken.IsZero() {
		return nil
	}
	const post = http.MethodPost
	answers := []answer{{200, asJS, "what was done", actionBody{}}, {400, plain, "not such a request", nil}, {401, plain, "the token is missing or wrong", nil},
		{404, plain, "no such job", nil}, {429, plain, "too many wrong tokens", nil}, away}
	return []route{
		{post, "/api/admin/{action}", s.adminAPI, "cancel, retry, release, prioritise a job; drain, undrain a builder", nil, actionRequest{}, answers, true},
		{http.MethodGet, "/api/admin/audit", s.auditJSON, "What administrators did, newest first", nil, nil, []answer{{200, asJS, "entries", []queue.AuditEntry{}},
			{401, plain, "the token is missing or wrong", nil}, {429, plain, "too many wrong tokens", nil}, away}, true},
		{http.MethodGet, "/admin.html", s.adminPage, "Log in; what administrators did", nil, nil, []answer{{200, page, "a page", nil}, away}, false},
		{post, "/admin.html", s.adminForm, "A form of a page", nil, nil, []answer{{303, "", "done: where to go", nil}, {400, plain, "not such a form", nil},
			{401, plain, "not logged in, or a wrong token", nil}, {403, plain, "the form came from another site", nil}, {429, plain, "too many wrong tokens", nil}, away}, false},
	}
}

func (s *Server) routes() http.Handler {
	site := http.NewServeMux()
	for _, r := range s.table() {
		site.HandleFunc(r.method+" "+r.path, r.serve)
	}
	all := http.NewServeMux()
	all.Handle("/", site)
	all.Handle("/logs/", http.StripPrefix("/logs", site))
	all.HandleFunc("GET /logs", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "logs/") // relative; http.Redirect would make it absolute
		w.WriteHeader(http.StatusFound)
	})
	return all
}

// takesBody says which requests may have a body.
func (s *Server) takesBody(r *http.Request) bool {
	if r.Method != http.MethodPost || s.opt.Settings.AdminToken.IsZero() {
		return false
	}
	path := strings.TrimPrefix(r.URL.Path, "/logs")
	return path == "/admin.html" || strings.HasPrefix(path, "/api/admin/")
}
