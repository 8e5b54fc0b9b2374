package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"caur-exec":      func() { container.MaybeInit(); os.Exit(Main()) }, // as in main.go
		"answer-cleanup": answerCleanup,
	})
}

var updateScripts = os.Getenv("UPDATE_SCRIPTS") != ""

// TestScripts runs the command-line tests of testdata/script/exec. They share two Redis servers; each has a database of
// its own in the open one.
func TestScripts(t *testing.T) {
	open := testenv.Redis(t)
	locked := testenv.Redis(t, "--requirepass", "s3cret")
	var scripts atomic.Int32
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("..", "..", "..", "..", "testdata", "script", "exec"),
		UpdateScripts: updateScripts,
		Cmds:          map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "package": makePackage(t), "signing-key": signingKey(t), "legacy": legacyQueue(t)},
		Setup: func(env *testscript.Env) error {
			env.Setenv("REDIS_URL", fmt.Sprintf("%s/%d", open.URL, scripts.Add(1)))
			env.Setenv("LOCKED_REDIS", locked.URL)
			return nil
		},
	})
}

// exits runs a program and wants its exit code: exits CODE PROGRAM ARGUMENT...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if neg || err != nil {
		ts.Fatalf("usage: exits CODE PROGRAM ARGUMENT...")
	}
	code := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// answerCleanup is a database role that ends the next clean-up with the status and message of its arguments.
func answerCleanup() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	where, err := redis.ParseURL(os.Getenv("REDIS_URL"))
	if err != nil {
		fail(err)
	}
	q := queue.New(redis.NewClient(where))
	for {
		d, err := q.TakeDelivery(ctx, "test", time.Minute)
		if err != nil {
			fail(err)
		}
		if d == nil {
			if err := q.WaitDelivery(ctx, time.Minute); err != nil {
				fail(err)
			}
			continue
		}
		status := map[string]queue.Status{"success": queue.Success, "failed": queue.Failed}[os.Args[1]]
		if err := q.FinishDelivery(ctx, d, status, os.Args[2]); err != nil {
			fail(err)
		}
		c := d.Cleanup
		fmt.Println(c.TargetRepo, c.Arch, c.Pkgbases, c.Commit, fmt.Sprintf("force=%v", c.Force))
		os.Exit(0)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
