package interfere

import (
	"os"
	"syscall"
)

// ownerOf gives user and group of a file within root.
func ownerOf(root *os.Root, name string) (uid, gid int, ok bool) {
	info, err := root.Lstat(name)
	if err != nil {
		return 0, 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(st.Uid), int(st.Gid), true
}
