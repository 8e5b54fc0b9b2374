package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Podman gives the address of podman's API, served for this test alone, and the name of the image that Docker has. podman's
// storage lies in the cache; the image is copied there once.
func Podman(t testing.TB) (host, image string) {
	t.Helper()
	Need(t, "podman")
	docker, image := Docker(t)
	cache := cacheDir(t, "podman")
	dir := t.TempDir()
	defer lock(t, filepath.Join(cache, "lock"), lockExclusive)()
	global := []string{"--root", filepath.Join(cache, "root"), "--runroot", filepath.Join(cache, "run"), "--cgroup-manager", "cgroupfs"}
	podman := func(args ...string) *exec.Cmd {
		return exec.Command("podman", append(global[:len(global):len(global)], args...)...)
	}
	if podman("image", "exists", image).Run() != nil {
		archive := filepath.Join(dir, "image.tar")
		runLogged(t, filepath.Join(cache, "save.log"), exec.Command("docker", "-H", docker, "save", "-o", archive, image))
		runLogged(t, filepath.Join(cache, "load.log"), podman("load", "-i", archive))
	}
	socket := filepath.Join(dir, "podman.sock")
	service := podman("system", "service", "--time=0", "unix://"+socket)
	log, err := os.Create(filepath.Join(cache, "service.log"))
	if err != nil {
		t.Fatal(err)
	}
	service.Stdout, service.Stderr = log, log
	service.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-service.Process.Pid, syscall.SIGTERM)
		_ = service.Wait()
		_ = log.Close()
	})
	host = "unix://" + socket
	for deadline := time.Now().Add(startLimit); !dockerAnswers(host); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("podman does not answer after %v:\n%s", startLimit, tailOf(log.Name()))
		}
	}
	return host, "localhost/" + strings.TrimPrefix(image, "localhost/")
}
