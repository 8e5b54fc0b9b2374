package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// GitDaemon serves a directory of bare repositories with the real git daemon; a repository is URL/NAME.git.
type GitDaemon struct {
	URL string // git://127.0.0.1:PORT

	server *server
}

// NewGitDaemon serves dir.
func NewGitDaemon(t testing.TB, dir string) *GitDaemon {
	t.Helper()
	Need(t, "git")
	port := freePort(t)
	cmd := exec.Command("git", "-c", "safe.directory=*", "daemon", "--listen=127.0.0.1", "--port="+strconv.Itoa(port), "--reuseaddr",
		"--base-path="+dir, "--export-all", "--verbose", "--log-destination=stderr", dir)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"}
	d := &GitDaemon{URL: fmt.Sprintf("git://127.0.0.1:%d", port), server: startServer(t, cmd, "Ready to rumble")}
	t.Cleanup(d.Stop)
	return d
}

// Stop ends the server.
func (d *GitDaemon) Stop() { d.server.kill() }
