package testenv

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// MergeRequest is a merge request of GitLab, or a pull request of GitHub.
type MergeRequest struct {
	Number           int // 0: the next one
	Branch, Target   string
	Title, Body      string
	State            string // "open", "closed" or "merged"; "": open
	HeadSHA          string // follows the branch, unless there is no such branch
	Author           string
	Labels           []string
	Assignees        []string // GitLab: user ids, GitHub: logins
	Fork             bool     // comes from another repository
	RemoveBranch     bool     // when merged (GitLab)
	Collaboration    bool
	Comments         []Comment
	Created, Updated time.Time

	tracked bool // its branch was seen
}

// Comment is something said in a merge request: at a line, of a file, or of the whole.
type Comment struct {
	ID       int // 0: the next one
	Author   string
	Bot      bool
	Text     string
	File     string
	Line     int    // in the new file
	Commit   string // that File and Line are of
	Resolved bool
	Review   bool // GitHub: a review comment; GitLab: a discussion, which can be resolved
}

// Sent is a request that a fake forge has received.
type Sent struct {
	Method, Path string
	Query        url.Values
	Body         string
	Status       int // of the answer
}

// Fault is a failure that a fake forge shows to the next requests of this kind.
type Fault struct {
	Method string // "": any
	Path   string // a part of the path; "": any
	Skip   int    // so many requests of the kind come through before
	Times  int    // how often; 0: once
	Status int
	Header map[string]string
	Body   string
	Act    bool // do what was asked before failing: the answer gets lost
	Drop   bool // close the connection instead of answering
}

// forgeHost is what the fakes of GitLab and GitHub share. It is strict: what the real one would not understand fails the test.
type forgeHost struct {
	Token string // that is let in
	Dir   string // the bare repository whose branches the merge requests are of

	t       testing.TB
	server  *httptest.Server
	refuse  func(w http.ResponseWriter, status int, message string)
	headers func(http.Header) // that every answer has

	mu       sync.Mutex
	requests map[int]*MergeRequest
	sent     []Sent
	faults   []*Fault
	lastID   int
	pageSize int    // largest
	user     string // who the token belongs to, "" when it has no user
	readOnly bool
}

// startForge serves routes for everybody who has the token, which authorized looks for.
func startForge(t testing.TB, dir, token string, routes *http.ServeMux, authorized func(*http.Request) bool) *forgeHost {
	Need(t, "git")
	f := &forgeHost{Token: token, Dir: dir, t: t, requests: map[int]*MergeRequest{}, pageSize: 100, user: "caur-bot"}
	routes.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		f.wrong(w, r, "no such method and path")
	})
	f.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client is gone
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		f.mu.Lock()
		defer f.mu.Unlock()
		answer := httptest.NewRecorder()
		f.headers(answer.Header())
		fault := f.takeFault(r)
		switch {
		case fault != nil && !fault.Act:
		case !authorized(r):
			f.refuse(answer, http.StatusUnauthorized, "")
		case f.readOnly && r.Method != http.MethodGet:
			f.refuse(answer, http.StatusForbidden, "")
		default:
			f.follow()
			routes.ServeHTTP(answer, r)
		}
		f.send(w, r, string(body), answer, fault)
	}))
	t.Cleanup(f.server.Close)
	return f
}

// send answers as the fault wants, or as the route did.
func (f *forgeHost) send(w http.ResponseWriter, r *http.Request, body string, answer *httptest.ResponseRecorder, fault *Fault) {
	entry := Sent{Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Body: body, Status: answer.Code}
	maps.Copy(w.Header(), answer.Header())
	content := answer.Body.Bytes()
	if fault != nil {
		entry.Status, content = fault.Status, []byte(fault.Body)
		for key, value := range fault.Header {
			w.Header().Set(key, value)
		}
	}
	f.sent = append(f.sent, entry)
	if fault != nil && fault.Drop {
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_ = conn.Close()
		}
		return
	}
	w.WriteHeader(entry.Status)
	_, _ = w.Write(content)
}

func (f *forgeHost) takeFault(r *http.Request) *Fault {
	for i, fault := range f.faults {
		if (fault.Method != "" && fault.Method != r.Method) || !strings.Contains(r.URL.Path, fault.Path) {
			continue
		}
		if fault.Skip > 0 {
			fault.Skip--
			continue
		}
		if fault.Times--; fault.Times <= 0 {
			f.faults = slices.Delete(f.faults, i, i+1)
		}
		return fault
	}
	return nil
}

// Fail lets requests fail.
func (f *forgeHost) Fail(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range faults {
		f.faults = append(f.faults, &fault)
	}
}

// Stop ends the server: nothing listens any more.
func (f *forgeHost) Stop() { f.server.Close() }

// SetPageSize makes pages no longer than n, whatever is asked for.
func (f *forgeHost) SetPageSize(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pageSize = n
}

// SetReadOnly takes from the token the right to change anything.
func (f *forgeHost) SetReadOnly() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readOnly = true
}

// SetUser says who the token belongs to; "" is a token without a user, such as that of a job.
func (f *forgeHost) SetUser(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.user = name
}

