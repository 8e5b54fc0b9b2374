package container_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
	"github.com/caur-build/caur/internal/testenv"
)

// The same client runs builds on podman: what differs between the two engines is looked at here.
func TestPodmanRunsBuildsAsDockerDoes(t *testing.T) {
	host, image := testenv.Podman(t)
	engine, err := container.New(t.Context(), container.Config{Engine: "podman", Socket: host, Pull: "never", Egress: container.EgressAll})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	if err := engine.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "seen"), []byte("yes"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, script, want string
		code               int
	}{
		{"the status comes back", "echo out; exit 13", "out", 13},
		{"it keeps the capabilities of the list", "awk '/^CapEff|^CapBnd|^NoNewPrivs|^Seccomp:/ {print $2}' /proc/self/status", "00000000800400fb\n00000000800400fb\n1\n2", 0},
		{"a read-only mount cannot be written", "cat /mnt/x/seen; touch /mnt/x/y 2>/dev/null; echo $?", "yes1", 0},
		{"a fork bomb ends at the limit of processes", "mkfifo /tmp/p; exec 9<>/tmp/p\nf() { f | f & }; f 2>/dev/null; read -t 3 -u 9; exit 7", "", 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := dockerSpec(t, image, c.script)
			spec.Mounts = []container.Mount{{Source: dir, Target: "/mnt/x", ReadOnly: true}}
			spec.Limits = container.Limits{MemoryMiB: 256, Pids: 100}
			if code, out := run(t, engine, spec); code != c.code || strings.TrimSpace(out) != c.want {
				t.Errorf("status %d, output %q; want %d, %q", code, out, c.code, c.want)
			}
		})
	}
	t.Run("its builds reach nothing beside the internet", func(t *testing.T) {
		_, program := testenv.Binaries(t)
		filtered, err := container.New(t.Context(), container.Config{Engine: "podman", Socket: host, Pull: "never", Egress: container.EgressPublic, Program: program})
		if err != nil {
			t.Fatal(err)
		}
		defer filtered.Close()
		private, _ := neighbour(t)
		script := "if read -t 5 line <>/dev/tcp/" + private + "/8080; then echo $line; else echo refused; fi 2>/dev/null"
		if _, out := run(t, engine, dockerSpec(t, image, script)); !strings.Contains(out, "hello") {
			t.Errorf("without the filter: %q", out) // or the test could not see it
		}
		if code, out := run(t, filtered, dockerSpec(t, image, script)); code != 0 || strings.TrimSpace(out) != "refused" {
			t.Errorf("status %d, %q", code, out)
		}
	})
	t.Run("it stops with the context", func(t *testing.T) {
		replaced := errors.New("replaced by a newer job")
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		spec := dockerSpec(t, image, "trap 'echo terminated; exit 0' TERM; echo ready; sleep 300 & wait")
		spec.Grace = 3 * time.Second
		out := waitFor("ready")
		ended := make(chan error, 1)
		go func() {
			_, err := engine.Run(ctx, spec, out)
			ended <- err
		}()
		select {
		case <-out.found:
		case err := <-ended:
			t.Fatalf("it ended by itself: %v; %q", err, out.String())
		}
		cancel(replaced)
		if err := <-ended; !errors.Is(err, replaced) || !strings.Contains(out.String(), "terminated") {
			t.Errorf("%v; %q", err, out)
		}
	})
}
