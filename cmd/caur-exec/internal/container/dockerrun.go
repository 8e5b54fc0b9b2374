package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"
)

// drainLimit bounds the wait for the last output of a container that has ended.
const drainLimit = 10 * time.Second

func (d *docker) Run(ctx context.Context, spec Spec, out io.Writer) (exit int, err error) {
	id, err := d.prepare(ctx, spec, out)
	if err != nil {
		return 0, stopped(ctx, err)
	}
	defer func() {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeLimit)
		defer cancel()
		err = errors.Join(err, d.remove(cleanup, id))
	}()
	ctx, unwatch := watchDisk(ctx, spec.Limits.DiskMiB, d.written(ctx, id, spec))
	defer unwatch()
	return d.follow(ctx, id, spec, out)
}

// written measures the layer that a container writes to, and what has come into its mounts since now.
func (d *docker) written(ctx context.Context, id string, spec Spec) func(context.Context) (int64, error) {
	dirs := spec.writable()
	before := int64(0)
	if spec.Limits.DiskMiB > 0 {
		before = used(ctx, dirs...)
	}
	return func(ctx context.Context) (int64, error) {
		info, err := d.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{Size: true})
		if err != nil {
			return 0, err
		}
		total := used(ctx, dirs...) - before
		if info.Container.SizeRw != nil {
			total += *info.Container.SizeRw
		}
		return total, nil
	}
}

// stopped says that it was ctx that ended something, when it was.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("the build was stopped: %w", causeOf(ctx))
	}
	return err
}

