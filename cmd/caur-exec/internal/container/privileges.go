package container

import (
	"fmt"
	"slices"
	"strings"
)

// Sudo in Spec.Privileges lets programs of the command become root, as sudo(8) does.
const Sudo = "sudo"

// capabilityNames are those of capabilities(7) in the order of their numbers.
const capabilityNames = `CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE
SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM
BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`

// privileges takes Spec.Privileges apart: capabilities beyond the kept ones, and whether programs may become root.
func (s Spec) privileges() (more []capability, sudo bool, err error) {
	names := strings.Fields(capabilityNames)
	for _, name := range s.Privileges {
		if name == Sudo {
			sudo = true
			continue
		}
		number := slices.Index(names, name)
		if number < 0 {
			return nil, false, fmt.Errorf("privilege %q: is neither sudo nor a capability", name)
		}
		more = append(more, capability{name: name, number: uintptr(number), why: "the package asked for it"})
	}
	return more, sudo, nil
}
