package childproc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sh(script string, args ...string) Cmd {
	return Cmd{Path: "sh", Args: append([]string{"-c", script, "sh"}, args...), Env: []string{"PATH=" + os.Getenv("PATH")}}
}

func TestRunSaysHowTheProgramEnded(t *testing.T) {
	for _, test := range []struct {
		script string
		code   int
		signal syscall.Signal
		text   string
	}{
		{script: "exit 0"},
		{script: "echo out; echo wrong >&2; exit 7", code: 7, text: "sh ended with status 7: wrong"},
		{script: "exit 255", code: 255, text: "sh ended with status 255"},
		{script: "kill -KILL $$", code: -1, signal: syscall.SIGKILL, text: "sh was ended by signal 9 (killed)"},
		{script: "echo last words >&2; kill -SEGV $$", code: -1, signal: syscall.SIGSEGV, text: "last words"},
	} {
		err := Run(context.Background(), sh(test.script))
		if test.text == "" {
			if err != nil {
				t.Errorf("%s: %v", test.script, err)
			}
			continue
		}
		var exit *ExitError
		if !errors.As(err, &exit) {
			t.Errorf("%s: got %v", test.script, err)
			continue
		}
		if exit.Code != test.code || exit.Signal != test.signal || exit.Program != "sh" || exit.Cause != nil {
			t.Errorf("%s: got %+v", test.script, exit)
		}
		if !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %q does not hold %q", test.script, err, test.text)
		}
	}
}

func TestRunGivesTheChildExactlyItsEnvironment(t *testing.T) {
	t.Setenv("CAUR_TEST_SECRET", "hunter2")
	for _, env := range [][]string{nil, {}, {"A=1", "B=2"}} {
		out, err := Output(context.Background(), Cmd{Path: "env", Env: env})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Fields(string(out)); !slices.Equal(got, env) {
			t.Errorf("env %v: the child has %v", env, got)
		}
	}
}

func TestOutputCarriesStreams(t *testing.T) {
	c := sh("pwd; cat; echo oops >&2")
	c.Dir = t.TempDir()
	c.Stdin = strings.NewReader("input")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := Output(context.Background(), c)
	if err != nil || string(out) != c.Dir+"\ninput" || stderr.String() != "oops\n" {
		t.Errorf("got %q, %q, %v", out, stderr.String(), err)
	}
}

func TestRunKeepsTheOrderOfOneWriter(t *testing.T) {
	var both bytes.Buffer
	c := sh("for i in 1 2 3; do echo o$i; echo e$i >&2; done; exit 3")
	c.Stdout, c.Stderr = &both, &both
	err := Run(context.Background(), c)
	const want = "o1\ne1\no2\ne2\no3\ne3"
	if strings.TrimSpace(both.String()) != want || err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %q, %v", both.String(), err)
	}
}

type incomparable struct{ _ []func() }

func (incomparable) Write(p []byte) (int, error) { return len(p), nil }

