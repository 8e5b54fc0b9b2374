package state

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
)

// SourceKind says where the updates of a package come from.
type SourceKind string

// The kinds of CI_PKGBUILD_SOURCE.
const (
	SourceUnset  SourceKind = ""
	SourceAUR    SourceKind = "aur"
	SourceCustom SourceKind = "custom" // kept by hand, or by nvchecker
	SourceGitLab SourceKind = "gitlab" // newest tag of a GitLab project
	SourceGit    SourceKind = "git"
)

// Source is a parsed CI_PKGBUILD_SOURCE.
type Source struct {
	Kind    SourceKind
	Project string // of GitLab: its number, or its path GROUP/PROJECT
	Host    string // of GitLab: https://HOST[:PORT] without slash at the end
	URL     string // of git
}

const gitLabCom = "https://gitlab.com"

// ParseSource reads aur, custom, gitlab:PROJECT (on gitlab.com), gitlab:https://HOST/PROJECT, or
// the URL of a git repository. PROJECT is a number or GROUP/PROJECT. The empty text is the zero Source.
func ParseSource(s string) (Source, error) {
	switch {
	case s == "" || s == string(SourceAUR) || s == string(SourceCustom):
		return Source{Kind: SourceKind(s)}, nil
	case strings.HasPrefix(s, "gitlab:"):
		return parseGitLab(strings.TrimPrefix(s, "gitlab:"))
	}
	if err := checkGitURL(s); err != nil {
		return Source{}, errors.New("must be aur, custom, gitlab:PROJECT or a git URL (https, http, ssh, git or file)")
	}
	return Source{Kind: SourceGit, URL: s}, nil
}

var gitLabProject = regexp.MustCompile(`^([0-9]+|[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+)$`)

func parseGitLab(s string) (Source, error) {
	source := Source{Kind: SourceGitLab, Project: s, Host: gitLabCom}
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return Source{}, errors.New("must be gitlab:PROJECT or gitlab:https://HOST/PROJECT")
		}
		source.Host = u.Scheme + "://" + u.Host
		source.Project = strings.Trim(u.Path, "/")
	}
	if !gitLabProject.MatchString(source.Project) {
		return Source{}, errors.New("must name the GitLab project by its number or as GROUP/PROJECT")
	}
	return source, nil
}

// String is the form that ParseSource reads.
func (s Source) String() string {
	switch s.Kind {
	case SourceGit:
		return s.URL
	case SourceGitLab:
		if s.Host == gitLabCom {
			return "gitlab:" + s.Project
		}
		return "gitlab:" + s.Host + "/" + s.Project
	}
	return string(s.Kind)
}

var scpLike = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^:\s-][^:\s]*$`)

// checkGitURL lets pass what git fetches without running anything: no ext:: transport,
// no option in place of a URL or of a host.
func checkGitURL(s string) error {
	bad := errors.New("must be a git URL")
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return bad
	}
	if scpLike.MatchString(s) {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || strings.HasPrefix(u.Host, "-") || u.User != nil && strings.HasPrefix(u.User.Username(), "-") {
		return bad
	}
	switch u.Scheme {
	case "https", "http", "ssh", "git":
		if u.Host != "" && strings.Trim(u.Path, "/") != "" {
			return nil
		}
	case "file":
		if u.Host == "" && strings.HasPrefix(u.Path, "/") {
			return nil
		}
	}
	return bad
}
