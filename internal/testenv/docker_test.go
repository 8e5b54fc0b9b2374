package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// buildAll builds in the order of dependencies and installs what the next one needs.
const buildAll = `
set -eu
useradd -m builder
mkdir -p /etc/pacman.d /var/lib/pacman
build() {
  cp -r "/repo/$1" /home/builder/
  cd "/home/builder/$1"
  chown -R builder .
  su builder -c 'PKGEXT=.pkg.tar makepkg --noconfirm'
  pacman -U --noconfirm ./*.pkg.tar
}
build caur-greeting
build caur-hello
build caur-tools
caur-tool
pacman -Q
`

func TestDockerBuildsThePackageRepo(t *testing.T) {
	t.Parallel() // makepkg takes its time
	host, image := Docker(t)
	g := PackageRepo(t)
	script := filepath.Join(t.TempDir(), "build.sh")
	if err := os.WriteFile(script, []byte(buildAll), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("docker", "-H", host, "run", "--rm", "--network", "none", "--memory", "512m", "--cpus", "1",
		"-v", g.Dir+":/repo:ro", "-v", script+":/build.sh:ro", image, "bash", "/build.sh").CombinedOutput()
	if err != nil {
		t.Fatalf("docker run: %v\n%s", err, out)
	}
	for _, want := range []string{
		"Good morning, world", "caur-greeting 1.2.0-1", "caur-hello 2.0-1",
		"caur-tools 1:0.5-2", "caur-tools-doc 1:0.5-2", "caur-tools is there",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestDockerHasABridgeNetwork(t *testing.T) {
	host, image := Docker(t)
	out, err := exec.Command("docker", "-H", host, "run", "--rm", image, "grep", "-c", "eth0", "/proc/net/dev").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "1" {
		t.Errorf("no network interface in the container: %v\n%s", err, out)
	}
}
