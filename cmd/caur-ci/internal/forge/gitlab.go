package forge

//lint:file-ignore SA1019 the library is deprecated but wanted; nothing outside of this file knows it

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xanzy/go-gitlab"
)

// gitLabBody is the largest description that we write. GitLab takes 1 MiB, but lists a hundred of them in one answer.
const gitLabBody = 256 << 10

// versionTries is how often a new commit is looked for, versionWait apart: GitLab digests a push in the background.
const (
	versionTries = 4
	versionWait  = 2 * time.Second
)

// gitLab is the only file that knows the client library: it is deprecated, and is to be exchanged by changing an import.
type gitLab struct {
	client    *gitlab.Client
	project   string
	transport *transport
}

func newGitLab(cfg Config, api *url.URL) (*gitLab, error) {
	t := newTransport(cfg, api)
	client, err := gitlab.NewClient("", gitlab.WithBaseURL(api.String()), gitlab.WithHTTPClient(t.client()), gitlab.WithoutRetries())
	if err != nil {
		return nil, fmt.Errorf("set up the client of GitLab: %w", err)
	}
	return &gitLab{client: client, project: cfg.Project, transport: t}, nil
}

func (*gitLab) kind() string             { return GitLab }
func (*gitLab) bodyLimit() int           { return gitLabBody }
func (*gitLab) shape(text string) string { return withoutQuickActions(text) }

func (g *gitLab) list(ctx context.Context, branch string) ([]Request, error) {
	opt := &gitlab.ListProjectMergeRequestsOptions{
		ListOptions: gitlab.ListOptions{PerPage: 100},
		State:       gitlab.Ptr("opened"), OrderBy: gitlab.Ptr("created_at"), Sort: gitlab.Ptr("asc"),
	}
	if branch != "" {
		opt.SourceBranch = &branch
	}
	return everyPage(ctx, func(more ...gitlab.RequestOptionFunc) ([]Request, *gitlab.Response, error) {
		page, resp, err := g.client.MergeRequests.ListProjectMergeRequests(g.project, opt, more...)
		out := make([]Request, 0, len(page))
		for _, m := range page {
			if m.SourceProjectID == m.TargetProjectID {
				out = append(out, gitLabRequest(m))
			}
		}
		return out, resp, g.failed(resp, err)
	}, func(r Request) int { return r.Number })
}

// everyPage follows the links from page to page. What moves from one page to the next while they are read is kept once.
func everyPage[T any](ctx context.Context, get func(...gitlab.RequestOptionFunc) ([]T, *gitlab.Response, error), id func(T) int) ([]T, error) {
	var out []T
	seen := map[int]bool{}
	options := []gitlab.RequestOptionFunc{gitlab.WithContext(ctx)}
	for links := map[string]bool{}; ; {
		page, resp, err := get(options...)
		if err != nil {
			return nil, err
		}
		for _, item := range page {
			if n := id(item); !seen[n] {
				seen[n] = true
				out = append(out, item)
			}
		}
		next := resp.NextLink
		if next == "" {
			return out, nil
		}
		if links[next] {
			return nil, errors.New("the pages of the forge's answer link to one another in a circle")
		}
		links[next] = true
		options = []gitlab.RequestOptionFunc{gitlab.WithContext(ctx), gitlab.WithKeysetPaginationParameters(next)}
	}
}

func gitLabRequest(m *gitlab.MergeRequest) Request {
	r := Request{
		Number: m.IID, Branch: m.SourceBranch, Target: m.TargetBranch, Title: m.Title, URL: m.WebURL,
		HeadSHA: m.SHA, Labels: slices.Clone([]string(m.Labels)), closed: m.State != "opened",
	}
	r.setBody(m.Description)
	for _, user := range m.Assignees {
		r.Assignees = append(r.Assignees, strconv.Itoa(user.ID))
	}
	if m.CreatedAt != nil {
		r.Created = *m.CreatedAt
	}
	if m.UpdatedAt != nil {
		r.Updated = *m.UpdatedAt
	}
	return r
}

