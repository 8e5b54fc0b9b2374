package testenv

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// RedisServer is a redis-server with an append-only file that is synced at every write, so that what was acknowledged
// outlives Kill and Start.
type RedisServer struct {
	Addr   string // 127.0.0.1:PORT
	URL    string // redis://127.0.0.1:PORT
	Socket string // Unix socket, "" when the path would be too long for one
	Dir    string // its data

	t    testing.TB
	args []string
	proc *server
}

// Redis starts a redis-server on a free port, and kills it when the test ends. The arguments are added to its command
// line (`--requirepass`, `x`).
func Redis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	Need(t, "redis-server")
	port := freePort(t)
	r := &RedisServer{
		Addr: fmt.Sprintf("127.0.0.1:%d", port),
		URL:  fmt.Sprintf("redis://127.0.0.1:%d", port),
		Dir:  t.TempDir(),
		t:    t,
	}
	r.args = []string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", r.Dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always", "--daemonize", "no", "--loglevel", "notice",
	}
	if s := filepath.Join(r.Dir, "redis.sock"); len(s) < maxSocketPath {
		r.Socket = s
		r.args = append(r.args, "--unixsocket", s)
	}
	r.args = append(r.args, args...)
	r.Start()
	t.Cleanup(r.Kill)
	return r
}

// maxSocketPath is the room for a path in sockaddr_un, see unix(7).
const maxSocketPath = 108

// Start starts the server again after Kill, with the same port and data.
func (r *RedisServer) Start() {
	r.t.Helper()
	if r.proc != nil {
		r.t.Fatal("redis-server runs already")
	}
	r.proc = startServer(r.t, exec.Command("redis-server", r.args...), "Ready to accept connections")
}

// Kill ends the server at once (SIGKILL); nothing happens when it does not run.
func (r *RedisServer) Kill() {
	if r.proc != nil {
		r.proc.kill()
		r.proc = nil
	}
}

// Client gives a new client of the server, closed when the test ends.
func (r *RedisServer) Client() *redis.Client {
	c := redis.NewClient(&redis.Options{
		Addr: r.Addr, ContextTimeoutEnabled: true, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// RedisWith starts another server of the Redis family (`redis-server sentinel.conf --sentinel`, `valkey-server`) on a free port,
// kills it when the test ends, and gives HOST:PORT.
func RedisWith(t testing.TB, program string, args ...string) (addr string) {
	t.Helper()
	Need(t, program)
	port := freePort(t)
	args = append(args, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", t.TempDir())
	cmd := exec.Command(program, args...)
	s := startServer(t, cmd, "Running mode=")
	t.Cleanup(s.kill)
	return fmt.Sprintf("127.0.0.1:%d", port)
}
