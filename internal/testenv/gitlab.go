package testenv

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// GitLab is a strict fake of GitLab's API over a bare repository: what it is sent must be what GitLab understands, or the test
// fails. Branches are pushed to the repository itself; requests are merged by git.
type GitLab struct {
	*forgeHost
	URL       string // of the API
	ProjectID int

	slow int // how often the newest version of a merge request stays unknown
}

const (
	gitLabTarget = "/api/v4/projects/{project}/merge_requests"
	gitLabLimit  = 1 << 20
)

// NewGitLab starts it; dir is a bare repository, as GitRepo.Origin makes one.
func NewGitLab(t testing.TB, dir string) *GitLab {
	t.Helper()
	g := &GitLab{ProjectID: 4711}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v4/user", g.currentUser)
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request, *MergeRequest){
		"GET " + gitLabTarget + "/{number}":              g.get,
		"PUT " + gitLabTarget + "/{number}":              g.update,
		"PUT " + gitLabTarget + "/{number}/merge":        g.accept,
		"POST " + gitLabTarget + "/{number}/notes":       g.addNote,
		"GET " + gitLabTarget + "/{number}/discussions":  g.discussions,
		"POST " + gitLabTarget + "/{number}/discussions": g.discuss,
		"GET " + gitLabTarget + "/{number}/versions":     g.versions,
	} {
		mux.HandleFunc(pattern, g.inProject(func(w http.ResponseWriter, r *http.Request) {
			if m := g.request(w, r); m != nil {
				handle(w, r, m)
			}
		}))
	}
	mux.HandleFunc("GET "+gitLabTarget, g.inProject(g.list))
	mux.HandleFunc("POST "+gitLabTarget, g.inProject(g.create))
	g.forgeHost = startForge(t, dir, "glpat-very-secret", mux, func(r *http.Request) bool {
		return r.Header.Get("PRIVATE-TOKEN") == g.Token
	})
	g.URL = g.server.URL + "/api/v4"
	g.refuse = func(w http.ResponseWriter, status int, message string) {
		if message == "" {
			message = fmt.Sprintf("%d %s", status, http.StatusText(status))
		}
		respond(w, status, map[string]any{"message": message})
	}
	g.headers = func(h http.Header) {
		h.Set("RateLimit-Limit", "2000")
		h.Set("RateLimit-Remaining", "1999")
		h.Set("RateLimit-Reset", strconv.FormatInt(time.Now().Add(time.Minute).Unix(), 10))
	}
	return g
}

// Env gives the variables of a pipeline of the project.
func (g *GitLab) Env() map[string]string {
	return map[string]string{"GITLAB_CI": "true", "CI_PROJECT_ID": strconv.Itoa(g.ProjectID), "CI_API_V4_URL": g.URL, "ACCESS_TOKEN": g.Token}
}

// SlowVersions keeps the newest version of merge requests unknown to the next n who ask, as after a push.
func (g *GitLab) SlowVersions(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slow = n
}

func (g *GitLab) inProject(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("project") != strconv.Itoa(g.ProjectID) {
			g.refuse(w, http.StatusNotFound, "404 Project Not Found")
			return
		}
		next(w, r)
	}
}

func (g *GitLab) json(m *MergeRequest) map[string]any {
	state, source := m.State, g.ProjectID
	if state == "open" {
		state = "opened"
	}
	if m.Fork {
		source = 815
	}
	assignees := []any{}
	for _, id := range m.Assignees {
		n, _ := strconv.Atoi(id)
		assignees = append(assignees, map[string]any{"id": n, "username": "user" + id})
	}
	return map[string]any{
		"id": 9000 + m.Number, "iid": m.Number, "project_id": g.ProjectID, "source_project_id": source, "target_project_id": g.ProjectID,
		"title": m.Title, "description": m.Body, "state": state, "source_branch": m.Branch, "target_branch": m.Target, "sha": m.HeadSHA,
		"labels": append([]string{}, m.Labels...), "assignees": assignees, "author": map[string]any{"id": 7, "username": m.Author},
		"web_url":    fmt.Sprintf("%s/group/packages/-/merge_requests/%d", g.server.URL, m.Number),
		"created_at": m.Created, "updated_at": m.Updated,
		"force_remove_source_branch": m.RemoveBranch, "allow_collaboration": m.Collaboration,
	}
}

func (g *GitLab) currentUser(w http.ResponseWriter, _ *http.Request) {
	if g.user == "" {
		g.refuse(w, http.StatusForbidden, "")
		return
	}
	respond(w, http.StatusOK, map[string]any{"id": 7, "username": g.user})
}

