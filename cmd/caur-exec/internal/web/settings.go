package web

import (
	"fmt"
	"net"
	"net/url"
	"strconv"

	"github.com/caur-build/caur/internal/settings"
)

// minToken keeps tokens out that can be guessed.
const minToken = 16

// Settings of the web role.
type Settings struct {
	Host           string   `env:"WEB_HOST" help:"address to listen on (default: all)"`
	Port           int      `env:"WEB_PORT, default=8080" help:"port to listen on"`
	LogsURL        string   `env:"LOGS_URL" help:"address of the page that shows a log, as people reach it"`
	Origins        []string `env:"CORS_ORIGINS" help:"origins whose pages may read the API, with commas; * for all"`
	MaxConnections int      `env:"WEB_MAX_CONNECTIONS, default=4096" help:"connections at once; three quarters of them may be log streams"`
	// RepoPath is that of the database role; a web role alone may have it, too.
	RepoPath   string          `env:"REPO_PATH" help:"folder of the package repositories, for the versions in it"`
	AdminToken settings.Secret `env:"WEB_ADMIN_TOKEN" help:"allows who has it to cancel, retry, prioritise and drain; at least 16 characters; Redis must let this role write (default: nobody may)"`
}

// Check says what is wrong with the values.
func (s *Settings) Check() []string {
	var problems []string
	if s.Port < 0 || s.Port > 65535 {
		problems = append(problems, "WEB_PORT: not a port")
	}
	if s.MaxConnections < 4 {
		problems = append(problems, "WEB_MAX_CONNECTIONS: at least 4")
	}
	if !s.AdminToken.IsZero() && len(s.AdminToken.Reveal()) < minToken {
		problems = append(problems, "WEB_ADMIN_TOKEN: shorter than 16 characters")
	}
	if s.LogsURL != "" {
		if u, err := url.Parse(s.LogsURL); err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
			problems = append(problems, "LOGS_URL: not an http or https address")
		}
	}
	for _, origin := range s.Origins {
		if u, err := url.Parse(origin); origin != "*" && (err != nil || u.Host == "" || u.Scheme+"://"+u.Host != origin) {
			problems = append(problems, fmt.Sprintf("CORS_ORIGINS: %q is no origin, such as https://example.org", origin))
		}
	}
	return problems
}

// Address is what to listen on.
func (s *Settings) Address() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }
