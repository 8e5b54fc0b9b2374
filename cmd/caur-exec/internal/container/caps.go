package container

import "golang.org/x/sys/unix"

// capability is one capability(7) that a build container keeps, and what breaks without it.
type capability struct {
	name   string
	number uintptr
	why    string
}

// kept is all that a build container may do beyond an ordinary user. Everything else is dropped for good, from the
// bounding set too, so that no set-user-id program brings it back.
func kept() []capability {
	return []capability{
		{"CHOWN", unix.CAP_CHOWN, "pacman gives installed files their owners; the build directory is handed to the build user"},
		{"DAC_OVERRIDE", unix.CAP_DAC_OVERRIDE, "root reads and replaces files of other users: the packages that the build user made, directories of packages"},
		{"FOWNER", unix.CAP_FOWNER, "pacman sets modes and times of files that are not root's"},
		{"FSETID", unix.CAP_FSETID, "set-group-id directories of packages keep their bit when pacman writes into them"},
		{"KILL", unix.CAP_KILL, "processes that the build left behind are ended before its output is read"},
		{"SETGID", unix.CAP_SETGID, "makepkg runs as the build user; install scripts use groupadd, chgrp and su"},
		{"SETUID", unix.CAP_SETUID, "makepkg runs as the build user"},
		{"SETFCAP", unix.CAP_SETFCAP, "packages such as iputils carry file capabilities, which pacman restores"},
		{"SYS_CHROOT", unix.CAP_SYS_CHROOT, "pacman calls chroot(2) before it runs the install script of a package, also for the root directory"},
	}
}

func keptNames() []string {
	list := kept()
	names := make([]string, len(list))
	for i, c := range list {
		names[i] = c.name
	}
	return names
}
