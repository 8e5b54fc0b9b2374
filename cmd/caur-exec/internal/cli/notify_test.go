package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/landing"
	"github.com/caur-build/caur/internal/syncdb/pkgtest"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
)

// forgeAndBot is a GitLab and a Telegram that tell what came; while broken is set, Telegram is down.
type forgeAndBot struct {
	url              string
	statuses, telegr chan string
	broken           atomic.Bool
}

const testSHA = "0123456789abcdef0123456789abcdef01234567"

func newForgeAndBot(t *testing.T) *forgeAndBot {
	f := &forgeAndBot{statuses: make(chan string, 100), telegr: make(chan string, 100)}
	mux := http.NewServeMux()
	read := func(w http.ResponseWriter, r *http.Request) map[string]any {
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Errorf("%s: %v", r.URL, err)
		}
		w.Header().Set("Content-Type", "application/json")
		return body
	}
	mux.HandleFunc("POST /api/v4/projects/{id}/statuses/{sha}", func(w http.ResponseWriter, r *http.Request) {
		b := read(w, r)
		if r.PathValue("id") != "42" || r.PathValue("sha") != testSHA || r.Header.Get("Private-Token") != "t0ken" || b["pipeline_id"] != 7.0 {
			t.Errorf("status: %s %v %v", r.URL, r.Header, b)
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, "{}")
		f.statuses <- fmt.Sprint(b["context"], " ", b["state"])
	})
	mux.HandleFunc("POST /botb0t/sendMessage", func(w http.ResponseWriter, r *http.Request) {
		b := read(w, r)
		if f.broken.Load() {
			http.Error(w, `{"ok":false}`, http.StatusBadGateway)
			return
		}
		if b["chat_id"] != "-1" || b["parse_mode"] != "MarkdownV2" {
			t.Errorf("message: %v", b)
		}
		fmt.Fprint(w, `{"ok":true}`)
		f.telegr <- fmt.Sprint(b["text"])
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { t.Errorf("%s %s", r.Method, r.URL) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *forgeAndBot) env() []string {
	return []string{`PACKAGE_REPOS_NOTIFIERS={"src":{"id":"42","token":"t0ken","check_name":"caur: %pkgbase%","server":"` + f.url + `"}}`,
		"LOGS_URL=https://build.example.org/logs.html", "TELEGRAM_BOT_TOKEN=b0t", "TELEGRAM_CHAT_ID=-1", "TELEGRAM_API_URL=" + f.url, "METRICS_HOST=127.0.0.1", "METRICS_PORT=0"}
}

func arrives(t *testing.T, from chan string, part string) {
	t.Helper()
	for limit := time.After(time.Minute); ; {
		select {
		case text := <-from:
			if strings.Contains(text, part) {
				return
			}
		case <-limit:
			t.Fatalf("%q never arrived", part)
		}
	}
}

// upload is a job from its enqueueing to the landing zone, where the database role finds it.
func upload(t *testing.T, q *queue.Queue, dir, pkgbase string) (task string) {
	t.Helper()
	ctx := t.Context()
	job := queue.Job{Pkgbase: pkgbase, TargetRepo: "r", SourceRepo: "src", Arch: "x86_64", Class: "1", Pkgnames: []string{pkgbase}, Commit: testSHA + ":7"}
	if _, err := q.Enqueue(ctx, queue.Batch{Jobs: []queue.Job{job}}); err != nil {
		t.Fatal(err)
	}
	lease, err := q.Claim(ctx, queue.Builder{Name: "box", Class: "1"}, time.Minute)
	if err != nil || lease == nil {
		t.Fatalf("claim: %v, %v", lease, err)
	}
	sender, err := landing.NewLocal(dir+"/landing", landing.PlaceOf(lease.Job, lease.Token))
	if err != nil {
		t.Fatal(err)
	}
	path := pkgtest.Make(t, t.TempDir(), pkgtest.Spec{Name: pkgbase, Base: pkgbase})
	file, err := sender.Put(ctx, path, filepath.Base(path))
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Deliver(ctx, lease, queue.Result{Files: []queue.File{file}, Duration: 20 * time.Second}); err != nil {
		t.Fatal(err)
	}
	return lease.Job.TaskID()
}

func TestAJobThatEndsIsToldAndABrokenNotifierStopsNothing(t *testing.T) {
	dir, env := site(t)
	redis := testenv.Redis(t)
	world := newForgeAndBot(t)
	env = append(append(env, "REDIS_URL="+redis.URL), world.env()...)
	p := start(t, env, "database")
	address, scraped := p.wait(servedAt), p.wait(`metrics are served address=(\S+)`)
	p.wait("database role started")
	p.wait(`notifications targets="?\[status:src telegram\]`)
	q := queue.New(redis.Client())
	ended := func(task string) {
		t.Helper()
		if status, message, err := q.WaitTask(t.Context(), task); err != nil || status != queue.Success {
			t.Errorf("%s: %s %s %v", task, status, message, err)
		}
	}
	ended(upload(t, q, dir, "gtk+"))
	arrives(t, world.statuses, "caur: gtk+ success")
	arrives(t, world.telegr, "*gtk\\+*")

	world.broken.Store(true)
	ended(upload(t, q, dir, "foo"))
	arrives(t, world.statuses, "caur: foo success")
	p.wait("a notification did not arrive, will try again.*target=telegram")
	out, code := run(t, env, "notify", "ls")
	if code != 0 || !strings.Contains(out, "telegram") || !strings.Contains(out, "502") {
		t.Errorf("notify ls: %d\n%s", code, out)
	}
	for _, at := range []string{address, scraped} {
		_, text := get(t, at, "/metrics")
		for _, part := range []string{`caur_notify_outbox_length{target="telegram"} 1`, `caur_publish_seconds_count{status="success",target_repo="r"} 2`, "database_success 2",
			`builds_time_elapsed_count{arch="x86_64",build_class="1",status="success",target_repo="r"}`, "caur_redis_up 1"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s is missing at %s:\n%s", part, at, text)
			}
		}
	}
	world.broken.Store(false)
	arrives(t, world.telegr, "*foo*")
	p.stop(syscall.SIGTERM, 0)
	if log := p.log.String() + out; strings.Contains(log, "t0ken") || strings.Contains(log, "b0t") {
		t.Errorf("a secret is printed:\n%s", log)
	}
}

func TestNotifyVerbs(t *testing.T) {
	redis := testenv.Redis(t)
	world := newForgeAndBot(t)
	env := append(world.env(), "REDIS_URL="+redis.URL, `PACKAGE_REPOS={"src":{"url":"https://git.example.org/x"}}`)
	tests := []struct {
		args string
		code int
		want string
	}{
		{"notify ls", 0, "Nothing was ever sent."},
		{"notify ls --json", 0, `{"targets":[],"dead_letters":[]}`},
		{"notify ls nobody", 1, "no target nobody"},
		{"notify retry", 0, "0 put back"},
		{"notify drop telegram", 0, "0 dropped"},
		{"notify drop", 2, "arg"},
		{"notify test", 0, "status:src\ntelegram\n"},
		{"notify test telegram", 0, "sent to telegram"},
		{"notify test status:src", 1, "takes statuses of commits alone"},
	}
	for _, tt := range tests {
		if out, code := run(t, env, strings.Fields(tt.args)...); code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%s: %d\n%s\nwant %d, %q", tt.args, code, out, tt.code, tt.want)
		}
	}
	arrives(t, world.telegr, "caur can reach you here")
	out, code := run(t, append(env, `NOTIFY_URLS={"ops":{"url":"icq://s3cret"}}`), "notify", "test")
	if code != 2 || !strings.Contains(out, `NOTIFY_URLS.ops.url: shoutrrr knows no service "icq"`) || strings.Contains(out, "s3cret") {
		t.Errorf("%d: %s", code, out)
	}
}
