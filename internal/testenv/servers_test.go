package testenv

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestRedisKeepsWhatItAcknowledgedThroughAKill(t *testing.T) {
	ctx := context.Background()
	r := Redis(t)
	if err := r.Client().Set(ctx, "key", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	r.Kill()
	if _, err := net.Dial("tcp", r.Addr); err == nil {
		t.Error("something still listens after Kill")
	}
	r.Kill() // twice does no harm
	r.Start()
	if got, err := r.Client().Get(ctx, "key").Result(); err != nil || got != "value" {
		t.Errorf("after the restart: %q, %v", got, err)
	}
	if _, err := os.Stat(r.Socket); err != nil {
		t.Errorf("Unix socket: %v", err)
	}
}

func TestRedisTakesArguments(t *testing.T) {
	r := Redis(t, "--requirepass", "hunter2")
	if err := r.Client().Ping(context.Background()).Err(); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("no password was asked for: %v", err)
	}
}

func TestGPGHomeSigns(t *testing.T) {
	home, fingerprint := GPGHome(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--detach-sign", "-u", fingerprint, file}, {"--verify", file + ".sig", file}} {
		cmd := exec.Command("gpg", append([]string{"--homedir", home, "--batch"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("gpg %v: %v\n%s", args, err, out)
		}
	}
	if len(fingerprint) != 40 {
		t.Errorf("fingerprint %q", fingerprint)
	}
}

func sftp(s *SSHServer, knownHosts, batch string) ([]byte, error) {
	cmd := exec.Command("sftp", "-q", "-b", "-", "-P", strconv.Itoa(s.Port), "-i", s.KeyFile, "-F", "none",
		"-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile="+knownHosts,
		"-o", "GlobalKnownHostsFile=none", s.User+"@"+s.Host)
	cmd.Stdin = strings.NewReader(batch)
	return cmd.CombinedOutput()
}

func TestSSHDLetsTheKeyInAndIsPinned(t *testing.T) {
	s := SSHD(t)
	if err := os.WriteFile(filepath.Join(s.Root, "hello"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := sftp(s, s.KnownHostsFile, "ls"); err != nil || !strings.Contains(string(out), "hello") {
		t.Errorf("ls: %v\n%s", err, out)
	}
	s.Kill()
	s.NewHostKey()
	s.Start()
	if out, err := sftp(s, s.KnownHostsFile, "ls"); err == nil {
		t.Errorf("a changed host key is accepted:\n%s", out)
	}
}

func TestSSHDKillEndsItsSessions(t *testing.T) {
	s := SSHD(t)
	cmd := exec.Command("ssh", "-N", "-p", strconv.Itoa(s.Port), "-i", s.KeyFile, "-F", "none", "-o", "IdentitiesOnly=yes",
		"-o", "BatchMode=yes", "-o", "UserKnownHostsFile="+s.KnownHostsFile, "-o", "ExitOnForwardFailure=yes", "-v",
		s.User+"@"+s.Host)
	client := startServer(t, cmd, "Entering interactive session")
	s.Kill()
	<-client.done // ssh ends because its session is gone
}

func TestNeedNamesTheTarget(t *testing.T) {
	Need(t, "sh", "git")
	f := &fatal{TB: t}
	func() {
		defer func() { _ = recover() }()
		Need(f, "no-such-program")
	}()
	if !strings.Contains(f.text, "no-such-program is not installed: run make test") {
		t.Errorf("got %q", f.text)
	}
}

// fatal records what a helper ends the test with.
type fatal struct {
	testing.TB
	text string
}

func (f *fatal) Helper() {}

func (f *fatal) Fatalf(format string, args ...any) {
	f.text = strings.ReplaceAll(format, "%s", args[0].(string))
	panic("test ended")
}