func (g *gitLab) create(ctx context.Context, p Proposal) (Request, error) {
	opt := &gitlab.CreateMergeRequestOptions{
		Title: &p.Title, Description: &p.Body, SourceBranch: &p.Branch, TargetBranch: &p.Target,
		Labels: labelOptions(wantedLabels(p)), RemoveSourceBranch: gitlab.Ptr(true), AllowCollaboration: gitlab.Ptr(true),
	}
	var err error
	if opt.AssigneeID, err = userID(p.Assignee); err != nil {
		return Request{}, err
	}
	m, resp, err := g.client.MergeRequests.CreateMergeRequest(g.project, opt, gitlab.WithContext(ctx))
	if resp != nil && resp.StatusCode == http.StatusConflict {
		return Request{}, fmt.Errorf("%w: %w", errConflict, g.failed(resp, err))
	}
	if err := g.failed(resp, err); err != nil {
		return Request{}, err
	}
	return gitLabRequest(m), nil
}

func labelOptions(list []string) *gitlab.LabelOptions {
	if len(list) == 0 {
		return nil
	}
	out := gitlab.LabelOptions(list)
	return &out
}

func userID(text string) (*int, error) {
	if text == "" {
		return nil, nil
	}
	id, err := strconv.Atoi(text)
	if err != nil || id <= 0 {
		return nil, fmt.Errorf("CI_HUMAN_REVIEW_ASSIGNEE: GitLab needs the number of a user, not %q", text)
	}
	return &id, nil
}

func (g *gitLab) edit(ctx context.Context, r Request, c change) (Request, error) {
	opt := &gitlab.UpdateMergeRequestOptions{
		Title: c.title, Description: c.body, TargetBranch: c.target,
		AddLabels: labelOptions(c.add), RemoveLabels: labelOptions(c.remove),
	}
	var err error
	if opt.AssigneeID, err = userID(c.assignee); err != nil {
		return Request{}, err
	}
	m, resp, err := g.client.MergeRequests.UpdateMergeRequest(g.project, r.Number, opt, gitlab.WithContext(ctx))
	if err := g.failed(resp, err); err != nil {
		return Request{}, err
	}
	return gitLabRequest(m), nil
}

func (g *gitLab) comment(ctx context.Context, number int, text string) error {
	opt := &gitlab.CreateMergeRequestNoteOptions{Body: &text}
	_, resp, err := g.client.Notes.CreateMergeRequestNote(g.project, number, opt, gitlab.WithContext(ctx))
	return g.failed(resp, err)
}

func (g *gitLab) close(ctx context.Context, number int) error {
	opt := &gitlab.UpdateMergeRequestOptions{StateEvent: gitlab.Ptr("close")}
	_, resp, err := g.client.MergeRequests.UpdateMergeRequest(g.project, number, opt, gitlab.WithContext(ctx))
	return g.failed(resp, err)
}

func (g *gitLab) merge(ctx context.Context, number int, sha string) error {
	opt := &gitlab.AcceptMergeRequestOptions{SHA: &sha, ShouldRemoveSourceBranch: gitlab.Ptr(true)}
	_, resp, err := g.client.MergeRequests.AcceptMergeRequest(g.project, number, opt, gitlab.WithContext(ctx))
	failed := g.failed(resp, err)
	var refused *StatusError
	if errors.As(failed, &refused) {
		switch refused.Status {
		case http.StatusConflict:
			return ErrHeadMoved
		case http.StatusUnauthorized, http.StatusForbidden:
			refused.Hint = "the token in ACCESS_TOKEN is wrong, or may not merge: it needs the scope api and a role that may " +
				"push to the target branch (Maintainer, if that is protected)"
		case http.StatusMethodNotAllowed, http.StatusUnprocessableEntity:
			refused.Hint = "it cannot be merged now: a draft, a conflict, an open discussion, or a pipeline that has not passed"
		}
	}
	return failed
}

func (g *gitLab) merged(ctx context.Context, number int, sha string) (bool, error) {
	m, resp, err := g.client.MergeRequests.GetMergeRequest(g.project, number, nil, gitlab.WithContext(ctx))
	if err := g.failed(resp, err); err != nil {
		return false, err
	}
	return m.State == "merged" && m.SHA == sha, nil
}

func (g *gitLab) self(ctx context.Context) (string, error) {
	user, resp, err := g.client.Users.CurrentUser(gitlab.WithContext(ctx))
	if err := g.failed(resp, err); err != nil {
		return "", err
	}
	return user.Username, nil
}

