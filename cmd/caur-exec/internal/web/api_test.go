package web

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/caur-build/caur/cmd/caur-exec/internal/buildlog"
	"github.com/caur-build/caur/cmd/caur-exec/internal/history"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/pkg/queue"
)

// withHistory runs the history of the queue beside the server, and switches the administrator's routes on.
func withHistory(t *testing.T) *site {
	t.Helper()
	var past *history.Index
	s := newSite(t, func(o *Options, _ *limits) {
		past = history.New(o.Control.Events)
		o.History, o.Settings.AdminToken = past, settings.NewSecret(testToken)
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- past.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestEveryRouteAnswersWhatItsDescriptionSays(t *testing.T) {
	s := withHistory(t)
	s.enqueue(job("zlib"), job("c++"))
	s.claim(queue.Builder{Name: "b1", Class: "5"})
	s.finishedLog(key, "text")
	_, text := s.get("/api/openapi.json")
	doc, err := openapi3.NewLoader().LoadFromData([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	doc.Servers = openapi3.Servers{{URL: s.url}}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("{pkgbase}", "p", "{timestamp}", "1700000000000", "{action}", "cancel", "{name}", "style.css", "{$}", "")
	for _, r := range s.table() {
		if r.path == "/api/events" {
			continue // it never ends: see below
		}
		path := fill.Replace(r.path)
		values := url.Values{}
		for _, p := range r.query {
			if p.in == "query" && p.example != "" {
				values.Set(p.name, p.example)
			}
		}
		if len(values) > 0 {
			path += "?" + values.Encode()
		}
		header := []string{"Authorization", "Bearer " + testToken}
		if r.method == "POST" {
			continue // TestAdministratorOverTheAPI
		}
		answer := s.do(r.method, path, header...)
		body, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != 200 {
			t.Errorf("%s %s: %d %.200s, %v", r.method, path, answer.StatusCode, body, err)
			continue
		}
		request, _ := http.NewRequestWithContext(t.Context(), r.method, s.url+path, nil)
		request.Header.Set("Authorization", header[1])
		route, params, err := router.FindRoute(request)
		if err != nil {
			t.Errorf("%s is not described: %v", path, err)
			continue
		}
		input := &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: request, PathParams: params, Route: route,
				Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}},
			Status: answer.StatusCode, Header: answer.Header,
		}
		input.SetBodyBytes(body)
		if r.answers[0].kind == asJS {
			if err := openapi3filter.ValidateResponse(t.Context(), input); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		if got := answer.Header.Get("Content-Type"); !strings.HasPrefix(got, r.answers[0].kind) {
			t.Errorf("%s is %s, described as %s", path, got, r.answers[0].kind)
		}
	}
}

// eventStream reads server-sent events.
type eventStream struct {
	t    *testing.T
	in   *bufio.Scanner
	stop context.CancelFunc
}

func (s *site) stream(t *testing.T, path string, header ...string) *eventStream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s: %d, %v", path, answer.StatusCode, answer.Header)
	}
	return &eventStream{t, bufio.NewScanner(answer.Body), cancel}
}

func (e *eventStream) next() (id, kind, data string) {
	e.t.Helper()
	for e.in.Scan() {
		line := e.in.Text()
		field, value, _ := strings.Cut(line, ": ")
		switch field {
		case "id":
			id = value
		case "event":
			kind = value
		case "data":
			data = value
		case "":
			if kind != "" {
				return id, kind, data
			}
		}
	}
	e.t.Fatalf("the stream ended: %v", e.in.Err())
	return
}

func TestEventsTellWhatHappensAndGoOnAfterTheLastOneSeen(t *testing.T) {
	s := withHistory(t)
	first := s.stream(t, "/api/events")
	s.enqueue(job("zlib"))
	l := s.claim(queue.Builder{Name: "b1", Class: "5"})
	if err := s.queue.Finish(t.Context(), l, queue.Result{Status: queue.Failed, Duration: time.Minute, Failure: &queue.Failure{Class: "compile"}}); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, want := range []string{"queued", "started", "ended"} {
		id, kind, data := first.next()
		var body eventBody
		if err := json.Unmarshal([]byte(data), &body); err != nil || kind != want || body.Kind != want || body.Pkgbase != "zlib" || body.ID != id {
			t.Errorf("got %s %s %s, want %s; %v", id, kind, data, want, err)
		}
		if want == "ended" && (*body.Status != 3 || body.FailedBy != "compile") {
			t.Errorf("ended: %s", data)
		}
		ids = append(ids, id)
	}
	again := s.stream(t, "/api/events", "Last-Event-ID", ids[1])
	if id, kind, _ := again.next(); id != ids[2] || kind != "ended" {
		t.Errorf("after the second came %s %s", id, kind)
	}
	if id, kind, _ := s.stream(t, "/api/events?after=0&pkgbase=zlib").next(); id == ids[0] && kind == "gap" || id != "" && id != ids[0] {
		t.Errorf("from the beginning: %s %s", id, kind)
	}
	for _, bad := range []string{"/api/events?after=x", "/api/events?pkgbase=-x"} {
		if code, _ := s.get(bad); code != 400 {
			t.Errorf("%s: %d", bad, code)
		}
	}
}

func TestEventStreamsAreBounded(t *testing.T) {
	s := newSite(t, func(o *Options, _ *limits) { o.Settings.MaxConnections = 8 })
	one, two := s.stream(t, "/api/events"), s.stream(t, "/api/events")
	if code, _ := s.get("/api/events"); code != 503 {
		t.Errorf("a third: %d", code)
	}
	one.stop()
	two.stop()
}

func TestLogAsEventsKeepsCharactersWholeAndSaysHowItEnded(t *testing.T) {
	s := newSite(t, nil)
	w := s.writer(key)
	stream := s.stream(t, keyPath, "Accept", "text/event-stream")
	io.WriteString(w, "caf\xc3")
	got, last := "", ""
	read := func(until string) {
		for got != until {
			id, kind, data := stream.next()
			var text string
			if err := json.Unmarshal([]byte(data), &text); err != nil || kind != "log" {
				t.Fatalf("%s %s: %v", kind, data, err)
			}
			got, last = got+text, id
		}
	}
	read("caf")
	io.WriteString(w, "\xa9\nnext")
	read("café\nnext")
	if err := w.End(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if id, kind, data := stream.next(); kind != "end" || data != `{"status":3}` || id != last {
		t.Errorf("the end is %s %s %s", id, kind, data)
	}
	if _, _, data := s.stream(t, keyPath, "Accept", "text/event-stream", "Last-Event-ID", "6").next(); data != `"next"` {
		t.Errorf("after byte 6: %s", data)
	}
	if code, _ := s.get(keyPath, "Accept", "text/event-stream", "Last-Event-ID", "99"); code != 416 {
		t.Errorf("behind the end: %d", code)
	}
}

func TestPartsOfALiveLogAreServedWithoutALength(t *testing.T) {
	s := newSite(t, nil)
	w := s.writer(buildlog.Key{Pkgbase: "live", Timestamp: 1})
	io.WriteString(w, "0123456789")
	follower, err := s.logs.Follow(t.Context(), w.Key(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(follower, make([]byte, 10)); err != nil { // it has arrived
		t.Fatal(err)
	}
	follower.Close()
	answer := s.do("GET", "/api/logs/live/1", "Range", "bytes=-4")
	body, err := io.ReadAll(answer.Body)
	if string(body) != "6789" || answer.StatusCode != 206 || answer.Header.Get("Content-Range") != "bytes 6-9/*" || err != nil {
		t.Errorf("%d %q %v, %v", answer.StatusCode, body, answer.Header, err)
	}
	code, times := s.get("/api/logs/live/1/times")
	if code != 200 || !strings.Contains(times, `"size":10`) || !strings.Contains(times, `"marks":[[0,`) || strings.Contains(times, "ended") {
		t.Errorf("times: %d %s", code, times)
	}
	if got := s.do("HEAD", "/api/logs/live").Header; got.Get("X-Log-Size") != "10" || got.Get("X-Log-Timestamp") != "1" || got.Get("X-Log-Status") != "" {
		t.Errorf("head: %v", got)
	}
}

// post sends JSON or a form.
func (s *site) post(path, body string, header ...string) (int, string, http.Header) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), "POST", s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, string(text), answer.Header
}

func TestAdministratorOverTheAPI(t *testing.T) {
	s := withHistory(t)
	s.enqueue(job("zlib"), job("brotli"))
	token := []string{"Authorization", "Bearer " + testToken}
	tests := []struct {
		action, body string
		header       []string
		code         int
	}{
		{"cancel", `{"target":"repo/x86_64/zlib"}`, nil, 401},
		{"cancel", `{"target":"repo/x86_64/zlib"}`, []string{"Authorization", "Bearer wrong"}, 401},
		{"prioritise", `{"target":"repo/x86_64/brotli","priority":7}`, token, 200},
		{"cancel", `{"target":"repo/x86_64/zlib"}`, token, 200},
		{"cancel", `{"target":"repo/x86_64/zlib"}`, token, 404},
		{"retry", `{"target":"repo/x86_64/zlib"}`, token, 200},
		{"drain", `{"target":"b1"}`, token, 200},
		{"explode", `{"target":"b1"}`, token, 400},
		{"drain", `{"target":""}`, token, 400},
		{"drain", `{"target":"b1","more":1}`, token, 400},
		{"drain", `nonsense`, token, 400},
		{"drain", `{"target":"` + strings.Repeat("x", 20<<10) + `"}`, token, 400},
	}
	for _, tt := range tests {
		if code, body, _ := s.post("/api/admin/"+tt.action, tt.body, tt.header...); code != tt.code {
			t.Errorf("%s %.60s: %d %s, want %d", tt.action, tt.body, code, body, tt.code)
		}
	}
	q, err := s.queue.Snapshot(t.Context())
	if err != nil || len(q.Waiting) != 2 || q.Waiting[0].Job.Pkgbase != "brotli" || q.Waiting[0].Job.Priority != 7 {
		t.Errorf("waiting: %+v, %v", q.Waiting, err)
	}
	_, audit := s.get("/api/admin/audit", token...)
	var entries []queue.AuditEntry
	if err := json.Unmarshal([]byte(audit), &entries); err != nil || len(entries) != 5 || entries[4].Action != "prioritise 7" || entries[2].Result == "done" || !strings.Contains(entries[0].Actor, "API from 127.0.0.1") {
		t.Errorf("audit: %s, %v", audit, err)
	}
}

func TestTokensCannotBeTriedQuickly(t *testing.T) {
	s := withHistory(t)
	now := time.Now()
	s.admin.now = func() time.Time { return now }
	codes := map[int]int{}
	for range wrongTokens + 5 {
		code, _, _ := s.post("/api/admin/cancel", "{}", "Authorization", "Bearer guess")
		codes[code]++
	}
	if codes[401] != wrongTokens || codes[429] != 5 {
		t.Errorf("answers: %v", codes)
	}
	if err := s.admin.checkToken(testToken); err == nil {
		t.Error("the right one is taken although guessing goes on")
	}
	now = now.Add(time.Minute)
	if err := s.admin.checkToken(testToken); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

func TestFormsOfOtherSitesAndOldSessionsDoNothing(t *testing.T) {
	s := withHistory(t)
	s.enqueue(job("zlib"))
	own := []string{"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin"}
	_, _, header := s.post("/admin.html", "action=login&token="+url.QueryEscape(testToken), own...)
	cookie := header.Get("Set-Cookie")
	for _, want := range []string{"HttpOnly", "SameSite=Strict"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie %q lacks %s", cookie, want)
		}
	}
	value, _, _ := strings.Cut(cookie, ";")
	form := "action=cancel&target=repo%2Fx86_64%2Fzlib&back=https://evil.example/"
	tests := []struct {
		name   string
		header []string
		code   int
	}{
		{"another site", []string{"Sec-Fetch-Site", "cross-site", "Cookie", value}, 403},
		{"another origin", []string{"Origin", "https://evil.example", "Cookie", value}, 403},
		{"no browser", []string{"Cookie", value}, 403},
		{"no session", []string{"Sec-Fetch-Site", "same-origin"}, 401},
		{"a forged session", []string{"Sec-Fetch-Site", "same-origin", "Cookie", sessionCookie + "=9999999999.00"}, 401},
		{"a session made longer", []string{"Sec-Fetch-Site", "same-origin", "Cookie", strings.Replace(value, "=1", "=2", 1)}, 401},
		{"our own page", []string{"Origin", s.url, "Cookie", value}, 303},
	}
	for _, tt := range tests {
		code, _, header := s.post("/admin.html", form, append([]string{"Content-Type", "application/x-www-form-urlencoded"}, tt.header...)...)
		if code != tt.code || code == 303 && header.Get("Location") != "admin.html" {
			t.Errorf("%s: %d to %q, want %d", tt.name, code, header.Get("Location"), tt.code)
		}
	}
	s.admin.now = func() time.Time { return time.Now().Add(sessionTime + time.Second) }
	if code, _, _ := s.post("/admin.html", form, append(own, "Cookie", value)...); code != 401 {
		t.Errorf("an old session: %d", code)
	}
}

func TestAdministrationIsOffByDefault(t *testing.T) {
	s := newSite(t, nil)
	for _, path := range []string{"/admin.html", "/api/admin/audit"} {
		if code, _ := s.get(path); code != 404 {
			t.Errorf("%s: %d", path, code)
		}
	}
	if code, _, _ := s.post("/api/admin/cancel", "", "Authorization", "Bearer "); code != 405 && code != 404 {
		t.Errorf("an action: %d", code)
	}
	if _, page := s.get("/", "Cookie", sessionCookie+"=9999999999."+s.admin.sign("9999999999")); strings.Contains(page, "Cancel") {
		t.Error("a session of no token is taken")
	}
	weak := &Settings{MaxConnections: 10, AdminToken: settings.NewSecret("short")}
	if problems := weak.Check(); len(problems) != 1 || strings.Contains(fmt.Sprint(problems), "short ") {
		t.Errorf("a short token: %v", problems)
	}
}
