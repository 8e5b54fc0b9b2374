package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-github/v62/github"
)

// gitHubBody is the largest text, in characters.
const gitHubBody = 65536

// baseTries is how often a merge is tried, baseWait apart, while GitHub digests the merge before it.
const (
	baseTries = 5
	baseWait  = 2 * time.Second
)

type gitHub struct {
	client      *github.Client
	owner, name string
	transport   *transport
}

func newGitHub(cfg Config, api *url.URL) (*gitHub, error) {
	owner, name, ok := strings.Cut(cfg.Project, "/")
	if !ok || owner == "" || name == "" || strings.ContainsAny(name, "/?#") {
		return nil, fmt.Errorf("%s must be OWNER/NAME, not %q", envRepository, cfg.Project)
	}
	t := newTransport(cfg, api)
	client := github.NewClient(t.client())
	base := *api
	base.Path = strings.TrimSuffix(base.Path, "/") + "/"
	client.BaseURL = &base
	return &gitHub{client: client, owner: owner, name: name, transport: t}, nil
}

func (*gitHub) kind() string             { return GitHub }
func (*gitHub) bodyLimit() int           { return gitHubBody }
func (*gitHub) shape(text string) string { return text }

func (g *gitHub) list(ctx context.Context, branch string) ([]Request, error) {
	opt := &github.PullRequestListOptions{
		State: "open", Sort: "created", Direction: "asc", ListOptions: github.ListOptions{PerPage: 100},
	}
	if branch != "" {
		opt.Head = g.owner + ":" + branch
	}
	var out []Request
	seen := map[int]bool{}
	err := g.pages(&opt.ListOptions, func() (*github.Response, error) {
		page, resp, err := g.client.PullRequests.List(ctx, g.owner, g.name, opt)
		for _, p := range page {
			if own := strings.EqualFold(p.GetHead().GetRepo().GetFullName(), g.owner+"/"+g.name); own && !seen[p.GetNumber()] {
				seen[p.GetNumber()] = true
				out = append(out, gitHubRequest(p))
			}
		}
		return resp, err
	})
	return out, err
}

// pages calls get for each page.
func (g *gitHub) pages(opt *github.ListOptions, get func() (*github.Response, error)) error {
	for {
		resp, err := get()
		if err != nil {
			return g.failed(resp, err)
		}
		if resp.NextPage == 0 {
			return nil
		}
		if resp.NextPage <= opt.Page {
			return errors.New("the pages of the forge's answer link to one another in a circle")
		}
		opt.Page = resp.NextPage
	}
}

func gitHubRequest(p *github.PullRequest) Request {
	r := Request{
		Number: p.GetNumber(), Branch: p.GetHead().GetRef(), Target: p.GetBase().GetRef(), Title: p.GetTitle(),
		URL: p.GetHTMLURL(), HeadSHA: p.GetHead().GetSHA(), Created: p.GetCreatedAt().Time, Updated: p.GetUpdatedAt().Time,
		closed: p.GetState() != "open",
	}
	r.setBody(p.GetBody())
	for _, label := range p.Labels {
		r.Labels = append(r.Labels, label.GetName())
	}
	for _, user := range p.Assignees {
		r.Assignees = append(r.Assignees, user.GetLogin())
	}
	return r
}

// create leaves out maintainer_can_modify: it is true unless told otherwise, means forks only, and GitHub refuses to be told
// that it is true for a branch of the repository itself, to which whoever may push to it may push anyway.
func (g *gitHub) create(ctx context.Context, p Proposal) (Request, error) {
	pull, resp, err := g.client.PullRequests.Create(ctx, g.owner, g.name, &github.NewPullRequest{
		Title: &p.Title, Body: &p.Body, Head: &p.Branch, Base: &p.Target,
	})
	failed := g.failed(resp, err)
	if status(failed) == http.StatusUnprocessableEntity && strings.Contains(failed.Error(), "already exists") {
		return Request{}, fmt.Errorf("%w: %w", errConflict, failed)
	}
	if failed != nil {
		return Request{}, failed
	}
	return gitHubRequest(pull), nil
}

