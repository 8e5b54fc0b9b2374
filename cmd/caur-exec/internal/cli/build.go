package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-exec/internal/makepkg"
	"github.com/caur-build/caur/internal/command"
)

// buildOptions are the flags of build.
type buildOptions struct {
	file    string
	timeout time.Duration
	request makepkg.Request
}

func (a *app) build() *cobra.Command {
	var o buildOptions
	cmd := &cobra.Command{
		Use:   "build PKGBASE | build --request FILE",
		Short: "Build one package here: what runs inside a build container",
		Long: `Builds one package on this machine, as root, with makepkg as an unprivileged user. A builder runs it inside a container with a
request file; by hand it takes the package directory from --source, or from a PKGBUILD repository with --repo-url. It installs
packages and runs the code of the PKGBUILD: use a container or a machine that you can throw away.

Exit status: 0 done; 13 already built; 123 (CI_CODE_SKIP) skipped by the package; 124 timed out; 2 wrong usage or settings;
any other: the build failed, with the status of what failed.`,
		Example: `  caur-exec build --request /build/request.json
  caur-exec build yay --source ~/packages/yay --output /tmp/packages
  caur-exec build yay --repo-url https://git.example.org/packages.git --commit 3f2a…`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkBuildFlags(cmd); err != nil {
				return err
			}
			return a.runBuild(cmd.Context(), &o, args)
		},
	}
	f, r := cmd.Flags(), &o.request
	f.StringVar(&o.file, "request", "", "`FILE` with the whole request as JSON; the other flags are for builds without one")
	f.StringVar(&r.SourceDir, "source", "", "package `DIRECTORY` (default PKGBASE below the working directory)")
	f.StringVar(&r.RepoURL, "repo-url", "", "`URL` of the PKGBUILD repository to fetch the package from")
	f.StringVar(&r.SourceCommit, "commit", "", "`COMMIT` to build (default the head of the repository)")
	f.StringVar(&r.Arch, "arch", "x86_64", "architecture to build for")
	f.StringVar(&r.OutputDir, "output", ".", "`DIRECTORY` for the finished packages")
	f.StringVar(&r.WorkDir, "work", "", "`DIRECTORY` to build in (default a temporary one, removed afterwards)")
	f.StringVar(&r.SourceCacheDir, "source-cache", "", "`DIRECTORY` for downloaded sources that outlives the build")
	f.StringVar(&r.Packager, "packager", "", "PACKAGER of the packages, 'NAME <ADDRESS>'")
	f.StringVar(&r.BuildUser, "build-user", makepkg.DefaultBuildUser, "unprivileged `USER` that runs makepkg")
	f.IntVar(&r.Jobs, "jobs", 0, "make -j (default all cores)")
	f.DurationVar(&o.timeout, "timeout", 0, "time limit of makepkg (default none)")
	_ = cmd.MarkFlagFilename("request", "json")
	for _, dir := range []string{"source", "output", "work", "source-cache"} {
		_ = cmd.MarkFlagDirname(dir)
	}
	return cmd
}

// checkBuildFlags refuses flags that another one makes meaningless. Cobra's own groups would not give the exit code of
// wrong usage.
func checkBuildFlags(cmd *cobra.Command) error {
	set := cmd.Flags().Changed
	if set("source") && set("repo-url") {
		return command.Usagef("build: --source or --repo-url, not both")
	}
	for _, flag := range []string{"source", "repo-url", "commit", "arch", "output", "work", "source-cache", "packager", "build-user", "jobs", "timeout"} {
		if set("request") && set(flag) {
			return command.Usagef("build: --%s has no meaning with --request: the file says all", flag)
		}
	}
	return nil
}

func (a *app) runBuild(ctx context.Context, o *buildOptions, args []string) (err error) {
	request := o.request
	switch {
	case o.file != "" && len(args) > 0:
		return command.Usagef("build: a package name or --request, not both")
	case o.file != "":
		if request, err = makepkg.ReadRequest(o.file); err != nil {
			return &command.ExitError{Code: command.WrongUsage, Err: err}
		}
	case len(args) == 0:
		return command.Usagef("build: no package: give its name or --request FILE")
	default:
		request.Pkgbase, request.Timeout = args[0], makepkg.Duration(o.timeout)
		done, err := complete(&request)
		if err != nil {
			return err
		}
		defer done()
	}
	code, err := makepkg.Run(ctx, request, a.io.Out)
	if err != nil || code == command.Done {
		return err
	}
	return &command.ExitError{Code: code}
}

// complete makes all paths of a request by hand absolute, and a place to work in. done removes that again.
func complete(r *makepkg.Request) (done func(), err error) {
	if r.SourceDir == "" && r.RepoURL == "" {
		r.SourceDir = r.Pkgbase
	}
	for _, path := range []*string{&r.SourceDir, &r.OutputDir, &r.WorkDir, &r.SourceCacheDir} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return nil, fmt.Errorf("build: %w", err)
		}
	}
	if r.SourceDir != "" {
		if _, err := os.Stat(filepath.Join(r.SourceDir, "PKGBUILD")); err != nil {
			return nil, command.Usagef("build: no package in %s: %w (--source names its directory)", r.SourceDir, err)
		}
	}
	if r.WorkDir != "" {
		return func() {}, nil
	}
	if r.WorkDir, err = os.MkdirTemp("", "caur-build-"); err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	// The build user must reach its directory in there.
	if err := os.Chmod(r.WorkDir, 0o755); err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	return func() { _ = os.RemoveAll(r.WorkDir) }, nil
}
