package testenv

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// GitHub is a strict fake of GitHub's API over a bare repository: what it is sent must be what GitHub understands, or the test
// fails. Branches are pushed to the repository itself; pull requests are merged by git.
type GitHub struct {
	*forgeHost
	URL        string // of the API
	Repository string // OWNER/NAME

	methods []string // of merging that are allowed
}

const gitHubLimit = 65536

// NewGitHub starts it; dir is a bare repository, as GitRepo.Origin makes one.
func NewGitHub(t testing.TB, dir string) *GitHub {
	t.Helper()
	g := &GitHub{Repository: "owner/packages", methods: []string{"merge", "squash", "rebase"}}
	mux := http.NewServeMux()
	root := "/repos/" + g.Repository
	mux.HandleFunc("GET /user", g.currentUser)
	mux.HandleFunc("GET "+root+"/pulls", g.list)
	mux.HandleFunc("POST "+root+"/pulls", g.create)
	mux.HandleFunc("DELETE "+root+"/git/refs/heads/{branch}", g.deleteRef)
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request, *MergeRequest){
		"GET " + root + "/pulls/{number}":                    g.get,
		"PATCH " + root + "/pulls/{number}":                  g.update,
		"PUT " + root + "/pulls/{number}/merge":              g.accept,
		"GET " + root + "/pulls/{number}/comments":           g.reviewComments,
		"POST " + root + "/pulls/{number}/comments":          g.addReviewComment,
		"GET " + root + "/issues/{number}/comments":          g.comments,
		"POST " + root + "/issues/{number}/comments":         g.addComment,
		"POST " + root + "/issues/{number}/labels":           g.addLabels,
		"DELETE " + root + "/issues/{number}/labels/{label}": g.removeLabel,
		"POST " + root + "/issues/{number}/assignees":        g.assign,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if m := g.request(w, r); m != nil {
				handle(w, r, m)
			}
		})
	}
	g.forgeHost = startForge(t, dir, "ghp_very_secret", mux, func(r *http.Request) bool {
		return r.Header.Get("Authorization") == "Bearer "+g.Token
	})
	g.URL = g.server.URL
	g.refuse = func(w http.ResponseWriter, status int, message string) {
		if message == "" {
			message = map[int]string{
				http.StatusUnauthorized: "Bad credentials", http.StatusForbidden: "Resource not accessible by personal access token",
				http.StatusNotFound: "Not Found",
			}[status]
		}
		respond(w, status, map[string]any{"message": message, "documentation_url": "https://docs.github.com/rest"})
	}
	g.headers = func(h http.Header) {
		h.Set("X-RateLimit-Limit", "5000")
		h.Set("X-RateLimit-Remaining", "4999")
		h.Set("X-RateLimit-Reset", strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10))
	}
	return g
}

// Env gives the variables of a workflow of the repository.
func (g *GitHub) Env() map[string]string {
	return map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": g.Repository, "GITHUB_API_URL": g.URL, "ACCESS_TOKEN": g.Token}
}

// AllowMerge says how pull requests may be merged: merge, squash, rebase.
func (g *GitHub) AllowMerge(methods ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.methods = methods
}

func (g *GitHub) invalid(w http.ResponseWriter, field, message string) {
	respond(w, http.StatusUnprocessableEntity, map[string]any{
		"message": "Validation Failed", "documentation_url": "https://docs.github.com/rest",
		"errors": []any{map[string]any{"resource": "PullRequest", "field": field, "code": "custom", "message": message}},
	})
}

func (g *GitHub) text(w http.ResponseWriter, text string) bool {
	if utf8.RuneCountInString(text) > gitHubLimit {
		g.invalid(w, "body", "body is too long (maximum is 65536 characters)")
		return false
	}
	return true
}

func (g *GitHub) json(m *MergeRequest) map[string]any {
	state, repo := m.State, g.Repository
	if state == "merged" {
		state = "closed"
	}
	if m.Fork {
		repo = "stranger/packages"
	}
	assignees := []any{}
	for _, login := range m.Assignees {
		assignees = append(assignees, userJSON(login, false))
	}
	return map[string]any{
		"id": 9000 + m.Number, "number": m.Number, "title": m.Title, "body": m.Body, "state": state, "merged": m.State == "merged",
		"head":   map[string]any{"ref": m.Branch, "sha": m.HeadSHA, "repo": map[string]any{"full_name": repo}},
		"base":   map[string]any{"ref": m.Target, "repo": map[string]any{"full_name": g.Repository}},
		"labels": labelsJSON(m.Labels), "assignees": assignees, "user": userJSON(m.Author, false),
		"html_url":   fmt.Sprintf("https://github.example/%s/pull/%d", g.Repository, m.Number),
		"created_at": m.Created, "updated_at": m.Updated, "maintainer_can_modify": m.Collaboration,
	}
}

func labelsJSON(list []string) []any {
	out := []any{}
	for _, name := range list {
		out = append(out, map[string]any{"name": name})
	}
	return out
}