// edit sets labels first: the danger is to be seen even if the rest fails.
func (g *gitHub) edit(ctx context.Context, r Request, c change) (Request, error) {
	if len(c.add) > 0 {
		list, resp, err := g.client.Issues.AddLabelsToIssue(ctx, g.owner, g.name, r.Number, c.add)
		if err != nil {
			return r, g.failed(resp, err)
		}
		r.Labels = nil
		for _, label := range list {
			r.Labels = append(r.Labels, label.GetName())
		}
	}
	for _, label := range c.remove {
		resp, err := g.client.Issues.RemoveLabelForIssue(ctx, g.owner, g.name, r.Number, url.PathEscape(label))
		if failed := g.failed(resp, err); failed != nil && status(failed) != http.StatusNotFound {
			return r, failed
		}
		r.Labels = without(r.Labels, label)
	}
	if c.assignee != "" {
		_, resp, err := g.client.Issues.AddAssignees(ctx, g.owner, g.name, r.Number, []string{c.assignee})
		if err != nil {
			return r, g.failed(resp, err)
		}
		r.Assignees = []string{c.assignee}
	}
	if c.title == nil && c.body == nil && c.target == nil {
		return r, nil
	}
	update := &github.PullRequest{Title: c.title, Body: c.body}
	if c.target != nil {
		update.Base = &github.PullRequestBranch{Ref: c.target}
	}
	pull, resp, err := g.client.PullRequests.Edit(ctx, g.owner, g.name, r.Number, update)
	if err != nil {
		return r, g.failed(resp, err)
	}
	return gitHubRequest(pull), nil
}

func without(list []string, label string) []string {
	var out []string
	for _, have := range list {
		if have != label {
			out = append(out, have)
		}
	}
	return out
}

func (g *gitHub) comment(ctx context.Context, number int, text string) error {
	_, resp, err := g.client.Issues.CreateComment(ctx, g.owner, g.name, number, &github.IssueComment{Body: &text})
	return g.failed(resp, err)
}

func (g *gitHub) close(ctx context.Context, number int) error {
	_, resp, err := g.client.PullRequests.Edit(ctx, g.owner, g.name, number, &github.PullRequest{State: github.String("closed")})
	return g.failed(resp, err)
}

// merge takes the first way to merge that the repository allows, and removes the branch, which GitHub does by itself only
// where the repository is set so.
func (g *gitHub) merge(ctx context.Context, number int, sha string) error {
	pull, resp, err := g.client.PullRequests.Get(ctx, g.owner, g.name, number)
	if err != nil {
		return g.failed(resp, err)
	}
	if pull.GetHead().GetSHA() != sha {
		return ErrHeadMoved
	}
	for _, method := range []string{"merge", "squash", "rebase"} {
		err = g.mergeBy(ctx, number, sha, method)
		if status(err) != http.StatusMethodNotAllowed || !strings.Contains(err.Error(), "not allowed on this repository") {
			break
		}
	}
	if err != nil {
		return err
	}
	ref := "heads/" + pull.GetHead().GetRef()
	resp, err = g.client.Git.DeleteRef(ctx, g.owner, g.name, ref)
	failed := g.failed(resp, err)
	if code := status(failed); code == http.StatusUnprocessableEntity || code == http.StatusNotFound {
		return nil // it is gone
	}
	if failed != nil {
		return fmt.Errorf("it is merged, but its branch stays: %w", failed)
	}
	return nil
}

func (g *gitHub) mergeBy(ctx context.Context, number int, sha, method string) error {
	for try := 1; ; try++ {
		opt := &github.PullRequestOptions{SHA: sha, MergeMethod: method}
		_, resp, err := g.client.PullRequests.Merge(ctx, g.owner, g.name, number, "", opt)
		failed := g.failed(resp, err)
		var refused *StatusError
		if !errors.As(failed, &refused) {
			return failed
		}
		switch {
		case refused.Status == http.StatusConflict:
			return ErrHeadMoved
		case refused.Status != http.StatusMethodNotAllowed:
			return failed
		case !strings.Contains(refused.Message, "Base branch was modified") || try == baseTries:
			refused.Hint = "it cannot be merged now: a draft, a conflict, or a check that has not passed"
			return failed
		}
		if err := g.transport.wait(ctx, baseWait); err != nil {
			return err
		}
	}
}

func (g *gitHub) merged(ctx context.Context, number int, sha string) (bool, error) {
	pull, resp, err := g.client.PullRequests.Get(ctx, g.owner, g.name, number)
	if err != nil {
		return false, g.failed(resp, err)
	}
	return pull.GetMerged() && pull.GetHead().GetSHA() == sha, nil
}

