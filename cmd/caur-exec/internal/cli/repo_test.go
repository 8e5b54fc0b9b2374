package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/syncdb/pkgtest"
	"github.com/caur-build/caur/internal/testenv"
)

// makePackage writes a package file into the working directory: package NAME VERSION [PKGBASE].
func makePackage(t *testing.T) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < 2 || len(args) > 3 {
			ts.Fatalf("usage: package NAME VERSION [PKGBASE]")
		}
		spec := pkgtest.Spec{Name: args[0], Version: args[1]}
		if len(args) == 3 {
			spec.Base = args[2]
		}
		pkgtest.Make(t, ts.MkAbs("."), spec)
	}
}

// signingKey writes a new secret key, and the GnuPG home it is from is GPG_HOME: signing-key FILE.
func signingKey(t *testing.T) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		home, key := testenv.GPGHome(t)
		cmd := exec.Command("gpg", "--homedir", home, "--batch", "--quiet", "--output", ts.MkAbs(args[0]), "--export-secret-keys", key)
		if out, err := cmd.CombinedOutput(); err != nil {
			ts.Fatalf("gpg: %v\n%s", err, out)
		}
		ts.Setenv("GPG_HOME", home)
	}
}

// legacyQueue puts a file into Redis as the queue of the earlier manager, or with ! demands that there is none.
func legacyQueue(t *testing.T) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		where, err := redis.ParseURL(ts.Getenv("REDIS_URL"))
		if err != nil {
			ts.Fatalf("%v", err)
		}
		rdb := redis.NewClient(where)
		defer rdb.Close()
		if neg {
			if n, err := rdb.Exists(t.Context(), "build-queue").Result(); err != nil || n != 0 {
				ts.Fatalf("the queue of the earlier manager is there: %v", err)
			}
			return
		}
		if err := rdb.Set(t.Context(), "build-queue", ts.ReadFile(args[0]), 0).Err(); err != nil {
			ts.Fatalf("%v", err)
		}
	}
}

func TestEveryCommandBelowAnotherHasExamplesAndExitCodes(t *testing.T) {
	root := New(&command.IO{})
	var below []*cobra.Command
	for _, cmd := range root.Commands() {
		below = append(below, cmd.Commands()...)
	}
	if len(below) < 15 {
		t.Errorf("only %d commands", len(below))
	}
	for _, cmd := range below {
		if !strings.Contains(cmd.Long, "Exit status: 0 done") || cmd.Short == "" || !strings.HasPrefix(cmd.Example, "  ") {
			t.Errorf("%s lacks its exit codes, a short text or an example", cmd.CommandPath())
		}
	}
}

func TestServeEndsInOrderOnASignal(t *testing.T) {
	repo := t.TempDir()
	if err := os.MkdirAll(filepath.Join(repo, "demo"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(repo, "demo", "lastupdate"), []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := start(t, []string{"REPO_PATH=" + repo}, "repo", "serve", "--listen", "127.0.0.1:0")
	address := p.wait(`repositories are served address=(\S+)`)
	if code, body := get(t, address, "/demo/lastupdate"); code != 200 || body != "1\n" {
		t.Errorf("%d %q", code, body)
	}
	p.stop(syscall.SIGTERM, 0)
	if text, code := run(t, []string{"REPO_PATH=" + repo}, "repo", "serve", "--listen", "256.0.0.1:1"); code != 1 || !strings.Contains(text, "--listen chooses another") {
		t.Errorf("an address that is none: %d, %s", code, text)
	}
}