func userJSON(login string, bot bool) map[string]any {
	kind := "User"
	if bot {
		kind = "Bot"
	}
	return map[string]any{"login": login, "type": kind}
}

// writer is the author of what is written with the token.
func (g *GitHub) writer() (name string, bot bool) {
	if g.user == "" {
		return "github-actions[bot]", true
	}
	return g.user, false
}

func (g *GitHub) currentUser(w http.ResponseWriter, _ *http.Request) {
	if g.user == "" {
		g.refuse(w, http.StatusForbidden, "Resource not accessible by integration")
		return
	}
	respond(w, http.StatusOK, userJSON(g.user, false))
}

func (g *GitHub) list(w http.ResponseWriter, r *http.Request) {
	if !g.query(w, r, map[string][]string{
		"state": {"open", "closed", "all"}, "head": nil, "base": nil, "sort": {"created"}, "direction": {"asc", "desc"},
		"per_page": nil, "page": nil,
	}) {
		return
	}
	q := r.URL.Query()
	all := g.sorted()
	if q.Get("direction") != "asc" {
		slices.Reverse(all)
	}
	owner, _, _ := strings.Cut(g.Repository, "/")
	var hits []any
	for _, m := range all {
		head := owner + ":" + m.Branch
		if m.Fork {
			head = "stranger:" + m.Branch
		}
		wanted := q.Get("state")
		if wanted == "" {
			wanted = "open"
		}
		if (wanted != "all" && (m.State == "open") != (wanted == "open")) || (q.Has("head") && q.Get("head") != head) ||
			(q.Has("base") && q.Get("base") != m.Target) {
			continue
		}
		hits = append(hits, g.json(m))
	}
	if items, _, ok := page(g.forgeHost, w, r, hits, 30); ok {
		respond(w, http.StatusOK, append([]any{}, items...))
	}
}

func (g *GitHub) create(w http.ResponseWriter, r *http.Request) {
	var in struct{ Title, Body, Head, Base string } // maintainer_can_modify is for forks only
	if !g.decode(w, r, &in) || !g.text(w, in.Body) {
		return
	}
	heads := g.heads()
	switch {
	case in.Title == "" || in.Head == "" || in.Base == "":
		g.wrong(w, r, "title, head or base is missing")
	case heads[in.Head] == "" || heads[in.Base] == "" || heads[in.Head] == heads[in.Base]:
		g.wrong(w, r, "no commits between %s and %s", in.Base, in.Head)
	case g.openOf(in.Head, in.Base) != nil:
		g.invalid(w, "", fmt.Sprintf("A pull request already exists for owner:%s.", in.Head))
	default:
		author, _ := g.writer()
		m := g.add(MergeRequest{
			Branch: in.Head, Target: in.Base, Title: in.Title, Body: in.Body, Author: author, HeadSHA: heads[in.Head],
			Collaboration: true,
		})
		respond(w, http.StatusCreated, g.json(m))
	}
}

func (g *GitHub) get(w http.ResponseWriter, _ *http.Request, m *MergeRequest) {
	respond(w, http.StatusOK, g.json(m))
}

func (g *GitHub) update(w http.ResponseWriter, r *http.Request, m *MergeRequest) {
	var in struct {
		Title, Body, State, Base *string
	}
	if !g.decode(w, r, &in) || (in.Body != nil && !g.text(w, *in.Body)) {
		return
	}
	for from, to := range map[*string]*string{in.Title: &m.Title, in.Body: &m.Body, in.Base: &m.Target} {
		if from != nil {
			*to = *from
		}
	}
	switch {
	case in.State == nil:
	case *in.State == "closed":
		if m.State == "open" {
			m.State = "closed"
		}
	default:
		g.wrong(w, r, "state %q", *in.State)
		return
	}
	respond(w, http.StatusOK, g.json(m))
}

func (g *GitHub) accept(w http.ResponseWriter, r *http.Request, m *MergeRequest) {
	var in struct {
		SHA    string
		Method string `json:"merge_method"`
	}
	if !g.decode(w, r, &in) {
		return
	}
	names := map[string]string{"merge": "Merge commits are", "squash": "Squash merges are", "rebase": "Rebase merges are"}
	switch {
	case in.SHA == "" || names[in.Method] == "":
		g.wrong(w, r, "sha or merge_method is missing")
	case m.State != "open":
		g.refuse(w, http.StatusMethodNotAllowed, "Pull Request is not mergeable")
	case !slices.Contains(g.methods, in.Method):
		g.refuse(w, http.StatusMethodNotAllowed, names[in.Method]+" not allowed on this repository.")
	case in.SHA != m.HeadSHA:
		g.refuse(w, http.StatusConflict, "Head branch was modified. Review and try the merge again.")
	case !g.merge(m, in.Method != "merge"):
		g.refuse(w, http.StatusMethodNotAllowed, "Pull Request is not mergeable")
	default:
		respond(w, http.StatusOK, map[string]any{"merged": true, "message": "Pull Request successfully merged"})
	}
}

