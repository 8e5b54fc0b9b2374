package container_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
	"github.com/caur-build/caur/internal/testenv"
)

// dockerEngine gives a real engine, and a function that runs the docker program against it.
func dockerEngine(t *testing.T) (engine container.Engine, image string, docker func(args ...string) string) {
	t.Helper()
	host, image := testenv.Docker(t)
	engine, err := container.New(t.Context(), container.Config{Engine: "docker", Socket: host, Pull: "never", Egress: container.EgressAll})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	if err := engine.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	return engine, image, func(args ...string) string {
		out, err := exec.Command("docker", append([]string{"-H", host}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("docker %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
}

func dockerSpec(t *testing.T, image, script string) container.Spec {
	spec := shell(t, script)
	spec.Name = "caur-test-" + strings.ToLower(filepath.Base(filepath.Dir(spec.Scratch)))
	spec.Owner, spec.Image = spec.Name, image
	return spec
}

func TestDockerRunsTheCommandInAContainerOfItsOwn(t *testing.T) {
	engine, image, docker := dockerEngine(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "seen"), []byte("yes"), 0o644); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, script, want string
		code               int
	}{
		{"output of both streams comes back", "echo one; (echo two >&2)", "one two", 0},
		{"the status comes back", "exit 13", "", 13},
		{"a signal comes back", "{ bash -c 'kill -9 $$; true'; } 2>/dev/null; exit $?", "", 137},
		{"it keeps the capabilities of the list", "awk '/^CapEff|^CapBnd|^NoNewPrivs|^Seccomp:/ {print $2}' /proc/self/status", "00000000800400fb\n00000000800400fb\n1\n2", 0},
		{"a mount is there", "cat /mnt/x/seen", "yes", 0},
		{"a read-only mount cannot be written", "touch /mnt/x/y 2>/dev/null; echo $?", "1", 0},
		{"no engine socket is there", "ls /run/docker.sock /var/run/docker.sock 2>/dev/null | wc -l", "0", 0},
		{"the limits are set", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true", "268435456\n200", 0},
		{"only the environment that was given, and the name", "env | cut -d= -f1 | grep -v -e '^_$' -e SHLVL -e PWD | sort | tr '\\n' ' '", "HOME HOSTNAME PATH", 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			spec := dockerSpec(t, image, c.script)
			spec.Mounts = []container.Mount{{Source: dir, Target: "/mnt/x", ReadOnly: true}}
			spec.Limits = container.Limits{CPUs: 1, MemoryMiB: 256, Pids: 200}
			code, out := run(t, engine, spec)
			got := strings.TrimSpace(out)
			if strings.HasPrefix(c.script, "echo one") { // the two streams come through two pipes, in any order
				words := strings.Fields(got)
				slices.Sort(words)
				got = strings.Join(words, " ")
			}
			if code != c.code || got != c.want {
				t.Errorf("status %d, output %q; want %d, %q", code, got, c.code, c.want)
			}
			if left := docker("ps", "-aq", "--filter", "name="+spec.Name); left != "" {
				t.Errorf("container %s is left", left)
			}
		})
	}
}

func TestDockerStopsTheCommandWithTheContext(t *testing.T) {
	engine, image, docker := dockerEngine(t)
	replaced := errors.New("replaced by a newer job")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	spec := dockerSpec(t, image, "trap 'echo terminated; exit 0' TERM; echo ready; sleep 300 & wait")
	out := waitFor("ready")
	ended := make(chan error, 1)
	go func() {
		_, err := engine.Run(ctx, spec, out)
		ended <- err
	}()
	<-out.found
	cancel(replaced)
	if err := <-ended; !errors.Is(err, replaced) {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(out.String(), "terminated") {
		t.Errorf("the last words are missing: %q", out)
	}
	if left := docker("ps", "-aq", "--filter", "name="+spec.Name); left != "" {
		t.Errorf("container %s is left", left)
	}
}

func TestDockerSaysWhenTheMemoryLimitEndedTheBuild(t *testing.T) {
	engine, image, _ := dockerEngine(t)
	spec := dockerSpec(t, image, "tail /dev/zero")
	spec.Limits = container.Limits{MemoryMiB: 32}
	code, out := run(t, engine, spec)
	if code == 0 || !strings.Contains(out, "ran out of memory") {
		t.Errorf("status %d: %s", code, out)
	}
}

func TestDockerTakesOverTheNameOfADeadBuilder(t *testing.T) {
	engine, image, docker := dockerEngine(t)
	spec := dockerSpec(t, image, "echo fresh")
	docker("create", "--name", spec.Name, "--label", "build.caur.owner="+spec.Owner, image, "true")
	if _, out := run(t, engine, spec); strings.TrimSpace(out) != "fresh" {
		t.Errorf("output %q", out)
	}
	docker("create", "--name", spec.Name, "--label", "build.caur.owner="+spec.Owner, image, "true")
	other := "other-" + spec.Owner
	docker("create", "--name", other, "--label", "build.caur.owner="+other, image, "true")
	if err := engine.Sweep(t.Context(), spec.Owner); err != nil {
		t.Fatal(err)
	}
	if left := docker("ps", "-aq", "--filter", "name=^"+spec.Name+"$"); left != "" {
		t.Error("the sweep left the container")
	}
	if left := docker("ps", "-aq", "--filter", "name="+other); left == "" {
		t.Error("the sweep took the container of another builder")
	}
	docker("rm", "-f", other)
}

func TestDockerRefusesWhatItCannotRun(t *testing.T) {
	engine, image, _ := dockerEngine(t)
	cases := []struct {
		name, want string
		change     func(*container.Spec)
	}{
		{"no image", "BUILDER_IMAGE", func(s *container.Spec) { s.Image = "" }},
		{"an image that is not here", "BUILDER_PULL=never", func(s *container.Spec) { s.Image = "caur-no-such-image:1" }},
		{"an executable that is not here", "make container", func(s *container.Spec) { s.Executable = "/nonexistent/caur-exec" }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			spec := dockerSpec(t, image, "true")
			c.change(&spec)
			_, err := engine.Run(t.Context(), spec, &bytes.Buffer{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
}

// failingWriter takes one write.
type failingWriter struct{ err error }

func (w *failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestDockerStopsWhenTheOutputCannotBeTaken(t *testing.T) {
	engine, image, _ := dockerEngine(t)
	full := errors.New("no room")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := engine.Run(ctx, dockerSpec(t, image, "while :; do echo x; done"), &failingWriter{full})
	if !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
}

func TestAnEngineThatIsNotThereIsNamed(t *testing.T) {
	for _, name := range []string{"docker", "podman"} {
		socket := filepath.Join(t.TempDir(), "no.sock")
		engine, err := container.New(t.Context(), container.Config{Engine: name, Socket: socket})
		if err != nil {
			t.Fatal(err)
		}
		err = engine.Check(t.Context())
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), socket) {
			t.Errorf("error %v", err)
		}
		_ = engine.Close()
	}
}
