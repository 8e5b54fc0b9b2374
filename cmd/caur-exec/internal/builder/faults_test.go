package builder_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/builder"
	"github.com/caur-build/caur/cmd/caur-exec/internal/landing"
	"github.com/caur-build/caur/internal/syncdb/pkgtest"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
)

// TestFaults puts each kind of fault at each step of a build. Whatever happens: the job ends exactly once, what is
// published is whole, and nothing is left behind. Roles, container and Redis are real processes; SIGKILL is how they end.
func TestFaults(t *testing.T) {
	testenv.Need(t, "git", "gpg", "redis-server", "sshd")
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts overlays: run make test as root")
	}
	table := []struct {
		name   string
		steps  []string
		want   queue.Status
		ssh    bool // Redis and the landing zone are reached through SSH
		inject func(w *ward, step string)
	}{
		{"builder-killed", builder.Steps, queue.Success, false, func(w *ward, _ string) {
			w.builder.kill()
			w.builder = w.start("builder")
		}},
		{"builder-asked-to-end", builder.Steps, queue.Success, false, func(w *ward, _ string) {
			began := time.Now()
			w.builder.term()
			w.builder.goOn()
			w.builder.wantDone()
			if took := time.Since(began); took > 30*time.Second {
				w.v.t.Errorf("the builder took %v to end", took)
			}
			w.builder = w.start("builder")
		}},
		{"redis-killed", builder.Steps, queue.Success, false, func(w *ward, _ string) {
			w.v.redis.Kill()
			w.builder.goOn()
			w.v.redis.Start()
		}},
		{"database-killed", builder.Steps, queue.Success, false, func(w *ward, _ string) {
			w.database.kill()
			w.builder.goOn()
			w.database = w.start("database")
		}},
		{"network-cut", builder.Steps, queue.Success, true, func(w *ward, _ string) {
			w.wire.cut()
			w.builder.goOn()
			<-w.wire.tried // the builder has noticed
			w.wire.mend()
		}},
		{"sshd-killed", []string{"building", "uploading", "uploaded"}, queue.Success, true, func(w *ward, _ string) {
			w.sshd.Kill()
			w.builder.goOn()
			w.sshd.Start()
		}},
		{"container-killed", []string{"building"}, queue.Failed, false, func(w *ward, _ string) {
			w.builder.goOn()
			w.killContainers()
		}},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWard(t, row.name, row.steps, row.ssh)
			for _, step := range row.steps {
				pkgbase := w.pkgbase(step)
				w.v.enqueue(w.v.job(pkgbase))
				w.builder.wait("at " + pkgbase)
				row.inject(w, step)
				w.v.wantEnd(pkgbase, row.want, "")
				if t.Failed() {
					t.Fatalf("%s at step %s", row.name, step)
				}
			}
			w.discharge(row.want)
		})
	}
}

// ward is a site whose roles are processes.
type ward struct {
	v                  *site
	kind               string
	steps              []string
	repo, home, faults string
	sshd               *testenv.SSHServer // nil: everything is on one machine
	wire               *wire              // to the SSH server
	env                []string           // of both roles
	builderEnv         []string
	builder, database  *child
}

func newWard(t *testing.T, kind string, steps []string, ssh bool) *ward {
	w := &ward{v: newSite(t), kind: kind, steps: steps, repo: t.TempDir(), faults: t.TempDir()}
	w.home, _ = testenv.GPGHome(t)
	for _, step := range steps {
		file := pkgtest.Make(t, t.TempDir(), pkgtest.Spec{Name: w.pkgbase(step), Content: step})
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		w.v.source.Write(w.pkgbase(step)+"/PKGBUILD", "pkgname="+w.pkgbase(step)+"\n")
		w.v.source.Write(w.pkgbase(step)+"/"+filepath.Base(file), string(data))
	}
	w.v.source.Git("add", "--force", ".")
	w.v.source.Commit("test: quick packages")
	w.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir(), faultsVar + "=" + w.faults, leaseVar + "=2s",
		"BUILDER_HOSTNAME=tester", "SHARED_PATH=" + w.v.s.SharedPath, "CONTAINER_ENGINE=none", "BUILDER_OVERLAY=always",
		"GPG_PATH=" + w.home, `PACKAGE_REPOS={"src": {"url": "file://` + w.v.source.Origin() + `"}}`, `PACKAGE_TARGET_REPOS={"demo": {}}`,
	}
	if ssh {
		w.overSSH(t)
	} else {
		w.builderEnv = []string{"REDIS_URL=" + w.v.redis.URL}
	}
	reap, stop := context.WithCancel(w.v.ctx)
	t.Cleanup(stop)
	go w.reap(reap)
	w.database = w.start("database")
	w.builder = w.start("builder")
	return w
}

