// Package container runs one command in a root file system of its own, with limits, and throws that away afterwards.
//
// Engines: docker and podman through their API socket; none, which runs a child process, as root within an overlay over
// this machine's own root file system. All stream the output while the command runs, stop it when the context ends, and
// leave no container, mount or process behind.
//
// Glossary: the machine is where the engine runs; the scratch directory takes what a command within an overlay writes;
// an owner is the builder that a container belongs to.
package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// Engine runs commands in containers. It is safe for concurrent use.
type Engine interface {
	// Run runs spec.Executable with spec.Command and gives its exit status; 128+N for an end by signal N. Output of both
	// streams goes to out; when out cannot take it, Run stops the command and fails. When ctx ends, the command gets
	// SIGTERM, after spec.Grace SIGKILL, and the error wraps the cause of ctx. Run never retries.
	Run(ctx context.Context, spec Spec, out io.Writer) (exit int, err error)
	// Check says whether the engine works, with what to do when it does not.
	Check(ctx context.Context) error
	// Sweep removes what an earlier process with the same owner left behind.
	Sweep(ctx context.Context, owner string) error
	// OwnRoot says whether a command sees a root file system that is thrown away after it.
	OwnRoot() bool
	// Close gives up the connection to the engine.
	Close() error
}

// Spec is one command and the world it sees.
type Spec struct {
	Name       string   // unique on this engine
	Owner      string   // the builder's name, for Sweep
	Image      string   // docker and podman only
	Executable string   // our own static program on this machine; the container sees it as ExecutablePath
	Command    []string // arguments of Executable
	Env        []string // exactly this; docker and podman add HOSTNAME and what the image sets
	Mounts     []Mount
	Hide       []string // none: directories and files of this machine that are empty in the overlay; mounts below stay visible
	Scratch    string   // none: an empty directory for what the command writes, removed by the caller
	Network    string   // "" the internet, NetworkNone no network
	Privileges []string // beyond those of every build: Sudo, or names of capabilities without CAP_
	Limits     Limits
	Grace      time.Duration // between SIGTERM and SIGKILL, default DefaultGrace
}

// NetworkNone is the Spec.Network of a command without network.
const NetworkNone = "none"

// DefaultGrace is the time between SIGTERM and SIGKILL when Spec.Grace is 0.
const DefaultGrace = 10 * time.Second

// ExecutablePath is where the container sees Spec.Executable (engine none without overlay: it runs in its own place).
const ExecutablePath = "/usr/local/bin/caur-exec"

// Mount shows a directory or file of the machine in the container, at Target. Engine none without overlay shows
// everything where it is, so Target should be Source there.
type Mount struct {
	Source   string // path as this process sees it; Config.HostPath makes the engine's path of it
	Target   string
	ReadOnly bool
}

// Limits bound what a container takes; 0 means no limit of its own. Engine none has that of the disk only: it is for a machine
// that is itself a throw-away container, whose limits are those of the build.
type Limits struct {
	CPUs      float64
	MemoryMiB int64
	Pids      int64
	DiskMiB   int64 // of what is written, in its root and in Spec.Mounts; looked at every few seconds, so it can be passed for a moment
}

// Config chooses and sets up an engine.
type Config struct {
	Engine string // docker, podman or none
	Socket string // docker, podman: API socket or URL; "" the usual places
	Pull   string // docker, podman: auto or never
	// Overlay, for none: auto takes an overlay when this process may mount one, always insists on it, never does without.
	Overlay string
	// Scratch, for none: the directory in which the scratch directories will be; overlays are tried out there.
	Scratch string
	// Egress, for docker and podman: EgressAuto (default), EgressPublic or EgressAll.
	Egress string
	// Program is what sets the filter: this program, static, on the engine's machine; "" Spec.Executable.
	Program string
	// EgressAllow, for docker and podman, are private networks that builds may reach all the same.
	EgressAllow []netip.Prefix
	// HostPath gives the path under which the engine knows a path of this process; nil: the same.
	HostPath func(string) string
}

// New makes the engine that c names. For docker and podman nothing is contacted before Check or Run.
func New(ctx context.Context, c Config) (Engine, error) {
	switch c.Engine {
	case "docker", "podman":
		return newDocker(c)
	case "none":
		return newNone(ctx, c)
	}
	return nil, fmt.Errorf("CONTAINER_ENGINE=%q: must be docker, podman or none", c.Engine)
}

func (s Spec) grace() time.Duration {
	if s.Grace > 0 {
		return s.Grace
	}
	return DefaultGrace
}

// causeOf is the reason why ctx ended, never nil.
func causeOf(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return errors.New("stopped")
}
