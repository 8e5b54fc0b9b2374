// Package standalone runs the private Redis of `caur-exec standalone`: a redis-server or valkey-server child on a Unix
// socket, with an append-only file in a data directory that only our user may enter.
//
// Contract:
//
//   - One data directory, one owner: a lock file refuses a second one ([ErrInUse]). A lock, socket or server that a
//     crash has left behind is no obstacle: the kernel frees the lock, the server ends with the process that started it
//     or is told to, the socket is removed.
//   - Start returns when the server says that it has loaded its data and takes connections.
//   - A server that dies is started again, first at once, then with growing pauses; Options.Notify hears of it.
//   - Stop ends the server after everything else, so that the last states reach it. The data is on disk when it returns.
//
// The append-only file is synced every second: nothing is lost when processes die, at most one second in a power cut.
package standalone

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// ErrInUse says that another process owns the data directory.
var ErrInUse = errors.New("the data directory is in use")

// Options of Start.
type Options struct {
	// Dir is the data directory; it is made when missing. Its path must leave room for a Unix socket (about 90 bytes).
	Dir string
	// Program is the server; empty takes redis-server or valkey-server from PATH.
	Program string
	// Notify hears when the server has died and when it is started again. It must not block. May be nil.
	Notify func(Event)
}

// Event is something that happened to the server after Start.
type Event struct {
	Err   error         // why it ended, or could not be started again; nil: it runs again
	Pause time.Duration // until the next attempt, with Err
}

// Redis is the running server.
type Redis struct {
	opt    Options
	socket string
	lock   *os.File
	child  *child
	stop   chan struct{} // closed by Stop
	done   chan struct{} // closed when the keeper has ended
}

// maxSocketPath is the room for a path in sockaddr_un, unix(7), with its final zero.
const maxSocketPath = 107

const (
	pauseFirst = 100 * time.Millisecond
	pauseMost  = 30 * time.Second
	// steady is how long a server must have run for its next death to be forgiven like a first one.
	steady = time.Minute
)

// FindProgram gives the path of a Redis server program, or an error that says what to install.
func FindProgram() (string, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no Redis is configured, and neither redis-server nor valkey-server is installed: " +
		"install the package redis-server (Debian, Ubuntu) or valkey (Arch), or set REDIS_URL or REDIS_HOST")
}

// Start runs the server and returns when it takes connections. ctx bounds the start only.
func Start(ctx context.Context, opt Options) (*Redis, error) {
	dir, err := filepath.Abs(opt.Dir)
	if err != nil {
		return nil, fmt.Errorf("private Redis: %w", err)
	}
	opt.Dir = dir
	if opt.Program == "" {
		if opt.Program, err = FindProgram(); err != nil {
			return nil, err
		}
	}
	if opt.Notify == nil {
		opt.Notify = func(Event) {}
	}
	r := &Redis{opt: opt, socket: filepath.Join(dir, "redis.sock"), stop: make(chan struct{}), done: make(chan struct{})}
	if len(r.socket) > maxSocketPath {
		return nil, fmt.Errorf("private Redis: the path %s is too long for a Unix socket: choose a data directory with a shorter one", r.socket)
	}
	if err := prepareDir(dir); err != nil {
		return nil, fmt.Errorf("private Redis: %w", err)
	}
	if r.lock, err = takeLock(filepath.Join(dir, "lock")); err != nil {
		return nil, fmt.Errorf("private Redis: %w", err)
	}
	if err = clearSocket(ctx, r.socket); err == nil {
		r.child, err = startChild(ctx, r.opt.Program, r.arguments())
	}
	if err != nil {
		r.lock.Close()
		return nil, fmt.Errorf("private Redis in %s: %w", dir, err)
	}
	go r.keep()
	return r, nil
}

// URL is the address for redisconn and for other programs of the same user.
func (r *Redis) URL() string { return "unix://" + r.socket }

// Program is the path of the server program.
func (r *Redis) Program() string { return r.opt.Program }

// arguments are the server's settings; every one that matters, so that a system's redis.conf has no say.
func (r *Redis) arguments() []string {
	return []string{
		"--port", "0", "--unixsocket", r.socket, "--unixsocketperm", "700",
		"--dir", r.opt.Dir, "--appendonly", "yes", "--appendfsync", "everysec", "--aof-load-truncated", "yes",
		"--save", "", "--maxmemory-policy", "noeviction", "--timeout", "0",
		"--daemonize", "no", "--supervised", "no", "--logfile", "", "--loglevel", "notice", "--always-show-logo", "no",
	}
}

// keep starts the server again whenever it ends, until Stop.
func (r *Redis) keep() {
	defer close(r.done)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-r.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	pause := time.Duration(0)
	for {
		if r.child != nil {
			begun := r.child.begun
			select {
			case <-r.child.done:
			case <-r.stop:
				return
			}
			if time.Since(begun) >= steady {
				pause = 0
			}
			r.opt.Notify(Event{Err: r.child.ended(), Pause: pause})
		}
		if !sleep(ctx, pause) {
			r.child = nil
			return
		}
		pause = min(max(2*pause, pauseFirst), pauseMost)
		child, err := startChild(ctx, r.opt.Program, r.arguments())
		if err != nil {
			r.child = nil
			if ctx.Err() != nil {
				return
			}
			r.opt.Notify(Event{Err: err, Pause: pause})
			continue
		}
		r.child = child
		r.opt.Notify(Event{})
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Stop ends the server: it writes what it still has and exits. When ctx ends first it is killed. Called once.
func (r *Redis) Stop(ctx context.Context) error {
	close(r.stop)
	<-r.done
	defer r.lock.Close()
	if r.child == nil {
		return nil
	}
	if err := r.child.end(ctx); err != nil {
		return fmt.Errorf("stop the private Redis: %w", err)
	}
	return nil
}

// prepareDir makes the directory ours alone: whoever can reach the socket owns the queue.
func prepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, we are user %d: choose a data directory of our own", dir, owner.Uid, os.Geteuid())
	}
	return os.Chmod(dir, 0o700)
}
