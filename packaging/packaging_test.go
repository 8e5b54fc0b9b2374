// Package packaging holds no code: its tests make a release and build caur's own package from it.
package packaging

import (
	"archive/tar"
	"compress/gzip"
	"debug/elf"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/caur-build/caur/internal/testenv"
)

func run(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// release makes a release of this machine's architecture from the checkout at dir.
func release(t *testing.T, dir string) string {
	t.Helper()
	out := t.TempDir()
	run(t, dir, []string{"DIST_DIR=" + out, "DIST_ARCHES=" + runtime.GOARCH}, "make", "--no-print-directory", "dist", "VERSION=v1.2.3-rc1")
	return out
}

func TestRelease(t *testing.T) {
	testenv.Need(t, "git", "make", "jq", "makepkg", "bsdtar", "groff")
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dist := release(t, root)
	name := "caur-1.2.3.rc1-linux-" + runtime.GOARCH
	t.Run("another checkout gives the same bytes", func(t *testing.T) {
		clone := filepath.Join(t.TempDir(), "clone")
		run(t, root, nil, "git", "clone", "-q", root, clone)
		again := release(t, clone)
		if a, b := read(t, dist, "SHA256SUMS"), read(t, again, "SHA256SUMS"); a != b {
			t.Errorf("checksums\n%sand\n%s", a, b)
		}
	})
	t.Run("all files have their checksums", func(t *testing.T) {
		run(t, dist, nil, "sha256sum", "--check", "--strict", "SHA256SUMS")
		files, err := os.ReadDir(dist)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(read(t, dist, "SHA256SUMS"), "\n"); n != len(files)-1 {
			t.Errorf("%d checksums of %d files", n, len(files)-1)
		}
	})
	t.Run("the tarball has static programs, man pages, completions, units and documentation", func(t *testing.T) { checkTarball(t, dist, name) })
	t.Run("the SBOM names the modules that are linked", func(t *testing.T) {
		for _, program := range []string{"caur-ci", "caur-exec"} {
			checkSBOM(t, read(t, dist, name+"-"+program+".cdx.json"))
		}
	})
	t.Run("makepkg builds the package without a network", func(t *testing.T) { checkPackage(t, dist) })
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func checkTarball(t *testing.T, dist, name string) {
	dir := t.TempDir()
	names := unpack(t, filepath.Join(dist, name+".tar.gz"), dir)
	for _, want := range installed("bin", "share", "lib/systemd/system") {
		if !slices.Contains(names, name+"/"+want) {
			t.Errorf("no %s", want)
		}
	}
	for _, program := range []string{"caur-ci", "caur-exec"} {
		file := filepath.Join(dir, name, "bin", program)
		f, err := elf.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
			t.Errorf("%s is not static", program)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if out := run(t, dir, nil, file, "--version"); out != program+" v1.2.3-rc1\n" {
			t.Errorf("version %q", out)
		}
	}
	pages, err := filepath.Glob(filepath.Join(dir, name, "share/man/man1/*.1"))
	if err != nil || len(pages) < 20 {
		t.Fatalf("%d man pages, %v", len(pages), err)
	}
	if out := run(t, dir, nil, append([]string{"groff", "-man", "-Tutf8", "-Kutf8", "-ww", "-z"}, pages...)...); out != "" {
		t.Errorf("groff warns: %s", out)
	}
}

// installed are some of the files of a release, with its folders for programs, data and units.
func installed(bin, share, units string) []string {
	return []string{
		bin + "/caur-ci", bin + "/caur-exec",
		share + "/man/man1/caur-ci.1", share + "/man/man1/caur-ci-on-commit.1", share + "/man/man1/caur-exec-repo-verify.1",
		share + "/bash-completion/completions/caur-ci", share + "/zsh/site-functions/_caur-exec", share + "/fish/vendor_completions.d/caur-ci.fish",
		units + "/caur-builder.service",
	}
}

// unpack gives the names in a tarball, after it is unpacked into dir.
func unpack(t *testing.T, path, dir string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	run(t, dir, nil, "tar", "-xzf", path)
	return names
}

func checkSBOM(t *testing.T, text string) {
	t.Helper()
	var bom struct {
		Format     string `json:"bomFormat"`
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal([]byte(text), &bom); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"github.com/spf13/cobra", "github.com/redis/go-redis/v9", "std"} {
		i := slices.IndexFunc(bom.Components, func(c struct{ Name, Version string }) bool { return c.Name == want })
		if bom.Format != "CycloneDX" || i < 0 || bom.Components[i].Version == "" {
			t.Errorf("%s: no %s among %d components", bom.Format, want, len(bom.Components))
		}
	}
}

// checkPackage builds the package with the PKGBUILD of the release. makepkg refuses to run as root, so root becomes another
// user in a namespace of its own, in which it still reads the caches of Go.
func checkPackage(t *testing.T, dist string) {
	dir := t.TempDir()
	for _, name := range []string{"PKGBUILD", "caur-1.2.3.rc1.tar.gz"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(read(t, dist, name)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	makepkg := []string{"makepkg", "--nodeps", "--noconfirm", "--nocolor"}
	if os.Getuid() == 0 {
		makepkg = append([]string{"unshare", "--user", "--map-user=1000", "--map-group=1000"}, makepkg...)
	}
	go1 := func(name string) string { return name + "=" + strings.TrimSpace(run(t, dir, nil, "go", "env", name)) }
	env := []string{go1("GOMODCACHE"), go1("GOCACHE"), "GOPROXY=off", "GOSUMDB=off", "GOFLAGS=", "HOME=" + dir,
		"PKGDEST=" + dir, "SRCDEST=" + dir, "BUILDDIR=" + dir, "PKGEXT=.pkg.tar", "CARCH=" + map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]}
	log := run(t, dir, env, makepkg...)
	packages, err := filepath.Glob(filepath.Join(dir, "caur-1.2.3.rc1-1-*.pkg.tar"))
	if err != nil || len(packages) != 1 {
		t.Fatalf("packages %v, %v\n%s", packages, err, log)
	}
	names := strings.Split(run(t, dir, nil, "bsdtar", "-tf", packages[0]), "\n")
	for _, want := range append(installed("usr/bin", "usr/share", "usr/lib/systemd/system"), "usr/share/doc/caur/README.md", "usr/share/licenses/caur/LICENSE", ".PKGINFO") {
		// makepkg compresses man pages where its settings say so.
		if !slices.Contains(names, want) && !slices.Contains(names, want+".gz") {
			t.Errorf("the package has no %s", want)
		}
	}
	run(t, dir, nil, "bsdtar", "-xf", packages[0], "usr/bin/caur-ci")
	if out := run(t, dir, nil, filepath.Join(dir, "usr/bin/caur-ci"), "--version"); out != "caur-ci 1.2.3.rc1\n" {
		t.Errorf("version %q", out)
	}
}
