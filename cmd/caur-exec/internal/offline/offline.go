// Package offline starts a program that has no network, nor anything it starts, for ever: CI_BUILD_NETWORK=none of a package.
//
// A seccomp filter refuses sockets of every family but AF_UNIX and AF_NETLINK (which only asks the kernel about devices).
// That needs no right, so it works within every container and as the build user, where a network namespace of its own does
// not; the price is that the loopback device is out of reach, too. The same call of 32-bit programs is refused, and so are the
// ways around it: io_uring, and the x32 calls of x86_64.
package offline

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// abi is a set of system calls that the kernel takes.
type abi struct {
	audit      uint32 // AUDIT_ARCH_*
	socket     uint32
	socketcall uint32 // one call for all of sockets, whose arguments no filter can see; 0: not there
	x32        bool   // calls with bit 30 are those of x32
}

// abis are those of our architecture: its own, and that of its 32-bit programs.
func abis(goarch string) []abi {
	switch goarch {
	case "amd64":
		return []abi{{audit: unix.AUDIT_ARCH_X86_64, socket: 41, x32: true}, {audit: unix.AUDIT_ARCH_I386, socket: 359, socketcall: 102}}
	case "arm64":
		return []abi{{audit: unix.AUDIT_ARCH_AARCH64, socket: 198}, {audit: unix.AUDIT_ARCH_ARM, socket: 281, socketcall: 102}}
	}
	return nil
}

const (
	ioUringSetup = 425        // of every architecture
	x32Bit       = 0x40000000 // __X32_SYSCALL_BIT
	// Offsets in struct seccomp_data (seccomp(2)), of a little-endian machine.
	offsetCall, offsetArch, offsetArg0 = 0, 4, 16
)

const (
	allow  = unix.SECCOMP_RET_ALLOW
	refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.EACCES)
)

// program is a filter under construction.
type program []unix.SockFilter

func (p *program) add(code uint16, k uint32, jt, jf uint8) {
	*p = append(*p, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
}

func (p *program) load(offset uint32) { p.add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset, 0, 0) }
func (p *program) end(with uint32)    { p.add(unix.BPF_RET|unix.BPF_K, with, 0, 0) }

// when goes through the next n instructions only if what was loaded compares so with k.
func (p *program) when(compare uint16, k uint32, n uint8) {
	p.add(unix.BPF_JMP|compare|unix.BPF_K, k, 0, n)
}

// filter is the program for the kernel.
func filter(all []abi) []unix.SockFilter {
	var p program
	for _, a := range all {
		calls := a.calls()
		p.load(offsetArch)
		p.when(unix.BPF_JEQ, a.audit, uint8(len(calls)))
		p = append(p, calls...)
	}
	p.end(refuse) // calls of an architecture that we do not know
	return p
}

// calls judges the calls of one set; it always comes to an end.
func (a abi) calls() program {
	var p program
	p.load(offsetCall)
	if a.x32 {
		p.when(unix.BPF_JGE, x32Bit, 1)
		p.end(refuse)
	}
	for _, call := range []uint32{ioUringSetup, a.socketcall} {
		if call != 0 {
			p.when(unix.BPF_JEQ, call, 1)
			p.end(refuse)
		}
	}
	p.when(unix.BPF_JEQ, a.socket, 6)
	p.load(offsetArg0)
	for _, family := range []uint32{unix.AF_UNIX, unix.AF_NETLINK} {
		p.when(unix.BPF_JEQ, family, 1)
		p.end(allow)
	}
	p.end(refuse)
	p.end(allow)
	return p
}

// Exec replaces this process by a program without network. It returns only with an error.
func Exec(argv, env []string) error {
	if len(argv) == 0 {
		return errors.New("no program")
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	all := abis(runtime.GOARCH)
	if all == nil {
		return fmt.Errorf("CI_BUILD_NETWORK=none is not supported on %s", runtime.GOARCH)
	}
	runtime.LockOSThread() // the filter is that of a thread, and what it executes
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cut the network off: %w", err)
	}
	code := filter(all)
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog))); errno != 0 {
		return fmt.Errorf("cut the network off: seccomp: %w", errno)
	}
	return syscall.Exec(path, argv, env)
}
