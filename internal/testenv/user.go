package testenv

import (
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
)

// UnprivilegedUser gives the ids of a user without rights, for what refuses to run as root (makepkg). It is nobody, or
// ourselves when the tests do not run as root.
func UnprivilegedUser(t testing.TB) (uid, gid uint32) {
	t.Helper()
	if os.Geteuid() != 0 {
		return uint32(os.Geteuid()), uint32(os.Getegid())
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatalf("the user nobody: %v", err)
	}
	return parseID(t, u.Uid), parseID(t, u.Gid)
}

func parseID(t testing.TB, s string) uint32 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

// BuildDir makes a temporary directory that belongs to the UnprivilegedUser and that it can reach.
func BuildDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil { // t.TempDir keeps other users out there
		t.Fatal(err)
	}
	Chown(t, dir)
	return dir
}

// Chown gives a file or a tree to the UnprivilegedUser.
func Chown(t testing.TB, path string) {
	t.Helper()
	uid, gid := UnprivilegedUser(t)
	err := filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(uid), int(gid))
	})
	if err != nil {
		t.Fatal(err)
	}
}
