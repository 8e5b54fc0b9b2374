package cli

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/caur-build/caur/internal/testenv"
)

// process is a caur-exec that runs until it is told to end.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{} // closed when its log is read to the end

	mu  sync.Mutex
	log strings.Builder
	new *sync.Cond // a line was added, or the log has ended
	end bool
}

// start runs caur-exec with exactly this environment, and PATH.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command("caur-exec", args...), done: make(chan struct{})}
	p.new = sync.NewCond(&p.mu)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	out, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.read(out)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.done
	})
	return p
}

func (p *process) read(out io.Reader) {
	defer close(p.done)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		p.mu.Lock()
		p.log.WriteString(lines.Text() + "\n")
		p.new.Broadcast()
		p.mu.Unlock()
	}
	_ = p.cmd.Wait() // the exit code is looked at below
	p.mu.Lock()
	p.end = true
	p.new.Broadcast()
	p.mu.Unlock()
}

// wait returns the first group of the pattern once a line of the log matches.
func (p *process) wait(pattern string) string {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(p.log.String()); m != nil {
			return m[len(m)-1]
		}
		if p.end {
			p.t.Fatalf("it ended (%v) and never said %q:\n%s", p.cmd.ProcessState, pattern, p.log.String())
		}
		p.new.Wait()
	}
}

// stop sends a signal and wants an exit code.
func (p *process) stop(sig os.Signal, code int) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Error(err)
	}
	<-p.done
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Errorf("exit code %d, want %d:\n%s", got, code, p.log.String())
	}
}

const servedAt = `web pages are served address=(\S+)`

