package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
	"github.com/caur-build/caur/cmd/caur-exec/internal/makepkg"
	"github.com/caur-build/caur/internal/childproc"
	"github.com/caur-build/caur/internal/command"
)

// sandboxSettings say where a PKGBUILD may run by hand. They have the names of the builder's.
type sandboxSettings struct {
	Engine    string `env:"CONTAINER_ENGINE, default=docker" help:"docker, podman or none"`
	Socket    string `env:"DOCKER_SOCKET" help:"API socket of the engine"`
	Image     string `env:"BUILDER_IMAGE" help:"image of build containers, with makepkg; docker and podman need it"`
	Pull      string `env:"BUILDER_PULL, default=auto" help:"auto pulls the image, never does not"`
	BuildUser string `env:"BUILDER_BUILD_USER, default=builder" help:"unprivileged user of makepkg inside the container"`
}

// Check says what is wrong with the values.
func (s *sandboxSettings) Check() []string {
	if s.Engine != "none" && s.Image == "" {
		return []string{"BUILDER_IMAGE: docker and podman need an image with makepkg; CONTAINER_ENGINE=none makes a throw-away root of this machine"}
	}
	return nil
}

const (
	srcinfoLimit = 10 * time.Minute
	sandboxPids  = 2048
	sandboxMiB   = 2048
)

func (a *app) srcinfo() *cobra.Command {
	var inside string
	cmd := &cobra.Command{
		Use:   "srcinfo DIRECTORY",
		Short: "Print the .SRCINFO of a package by running its PKGBUILD in a sandbox",
		Long: `Runs makepkg --printsrcinfo on a package directory in a container without network, which is thrown away afterwards, and
prints the result. 'caur-ci srcinfo' does without for a PKGBUILD whose values are static, and calls this one for the others.

With CONTAINER_ENGINE=none the container is an overlay over this machine's root file system: it takes root.` +
			settingsHelp(sandboxSettings{}) + exitStatus,
		Example: `  BUILDER_IMAGE=registry.example.org/builder caur-exec srcinfo ~/packages/firefox-nightly
  CONTAINER_ENGINE=none caur-exec srcinfo . > .SRCINFO`,
		Args: func(cmd *cobra.Command, args []string) error {
			if inside != "" {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.ExactArgs(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if inside != "" {
				return a.insideSandbox(cmd.Context(), inside)
			}
			return a.runSrcinfo(cmd.Context(), args[0])
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
	cmd.Flags().StringVar(&inside, "request", "", "`FILE` with the request, inside of the sandbox")
	_ = cmd.Flags().MarkHidden("request")
	return cmd
}

// insideSandbox is what the container runs.
func (a *app) insideSandbox(ctx context.Context, file string) error {
	request, err := makepkg.ReadRequest(file)
	if err != nil {
		return &command.ExitError{Code: command.WrongUsage, Err: err}
	}
	return makepkg.PrintSrcinfo(ctx, request, a.io.Out)
}

func (a *app) runSrcinfo(ctx context.Context, dir string) (err error) {
	var s sandboxSettings
	if err := a.load(ctx, &s); err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "PKGBUILD")); err != nil {
		return command.Usagef("srcinfo: no package in %s: %w", dir, err)
	}
	scratch, err := os.MkdirTemp("", "caur-srcinfo-")
	if err != nil {
		return fmt.Errorf("srcinfo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	engine, err := container.New(ctx, container.Config{Engine: s.Engine, Socket: s.Socket, Pull: s.Pull, Overlay: "always", Scratch: scratch})
	if err != nil {
		return fmt.Errorf("srcinfo: %w", err)
	}
	defer engine.Close() //nolint:errcheck // a connection that is not used any more
	spec, err := s.spec(dir, scratch)
	if err != nil {
		return fmt.Errorf("srcinfo: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, srcinfoLimit, fmt.Errorf("the PKGBUILD took longer than %v", srcinfoLimit))
	defer cancel()
	var said bytes.Buffer
	code, err := engine.Run(ctx, spec, &said)
	if err != nil {
		return fmt.Errorf("srcinfo: %w", err)
	}
	if code != 0 {
		return fmt.Errorf("srcinfo: the sandbox ended with status %d: %s", code, strings.TrimSpace(said.String()))
	}
	text, err := os.ReadFile(filepath.Join(scratch, "out", makepkg.SrcinfoFile))
	if err != nil {
		return fmt.Errorf("srcinfo: %w", err)
	}
	a.printf("%s", text)
	return nil
}

// spec is the container: it sees the package directory, and may write its result and nothing else.
func (s *sandboxSettings) spec(dir, scratch string) (container.Spec, error) {
	request := makepkg.Request{
		Pkgbase: filepath.Base(dir), SourceDir: dir, WorkDir: "/build", OutputDir: filepath.Join(scratch, "out"),
		BuildUser: s.BuildUser, OwnRoot: true,
	}
	for _, d := range []string{"out", "root"} {
		if err := os.Mkdir(filepath.Join(scratch, d), 0o755); err != nil {
			return container.Spec{}, err
		}
	}
	data, err := json.Marshal(request)
	if err != nil {
		return container.Spec{}, err
	}
	file := filepath.Join(scratch, "request.json")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		return container.Spec{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return container.Spec{}, err
	}
	return container.Spec{
		Name: filepath.Base(scratch), Owner: "srcinfo", Image: s.Image, Executable: self, Command: []string{"srcinfo", "--request", file},
		Env: childproc.MinimalEnv("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"),
		Mounts: []container.Mount{
			{Source: dir, Target: dir, ReadOnly: true}, {Source: file, Target: file, ReadOnly: true},
			{Source: request.OutputDir, Target: request.OutputDir},
		},
		Scratch: filepath.Join(scratch, "root"), Network: container.NetworkNone,
		Limits: container.Limits{Pids: sandboxPids, MemoryMiB: sandboxMiB},
	}, nil
}
