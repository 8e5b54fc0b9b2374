package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caur-build/caur/cmd/caur-ci/internal/download"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/internal/settings"
)

const gitTimeout = time.Minute // of one question to git

// json asks for JSON and decodes it.
func (c *Checker) json(ctx context.Context, address string, header http.Header, into any) error {
	_, err := getJSON(ctx, c.Web, address, header, into)
	return err
}

func getJSON(ctx context.Context, web *download.Client, address string, header http.Header, into any) (http.Header, error) {
	if header == nil {
		header = http.Header{}
	}
	if header.Get("Accept") == "" {
		header.Set("Accept", "application/json")
	}
	a, err := web.Get(ctx, download.Request{URL: address, Header: header})
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(a.Body, into); err != nil {
		return nil, fmt.Errorf("%s answers something else than the JSON of this API: %w", download.Clean(address), err)
	}
	return a.Header, nil
}

// repository is the option with the name of a forge: OWNER/NAME, for GitLab also with groups.
func (e Entry) repository(key string) (string, error) {
	v, err := e.text(key)
	if err != nil {
		return "", err
	}
	v = strings.Trim(v, "/")
	for part := range strings.SplitSeq(v, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "?#%\\@: \t\n") {
			return "", fmt.Errorf("the option %s must be OWNER/NAME, not %q", key, v)
		}
	}
	if !strings.Contains(v, "/") && key != "gitlab" {
		return "", fmt.Errorf("the option %s must be OWNER/NAME, not %q", key, v)
	}
	return v, nil
}

// host is the option host, which is a name with perhaps a port: it becomes part of an address that a token is sent to.
func (e Entry) host(otherwise string) (string, error) {
	v, err := e.text("host")
	if err != nil || v == "" {
		return otherwise, err
	}
	if strings.ContainsAny(v, "/?#@\\ \t\n") {
		return "", fmt.Errorf("the option host must be the name of a server, not %q", v)
	}
	return v, nil
}

func bearer(name, before string, token settings.Secret) http.Header {
	if token.IsZero() {
		return http.Header{}
	}
	return http.Header{name: {before + token.Reveal()}}
}

type githubRelease struct {
	Name       string `json:"name"`
	Tag        string `json:"tag_name"`
	Prerelease bool   `json:"prerelease"`
	Draft      bool   `json:"draft"`
}

func (r githubRelease) candidate(e Entry) candidate {
	if e.on("use_release_name") {
		return candidate{version: r.Name}
	}
	return candidate{version: r.Tag}
}

func (c *Checker) github(ctx context.Context, e Entry) ([]candidate, error) {
	repo, err := e.repository("github")
	if err != nil {
		return nil, err
	}
	host, err := e.host("github.com")
	if err != nil {
		return nil, err
	}
	api := "https://api." + host + "/repos/" + repo
	header := bearer("Authorization", "token ", c.Keys.get(host, "github"))
	header.Set("Accept", "application/vnd.github+json")
	switch {
	case e.on("use_latest_release"):
		var r githubRelease
		err := c.json(ctx, api+"/releases/latest", header, &r)
		return []candidate{r.candidate(e)}, notFound(err, "there is no release of "+repo)
	case e.on("use_max_tag"):
		return c.tags(ctx, "https://"+host+"/"+repo)
	case e.on("use_max_release"):
		var list []githubRelease
		if err := c.json(ctx, api+"/releases?per_page=100", header, &list); err != nil {
			return nil, err
		}
		var found []candidate
		for _, r := range list {
			if !r.Prerelease && !r.Draft {
				found = append(found, r.candidate(e))
			}
		}
		return found, nil
	}
	return c.githubCommit(ctx, e, api, header)
}

