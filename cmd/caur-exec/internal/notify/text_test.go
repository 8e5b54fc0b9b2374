package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/caur-build/caur/pkg/queue"
)

func failedNote() Note {
	return Note{Topic: TopicFailed, Status: queue.Failed, Repo: "chaotic-aur", Arch: "x86_64", Pkgbase: "libstdc++5", Builder: "box-1", Message: "makepkg gave 4",
		Failure: &queue.Failure{Class: "compile", Lines: []string{"gcc: `x' undeclared", `C:\path`, "==> ERROR: A failure occurred in build()."}}, Duration: 90 * time.Second,
		LogURL: "https://x.org/l?id=libstdc%2B%2B5&timestamp=1", CommitURL: "https://git.org/a_b/-/commit/0123", Time: time.Unix(1700000000, 0)}
}

func TestMessagesSayWhatTheSpecificationWants(t *testing.T) {
	tests := []struct {
		note Note
		want string
	}{
		{Note{Topic: TopicSuccess, Repo: "my_repo"}, "*📣 New deployment to my\\_repo*"},
		{Note{Topic: TopicFailed, Status: queue.Failed, Repo: "r"}, "*🚨 Failed deploying to r*"},
		{Note{Topic: TopicFailed, Status: queue.TimedOut, Repo: "r"}, "*⏳ Build for r failed due to a timeout*"},
		{Note{Topic: TopicFailed, Status: queue.SoftwareFailure, Repo: "r"}, "*💥 The code blew up while deploying to r*"},
		{Note{Topic: TopicCleanup, Status: queue.Success, Repo: "r"}, "*✅ Cleanup job for r finished successfully*"},
		{Note{Topic: TopicCleanup, Status: queue.Failed, Repo: "r", Message: "refused: 40 % would go"}, "*🚫 Cleanup job r failed to remove packages*\nrefused: 40 % would go"},
		{Note{Topic: TopicSkipped, Status: queue.AlreadyBuilt, Repo: "r", Pkgbase: "a-b", Arch: "any"}, "*⏭ Not deployed to r: already built*\n*a\\-b* \\(any\\)"},
		{failedNote(), "*🚨 Failed deploying to chaotic\\-aur*\n*libstdc\\+\\+5* \\(x86\\_64\\) on box\\-1 in 1m30s\nCause: *compile*\nmakepkg gave 4\n" +
			"[log](https://x.org/l?id=libstdc%2B%2B5&timestamp=1) · [commit](https://git.org/a_b/-/commit/0123)\n" +
			"```\ngcc: \\`x' undeclared\nC:\\\\path\n==> ERROR: A failure occurred in build().\n```"},
	}
	for _, tt := range tests {
		got := single(tt.note, markdownV2{}, telegramLimit)
		if got != tt.want {
			t.Errorf("got\n%s\nwant\n%s", got, tt.want)
		}
		if wrong := wrongMarkdown(got); wrong != "" {
			t.Error(wrong)
		}
	}
	plain := single(failedNote(), simple{}, shoutLimit)
	for _, part := range []string{"libstdc++5 (x86_64) on box-1", "Cause: compile", "log: https://x.org/l?id=libstdc%2B%2B5", "\nC:\\path\n"} {
		if !strings.Contains(plain, part) {
			t.Errorf("%q is missing in\n%s", part, plain)
		}
	}
}

func TestTelegramTakesWhateverAPackageWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hostile := rapid.StringOfN(rapid.RuneFrom([]rune("\\`*_[]()~>#+-=|{}.!ab é🚨")), 0, 300, -1)
		n := Note{Topic: TopicFailed, Status: rapid.SampledFrom([]queue.Status{queue.Failed, queue.TimedOut}).Draw(t, "status"), Repo: hostile.Draw(t, "repo"),
			Pkgbase: hostile.Draw(t, "pkgbase"), Builder: hostile.Draw(t, "builder"), Message: hostile.Draw(t, "message"), LogURL: "https://x/" + hostile.Draw(t, "url"),
			Failure: &queue.Failure{Class: hostile.Draw(t, "class"), Lines: rapid.SliceOfN(hostile, 0, 10).Draw(t, "lines")}}
		if wrong := wrongMarkdown(single(n, markdownV2{}, telegramLimit)); wrong != "" {
			t.Fatal(wrong)
		}
		if wrong := wrongMarkdown(digest([]Note{n, n, n, n, n, n, n, n, n, n, n}, markdownV2{}, telegramLimit)); wrong != "" {
			t.Fatal(wrong)
		}
	})
}

