package cli

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/queue"
)

func TestOptionsOfTheManagerMayStandBeforeTheCommand(t *testing.T) {
	tests := []struct{ args, want string }{
		{"schedule --arch=a p", "schedule --arch=a p"},
		{"--arch=a schedule p", "schedule --arch=a p"},
		{"--arch a --target-repo r schedule --source-repo s p", "schedule --arch a --target-repo r --source-repo s p"},
		{"--web-port 8080 database", "database --web-port 8080"},
		{"--web-port=8080", "--web-port=8080"},
		{"--arch", "--arch"},
		{"--arch schedule", "--arch schedule"},
		{"--arch a --help", "--arch a --help"},
		{"--other x schedule", "--other x schedule"},
		{"--version", "--version"},
		{"", ""},
	}
	for _, tt := range tests {
		args := strings.Fields(tt.args)
		before := slices.Clone(args)
		if got := strings.Join(hoist(args), " "); got != tt.want {
			t.Errorf("%q became %q, want %q", tt.args, got, tt.want)
		}
		if !slices.Equal(args, before) {
			t.Errorf("%q was changed in place", tt.args)
		}
	}
}

func TestEveryCommandHasExamplesAndExitCodes(t *testing.T) {
	root := New(&command.IO{})
	for _, cmd := range append(root.Commands(), root) {
		if !strings.Contains(cmd.Long, "Exit status: 0 done") {
			t.Errorf("%s does not say its exit codes", cmd.Name())
		}
		if cmd.Example == "" || cmd.Short == "" {
			t.Errorf("%s has no example or short text", cmd.Name())
		}
		for line := range strings.Lines(cmd.Example) {
			if !strings.HasPrefix(line, "  ") {
				t.Errorf("%s: example %q is not indented", cmd.Name(), line)
			}
		}
	}
}

func TestRetentionIsGivenInDaysOrAsADuration(t *testing.T) {
	tests := []struct {
		text string
		want time.Duration
		ok   bool
	}{
		{"7d", 7 * 24 * time.Hour, true}, {"36h", 36 * time.Hour, true}, {"1h30m", 90 * time.Minute, true},
		{"", 0, false}, {"7", 0, false}, {"d", 0, false}, {"-1d", 0, false}, {"1s", 0, false}, {"seven days", 0, false},
	}
	for _, tt := range tests {
		var r retention
		if err := r.EnvDecode(tt.text); (err == nil) != tt.ok || tt.ok && r.Duration != tt.want {
			t.Errorf("%q: %v, %v", tt.text, r.Duration, err)
		}
	}
}

func TestWebPagesAreOnUnlessTheirPortIsZero(t *testing.T) {
	tests := map[string]bool{"": true, "--web-port=0": false, "--web-port=9000": true}
	for args, want := range tests {
		var flags webFlags
		cmd := &cobra.Command{}
		flags.add(cmd)
		if err := cmd.ParseFlags(strings.Fields(args)); err != nil {
			t.Fatal(err)
		}
		var role webRole
		if got := flags.apply(&role.Web); got != want {
			t.Errorf("%q: %v", args, got)
		}
	}
}

func TestJobsTakeNamesAndDependenciesFromTheTree(t *testing.T) {
	a := &app{io: &command.IO{Getenv: func(string) (string, bool) { return "", false }}}
	t.Chdir(t.TempDir())
	tree, err := a.readTree("app:app,app-docs:lib,zlib;lib:lib:")
	if err != nil {
		t.Fatal(err)
	}
	o := scheduleOptions{arch: "x86_64", target: "t", source: "s", commit: "c:1", mirror: "https://m.example/$repo"}
	jobs, err := o.jobs([]string{"app/2", "other", "lib/1", "app/big"}, tree)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, j := range jobs {
		got = append(got, fmt.Sprintf("%s %s %v %v", j.ID(), j.Class, j.Pkgnames, j.Dependencies))
		if j.Commit != "c:1" || j.SourceRepo != "s" || j.ArchMirror != "https://m.example/$repo" {
			t.Errorf("job %+v", j)
		}
	}
	want := []string{"t/x86_64/app big [app app-docs] [lib zlib]", "t/x86_64/other  [other] []", "t/x86_64/lib 1 [lib] []"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestQueueForPeople(t *testing.T) {
	at := time.UnixMilli(1700000100000)
	job := func(name string) queue.Job {
		return queue.Job{Pkgbase: name, TargetRepo: "r", Arch: "x86_64", Class: "1", Timestamp: 1700000040000}
	}
	built := job("built")
	text := queueText(&queue.Snapshot{
		Time:    at,
		Running: []queue.RunningJob{{Job: job("runs"), Builder: "b1", Attempt: 2, Since: at.Add(-time.Minute)}},
		Publishing: []queue.PublishingJob{{ID: "x", Job: &built, Builder: "b2", Holder: "db", Since: at},
			{ID: "y", Cleanup: &queue.Cleanup{TargetRepo: "r", Arch: "any"}, Since: at}},
		Waiting: []queue.WaitingJob{{Job: job("ready"), Ready: true}, {Job: job("alone"), Ready: true, NoBuilder: true},
			{Job: job("both"), NoBuilder: true, BlockedBy: []string{"r/x86_64/runs"}},
			{Job: job("blocked"), BlockedBy: []string{"r/x86_64/runs"}, FailedDeps: []string{"r/x86_64/bad"}},
			{Job: job("ring"), Ready: true, InCycle: true, BlockedBy: []string{"r/x86_64/ring2"}}},
		Builders: []queue.BuilderState{{Builder: queue.Builder{Name: "b1", Class: "2", Version: "1.0"}, LastSeen: at.Add(-3 * time.Second), Busy: 1}},
		Counters: queue.Counters{Ended: map[queue.Status]int64{queue.Success: 7, queue.Failed: 1}},
	})
	want := `RUNNING (1)    BUILDER  FOR   ATTEMPT
r/x86_64/runs  b1       1m0s  2

TO PUBLISH (2)     BUILT BY  PUBLISHED BY  FOR
r/x86_64/built     b2        db            0s
clean-up of r/any  -         -             0s

WAITING (5)       CLASS  FOR   ON
r/x86_64/ready    1      1m0s  a free builder
r/x86_64/alone    1      1m0s  a builder that takes it: none was seen lately
r/x86_64/both     1      1m0s  r/x86_64/runs (and no builder that takes it was seen lately)
r/x86_64/blocked  1      1m0s  r/x86_64/runs (failed: r/x86_64/bad)
r/x86_64/ring     1      1m0s  a free builder (its turn in a cycle)

BUILDER (1)  CLASS  BUILDS  SEEN    VERSION
b1           2      1       3s ago  1.0

Ended so far: 1 failed, 7 success.
`
	if text != want {
		t.Errorf("got:\n%s\nwant:\n%s", text, want)
	}
	if got := queueText(&queue.Snapshot{}); got != "The queue is empty.\n" {
		t.Errorf("empty: %q", got)
	}
}
