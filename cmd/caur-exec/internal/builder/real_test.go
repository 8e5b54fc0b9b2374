package builder_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/builder"
	"github.com/caur-build/caur/cmd/caur-exec/internal/database"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
)

// database runs the real database role over the site.
func (v *site) database(repo string, change func(*database.Settings)) {
	v.t.Helper()
	home, _ := testenv.GPGHome(v.t)
	s := database.Settings{
		Port: 22, RepoPath: repo, LandingPath: v.landing, GPGPath: home, Hostname: "db", LeaseTTL: time.Minute,
		Packager:    "Tess Tester <tess@example.org>",
		SourceRepos: `{"src": {"url": "file://` + v.source.Origin() + `"}}`, TargetRepos: `{"demo": {}}`,
	}
	if change != nil {
		change(&s)
	}
	ctx, cancel := context.WithCancel(v.ctx)
	ended := make(chan error, 1)
	go func() { ended <- database.Run(ctx, s, v.queue, slog.New(slog.NewTextHandler(testWriter{v.t}, nil))) }()
	v.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			v.t.Errorf("the database role ended with %v", err)
		}
	})
}

func (v *site) wantPublished(repo string, files ...string) {
	v.t.Helper()
	for _, file := range files {
		for _, name := range []string{file, file + ".sig"} {
			if _, err := os.Stat(filepath.Join(repo, "demo", "x86_64", name)); err != nil {
				v.t.Error(err)
			}
		}
	}
}

// batch is greeting ← hello ← tools, and a package whose sources are cached.
func (v *site) batch() []queue.Job {
	hello := v.job("caur-hello")
	hello.Dependencies = []string{"caur-greeting"}
	tools := v.job("caur-tools", "caur-tools", "caur-tools-doc")
	tools.Dependencies = []string{"caur-hello", "caur-greeting"}
	return []queue.Job{tools, hello, v.job("caur-greeting"), v.job("caur-clock-git")}
}

func TestABatchIsBuiltInOverlaysAndPublished(t *testing.T) {
	testenv.Need(t, "makepkg", "pacman", "fakeroot", "bsdtar", "git", "gpg")
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts overlays: run make test as root")
	}
	repo := t.TempDir()
	v := newSite(t, "BUILDER_OVERLAY=always", "REPO_PATH="+repo)
	v.source.Write("caur-clock-git/.CI/config", "BUILDER_CACHE_SOURCES=true\n")
	v.source.Commit("chore: cache the sources")
	v.s.ExtraMounts = []string{v.source.Upstream.Dir, filepath.Join(testenv.MakepkgLibrary(t), "lint_pkgbuild") + ":" + testenv.LintDir}
	v.database(repo, nil)
	v.run(nil)
	v.enqueue(v.batch()...)
	for _, pkgbase := range []string{"caur-greeting", "caur-hello", "caur-tools", "caur-clock-git"} {
		v.wantEnd(pkgbase, queue.Success, "")
	}
	v.wantPublished(repo, "caur-greeting-1.2.0-1-any.pkg.tar.zst", "caur-hello-2.0-1-any.pkg.tar.zst",
		"caur-tools-1:0.5-2-x86_64.pkg.tar.zst", "caur-tools-doc-1:0.5-2-any.pkg.tar.zst", "caur-clock-git-1.0.r1-1-any.pkg.tar.zst")
	if log := v.log("caur-hello"); !strings.Contains(log, "installing dependencies: caur-greeting") {
		t.Errorf("log:\n%s", log)
	}
	if cached, _ := filepath.Glob(filepath.Join(v.s.SharedPath, "srcdest_cached", "src", "caur-clock-git", "caur-clock", "HEAD")); len(cached) != 1 {
		t.Error("the sources are not cached")
	}
	if _, err := os.Stat("/usr/share/caur-greeting"); err == nil {
		t.Error("a dependency is installed on this machine")
	}
	v.nothingLeft()

	v.enqueue(v.job("caur-greeting"))
	v.wantEnd("caur-greeting", queue.AlreadyBuilt, "")
}

func TestABatchIsBuiltInDockerAndUploadedOverSFTP(t *testing.T) {
	host, image := testenv.Docker(t)
	_, caurExec := testenv.Binaries(t)
	ssh := testenv.SSHD(t)
	repo := t.TempDir()
	v := newSite(t, "CONTAINER_ENGINE=docker", "DOCKER_SOCKET="+host, "BUILDER_PULL=never", "BUILDER_LIMITS_RAM=1024",
		"REPO_PATH="+repo, "LANDING_ZONE_PATH=", "SSH_KEY_FILE="+ssh.KeyFile, "SSH_KNOWN_HOSTS="+ssh.KnownHostsFile)
	v.landing = filepath.Join(ssh.Root, "landing")
	v.database(repo, func(s *database.Settings) {
		s.Host, s.Port, s.User, s.Image = ssh.Host, ssh.Port, ssh.User, image
	})
	ctx, cancel := context.WithCancel(v.ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- builder.Run(ctx, v.s, builder.Deps{
			Queue: v.queue, Logs: v.logs, Log: slog.New(slog.NewTextHandler(testWriter{t}, nil)), Executable: caurExec,
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	v.enqueue(v.batch()[1:3]...)
	v.wantEnd("caur-greeting", queue.Success, "")
	v.wantEnd("caur-hello", queue.Success, "")
	v.wantPublished(repo, "caur-greeting-1.2.0-1-any.pkg.tar.zst", "caur-hello-2.0-1-any.pkg.tar.zst")
	out, err := exec.Command("docker", "-H", host, "ps", "-aq", "--filter", "label=build.caur.owner=tester").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "" {
		t.Errorf("containers are left: %s %v", out, err)
	}
	v.nothingLeft()
}
