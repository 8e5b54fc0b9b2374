package notify

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
)

func TestTheDatabaseUserOfDeployMayDoAllThis(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../../deploy/redis/users.acl")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "users.acl")
	if err := os.WriteFile(file, regexp.MustCompile(`@([A-Z]+)_PASSWORD@`).ReplaceAll(text, []byte("$1")), 0o600); err != nil {
		t.Fatal(err)
	}
	y, bot := newYard(t), telegramFake(t)
	y.redis = testenv.Redis(t, "--include", file)
	y.rdb = redis.NewClient(&redis.Options{Addr: y.redis.Addr, Username: "caur-database", Password: "DATABASE", DisableIdentity: true})
	t.Cleanup(func() { _ = y.rdb.Close() })
	y.q = queue.New(y.rdb)
	y.useTelegram(bot)
	bot.answers(func(got) (int, http.Header, string) { return 400, nil, "no" })
	y.start()
	y.build("foo", queue.Result{Status: queue.Failed})
	y.until("a dead letter", func() bool { return y.states()["telegram"].Dead == 1 })
	bot.answers(nil)
	if n, err := NewOutbox(y.rdb).Retry(t.Context(), "telegram"); n != 1 || err != nil {
		t.Errorf("retry: %d, %v", n, err)
	}
	bot.next()
	y.until("all sent", func() bool { return y.states()["telegram"].Waiting == 0 })
	if n, err := NewOutbox(y.rdb).Drop(t.Context(), "telegram", true); n != 0 || err != nil {
		t.Errorf("drop: %d, %v", n, err)
	}
}

// BenchmarkJobsTold is how fast jobs that have ended while the notifier was down become statuses and messages: each has four events, and all are read anew.
func BenchmarkJobsTold(b *testing.B) {
	y, bot, lab := newYard(b), telegramFake(b), gitlab(b)
	y.useTelegram(bot)
	y.useGitLab(lab)
	y.start()() // now it has its place
	var all []queue.Job
	for i := range b.N {
		all = append(all, job(fmt.Sprintf("pkg-%d", i)))
	}
	y.enqueue(all...)
	for range b.N {
		y.end(y.claim(), queue.Result{Status: queue.Success, Duration: time.Minute})
	}
	b.ResetTimer()
	y.start()
	y.until("all told", func() bool {
		s := y.states()
		return s["telegram"].Sent == int64(b.N) && s["telegram"].Waiting == 0 && s["status:packages"].Waiting == 0
	})
	b.ReportMetric(float64(len(lab.came))/float64(b.N), "statuses/op")
	b.ReportMetric(float64(len(bot.came)), "messages")
}
