package testenv

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// listener takes the errors that a fake reports.
type listener struct {
	testing.TB
	mu     sync.Mutex
	errors []string
}

func (l *listener) Errorf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errors = append(l.errors, fmt.Sprintf(format, args...))
}

// forgeCall sends a request, and gives status, answer and Link header.
func forgeCall(t *testing.T, method, url, header, token, body string) (int, string, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(header, token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error(), ""
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data), resp.Header.Get("Link")
}

func forgeRepo(t *testing.T) (dir string) {
	t.Helper()
	g := NewGitRepo(t)
	g.Write("a/PKGBUILD", "pkgver=1\n")
	g.Commit("one")
	g.Git("checkout", "-q", "-b", "update-a")
	g.Write("a/PKGBUILD", "pkgver=2\n")
	g.Commit("two")
	g.Git("checkout", "-q", "main")
	return g.Origin()
}

type forgeCase struct {
	name, method, path, body string
	status                   int
	wrong                    string // what the fake tells the test; "": nothing
}

func runForgeCases(t *testing.T, l *listener, base, header, token string, tests []forgeCase) {
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l.errors = nil
			code, answer, _ := forgeCall(t, tt.method, base+tt.path, header, token, tt.body)
			if code != tt.status {
				t.Errorf("status %d, want %d: %s", code, tt.status, answer)
			}
			if (tt.wrong == "") != (len(l.errors) == 0) || !strings.Contains(strings.Join(l.errors, "\n"), tt.wrong) {
				t.Errorf("reported %q, want %q", l.errors, tt.wrong)
			}
		})
	}
}

func TestGitLabRefusesWhatGitLabDoesNotKnow(t *testing.T) {
	l := &listener{TB: t}
	g := NewGitLab(l, forgeRepo(t))
	open := `{"title":"x","source_branch":"update-a","target_branch":"main"`
	requests := "/projects/4711/merge_requests"
	runForgeCases(t, l, g.URL, "PRIVATE-TOKEN", g.Token, []forgeCase{
		{"list", "GET", requests + "?state=opened&per_page=100", "", 200, ""},
		{"unknown path", "GET", "/projects/4711/pulls", "", 400, "no such method and path"},
		{"unknown method", "DELETE", requests + "/1", "", 400, "no such method and path"},
		{"unknown project", "GET", "/projects/1/merge_requests", "", 404, ""},
		{"unknown parameter", "GET", requests + "?head=x", "", 400, "query head=x"},
		{"unknown value", "GET", requests + "?state=open", "", 400, "query state=open"},
		{"unknown field", "POST", requests, open + `,"head":"x"}`, 400, "unknown field"},
		{"wrong type", "POST", requests, open + `,"assignee_id":"42"}`, 400, "cannot unmarshal"},
		{"no branch", "POST", requests, `{"title":"x","source_branch":"update-b","target_branch":"main"}`, 400, "no branch update-b"},
		{"a line that is obeyed", "POST", requests, open + `,"description":"a\n/merge\n"}`, 400, "would obey"},
		{"too long", "POST", requests, open + `,"description":"` + strings.Repeat("x", gitLabLimit+1) + `"}`, 400, ""},
		{"create", "POST", requests, open + "}", 201, ""},
		{"create again", "POST", requests, open + "}", 409, ""},
		{"merge what nobody looked at", "PUT", requests + "/1/merge", `{}`, 400, "sha is missing"},
		{"merge another commit", "PUT", requests + "/1/merge", `{"sha":"1"}`, 409, ""},
		{"position of another version", "POST", requests + "/1/discussions", `{"body":"x","position":{"position_type":"text","head_sha":"1"}}`,
			400, "not of the newest version"},
	})
}

