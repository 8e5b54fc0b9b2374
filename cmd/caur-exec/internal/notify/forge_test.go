package notify

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/pkg/queue"
)

func TestEveryEventHasTheStatusOfTheSpecification(t *testing.T) {
	end := func(s queue.Status, message string) queue.Event {
		return queue.Event{Kind: queue.EventEnded, Status: s, Message: message}
	}
	tests := []struct {
		event              queue.Event
		state, description string
	}{
		{queue.Event{Kind: queue.EventQueued}, "pending", "Waiting for builder..."},
		{queue.Event{Kind: queue.EventStarted}, "running", "Build in progress..."},
		{queue.Event{Kind: queue.EventDelivered}, "", ""},
		{queue.Event{Kind: queue.EventRequeued, Message: "the builder shuts down"}, "canceled", "Builder shutdown requested."},
		{queue.Event{Kind: queue.EventRequeued, Message: "the lease ran out"}, "canceled", "Build canceled."},
		{end(queue.Success, ""), "success", "Package successfully deployed."},
		{end(queue.AlreadyBuilt, ""), "canceled", "Build skipped because package was already built."},
		{end(queue.Skipped, ""), "canceled", "Build skipped intentionally via build tools."},
		{end(queue.Failed, ""), "failed", "Build failed."},
		{end(queue.SoftwareFailure, ""), "failed", "Build failed."},
		{end(queue.TimedOut, ""), "failed", "Build timed out."},
		{end(queue.Canceled, "replaced by a newer job"), "canceled", "Build canceled and replaced."},
		{end(queue.Canceled, "canceled"), "canceled", "Build canceled."},
	}
	for _, tt := range tests {
		state, description, ok := describe(tt.event)
		if state != tt.state || description != tt.description || ok != (tt.state != "") {
			t.Errorf("%+v gives %q, %q, %v; want %q, %q", tt.event, state, description, ok, tt.state, tt.description)
		}
	}
}

func TestStatusesFollowAJob(t *testing.T) {
	t.Parallel()
	y, lab := newYard(t), gitlab(t)
	y.useGitLab(lab)
	y.start()
	y.enqueue(job("libstdc++5"))
	first := lab.next()
	if got, want := first.status(), "caur: libstdc++5 pending Waiting for builder..."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if u := first.body["target_url"].(string); !strings.HasPrefix(u, "https://build.example.org/logs.html?id=libstdc%2B%2B5&timestamp=1") {
		t.Errorf("target_url %s: a + must not become a space", u)
	}
	lease := y.claim()
	if got, want := lab.next().status(), "caur: libstdc++5 running Build in progress..."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	y.end(lease, queue.Result{Status: queue.Success})
	if got, want := lab.next().status(), "caur: libstdc++5 success Package successfully deployed."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	y.until("all sent", func() bool { s := y.states()["status:packages"]; return s.Waiting == 0 && s.Sent >= 3 }) // at least once: a slow answer may be asked for again
}

func TestABuilderThatShutsDownEndsTheStatusAndItWaitsAnew(t *testing.T) {
	t.Parallel()
	y, lab := newYard(t), gitlab(t)
	y.useGitLab(lab)
	y.start()
	y.enqueue(job("foo"))
	lab.next()
	lease := y.claim()
	lab.next()
	if err := y.q.Requeue(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"caur: foo canceled Builder shutdown requested.", "caur: foo pending Waiting for builder..."} {
		if got := lab.next().status(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	y.end(y.claim(), queue.Result{Status: queue.TimedOut})
	var last string
	for !strings.Contains(last, "failed") {
		last = lab.next().status()
	}
	if want := "caur: foo failed Build timed out."; last != want {
		t.Errorf("%q, want %q", last, want)
	}
	if s := y.states()["status:packages"]; s.Dead != 0 || s.Failures != 0 {
		t.Errorf("%+v", s)
	}
}

func TestAStatusWhoseAnswerWasLostIsTakenAsSent(t *testing.T) {
	t.Parallel()
	y, lab := newYard(t), gitlab(t)
	y.useGitLab(lab)
	strict, lost := lab.answer, false
	lab.answers(func(g got) (int, http.Header, string) {
		code, header, body := strict(g)
		if !lost {
			lost = true
			panic(http.ErrAbortHandler) // GitLab has it, the answer never comes
		}
		return code, header, body
	})
	y.start()
	y.enqueue(job("foo"))
	y.until("taken as sent", func() bool { return y.states()["status:packages"].Sent == 1 })
	y.until("no failure in a row", func() bool { return y.states()["status:packages"].Failures == 0 })
	if s := y.states()["status:packages"]; s.Dead != 0 || s.Failed == 0 {
		t.Errorf("%+v; the lost answer is a failure, the refused repetition is not", s)
	}
	y.end(y.claim(), queue.Result{Status: queue.Success})
	y.until("success", func() bool { return strings.HasSuffix(lab.next().status(), "success Package successfully deployed.") })
}

func TestAForgeThatWasAwayLearnsTheLatestAlone(t *testing.T) {
	t.Parallel()
	y, lab := newYard(t), gitlab(t)
	y.useGitLab(lab)
	strict := lab.answer
	lab.answers(func(got) (int, http.Header, string) { return 503, nil, "maintenance of " + token })
	y.start()
	y.build("foo", queue.Result{Status: queue.Success})
	y.build("bar", queue.Result{Status: queue.Failed})
	y.until("two wait", func() bool { s := y.states()["status:packages"]; return s.Waiting == 2 && s.Failures > 0 })
	if s := y.states()["status:packages"]; strings.Contains(s.Error, token) || !strings.Contains(s.Error, "503") {
		t.Errorf("error %q: names the status, and no secret", s.Error)
	}
	lab.answers(strict)
	all := lab.next().status() + "\n" + lab.next().status()
	for _, want := range []string{"caur: foo success Package successfully deployed.", "caur: bar failed Build failed."} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing in\n%s", want, all)
		}
	}
	y.until("all sent", func() bool { return y.states()["status:packages"].Waiting == 0 })
	lab.quiet()
	if strings.Contains(y.log.String(), token) {
		t.Errorf("the log has the token:\n%s", y.log)
	}
}

