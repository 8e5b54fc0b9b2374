// Package childproc runs other programs so that nothing is inherited by accident and nothing is left behind.
//
// A child gets exactly the environment it is handed and leads a process group of its own. When it ends, or the context
// does, the whole group is ended with it. A process that leaves the group (setsid, a daemon, a group that the child makes
// for its own children) is out of reach, but cannot hang the caller by keeping an output pipe open. Cloneflags with
// CLONE_NEWPID catches these too.
package childproc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// DefaultGrace is the time between SIGTERM and SIGKILL when Cmd.Grace is zero.
	DefaultGrace = 5 * time.Second
	// pipeDelay bounds how long the output pipes are read after the group is dead; only a process that left the group
	// can still hold them.
	pipeDelay = 2 * time.Second
)

// Cmd is a program to run.
type Cmd struct {
	Path       string   // a path, or a name to be found in PATH of this process
	Args       []string // without the program's name
	Dir        string   // working directory, default that of this process
	Env        []string // exactly this, nothing is inherited; see MinimalEnv
	Stdin      io.Reader
	Stdout     io.Writer // may be the same writer as Stderr: then the order of the output is kept
	Stderr     io.Writer
	Credential *syscall.Credential // user and groups to run as
	Grace      time.Duration       // between SIGTERM and SIGKILL to the group, default DefaultGrace
	Cloneflags uintptr             // Linux namespaces, see clone(2)
	ExtraFiles []*os.File          // descriptors from 3 on
}

// Run starts the program and waits for it. When ctx ends first, its process group gets SIGTERM and after Grace SIGKILL.
//
// A program that ends with a status other than 0, by a signal, or because of ctx gives an *ExitError; in the last case
// errors.Is finds the cause of ctx. A program that cannot be started, or whose output cannot be written, gives another
// error. A Stdin that blocks for ever in Read keeps one goroutine.
func Run(ctx context.Context, c Cmd) error {
	if ctx.Err() != nil {
		return fmt.Errorf("run %s: %w", c.name(), context.Cause(ctx))
	}
	var tail tailBuffer
	cmd := c.prepare(&tail)
	input, err := newFeeder(cmd, c.Stdin)
	if err != nil {
		return fmt.Errorf("start %s: %w", c.name(), err)
	}
	if err := cmd.Start(); err != nil {
		input.abandon()
		return fmt.Errorf("start %s: %w", c.name(), err)
	}
	input.start()
	stopped := watch(ctx, cmd.Process.Pid, c.grace())
	err = cmd.Wait() // reaps the leader, so not before its group is dead
	inputErr := input.wait()
	if stopped {
		return c.exitError(cmd.ProcessState, &tail, context.Cause(ctx))
	}
	var exit *exec.ExitError
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		err = inputErr
	case errors.As(err, &exit):
		return c.exitError(cmd.ProcessState, &tail, nil)
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", c.name(), err)
	}
	return nil
}

// Output runs the program and gives what it wrote to its standard output; c.Stdout must be nil.
func Output(ctx context.Context, c Cmd) ([]byte, error) {
	var out bytes.Buffer
	c.Stdout = &out
	err := Run(ctx, c)
	return out.Bytes(), err
}

func (c *Cmd) name() string { return filepath.Base(c.Path) }

func (c *Cmd) grace() time.Duration {
	if c.Grace > 0 {
		return c.Grace
	}
	return DefaultGrace
}

func (c *Cmd) prepare(tail *tailBuffer) *exec.Cmd {
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir = c.Dir
	cmd.Env = append([]string{}, c.Env...) // never nil: nil would inherit
	cmd.ExtraFiles = c.ExtraFiles
	cmd.WaitDelay = pipeDelay
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.Credential, Cloneflags: c.Cloneflags}
	if c.Stdout != nil && sameWriter(c.Stdout, c.Stderr) {
		both := io.MultiWriter(c.Stdout, tail)
		cmd.Stdout, cmd.Stderr = both, both
		return cmd
	}
	cmd.Stdout = c.Stdout
	cmd.Stderr = tail
	if c.Stderr != nil {
		cmd.Stderr = io.MultiWriter(c.Stderr, tail)
	}
	return cmd
}

// sameWriter compares without the panic that == gives for writers of an incomparable type.
func sameWriter(a, b io.Writer) (same bool) {
	defer func() {
		if recover() != nil {
			same = false
		}
	}()
	return a == b
}

// watch waits for the end of the group's leader, ends the group when ctx ends first, and kills what is left of it. The
// leader is not reaped yet when it returns, so until then its number cannot belong to another group. It says whether ctx
// ended the program.
func watch(ctx context.Context, pid int, grace time.Duration) (stopped bool) {
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
	}()
	defer func() { _ = syscall.Kill(-pid, syscall.SIGKILL) }()
	select {
	case <-exited:
		return false
	case <-ctx.Done():
	}
	_ = syscall.Kill(-pid, syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-exited:
	case <-timer.C:
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		<-exited
	}
	return true
}
