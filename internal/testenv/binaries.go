package testenv

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// built is what Binaries has made in this test process.
var built struct {
	sync.Mutex
	dir string
}

// Binaries builds both programs, once in a test process, and gives their paths. They are kept in a cache under the hash
// of their contents, so that a build of another test process never replaces a program that runs.
func Binaries(t testing.TB) (caurCI, caurExec string) {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if built.dir == "" {
		built.dir = build(t)
	}
	return filepath.Join(built.dir, "caur-ci"), filepath.Join(built.dir, "caur-exec")
}

func build(t testing.TB) string {
	t.Helper()
	Need(t, "go")
	cache := cacheDir(t, "test-bin")
	defer lock(t, filepath.Join(cache, "lock"), lockExclusive)()
	removeOld(t, cache)
	tmp, err := os.MkdirTemp(cache, "new")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", tmp+"/", "./cmd/caur-ci", "./cmd/caur-exec")
	cmd.Dir = repoRoot(t)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		_ = os.RemoveAll(tmp)
		t.Fatalf("go build: %v\n%s", err, out)
	}
	dir := filepath.Join(cache, hashFiles(t, filepath.Join(tmp, "caur-ci"), filepath.Join(tmp, "caur-exec")))
	if err := os.Rename(tmp, dir); err != nil { // it is there already
		if err := os.RemoveAll(tmp); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		if err := os.Chtimes(dir, now, now); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func hashFiles(t testing.TB, paths ...string) string {
	t.Helper()
	h := sha256.New()
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(h, f)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// removeOld removes what no test has used for a day.
func removeOld(t testing.TB, cache string) {
	t.Helper()
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.IsDir() && time.Since(info.ModTime()) > 24*time.Hour {
			_ = os.RemoveAll(filepath.Join(cache, e.Name()))
		}
	}
}
