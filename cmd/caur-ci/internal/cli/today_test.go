package cli

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/caur-build/caur/internal/testenv"
)

// today decides as the Bash pipelines do (pipeline.md, "today"): a setting is the last line KEY=VALUE, a VCS package is
// built when its commit differs, what is new in .version-state comes from comm(1), a bump is VERSION/N.
const today = `set -eu
value() { sed -n "s/^$2=//p" "$1" | tail -n1; }
[ "$(value clock-git CI_GIT_COMMIT)" = "$HEAD" ] || echo "clock-git would be built"
LC_ALL=C sort -c .version-state
printf '%s\n' lib:2.0-1 minor:1.0-1 needy:1.0-1 | LC_ALL=C comm -13 .version-state - | sed 's/$/ would count as changed/'
bump=$(value config CI_PACKAGE_BUMP)
[ "${bump%/*}" = 1.0-1 ] && [ "${bump##*/}" = 1 ] || echo "the bump would be $bump"
[ "$(value config CI_REBUILD_TRIGGERS)" = lib:nothing ] || echo "the triggers are lost"
`

func TestTodaysRulesDecideTheSameOnWhatWasWritten(t *testing.T) {
	f := busy(t)
	testenv.Need(t, "bash", "sed", "sort", "comm")
	f.report()
	dir := t.TempDir()
	g := testenv.NewGitRepo(t)
	g.Dir = dir
	for path, text := range map[string]string{
		"clock-git": f.at("state", "clock-git"), ".version-state": f.at("state", ".version-state"), "config": f.at("main", "needy/.CI/config"),
	} {
		g.Write(path, text)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", today)
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + f.env["PATH"], "HEAD=" + f.heads["clock"]}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "" {
		t.Errorf("%v\n%s", err, out)
	}
}
