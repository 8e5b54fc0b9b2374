package notify

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/pkg/queue"
)

func TestTelegramHearsOfFailuresWithTheirCause(t *testing.T) {
	t.Parallel()
	y, bot := newYard(t), telegramFake(t)
	y.useTelegram(bot)
	y.start()
	y.build("gtk+", queue.Result{Status: queue.Failed, Message: "exit 4", Failure: &queue.Failure{Class: "compile", Lines: []string{"error: `a' (b)"}}})
	text := bot.next().body["text"].(string)
	for _, part := range []string{"🚨 Failed deploying to demo", "*gtk\\+* \\(x86\\_64\\) on box", "Cause: *compile*", "[log](https://build.example.org/logs.html?id=gtk%2B&",
		"[commit](https://git.example.org/group/packages/-/commit/" + sha, "```\nerror: \\`a' (b)\n```"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in\n%s", part, text)
		}
	}
	y.build("foo", queue.Result{Status: queue.AlreadyBuilt}) // nobody asked for it
	y.build("bar", queue.Result{Status: queue.Success})
	if text := bot.next().body["text"].(string); !strings.Contains(text, "📣 New deployment to demo") {
		t.Errorf("text %s", text)
	}
	bot.quiet()
}

func TestTelegramIsLeftAloneForAsLongAsItSays(t *testing.T) {
	t.Parallel()
	y, bot := newYard(t), telegramFake(t)
	y.useTelegram(bot)
	var first atomic.Int64
	bot.answers(func(got) (int, http.Header, string) {
		if first.CompareAndSwap(0, time.Now().UnixNano()) {
			return 429, nil, `{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 1","parameters":{"retry_after":1}}`
		}
		return 200, nil, `{"ok":true,"result":{}}`
	})
	y.start()
	y.build("foo", queue.Result{Status: queue.Success})
	y.build("bar", queue.Result{Status: queue.Success}) // what comes meanwhile does not end the pause
	bot.next()
	if pause := time.Since(time.Unix(0, first.Load())); pause < time.Second {
		t.Errorf("tried again after %s", pause)
	}
	bot.next()
}

func TestABrokenTargetHurtsNobodyElse(t *testing.T) {
	t.Parallel()
	y, bot, lab := newYard(t), telegramFake(t), gitlab(t)
	y.useTelegram(bot)
	y.useGitLab(lab)
	bot.answers(func(got) (int, http.Header, string) { return 401, nil, `{"ok":false,"description":"Unauthorized"}` })
	y.start()
	y.build("foo", queue.Result{Status: queue.Success})
	for !strings.HasSuffix(lab.next().status(), "deployed.") {
	}
	y.until("telegram fails", func() bool { s := y.states()["telegram"]; return s.Failures >= 3 && s.Waiting == 1 && s.Dead == 0 })
	if s := y.states()["telegram"]; !strings.Contains(s.Error, "401") || s.Failed < 3 || s.Next.IsZero() {
		t.Errorf("%+v", s)
	}
	if log := y.log.String(); strings.Contains(log, "s3cret") || !strings.Contains(log, "a notification did not arrive") {
		t.Errorf("log:\n%s", log)
	}
	bot.answers(nil)
	bot.next()
	y.until("well again", func() bool { s := y.states()["telegram"]; return s.Failures == 0 && s.Error == "" && s.Waiting == 0 })
}

func TestWhatIsRefusedForGoodBecomesADeadLetterAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	y, bot := newYard(t), telegramFake(t)
	y.useTelegram(bot)
	bot.answers(func(g got) (int, http.Header, string) {
		if strings.Contains(g.text, "poison") {
			return 400, nil, `{"ok":false,"description":"Bad Request: chat not found"}`
		}
		return 200, nil, `{"ok":true}`
	})
	y.start()
	y.build("poison", queue.Result{Status: queue.Success})
	y.build("bar", queue.Result{Status: queue.Success})
	if text := bot.next().text; !strings.Contains(text, "bar") {
		t.Errorf("text %s", text)
	}
	o := NewOutbox(y.rdb)
	dead, err := o.DeadLetters(t.Context(), "telegram")
	if err != nil || len(dead) != 1 || !strings.Contains(dead[0].Why, "chat not found") || dead[0].Text() != "demo: poison (x86_64) success" {
		t.Fatalf("%+v, %v", dead, err)
	}
	bot.answers(nil)
	if n, err := o.Retry(t.Context(), "telegram"); n != 1 || err != nil {
		t.Errorf("retry: %d, %v", n, err)
	}
	if text := bot.next().text; !strings.Contains(text, "poison") {
		t.Errorf("text %s", text)
	}
	y.until("nothing dead", func() bool {
		s := y.states()["telegram"]
		return s.Dead == 0 && s.Waiting == 0 && s.DeadLetters == 1 && s.Sent == 2
	})
}

