package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/caur-build/caur/internal/redisconn"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/pkg/queue"
)

// buildsEnded lets builds end well in the queue of REDIS_URL, as a builder and the database role do: built PKG=DURATION...
func buildsEnded(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	client, err := redisconn.Open(ctx, redisconn.Config{URL: settings.NewSecret(ts.Getenv("REDIS_URL"))})
	ts.Check(err)
	defer client.Close() //nolint:errcheck // the test is over then
	q := queue.New(client)
	for _, arg := range args {
		name, text, _ := strings.Cut(arg, "=")
		took, err := time.ParseDuration(text)
		ts.Check(err)
		job := queue.Job{Pkgbase: name, TargetRepo: "built", SourceRepo: "packages", Arch: "x86_64", Pkgnames: []string{name}}
		_, err = q.Enqueue(ctx, queue.Batch{Jobs: []queue.Job{job}})
		ts.Check(err)
		lease, err := q.Claim(ctx, queue.Builder{Name: "builder", Class: "1"}, time.Minute)
		ts.Check(err)
		if lease == nil || lease.Job.Pkgbase != name {
			ts.Fatalf("claim gives %v, want %s", lease, name)
		}
		file := queue.File{Name: fmt.Sprintf("%s-1-1-x86_64.pkg.tar.zst", name), SHA256: strings.Repeat("0", 64)}
		ts.Check(q.Deliver(ctx, lease, queue.Result{Duration: took, Files: []queue.File{file}}))
		delivery, err := q.TakeDelivery(ctx, "database", time.Minute)
		ts.Check(err)
		ts.Check(q.FinishDelivery(ctx, delivery, queue.Success, ""))
	}
}