func (g *GitLab) list(w http.ResponseWriter, r *http.Request) {
	if !g.query(w, r, map[string][]string{
		"state": {"opened", "closed", "merged", "all"}, "order_by": {"created_at"}, "sort": {"asc", "desc"},
		"per_page": nil, "page": nil, "source_branch": nil, "target_branch": nil,
	}) {
		return
	}
	q := r.URL.Query()
	var hits []any
	all := g.sorted()
	if q.Get("sort") != "asc" {
		slices.Reverse(all)
	}
	for _, m := range all {
		state := map[string]string{"opened": "open", "": m.State, "all": m.State}[q.Get("state")]
		if state == "" {
			state = q.Get("state")
		}
		if m.State != state || (q.Has("source_branch") && q.Get("source_branch") != m.Branch) ||
			(q.Has("target_branch") && q.Get("target_branch") != m.Target) {
			continue
		}
		hits = append(hits, g.json(m))
	}
	items, next, ok := page(g.forgeHost, w, r, hits, 20)
	if !ok {
		return
	}
	if next > 0 {
		w.Header().Set("X-Next-Page", strconv.Itoa(next))
	}
	respond(w, http.StatusOK, append([]any{}, items...))
}

func (g *GitLab) create(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Title, Description string
		SourceBranch       string `json:"source_branch"`
		TargetBranch       string `json:"target_branch"`
		Labels             string
		AssigneeID         *int  `json:"assignee_id"`
		RemoveSourceBranch *bool `json:"remove_source_branch"`
		AllowCollaboration *bool `json:"allow_collaboration"`
	}
	if !g.decode(w, r, &in) || !g.text(w, r, in.Description) {
		return
	}
	heads := g.heads()
	switch {
	case in.Title == "" || in.SourceBranch == "" || in.TargetBranch == "":
		g.wrong(w, r, "title, source_branch or target_branch is missing")
	case heads[in.SourceBranch] == "" || heads[in.TargetBranch] == "":
		g.wrong(w, r, "there is no branch %s or %s", in.SourceBranch, in.TargetBranch)
	case g.openOf(in.SourceBranch, in.TargetBranch) != nil:
		respond(w, http.StatusConflict, map[string]any{"message": []string{fmt.Sprintf(
			"Another open merge request already exists for this source branch: !%d", g.openOf(in.SourceBranch, in.TargetBranch).Number)}})
	default:
		m := g.add(MergeRequest{
			Branch: in.SourceBranch, Target: in.TargetBranch, Title: in.Title, Body: in.Description, Author: g.user,
			HeadSHA: heads[in.SourceBranch],
			Labels:  splitLabels(in.Labels), RemoveBranch: in.RemoveSourceBranch != nil && *in.RemoveSourceBranch,
			Collaboration: in.AllowCollaboration != nil && *in.AllowCollaboration,
		})
		if in.AssigneeID != nil {
			m.Assignees = []string{strconv.Itoa(*in.AssigneeID)}
		}
		respond(w, http.StatusCreated, g.json(m))
	}
}