func TestAnOldMessageThatFailsOftenIsGivenUp(t *testing.T) {
	t.Parallel()
	y, bot := newYard(t), telegramFake(t)
	y.useTelegram(bot)
	y.times.giveUp, y.times.longWait = time.Millisecond, 10*time.Millisecond
	bot.answers(func(got) (int, http.Header, string) { return 502, nil, "" })
	y.start()
	y.build("foo", queue.Result{Status: queue.Success})
	y.build("bar", queue.Result{Status: queue.Success})
	y.until("both given up", func() bool { s := y.states()["telegram"]; return s.Dead == 2 && s.Waiting == 0 })
	if s := y.states()["telegram"]; s.Failures <= giveUpAfter || s.Failures > giveUpAfter+2 || strings.Contains(y.log.String(), "arrive again") {
		t.Errorf("giving up is taken for success: %+v\n%s", s, y.log)
	}
	if n, err := NewOutbox(y.rdb).Drop(t.Context(), "telegram", true); n != 2 || err != nil {
		t.Errorf("drop: %d, %v", n, err)
	}
	if s := y.states(); len(s) != 0 {
		t.Errorf("left: %v", s)
	}
}

func TestAFloodBecomesADigest(t *testing.T) {
	t.Parallel()
	y, bot := newYard(t), telegramFake(t)
	y.useTelegram(bot)
	const jobs = 40
	stop := y.start()
	stop() // what happens while it is down is told all the same
	var all []queue.Job
	for i := range jobs {
		all = append(all, job(fmt.Sprintf("pkg-%d", i)))
	}
	y.enqueue(all...)
	for i := range jobs {
		r := queue.Result{Status: queue.Success}
		if i%10 == 0 {
			r.Status = queue.Failed
		}
		y.end(y.claim(), r)
	}
	bot.answers(func(got) (int, http.Header, string) { return 503, nil, "" })
	y.start()
	y.until("all wait", func() bool { return y.states()["telegram"].Waiting == jobs })
	bot.answers(nil)
	y.until("all told", func() bool { s := y.states()["telegram"]; return s.Waiting == 0 && s.Sent == jobs })
	messages := len(bot.came)
	if messages > 2 {
		t.Errorf("%d messages", messages)
	}
	told := 0
	for range messages {
		text := bot.next().body["text"].(string)
		var failed, deployed int
		if _, err := fmt.Sscanf(text, "*demo: %d failed, %d deployed*", &failed, &deployed); err == nil {
			told += failed + deployed
		} else {
			told++
		}
	}
	if told != jobs {
		t.Errorf("%d jobs told in %d messages, want %d", told, messages, jobs)
	}
}

func TestADigestComesWhenItsTimeHasCome(t *testing.T) {
	s := newSending(&Notifier{times: usualTimes, opt: Options{Now: func() time.Time { return time.Unix(5000, 0) }}}, &target{digest: time.Hour})
	at := func(age time.Duration) entry {
		return newEntry("x", "k", once, Note{Time: time.Unix(5000, 0).Add(-age)})
	}
	if n, wait := s.howMany(at(61*time.Minute), 3); n != digestAtMost || wait != 0 {
		t.Errorf("after an hour: %d, %s", n, wait)
	}
	if _, wait := s.howMany(at(58*time.Minute), 3); wait != 2*time.Minute {
		t.Errorf("two minutes before: %s", wait)
	}
	if _, wait := s.howMany(at(0), 3); wait != usualTimes.longWait {
		t.Errorf("an hour before: %s", wait)
	}
}

// child is a notifier in a process of its own.
func child() {
	rdb := redis.NewClient(&redis.Options{Addr: os.Getenv("CAUR_NOTIFY_CHILD")})
	n, err := New(Options{Queue: queue.New(rdb), Redis: rdb, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Settings: Settings{
		TelegramAPI: os.Getenv("TELEGRAM"), TelegramToken: settings.NewSecret(botName), TelegramChat: "-100200", TelegramEvents: []string{"success"}, Flood: 10}})
	if err != nil {
		panic(err)
	}
	n.times = quickTimes
	_ = n.Run(context.Background()) // until it is killed
}

func TestKilledBetweenSendingAndAcknowledgementItSendsAgain(t *testing.T) {
	t.Parallel()
	y, bot := newYard(t), telegramFake(t)
	var victim atomic.Pointer[os.Process]
	var seen atomic.Int32
	bot.answers(func(got) (int, http.Header, string) {
		if seen.Add(1) == 1 {
			if err := victim.Load().Kill(); err != nil { // it has sent, and cannot acknowledge
				t.Error(err)
			}
		}
		return 200, nil, `{"ok":true}`
	})
	run := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "CAUR_NOTIFY_CHILD="+y.redis.Addr, "TELEGRAM="+bot.URL)
		cmd.Stderr = y.log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // the first has ended, the second is ended
		return cmd
	}
	if _, err := NewOutbox(y.rdb).place(t.Context()); err != nil {
		t.Fatal(err)
	}
	y.build("foo", queue.Result{Status: queue.Success})
	y.build("bar", queue.Result{Status: queue.Success})
	first := run()
	victim.Store(first.Process)
	_ = first.Wait() // killed
	if s := y.states()["telegram"]; s.Waiting == 0 || s.Sent != 0 {
		t.Errorf("after the kill: %+v", s)
	}
	y.build("late", queue.Result{Status: queue.Success})
	run()
	y.until("all three told", func() bool { s := y.states()["telegram"]; return s.Waiting == 0 && s.Sent == 3 })
	var all []string
	for len(bot.came) > 0 {
		all = append(all, bot.next().body["text"].(string))
	}
	text := strings.Join(all, "\n")
	if len(all) != 4 || strings.Count(text, "*foo*") != 2 || strings.Count(text, "*bar*") != 1 || strings.Count(text, "*late*") != 1 {
		t.Errorf("%d messages:\n%s", len(all), text)
	}
}

