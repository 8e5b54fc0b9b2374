package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// SSHServer is a real sshd on loopback that lets one key in, for SFTP and for forwarding to loopback.
type SSHServer struct {
	Host           string // 127.0.0.1
	Port           int
	User           string // the user of the test
	KeyFile        string // private key that is let in
	KnownHostsFile string // pins the server's host key
	Root           string // an empty directory in which SFTP sessions begin

	t       testing.TB
	program string
	config  string
	hostKey string
	proc    *server
}

// SSHD starts sshd on a free port, and ends it and its sessions when the test ends. Each of options is a line of
// sshd_config(5) that wins over ours.
func SSHD(t testing.TB, options ...string) *SSHServer {
	t.Helper()
	Need(t, "ssh-keygen")
	s := &SSHServer{Host: "127.0.0.1", Port: freePort(t), t: t, program: sshdProgram(t)}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s.User = me.Username
	dir := t.TempDir()
	s.Root = filepath.Join(dir, "root")
	s.KeyFile = filepath.Join(dir, "key")
	s.KnownHostsFile = filepath.Join(dir, "known_hosts")
	s.hostKey = filepath.Join(dir, "host_key")
	s.config = filepath.Join(dir, "sshd_config")
	if err := os.Mkdir(s.Root, 0o755); err != nil {
		t.Fatal(err)
	}
	s.keygen(s.KeyFile)
	if os.Geteuid() == 0 { // where sshd drops its rights; packages make it at boot
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.writeConfig(options)
	s.NewHostKey()
	s.writeFile(s.KnownHostsFile, s.KnownHostsLine()+"\n")
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

// sshdProgram finds sshd, which demands to be started by an absolute path and is often not in the PATH of a user.
func sshdProgram(t testing.TB) string {
	t.Helper()
	for _, p := range []string{"sshd", "/usr/sbin/sshd", "/usr/bin/sshd"} {
		if path, err := exec.LookPath(p); err == nil {
			return path
		}
	}
	t.Fatal("sshd is not installed: run make test, which installs it")
	return ""
}

func (s *SSHServer) writeConfig(options []string) {
	s.t.Helper()
	lines := append(append([]string{}, options...), // the first value of a keyword counts
		"ListenAddress "+s.Host,
		"Port "+strconv.Itoa(s.Port),
		"HostKey "+s.hostKey,
		"AuthorizedKeysFile "+s.KeyFile+".pub",
		"PidFile none",
		"StrictModes no",
		"UsePAM no",
		"UseDNS no",
		"PasswordAuthentication no",
		"KbdInteractiveAuthentication no",
		"PermitRootLogin prohibit-password",
		"AllowTcpForwarding local",
		"X11Forwarding no",
		"PrintMotd no",
		"MaxStartups 100:30:200",
		"LogLevel VERBOSE",
		"Subsystem sftp internal-sftp -d "+s.Root,
	)
	s.writeFile(s.config, strings.Join(lines, "\n")+"\n")
}

func (s *SSHServer) writeFile(path, content string) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *SSHServer) keygen(path string) {
	s.t.Helper()
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "caur test", "-f", path).CombinedOutput(); err != nil {
		s.t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
}

// NewHostKey makes another host key; the server uses it from the next Start on. KnownHostsFile stays as it is.
func (s *SSHServer) NewHostKey() {
	s.t.Helper()
	for _, path := range []string{s.hostKey, s.hostKey + ".pub"} {
		if err := os.RemoveAll(path); err != nil {
			s.t.Fatal(err)
		}
	}
	s.keygen(s.hostKey)
}

// KnownHostsLine pins the server's present host key.
func (s *SSHServer) KnownHostsLine() string {
	s.t.Helper()
	key, err := os.ReadFile(s.hostKey + ".pub")
	if err != nil {
		s.t.Fatal(err)
	}
	fields := strings.Fields(string(key))
	return fmt.Sprintf("[%s]:%d %s %s", s.Host, s.Port, fields[0], fields[1])
}

// Start starts the server again after Kill, on the same port.
func (s *SSHServer) Start() {
	s.t.Helper()
	if s.proc != nil {
		s.t.Fatal("sshd runs already")
	}
	s.proc = startServer(s.t, exec.Command(s.program, "-D", "-e", "-f", s.config), "Server listening on")
}

// Kill ends the server and its sessions at once; nothing happens when it does not run.
func (s *SSHServer) Kill() {
	if s.proc == nil {
		return
	}
	// Sessions leave the process group, so they are found by their parent, which must not make new ones meanwhile.
	pid := s.proc.cmd.Process.Pid
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	for _, child := range descendants(pid) {
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
	s.proc.kill()
	s.proc = nil
}

// Log gives what the server has printed.
func (s *SSHServer) Log() string {
	if s.proc == nil {
		return ""
	}
	return s.proc.output()
}

// descendants lists the processes below pid, from /proc.
func descendants(pid int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	children := map[int][]int{}
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		// PID (COMM) STATE PPID …; COMM may hold anything, also a parenthesis.
		fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		parent, err2 := strconv.Atoi(fields[1])
		if err == nil && err2 == nil {
			children[parent] = append(children[parent], child)
		}
	}
	var all []int
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		all = append(all, children[queue[0]]...)
		queue = append(queue, children[queue[0]]...)
	}
	return all
}
