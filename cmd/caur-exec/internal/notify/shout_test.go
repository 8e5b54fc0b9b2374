package notify

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/pkg/queue"
)

// shoutOf is a target as NOTIFY_URLS makes it.
func shoutOf(t *testing.T, address string) *target {
	t.Helper()
	all, problems := readURLs(fmt.Sprintf(`{"ops": %q}`, address))
	if len(problems) > 0 || len(all) != 1 {
		t.Fatalf("%s: %q", address, problems)
	}
	return all[0]
}

func (t *target) try(ctx context.Context, notes ...Note) error {
	return t.attempt(ctx, 5*time.Second, func(ctx context.Context) error { return t.chat.send(ctx, notes) })
}

func TestNtfyAndWebhooksGetWhatTheyExpect(t *testing.T) {
	t.Parallel()
	ntfy := newService(t, `{"id":"x"}`, func(r *http.Request, g got) string {
		switch {
		case r.Method != http.MethodPost || r.URL.Path != "/builds":
			return "another address"
		case g.header.Get("Title") != "chaotic-aur: libstdc++5 (x86_64) failed, compile":
			return "another title: " + g.header.Get("Title")
		case g.header.Get("Authorization") != "Basic dXNlcjpwYXNz":
			return "no password"
		case !strings.Contains(g.text, "A failure occurred in build()"):
			return "no failure"
		}
		return ""
	})
	host := strings.TrimPrefix(ntfy.URL, "http://")
	if err := shoutOf(t, "ntfy://user:pass@"+host+"/builds?disabletls=yes").try(t.Context(), failedNote()); err != nil {
		t.Error(err)
	}
	ntfy.next()
	hook := newService(t, "", func(r *http.Request, g got) string {
		if r.Method != http.MethodPost || r.URL.Path != "/hooks/a" || g.body["title"] == "" || !strings.Contains(fmt.Sprint(g.body["message"]), "Failed deploying") {
			return "another request"
		}
		return ""
	})
	if err := shoutOf(t, "generic://"+strings.TrimPrefix(hook.URL, "http://")+"/hooks/a?disabletls=yes&template=json").try(t.Context(), failedNote()); err != nil {
		t.Error(err)
	}
	hook.next()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	err := shoutOf(t, "generic+"+secure.URL+"/s3cret-path?template=json").try(t.Context(), failedNote())
	if err == nil || !strings.Contains(err.Error(), "certificate") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a certificate that nobody signed: %v", err)
	}
}