// githubCommit gives the time of the newest commit as a version.
func (c *Checker) githubCommit(ctx context.Context, e Entry, api string, header http.Header) ([]candidate, error) {
	query := url.Values{"per_page": {"1"}}
	for parameter, option := range map[string]string{"sha": "branch", "path": "path"} {
		v, err := e.text(option)
		if err != nil {
			return nil, err
		}
		if v != "" {
			query.Set(parameter, v)
		}
	}
	var list []struct {
		SHA    string `json:"sha"`
		Commit struct {
			Committer struct {
				Date time.Time `json:"date"`
			} `json:"committer"`
		} `json:"commit"`
	}
	if err := c.json(ctx, api+"/commits?"+query.Encode(), header, &list); err != nil {
		return nil, err
	}
	var found []candidate
	for _, l := range list {
		found = append(found, candidate{version: l.Commit.Committer.Date.UTC().Format("20060102.150405"), revision: l.SHA})
		break
	}
	return found, nil
}

// notFound says what a 404 means here.
func notFound(err error, meaning string) error {
	var status *download.StatusError
	if errors.As(err, &status) && status.Status == http.StatusNotFound {
		return fmt.Errorf("%s (%w)", meaning, err)
	}
	return err
}

// GitLabTag is a tag of a GitLab project.
type GitLabTag struct {
	Name   string `json:"name"`
	Commit struct {
		ID     string `json:"id"`
		WebURL string `json:"web_url"`
	} `json:"commit"`
}

// Bounds of the tags of one project.
const (
	tagsPerPage = 100
	maxTagPages = 30
)

// GitLabTags lists the tags of a project (its number or path) on a server (https://HOST), in GitLab's order of versions,
// the newest first. Of a project with more than 3,000 only these are given. The token may be empty.
func GitLabTags(ctx context.Context, web *download.Client, server, project string, token settings.Secret) ([]GitLabTag, error) {
	base := server + "/api/v4/projects/" + url.PathEscape(project) + "/repository/tags"
	query := fmt.Sprintf("?order_by=version&sort=desc&per_page=%d", tagsPerPage)
	tags, err := gitlabPages(ctx, web, base, query, token)
	var status *download.StatusError
	if errors.As(err, &status) && status.Status == http.StatusBadRequest { // GitLab before 15.4 has no order by version
		tags, err = gitlabPages(ctx, web, base, fmt.Sprintf("?per_page=%d", tagsPerPage), token)
	}
	return tags, err
}

func gitlabPages(ctx context.Context, web *download.Client, base, query string, token settings.Secret) ([]GitLabTag, error) {
	var all []GitLabTag
	next := base + query
	for range maxTagPages {
		var page []GitLabTag
		header, err := getJSON(ctx, web, next, bearer("Private-Token", "", token), &page)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next = nextPage(header, base); next == "" || len(page) == 0 {
			break
		}
	}
	return all, nil
}

// nextPage is the address of the next page that a Link header names. It must be one of the same list: it is sent the token.
func nextPage(header http.Header, base string) string {
	for _, links := range header.Values("Link") {
		for link := range strings.SplitSeq(links, ",") {
			address, about, _ := strings.Cut(strings.TrimSpace(link), ">")
			address = strings.TrimPrefix(address, "<")
			if strings.Contains(about, `rel="next"`) && strings.HasPrefix(address, base+"?") {
				return address
			}
		}
	}
	return ""
}

func (c *Checker) gitlab(ctx context.Context, e Entry) ([]candidate, error) {
	repo, err := e.repository("gitlab")
	if err != nil {
		return nil, err
	}
	host, err := e.host("gitlab.com")
	if err != nil {
		return nil, err
	}
	token := c.Keys.get(host, "gitlab_"+strings.ToLower(host))
	if e.on("use_max_tag") {
		tags, err := GitLabTags(ctx, c.Web, "https://"+host, repo, token)
		found := make([]candidate, len(tags))
		for i, t := range tags {
			found[i] = candidate{version: t.Name, revision: t.Commit.ID}
		}
		return found, err
	}
	branch, err := e.text("branch")
	if err != nil {
		return nil, err
	}
	query := url.Values{"per_page": {"1"}}
	if branch != "" {
		query.Set("ref_name", branch)
	}
	var list []struct {
		ID      string `json:"id"`
		Created string `json:"created_at"`
	}
	address := "https://" + host + "/api/v4/projects/" + url.PathEscape(repo) + "/repository/commits?" + query.Encode()
	if err := c.json(ctx, address, bearer("Private-Token", "", token), &list); err != nil || len(list) == 0 {
		return nil, err
	}
	day, _, _ := strings.Cut(list[0].Created, "T")
	return []candidate{{version: strings.ReplaceAll(day, "-", ""), revision: list[0].ID}}, nil
}