func (g *GitHub) deleteRef(w http.ResponseWriter, r *http.Request) {
	if !g.deleteBranch(r.PathValue("branch")) {
		g.refuse(w, http.StatusUnprocessableEntity, "Reference does not exist")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// commentJSON leaves out the line of a comment on code that has changed since.
func (g *GitHub) commentJSON(m *MergeRequest, c Comment) map[string]any {
	out := map[string]any{"id": c.ID, "body": c.Text, "user": userJSON(c.Author, c.Bot)}
	if c.Review {
		out["path"], out["commit_id"], out["subject_type"], out["line"] = c.File, c.Commit, "line", nil
		if c.Line == 0 {
			out["subject_type"] = "file"
		} else if diff, err := g.git("diff", c.Commit, m.HeadSHA, "--", c.File); err == nil && diff == "" {
			out["line"] = c.Line
		}
	}
	return out
}

func (g *GitHub) someComments(w http.ResponseWriter, r *http.Request, m *MergeRequest, review bool) {
	if !g.query(w, r, map[string][]string{"per_page": nil, "page": nil}) {
		return
	}
	hits := []any{}
	for _, c := range m.Comments {
		if c.Review == review {
			hits = append(hits, g.commentJSON(m, c))
		}
	}
	if items, _, ok := page(g.forgeHost, w, r, hits, 30); ok {
		respond(w, http.StatusOK, items)
	}
}

func (g *GitHub) reviewComments(w http.ResponseWriter, r *http.Request, m *MergeRequest) {
	g.someComments(w, r, m, true)
}

func (g *GitHub) comments(w http.ResponseWriter, r *http.Request, m *MergeRequest) {
	g.someComments(w, r, m, false)
}

func (g *GitHub) addReviewComment(w http.ResponseWriter, r *http.Request, m *MergeRequest) {
	var in struct {
		Body, Path, Side string
		Commit           string `json:"commit_id"`
		Line             int
		Subject          string `json:"subject_type"`
	}
	if !g.decode(w, r, &in) || !g.text(w, in.Body) {
		return
	}
	lines := g.touched(m.Target, m.HeadSHA, in.Path, 3)
	switch {
	case in.Body == "" || in.Path == "" || in.Commit == "":
		g.wrong(w, r, "body, path or commit_id is missing")
	case (in.Subject == "file") == (in.Line > 0) || (in.Line > 0 && in.Side != "RIGHT"):
		g.wrong(w, r, "either line and side, or subject_type file")
	case in.Commit != m.HeadSHA:
		g.invalid(w, "commit_id", "commit_id is not part of the pull request")
	case lines == nil:
		g.invalid(w, "path", "path could not be resolved")
	case in.Line > 0 && !lines[in.Line]:
		g.invalid(w, "line", "line must be part of the diff")
	default:
		author, bot := g.writer()
		c := Comment{ID: g.nextID(), Author: author, Bot: bot, Text: in.Body, File: in.Path, Line: in.Line, Commit: in.Commit, Review: true}
		m.Comments = append(m.Comments, c)
		respond(w, http.StatusCreated, g.commentJSON(m, c))
	}
}

func (g *GitHub) addComment(w http.ResponseWriter, r *http.Request, m *MergeRequest) {
	var in struct{ Body string }
	if !g.decode(w, r, &in) || !g.text(w, in.Body) {
		return
	}
	author, bot := g.writer()
	c := Comment{ID: g.nextID(), Author: author, Bot: bot, Text: in.Body}
	m.Comments = append(m.Comments, c)
	respond(w, http.StatusCreated, g.commentJSON(m, c))
}

func (g *GitHub) addLabels(w http.ResponseWriter, r *http.Request, m *MergeRequest) {
	var in []string
	if !g.decode(w, r, &in) {
		return
	}
	for _, label := range in {
		if !slices.ContainsFunc(m.Labels, func(have string) bool { return strings.EqualFold(have, label) }) {
			m.Labels = append(m.Labels, label)
		}
	}
	respond(w, http.StatusOK, labelsJSON(m.Labels))
}

func (g *GitHub) removeLabel(w http.ResponseWriter, r *http.Request, m *MergeRequest) {
	label, err := url.PathUnescape(r.PathValue("label"))
	if err != nil || !slices.Contains(m.Labels, label) {
		g.refuse(w, http.StatusNotFound, "Label does not exist")
		return
	}
	m.Labels = slices.DeleteFunc(m.Labels, func(have string) bool { return have == label })
	respond(w, http.StatusOK, labelsJSON(m.Labels))
}

func (g *GitHub) assign(w http.ResponseWriter, r *http.Request, m *MergeRequest) {
	var in struct{ Assignees []string }
	if !g.decode(w, r, &in) {
		return
	}
	for _, login := range in.Assignees {
		if !slices.Contains(m.Assignees, login) {
			m.Assignees = append(m.Assignees, login)
		}
	}
	respond(w, http.StatusCreated, g.json(m))
}
