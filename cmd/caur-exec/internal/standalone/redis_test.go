package standalone

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/caur-build/caur/internal/testenv"
)

// ownerDir makes this test program an owner of a data directory that waits to be killed.
const ownerDir = "CAUR_TEST_OWNER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(ownerDir); dir != "" {
		r, err := Start(context.Background(), Options{Dir: dir})
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println("owner is ready:", r.URL())
		select {}
	}
	goleak.VerifyTestMain(m)
}

// shortDir is a directory whose path leaves room for a socket, however long the test's name is.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "caur")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "redis")
}

func start(t *testing.T, opt Options) *Redis {
	t.Helper()
	testenv.Need(t, "redis-server")
	r, err := Start(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func stop(t *testing.T, r *Redis) {
	t.Helper()
	if err := r.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// ask sends one inline command and gives the first line of the answer, of a bulk string the second.
func ask(t *testing.T, dir, command string) string {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(dir, "redis.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s\r\n", command)
	lines := bufio.NewReader(conn)
	answer, err := lines.ReadString('\n')
	if err == nil && strings.HasPrefix(answer, "$") && !strings.HasPrefix(answer, "$-1") {
		answer, err = lines.ReadString('\n')
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(answer)
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDataOutlivesStopAndStart(t *testing.T) {
	dir := shortDir(t)
	r := start(t, Options{Dir: dir})
	want(t, r.URL(), "unix://"+dir+"/redis.sock")
	want(t, ask(t, dir, "SET job waits"), "+OK")
	stop(t, r)
	r = start(t, Options{Dir: dir})
	defer stop(t, r)
	want(t, ask(t, dir, "GET job"), "waits")
}

func TestNobodyElseReachesTheServer(t *testing.T) {
	dir := shortDir(t)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	defer stop(t, start(t, Options{Dir: dir}))
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("data directory: %v, %v", info.Mode(), err)
	}
	conn, err := net.Dial("unix", dir+"/redis.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "INFO server\r\nQUIT\r\n")
	text, _ := io.ReadAll(conn)
	if !strings.Contains(string(text), "tcp_port:0\r\n") {
		t.Errorf("the server listens on TCP:\n%s", text)
	}
}

func TestSecondOwnerIsRefused(t *testing.T) {
	dir := shortDir(t)
	defer stop(t, start(t, Options{Dir: dir}))
	_, err := Start(t.Context(), Options{Dir: dir})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), fmt.Sprintf("process %d ", os.Getpid())) {
		t.Errorf("got %v", err)
	}
	want(t, ask(t, dir, "PING"), "+PONG")
}

func TestServerThatDiesIsStartedAgain(t *testing.T) {
	dir := shortDir(t)
	events := make(chan Event, 100)
	r := start(t, Options{Dir: dir, Notify: func(e Event) { events <- e }})
	defer stop(t, r)
	want(t, ask(t, dir, "SET job runs"), "+OK")
	for round := range 3 {
		if err := r.child.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		died := <-events
		if died.Err == nil || !strings.Contains(died.Err.Error(), "signal: killed") {
			t.Errorf("round %d: %v", round, died.Err)
		}
		if died.Pause > pauseMost || (round > 0) != (died.Pause > 0) {
			t.Errorf("round %d: pause of %v", round, died.Pause)
		}
		if again := <-events; again.Err != nil {
			t.Errorf("round %d: %v", round, again.Err)
		}
		want(t, ask(t, dir, "GET job"), "runs")
	}
}

func TestOwnerThatIsKilledLeavesNothingInTheWay(t *testing.T) {
	testenv.Need(t, "redis-server")
	dir := shortDir(t)
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), ownerDir+"="+dir)
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); !strings.HasPrefix(line, "owner is ready") {
		t.Fatalf("owner said %q", line)
	}
	want(t, ask(t, dir, "SET job waits"), "+OK")
	_ = owner.Process.Kill()
	_ = owner.Wait()
	r := start(t, Options{Dir: dir})
	defer stop(t, r)
	want(t, ask(t, dir, "GET job"), "waits")
}