func (g *gitLab) notes(ctx context.Context, number int) ([]note, error) {
	opt := &gitlab.ListMergeRequestDiscussionsOptions{PerPage: 100}
	type numbered struct {
		note
		id int
	}
	list, err := everyPage(ctx, func(more ...gitlab.RequestOptionFunc) ([]numbered, *gitlab.Response, error) {
		page, resp, err := g.client.Discussions.ListMergeRequestDiscussions(g.project, number, opt, more...)
		var out []numbered
		for _, discussion := range page {
			for _, n := range discussion.Notes {
				out = append(out, numbered{id: n.ID, note: note{author: n.Author.Username, text: n.Body, settled: n.Resolved}})
			}
		}
		return out, resp, g.failed(resp, err)
	}, func(n numbered) int { return n.id })
	out := make([]note, len(list))
	for i, n := range list {
		out[i] = n.note
	}
	return out, err
}

func (g *gitLab) discuss(ctx context.Context, r Request, list []Thread) error {
	version, err := g.version(ctx, r)
	if err != nil {
		return err
	}
	for _, t := range list {
		err := g.begin(ctx, r.Number, t, position(version, t))
		if code := status(err); code == http.StatusBadRequest || code == http.StatusUnprocessableEntity {
			err = g.begin(ctx, r.Number, t, nil) // a line that the change does not touch
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// version gives the commits that lines are counted in, nil when GitLab does not know the newest commit yet.
func (g *gitLab) version(ctx context.Context, r Request) (*gitlab.MergeRequestDiffVersion, error) {
	for try := 1; ; try++ {
		list, resp, err := g.client.MergeRequests.GetMergeRequestDiffVersions(g.project, r.Number, nil, gitlab.WithContext(ctx))
		if err := g.failed(resp, err); err != nil {
			return nil, err
		}
		for _, v := range list {
			if v.HeadCommitSHA == r.HeadSHA {
				return v, nil
			}
		}
		if try == versionTries {
			return nil, nil
		}
		if err := g.transport.wait(ctx, versionWait); err != nil {
			return nil, err
		}
	}
}

func position(v *gitlab.MergeRequestDiffVersion, t Thread) *gitlab.PositionOptions {
	if v == nil || t.File == "" || t.Line <= 0 {
		return nil
	}
	return &gitlab.PositionOptions{
		PositionType: gitlab.Ptr("text"), BaseSHA: &v.BaseCommitSHA, StartSHA: &v.StartCommitSHA, HeadSHA: &v.HeadCommitSHA,
		OldPath: &t.File, NewPath: &t.File, NewLine: &t.Line,
	}
}

func (g *gitLab) begin(ctx context.Context, number int, t Thread, at *gitlab.PositionOptions) error {
	text := t.Text
	if at == nil {
		text = placed(t)
	}
	opt := &gitlab.CreateMergeRequestDiscussionOptions{Body: &text, Position: at}
	_, resp, err := g.client.Discussions.CreateMergeRequestDiscussion(g.project, number, opt, gitlab.WithContext(ctx))
	return g.failed(resp, err)
}

// failed makes an error of ours from one of the library.
func (g *gitLab) failed(resp *gitlab.Response, err error) error {
	if err == nil {
		return nil
	}
	if resp == nil || resp.Response == nil || resp.StatusCode < http.StatusMultipleChoices {
		return withoutQuery(err)
	}
	message := ""
	var refused *gitlab.ErrorResponse
	if errors.As(err, &refused) {
		message = strings.TrimSuffix(strings.TrimPrefix(refused.Message, "{message: "), "}")
	}
	return g.transport.refusal(resp.Response, message, gitLabHint(resp.StatusCode))
}

func gitLabHint(code int) string {
	switch code {
	case http.StatusUnauthorized:
		return "the token in ACCESS_TOKEN is wrong, expired or revoked: it must be a project access token with the scope api and the role Developer"
	case http.StatusForbidden:
		return "the token in ACCESS_TOKEN may not do that: it needs the scope api and the role Developer"
	case http.StatusNotFound:
		return "no such project or request, or the token in ACCESS_TOKEN may not see it: check CI_PROJECT_ID, and that the token " +
			"has the scope api"
	}
	return ""
}
