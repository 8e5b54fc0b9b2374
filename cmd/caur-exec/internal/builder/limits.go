package builder

import (
	"os"
	"regexp"
	"runtime"
	"strconv"
)

// divide shares cpus and memory of this machine among the builds that run at once, where no limit of one build is set.
func (b *builder) divide() {
	if b.Jobs < 2 {
		return
	}
	if b.CPUs == 0 {
		b.CPUs = float64(runtime.NumCPU()) / float64(b.Jobs)
	}
	if b.MemoryMiB == 0 {
		b.MemoryMiB = machineMemory("/proc/meminfo") / int64(b.Jobs)
	}
}

var memTotal = regexp.MustCompile(`(?m)^MemTotal:\s+(\d+) kB$`)

// machineMemory is the memory of this machine in MiB, 0 when that is not known.
func machineMemory(meminfo string) int64 {
	text, err := os.ReadFile(meminfo)
	if err != nil {
		return 0
	}
	m := memTotal.FindSubmatch(text)
	if m == nil {
		return 0
	}
	kib, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		return 0
	}
	return kib >> 10
}