func TestALongFailureKeepsItsLastLines(t *testing.T) {
	n := failedNote()
	n.Failure.Lines = nil
	for i := range 10 {
		n.Failure.Lines = append(n.Failure.Lines, fmt.Sprintf("%d%s", i, strings.Repeat("`", 299)))
	}
	for _, m := range []markup{markdownV2{}, simple{}} {
		got := single(n, m, 1500)
		if units(got) > 1500 || !strings.Contains(got, "9`") && !strings.Contains(got, "9\\`") || strings.Contains(got, "0`") || strings.Contains(got, "0\\`") {
			t.Errorf("%d units:\n%s", units(got), got)
		}
	}
}

func TestADigestCountsAllAndNamesWhatFailed(t *testing.T) {
	var notes []Note
	for i := range 2000 {
		n := Note{Topic: TopicSuccess, Repo: "demo", Pkgbase: fmt.Sprintf("pkg-%d", i), Time: time.Unix(1700000000+int64(i), 0)}
		if i%100 == 7 {
			n.Topic, n.Status, n.Failure, n.LogURL = TopicFailed, queue.Failed, &queue.Failure{Class: "checksum"}, "https://x/l"
		}
		notes = append(notes, n)
	}
	got := digest(notes, markdownV2{}, telegramLimit)
	for _, part := range []string{"*demo: 20 failed, 1980 deployed*", "from 2023\\-11\\-14 22:13 to 22:46 UTC", "demo: pkg\\-7 \\(\\) failed, checksum [log](https://x/l)", "… and "} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is missing in\n%s", part, got)
		}
	}
	if wrong := wrongMarkdown(got); wrong != "" {
		t.Error(wrong)
	}
	few := digest(notes[:3], simple{}, shoutLimit)
	if !strings.Contains(few, "· pkg-0, pkg-1, pkg-2") || strings.Contains(few, "more") {
		t.Errorf("digest of three:\n%s", few)
	}
	for _, n := range notes[:1000] {
		if n.Topic == TopicFailed {
			continue
		}
		n.Topic, n.Status = TopicFailed, queue.Failed
		notes = append(notes, n)
	}
	if got := digest(notes, simple{}, shoutLimit); units(got) > shoutLimit || !strings.HasSuffix(got, " more") {
		t.Errorf("%d units:\n%s", units(got), got)
	}
}

func TestLinksLeadToTheForge(t *testing.T) {
	l := links{logsURL: "https://x.org/p/logs.html?theme=dark", forges: map[string]string{"hub": "github"}, sources: map[string]queue.SourceRepo{
		"lab": {URL: "https://user:pw@gitlab.example.org:8443/a/b.git"}, "ssh": {URL: "git@gitlab.com:a/b.git"}, "hub": {URL: "https://git.corp/a/b"},
		"github": {URL: "ssh://git@github.com:22/a/b.git/"}, "local": {URL: "/srv/git/b"}, "file": {URL: "file:///srv/b"}}}
	tests := map[string]string{
		"lab": "https://gitlab.example.org:8443/a/b/-/commit/abc", "ssh": "https://gitlab.com/a/b/-/commit/abc", "hub": "https://git.corp/a/b/commit/abc",
		"github": "https://github.com/a/b/commit/abc", "local": "", "file": "", "unknown": "",
	}
	for repo, want := range tests {
		if got := l.commit(queue.Job{SourceRepo: repo, Commit: "abc:1"}); got != want {
			t.Errorf("%s: %q, want %q", repo, got, want)
		}
	}
	if got, want := l.log(queue.Job{Pkgbase: "gtk+", Timestamp: 5}), "https://x.org/p/logs.html?id=gtk%2B&theme=dark&timestamp=5"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWhatEventsBecomeNotes(t *testing.T) {
	j := job("foo")
	for status, want := range map[queue.Status]Topic{queue.Success: TopicSuccess, queue.Failed: TopicFailed, queue.TimedOut: TopicFailed,
		queue.SoftwareFailure: TopicFailed, queue.AlreadyBuilt: TopicSkipped, queue.Skipped: TopicSkipped, queue.Canceled: TopicSkipped} {
		if n, ok := noteOf(queue.Event{Kind: queue.EventEnded, Job: &j, Status: status}, links{}); !ok || n.Topic != want {
			t.Errorf("%s: %v, %v", status, n.Topic, ok)
		}
	}
	if n, ok := noteOf(queue.Event{Kind: queue.EventEnded, Cleanup: &queue.Cleanup{TargetRepo: "demo"}}, links{}); !ok || n.Topic != TopicCleanup || n.Repo != "demo" {
		t.Errorf("clean-up: %+v, %v", n, ok)
	}
	for _, e := range []queue.Event{{Kind: queue.EventQueued, Job: &j}, {Kind: queue.EventEnded}} {
		if _, ok := noteOf(e, links{}); ok {
			t.Errorf("%+v is told", e)
		}
	}
}
