// Package testenv starts real programs for tests: Redis, sshd, git, GnuPG, makepkg, Docker. It is imported by _test.go
// files only. Everything it starts listens on loopback or a Unix socket, lives in the test's temporary directory, and is
// gone when the test ends (the Docker engine and its image excepted: these are kept for the next run).
package testenv

import (
	"os/exec"
	"testing"
)

// Need ends the test when a program is missing.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is not installed: run make test, which installs it", p)
		}
	}
}
