package testenv

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dockerImage has makepkg and pacman on a minimal Debian. The number goes up when its contents change.
const dockerImage = "caur-test-builder:2"

const (
	dockerSuite    = "bookworm"
	dockerPackages = "makepkg,pacman-package-manager,fakeroot,git,gnupg,zstd,libarchive-tools,patch"
)

// Docker gives the address of a Docker engine and the name of an image with makepkg and pacman.
//
// The engine is the one at /var/run/docker.sock when it answers, else one of our own with its data and socket in the
// cache; that one ends by itself when no test has used it for a minute or two. The image is made by debootstrap once (about
// 100 s) and stays in the engine.
func Docker(t testing.TB) (host, image string) {
	t.Helper()
	Need(t, "docker")
	cache := cacheDir(t, "docker")
	release := lock(t, filepath.Join(cache, "users"), lockShared)
	t.Cleanup(release)
	defer lock(t, filepath.Join(cache, "lock"), lockExclusive)()
	host = "unix:///var/run/docker.sock"
	if !dockerAnswers(host) {
		host = "unix://" + filepath.Join(cache, "docker.sock")
		if !dockerAnswers(host) {
			startDockerd(t, cache, host)
		}
	}
	if exec.Command("docker", "-H", host, "image", "inspect", dockerImage).Run() != nil {
		makeImage(t, cache, host)
	}
	return host, dockerImage
}

func dockerAnswers(host string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, "docker", "-H", host, "version").Run() == nil
}

// supervise runs dockerd until no test holds the lock "users" any more: twice in a row, 45 s apart.
const supervise = `
dockerd --host "$1" --data-root "$2/data" --exec-root "$2/exec" --pidfile "$2/pid" &
pid=$!
idle=0
while kill -0 $pid 2>/dev/null; do
  sleep 45 & wait $!
  if flock -n -x "$2/users" true; then idle=$((idle + 1)); else idle=0; fi
  if [ $idle -ge 2 ]; then kill $pid; wait $pid; break; fi
done
`

// startDockerd starts an engine that outlives this test process, and waits until it answers.
func startDockerd(t testing.TB, cache, host string) {
	t.Helper()
	Need(t, "dockerd", "flock", "sh")
	if os.Geteuid() != 0 {
		t.Fatal("no Docker engine answers at /var/run/docker.sock, and only root can start one")
	}
	logPath := filepath.Join(cache, "dockerd.log")
	logFile, err := os.Create(logPath)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = logFile.Close() }()
	if err := os.Remove(filepath.Join(cache, "pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err) // of an engine that was killed; dockerd refuses to start when the number is in use again
	}
	cmd := exec.Command("sh", "-c", supervise, "sh", host, cache)
	cmd.Stdout, cmd.Stderr = logFile, logFile // never ours: go test waits for whoever holds its output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/"
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	deadline := time.After(startLimit)
	for !dockerAnswers(host) {
		select {
		case <-ended:
			t.Fatalf("dockerd ended:\n%s", tailOf(logPath))
		case <-deadline:
			t.Fatalf("dockerd does not answer after %v:\n%s", startLimit, tailOf(logPath))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// makeImage makes a minimal Debian and imports it.
func makeImage(t testing.TB, cache, host string) {
	t.Helper()
	Need(t, "debootstrap", "tar")
	root, err := os.MkdirTemp(cache, "root")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(root) }()
	logPath := filepath.Join(cache, "debootstrap.log")
	args := []string{"--variant=minbase", "--include=" + dockerPackages, dockerSuite, root}
	if mirror := debianMirror(); mirror != "" {
		args = append(args, mirror)
	}
	runLogged(t, logPath, exec.Command("debootstrap", args...))
	// makepkg's checks of a PKGBUILD start grep 280 times, nine tenths of the time of a small build. It cannot do without
	// the one of pkgver; other tests build with all of them.
	checks, err := filepath.Glob(filepath.Join(root, "usr/share/makepkg/lint_pkgbuild/*.sh"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range checks {
		if filepath.Base(file) != "pkgver.sh" {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	tar := exec.Command("tar", "-C", root, "--numeric-owner", "--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*",
		"--exclude=./usr/share/doc/*", "--exclude=./usr/share/man/*", "--exclude=./usr/share/locale/*", "-c", ".")
	docker := exec.Command("docker", "-H", host, "import", "--change", `CMD ["/bin/bash"]`, "-", dockerImage)
	r, w := io.Pipe()
	tar.Stdout, docker.Stdin = w, r
	piped := make(chan error, 1)
	go func() {
		err := tar.Run()
		_ = w.CloseWithError(err)
		piped <- err
	}()
	out, err := docker.CombinedOutput()
	_ = r.Close()
	if err := errors.Join(err, <-piped); err != nil {
		t.Fatalf("docker import: %v\n%s", err, out)
	}
}

func runLogged(t testing.TB, logPath string, cmd *exec.Cmd) {
	t.Helper()
	logFile, err := os.Create(logPath)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = logFile.Close() }()
	cmd.Stdout, cmd.Stderr = logFile, logFile
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd.Path, err, tailOf(logPath))
	}
}

// debianMirror gives the mirror that this machine takes Debian's packages from, "" when it is no Debian.
func debianMirror() string {
	out, err := exec.Command("apt-get", "indextargets", "--format", "$(REPO_URI)",
		"Created-By: Packages", "Label: Debian", "Codename: "+dockerSuite).Output()
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first
}

func tailOf(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const most = 4000
	return string(data[max(0, len(data)-most):])
}
