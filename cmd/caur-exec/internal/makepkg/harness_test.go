package makepkg_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
	"github.com/caur-build/caur/cmd/caur-exec/internal/makepkg"
	"github.com/caur-build/caur/cmd/caur-exec/internal/offline"
	"github.com/caur-build/caur/internal/testenv"
)

// TestMain lets this test program be what the engine starts: the first process of a namespace, and "caur-exec build".
func TestMain(m *testing.M) {
	container.MaybeInit()
	if len(os.Args) == 3 && os.Args[1] == "build" {
		os.Exit(build(os.Args[2]))
	}
	if len(os.Args) > 3 && os.Args[1] == "offline" {
		fmt.Fprintln(os.Stderr, offline.Exec(os.Args[3:], os.Environ()))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func build(file string) int {
	request, err := makepkg.ReadRequest(file)
	if err == nil {
		var code int
		if code, err = makepkg.Run(context.Background(), request, os.Stdout); err == nil {
			return code
		}
	}
	fmt.Fprintln(os.Stdout, "caur-exec build:", err)
	return makepkg.CodeFailed
}

// bench is a place for builds: directories, an engine with an overlay, and a local repository.
type bench struct {
	t      *testing.T
	engine container.Engine
	dir    string // for requests, outputs, scratch
	repo   string // the local repository "demo", empty until add
	extra  []container.Mount
	rights []string // container.Spec.Privileges
	lint   bool     // let makepkg check the PKGBUILD: it starts grep 280 times, nine tenths of the time of a small build
}

func newBench(t *testing.T) *bench {
	t.Helper()
	testenv.Need(t, "makepkg", "pacman", "repo-add", "fakeroot", "bsdtar", "patch", "useradd")
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts overlays: run make test as root")
	}
	dir := t.TempDir()
	engine, err := container.New(t.Context(), container.Config{Engine: "none", Overlay: "always", Scratch: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	b := &bench{t: t, engine: engine, dir: dir, repo: filepath.Join(dir, "repo")}
	b.mkdir(b.repo)
	return b
}

func (b *bench) mkdir(path string) string {
	b.t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// run builds one package directory and gives the code, the log, and the output directory.
func (b *bench) run(source string, change func(*makepkg.Request)) (code int, log, out string) {
	b.t.Helper()
	job := b.mkdir(filepath.Join(b.dir, fmt.Sprintf("job-%d", time.Now().UnixNano())))
	out = b.mkdir(filepath.Join(job, "out"))
	request := makepkg.Request{
		Pkgbase: filepath.Base(source), SourceDir: source, WorkDir: "/build", OutputDir: out, OwnRoot: true,
		Packager: "Tess Tester <tess@example.org>", Jobs: 2, Timeout: makepkg.Duration(20 * time.Minute),
	}
	if _, err := os.Stat(filepath.Join(b.repo, "demo.db")); err == nil {
		request.TargetRepo = &makepkg.Repo{Name: "demo", Servers: []string{"file://" + b.repo}, SigLevel: "Never"}
	}
	if change != nil {
		change(&request)
	}
	data, err := json.Marshal(request)
	if err != nil {
		b.t.Fatal(err)
	}
	file := filepath.Join(job, "request.json")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		b.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	spec := container.Spec{
		Name: "test", Executable: self, Privileges: b.rights, Command: []string{"build", file},
		Env:     []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"},
		Scratch: b.mkdir(filepath.Join(job, "scratch")),
		Mounts: append([]container.Mount{
			{Source: out, Target: out}, {Source: file, Target: file, ReadOnly: true}, {Source: b.repo, Target: b.repo, ReadOnly: true},
		}, b.extra...),
	}
	if !b.lint {
		spec.Mounts = append(spec.Mounts,
			container.Mount{Source: filepath.Join(testenv.MakepkgLibrary(b.t), "lint_pkgbuild"), Target: testenv.LintDir, ReadOnly: true})
	}
	if request.SourceDir != "" {
		spec.Mounts = append(spec.Mounts, container.Mount{Source: source, Target: source, ReadOnly: true})
	}
	if request.SourceCacheDir != "" {
		spec.Mounts = append(spec.Mounts, container.Mount{Source: request.SourceCacheDir, Target: request.SourceCacheDir})
	}
	var text bytes.Buffer
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Minute)
	defer cancel()
	code, err = b.engine.Run(ctx, spec, &text)
	if err != nil {
		b.t.Fatalf("%v\n%s", err, text.String())
	}
	return code, text.String(), out
}

// add puts finished packages into the local repository.
func (b *bench) add(out string) {
	b.t.Helper()
	args := []string{"--quiet", filepath.Join(b.repo, "demo.db.tar.zst")}
	for _, file := range files(b.t, out) {
		target := filepath.Join(b.repo, file)
		if err := os.Rename(filepath.Join(out, file), target); err != nil {
			b.t.Fatal(err)
		}
		args = append(args, target)
	}
	if text, err := exec.CommandContext(b.t.Context(), "repo-add", args...).CombinedOutput(); err != nil {
		b.t.Fatalf("repo-add: %v\n%s", err, text)
	}
}

// pkg writes a package directory of that name.
func (b *bench) pkg(name string, contents map[string]string) string {
	b.t.Helper()
	dir := filepath.Join(b.dir, fmt.Sprintf("src-%d", time.Now().UnixNano()), name)
	for file, text := range contents {
		path := filepath.Join(dir, file)
		b.mkdir(filepath.Dir(path))
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
	return dir
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// want checks the outcome of a build.
func (b *bench) want(code int, log, out string, wantCode int, wantFiles ...string) {
	b.t.Helper()
	got := files(b.t, out)
	slices.Sort(wantFiles)
	if code != wantCode || !slices.Equal(got, wantFiles) {
		b.t.Errorf("status %d with %q; want %d with %q\n%s", code, got, wantCode, wantFiles, log)
	}
}

func contains(t *testing.T, log string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
}

// bsdtar gives what bsdtar prints about a package.
func bsdtar(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "bsdtar", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("bsdtar %v: %v\n%s", args, err, out)
	}
	return string(out)
}