func (g *gitHub) self(ctx context.Context) (string, error) {
	user, resp, err := g.client.Users.Get(ctx, "")
	if err != nil {
		return "", g.failed(resp, err)
	}
	return user.GetLogin(), nil
}

func (g *gitHub) notes(ctx context.Context, number int) ([]note, error) {
	var out []note
	reviews := &github.PullRequestListCommentsOptions{ListOptions: github.ListOptions{PerPage: 100}}
	err := g.pages(&reviews.ListOptions, func() (*github.Response, error) {
		page, resp, err := g.client.PullRequests.ListComments(ctx, g.owner, g.name, number, reviews)
		for _, c := range page {
			gone := c.Line == nil && c.GetSubjectType() != "file"
			out = append(out, note{author: c.GetUser().GetLogin(), bot: isBot(c.GetUser()), text: c.GetBody(), settled: gone})
		}
		return resp, err
	})
	if err != nil {
		return nil, err
	}
	comments := &github.IssueListCommentsOptions{ListOptions: github.ListOptions{PerPage: 100}}
	err = g.pages(&comments.ListOptions, func() (*github.Response, error) {
		page, resp, err := g.client.Issues.ListComments(ctx, g.owner, g.name, number, comments)
		for _, c := range page {
			// A comment on the whole cannot be resolved: for a new commit it is said again.
			out = append(out, note{author: c.GetUser().GetLogin(), bot: isBot(c.GetUser()), text: c.GetBody(), settled: true})
		}
		return resp, err
	})
	return out, err
}

func isBot(u *github.User) bool { return u.GetType() == "Bot" }

// discuss says each thing as close to its line as GitHub lets it: lines that are not shown with the change have no place.
func (g *gitHub) discuss(ctx context.Context, r Request, list []Thread) error {
	for _, t := range list {
		if err := g.begin(ctx, r, t); err != nil {
			return err
		}
	}
	return nil
}

func (g *gitHub) begin(ctx context.Context, r Request, t Thread) error {
	if t.File != "" && r.HeadSHA != "" {
		at := &github.PullRequestComment{Body: &t.Text, CommitID: &r.HeadSHA, Path: &t.File}
		if t.Line > 0 {
			at.Line, at.Side = &t.Line, github.String("RIGHT")
			err := g.reviewComment(ctx, r.Number, at)
			if status(err) != http.StatusUnprocessableEntity {
				return err
			}
		}
		text := placed(t)
		at.Body, at.Line, at.Side, at.SubjectType = &text, nil, nil, github.String("file")
		err := g.reviewComment(ctx, r.Number, at)
		if status(err) != http.StatusUnprocessableEntity {
			return err
		}
	}
	return g.comment(ctx, r.Number, placed(t))
}

func (g *gitHub) reviewComment(ctx context.Context, number int, c *github.PullRequestComment) error {
	_, resp, err := g.client.PullRequests.CreateComment(ctx, g.owner, g.name, number, c)
	return g.failed(resp, err)
}

// failed makes an error of ours from one of the library.
func (g *gitHub) failed(resp *github.Response, err error) error {
	if err == nil {
		return nil
	}
	if resp == nil || resp.Response == nil || resp.StatusCode < http.StatusMultipleChoices {
		return withoutQuery(err)
	}
	message := ""
	var refused *github.ErrorResponse
	if errors.As(err, &refused) {
		message = refused.Message
		for _, e := range refused.Errors {
			message += "; " + strings.TrimSpace(e.Field+" "+e.Code+" "+e.Message)
		}
	}
	return g.transport.refusal(resp.Response, message, gitHubHint(resp.StatusCode))
}

func gitHubHint(code int) string {
	const need = "Contents, Issues and Pull requests: read and write (in a workflow: permissions contents, issues and pull-requests: write)"
	switch code {
	case http.StatusUnauthorized:
		return "the token in ACCESS_TOKEN is wrong, expired or revoked: it must be a token of the repository with the permissions " + need
	case http.StatusForbidden:
		return "the token in ACCESS_TOKEN may not do that: it needs the permissions " + need
	case http.StatusNotFound:
		return "no such repository or request, or the token in ACCESS_TOKEN may not see it: check GITHUB_REPOSITORY, and that the " +
			"token has the permissions " + need
	}
	return ""
}
