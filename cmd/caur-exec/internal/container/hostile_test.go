package container_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
)

// What a PKGBUILD may try inside its container. Every one is bounded in processes, memory and time.
func TestAHostileBuildGetsNowhere(t *testing.T) {
	engine, image, docker := dockerEngine(t)
	t.Setenv("CAUR_TEST_SECRET", "hush") // of the builder's own environment
	for _, c := range []struct {
		name, script string
		code         int
		want         string
	}{
		{"a fork bomb ends at the limit of processes", `mkfifo /tmp/p; exec 9<>/tmp/p
f() { f | f & }; f 2>/dev/null; read -t 3 -u 9; exit 7`, 7, ""},
		{"no environment of the machine is in sight", `cat /proc/*/environ | tr '\0' '\n' | grep -c -e hush -e CAUR_TEST || true`, 0, "0"},
		{"the first process cannot be killed from within", `exec 2>/dev/null; (kill -9 1; kill -9 $PPID); echo still`, 0, "still"},
		{"no process outlives the build", `setsid sleep 98731 & disown; echo gone`, 0, "gone"},
		{"no device is made", `mknod /tmp/disk b 8 0 2>/dev/null; echo $?`, 0, "1"},
		{"nothing is mounted", `mount -t tmpfs none /mnt 2>/dev/null; echo $?`, 0, "32"},
		{"no kernel setting is written", `echo 1 2>/dev/null > /proc/sys/kernel/sysrq; echo $?`, 0, "1"},
		{"no file system of the machine is in sight", `ls /proc/1/root/var/lib/docker /.dockerenv/../host 2>/dev/null | wc -l`, 0, "0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := dockerSpec(t, image, c.script)
			spec.Limits = container.Limits{CPUs: 1, MemoryMiB: 256, Pids: 100}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			out := &strings.Builder{}
			code, err := engine.Run(ctx, spec, out)
			if err != nil || code != c.code || strings.TrimSpace(out.String()) != c.want {
				t.Errorf("%v, status %d, output %q; want %d, %q", err, code, out, c.code, c.want)
			}
			if left := docker("ps", "-aq", "--filter", "name="+spec.Name); left != "" {
				t.Errorf("container %s is left", left)
			}
		})
	}
	if out, err := exec.Command("pgrep", "-f", "sleep 98731").Output(); err == nil {
		t.Errorf("processes of a build are left: %s", out)
	}
}