// MergeRequests gives copies of all merge requests, by number.
func (f *forgeHost) MergeRequests() []MergeRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.follow()
	var out []MergeRequest
	for _, m := range f.sorted() {
		c := *m
		c.Labels, c.Assignees, c.Comments = slices.Clone(m.Labels), slices.Clone(m.Assignees), slices.Clone(m.Comments)
		out = append(out, c)
	}
	return out
}

func (f *forgeHost) sorted() []*MergeRequest {
	return slices.SortedFunc(maps.Values(f.requests), func(a, b *MergeRequest) int { return cmp.Compare(a.Number, b.Number) })
}

// Add adds a merge request, as people or other programs open them, and gives its number.
func (f *forgeHost) Add(m MergeRequest) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.add(m).Number
}

func (f *forgeHost) add(m MergeRequest) *MergeRequest {
	if m.Number == 0 {
		m.Number = f.nextID()
	}
	if m.State == "" {
		m.State = "open"
	}
	if m.Created.IsZero() {
		m.Created = time.Date(2026, 1, 1, 0, m.Number, 0, 0, time.UTC)
	}
	m.Updated = m.Created
	f.requests[m.Number] = &m
	return &m
}

func (f *forgeHost) nextID() int {
	f.lastID++
	return f.lastID
}

// Change changes a merge request by hand.
func (f *forgeHost) Change(number int, change func(*MergeRequest)) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.requests[number]
	if m == nil {
		f.t.Fatalf("there is no merge request %d", number)
	}
	change(m)
	for i := range m.Comments {
		if m.Comments[i].ID == 0 {
			m.Comments[i].ID = f.nextID()
		}
	}
}

// Requests gives what the forge was asked, in order.
func (f *forgeHost) Requests() []Sent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.sent)
}

// Writes gives the requests that were to change something.
func (f *forgeHost) Writes() []Sent {
	return slices.DeleteFunc(f.Requests(), func(s Sent) bool { return s.Method == http.MethodGet })
}

// wrong fails the test, because of what the real forge would not understand.
func (f *forgeHost) wrong(w http.ResponseWriter, r *http.Request, format string, args ...any) {
	body, _ := io.ReadAll(r.Body)
	f.t.Errorf("%s\n%s %s\n%s", fmt.Sprintf(format, args...), r.Method, r.URL, body)
	f.refuse(w, http.StatusBadRequest, fmt.Sprintf(format, args...))
}

// decode reads a JSON body that may have these fields only.
func (f *forgeHost) decode(w http.ResponseWriter, r *http.Request, into any) bool {
	if got := r.Header.Get("Content-Type"); got != "application/json" {
		f.wrong(w, r, "Content-Type %q is not JSON", got)
		return false
	}
	data, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(data)) // for the message
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		f.wrong(w, r, "body: %v", err)
		return false
	}
	return true
}

// query refuses parameters that are unknown or have another value than one of those allowed; nil allows any.
func (f *forgeHost) query(w http.ResponseWriter, r *http.Request, allowed map[string][]string) bool {
	for key, values := range r.URL.Query() {
		legal, known := allowed[key]
		for _, v := range values {
			if !known || (legal != nil && !slices.Contains(legal, v)) {
				f.wrong(w, r, "query %s=%s is unknown", key, v)
				return false
			}
		}
	}
	return true
}

// page gives the items of the page that is asked for, and the number of the next one, 0 when there is none.
func page[T any](f *forgeHost, w http.ResponseWriter, r *http.Request, all []T, standard int) (items []T, next int, ok bool) {
	number := func(key string, fallback int) int {
		text := r.URL.Query().Get(key)
		if text == "" {
			return fallback
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			f.wrong(w, r, "%s=%s is no number", key, text)
			return 0
		}
		return n
	}
	size, n := number("per_page", standard), number("page", 1)
	if size == 0 || n == 0 {
		return nil, 0, false
	}
	size = min(size, f.pageSize)
	from := min((n-1)*size, len(all))
	to := min(from+size, len(all))
	if to < len(all) {
		next = n + 1
		link := *r.URL
		link.Scheme, link.Host = "http", r.Host
		q := link.Query()
		q.Set("page", strconv.Itoa(next))
		link.RawQuery = q.Encode()
		w.Header().Set("Link", fmt.Sprintf(`<%s>; rel="next"`, link.String()))
	}
	return all[from:to], next, true
}

// request finds the merge request of the path.
func (f *forgeHost) request(w http.ResponseWriter, r *http.Request) *MergeRequest {
	n, err := strconv.Atoi(r.PathValue("number"))
	if err != nil {
		f.wrong(w, r, "%q is no number", r.PathValue("number"))
		return nil
	}
	m := f.requests[n]
	if m == nil {
		f.refuse(w, http.StatusNotFound, "")
	}
	return m
}

// openOf gives the open merge request of a branch of the repository itself.
func (f *forgeHost) openOf(branch, target string) *MergeRequest {
	for _, m := range f.requests {
		if m.State == "open" && !m.Fork && m.Branch == branch && m.Target == target {
			return m
		}
	}
	return nil
}

func respond(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
