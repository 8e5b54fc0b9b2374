package forge

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/caur-build/caur/internal/settings"
)

// The variables that FromEnvironment reads; the first three are GitLab's, the next two GitHub's.
const (
	envProject    = "CI_PROJECT_ID"
	envGitLabAPI  = "CI_API_V4_URL"
	envGitLab     = "GITLAB_CI"
	envRepository = "GITHUB_REPOSITORY"
	envGitHubAPI  = "GITHUB_API_URL"
	envGitHub     = "GITHUB_ACTIONS"
	envToken      = "ACCESS_TOKEN"
)

const gitHubAPI = "https://api.github.com"

// Config says where a forge is and who asks. Only the first four fields are required.
type Config struct {
	Kind    string          // GitLab or GitHub
	API     string          // GitLab: …/api/v4; GitHub: https://api.github.com, elsewhere …/api/v3
	Project string          // GitLab: project id or path, GitHub: OWNER/NAME
	Token   settings.Secret // sent to the host of API only

	Transport http.RoundTripper                          // nil: http.DefaultTransport
	Now       func() time.Time                           // nil: time.Now
	Sleep     func(context.Context, time.Duration) error // nil: really sleeps
	MaxWait   time.Duration                              // for rate limits and repeats, of all requests together; 0: 10 minutes
	Timeout   time.Duration                              // of one try; 0: 1 minute
}

// FromEnvironment finds the forge of a pipeline in its variables: of GitLab CI_PROJECT_ID, CI_API_V4_URL, of GitHub
// GITHUB_REPOSITORY, GITHUB_API_URL (default: github.com); ACCESS_TOKEN, or the contents of the file that
// ACCESS_TOKEN_FILE names. Where both are set, GITLAB_CI or GITHUB_ACTIONS decides. A missing one is a *MissingError.
func FromEnvironment(get func(string) (string, bool)) (Forge, error) {
	cfg, err := configFrom(get)
	if err != nil {
		return nil, err
	}
	return New(cfg)
}

func configFrom(get func(string) (string, bool)) (Config, error) {
	value := func(key string) string {
		v, _ := get(key)
		return strings.TrimSpace(v)
	}
	var cfg Config
	var missing []string
	need := func(key string) string {
		v := value(key)
		if v == "" {
			missing = append(missing, key)
		}
		return v
	}
	switch kindFrom(value) {
	case GitLab:
		cfg = Config{Kind: GitLab, Project: need(envProject), API: need(envGitLabAPI)}
	case GitHub:
		cfg = Config{Kind: GitHub, Project: need(envRepository), API: value(envGitHubAPI)}
		if cfg.API == "" {
			cfg.API = gitHubAPI
		}
	default:
		return cfg, &MissingError{Variables: []string{envProject, envRepository}}
	}
	token, err := tokenFrom(value)
	if err != nil {
		return cfg, err
	}
	if token == "" {
		missing = append(missing, envToken)
	}
	if len(missing) > 0 {
		return cfg, &MissingError{Forge: displayName(cfg.Kind), Variables: missing}
	}
	cfg.Token = settings.NewSecret(token)
	return cfg, nil
}

// kindFrom trusts the project's variables over the runner's: a test of ours may run inside a pipeline.
func kindFrom(value func(string) string) string {
	lab, hub := value(envProject) != "", value(envRepository) != ""
	switch {
	case lab && !hub:
		return GitLab
	case hub && !lab:
		return GitHub
	case value(envGitHub) != "" && value(envGitLab) == "":
		return GitHub
	case lab || value(envGitLab) != "":
		return GitLab
	}
	return ""
}

func tokenFrom(value func(string) string) (string, error) {
	if token := value(envToken); token != "" {
		return token, nil
	}
	name := value(envToken + "_FILE")
	if name == "" {
		return "", nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("read the token that %s_FILE names: %w", envToken, err)
	}
	return strings.TrimSpace(string(data)), nil
}

// New connects nothing yet: the first request shows whether the forge is there and the token is good.
func New(cfg Config) (Forge, error) {
	api, err := parseAPI(cfg)
	if err != nil {
		return nil, err
	}
	var h host
	switch cfg.Kind {
	case GitLab:
		h, err = newGitLab(cfg, api)
	case GitHub:
		h, err = newGitHub(cfg, api)
	default:
		err = fmt.Errorf("forge: no such kind as %q", cfg.Kind)
	}
	if err != nil {
		return nil, err
	}
	return newDesk(h), nil
}

// parseAPI reads the address of the API; its errors do not repeat it, as it may hold a password.
func parseAPI(cfg Config) (*url.URL, error) {
	variable := envGitLabAPI
	if cfg.Kind == GitHub {
		variable = envGitHubAPI
	}
	u, err := url.Parse(cfg.API)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return nil, fmt.Errorf("%s is no http or https address", variable)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%s must hold neither user nor query: the token belongs in %s", variable, envToken)
	}
	return u, nil
}

func displayName(kind string) string {
	if kind == GitHub {
		return "GitHub"
	}
	return "GitLab"
}
