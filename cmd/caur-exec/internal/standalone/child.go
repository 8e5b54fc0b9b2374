package standalone

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/caur-build/caur/internal/childproc"
)

// readyText is in the line that redis-server and valkey-server write when they have loaded their data.
const readyText = "eady to accept connections"

// keptLines is how many of the server's last lines an error carries.
const keptLines = 8

// child is one run of the server program. It is not run with childproc, which has no way to tie a child's life to ours.
type child struct {
	begun time.Time
	cmd   *exec.Cmd
	done  chan struct{} // closed when it has ended
	said  chan struct{} // closed when its output is read

	mu    sync.Mutex
	lines []string // last lines of its output
	err   error    // of Wait; set before done is closed
}

// startChild starts the program and waits until it is ready.
func startChild(ctx context.Context, program string, args []string) (*child, error) {
	c := &child{begun: time.Now(), done: make(chan struct{}), said: make(chan struct{})}
	output, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.cmd = exec.Command(program, args...)
	c.cmd.Env = childproc.MinimalEnv()
	c.cmd.Stdout, c.cmd.Stderr = write, write
	// Its own group: Ctrl-C on a terminal reaches us alone, and we stop it last. Should we be killed, it must not go on
	// alone with a socket and files that the next start needs.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error)
	go c.run(started)
	err = <-started
	write.Close()
	if err != nil {
		output.Close()
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	ready := make(chan struct{})
	go c.read(output, ready)
	select {
	case <-ready:
		return c, nil
	case <-c.done:
		return nil, fmt.Errorf("did not start: %w", c.ended())
	case <-ctx.Done():
		_ = c.cmd.Process.Kill() // it may have ended just now
		<-c.done
		return nil, fmt.Errorf("is not ready: %w", errors.Join(context.Cause(ctx), c.tail()))
	}
}

// run starts the program and waits for it on a thread of its own: the kernel sends the death signal when the thread that
// started the child ends, and the Go runtime ends threads as it likes unless they are locked.
func (c *child) run(started chan<- error) {
	runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine, after the child
	err := c.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	err = c.cmd.Wait()
	c.mu.Lock()
	c.err = err
	c.mu.Unlock()
	close(c.done)
}

func (c *child) read(output *os.File, ready chan<- struct{}) {
	defer close(c.said)
	defer output.Close()
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		c.mu.Lock()
		c.lines = append(c.lines[max(0, len(c.lines)-keptLines+1):], lines.Text())
		c.mu.Unlock()
		if ready != nil && strings.Contains(lines.Text(), readyText) {
			close(ready)
			ready = nil
		}
	}
	_, _ = io.Copy(io.Discard, output) // a line that is too long for the scanner must not block the server
}

// lastWords bounds how long the output of a program that has ended is waited for: a process that it has forked may
// hold the pipe.
const lastWords = time.Second

// ended says how the program ended, with its last lines.
func (c *child) ended() error {
	select {
	case <-c.said:
	case <-time.After(lastWords):
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	text := "it ended by itself"
	if c.err != nil {
		text = c.err.Error()
	}
	if len(c.lines) > 0 {
		text += "; it said last:\n  " + strings.Join(c.lines, "\n  ")
	}
	return fmt.Errorf("%s: %s", c.cmd.Path, text)
}

// tail gives the last lines as an error, nil when there are none.
func (c *child) tail() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.lines) == 0 {
		return nil
	}
	return fmt.Errorf("it said last:\n  %s", strings.Join(c.lines, "\n  "))
}

// end asks the program to end, and kills it when ctx ends first.
func (c *child) end(ctx context.Context) error {
	select {
	case <-c.done:
		return nil
	default:
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		_ = c.cmd.Process.Kill() // it may have ended just now
		<-c.done
		return fmt.Errorf("it did not end in time and was killed: %w", context.Cause(ctx))
	}
}