// TestDiscord is not parallel: shoutrrr's address of Discord is fixed, so the transport of all clients is replaced for its time.
func TestDiscordGetsAMessage(t *testing.T) {
	discord := newService(t, "", func(r *http.Request, g got) string {
		if r.Host != "discord.com" || r.URL.Path != "/api/webhooks/123456/t0ken-of-discord" || !strings.Contains(g.text, "Cause: compile") {
			return "another request: " + r.Host + r.URL.Path
		}
		return ""
	})
	discord.answers(func(got) (int, http.Header, string) { return 204, nil, "" })
	usual := http.DefaultTransport
	defer func() { http.DefaultTransport = usual }()
	http.DefaultTransport = roundTrip(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.Host, r.URL.Scheme, r.URL.Host = r.URL.Host, "http", strings.TrimPrefix(discord.URL, "http://")
		return usual.RoundTrip(r)
	})
	target := shoutOf(t, "discord://t0ken-of-discord@123456?splitlines=no")
	if err := target.try(t.Context(), failedNote()); err != nil {
		t.Error(err)
	}
	http.DefaultTransport = roundTrip(func(r *http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("no route to %s", r.URL)
	})
	if err := target.try(t.Context(), failedNote()); err == nil || strings.Contains(err.Error(), "t0ken") || strings.Contains(err.Error(), "123456") {
		t.Errorf("error %v", err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// mailbox is an SMTP server that takes one mail.
func mailbox(t *testing.T) (address string, mail func() (envelope []string, text string)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var commands []string
	var data strings.Builder
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		in := bufio.NewScanner(c)
		say := func(line string) { _, _ = fmt.Fprint(c, line+"\r\n") } // a client that has gone shows in what came
		say("220 mail.example.org ESMTP")
		for in.Scan() {
			line := in.Text()
			commands = append(commands, line)
			switch verb, _, _ := strings.Cut(strings.ToUpper(line), " "); verb {
			case "EHLO":
				say("250-mail.example.org\r\n250 8BITMIME")
			case "DATA":
				say("354 go on")
				for in.Scan() && in.Text() != "." {
					data.WriteString(in.Text() + "\n")
				}
				say("250 taken")
			case "QUIT":
				say("221 bye")
				return
			default:
				say("250 ok")
			}
		}
	}()
	return l.Addr().String(), func() ([]string, string) { <-done; return commands, data.String() }
}

func TestMailIsSent(t *testing.T) {
	t.Parallel()
	address, mail := mailbox(t)
	target := shoutOf(t, "smtp://"+address+"/?from=caur@example.org&to=ops@example.org&auth=None&encryption=None")
	if err := target.try(t.Context(), failedNote()); err != nil {
		t.Fatal(err)
	}
	commands, text := mail()
	all := strings.Join(commands, "\n")
	for _, part := range []string{"MAIL FROM:<caur@example.org>", "RCPT TO:<ops@example.org>"} {
		if !strings.Contains(all, part) {
			t.Errorf("%q is missing in\n%s", part, all)
		}
	}
	head, body, _ := strings.Cut(text, "\n\n")
	if !strings.Contains(head, "Subject: chaotic-aur: libstdc++5 (x86_64) failed, compile") || !strings.Contains(body, "==> ERROR: A failure occurred in build().") {
		t.Errorf("mail:\n%s", text)
	}
}

func TestAServerThatHangsHoldsOneCall(t *testing.T) {
	t.Parallel()
	var calls sync.WaitGroup
	hang := make(chan struct{})
	came := make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { came <- struct{}{}; <-hang }))
	defer server.Close()
	defer calls.Wait()
	target := shoutOf(t, "generic://"+strings.TrimPrefix(server.URL, "http://")+"/?disabletls=yes")
	short := func() error {
		return target.attempt(t.Context(), 50*time.Millisecond, func(ctx context.Context) error { return target.chat.send(ctx, []Note{failedNote()}) })
	}
	if err := short(); err == nil || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("error %v", err)
	}
	for range 3 {
		if err := short(); err == nil || !strings.Contains(err.Error(), "has not come to an end") {
			t.Errorf("error %v", err)
		}
	}
	if <-came; len(came) > 0 {
		t.Errorf("%d more calls", len(came))
	}
	close(hang)
	<-target.chat.(*shout).pending
	if err := target.try(t.Context(), failedNote()); err != nil {
		t.Errorf("after it: %v", err)
	}
}

func TestNothingSecretIsPrinted(t *testing.T) {
	for _, address := range []string{"discord://t0ken-abc@99887766", "ntfy://user:pa55word@ntfy.example.org/secret-topic", "slack://hook:WNA3PBYV6-F20DUQND3RQ-Webc4MAvoacrpPakR8phF0zi@webhook",
		"generic+https://hooks.example.org/path-s3cret/x?token=q5ecret", "telegram://110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw@telegram?chats=@channel"} {
		secrets := addressParts(address)
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		pw, _ := u.User.Password()
		texts := fmt.Sprintf("Post %q: %s %s %s %v", address, u.Path, u.User.Username(), pw, u.Query())
		got := redact(texts, secrets)
		for _, secret := range []string{"t0ken-abc", "99887766", "pa55word", "secret-topic", "WNA3PBYV6", "s3cret", "q5ecret", "AAHdqTcv"} {
			if strings.Contains(got, secret) {
				t.Errorf("%s is in %s", secret, got)
			}
		}
	}
	if got := redact("dial tcp 10.0.0.1:80: connect: connection refused", []string{"secret"}); got != "dial tcp 10.0.0.1:80: connect: connection refused" {
		t.Errorf("%q", got)
	}
}