func TestServerThatWasLeftBehindIsEnded(t *testing.T) {
	dir := shortDir(t)
	r := start(t, Options{Dir: dir})
	want(t, ask(t, dir, "SET job waits"), "+OK")
	stop(t, r)

	left, err := startChild(t.Context(), r.Program(), r.arguments())
	if err != nil {
		t.Fatal(err)
	}
	r = start(t, Options{Dir: dir})
	defer stop(t, r)
	<-left.done
	want(t, ask(t, dir, "GET job"), "waits")
}

func TestStaleSocketIsRemoved(t *testing.T) {
	dir := shortDir(t)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/redis.sock", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	defer stop(t, start(t, Options{Dir: dir}))
	want(t, ask(t, dir, "PING"), "+PONG")
}

func TestWhatKeepsTheServerFromStartingIsSaid(t *testing.T) {
	testenv.Need(t, "redis-server")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	notRedis := filepath.Join(t.TempDir(), "redis-server")
	if err := os.WriteFile(notRedis, []byte("#!/bin/sh\necho 'no room on the disk' >&2\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		opt  Options
		want []string
	}{
		{"the path is no directory", Options{Dir: file + "/x"}, []string{file}},
		{"the path is too long for a socket", Options{Dir: "/" + strings.Repeat("x", 110)}, []string{"too long for a Unix socket", "shorter"}},
		{"the program cannot be started", Options{Dir: shortDir(t), Program: file}, []string{"start " + file, "permission denied"}},
		{"the program ends at once", Options{Dir: shortDir(t), Program: notRedis}, []string{"exit status 3", "no room on the disk"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Start(t.Context(), tt.opt)
			if err == nil {
				stop(t, r)
				t.Fatal("it started")
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q lacks %q", err, part)
				}
			}
		})
	}
}

func TestBrokenDataIsAnErrorNotALoop(t *testing.T) {
	dir := shortDir(t)
	r := start(t, Options{Dir: dir})
	want(t, ask(t, dir, "SET a b"), "+OK")
	stop(t, r)
	aof, err := filepath.Glob(dir + "/appendonlydir/*.incr.aof")
	if err != nil || len(aof) != 1 {
		t.Fatal(aof, err)
	}
	if err := os.WriteFile(aof[0], []byte("*garbage\r\n$$$\r\nmore garbage\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "append only file") {
		t.Errorf("got %v", err)
	}
}

func TestMissingProgramNamesThePackages(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Start(t.Context(), Options{Dir: shortDir(t)})
	if err == nil {
		t.Fatal("it started")
	}
	for _, part := range []string{"redis-server (Debian", "valkey (Arch)", "REDIS_URL"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}

func TestValkeyServerIsFoundToo(t *testing.T) {
	redis, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("redis-server is not installed: run make test, which installs it")
	}
	bin := t.TempDir()
	if err := os.Symlink(redis, bin+"/valkey-server"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	dir := shortDir(t)
	r, err := Start(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	want(t, r.Program(), bin+"/valkey-server")
	stop(t, r)
}

func TestStopKillsAServerThatHangs(t *testing.T) {
	dir := shortDir(t)
	r := start(t, Options{Dir: dir})
	if err := r.child.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := r.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	defer stop(t, start(t, Options{Dir: dir}))
}

func TestStopWhileTheServerIsBeingStartedAgain(t *testing.T) {
	dir := shortDir(t)
	died := make(chan Event, 10)
	program := filepath.Join(t.TempDir(), "redis-server")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec redis-server \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := start(t, Options{Dir: dir, Program: program, Notify: func(e Event) { died <- e }})
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	if err := r.child.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-died
	if e := <-died; e.Err == nil || e.Pause == 0 {
		t.Errorf("got %+v", e)
	}
	stop(t, r)
}