// overSSH puts Redis and the landing zone behind an SSH server, and that behind a wire.
func (w *ward) overSSH(t *testing.T) {
	w.sshd = testenv.SSHD(t)
	w.wire = newWire(t, net.JoinHostPort(w.sshd.Host, strconv.Itoa(w.sshd.Port)))
	_, port, _ := net.SplitHostPort(w.wire.addr)
	_, redisPort, _ := net.SplitHostPort(w.v.redis.Addr)
	pinned, err := os.ReadFile(w.sshd.KnownHostsFile)
	if err != nil {
		t.Fatal(err)
	}
	known := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(known, bytes.ReplaceAll(pinned, []byte(strconv.Itoa(w.sshd.Port)), []byte(port)), 0o600); err != nil {
		t.Fatal(err)
	}
	w.v.landing = filepath.Join(w.sshd.Root, "landing")
	if err := os.Mkdir(w.v.landing, 0o755); err != nil {
		t.Fatal(err)
	}
	w.builderEnv = []string{
		"SSH_KEY_FILE=" + w.sshd.KeyFile, "SSH_KNOWN_HOSTS=" + known,
		"DATABASE_HOST=" + w.sshd.Host, "DATABASE_PORT=" + port, "DATABASE_USER=" + w.sshd.User,
		"REDIS_HOST=127.0.0.1", "REDIS_PORT=" + redisPort,
		"REDIS_SSH_HOST=" + w.sshd.Host, "REDIS_SSH_PORT=" + port, "REDIS_SSH_USER=" + w.sshd.User,
	}
}

func (w *ward) pkgbase(step string) string {
	return fault + strings.SplitN(w.kind, "-", 2)[0] + "-" + step
}

// reap gives jobs of dead builders back sooner than the database role would.
func (w *ward) reap(ctx context.Context) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_, _ = w.v.queue.Reap(ctx) // Redis may be away
		}
	}
}

// start starts a role.
func (w *ward) start(role string) *child {
	env := append(slices.Clone(w.env), roleVar+"="+role)
	if role == "builder" {
		return startChild(w.v.t, role, append(env, w.builderEnv...))
	}
	return startChild(w.v.t, role, append(env, "REDIS_URL="+w.v.redis.URL, "REPO_PATH="+w.repo, "LANDING_ZONE_PATH="+w.v.landing))
}