func get(t *testing.T, address, path string) (int, string) {
	t.Helper()
	answer, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// run is caur-exec to its end.
func run(t *testing.T, env []string, args ...string) (output string, code int) {
	t.Helper()
	cmd := exec.Command("caur-exec", args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func TestWebEndsInOrderOnASignal(t *testing.T) {
	redis := testenv.Redis(t)
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		p := start(t, []string{"REDIS_URL=" + redis.URL, "WEB_HOST=127.0.0.1", "WEB_PORT=0"}, "web")
		address := p.wait(servedAt)
		if code, body := get(t, address, "/readyz"); code != 200 {
			t.Errorf("/readyz: %d %s", code, body)
		}
		p.stop(sig, 0)
		if !strings.Contains(p.log.String(), "ended in order") {
			t.Errorf("log:\n%s", p.log.String())
		}
		if strings.Contains(p.log.String(), "\x1b") {
			t.Errorf("colours, although standard error is no terminal:\n%q", p.log.String())
		}
	}
}

func TestLogFormatJSON(t *testing.T) {
	redis := testenv.Redis(t)
	p := start(t, []string{"REDIS_URL=" + redis.URL, "WEB_HOST=127.0.0.1", "WEB_PORT=0", "LOG_FORMAT=json"}, "web")
	p.wait(`"msg":"web pages are served"`)
	p.stop(syscall.SIGTERM, 0)
	for line := range strings.Lines(p.log.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

func TestWebSaysThatItsPortIsTaken(t *testing.T) {
	redis := testenv.Redis(t)
	out, code := run(t, []string{"REDIS_URL=" + redis.URL}, "web", "--web-host", "127.0.0.1", "--web-port", redis.Addr[strings.LastIndex(redis.Addr, ":")+1:])
	if code != 1 || !strings.Contains(out, "address already in use") || !strings.Contains(out, "--web-port") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// site is the environment of a standalone, in a directory whose path is short enough for a socket.
func site(t *testing.T) (dir string, env []string) {
	t.Helper()
	testenv.Need(t, "redis-server")
	dir, err := os.MkdirTemp("", "caur")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, name := range []string{"shared", "landing", "repo"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	home, _ := testenv.GPGHome(t)
	return dir, []string{
		"HOME=" + dir, "SHARED_PATH=" + dir + "/shared", "LANDING_ZONE_PATH=" + dir + "/landing", "REPO_PATH=" + dir + "/repo", "GPG_PATH=" + home,
		`PACKAGE_REPOS={"src":{"url":"file:///nonexistent"}}`, `PACKAGE_TARGET_REPOS={"r":{}}`,
		"CONTAINER_ENGINE=none", "BUILDER_CLASS=nobody", "WEB_HOST=127.0.0.1", "WEB_PORT=0", "STANDALONE_DATA=" + dir + "/data",
	}
}

func TestStandaloneKeepsTheQueueAcrossStopsAndCrashes(t *testing.T) {
	dir, env := site(t)
	queueEnv := []string{"REDIS_URL=unix://" + dir + "/data/redis.sock"}
	for i, end := range []struct {
		sig  os.Signal
		code int
	}{{syscall.SIGTERM, 0}, {syscall.SIGKILL, -1}, {os.Interrupt, 0}} {
		p := start(t, env, "standalone")
		address := p.wait(servedAt)
		p.wait("database role started")
		p.wait("builder is ready")
		if i == 0 {
			if out, code := run(t, queueEnv, "schedule", "--target-repo=r", "--source-repo=src", "waits"); code != 0 {
				t.Fatalf("schedule: %d %s", code, out)
			}
		}
		if code, body := get(t, address, "/api/queue/packages"); code != 200 || !strings.Contains(body, `"waits":{"arch":"x86_64"`) {
			t.Errorf("round %d: %d %s", i, code, body)
		}
		if out, code := run(t, env, "standalone"); code != 1 || !strings.Contains(out, "data directory is in use") {
			t.Errorf("a second one: %d %s", code, out)
		}
		p.stop(end.sig, end.code)
		if end.code == 0 {
			if out, code := run(t, queueEnv, "queue"); code != 1 {
				t.Errorf("the private Redis still runs: %d %s", code, out)
			}
		}
	}
}

func TestStandaloneUsesTheRedisThatIsConfigured(t *testing.T) {
	dir, env := site(t)
	redis := testenv.Redis(t)
	p := start(t, append(env, "REDIS_URL="+redis.URL), "standalone")
	p.wait("builder is ready")
	p.stop(syscall.SIGTERM, 0)
	if _, err := os.Stat(dir + "/data"); err == nil {
		t.Error("a private Redis was started too")
	}
}

func TestStandaloneRestartsItsRedis(t *testing.T) {
	dir, env := site(t)
	p := start(t, env, "standalone")
	address := p.wait(servedAt)
	p.wait("builder is ready")
	pid := strings.TrimSpace(childOf(t, p.cmd.Process.Pid, "redis-server"))
	if err := exec.Command("kill", "-KILL", pid).Run(); err != nil {
		t.Fatal(err)
	}
	p.wait("private Redis runs again")
	if out, code := run(t, []string{"REDIS_URL=unix://" + dir + "/data/redis.sock"}, "queue"); code != 0 {
		t.Errorf("queue: %d %s", code, out)
	}
	if code, body := get(t, address, "/readyz"); code != 200 {
		t.Errorf("/readyz: %d %s", code, body)
	}
	p.stop(syscall.SIGTERM, 0)
}

// childOf finds a child process by its name.
func childOf(t *testing.T, parent int, name string) string {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range stats {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		// PID (NAME) STATE PARENT …, proc(5)
		fields := strings.Fields(string(data))
		if len(fields) > 3 && fields[1] == "("+name+")" && fields[3] == strconv.Itoa(parent) {
			return fields[0]
		}
	}
	t.Fatalf("process %d has no child %s", parent, name)
	return ""
}

func TestStandaloneWithoutRedisNamesThePackage(t *testing.T) {
	_, env := site(t)
	caurExec, err := exec.LookPath("caur-exec")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(caurExec, "standalone")
	cmd.Env = append(env, "PATH="+t.TempDir())
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "redis-server (Debian, Ubuntu) or valkey (Arch)") {
		t.Errorf("%v: %s", cmd.ProcessState, out)
	}
}
