package testenv

import "testing"

// GPGHome makes a GnuPG home with a throw-away ed25519 key without a passphrase.
func GPGHome(t testing.TB) (home, fingerprint string) { t.Fatal("not there yet"); return }

// SSHServer is a real sshd.
type SSHServer struct {
	Host           string
	Port           int
	User           string
	KeyFile        string
	KnownHostsFile string
	Root           string
}

// SSHD starts sshd on a free port of loopback.
func SSHD(t testing.TB) *SSHServer { t.Fatal("not there yet"); return nil }

// Kill ends the server and its sessions.
func (s *SSHServer) Kill() {}

// Start starts it again.
func (s *SSHServer) Start() {}

// PackageRepo makes a small valid PKGBUILD repository.
func PackageRepo(t testing.TB) *GitRepo { t.Fatal("not there yet"); return nil }

// Corpus gives a directory with real .SRCINFO files.
func Corpus(t testing.TB) string { t.Fatal("not there yet"); return "" }

// Binaries builds caur-ci and caur-exec.
func Binaries(t testing.TB) (caurCI, caurExec string) { t.Fatal("not there yet"); return }

// UnprivilegedUser gives the ids of a user without rights.
func UnprivilegedUser(t testing.TB) (uid, gid uint32) { t.Fatal("not there yet"); return }

// Docker gives the address of a Docker engine and the name of an image with makepkg and pacman.
func Docker(t testing.TB) (host, image string) { t.Fatal("not there yet"); return }
