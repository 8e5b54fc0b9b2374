package container_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
)

// What a build writes into its own root, and into the directories that it is given, counts together.
func TestABuildThatFillsTheDiskIsEnded(t *testing.T) {
	engine, image, docker := dockerEngine(t)
	overlay := overlayEngine(t, t.TempDir())
	for name, script := range map[string]string{
		"in its root":         "mkdir /var/many; cd /var/many; for i in {1..40}; do head -c 1M /dev/zero > $i; done; echo written; sleep 60",
		"in what it is given": "head -c 40M /dev/zero > \"$OUT/filled\"; echo written; sleep 60",
	} {
		for _, kind := range []string{"docker", "none"} {
			t.Run(kind+" "+name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				dir := t.TempDir()
				if err := os.WriteFile(filepath.Join(dir, "before"), bytes.Repeat([]byte("x"), 30<<20), 0o644); err != nil { // is not the build's doing
					t.Fatal(err)
				}
				spec, by := dockerSpec(t, image, script), engine
				if kind == "none" {
					spec, by = shell(t, script), overlay
				}
				spec.Env = append(spec.Env, "OUT="+dir)
				spec.Mounts = []container.Mount{{Source: dir, Target: dir}}
				spec.Limits.DiskMiB = 32
				spec.Grace = time.Second
				var out bytes.Buffer
				_, err := by.Run(ctx, spec, &out)
				if !errors.Is(err, container.ErrDisk) || !strings.Contains(err.Error(), "BUILDER_LIMITS_DISK") {
					t.Errorf("error %v; output %q", err, out.String())
				}
				if left := docker("ps", "-aq", "--filter", "name="+spec.Name); kind == "docker" && left != "" {
					t.Errorf("container %s is left", left)
				}
			})
		}
	}
}

func TestABuildThatStaysBelowItsDiskLimitIsLeftAlone(t *testing.T) {
	spec := shell(t, "head -c 10M /dev/zero > /var/filled; sleep 3; echo built")
	spec.Limits.DiskMiB = 32
	if code, out := run(t, overlayEngine(t, t.TempDir()), spec); code != 0 || !strings.Contains(out, "built") {
		t.Errorf("status %d, %q", code, out)
	}
}
