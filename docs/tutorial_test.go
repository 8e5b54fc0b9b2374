package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caur-build/caur/internal/testenv"
)

var runnable = regexp.MustCompile("(?s)\n```sh\n(.*?)```\n")

// TestTheTutorialRuns does what maintainer.md says, in order, with no network and no settings of this machine.
func TestTheTutorialRuns(t *testing.T) {
	testenv.Need(t, "git", "bash")
	program, _ := testenv.Binaries(t)
	blocks := runnable.FindAllStringSubmatch(read(t, "maintainer.md"), -1)
	if len(blocks) < 5 {
		t.Fatalf("only %d blocks", len(blocks))
	}
	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	for _, block := range blocks {
		script.WriteString(block[1])
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "bash", "-x", "-c", script.String())
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + filepath.Dir(program) + ":" + os.Getenv("PATH"), "HOME=" + dir, "LANG=C.UTF-8", "GIT_CONFIG_NOSYSTEM=1",
		"REDIS_URL=redis://127.0.0.1:1", // nobody is there
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"critical", "hello-extras", "1.0-1/1"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
