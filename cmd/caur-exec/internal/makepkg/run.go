package makepkg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/caur-build/caur/internal/childproc"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/pkg/interfere"
)

// Limits of the steps around makepkg; makepkg itself has Request.Timeout. Together with it they are less than Overhead.
const (
	fetchLimit   = 10 * time.Minute
	pacmanLimit  = 20 * time.Minute // of one call
	prepareLimit = 15 * time.Minute
	parseLimit   = 10 * time.Minute // makepkg --printsrcinfo, --packagelist
	namcapLimit  = 5 * time.Minute
	hookLimit    = 5 * time.Minute
	killGrace    = 3 * time.Second // between SIGTERM and SIGKILL of a child
)

// Overhead is the most that Run takes beyond the time limit of makepkg; whoever watches it from outside adds it.
const Overhead = 2 * time.Hour

var errTimeLimit = errors.New("the time limit of the build is over")

// build is one Run on its way.
type build struct {
	Request
	out    io.Writer
	user   buildUser
	config PackageConfig
	report interfere.Report

	dir                             string // package directory, the build user's
	pkgDest, srcDest, home          string
	makepkgConfPath, pacmanConfPath string
	repoCount                       int
	inRepo                          map[string]bool // file names less compression that the target repository has
}

// Run makes one build and gives its exit code: CodeOK, CodeAlreadyBuilt, Request.CodeSkip, CodeTimedOut, or another one for
// a build that failed; what went wrong is in out then. err is for a request or an environment that makes no build
// possible, and for the end of ctx. All output, also of children, goes to out, in the order it was written.
func Run(ctx context.Context, r Request, out io.Writer) (code int, err error) {
	if err := r.check(); err != nil {
		return CodeFailed, err
	}
	b := &build{Request: r.withDefaults(), out: out, inRepo: make(map[string]bool)}
	if err := b.setUp(ctx); err != nil {
		return CodeFailed, err
	}
	code, err = b.build(ctx)
	if ctx.Err() != nil {
		return CodeFailed, fmt.Errorf("build %s: %w", b.Pkgbase, context.Cause(ctx))
	}
	if err != nil {
		b.say("error: %v", err)
		if code == CodeOK {
			code = CodeFailed
		}
	}
	b.say("interferences:\n%s", indent(b.report.Text()))
	b.say("%s", b.verdict(code))
	return code, nil
}

// setUp makes what a build needs before anything of the package is looked at.
func (b *build) setUp(ctx context.Context) error {
	var err error
	if b.user, err = findUser(ctx, b.Request); err != nil {
		return err
	}
	if f, ok := b.out.(*os.File); ok {
		// See userChild.
		_ = f.Chown(b.user.uid, b.user.gid)
	}
	for _, dir := range []string{b.WorkDir, b.OutputDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("set up the build: %w", err)
		}
	}
	b.dir = filepath.Join(b.WorkDir, "build", b.Pkgbase)
	b.pkgDest, b.home, b.srcDest = filepath.Join(b.WorkDir, "pkgdest"), filepath.Join(b.WorkDir, "home"), filepath.Join(b.WorkDir, "srcdest")
	if b.SourceCacheDir != "" {
		b.srcDest = b.SourceCacheDir
	}
	own := []string{b.pkgDest, b.home, b.srcDest}
	for _, dir := range own {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("set up the build: %w", err)
		}
	}
	if err := b.fetch(ctx); err != nil {
		return err
	}
	for _, dir := range append(own, b.dir) {
		if err := b.user.give(dir); err != nil {
			return fmt.Errorf("set up the build: %w", err)
		}
	}
	if err := b.writeConf(); err != nil {
		return fmt.Errorf("set up the build: %w", err)
	}
	return nil
}

// fetch brings the package directory to where it is built: a copy of SourceDir, or out of the repository.
func (b *build) fetch(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(b.dir), 0o755); err != nil {
		return fmt.Errorf("set up the build: %w", err)
	}
	if b.SourceDir != "" {
		if err := os.CopyFS(b.dir, os.DirFS(b.SourceDir)); err != nil {
			return fmt.Errorf("copy the package directory: %w", err)
		}
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, fetchLimit, fmt.Errorf("fetching the PKGBUILD repository took longer than %v", fetchLimit))
	defer cancel()
	cache := filepath.Join(b.WorkDir, "repo.git")
	sha, err := git.FetchCommit(ctx, cache, b.RepoURL, b.SourceCommit)
	if err != nil {
		return fmt.Errorf("fetch the PKGBUILD repository: %w", err)
	}
	if err := git.Archive(ctx, cache, sha, b.Pkgbase, b.dir); err != nil {
		return fmt.Errorf("take %s out of the PKGBUILD repository: %w", b.Pkgbase, err)
	}
	return nil
}