func TestMistakesInTheSettingsAreNamedByTheirPath(t *testing.T) {
	const sources = `{"packages": {"url": "https://gitlab.example.org/a/b.git"}, "local": {"url": "/srv/b"}}`
	tests := []struct{ name, value, want string }{ // want: the beginning of the one problem
		{"PACKAGE_REPOS_NOTIFIERS", `{"packages": {"id": 12345, "token": "s3cret", "check_name": "caur: %pkgbase%"}}`, ""},
		{"PACKAGE_REPOS_NOTIFIERS", `{"packages": {"id": "1", "token": "s3cret"}}`, "PACKAGE_REPOS_NOTIFIERS.packages: check_name is missing"},
		{"PACKAGE_REPOS_NOTIFIERS", `{"packages": {"id": "1", "token": 5, "check_name": "x"}}`, "PACKAGE_REPOS_NOTIFIERS.packages.token: a text is expected"},
		{"PACKAGE_REPOS_NOTIFIERS", `{"packages": {"id": "1", "token": "s3cret", "check_name": "x", "forge": "gitea"}}`, "PACKAGE_REPOS_NOTIFIERS.packages.forge: gitlab or github"},
		{"PACKAGE_REPOS_NOTIFIERS", `{"packages": {"id": "1", "token": "s3cret", "check_name": "x", "forge": "github"}}`, `PACKAGE_REPOS_NOTIFIERS.packages: "id" of github`},
		{"PACKAGE_REPOS_NOTIFIERS", `{"packages": {"id": "1", "token": "s3cret", "check_name": "x", "server": "ftp://x"}}`, "PACKAGE_REPOS_NOTIFIERS.packages.server: an http"},
		{"PACKAGE_REPOS_NOTIFIERS", `{"local": {"id": "1", "token": "s3cret", "check_name": "x"}}`, "PACKAGE_REPOS_NOTIFIERS.local: PACKAGE_REPOS names no server"},
		{"PACKAGE_REPOS_NOTIFIERS", `{"packages": {"id": "1", "token": "s3cret", "check_name": "x", "tokem": "y"}}`, "PACKAGE_REPOS_NOTIFIERS.packages.tokem: unknown key"},
		{"PACKAGE_REPOS_NOTIFIERS", `{"packages": `, "PACKAGE_REPOS_NOTIFIERS: not JSON"},
		{"TELEGRAM_BOT_TOKEN", "s3cret", "TELEGRAM_BOT_TOKEN, TELEGRAM_CHAT_ID: set both"},
		{"TELEGRAM_EVENTS", "failed,boom", `TELEGRAM_EVENTS: "boom"`},
		{"TELEGRAM_API_URL", "telegram", "TELEGRAM_API_URL: not"},
		{"NOTIFY_FLOOD", "-1", "NOTIFY_FLOOD: at least 1"},
		{"NOTIFY_URLS", `{"ops": "ntfy://ntfy.sh/s3cret"}`, ""},
		{"NOTIFY_URLS", `{"ops": {"url": "ntfy://ntfy.sh/s3cret", "events": ["failed"], "repos": ["demo"], "digest": "1h"}}`, ""},
		{"NOTIFY_URLS", `{"ops": "icq://s3cret"}`, `NOTIFY_URLS.ops: shoutrrr knows no service "icq"`},
		{"NOTIFY_URLS", `{"ops": "logger://"}`, `NOTIFY_URLS.ops: shoutrrr knows no service "logger"`},
		{"NOTIFY_URLS", `{"ops": "s3cret"}`, "NOTIFY_URLS.ops: not an address"},
		{"NOTIFY_URLS", `{"ops": "smtp://s3cret@mail.example.org"}`, "NOTIFY_URLS.ops: shoutrrr smtp"},
		{"NOTIFY_URLS", `{"Ops!": "ntfy://ntfy.sh/s3cret"}`, "NOTIFY_URLS.Ops!: a name of small letters"},
		{"NOTIFY_URLS", `{"ops": {"events": []}}`, "NOTIFY_URLS.ops: url is missing"},
		{"NOTIFY_URLS", `{"ops": {"url": "ntfy://ntfy.sh/s3cret", "events": ["bang"]}}`, "NOTIFY_URLS.ops.events[0]:"},
		{"NOTIFY_URLS", `{"ops": {"url": "ntfy://ntfy.sh/s3cret", "digest": "1s"}}`, "NOTIFY_URLS.ops.digest: a time from"},
	}
	for _, tt := range tests {
		var s Settings
		err := settings.Load(t.Context(), &s, settings.Map(map[string]string{"PACKAGE_REPOS": sources, tt.name: tt.value}))
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s=%s: %v", tt.name, tt.value, err)
		case tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), "settings: "+tt.want) || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s=%s gives\n%v\nwant\n%s", tt.name, tt.value, err, tt.want)
		case err != nil && strings.Contains(err.Error(), "s3cret"):
			t.Errorf("%s=%s shows the secret: %v", tt.name, tt.value, err)
		}
	}
}

