package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/nsinit"
	"github.com/caur-build/caur/internal/childproc"
)

// probeLimit bounds the try-out of one kind of overlay.
const probeLimit = 20 * time.Second

// none runs commands as children of this process.
type none struct {
	upper nsinit.Upper // UpperNone: no overlay
}

func newNone(ctx context.Context, c Config) (*none, error) {
	switch c.Overlay {
	case "never":
		return &none{}, nil
	case "", "auto", "always":
	default:
		return nil, fmt.Errorf("BUILDER_OVERLAY=%q: must be auto, always or never", c.Overlay)
	}
	var problems []string
	for _, upper := range []nsinit.Upper{nsinit.UpperDisk, nsinit.UpperMemory} {
		err := probe(ctx, c.Scratch, upper)
		if err == nil {
			return &none{upper: upper}, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		problems = append(problems, err.Error())
	}
	if c.Overlay == "always" {
		return nil, fmt.Errorf("BUILDER_OVERLAY=always, but no overlay can be mounted over / here (root and CAP_SYS_ADMIN are needed): %s",
			strings.Join(problems, "; "))
	}
	return &none{}, nil
}

// probe tries an overlay out, with all mounts but without a command.
func probe(ctx context.Context, dir string, upper nsinit.Upper) error {
	if os.Geteuid() != 0 {
		return errors.New("not running as root")
	}
	scratch, err := os.MkdirTemp(dir, "overlay-probe-")
	if err != nil {
		return fmt.Errorf("try an overlay: %w", err)
	}
	defer os.RemoveAll(scratch)
	ctx, cancel := context.WithTimeoutCause(ctx, probeLimit, fmt.Errorf("no answer within %v", probeLimit))
	defer cancel()
	var out strings.Builder
	code, err := runInit(ctx, nsinit.Spec{Scratch: scratch, Upper: upper}, "", DefaultGrace, &out)
	if err == nil && code != 0 {
		err = fmt.Errorf("status %d: %s", code, strings.TrimSpace(out.String()))
	}
	return err
}

func (n *none) OwnRoot() bool { return n.upper != nsinit.UpperNone }

// Check has nothing to do: the overlay was tried when the engine was made.
func (n *none) Check(context.Context) error { return nil }

// Sweep has nothing to do: a mount or process of an overlay ends with the process that made it.
func (n *none) Sweep(context.Context, string) error { return nil }

func (n *none) Close() error { return nil }

func (n *none) Run(ctx context.Context, spec Spec, out io.Writer) (int, error) {
	if n.upper == nsinit.UpperNone {
		return exitOf(ctx, childproc.Run(ctx, childproc.Cmd{
			Path: spec.Executable, Args: spec.Command, Env: spec.Env, Stdout: out, Stderr: out, Grace: spec.grace(),
		}))
	}
	more, sudo, err := spec.privileges()
	if err != nil {
		return 0, err
	}
	inside := nsinit.Spec{
		Scratch: spec.Scratch, Upper: n.upper, Hide: spec.Hide, Loopback: spec.Network == NetworkNone,
		Command: append([]string{ExecutablePath}, spec.Command...), Env: spec.Env,
		NewPrivileges: sudo,
	}
	for _, c := range append(kept(), more...) {
		inside.Capabilities = append(inside.Capabilities, c.number)
	}
	mounts := append([]Mount{{Source: spec.Executable, Target: ExecutablePath, ReadOnly: true}}, spec.Mounts...)
	for _, m := range mounts {
		source, err := filepath.EvalSymlinks(m.Source)
		if err != nil {
			return 0, fmt.Errorf("mount %s: %w", m.Target, err)
		}
		inside.Mounts = append(inside.Mounts, nsinit.Mount{Source: source, Target: m.Target, ReadOnly: m.ReadOnly})
	}
	dirs := append(spec.writable(), spec.Scratch)
	before := int64(0)
	if spec.Limits.DiskMiB > 0 {
		before = used(ctx, dirs...)
	}
	ctx, unwatch := watchDisk(ctx, spec.Limits.DiskMiB, func(ctx context.Context) (int64, error) { return used(ctx, dirs...) - before, nil })
	defer unwatch()
	return runInit(ctx, inside, spec.Network, spec.grace(), out)
}

// runInit starts this program again as the first process of new namespaces, hands it the spec through a pipe, and waits.
// The writing end of that pipe stays open while we live: its end tells the other side that we died.
func runInit(ctx context.Context, spec nsinit.Spec, network string, grace time.Duration, out io.Writer) (int, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return 0, err
	}
	specR, specW, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer specW.Close()
	statusR, statusW, err := os.Pipe()
	if err != nil {
		specR.Close()
		return 0, err
	}
	defer statusR.Close()
	flags := uintptr(syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS)
	if network == NetworkNone {
		flags |= syscall.CLONE_NEWNET
	}
	written := make(chan error, 1)
	go func() {
		_, err := specW.Write(append(text, '\n'))
		written <- err
	}()
	problem := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(io.LimitReader(statusR, 64<<10))
		problem <- string(text)
	}()
	// One more than Grace for the first process, which passes the signal on and waits.
	runErr := childproc.Run(ctx, childproc.Cmd{
		Path: "/proc/self/exe", Args: []string{"container-init"}, Env: []string{nsinit.EnvName + "=1"}, Dir: "/",
		Stdout: out, Stderr: out, ExtraFiles: []*os.File{specR, statusW}, Cloneflags: flags, Grace: grace,
	})
	specR.Close()
	statusW.Close()
	<-written
	if text := <-problem; text != "" && ctx.Err() == nil {
		return 0, fmt.Errorf("set up the build's root file system: %s", text)
	}
	return exitOf(ctx, runErr)
}

// exitOf makes a status of how a child ended.
func exitOf(ctx context.Context, err error) (int, error) {
	var exit *childproc.ExitError
	switch {
	case err == nil:
		return 0, nil
	case !errors.As(err, &exit):
		return 0, err
	case exit.Cause != nil || ctx.Err() != nil:
		return 0, fmt.Errorf("the build was stopped: %w", causeOf(ctx))
	case exit.Signal != 0:
		return 128 + int(exit.Signal), nil
	}
	return exit.Code, nil
}