func splitLabels(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// obeyed is a line that GitLab takes for a command instead of text.
var obeyed = regexp.MustCompile(`(?m)^[ \t]*/[A-Za-z_]+([ \t]|$)`)

func (g *GitLab) text(w http.ResponseWriter, r *http.Request, text string) bool {
	if line := obeyed.FindString(text); line != "" {
		g.wrong(w, r, "GitLab would obey %q instead of showing it", line)
		return false
	}
	if utf8.RuneCountInString(text) > gitLabLimit {
		respond(w, http.StatusBadRequest, map[string]any{"message": map[string]any{"description": []string{"is too long (maximum is 1048576 characters)"}}})
		return false
	}
	return true
}

func (g *GitLab) get(w http.ResponseWriter, _ *http.Request, m *MergeRequest) {
	respond(w, http.StatusOK, g.json(m))
}

func (g *GitLab) update(w http.ResponseWriter, r *http.Request, m *MergeRequest) {
	var in struct {
		Title, Description *string
		TargetBranch       *string `json:"target_branch"`
		AddLabels          string  `json:"add_labels"`
		RemoveLabels       string  `json:"remove_labels"`
		AssigneeID         *int    `json:"assignee_id"`
		StateEvent         string  `json:"state_event"`
	}
	if !g.decode(w, r, &in) {
		return
	}
	if in.Description != nil {
		if !g.text(w, r, *in.Description) {
			return
		}
		m.Body = *in.Description
	}
	if in.Title != nil {
		m.Title = *in.Title
	}
	if in.TargetBranch != nil {
		m.Target = *in.TargetBranch
	}
	for _, label := range splitLabels(in.AddLabels) {
		if !slices.Contains(m.Labels, label) {
			m.Labels = append(m.Labels, label)
		}
	}
	for _, label := range splitLabels(in.RemoveLabels) {
		m.Labels = slices.DeleteFunc(m.Labels, func(have string) bool { return have == label })
	}
	if in.AssigneeID != nil {
		m.Assignees = []string{strconv.Itoa(*in.AssigneeID)}
	}
	switch in.StateEvent {
	case "":
	case "close":
		if m.State == "open" {
			m.State = "closed"
		}
	default:
		g.wrong(w, r, "state_event %q", in.StateEvent)
		return
	}
	respond(w, http.StatusOK, g.json(m))
}

func (g *GitLab) accept(w http.ResponseWriter, r *http.Request, m *MergeRequest) {
	var in struct {
		SHA    string
		Remove *bool `json:"should_remove_source_branch"`
	}
	if !g.decode(w, r, &in) {
		return
	}
	open := slices.ContainsFunc(m.Comments, func(c Comment) bool { return c.Review && !c.Resolved })
	switch {
	case m.State != "open" || open || strings.HasPrefix(m.Title, "Draft: "):
		g.refuse(w, http.StatusMethodNotAllowed, "405 Method Not Allowed")
	case in.SHA == "":
		g.wrong(w, r, "sha is missing")
	case in.SHA != m.HeadSHA:
		g.refuse(w, http.StatusConflict, "SHA does not match HEAD of source branch: "+m.HeadSHA)
	case !g.merge(m, false):
		g.refuse(w, http.StatusUnprocessableEntity, "Branch cannot be merged")
	default:
		if m.RemoveBranch || (in.Remove != nil && *in.Remove) {
			g.deleteBranch(m.Branch)
		}
		respond(w, http.StatusOK, g.json(m))
	}
}

func (g *GitLab) addNote(w http.ResponseWriter, r *http.Request, m *MergeRequest) {
	var in struct{ Body string }
	if !g.decode(w, r, &in) || !g.text(w, r, in.Body) {
		return
	}
	c := Comment{ID: g.nextID(), Author: g.user, Text: in.Body}
	m.Comments = append(m.Comments, c)
	respond(w, http.StatusCreated, noteJSON(c))
}

func noteJSON(c Comment) map[string]any {
	return map[string]any{
		"id": c.ID, "body": c.Text, "author": map[string]any{"id": 7, "username": c.Author}, "resolvable": c.Review, "resolved": c.Resolved,
	}
}

func (g *GitLab) discussions(w http.ResponseWriter, r *http.Request, m *MergeRequest) {
	if !g.query(w, r, map[string][]string{"per_page": nil, "page": nil}) {
		return
	}
	items, _, ok := page(g.forgeHost, w, r, m.Comments, 20)
	if !ok {
		return
	}
	out := []any{}
	for _, c := range items {
		out = append(out, map[string]any{"id": fmt.Sprintf("%040x", c.ID), "individual_note": !c.Review, "notes": []any{noteJSON(c)}})
	}
	respond(w, http.StatusOK, out)
}

// base gives the commit that the branch of m begins at.
func (g *GitLab) base(m *MergeRequest) string {
	sha, err := g.git("merge-base", m.Target, m.HeadSHA)
	if err != nil {
		g.t.Errorf("merge-base of %s: %v", m.Branch, err)
	}
	return sha
}

func (g *GitLab) versions(w http.ResponseWriter, r *http.Request, m *MergeRequest) {
	if !g.query(w, r, nil) {
		return
	}
	out := []any{}
	if g.slow > 0 {
		g.slow--
	} else {
		base := g.base(m)
		out = append(out, map[string]any{"id": 1, "head_commit_sha": m.HeadSHA, "base_commit_sha": base, "start_commit_sha": base})
	}
	respond(w, http.StatusOK, out)
}

func (g *GitLab) discuss(w http.ResponseWriter, r *http.Request, m *MergeRequest) {
	var in struct {
		Body     string
		Position *struct {
			Type  string `json:"position_type"`
			Base  string `json:"base_sha"`
			Start string `json:"start_sha"`
			Head  string `json:"head_sha"`
			Old   string `json:"old_path"`
			New   string `json:"new_path"`
			Line  int    `json:"new_line"`
		}
	}
	if !g.decode(w, r, &in) || !g.text(w, r, in.Body) {
		return
	}
	c := Comment{ID: g.nextID(), Author: g.user, Text: in.Body, Review: true}
	if p := in.Position; p != nil {
		if base := g.base(m); p.Type != "text" || p.Base != base || p.Start != base || p.Head != m.HeadSHA {
			g.wrong(w, r, "the position is not of the newest version")
			return
		}
		if !g.touched(m.Target, m.HeadSHA, p.New, 0)[p.Line] {
			g.refuse(w, http.StatusBadRequest, `400 Bad request - Note {:line_code=>["can't be blank", "must be a valid line code"]}`)
			return
		}
		c.File, c.Line, c.Commit = p.New, p.Line, p.Head
	}
	m.Comments = append(m.Comments, c)
	respond(w, http.StatusCreated, map[string]any{"id": fmt.Sprintf("%040x", c.ID), "notes": []any{noteJSON(c)}})
}