func (c *Checker) gitea(ctx context.Context, e Entry) ([]candidate, error) {
	repo, err := e.repository("gitea")
	if err != nil {
		return nil, err
	}
	host, err := e.host("gitea.com")
	if err != nil {
		return nil, err
	}
	header := bearer("Authorization", "token ", c.Keys.get(host, "gitea_"+strings.ToLower(host)))
	api := "https://" + host + "/api/v1/repos/" + repo
	switch {
	case e.on("use_max_tag") && e.on("use_latest_release"):
		return nil, errors.New("use_max_tag and use_latest_release exclude each other")
	case e.on("use_max_tag"):
		return c.tags(ctx, "https://"+host+"/"+repo)
	case e.on("use_latest_release"):
		var list []githubRelease
		if err := c.json(ctx, api+"/releases?limit=1", header, &list); err != nil || len(list) == 0 {
			return nil, err
		}
		return []candidate{{version: list[0].Name}}, nil
	}
	branch, err := e.text("branch")
	if err != nil {
		return nil, err
	}
	query := url.Values{"limit": {"1"}}
	if branch != "" {
		query.Set("sha", branch)
	}
	var list []struct {
		SHA    string `json:"sha"`
		Commit struct {
			Committer struct {
				Date string `json:"date"`
			} `json:"committer"`
		} `json:"commit"`
	}
	if err := c.json(ctx, api+"/commits?"+query.Encode(), header, &list); err != nil || len(list) == 0 {
		return nil, err
	}
	return []candidate{{version: list[0].Commit.Committer.Date, revision: list[0].SHA}}, nil
}

// git lists tags, or gives the newest commit of a branch as a version of its own.
func (c *Checker) git(ctx context.Context, e Entry) ([]candidate, error) {
	address, err := e.text("git")
	if err == nil && address == "" {
		err = errors.New("the option git, which is the address of the repository, is missing")
	}
	if err != nil {
		return nil, err
	}
	if !e.on("use_commit") {
		return c.tags(ctx, address)
	}
	branch, err := e.text("branch")
	if err != nil {
		return nil, err
	}
	ref := "HEAD"
	if branch != "" {
		ref = "refs/heads/" + branch
	}
	refs, err := c.lsRemote(ctx, address, ref)
	if err != nil {
		return nil, err
	}
	for _, r := range refs {
		if r.Name == ref {
			return []candidate{{version: r.SHA, revision: r.SHA}}, nil
		}
	}
	return nil, fmt.Errorf("%s has no %s", download.Clean(address), ref)
}

func (c *Checker) lsRemote(ctx context.Context, address string, patterns ...string) ([]git.Ref, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, gitTimeout, fmt.Errorf("no answer within %s", gitTimeout))
	defer cancel()
	if c.LsRemote != nil {
		return c.LsRemote(ctx, address, patterns...)
	}
	return git.LsRemote(ctx, address, patterns...)
}

// tags lists the tags of a repository with the commits they point to.
func (c *Checker) tags(ctx context.Context, address string) ([]candidate, error) {
	refs, err := c.lsRemote(ctx, address, "refs/tags/*")
	if err != nil {
		return nil, err
	}
	var found []candidate
	for _, r := range refs {
		name, is := strings.CutPrefix(r.Name, "refs/tags/")
		if !is {
			continue
		}
		if tag, peeled := strings.CutSuffix(name, "^{}"); peeled {
			if len(found) > 0 && found[len(found)-1].version == tag { // it follows its tag
				found[len(found)-1].revision = r.SHA
			}
			continue
		}
		found = append(found, candidate{version: name, revision: r.SHA})
	}
	return found, nil
}
