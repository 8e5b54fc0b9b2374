package testenv

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// GPGHome makes a GnuPG home with a throw-away ed25519 key that has no passphrase and signs only. Home and agent are gone
// when the test ends. The path is short: the agent's socket is in it.
func GPGHome(t testing.TB) (home, fingerprint string) {
	t.Helper()
	Need(t, "gpg", "gpgconf", "gpg-agent")
	home, err := os.MkdirTemp("", "gpg")
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "GNUPGHOME=" + home, "LANG=C.UTF-8"}
	run := func(program string, args ...string) string {
		cmd := exec.Command(program, args...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	t.Cleanup(func() {
		run("gpgconf", "--kill", "all")
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	run("gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "",
		"--quick-generate-key", "Tess Packager <packager@example.org>", "ed25519", "sign", "never")
	for line := range strings.Lines(run("gpg", "--batch", "--with-colons", "--list-secret-keys")) {
		if fields := strings.Split(line, ":"); fields[0] == "fpr" {
			return home, fields[9]
		}
	}
	t.Fatal("gpg made no key")
	return "", ""
}
