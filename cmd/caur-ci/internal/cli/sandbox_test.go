package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/testenv"
)

const dynamicRecipe = `pkgname=clever
pkgver=$(echo 1.$((1+1)))
pkgrel=1
arch=(any)
[[ -w / || -e "$HOME/.ssh" ]] && pkgver=escaped
package() { :; }
`

// The real caur-exec runs the real makepkg in an overlay.
func TestWhatIsDynamicIsToldByTheSandbox(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts overlays: run make test as root")
	}
	_, caurExec := testenv.Binaries(t)
	bin := t.TempDir()
	if err := os.Symlink(caurExec, filepath.Join(bin, "caur-exec")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	dir := filepath.Join(t.TempDir(), "clever")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "PKGBUILD"), []byte(dynamicRecipe), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(env map[string]string, args ...string) (code int, out, errOut string) {
		var stdout, stderr bytes.Buffer
		streams := &command.IO{In: strings.NewReader(""), Out: &stdout, Err: &stderr, Getenv: func(key string) (string, bool) {
			v, ok := env[key]
			return v, ok
		}}
		code = command.Run(t.Context(), streams, New(streams), append([]string{"srcinfo"}, args...))
		return code, stdout.String(), stderr.String()
	}
	if code, out, errOut := run(nil, dir); code != 1 || out != "" || !strings.Contains(errOut, "clever/PKGBUILD:5: pkgver: dynamic") {
		t.Errorf("without a sandbox: %d %q %q", code, out, errOut)
	}
	where := map[string]string{"CONTAINER_ENGINE": "none", "BUILDER_BUILD_USER": "nobody"}
	code, _, errOut := run(where, "--write", dir) // once only: makepkg takes its time
	if code != 0 || !strings.Contains(errOut, "wrote clever/.SRCINFO") || !strings.Contains(errOut, "dynamic") {
		t.Errorf("with a sandbox: %d %q", code, errOut)
	}
	if text, err := os.ReadFile(filepath.Join(dir, ".SRCINFO")); err != nil || !strings.Contains(string(text), "pkgver = 1.2\n") {
		t.Errorf("%v: %q", err, text)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "caur-srcinfo-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