func TestRunTakesWritersThatCannotBeCompared(t *testing.T) {
	c := sh("echo x; echo y >&2")
	c.Stdout, c.Stderr = incomparable{}, incomparable{}
	if err := Run(context.Background(), c); err != nil {
		t.Error(err)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestRunSaysThatOutputCannotBeWritten(t *testing.T) {
	c := sh("echo x")
	c.Stdout = fullDisk{}
	if err := Run(context.Background(), c); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
}

func TestRunSaysThatAProgramCannotBeStarted(t *testing.T) {
	for path, want := range map[string]error{"no-such-program": exec.ErrNotFound, "/etc/passwd": fs.ErrPermission, "/not/there": fs.ErrNotExist} {
		err := Run(context.Background(), Cmd{Path: path, Stdin: strings.NewReader("x")})
		var exit *ExitError
		if !errors.Is(err, want) || errors.As(err, &exit) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

// started runs a child that prints "ready" when the test may go on, and gives its first line.
func started(t *testing.T, ctx context.Context, c Cmd) (line string, result <-chan error) {
	t.Helper()
	r, w := io.Pipe()
	c.Stdout = w
	done := make(chan error, 1)
	go func() {
		err := Run(ctx, c)
		_ = w.CloseWithError(fmt.Errorf("ended: %w", errors.Join(err, io.EOF)))
		done <- err
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	return strings.TrimSpace(line), done
}

// gone waits until a process that is no child of ours has ended.
func gone(t *testing.T, text string) {
	t.Helper()
	pid, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 20_000)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 20_000)
	}
	if n != 1 {
		t.Errorf("process %d still runs: %v", pid, err)
	}
}

func TestRunEndsTheGroupWhenTheContextEnds(t *testing.T) {
	why := errors.New("the lease is lost")
	for _, test := range []struct {
		name, script string
		signal       syscall.Signal
		code         int
	}{
		{name: "SIGTERM is enough", script: "sleep 1000 & echo $!; wait", signal: syscall.SIGTERM, code: -1},
		{name: "one that cleans up", script: "trap 'exit 5' TERM; sleep 1000 & echo $!; wait", code: 5},
		{name: "one that ignores SIGTERM", script: "trap '' TERM; sleep 1000 & echo $!; wait; wait; sleep 1000", signal: syscall.SIGKILL, code: -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(context.Background())
			c := sh(test.script)
			c.Grace = 300 * time.Millisecond
			grandchild, done := started(t, ctx, c)
			cancel(why)
			err := <-done
			var exit *ExitError
			if !errors.As(err, &exit) || !errors.Is(err, why) || exit.Signal != test.signal || exit.Code != test.code {
				t.Errorf("got %v, %+v", err, exit)
			}
			gone(t, grandchild)
		})
	}
}

func TestRunLeavesNothingOfTheGroupBehind(t *testing.T) {
	out, err := Output(context.Background(), sh("sleep 1000 & echo $!"))
	if err != nil {
		t.Fatal(err)
	}
	gone(t, strings.TrimSpace(string(out)))
}

func TestRunDoesNotWaitForADaemonThatKeepsThePipe(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	// The redirection keeps the daemon from being the last to hold the test's own output, not the pipe of Output.
	_, err := Output(context.Background(), sh(`setsid sh -c 'echo $$ >"$0"; exec sleep 1000' "$1" & while ! [ -s "$1" ]; do :; done; echo done`, pidFile))
	if err != nil {
		t.Errorf("got %v", err)
	}
	data, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(data), &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("the daemon was not left alone: %v", err)
	}
}

func TestRunDoesNotWaitForAnInputThatNeverComes(t *testing.T) {
	r, w := io.Pipe()
	c := sh("exit 0")
	c.Stdin = r
	if err := Run(context.Background(), c); err != nil {
		t.Error(err)
	}
	_ = w.Close()
}

func TestRunAcceptsAChildThatDoesNotReadItsInput(t *testing.T) {
	c := sh("exec 0<&-; exit 0")
	c.Stdin = io.LimitReader(zeros{}, 10<<20)
	if err := Run(context.Background(), c); err != nil {
		t.Error(err)
	}
	c = sh("cat >/dev/null")
	c.Stdin = io.MultiReader(strings.NewReader("x"), failing{})
	if err := Run(context.Background(), c); !errors.Is(err, errInput) {
		t.Errorf("an input that cannot be read: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

var errInput = errors.New("input is broken")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errInput }

func TestRunStartsNothingWhenTheContextHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	file := filepath.Join(t.TempDir(), "x")
	if err := Run(ctx, sh(`: >"$1"`, file)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the program ran")
	}
}

func TestRunStopsAtATimeLimit(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := Run(ctx, sh("sleep 1000")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestRunDropsRights(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: the child runs as ourselves")
		return
	}
	c := sh("id -u; id -g; id -G")
	c.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	out, err := Output(context.Background(), c)
	if err != nil || string(out) != "65534\n65534\n65534\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestRunMakesNamespaces(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: no namespaces")
		return
	}
	c := sh("echo $$")
	c.Cloneflags = syscall.CLONE_NEWPID
	out, err := Output(context.Background(), c)
	if err != nil || string(out) != "1\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestRunHandsDescriptorsOn(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := sh("echo hello >&3")
	c.ExtraFiles = []*os.File{w}
	err = Run(context.Background(), c)
	_ = w.Close()
	got, _ := io.ReadAll(r)
	_ = r.Close()
	if err != nil || string(got) != "hello\n" {
		t.Errorf("got %q, %v", got, err)
	}
}
