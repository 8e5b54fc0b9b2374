package nsinit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// oldRoot is where the machine's own root stands while the new one is being furnished.
const oldRoot = "/.caur-old-root"

// setUp makes the overlay the root of this process.
func setUp(s *Spec) error {
	files := readIdentity()
	if err := mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if s.Upper == UpperMemory {
		if err := mount("tmpfs", s.Scratch, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0700"); err != nil {
			return err
		}
	}
	root := filepath.Join(s.Scratch, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	if err := overlay(s.Scratch, "0", "/", root); err != nil {
		return err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for i, dir := range separateMounts(bytes.NewReader(mounts)) {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		if err := overlay(s.Scratch, fmt.Sprint(i+1), dir, filepath.Join(root, dir)); err != nil {
			return err
		}
	}
	if err := pivot(root); err != nil {
		return err
	}
	return errors.Join(furnish(s, files), leaveOldRoot())
}

// overlay mounts lower with a writable layer of its own at target. Paths are relative where they can be: an overlay's
// options cannot hold a comma or colon.
func overlay(scratch, name, lower, target string) error {
	dir := filepath.Join(scratch, "layer-"+name)
	for _, sub := range []string{"upper", "work"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	if strings.ContainsAny(lower, ",:\\") {
		return fmt.Errorf("cannot lay an overlay over %q", lower)
	}
	options := "lowerdir=" + lower + ",upperdir=upper,workdir=work"
	// volatile leaves syncing out: nobody needs the layer after a crash. Kernels before 5.10 do not know it.
	err := mount("overlay", target, "overlay", 0, options+",volatile")
	if err != nil {
		err = mount("overlay", target, "overlay", 0, options)
	}
	return errors.Join(err, os.Chdir("/"))
}

// separateMounts lists other disks of the machine below the directories that programs live in: the overlay over / shows
// only an empty directory in their place.
func separateMounts(mountinfo io.Reader) []string {
	var out []string
	for scanner := bufio.NewScanner(mountinfo); scanner.Scan(); {
		before, after, _ := strings.Cut(scanner.Text(), " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(kind) < 1 {
			continue
		}
		if dir := fields[4]; holdsPrograms(dir, kind[0]) && !slices.Contains(out, dir) {
			out = append(out, dir)
		}
	}
	slices.Sort(out)
	return out
}

var (
	programDirs = [...]string{"/usr", "/etc", "/opt", "/var"}
	// notPrograms is below programDirs, and what is mounted there comes and goes: roots of containers and machines, caches.
	notPrograms = [...]string{"/var/cache", "/var/log", "/var/tmp", "/var/lib/containerd", "/var/lib/containers", "/var/lib/docker", "/var/lib/lxc", "/var/lib/machines"}
	diskTypes   = [...]string{"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "squashfs", "erofs"}
)

// holdsPrograms says whether a mount is a disk that a build may need programs or data of. An overlay is one only as a whole
// directory of programs, as systemd-sysext makes them: others are the roots of containers, wherever their engine keeps them.
func holdsPrograms(dir, kind string) bool {
	if kind == "overlay" {
		return slices.Contains(programDirs[:], dir)
	}
	below := func(top string) bool { return dir == top || strings.HasPrefix(dir, top+"/") }
	return slices.Contains(diskTypes[:], kind) && slices.ContainsFunc(programDirs[:], below) && !slices.ContainsFunc(notPrograms[:], below)
}

func pivot(root string) error {
	if err := os.Mkdir(root+oldRoot, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := unix.PivotRoot(root, root+oldRoot); err != nil {
		return fmt.Errorf("change the root file system: %w", err)
	}
	return os.Chdir("/")
}

func leaveOldRoot() error {
	if err := unix.Unmount(oldRoot, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the old root file system: %w", err)
	}
	return os.Remove(oldRoot)
}

// identityFiles are often links into /run or files that are mounted one by one; the build needs their content.
var identityFiles = [...]string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"}

func readIdentity() map[string][]byte {
	out := make(map[string][]byte)
	for _, name := range identityFiles {
		if data, err := os.ReadFile(name); err == nil {
			out[name] = data
		}
	}
	return out
}

// furnish makes the new root usable: files of identity, fresh directories, kernel file systems, devices, mounts.
func furnish(s *Spec, files map[string][]byte) error {
	for name, data := range files {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			return err
		}
	}
	fresh := filepath.Join(oldRoot, s.Scratch, "fresh")
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return err
	}
	steps := []func() error{
		func() error { return emptyDirs(fresh) },
		kernelFileSystems,
		func() error { return devices(fresh) },
		func() error { return hide(s.Hide, fresh) },
		func() error { return bindAll(s.Mounts) },
		func() error { return unix.Sethostname([]byte("build")) },
	}
	if s.Loopback {
		steps = append(steps, loopbackUp)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// emptyDirs gives the build its own temporary directories and hides the homes of people and the sockets in /run.
func emptyDirs(fresh string) error {
	for i, d := range []struct {
		path string
		mode os.FileMode
	}{
		{"/tmp", 0o777 | os.ModeSticky}, {"/var/tmp", 0o777 | os.ModeSticky}, {"/run", 0o755}, {"/root", 0o700}, {"/home", 0o755},
		{"/dev", 0o755},
	} {
		source := filepath.Join(fresh, fmt.Sprintf("dir-%d", i))
		if err := os.Mkdir(source, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(source, d.mode); err != nil {
			return err
		}
		if err := os.MkdirAll(d.path, 0o755); err != nil {
			return err
		}
		if err := mount(source, d.path, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	return nil
}

// hide puts an empty directory, or an empty file, over each path that exists.
func hide(paths []string, fresh string) error {
	file, dir := filepath.Join(fresh, "file"), filepath.Join(fresh, "hidden")
	if err := os.WriteFile(file, nil, 0o400); err != nil {
		return err
	}
	for i, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		source := file
		if info.IsDir() {
			source = fmt.Sprintf("%s-%d", dir, i)
			if err := os.Mkdir(source, 0o755); err != nil {
				return err
			}
		}
		if err := mount(source, path, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	return nil
}

func bindAll(mounts []Mount) error {
	for _, m := range mounts {
		source := filepath.Join(oldRoot, m.Source)
		info, err := os.Stat(source)
		if err != nil {
			return fmt.Errorf("mount %s: %w", m.Target, err)
		}
		if err := makeTarget(m.Target, info.IsDir()); err != nil {
			return fmt.Errorf("mount %s: %w", m.Target, err)
		}
		if err := bind(source, m.Target, m.ReadOnly); err != nil {
			return err
		}
	}
	return nil
}

func makeTarget(path string, dir bool) error {
	if dir {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// bind mounts without devices and set-user-id programs; a read-only bind takes a second call (mount(2)).
func bind(source, target string, readOnly bool) error {
	if err := mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	flags := uintptr(unix.MS_BIND | unix.MS_REMOUNT | unix.MS_NODEV | unix.MS_NOSUID)
	if readOnly {
		flags |= unix.MS_RDONLY
	}
	return mount("", target, "", flags, "")
}

func mount(source, target, kind string, flags uintptr, data string) error {
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		return &fs.PathError{Op: "mount " + kind, Path: target, Err: err}
	}
	return nil
}
