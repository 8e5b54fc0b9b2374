// Package nsinit is the first process of a build that runs without a container engine: in new mount, PID, IPC and UTS
// namespaces it lays an overlay over this machine's root file system, makes that its root, gives up every capability
// that a build does not need, starts the command, and reaps what is left of others. When it ends, the kernel ends every
// process of the namespace, and the mounts go with it.
//
// The other side is engine none of package container. It hands over a Spec as JSON on descriptor 3 and keeps that pipe
// open as long as it lives; on descriptor 4 comes back what went wrong before the command ran, or nothing.
package nsinit

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// EnvName is the environment variable that makes MaybeRun take over a process.
const EnvName = "CAUR_CONTAINER_INIT"

// Upper is where the overlay keeps what is written.
type Upper string

// The kinds of upper layer.
const (
	UpperNone   Upper = ""       // no overlay
	UpperDisk   Upper = "disk"   // the scratch directory
	UpperMemory Upper = "memory" // a tmpfs on the scratch directory, for file systems that cannot be an upper layer
)

// Spec is what to set up and run.
type Spec struct {
	Scratch      string // an empty directory
	Upper        Upper
	Hide         []string // absolute paths that become empty
	Mounts       []Mount  // sources without symbolic links
	Loopback     bool     // the network namespace is new: its loopback device is brought up
	Command      []string // path and arguments; empty: only try the set-up
	Env          []string
	Capabilities []uintptr // what is kept of capabilities(7)
	// NewPrivileges lets set-user-id programs gain what is kept; else nothing is gained any more.
	NewPrivileges bool
}

// Mount shows Source of the machine at Target of the new root.
type Mount struct {
	Source, Target string
	ReadOnly       bool
}

const (
	specFD   = 3
	statusFD = 4
	// setupFailed is the status of a process that has reported a problem on descriptor 4.
	setupFailed = 125
)

// MaybeRun does nothing in a process that engine none did not start. Otherwise it does the work of this package and never
// returns. It must be called first in main, before flags or settings are read.
func MaybeRun() {
	if os.Getenv(EnvName) == "" || os.Getpid() != 1 {
		return
	}
	os.Exit(run())
}

func run() int {
	runtime.LockOSThread()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	syscall.CloseOnExec(specFD)
	syscall.CloseOnExec(statusFD)
	input, status := os.NewFile(specFD, "spec"), os.NewFile(statusFD, "status")
	var spec Spec
	decoder := json.NewDecoder(input)
	if err := decoder.Decode(&spec); err != nil {
		return report(status, fmt.Errorf("read what to do: %w", err))
	}
	go func() {
		_, _ = io.Copy(io.Discard, input) // ends only when the builder is gone
		os.Exit(setupFailed)
	}()
	if err := setUp(&spec); err != nil {
		return report(status, err)
	}
	if len(spec.Command) == 0 {
		return 0
	}
	if err := restrict(spec.Capabilities, spec.NewPrivileges); err != nil {
		return report(status, err)
	}
	child, err := syscall.ForkExec(spec.Command[0], spec.Command, &syscall.ProcAttr{
		Dir: "/", Env: spec.Env, Files: []uintptr{0, 1, 2},
		// A group of its own: the builder signals our whole group, and the command must get each signal once.
		Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return report(status, fmt.Errorf("start %s: %w", spec.Command[0], err))
	}
	status.Close()
	go func() {
		for sig := range signals {
			if s, ok := sig.(syscall.Signal); ok {
				_ = syscall.Kill(child, s)
			}
		}
	}()
	return reap(child)
}

func report(status io.Writer, err error) int {
	fmt.Fprint(status, err)
	return setupFailed
}

// reap waits for every child until the command has ended, and gives its status.
func reap(child int) int {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, 0, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return setupFailed
		case pid != child:
			continue
		case ws.Signaled():
			return 128 + int(ws.Signal())
		}
		return ws.ExitStatus()
	}
}

// restrict gives up, for this thread and what it starts, every capability that is not listed, and the way to get more.
func restrict(keep []uintptr, newPrivileges bool) error {
	kept := make(map[uintptr]bool, len(keep))
	for _, c := range keep {
		kept[c] = true
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if kept[c] {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && err != unix.EINVAL {
			return fmt.Errorf("give up capability %d: %w", c, err)
		}
	}
	if newPrivileges {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	return nil
}