// prepare makes the container, without starting it.
func (d *docker) prepare(ctx context.Context, spec Spec, out io.Writer) (string, error) {
	remark, err := d.ensureImage(ctx, spec.Image)
	if err != nil {
		return "", err
	}
	if remark != "" {
		fmt.Fprintf(out, "[caur: %s]\n", remark)
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	network := NetworkNone
	if spec.Network == "" {
		if network, err = d.ensureNetwork(ctx); err != nil {
			return "", err
		}
		if remark, err = d.ensureEgress(ctx, spec, network); err != nil {
			return "", err
		}
		if remark != "" {
			fmt.Fprintf(out, "[caur: %s]\n", remark)
		}
	}
	options, err := d.options(spec, network)
	if err != nil {
		return "", err
	}
	return d.create(ctx, spec.Name, options)
}

// options describe the container: no engine socket, no capability but the listed ones and those that were asked for, the
// engine's default seccomp profile, no new privileges without Sudo, limits, and no log file on the engine's disk.
func (d *docker) options(spec Spec, network string) (client.ContainerCreateOptions, error) {
	more, sudo, err := spec.privileges()
	if err != nil {
		return client.ContainerCreateOptions{}, err
	}
	mounts := []mount.Mount{d.bind(Mount{Source: spec.Executable, Target: ExecutablePath, ReadOnly: true})}
	for _, m := range spec.Mounts {
		mounts = append(mounts, d.bind(m))
	}
	host := &container.HostConfig{
		NetworkMode:   container.NetworkMode(network),
		LogConfig:     container.LogConfig{Type: "none"},
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		CapDrop:       []string{"ALL"},
		CapAdd:        keptNames(),
		IpcMode:       container.IPCModePrivate,
		Mounts:        mounts,
	}
	for _, c := range more {
		host.CapAdd = append(host.CapAdd, c.name)
	}
	if !sudo {
		host.SecurityOpt = []string{"no-new-privileges"}
	}
	if spec.Limits.MemoryMiB > 0 {
		host.Memory = spec.Limits.MemoryMiB << 20
		host.MemorySwap = host.Memory // no swap beside it
	}
	if spec.Limits.Pids > 0 {
		host.PidsLimit = &spec.Limits.Pids
	}
	host.NanoCPUs = int64(spec.Limits.CPUs * 1e9)
	health := &container.HealthConfig{Test: []string{"NONE"}}
	if d.config.Engine == "podman" {
		health = nil // podman needs systemd to switch off even what is not there
		host.Ulimits = ownLimits()
	}
	return client.ContainerCreateOptions{
		Name: spec.Name,
		Config: &container.Config{
			Hostname: "build", User: "0:0", WorkingDir: "/", Image: spec.Image,
			Entrypoint: []string{ExecutablePath}, Cmd: spec.Command, Env: spec.Env,
			AttachStdout: true, AttachStderr: true, StopSignal: "SIGTERM",
			Healthcheck: health, Labels: map[string]string{ownerLabel: spec.Owner},
		},
		HostConfig: host,
	}, nil
}

// ownLimits are the limits of open files and processes of this process. podman gives containers large ones of its own accord,
// which fails where the machine allows fewer.
func ownLimits() (list []*container.Ulimit) {
	for _, l := range []struct {
		name     string
		resource int
		most     uint64
	}{{"nofile", unix.RLIMIT_NOFILE, 524288}, {"nproc", unix.RLIMIT_NPROC, 32768}} {
		var own unix.Rlimit
		if err := unix.Getrlimit(l.resource, &own); err == nil {
			hard := min(own.Max, l.most)
			list = append(list, &container.Ulimit{Name: l.name, Soft: int64(min(own.Cur, hard)), Hard: int64(hard)})
		}
	}
	return list
}

func (d *docker) bind(m Mount) mount.Mount {
	source := m.Source
	if d.config.HostPath != nil {
		source = d.config.HostPath(source)
	}
	return mount.Mount{Type: mount.TypeBind, Source: source, Target: m.Target, ReadOnly: m.ReadOnly}
}

// follow starts the container, passes its output on, and waits for its end or that of ctx.
func (d *docker) follow(ctx context.Context, id string, spec Spec, out io.Writer) (int, error) {
	// Neither the stream nor the wait ends with ctx: the last words of a command that is stopped are wanted too.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	stream, err := d.api.ContainerAttach(life, id, client.ContainerAttachOptions{Stream: true, Stdout: true, Stderr: true})
	if err != nil {
		return 0, fmt.Errorf("attach to container %s: %w", spec.Name, err)
	}
	defer stream.Close()
	wait := d.api.ContainerWait(life, id, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	copied := make(chan error, 1)
	go func() {
		_, err := stdcopy.StdCopy(out, out, stream.Reader)
		copied <- err
	}()
	// The first output may come before the engine answers: a start that was asked for is not taken back half-way.
	starting, cancel := context.WithTimeout(life, callLimit)
	_, err = d.api.ContainerStart(starting, id, client.ContainerStartOptions{})
	cancel()
	if err != nil {
		return 0, stopped(ctx, fmt.Errorf("start container %s: %w", spec.Name, err))
	}
	select {
	case res := <-wait.Result:
		return d.ended(id, res, spec, out, copied)
	case err := <-wait.Error:
		return 0, fmt.Errorf("wait for container %s: %w", spec.Name, err)
	case <-ctx.Done():
		d.stop(life, id, spec.grace())
		drain(copied)
		return 0, stopped(ctx, nil)
	case err := <-copied:
		return d.streamEnded(ctx, err, id, spec, out, wait)
	}
}

// streamEnded sorts out why the output ended first: the command closed it or is about to be gone, or out failed.
func (d *docker) streamEnded(ctx context.Context, err error, id string, spec Spec, out io.Writer, wait client.ContainerWaitResult) (int, error) {
	if err != nil {
		d.stop(context.WithoutCancel(ctx), id, spec.grace())
		return 0, fmt.Errorf("pass on the output of container %s: %w", spec.Name, err)
	}
	select {
	case res := <-wait.Result:
		return d.ended(id, res, spec, out, nil)
	case err := <-wait.Error:
		return 0, fmt.Errorf("wait for container %s: %w", spec.Name, err)
	case <-ctx.Done():
		d.stop(context.WithoutCancel(ctx), id, spec.grace())
		return 0, stopped(ctx, nil)
	}
}

// ended gives the status of a container that has ended by itself, and tells the log when its memory was the reason.
func (d *docker) ended(id string, res container.WaitResponse, spec Spec, out io.Writer, copied <-chan error) (int, error) {
	if res.Error != nil && res.Error.Message != "" {
		return 0, fmt.Errorf("container %s: %s", spec.Name, res.Error.Message)
	}
	if copied != nil {
		if err := drain(copied); err != nil {
			return 0, fmt.Errorf("pass on the output of container %s: %w", spec.Name, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	if info, err := d.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{}); err == nil &&
		info.Container.State != nil && info.Container.State.OOMKilled {
		fmt.Fprintf(out, "[caur: the build ran out of memory; its limit is %d MiB (BUILDER_LIMITS_RAM)]\n", spec.Limits.MemoryMiB)
	}
	return int(res.StatusCode), nil
}

func drain(copied <-chan error) error {
	timer := time.NewTimer(drainLimit)
	defer timer.Stop()
	select {
	case err := <-copied:
		return err
	case <-timer.C:
		return nil
	}
}

// stop ends the command, first gently. What fails here is made up for by the removal of the container.
func (d *docker) stop(ctx context.Context, id string, grace time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, grace+callLimit)
	defer cancel()
	seconds := max(int(grace/time.Second), 1)
	_, _ = d.api.ContainerStop(ctx, id, client.ContainerStopOptions{Timeout: &seconds})
}