func TestAGapInTheEventsIsBridged(t *testing.T) {
	t.Parallel()
	y, lab := newYard(t), gitlab(t)
	y.useGitLab(lab)
	stop := y.start()
	y.enqueue(job("done"), job("waits"))
	lab.next()
	lab.next()
	lease := y.claim()
	lab.next()
	stop()
	y.end(lease, queue.Result{Status: queue.Failed})
	second := y.claim()
	y.enqueue(job("new"))
	// the queue keeps 20,000 events: here it has forgotten all but one
	if err := y.rdb.XTrimMaxLen(t.Context(), "{caur}:events", 1).Err(); err != nil {
		t.Fatal(err)
	}
	y.start()
	want := map[string]bool{
		"caur: " + lease.Job.Pkgbase + " failed Build failed.":          true,
		"caur: " + second.Job.Pkgbase + " running Build in progress...": true,
		"caur: new pending Waiting for builder...":                      true,
	}
	for len(want) > 0 {
		s := lab.next().status()
		if !want[s] {
			t.Errorf("told: %s", s)
		}
		delete(want, s)
	}
	if !strings.Contains(y.log.String(), "events of the queue were lost") {
		t.Errorf("log:\n%s", y.log)
	}
}

func TestOfTwoNotifiersOneTells(t *testing.T) {
	t.Parallel()
	y, bot := newYard(t), telegramFake(t)
	y.useTelegram(bot)
	first := y.start()
	y.start()
	for i := range 5 {
		y.build(fmt.Sprintf("pkg-%d", i), queue.Result{Status: queue.Success})
		bot.next()
	}
	first() // the other takes over
	y.build("after", queue.Result{Status: queue.Success})
	if text := bot.next().text; !strings.Contains(text, "after") {
		t.Errorf("text %s", text)
	}
	y.until("all sent", func() bool { return y.states()["telegram"].Sent == 6 })
	bot.quiet()
}

func TestRedisMayGoAwayAndComeBack(t *testing.T) {
	t.Parallel()
	y, bot := newYard(t), telegramFake(t)
	y.useTelegram(bot)
	y.start()
	y.build("before", queue.Result{Status: queue.Success})
	bot.next()
	y.redis.Kill()
	y.until("it notices", func() bool { return strings.Contains(y.log.String(), "cannot notify, will try again") })
	y.redis.Start()
	y.build("after", queue.Result{Status: queue.Success})
	for !strings.Contains(bot.next().text, "after") {
	}
	y.until("all sent", func() bool { return y.states()["telegram"].Waiting == 0 })
}

func TestAnEventIsPutOnceAndTheOutboxIsBounded(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	o := NewOutbox(y.rdb)
	ctx := t.Context()
	put := func(event, key string, k kind, body string) {
		t.Helper()
		if err := o.add(ctx, event, leaveTask, []entry{newEntry("x", key, k, body)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, event := range []string{"5-0", "5-1", "5-1", "4-9", "10-0"} {
		put(event, event, once, event)
	}
	put("11-0", "check", replaceable, "pending")
	put("12-0", "check", replaceable, "running")
	put("13-0", "check", final, "failed")
	put("14-0", "check", replaceable, "pending")
	put("15-0", "check", replaceable, "running")
	all, total, err := o.waiting(ctx, "x", 100)
	var got []string
	for _, e := range all {
		got = append(got, e.base()+" "+e.raw)
	}
	want := `5-0 u"5-0",5-1 u"5-1",10-0 u"10-0",check f"failed",check o"pending",check o"running"`
	if err != nil || total != 6 || strings.Join(got, ",") != want {
		t.Errorf("%d, %v:\n%s\nwant\n%s", total, err, strings.Join(got, ","), want)
	}
	stale := all[0]
	stale.raw = `u"another"`
	if err := o.sent(ctx, []entry{stale, all[1]}); err != nil {
		t.Fatal(err)
	}
	if _, total, _ := o.waiting(ctx, "x", 100); total != 5 {
		t.Errorf("%d wait: what was replaced meanwhile must stay", total)
	}
	entries := make([]entry, 0, maxWaiting+5)
	for i := range maxWaiting {
		entries = append(entries, newEntry("x", fmt.Sprint("many-", i), once, i))
	}
	for part := entries; len(part) > 0; part = part[min(1000, len(part)):] {
		if err := o.add(ctx, "", leaveTask, part[:min(1000, len(part))]); err != nil {
			t.Fatal(err)
		}
	}
	if s := y.states()["x"]; s.Waiting != maxWaiting || s.Dropped != 5 {
		t.Errorf("%+v", s)
	}
}
