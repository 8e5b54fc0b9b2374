package container_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
)

func TestMain(m *testing.M) {
	container.MaybeInit()
	os.Exit(m.Run())
}

// bash is what the engines run here in place of our own program: it sees what the program would see.
func bash(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal("bash is missing: run make test, which installs it")
	}
	return path
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts overlays: run make test as root")
	}
}

func overlayEngine(t *testing.T, dir string) container.Engine {
	t.Helper()
	needRoot(t)
	engine, err := container.New(t.Context(), container.Config{Engine: "none", Overlay: "always", Scratch: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	return engine
}

// shell is a Spec that runs a script in a scratch directory of its own.
func shell(t *testing.T, script string) container.Spec {
	t.Helper()
	return container.Spec{
		Name: "test", Owner: "test", Executable: bash(t), Command: []string{"-c", script},
		Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, Scratch: t.TempDir(), Grace: 5 * time.Second,
	}
}

func run(t *testing.T, engine container.Engine, spec container.Spec) (int, string) {
	t.Helper()
	var out bytes.Buffer
	code, err := engine.Run(t.Context(), spec, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return code, out.String()
}

func TestWhatACommandWritesVanishesWithTheOverlay(t *testing.T) {
	engine := overlayEngine(t, t.TempDir())
	if !engine.OwnRoot() {
		t.Error("the engine says that it has no root of its own")
	}
	mark := "/etc/caur-test-" + filepath.Base(t.TempDir())
	code, out := run(t, engine, shell(t, "touch "+mark+" /usr/bin/caur-test && rm /etc/hostname /bin/true && ls "+mark))
	if code != 0 || strings.TrimSpace(out) != mark {
		t.Fatalf("status %d: %s", code, out)
	}
	for _, path := range []string{mark, "/usr/bin/caur-test"} {
		if _, err := os.Lstat(path); err == nil {
			_ = os.Remove(path)
			t.Errorf("%s is on this machine", path)
		}
	}
	if _, err := os.Stat("/bin/true"); err != nil {
		t.Error("/bin/true is gone from this machine")
	}
}

func TestTheOverlayShowsAMachineOfItsOwn(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secrets")
	if err := os.MkdirAll(filepath.Join(secret, "open"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"key", "open/seen", "file"} {
		if err := os.WriteFile(filepath.Join(secret, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	engine := overlayEngine(t, t.TempDir())
	cases := []struct{ name, script, want string }{
		{"the command does not see our processes", "ls -d /proc/[0-9]* | wc -l | awk '{print ($1 < 6)}'", "1"},
		{"only the environment that was given", "env | cut -d= -f1 | grep -v -e '^_$' -e SHLVL -e PWD | sort | tr '\\n' ' '", "PATH"},
		{"the home of root is empty", "ls -A /root | wc -l", "0"},
		{"/tmp is empty", "ls -A /tmp | grep -vc ^Test", "0"},
		{"/tmp belongs to all", "stat -c %a /tmp /var/tmp /dev/shm | tr '\\n' ' '", "1777 1777 1777"},
		{"a hidden directory is empty but for what is mounted there", "ls -A " + secret, "open"},
		{"a mount below a hidden directory is there", "cat " + secret + "/open/seen", "open/seen"},
		{"a read-only mount cannot be written", "touch /mnt/caur-ro/x 2>/dev/null; echo $?", "1"},
		{"a mount is at another place", "cat /mnt/caur-ro/seen", "open/seen"},
		{"devices work", "echo x > /dev/null && head -c4 /dev/urandom | wc -c && echo x > /dev/stderr", "4\nx"},
		{"no disk is there as a device", "ls /dev/vda /dev/sda /dev/mem 2>/dev/null | wc -l", "0"},
		{"the machine's settings cannot be written", "echo 1 2>/dev/null > /proc/sys/kernel/panic || echo no", "no"},
		{"no trigger reaches the kernel", "echo h 2>/dev/null > /proc/sysrq-trigger || echo no", "no"},
		{"the command cannot mount", "mount -t tmpfs x /mnt 2>/dev/null; echo $?", "32"},
		{"it cannot make devices", "mknod /tmp/d b 1 1 2>/dev/null; echo $?", "1"},
		{"it keeps the capabilities of the list", "awk '/^CapEff/ {print $2}' /proc/self/status", "00000000800400fb"},
		{"set-user-id programs gain nothing", "awk '/^NoNewPrivs/ {print $2}' /proc/self/status", "1"},
		{"names are resolved as on this machine", "cmp -s /etc/resolv.conf /etc/resolv.conf && echo same", "same"},
		{"the first process cannot be read", "cat /proc/1/environ >/dev/null 2>&1 && tr -d '\\0' < /proc/1/environ | grep -c BUILDER_ || echo none", "none"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			spec := shell(t, c.script)
			spec.Hide = []string{secret, "/nonexistent"}
			spec.Mounts = []container.Mount{
				{Source: filepath.Join(secret, "open"), Target: filepath.Join(secret, "open")},
				{Source: filepath.Join(secret, "open"), Target: "/mnt/caur-ro", ReadOnly: true},
			}
			_, out := run(t, engine, spec)
			if got := strings.TrimSpace(out); got != c.want {
				t.Errorf("%s\nprints %q, want %q", c.script, got, c.want)
			}
		})
	}
}

func TestAWritableMountKeepsWhatIsWritten(t *testing.T) {
	engine := overlayEngine(t, t.TempDir())
	dir := t.TempDir()
	spec := shell(t, "echo kept > "+dir+"/file")
	spec.Mounts = []container.Mount{{Source: dir, Target: dir}}
	run(t, engine, spec)
	if data, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(data) != "kept\n" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestStatusOfTheCommandComesBack(t *testing.T) {
	dir := t.TempDir()
	for name, engine := range map[string]container.Engine{"overlay": overlayEngine(t, dir), "plain": plainEngine(t)} {
		for script, want := range map[string]int{"exit 0": 0, "exit 13": 13, "exit 124": 124, "kill -9 $$": 137, "kill -TERM $$": 143} {
			if code, out := run(t, engine, shell(t, script)); code != want {
				t.Errorf("%s: %s: status %d, want %d: %s", name, script, code, want, out)
			}
		}
	}
}

func plainEngine(t *testing.T) container.Engine {
	t.Helper()
	engine, err := container.New(t.Context(), container.Config{Engine: "none", Overlay: "never"})
	if err != nil {
		t.Fatal(err)
	}
	if engine.OwnRoot() {
		t.Error("without overlay the root is not thrown away")
	}
	return engine
}

// signalWriter tells when a text came by.
type signalWriter struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	want  string
	found chan struct{}
}

func waitFor(want string) *signalWriter {
	return &signalWriter{want: want, found: make(chan struct{})}
}

func (w *signalWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf.Write(p)
	if w.want != "" && strings.Contains(w.buf.String(), w.want) {
		w.want = ""
		close(w.found)
	}
	return len(p), nil
}

func (w *signalWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

func TestTheEndOfTheContextStopsTheCommandWithItsCause(t *testing.T) {
	replaced := errors.New("replaced by a newer job")
	cases := []struct{ name, script, want string }{
		{"one SIGTERM is passed on", "trap 'echo terminated; exit 0' TERM; echo ready; sleep 300 & wait", "terminated"},
		{"SIGKILL follows", "trap '' TERM; echo ready; while :; do sleep 1; done", "ready"},
	}
	for name, engine := range map[string]container.Engine{"overlay": overlayEngine(t, t.TempDir()), "plain": plainEngine(t)} {
		for _, c := range cases {
			t.Run(name+": "+c.name, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				out := waitFor("ready")
				spec := shell(t, c.script)
				spec.Grace = time.Second
				ended := make(chan error, 1)
				go func() {
					_, err := engine.Run(ctx, spec, out)
					ended <- err
				}()
				<-out.found
				cancel(replaced)
				if err := <-ended; !errors.Is(err, replaced) {
					t.Errorf("error %v, want the cause", err)
				}
				if !strings.Contains(out.String(), c.want) {
					t.Errorf("output %q, want %q", out.String(), c.want)
				}
			})
		}
	}
}

func TestProcessesThatOutliveTheCommandDieWithTheOverlay(t *testing.T) {
	engine := overlayEngine(t, t.TempDir())
	dir := t.TempDir()
	lock := filepath.Join(dir, "lock")
	spec := shell(t, "exec 9>"+lock+"; flock 9; setsid bash -c 'trap \"\" TERM; while :; do sleep 1; done' & disown; exit 0")
	spec.Mounts = []container.Mount{{Source: dir, Target: dir}}
	run(t, engine, spec)
	// The process that was left behind would still hold the lock.
	if out, err := exec.CommandContext(t.Context(), "flock", "--timeout", "10", lock, "true").CombinedOutput(); err != nil {
		t.Errorf("a process of the build is alive: %v %s", err, out)
	}
}

func TestNoNetworkLeavesTheLoopbackDeviceAlone(t *testing.T) {
	engine := overlayEngine(t, t.TempDir())
	spec := shell(t, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' \\n'; cat /sys/class/net/lo/operstate /sys/class/net/lo/flags | tr '\\n' ' '")
	spec.Network = container.NetworkNone
	_, out := run(t, engine, spec)
	if got := strings.TrimSpace(out); got != "lounknown 0x9" {
		t.Errorf("network devices and state of lo: %q", got)
	}
}

func TestASetUpThatFailsIsNoStatusOfTheCommand(t *testing.T) {
	engine := overlayEngine(t, t.TempDir())
	spec := shell(t, "exit 0")
	spec.Mounts = []container.Mount{{Source: t.TempDir(), Target: "/etc/passwd/below-a-file"}}
	if _, err := engine.Run(t.Context(), spec, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "/etc/passwd/below-a-file") {
		t.Errorf("error %v", err)
	}
	spec = shell(t, "exit 0")
	spec.Mounts = []container.Mount{{Source: "/nonexistent", Target: "/x"}}
	if _, err := engine.Run(t.Context(), spec, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "/nonexistent") {
		t.Errorf("error %v", err)
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	for want, c := range map[string]container.Config{
		"CONTAINER_ENGINE": {Engine: "lxc"},
		"BUILDER_OVERLAY":  {Engine: "none", Overlay: "maybe"},
	} {
		if _, err := container.New(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s in it", err, want)
		}
	}
	if _, err := container.New(t.Context(), container.Config{Engine: "none", Overlay: "always", Scratch: "/nonexistent"}); err == nil {
		t.Error("an overlay in a directory that is not there: no error")
	}
}

func BenchmarkOverlayStart(b *testing.B) {
	engine, err := container.New(b.Context(), container.Config{Engine: "none", Overlay: "always", Scratch: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		dir := b.TempDir()
		if _, err := engine.Run(b.Context(), container.Spec{Executable: "/bin/true", Scratch: dir}, &bytes.Buffer{}); err != nil {
			b.Fatal(err)
		}
	}
}
