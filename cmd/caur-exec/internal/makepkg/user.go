package makepkg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/caur-build/caur/internal/childproc"
)

// buildUser is who runs makepkg. Without root it is ourselves.
type buildUser struct {
	name     string
	uid, gid int
	switched bool // we are root and switch to it
}

// findUser looks the build user up. In a root that is thrown away a missing one is made; elsewhere nobody adds accounts.
func findUser(ctx context.Context, r Request) (buildUser, error) {
	if os.Geteuid() != 0 {
		me, err := user.Current()
		if err != nil {
			return buildUser{}, fmt.Errorf("who am I: %w", err)
		}
		return buildUser{name: me.Username, uid: os.Getuid(), gid: os.Getgid()}, nil
	}
	found, err := user.Lookup(r.BuildUser)
	var unknown user.UnknownUserError
	if errors.As(err, &unknown) {
		if !r.OwnRoot {
			return buildUser{}, fmt.Errorf("there is no user %s to run makepkg: make one (useradd %s) or name another with BUILDER_BUILD_USER", r.BuildUser, r.BuildUser)
		}
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if _, err := childproc.Output(ctx, childproc.Cmd{
			Path: "useradd", Args: []string{"--no-create-home", "--user-group", "--shell", "/bin/bash", "--", r.BuildUser}, Env: childproc.MinimalEnv(),
		}); err != nil {
			return buildUser{}, fmt.Errorf("make the build user: %w", err)
		}
		found, err = user.Lookup(r.BuildUser)
	}
	if err != nil {
		return buildUser{}, fmt.Errorf("the build user: %w", err)
	}
	uid, errUID := strconv.Atoi(found.Uid)
	gid, errGID := strconv.Atoi(found.Gid)
	if err := errors.Join(errUID, errGID); err != nil {
		return buildUser{}, fmt.Errorf("the build user: %w", err)
	}
	if uid == 0 {
		return buildUser{}, fmt.Errorf("the build user %s is root: makepkg refuses that; name another with BUILDER_BUILD_USER", r.BuildUser)
	}
	return buildUser{name: found.Username, uid: uid, gid: gid, switched: true}, nil
}

func (u buildUser) credential() *syscall.Credential {
	if !u.switched {
		return nil
	}
	return &syscall.Credential{Uid: uint32(u.uid), Gid: uint32(u.gid)}
}

// give hands a directory with all that is in it to the build user. Links are handed over, never followed; a file of
// another user with several names stays as it is, for one of the names may be elsewhere.
func (u buildUser) give(dir string) error {
	if !u.switched {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || int(st.Uid) == u.uid && int(st.Gid) == u.gid || !d.IsDir() && st.Nlink > 1 {
			return nil
		}
		return root.Lchown(filepath.FromSlash(name), u.uid, u.gid)
	})
}

// killLeftovers ends what processes of the build user still run, so that nothing changes its output any more. Outside of
// a root of our own the user may have other builds, and only the process group of makepkg has been ended.
func (b *build) killLeftovers() {
	if !b.OwnRoot || !b.user.switched {
		return
	}
	for range 50 {
		alive := b.user.processes()
		if len(alive) == 0 {
			return
		}
		for _, pid := range alive {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(100 * time.Millisecond)
	}
	b.say("processes of the build cannot be ended: %v", b.user.processes())
}

// processes lists the processes of the user that are no zombies.
func (u buildUser) processes() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) == u.uid && !isZombie(pid) {
			out = append(out, pid)
		}
	}
	return out
}

// isZombie reads the state behind the name in parentheses (proc_pid_stat(5)); a process that is gone counts as one.
func isZombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " ")
	return strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
}
