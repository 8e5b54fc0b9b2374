// Package container runs one command in a root file system of its own, with limits, and throws that away afterwards.
//
// Engines: docker and podman through their API socket; none, which runs a child process, as root within an overlay over
// this machine's own root file system. All stream the output while the command runs, stop it when the context ends, and
// leave no container, mount or process behind.
package container

import (
	"context"
	"io"
	"time"
)

// Engine runs commands in containers. It is safe for concurrent use.
type Engine interface {
	// Run runs spec.Command and gives its exit status; 128+N for an end by signal N. Output of both streams goes to out
	// in the order it was written; when out cannot take it, Run fails. When ctx ends, the command gets SIGTERM, after
	// spec.Grace SIGKILL, and the error wraps the cause of ctx. Run never retries.
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
	Env        []string // exactly this
	Mounts     []Mount
	Hide       []string // none: directories of this machine that are empty in the overlay; mounts below them stay visible
	Scratch    string   // none: an empty directory for the overlay's upper layer, removed by the caller
	Network    string   // "" egress only, "none" no network
	Limits     Limits
	Grace      time.Duration // between SIGTERM and SIGKILL, default 10 s
}

// ExecutablePath is where the container sees Spec.Executable (engine none without overlay: it runs in its own place).
const ExecutablePath = "/usr/local/bin/caur-exec"

// Mount shows a directory or file of the machine in the container, at Target.
type Mount struct {
	Source   string // path as this process sees it; the engine's path is derived with Config.HostPath
	Target   string
	ReadOnly bool
}

// Limits bound what a container takes; 0 means no limit of its own.
type Limits struct {
	CPUs      float64
	MemoryMiB int64
	Pids      int64
}
