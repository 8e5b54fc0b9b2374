package notify

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/jsonpath"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/pkg/queue"
)

// Settings of the notifications; names as in executor.md section 4. PACKAGE_REPOS and LOGS_URL are those of the database role, which checks them.
type Settings struct {
	Sources   string          `env:"PACKAGE_REPOS" help:"source repos as JSON: {\"NAME\": {\"url\": \"https://…\"}}"`
	LogsURL   string          `env:"LOGS_URL" help:"address of the page that shows a log"`
	Notifiers settings.Secret `env:"PACKAGE_REPOS_NOTIFIERS" help:"commit statuses as JSON: {\"SOURCE_REPO\": {\"id\": \"PROJECT\", \"token\": \"…\", \"check_name\": \"NAME: %pkgbase%\"}}; \"forge\": \"github\" with \"id\": \"OWNER/REPO\"; \"server\": \"https://…\" where it is not that of the source repo"`

	TelegramToken  settings.Secret `env:"TELEGRAM_BOT_TOKEN" help:"token of the Telegram bot that tells of builds"`
	TelegramChat   string          `env:"TELEGRAM_CHAT_ID" help:"chat that it writes to"`
	TelegramEvents []string        `env:"TELEGRAM_EVENTS, default=success,failed,cleanup" help:"what it tells, with commas: success, failed, skipped, cleanup"`
	TelegramAPI    string          `env:"TELEGRAM_API_URL, default=https://api.telegram.org" help:"address of the Telegram Bot API"`

	URLs settings.Secret `env:"NOTIFY_URLS" help:"further targets as JSON: {\"NAME\": \"shoutrrr address\"} or {\"NAME\": {\"url\": \"…\", \"events\": [\"failed\", \"cleanup\"], \"repos\": [\"TARGET_REPO\"], \"digest\": \"1h\"}}"`

	Flood int `env:"NOTIFY_FLOOD, default=10" help:"messages in a minute to one chat; what is more becomes one digest"`
}

// Check says what is wrong with the values; an error names the JSON path and never what is secret.
func (s *Settings) Check() []string {
	_, problems := s.targets(nil)
	return problems
}

// target is somewhere that messages go. Either forge or chat is set.
type target struct {
	name    string
	secrets []string // which no text may show

	forge *forge
	repo  string // source repo of the forge

	chat   chat
	topics []Topic
	repos  []string      // target repos; empty for all
	digest time.Duration // only digests, so far apart; 0: messages
}

// chat takes messages for people: one note as it is, several as a digest.
type chat interface {
	send(ctx context.Context, notes []Note) error
}

func (t *target) wants(n Note) bool {
	return slices.Contains(t.topics, n.Topic) && (len(t.repos) == 0 || slices.Contains(t.repos, n.Repo))
}

// targets reads all settings.
func (s *Settings) targets(client *http.Client) ([]*target, []string) {
	sources := s.sourceRepos()
	all, problems := readNotifiers(s.Notifiers.Reveal(), sources, client)
	if s.TelegramToken.IsZero() != (s.TelegramChat == "") {
		problems = append(problems, "TELEGRAM_BOT_TOKEN, TELEGRAM_CHAT_ID: set both or none")
	}
	if u, err := url.Parse(s.TelegramAPI); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		problems = append(problems, "TELEGRAM_API_URL: not an http or https address")
	}
	if s.Flood < 1 {
		problems = append(problems, "NOTIFY_FLOOD: at least 1")
	}
	t := &target{name: "telegram", secrets: []string{s.TelegramToken.Reveal()},
		chat: &telegram{api: s.TelegramAPI, token: s.TelegramToken, chat: s.TelegramChat, client: client}}
	for _, word := range s.TelegramEvents {
		topic := Topic(strings.TrimSpace(word))
		if !slices.Contains(topics, topic) {
			problems = append(problems, fmt.Sprintf("TELEGRAM_EVENTS: %q is none of success, failed, skipped, cleanup", word))
		}
		t.topics = append(t.topics, topic)
	}
	if !s.TelegramToken.IsZero() {
		all = append(all, t)
	}
	more, wrong := readURLs(s.URLs.Reveal())
	return append(all, more...), append(problems, wrong...)
}

// sourceRepos are the addresses of PACKAGE_REPOS, as far as they can be read: the database role says what is wrong with them.
func (s *Settings) sourceRepos() map[string]queue.SourceRepo {
	repos := map[string]queue.SourceRepo{}
	root, problems := jsonpath.Parse("PACKAGE_REPOS", s.Sources)
	if problems != nil {
		return repos
	}
	_, members := root.Object()
	for name, n := range members {
		if m, ok := n.Value().(map[string]any); ok {
			address, _ := m["url"].(string)
			repos[name] = queue.SourceRepo{URL: address}
		}
	}
	return repos
}

func (s *Settings) links(targets []*target) links {
	l := links{logsURL: s.LogsURL, sources: s.sourceRepos(), forges: map[string]string{}}
	for _, t := range targets {
		if t.forge != nil {
			l.forges[t.repo] = t.forge.kind
		}
	}
	return l
}

