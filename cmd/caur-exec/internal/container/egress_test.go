package container_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
	"github.com/caur-build/caur/internal/testenv"
)

// neighbour is a network namespace of its own with a server in it that says hello: a stand-in for other machines of a private
// network and, by its link-local address, for the metadata service of a cloud. Its addresses lead nowhere else.
func neighbour(t *testing.T) (private, linkLocal string) {
	t.Helper()
	testenv.Need(t, "ip", "nft", "python3")
	name := "caur" + strconv.Itoa(os.Getpid())
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v\n%s", args, err, out)
		}
	}
	ip("netns", "add", name)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
	private, linkLocal = "10.213.77.2", "169.254.213.2"
	ip("addr", "add", "10.213.77.1/30", "dev", name)
	ip("addr", "add", "169.254.213.1/30", "dev", name)
	ip("link", "set", name, "up")
	ip("-n", name, "addr", "add", private+"/30", "dev", "eth0")
	ip("-n", name, "addr", "add", linkLocal+"/30", "dev", "eth0")
	ip("-n", name, "link", "set", "eth0", "up")
	ip("-n", name, "link", "set", "lo", "up")
	ip("-n", name, "route", "add", "default", "via", "10.213.77.1")
	server := exec.Command("ip", "netns", "exec", name, "python3", "-u", "-c", `
import socket
s = socket.create_server(("", 8080))
print("ready")
while True:
    c, _ = s.accept()
    c.sendall(b"hello\n")
    c.close()
`)
	out := waitFor("ready")
	server.Stdout, server.Stderr = out, out
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	<-out.found
	return private, linkLocal
}

// machineServer listens on all addresses of this machine, as a Redis without a firewall does.
func machineServer(t *testing.T) (port string) {
	t.Helper()
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("hello\n"))
			_ = c.Close()
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

// A build that tries to reach what lies beside it is refused at once; without the filter it would get through, which shows
// that the test could see it.
func TestABuildReachesNothingBesideTheInternet(t *testing.T) {
	host, image := testenv.Docker(t)
	_, program := testenv.Binaries(t)
	private, linkLocal := neighbour(t)
	port := machineServer(t)
	script := fmt.Sprintf(`
try() { if read -t 5 line <>/dev/tcp/$2/$3; then echo $1 $line; else echo $1 refused; fi 2>/dev/null; }
h=$(awk '$2 == "00000000" {print $3}' /proc/net/route) # the gateway, in the order of the machine
gateway=$((16#${h:6:2})).$((16#${h:4:2})).$((16#${h:2:2})).$((16#${h:0:2}))
try private %s 8080
try metadata %s 8080
try machine $gateway %s
`, private, linkLocal, port)
	for _, c := range []struct {
		name   string
		config container.Config
		want   string
	}{
		{"open", container.Config{Egress: container.EgressAll}, "private hello\nmetadata hello\nmachine hello"},
		{"public", container.Config{Egress: container.EgressPublic}, "private refused\nmetadata refused\nmachine refused"},
		{"public but for one", container.Config{Egress: container.EgressPublic, EgressAllow: []netip.Prefix{netip.MustParsePrefix(private + "/32")}}, "private hello\nmetadata refused\nmachine refused"},
		{"public again", container.Config{}, "private refused\nmetadata refused\nmachine refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.config.Engine, c.config.Socket, c.config.Pull, c.config.Program = "docker", host, "never", program
			if c.config.Egress == container.EgressAll {
				_ = exec.Command("nft", "delete", "table", "ip", "caur_egress").Run() // of the tests before
			}
			engine, err := container.New(t.Context(), c.config)
			if err != nil {
				t.Fatal(err)
			}
			defer engine.Close()
			code, out := run(t, engine, dockerSpec(t, image, script))
			if code != 0 || strings.TrimSpace(out) != c.want {
				t.Errorf("status %d:\n%s\nwant:\n%s", code, out, c.want)
			}
		})
	}
}

func TestAMachineThatCannotFilterIsToldOfOrRefused(t *testing.T) {
	host, image := testenv.Docker(t)
	for egress, want := range map[string]string{container.EgressAuto: "builds on this machine can reach private addresses", container.EgressPublic: "BUILDER_EGRESS=public"} {
		engine, err := container.New(t.Context(), container.Config{Engine: "docker", Socket: host, Pull: "never", Egress: egress, Program: "/bin/false"})
		if err != nil {
			t.Fatal(err)
		}
		defer engine.Close()
		var out bytes.Buffer
		_, err = engine.Run(t.Context(), dockerSpec(t, image, "echo built"), &out)
		if egress == container.EgressPublic {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", egress, err)
			}
		} else if err != nil || !strings.Contains(out.String(), want) || !strings.Contains(out.String(), "built") {
			t.Errorf("%s: %v, %s", egress, err, out.String())
		}
	}
	if _, err := container.New(t.Context(), container.Config{Engine: "docker", Egress: "none"}); err == nil || !strings.Contains(err.Error(), "BUILDER_EGRESS") {
		t.Errorf("a wrong value: %v", err)
	}
}
