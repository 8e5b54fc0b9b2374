package cli

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/caur-build/caur/internal/childproc"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// When srcinfo has makepkg run in a sandbox.
const (
	sandboxAuto   = "auto"
	sandboxAlways = "always"
	sandboxNever  = "never"
)

// sandboxProgram makes the sandbox. It is a program of its own so that this one links no container engine.
const sandboxProgram = "caur-exec"

// sandboxVariables are handed on to it: they say where the sandbox is made, and none is a secret.
var sandboxVariables = []string{"CONTAINER_ENGINE", "DOCKER_SOCKET", "BUILDER_IMAGE", "BUILDER_PULL", "BUILDER_BUILD_USER"}

// askSandbox completes the reports of packages whose .SRCINFO cannot be told without running them.
func (a *app) askSandbox(ctx context.Context, o srcinfoOptions, reports []srcinfoReport) error {
	env := []string{}
	for _, name := range sandboxVariables {
		if v, _ := a.io.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	if o.sandbox == sandboxNever || o.sandbox == sandboxAuto && (len(env) == 0 || slices.Contains(o.packages, allPackages)) {
		return nil
	}
	program, err := exec.LookPath(sandboxProgram)
	if err != nil {
		if o.sandbox == sandboxAlways {
			return command.Usagef("--sandbox always: %s makes the sandbox: %w", sandboxProgram, err)
		}
		return nil
	}
	for i := range reports {
		r := &reports[i]
		if len(r.Dynamic) == 0 || r.Status == srcinfoFailed {
			continue
		}
		if err := r.askSandbox(ctx, program, env); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			r.Status, r.Error = srcinfoFailed, err.Error()
		}
	}
	return nil
}

func (r *srcinfoReport) askSandbox(ctx context.Context, program string, env []string) error {
	dir, err := filepath.Abs(r.dir)
	if err != nil {
		return err
	}
	text, err := childproc.Output(ctx, childproc.Cmd{Path: program, Args: []string{"srcinfo", dir}, Env: childproc.MinimalEnv(env...)})
	var exit *childproc.ExitError
	if errors.As(err, &exit) {
		return errors.New(exit.Stderr)
	}
	if err != nil {
		return err
	}
	name := filepath.Join(r.Package, ".SRCINFO")
	info, _, err := srcinfo.Parse(name, text)
	if err != nil {
		return fmt.Errorf("the sandbox printed no .SRCINFO: %w", err)
	}
	there, err := r.committed()
	if err != nil {
		return err
	}
	r.Srcinfo, r.Version, r.Diff = string(info.Bytes()), info.Version(), ""
	r.compare(info, there)
	return nil
}