// build does everything after the set-up.
func (b *build) build(ctx context.Context) (int, error) {
	var err error
	if b.config, err = ReadPackageConfig(b.dir); err != nil {
		return CodeFailed, err
	}
	if err := b.installKeyrings(ctx); err != nil {
		return CodeFailed, err
	}
	b.report, err = interfere.Apply(ctx, interfere.Options{
		Dir: b.dir, Pkgbase: b.Pkgbase, CodeSkip: b.CodeSkip, Update: b.update, RunPrepare: b.runPrepare,
	})
	var prepare *interfere.PrepareError
	switch {
	case errors.As(err, &prepare):
		return prepare.Status, err
	case err != nil:
		return CodeFailed, err
	case b.report.Skip:
		return b.CodeSkip, nil
	}
	if err := b.allowSudo(ctx); err != nil {
		return CodeFailed, err
	}
	if err := b.user.give(b.dir); err != nil {
		return CodeFailed, err
	}
	info, err := b.srcinfo(ctx)
	if err != nil {
		return CodeFailed, err
	}
	if code, err := b.installDependencies(ctx, info); err != nil {
		return code, err
	}
	if err := b.readTargetRepo(info); err != nil {
		return CodeFailed, err
	}
	code, err := b.makepkg(ctx)
	b.killLeftovers()
	if code == CodeOK && err == nil {
		code, err = b.pack(ctx, info)
	}
	b.hook(ctx, code)
	b.killLeftovers()
	return code, err
}

// say writes one message to the log, in the manner of makepkg.
func (b *build) say(format string, args ...any) {
	fmt.Fprintf(b.out, "==> caur: "+format+"\n", args...)
}

func (b *build) verdict(code int) string {
	switch code {
	case CodeOK:
		return "the build is done"
	case CodeAlreadyBuilt:
		return "the repository has these packages already"
	case b.CodeSkip:
		return "the build is skipped on purpose"
	case CodeTimedOut:
		return "the time limit is over"
	}
	return fmt.Sprintf("the build failed with status %d", code)
}

// child is a program with all output to the log; as root unless asUser is set.
func (b *build) child(asUser bool, path string, args ...string) childproc.Cmd {
	c := childproc.Cmd{
		Path: path, Args: args, Dir: b.dir, Stdout: b.out, Stderr: b.out, Grace: killGrace,
		Env: childproc.MinimalEnv("LC_ALL=C.UTF-8", "TERM=dumb"),
	}
	if asUser {
		c.Credential = b.user.credential()
		c.Env = childproc.MinimalEnv(
			"HOME="+b.home, "USER="+b.user.name, "LOGNAME="+b.user.name, "SHELL=/bin/bash", "TERM=dumb", "TMPDIR=/tmp",
			"PKGDEST="+b.pkgDest, "SRCDEST="+b.srcDest, "SRCPKGDEST="+b.pkgDest, "LOGDEST="+b.pkgDest,
			"PKGEXT=.pkg.tar", "CARCH="+b.Arch, "PACKAGER="+b.packager())
	}
	return c
}

// userChild is a program of the build user whose output is the log itself. Where the log is a file (the container's
// standard output) the program gets that very file for both streams: a pipe of ours in between would be root's, and the
// build user could not open /dev/stdout and /dev/stderr, as PKGBUILDs do.
func (b *build) userChild(path string, args ...string) childproc.Cmd {
	if _, isFile := b.out.(*os.File); !isFile {
		return b.child(true, path, args...)
	}
	c := b.child(true, "bash", append([]string{"-c", `exec "$@" 2>&1`, "bash", path}, args...)...)
	c.Stderr = nil
	return c
}

// status runs a child under a limit and gives its exit status. err is for one that could not run or was stopped.
func (b *build) status(ctx context.Context, limit time.Duration, cause error, c childproc.Cmd) (int, error) {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, cause)
		defer cancel()
	}
	err := childproc.Run(ctx, c)
	var exit *childproc.ExitError
	switch {
	case err == nil:
		return 0, nil
	case !errors.As(err, &exit):
		return CodeFailed, err
	case exit.Cause != nil:
		return CodeFailed, fmt.Errorf("%s: %w", exit.Program, exit.Cause)
	case exit.Signal != 0:
		return 128 + int(exit.Signal), nil
	}
	return exit.Code, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
