package cli

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/queue"
)

func testApp(env map[string]string) *app {
	return &app{io: &command.IO{Out: io.Discard, Err: io.Discard, Getenv: func(k string) (string, bool) { v, ok := env[k]; return v, ok }}}
}

func job(pkgbase string) queue.Job {
	return queue.Job{Pkgbase: pkgbase, TargetRepo: "r", Arch: "x86_64", Class: "2"}
}

func snapshot() *queue.Snapshot {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	kernel := job("linux")
	return &queue.Snapshot{
		Time: now, Exact: true,
		Running: []queue.RunningJob{{Job: job("gcc"), Builder: "box\x1b[2J", Class: "7", Attempt: 2, Since: now.Add(-90*time.Second - time.Millisecond)}},
		Publishing: []queue.PublishingJob{
			{Job: &kernel, Builder: "box", Holder: "db", Since: now.Add(-time.Second)},
			{Cleanup: &queue.Cleanup{TargetRepo: "r", Arch: "x86_64"}, Since: now.Add(time.Second)},
		},
		Waiting: []queue.WaitingJob{
			{Job: job("blocked"), BlockedBy: []string{"r/x86_64/a", "r/x86_64/b", "r/x86_64/c", "r/x86_64/d", "r/x86_64/e"}},
			{Job: job("lonely"), BlockedBy: []string{"r/x86_64/a"}, NoBuilder: true},
			{Job: job("ready"), Ready: true},
			{Job: job("turn"), Ready: true, InCycle: true, BlockedBy: []string{"r/x86_64/hen"}},
		},
		Builders: []queue.BuilderState{{Builder: queue.Builder{Name: "box", Class: "7", Version: "1.0"}, Busy: 1, LastSeen: now.Add(-3 * time.Second)}},
	}
}

func TestQueueTableSaysWhatWaitsAndWhatRunsOnWhom(t *testing.T) {
	text := testApp(nil).queueText(snapshot())
	for _, want := range []string{
		"Running (1)", "r/x86_64/gcc", "box␛[2J", "1m30s",
		"Publishing (2)", "r/x86_64/linux", "clean-up of r/x86_64", "waits",
		"Waiting (4)", "a, b, c and 2 more", "a builder of class 2 (none was seen lately); a", "a free builder", "its turn in a cycle",
		"Builders (1)", "3s ago",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Index(text, "r/x86_64/ready") > strings.Index(text, "r/x86_64/blocked") {
		t.Errorf("what is ready comes first:\n%s", text)
	}
	if strings.Contains(text, "changed while it was read") {
		t.Errorf("an exact snapshot needs no remark:\n%s", text)
	}
}

func TestQueueTableOfAnEmptyOrMovingQueue(t *testing.T) {
	if text := testApp(nil).queueText(&queue.Snapshot{Exact: true}); text != "The queue is empty.\n" && text != "The queue is empty." {
		t.Errorf("%q", text)
	}
	if text := testApp(nil).queueText(&queue.Snapshot{}); !strings.Contains(text, "changed while it was read") {
		t.Errorf("%q", text)
	}
}

func TestQueueReportHasNoNullLists(t *testing.T) {
	for _, s := range []*queue.Snapshot{snapshot(), {}} {
		data, err := json.Marshal(newQueueReport(s))
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{`"running":null`, `"waiting":null`, `"builders":null`, `"publishing":null`, `"blocked_by":null`} {
			if strings.Contains(string(data), key) {
				t.Errorf("%s in %s", key, data)
			}
		}
	}
}

func TestReasonsAreShortened(t *testing.T) {
	s := scheduled{Files: []string{"a", "b", "c", "d", "e", "f"}, Deploy: []string{"0123456789abcdef"}}
	if got, want := s.reason(), "[deploy] in 0123456789ab, a, b, c, d, 2 more"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPipelineCommit(t *testing.T) {
	tests := []struct {
		name   string
		env    map[string]string
		commit string
		gitlab bool
	}{
		{"on a laptop there is none", map[string]string{"CI_COMMIT_SHA": "a", "CI_PIPELINE_ID": "1"}, "", false},
		{"GitLab", map[string]string{"GITLAB_CI": "true", "CI_COMMIT_SHA": "a", "CI_PIPELINE_ID": "1"}, "a:1", true},
		{"GitLab without a pipeline", map[string]string{"GITLAB_CI": "true", "CI_COMMIT_SHA": "a"}, "", true},
		{"GitHub", map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_SHA": "b", "GITHUB_RUN_ID": "2"}, "b:2", false},
	}
	for _, tt := range tests {
		if commit, gitlab := testApp(tt.env).pipelineCommit(); commit != tt.commit || gitlab != tt.gitlab {
			t.Errorf("%s: %q, %v", tt.name, commit, gitlab)
		}
	}
}

func TestWhereTheQueueIs(t *testing.T) {
	const file = "REDIS_SSH_HOST=tunnel\nREDIS_SSH_USER=me\nREDIS_PORT=7000\n"
	tests := []struct {
		name      string
		env       map[string]string
		url, host string
		ssh       string
		port      int
	}{
		{"from .ci/config", nil, "", "localhost", "tunnel", 7000},
		{"the environment wins, key by key", map[string]string{"REDIS_PORT": "7001", "REDIS_HOST": "h"}, "", "h", "tunnel", 7001},
		{"an empty variable takes what is below it", map[string]string{"REDIS_PORT": ""}, "", "localhost", "tunnel", 7000},
		{"a URL of the environment is complete", map[string]string{"REDIS_URL": "redis://x"}, "redis://x", "localhost", "", 6379},
		{"with a tunnel of its own, too", map[string]string{"REDIS_URL": "redis://x", "REDIS_SSH_HOST": "own", "REDIS_SSH_USER": "me"}, "redis://x", "localhost", "own", 6379},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := testApp(tt.env)
			cfg, err := a.parseConfig([]byte(file))
			if err != nil {
				t.Fatal(err)
			}
			c, err := a.redisConfig(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if c.URL.Reveal() != tt.url || c.Host != tt.host || c.SSHHost != tt.ssh || c.Port != tt.port {
				t.Errorf("url %q, host %q, ssh %q, port %d", c.URL.Reveal(), c.Host, c.SSHHost, c.Port)
			}
		})
	}
}