func TestWithoutLogsAddressOrCommitThereIsNoStatus(t *testing.T) {
	f := &forge{kind: "gitlab", checkName: "x"}
	j := job("foo")
	e := queue.Event{Kind: queue.EventQueued, Job: &j}
	if got := f.statuses(e, links{}); got != nil {
		t.Errorf("without LOGS_URL: %v", got)
	}
	j.Commit = ""
	if got := f.statuses(e, links{logsURL: "https://x/l"}); got != nil {
		t.Errorf("without commit: %v", got)
	}
	if got := f.statuses(queue.Event{Kind: queue.EventEnded, Cleanup: &queue.Cleanup{}}, links{logsURL: "https://x/l"}); got != nil {
		t.Errorf("of a clean-up: %v", got)
	}
}

func TestGitHubGetsItsOwnStates(t *testing.T) {
	t.Parallel()
	hub := newService(t, `{"id":1}`, func(r *http.Request, g got) string {
		switch {
		case r.Method != http.MethodPost || g.path != "/api/v3/repos/owner/repo/statuses/"+sha:
			return "another address"
		case g.header.Get("Authorization") != "Bearer "+token || g.header.Get("Accept") != "application/vnd.github+json" || g.header.Get("X-Github-Api-Version") != "2022-11-28":
			return "other headers"
		case len(g.body) != 4 || len(g.body["description"].(string)) > 140:
			return "another body"
		}
		return ""
	})
	y := newYard(t)
	y.s.Notifiers = settings.NewSecret(`{"packages": {"forge": "github", "id": "owner/repo", "token": "` + token + `", "check_name": "%pkgbase%", "server": "` + hub.URL + `"}}`)
	n := y.notifier()
	states := map[string]string{}
	for _, e := range []queue.Event{{Kind: queue.EventQueued}, {Kind: queue.EventStarted}, {Kind: queue.EventEnded, Status: queue.Success},
		{Kind: queue.EventEnded, Status: queue.AlreadyBuilt}, {Kind: queue.EventEnded, Status: queue.Failed}, {Kind: queue.EventEnded, Status: queue.Canceled}} {
		j := job("foo+")
		e.Job = &j
		for _, s := range n.targets[0].forge.statuses(e, n.links) {
			if err := n.targets[0].forge.send(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			g := hub.next()
			states[fmt.Sprint(e.Kind, e.Status)] = g.body["state"].(string)
		}
	}
	want := "map[endedalready built:success endedcanceled:error endedfailed:failure endedsuccess:success queuedsuccess:pending startedsuccess:pending]"
	if got := fmt.Sprint(states); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestARedirectIsNotFollowedWithTheToken(t *testing.T) {
	t.Parallel()
	y, lab := newYard(t), gitlab(t)
	thief := newService(t, "", func(*http.Request, got) string { return "the token was taken along" })
	y.useGitLab(lab)
	lab.answers(func(got) (int, http.Header, string) { return 307, http.Header{"Location": {thief.URL}}, "" })
	n := y.notifier()
	err := n.targets[0].forge.send(t.Context(), status{SHA: sha, Pipeline: "77", Context: "x", State: "pending", Description: "d", TargetURL: "https://x"})
	if err == nil || !strings.Contains(err.Error(), "307") {
		t.Errorf("error %v", err)
	}
}

func TestHowLongAForgeWantsToBeLeftAlone(t *testing.T) {
	reset := fmt.Sprint(time.Now().Add(90 * time.Second).Unix())
	tests := []struct {
		header   http.Header
		min, max time.Duration
	}{
		{http.Header{}, 0, 0},
		{http.Header{"Retry-After": {"7"}}, 7 * time.Second, 7 * time.Second},
		{http.Header{"Retry-After": {time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)}}, 50 * time.Second, time.Minute},
		{http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {reset}}, 80 * time.Second, 90 * time.Second},
		{http.Header{"X-Ratelimit-Remaining": {"5"}, "X-Ratelimit-Reset": {reset}}, 0, 0},
	}
	for _, tt := range tests {
		if got := retryAfter(tt.header); got < tt.min || got > tt.max {
			t.Errorf("%v gives %s", tt.header, got)
		}
	}
}