// TestTheExamplesOfTheDocumentationWork keeps docs/notifications.md true.
func TestTheExamplesOfTheDocumentationWork(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of JSON", len(blocks))
	}
	sources := map[string]queue.SourceRepo{"packages": {URL: "https://gitlab.com/a/b.git"}, "more": {URL: "https://github.com/a/b"}}
	forges, problems := readNotifiers(blocks[0][1], sources, nil)
	if len(problems) > 0 || len(forges) != 2 || forges[0].forge.endpoint != "https://api.github.com/repos/owner/repo/statuses/" ||
		forges[1].forge.endpoint != "https://gitlab.com/api/v4/projects/54867625/statuses/" {
		t.Errorf("%q: %+v", problems, forges)
	}
	if all, problems := readURLs(blocks[1][1]); len(problems) > 0 || len(all) != 5 {
		t.Errorf("%q", problems)
	}
}

func TestTargetsChooseWhatTheyHear(t *testing.T) {
	all, problems := readURLs(`{"a": "ntfy://ntfy.sh/x", "b": {"url": "ntfy://ntfy.sh/x", "events": ["failed", "cleanup"], "repos": ["demo"]}}`)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	tests := []struct {
		note Note
		a, b bool
	}{
		{Note{Topic: TopicSuccess, Repo: "demo"}, true, false},
		{Note{Topic: TopicFailed, Repo: "demo", Status: queue.Failed}, true, true},
		{Note{Topic: TopicFailed, Repo: "other"}, true, false},
		{Note{Topic: TopicCleanup, Repo: "demo"}, true, true},
		{Note{Topic: TopicSkipped, Repo: "demo"}, false, false},
	}
	for _, tt := range tests {
		if a, b := all[0].wants(tt.note), all[1].wants(tt.note); a != tt.a || b != tt.b {
			t.Errorf("%+v: %v, %v", tt.note, a, b)
		}
	}
}

func TestATestMessageGoesPastTheOutbox(t *testing.T) {
	t.Parallel()
	y, bot := newYard(t), telegramFake(t)
	y.useTelegram(bot)
	y.useGitLab(gitlab(t))
	n := y.notifier()
	if err := n.Test(t.Context(), "telegram"); err != nil {
		t.Error(err)
	}
	bot.next()
	if err := n.Test(t.Context(), "status:packages"); err == nil {
		t.Error("a status can be tried")
	}
	if err := n.Test(t.Context(), "nobody"); err == nil || !strings.Contains(err.Error(), "telegram") {
		t.Errorf("error %v", err)
	}
	bot.answers(func(got) (int, http.Header, string) { return 404, nil, `no bot ` + botName })
	if err := n.Test(t.Context(), "telegram"); err == nil || strings.Contains(err.Error(), botName) {
		t.Errorf("error %v", err)
	}
}
