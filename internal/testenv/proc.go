package testenv

import (
	"bufio"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startLimit bounds how long a server may take to be ready; slow machines that run several test packages at once need
// much more than the usual 0.1 s.
const startLimit = 60 * time.Second

// server is a program that runs until it is killed.
type server struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and its output is read

	mu  sync.Mutex
	log strings.Builder
}

// startServer starts cmd and returns when a line of its output holds ready.
func startServer(t testing.TB, cmd *exec.Cmd, ready string) *server {
	t.Helper()
	s := &server{cmd: cmd, done: make(chan struct{})}
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL} // also when the test panics
	cmd.WaitDelay = time.Second                                                       // a grandchild may hold the pipe
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	isReady := make(chan struct{})
	go s.read(r, ready, isReady)
	go func() {
		_ = cmd.Wait()
		_ = w.Close()
	}()
	select {
	case <-isReady:
	case <-s.done:
		t.Fatalf("%s ended before it was ready:\n%s", cmd.Path, s.output())
	case <-time.After(startLimit):
		s.kill()
		t.Fatalf("%s is not ready after %v:\n%s", cmd.Path, startLimit, s.output())
	}
	return s
}

func (s *server) read(r io.Reader, ready string, isReady chan<- struct{}) {
	defer close(s.done)
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		s.mu.Lock()
		s.log.WriteString(sc.Text() + "\n")
		s.mu.Unlock()
		if isReady != nil && strings.Contains(sc.Text(), ready) {
			close(isReady)
			isReady = nil
		}
	}
	_, _ = io.Copy(io.Discard, r)
}

func (s *server) output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// kill ends the whole group at once, as a power cut would, and waits.
func (s *server) kill() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.done
}

// freePort gives a TCP port of 127.0.0.1 that was free a moment ago.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}