func TestGitHubRefusesWhatGitHubDoesNotKnow(t *testing.T) {
	l := &listener{TB: t}
	g := NewGitHub(l, forgeRepo(t))
	open := `{"title":"x","head":"update-a","base":"main"`
	root := "/repos/" + g.Repository
	runForgeCases(t, l, g.URL, "Authorization", "Bearer "+g.Token, []forgeCase{
		{"list", "GET", root + "/pulls?state=open", "", 200, ""},
		{"unknown path", "GET", root + "/merge_requests", "", 400, "no such method and path"},
		{"unknown parameter", "GET", root + "/pulls?source_branch=x", "", 400, "query source_branch=x"},
		{"unknown field", "POST", root + "/pulls", open + `,"labels":["x"]}`, 400, "unknown field"},
		{"for forks only", "POST", root + "/pulls", open + `,"maintainer_can_modify":true}`, 400, "unknown field"},
		{"too long", "POST", root + "/pulls", open + `,"body":"` + strings.Repeat("x", gitHubLimit+1) + `"}`, 422, ""},
		{"create", "POST", root + "/pulls", open + "}", 201, ""},
		{"create again", "POST", root + "/pulls", open + "}", 422, ""},
		{"comment on a line of another commit", "POST", root + "/pulls/1/comments",
			`{"body":"x","path":"a/PKGBUILD","commit_id":"1","line":1,"side":"RIGHT"}`, 422, ""},
		{"comment without a side", "POST", root + "/pulls/1/comments", `{"body":"x","path":"a/PKGBUILD","commit_id":"1","line":1}`, 400, "side"},
		{"merge what nobody looked at", "PUT", root + "/pulls/1/merge", `{"merge_method":"merge"}`, 400, "sha"},
		{"label that is not there", "DELETE", root + "/issues/1/labels/danger", "", 404, ""},
	})
}

func TestForgesLetNobodyInWithoutTheToken(t *testing.T) {
	dir := forgeRepo(t)
	lab, hub := NewGitLab(t, dir), NewGitHub(t, dir)
	for _, tt := range []struct{ url, header, token string }{
		{lab.URL + "/user", "PRIVATE-TOKEN", "x"},
		{lab.URL + "/user", "Authorization", "Bearer " + lab.Token}, // GitLab knows that only of another kind of token
		{hub.URL + "/user", "Authorization", "Bearer x"},
		{hub.URL + "/user", "Private-Token", hub.Token},
	} {
		if code, _, _ := forgeCall(t, "GET", tt.url, tt.header, tt.token, ""); code != http.StatusUnauthorized {
			t.Errorf("%s with %s: %d", tt.url, tt.header, code)
		}
	}
}

func TestForgesFailAsTheyAreTold(t *testing.T) {
	g := NewGitLab(t, forgeRepo(t))
	list := func() (int, string) {
		code, answer, _ := forgeCall(t, "GET", g.URL+"/projects/4711/merge_requests", "PRIVATE-TOKEN", g.Token, "")
		return code, answer
	}
	g.Fail(Fault{Method: "GET", Skip: 1, Times: 2, Status: 503, Body: "busy"}, Fault{Path: "/merge_requests", Drop: true}, Fault{Method: "POST", Status: 500})
	for i, want := range []int{0, 503, 503, 200} {
		if code, answer := list(); code != want {
			t.Errorf("request %d: %d %s, want %d", i, code, answer, want)
		}
	}
}

func TestForgesFollowTheRepository(t *testing.T) {
	dir := forgeRepo(t)
	g := NewGitHub(t, dir)
	for range 3 {
		g.Add(MergeRequest{Branch: "update-a", Target: "main"})
	}
	g.SetPageSize(2)
	_, _, link := forgeCall(t, "GET", g.URL+"/repos/owner/packages/pulls?per_page=100", "Authorization", "Bearer "+g.Token, "")
	if !strings.Contains(link, "page=2") || !strings.Contains(link, "per_page=100") || !strings.Contains(link, `rel="next"`) {
		t.Errorf("Link %q", link)
	}
	if sha, err := g.git("rev-parse", "update-a"); err != nil || g.MergeRequests()[0].HeadSHA != sha {
		t.Errorf("head %s, want %s (%v)", g.MergeRequests()[0].HeadSHA, sha, err)
	}
	if !g.deleteBranch("update-a") || g.MergeRequests()[0].State != "closed" {
		t.Errorf("%+v", g.MergeRequests()[0])
	}
	if got := len(g.Requests()); got != 1 || len(g.Writes()) != 0 {
		t.Errorf("%d requests, %d writes", got, len(g.Writes()))
	}
}
