package offline

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/caur-build/caur/internal/testenv"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "offline" {
		if err := Exec(os.Args[2:], os.Environ()); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(111)
		}
	}
	os.Exit(m.Run())
}

// run gives what a program says without network.
func run(t *testing.T, argv ...string) (string, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), self, append([]string{"offline"}, argv...)...).CombinedOutput()
	return string(out), err
}

func TestAProgramWithoutNetworkReachesNobodyAndWorksOtherwise(t *testing.T) {
	testenv.Need(t, "bash", "curl")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan struct{})
	go func() {
		if c, err := l.Accept(); err == nil {
			c.Close()
			close(accepted)
		}
	}()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	for name, script := range map[string]string{
		"TCP":                      "exec 3<>/dev/tcp/127.0.0.1/" + port,
		"UDP":                      "exec 3<>/dev/udp/127.0.0.1/" + port,
		"a program that it starts": "curl -sS http://127.0.0.1:" + port,
		"one in the background":    "(curl -sS http://127.0.0.1:" + port + ") & wait $!",
	} {
		if out, err := run(t, "bash", "-c", script); err == nil {
			t.Errorf("%s: no error: %s", name, out)
		}
	}
	select {
	case <-accepted:
		t.Error("somebody came through")
	default:
	}

	socket := filepath.Join(t.TempDir(), "s")
	u, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	go func() {
		_ = http.Serve(u, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("here")) }))
	}()
	if out, err := run(t, "curl", "-sS", "--unix-socket", socket, "http://x/"); err != nil || !strings.Contains(out, "here") {
		t.Errorf("a Unix socket: %v %s", err, out)
	}
	if out, err := run(t, "bash", "-c", "exit 7"); err == nil || !strings.Contains(err.Error(), "7") {
		t.Errorf("a status: %v %s", err, out)
	}
	if out, err := run(t, "no-such-program"); err == nil || !strings.Contains(out, "not found") {
		t.Errorf("a program that is not there: %v %s", err, out)
	}
}

// judge does what the kernel does with the filter.
func judge(t *testing.T, code []unix.SockFilter, arch, call, arg0 uint32) uint32 {
	t.Helper()
	var a uint32
	for pc := 0; pc < len(code); pc++ {
		switch i := code[pc]; i.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = map[uint32]uint32{offsetCall: call, offsetArch: arch, offsetArg0: arg0}[i.K]
		case unix.BPF_RET | unix.BPF_K:
			return i.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			yes := a == i.K
			if i.Code == unix.BPF_JMP|unix.BPF_JGE|unix.BPF_K {
				yes = a >= i.K
			}
			if yes {
				pc += int(i.Jt)
			} else {
				pc += int(i.Jf)
			}
		default:
			t.Fatalf("instruction %d: %+v", pc, i)
		}
	}
	t.Fatal("the filter has no end")
	return 0
}

func TestTheFilterRefusesEveryWayToASocket(t *testing.T) {
	const read, socketcall = 0, 102
	for _, goarch := range []string{"amd64", "arm64"} {
		all := abis(goarch)
		code := filter(all)
		native, small := all[0], all[1]
		for _, c := range []struct {
			name             string
			arch, call, arg0 uint32
			want             uint32
		}{
			{"reading", native.audit, read + 3, 0, allow},
			{"a Unix socket", native.audit, native.socket, unix.AF_UNIX, allow},
			{"netlink", native.audit, native.socket, unix.AF_NETLINK, allow},
			{"IPv4", native.audit, native.socket, unix.AF_INET, refuse},
			{"IPv6", native.audit, native.socket, unix.AF_INET6, refuse},
			{"raw packets", native.audit, native.socket, unix.AF_PACKET, refuse},
			{"a virtual machine's host", native.audit, native.socket, unix.AF_VSOCK, refuse},
			{"io_uring", native.audit, ioUringSetup, 0, refuse},
			{"IPv4 of a 32-bit program", small.audit, small.socket, unix.AF_INET, refuse},
			{"a Unix socket of a 32-bit program", small.audit, small.socket, unix.AF_UNIX, allow},
			{"socketcall of a 32-bit program", small.audit, socketcall, 1, refuse},
			{"reading of a 32-bit program", small.audit, 3, 0, allow},
			{"an architecture that nobody knows", 1, read, 0, refuse},
		} {
			if got := judge(t, code, c.arch, c.call, c.arg0); got != c.want {
				t.Errorf("%s, %s: %#x, want %#x", goarch, c.name, got, c.want)
			}
		}
	}
	amd := abis("amd64")
	if got := judge(t, filter(amd), amd[0].audit, x32Bit|41, unix.AF_INET); got != refuse {
		t.Errorf("x32: %#x", got)
	}
	if abis("riscv64") != nil {
		t.Error("an architecture that was never thought of is supported")
	}
}
