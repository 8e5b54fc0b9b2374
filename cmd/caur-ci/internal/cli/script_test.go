package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/caur-build/caur/internal/testenv"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"caur-ci": func() { os.Exit(Main()) }})
}

var updateScripts = os.Getenv("UPDATE_SCRIPTS") != ""

// TestScripts runs the command-line tests of testdata/script/ci. They share two Redis servers; each has a database of its
// own in the open one, and a git of its own.
func TestScripts(t *testing.T) {
	testenv.Need(t, "git", "bash", "shellcheck")
	open := testenv.Redis(t, "--databases", "64")
	locked := testenv.Redis(t, "--requirepass", "s3cret")
	var scripts atomic.Int32
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("..", "..", "..", "..", "testdata", "script", "ci"),
		UpdateScripts: updateScripts,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "repository": repository, "commit": commitAll, "redisdown": redisdown, "built": buildsEnded,
		},
		Setup: func(env *testscript.Env) error {
			for _, variable := range []string{
				"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "LANG=C.UTF-8",
				"GIT_AUTHOR_NAME=Tess Tester", "GIT_AUTHOR_EMAIL=tess@example.org",
				"GIT_COMMITTER_NAME=Tess Tester", "GIT_COMMITTER_EMAIL=tess@example.org",
				fmt.Sprintf("REDIS_URL=%s/%d", open.URL, scripts.Add(1)),
				"LOCKED_REDIS=" + locked.URL,
			} {
				key, value, _ := strings.Cut(variable, "=")
				env.Setenv(key, value)
			}
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

// repository makes the folder repo a git repository with all its files in one commit, and origin.git its remote. With
// the argument "scheduled" the commit has that tag.
func repository(ts *testscript.TestScript, _ bool, args []string) {
	repo := filepath.Join(ts.Getenv("WORK"), "repo")
	git := func(args ...string) {
		ts.Check(ts.Exec("git", append([]string{"-C", repo}, args...)...))
	}
	git("init", "-q", "-b", "main")
	git("add", "-A")
	git("commit", "-q", "-m", "first")
	if len(args) > 0 {
		git("tag", args[0])
	}
	ts.Check(ts.Exec("git", "clone", "-q", "--bare", repo, filepath.Join(ts.Getenv("WORK"), "origin.git")))
	git("remote", "add", "origin", filepath.Join(ts.Getenv("WORK"), "origin.git"))
}

// commitAll commits everything in the folder repo and pushes main: commit MESSAGE
func commitAll(ts *testscript.TestScript, _ bool, args []string) {
	repo := filepath.Join(ts.Getenv("WORK"), "repo")
	ts.Check(ts.Exec("git", "-C", repo, "add", "-A"))
	ts.Check(ts.Exec("git", "-C", repo, "commit", "-q", "--allow-empty", "-m", args[0]))
	ts.Check(ts.Exec("git", "-C", repo, "push", "-q", "origin", "main"))
}

// redisdown makes Redis unreachable for what follows.
func redisdown(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Setenv("REDIS_URL", "redis://127.0.0.1:1")
}
