package makepkg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/pkg/srcinfo"
	"github.com/klauspost/compress/zstd"
)

// pack takes the packages that the build left, checks each with namcap, removes what is prohibited, and compresses it
// into the output directory.
func (b *build) pack(ctx context.Context, info *srcinfo.Info) (int, error) {
	root, err := os.OpenRoot(b.pkgDest)
	if err != nil {
		return CodeFailed, err
	}
	defer root.Close()
	names, old, err := b.results(root, b.expected(info))
	if err != nil {
		return CodeFailed, err
	}
	if len(names) == 0 {
		if old > 0 {
			return CodeAlreadyBuilt, nil
		}
		return CodeFailed, errors.New("makepkg ended well but made no package")
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return CodeFailed, context.Cause(ctx)
		}
		b.namcap(ctx, name)
		if err := b.packOne(root, name); err != nil {
			return CodeFailed, fmt.Errorf("pack %s: %w", name, err)
		}
	}
	return CodeOK, nil
}

// results lists the package files of this job among whatever the build left in its output. Everything else is named in
// the log and left alone. old counts those that the target repository has already.
func (b *build) results(root *os.Root, pkgnames []string) (names []string, old int, err error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, 0, err
	}
	entries, err := dir.ReadDir(-1)
	dir.Close()
	if err != nil {
		return nil, 0, err
	}
	for _, e := range entries {
		name := e.Name()
		if !strings.Contains(name, ".pkg.tar") {
			continue
		}
		parsed, err := syncdb.ParseFilename(name)
		stem := strings.TrimSuffix(name, ".pkg.tar")
		switch {
		case err != nil:
			b.say("ignored: %v", err)
		case !e.Type().IsRegular():
			b.say("ignored: %s is no regular file", name)
		case !slices.Contains(pkgnames, parsed.Name) || parsed.Ext != "":
			b.say("ignored: %s is no package of this job", name)
		case parsed.Arch != b.Arch && parsed.Arch != "any":
			b.say("ignored: %s is of architecture %s, the job of %s", name, parsed.Arch, b.Arch)
		case b.inRepo[stem]:
			old++
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, old, nil
}

func (b *build) packOne(root *os.Root, name string) error {
	in, err := openResult(root, name)
	if err != nil {
		return err
	}
	defer in.Close()
	target := filepath.Join(b.OutputDir, name+".zst")
	temp := filepath.Join(b.OutputDir, ".part-"+name)
	out, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	removed, err := compress(in, out, b.config.AllowProhibited)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	for _, line := range removed {
		b.say("%s: removed from .PKGINFO: %s (BUILDER_ALLOW_PROHIBITED=true would keep it)", name, line)
	}
	return os.Rename(temp, target)
}

// openResult opens a file of the build user, who may have put anything there: a regular one that has no second name.
func openResult(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		st, ok := info.Sys().(*syscall.Stat_t)
		switch {
		case !info.Mode().IsRegular():
			err = errors.New("is no regular file")
		case info.Size() == 0:
			err = errors.New("is empty")
		case !ok || st.Nlink != 1:
			err = errors.New("has more than one name")
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// compress writes the package to out, as zstd made with all cores. The level is a compromise: about the size of zstd -9 at
// several times its speed; -20, as pacman's own tools have it, would keep a build host busy for minutes a gigabyte.
func compress(in *os.File, out io.Writer, allowProhibited bool) (removed []string, err error) {
	var plan *rewrite
	if !allowProhibited {
		if plan, err = planRewrite(in); err != nil {
			return nil, err
		}
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	enc, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)))
	if err != nil {
		return nil, err
	}
	if plan == nil {
		_, err = io.Copy(enc, in)
		return nil, errors.Join(err, enc.Close())
	}
	err = plan.copy(enc, in)
	return plan.removed, errors.Join(err, enc.Close())
}

// namcap prints what namcap(1) thinks of the package, where it is installed. It never fails a build.
func (b *build) namcap(ctx context.Context, name string) {
	if _, err := exec.LookPath("namcap"); err != nil {
		return
	}
	b.say("namcap %s", name)
	c := b.userChild("namcap", filepath.Join(b.pkgDest, name))
	if _, err := b.status(ctx, namcapLimit, fmt.Errorf("took longer than %v", namcapLimit), c); err != nil {
		b.say("%v", err)
	}
}

// hook runs on-success.sh or on-failure.sh of the package as the build user. What becomes of it is told, nothing more.
func (b *build) hook(ctx context.Context, code int) {
	name, status := ".CI/on-failure.sh", "failure"
	switch code {
	case CodeOK:
		name, status = ".CI/on-success.sh", "success"
	case CodeAlreadyBuilt, b.CodeSkip:
		return
	case CodeTimedOut:
		status = "timeout"
	}
	if info, err := os.Lstat(filepath.Join(b.dir, name)); err != nil || !info.Mode().IsRegular() || ctx.Err() != nil {
		return
	}
	b.say("%s", name)
	c := b.userChild("bash", name)
	c.Env = append(c.Env, "PACKAGE="+b.Pkgbase, "STATUS="+status, "LOG_URL="+b.LogURL)
	exit, err := b.status(ctx, hookLimit, fmt.Errorf("it took longer than %v", hookLimit), c)
	switch {
	case err != nil:
		b.say("warning: %s: %v", name, err)
	case exit != 0:
		b.say("warning: %s ended with status %d", name, exit)
	}
}

// indent sets every line of text in.
func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}