// killContainers ends all processes of builds: those whose command line names the build directory.
func (w *ward) killContainers() {
	w.v.t.Helper()
	pids := w.buildProcesses()
	if len(pids) == 0 {
		w.v.t.Error("no build runs")
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func (w *ward) buildProcesses() (pids []int) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		w.v.t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil && bytes.Contains(text, []byte(w.v.s.SharedPath)) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// discharge ends the roles and checks what they leave.
func (w *ward) discharge(want queue.Status) {
	t := w.v.t
	w.endsOnce(want)
	w.builder.logged("builder is ready") // it may have been started a moment ago
	w.database.logged("database role started")
	for _, c := range []*child{w.builder, w.database} {
		c.term()
		c.wantDone()
	}
	w.v.nothingLeft()
	if pids := w.buildProcesses(); len(pids) > 0 {
		t.Errorf("processes of builds are left: %v", pids)
	}
	if mounts, err := os.ReadFile("/proc/self/mounts"); err != nil || strings.Contains(string(mounts), w.v.s.SharedPath) {
		t.Errorf("mounts are left: %v\n%s", err, mounts)
	}
	for _, step := range w.steps {
		w.published(step, want == queue.Success)
	}
	zone, err := landing.NewZone(w.v.landing)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Add(48 * time.Hour) // what is swept an hour later is quarantined, what is swept a day after that is gone
	for _, at := range []time.Time{now, now.Add(48 * time.Hour)} {
		if _, err := zone.Sweep(at, at.Add(-24*time.Hour), func(landing.Place) bool { return false }); err != nil {
			t.Error(err)
		}
	}
	left, err := filepath.Glob(filepath.Join(w.v.landing, "*", "*", "*", "*", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the landing zone: %q %v", left, err)
	}
}

// endsOnce reads the history of the queue.
func (w *ward) endsOnce(want queue.Status) {
	t := w.v.t
	last := w.v.job("sentinel") // its end is the end of what is read
	last.Class = "nobody"
	w.v.enqueue(last)
	if err := w.v.queue.Cancel(w.v.ctx, last.ID()); err != nil {
		t.Fatal(err)
	}
	ends := make(map[string][]queue.Status)
	for e, err := range w.v.queue.Events(w.v.ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == queue.EventEnded {
			if e.JobID == last.ID() {
				break
			}
			ends[e.JobID] = append(ends[e.JobID], e.Status)
		}
	}
	for _, step := range w.steps {
		id := w.v.job(w.pkgbase(step)).ID()
		if !slices.Equal(ends[id], []queue.Status{want}) {
			t.Errorf("%s ended %v, want once, %v", id, ends[id], want)
		}
	}
}

// published checks that a package is in the repository as it was built, or not at all.
func (w *ward) published(step string, want bool) {
	t := w.v.t
	name := w.pkgbase(step) + "-1-1-any.pkg.tar.zst"
	got, err := os.ReadFile(filepath.Join(w.repo, "demo", "x86_64", name))
	built, builtErr := os.ReadFile(filepath.Join(w.v.source.Dir, w.pkgbase(step), name))
	if builtErr != nil {
		t.Fatal(builtErr)
	}
	switch {
	case want && (err != nil || !bytes.Equal(got, built)):
		t.Errorf("%s is not published as it was built: %v, %d of %d bytes", name, err, len(got), len(built))
	case !want && err == nil:
		t.Errorf("%s is published", name)
	}
}

// child is a role as a process.
type child struct {
	t    testing.TB
	role string
	cmd  *exec.Cmd
	in   io.WriteCloser
	said chan string
	done chan struct{}
	mu   sync.Mutex
	log  bytes.Buffer
	more chan struct{} // holds one when log has grown
}

func startChild(t testing.TB, role string, env []string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, role: role, cmd: exec.Command(self), said: make(chan string, 100), done: make(chan struct{}), more: make(chan struct{}, 1)}
	c.cmd.Env, c.cmd.Stderr = env, c
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.cmd.WaitDelay = 5 * time.Second
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			c.said <- lines.Text()
		}
		_ = c.cmd.Wait() // looked at in wantDone
	}()
	t.Cleanup(func() {
		c.kill()
		if t.Failed() {
			t.Logf("%s:\n%s", role, c.text())
		}
	})
	return c
}

func (c *child) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case c.more <- struct{}{}:
	default:
	}
	return c.log.Write(p)
}

// logged waits until the role has written that to its log.
func (c *child) logged(text string) {
	c.t.Helper()
	for !strings.Contains(c.text(), text) {
		select {
		case <-c.more:
		case <-c.done:
			c.t.Fatalf("%s ended and never wrote %q", c.role, text)
		}
	}
}

func (c *child) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.String()
}

// wait waits until the role says that line.
func (c *child) wait(line string) {
	c.t.Helper()
	timer := time.NewTimer(2 * time.Minute)
	defer timer.Stop()
	select {
	case got := <-c.said:
		if got != line {
			c.t.Fatalf("%s says %q, want %q", c.role, got, line)
		}
	case <-c.done:
		c.t.Fatalf("%s ended before it said %q", c.role, line)
	case <-timer.C:
		c.t.Fatalf("%s does not say %q", c.role, line)
	}
}

func (c *child) goOn() {
	if _, err := fmt.Fprintln(c.in, "go on"); err != nil {
		c.t.Error(err)
	}
}

func (c *child) term() { _ = c.cmd.Process.Signal(syscall.SIGTERM) }

func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.done
}

func (c *child) wantDone() {
	c.t.Helper()
	<-c.done
	if code := c.cmd.ProcessState.ExitCode(); code != 0 {
		c.t.Errorf("%s ended with status %d", c.role, code)
	}
}