// readNotifiers reads PACKAGE_REPOS_NOTIFIERS.
func readNotifiers(text string, sources map[string]queue.SourceRepo, client *http.Client) ([]*target, []string) {
	if text == "" {
		return nil, nil
	}
	root, problems := jsonpath.Parse("PACKAGE_REPOS_NOTIFIERS", text)
	if problems != nil {
		return nil, problems
	}
	var all []*target
	names, members := root.Object()
	for _, name := range names {
		n := members[name]
		if _, known := sources[name]; !known {
			n.Problem("PACKAGE_REPOS has no such source repo")
		}
		r := notifier{kind: "gitlab"}
		n.Fields(map[string]func(jsonpath.Node){
			"id": func(n jsonpath.Node) { r.id = idOf(n) }, "token": func(n jsonpath.Node) { r.token = n.Text() },
			"check_name": func(n jsonpath.Node) { r.checkName = n.Text() }, "server": func(n jsonpath.Node) { r.server = server(n) },
			"forge": func(n jsonpath.Node) {
				if r.kind = n.Text(); r.kind != "gitlab" && r.kind != "github" {
					n.Problem("gitlab or github")
				}
			},
		})
		if m, ok := n.Value().(map[string]any); ok {
			for _, field := range []string{"id", "token", "check_name"} {
				if m[field] == nil {
					n.Problem("%s is missing", field)
				}
			}
		}
		f, err := r.forge(sources[name].URL, client)
		if err != nil {
			n.Problem("%v", err)
			continue
		}
		all = append(all, &target{name: "status:" + name, repo: name, forge: f, secrets: []string{r.token}})
	}
	return all, root.Problems()
}

// notifier is a member of PACKAGE_REPOS_NOTIFIERS.
type notifier struct{ kind, id, token, checkName, server string }

var ownerRepo = regexp.MustCompile(`^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$`)

// forge finds the API: of the server that is given, else of that of the source repo.
func (r notifier) forge(source string, client *http.Client) (*forge, error) {
	base := r.server
	if base == "" {
		web, ok := webURL(source)
		if !ok {
			return nil, fmt.Errorf("PACKAGE_REPOS names no server for it: say \"server\": \"https://…\"")
		}
		base = web.Scheme + "://" + web.Host
	}
	f := &forge{kind: r.kind, token: settings.NewSecret(r.token), checkName: r.checkName, client: client}
	if r.kind != "github" {
		f.endpoint = base + "/api/v4/projects/" + url.PathEscape(r.id) + "/statuses/"
		return f, nil
	}
	if !ownerRepo.MatchString(r.id) {
		return nil, fmt.Errorf("\"id\" of github: OWNER/REPO is expected")
	}
	api := base + "/api/v3"
	if base == "https://github.com" {
		api = "https://api.github.com"
	}
	f.endpoint = api + "/repos/" + r.id + "/statuses/"
	return f, nil
}

// idOf: GitLab's ids are numbers, or paths.
func idOf(n jsonpath.Node) string {
	if id, ok := n.Value().(float64); ok {
		return strconv.FormatFloat(id, 'f', -1, 64)
	}
	return n.Text()
}

func server(n jsonpath.Node) string {
	text := strings.TrimRight(n.Text(), "/")
	if u, err := url.Parse(text); err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		n.Problem("an http or https address without user is expected")
	}
	return text
}

var targetName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,39}$`)

// readURLs reads NOTIFY_URLS.
func readURLs(text string) ([]*target, []string) {
	if text == "" {
		return nil, nil
	}
	root, problems := jsonpath.Parse("NOTIFY_URLS", text)
	if problems != nil {
		return nil, problems
	}
	var all []*target
	names, members := root.Object()
	for _, name := range names {
		n := members[name]
		if !targetName.MatchString(name) || name == "telegram" {
			n.Problem("a name of small letters, digits, _, . and - is expected, and not telegram")
		}
		t := &target{name: name, topics: []Topic{TopicSuccess, TopicFailed, TopicCleanup}}
		if _, short := n.Value().(string); short {
			t.address(n)
		} else {
			n.Fields(map[string]func(jsonpath.Node){"url": t.address, "events": t.events, "repos": t.only, "digest": t.apart})
			if m, ok := n.Value().(map[string]any); ok && m["url"] == nil {
				n.Problem("url is missing")
			}
		}
		all = append(all, t)
	}
	return all, root.Problems()
}

func (t *target) address(n jsonpath.Node) {
	address := n.Text()
	if err := checkShout(address); err != nil {
		n.Problem("%v", err)
	}
	t.chat, t.secrets = &shout{address: settings.NewSecret(address)}, addressParts(address)
}

func (t *target) events(n jsonpath.Node) {
	t.topics = nil
	for _, item := range n.List() {
		topic := Topic(item.Text())
		if !slices.Contains(topics, topic) {
			item.Problem("%q is none of success, failed, skipped, cleanup", topic)
		}
		t.topics = append(t.topics, topic)
	}
}

func (t *target) only(n jsonpath.Node) {
	repos := map[string]bool{}
	for _, item := range n.List() {
		repos[item.Text()] = true
	}
	t.repos = slices.Sorted(maps.Keys(repos))
}

func (t *target) apart(n jsonpath.Node) {
	d, err := time.ParseDuration(n.Text())
	if err != nil || d < time.Minute || d > 7*24*time.Hour {
		n.Problem("a time from 1m to 168h is expected, such as 1h")
	}
	t.digest = d
}
