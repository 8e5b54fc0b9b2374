package cli

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/internal/syncdb/pkgtest"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// upstreams answers ls-refs of protocol version 2 for every repository: HEAD and every branch are at a commit that
// depends on the path alone. It is in this process, so its time counts too.
func upstreamServer(b *testing.B) string {
	b.Helper()
	packet := func(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }
	advert := packet("# service=git-upload-pack\n") + "0000" + packet("version 2\n") + packet("agent=test\n") + packet("ls-refs\n") +
		packet("fetch=shallow\n") + packet("object-format=sha1\n") + "0000"
	prefix := regexp.MustCompile(`ref-prefix (\S+)`)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		repo, _, _ := strings.Cut(r.URL.Path, "/info/refs")
		repo, post := strings.CutSuffix(repo, "/git-upload-pack")
		if !post {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			_, _ = io.WriteString(w, advert)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			b.Error(err)
		}
		id := fmt.Sprintf("%x", sha1.Sum([]byte(repo)))
		w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		sent := map[string]bool{}
		for _, m := range prefix.FindAllStringSubmatch(string(body), -1) {
			if !sent[m[1]] && (m[1] == "HEAD" || strings.HasPrefix(m[1], "refs/heads/")) {
				sent[m[1]] = true
				_, _ = io.WriteString(w, packet(id+" "+m[1]+"\n"))
			}
		}
		_, _ = io.WriteString(w, "0000")
	}))
	b.Cleanup(server.Close)
	return server.URL
}

var (
	gitSource = regexp.MustCompile(`git\+[a-z]+://`)
	gitConfig = regexp.MustCompile(`(?m)^CI_PKGBUILD_SOURCE=.*://.*$|^CI_NVCHECKER=.*$`)
)

// wholeFarm is the corpus with all its upstreams on this machine: 2,500 packages, 760 git repositories, an AUR of 100,000
// packages, pacman databases of 15,000. One run has been made, so that the next finds nothing.
func wholeFarm(b *testing.B) *farm {
	b.Helper()
	f := &farm{t: b, g: testenv.NewGitRepo(b), redis: testenv.Redis(b), aur: testenv.NewAUR(b), dbDir: b.TempDir()}
	upstream := strings.TrimPrefix(upstreamServer(b), "http://")
	if err := os.CopyFS(f.g.Dir, os.DirFS(testenv.Corpus(b))); err != nil {
		b.Fatal(err)
	}
	var list []testenv.AURPackage
	found, err := filepath.Glob(filepath.Join(f.g.Dir, "*", ".SRCINFO"))
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range found {
		list = append(list, f.adopt(path, upstream)...)
	}
	maintainer := "someone"
	for i := len(list); i < 100_000; i++ {
		name := fmt.Sprintf("other-package-%06d", i)
		list = append(list, testenv.AURPackage{ID: i, Name: name, PackageBase: name, PackageBaseID: i, Version: "1.2.3-4", Maintainer: &maintainer,
			Description: "A package that nobody here wants, with a description of the usual length", URL: "https://example.org/" + name,
			FirstSubmitted: 1400000000, LastModified: 1700000000, URLPath: "/cgit/aur.git/snapshot/" + name + ".tar.gz",
			Depends: []string{"glibc", "gcc-libs", "gtk3"}, License: []string{"GPL-3.0-or-later"}, Keywords: []string{}})
	}
	f.aur.Set(list...)
	db := syncdb.New()
	pkgtest.Repository(b, db, 15_000)
	if err := db.WriteDB(filepath.Join(f.dbDir, "demo.db.tar.zst")); err != nil {
		b.Fatal(err)
	}
	f.g.Write(".ci/config", fmt.Sprintf("BUILD_REPO=src\nREPO_NAME=demo\nCI_HUMAN_REVIEW=true\nCI_LIB_DB=file://%s/demo.db.tar.zst\n"+
		"GIT_AUTHOR_NAME=Repo Bot\nGIT_AUTHOR_EMAIL=bot@example.org\nCI_DEFAULT_CLASS=3\nCI_MAX_PARALLEL=8\n", f.dbDir))
	f.g.Write(".ci/aur-state", "1000\n")
	f.g.Commit("everything")
	f.g.Git("repack", "-q", "-a", "-d")
	f.push()
	f.run(0, "on-schedule", "--plan", filepath.Join(b.TempDir(), "plan.json"))
	return f
}

// adopt makes a directory of the corpus ours: with a recipe, its sources on this machine, and on the AUR as it is.
func (f *farm) adopt(path, upstream string) []testenv.AURPackage {
	f.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		f.t.Fatal(err)
	}
	dir := filepath.Dir(path)
	name := filepath.Base(dir)
	if err := os.WriteFile(path, gitSource.ReplaceAll(text, []byte("git+http://"+upstream+"/")), 0o644); err != nil {
		f.t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(dir, ".CI", "config"))
	if err != nil && !os.IsNotExist(err) {
		f.t.Fatal(err)
	}
	if err == nil {
		if err := os.WriteFile(filepath.Join(dir, ".CI", "config"), gitConfig.ReplaceAll(config, nil), 0o644); err != nil {
			f.t.Fatal(err)
		}
	}
	f.g.Write(name+"/PKGBUILD", recipe(name, "1.0")["PKGBUILD"])
	info, _, err := srcinfo.Parse(path, text)
	if err != nil || !bytes.Contains(config, []byte("CI_PKGBUILD_SOURCE=aur")) {
		return nil
	}
	maintainer := "someone"
	return []testenv.AURPackage{{ID: 1, Name: info.Pkgnames()[0], PackageBase: name, PackageBaseID: 1, Version: info.Version(), Maintainer: &maintainer,
		FirstSubmitted: 900, LastModified: 900, Keywords: []string{}, URLPath: "/x"}}
}

// cpu is the processor time of this process and the children that it has waited for.
func cpu() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}

// measure runs a command and reports its processor time, the servers in this process included.
func (f *farm) measure(b *testing.B, dir string, args ...string) {
	b.Helper()
	before := cpu()
	for b.Loop() {
		var stderr bytes.Buffer
		streams := &command.IO{In: strings.NewReader(""), Out: io.Discard, Err: &stderr, Getenv: func(key string) (string, bool) {
			v, ok := f.env[key]
			return v, ok
		}}
		if code := command.Run(b.Context(), streams, New(streams), append([]string{"-C", dir}, args...)); code != 0 {
			b.Fatalf("exit code %d\n%s", code, stderr.String())
		}
	}
	b.ReportMetric((cpu()-before).Seconds()/float64(b.N), "cpu-s/op")
}

func BenchmarkOnScheduleNothingChanged(b *testing.B) {
	f := wholeFarm(b)
	f.measure(b, f.clone(), "on-schedule")
}

func BenchmarkOnSchedule40Changed(b *testing.B) {
	f := wholeFarm(b)
	maintainer := "someone"
	var list []testenv.AURPackage
	var commits []testenv.AURCommit
	configs, err := filepath.Glob(filepath.Join(f.g.Dir, "*", ".CI", "config"))
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range configs {
		name := filepath.Base(filepath.Dir(filepath.Dir(path)))
		if text, err := os.ReadFile(path); err != nil || !bytes.Contains(text, []byte("=aur")) || len(list) == 40 {
			continue
		}
		list = append(list, testenv.AURPackage{ID: 1, Name: name, PackageBase: name, PackageBaseID: 1, Version: "1.1-1", Maintainer: &maintainer,
			FirstSubmitted: 900, LastModified: 2000, Keywords: []string{}, URLPath: "/x"})
		commits = append(commits, testenv.AURCommit{Pkgbase: name, Files: recipe(name, "1.1"), Author: "s <s@example.org>", Subject: "x", Time: 2000})
	}
	f.aur.Set(list...)
	f.aur.Push(commits...)
	refs := f.g.Git("-C", f.origin, "for-each-ref", "--format=%(refname) %(objectname)")
	clone := f.clone()
	before := cpu()
	for b.Loop() {
		b.StopTimer()
		for line := range strings.Lines(refs) { // as before the run
			name, id, _ := strings.Cut(strings.TrimSpace(line), " ")
			f.g.Git("-C", f.origin, "update-ref", name, id)
		}
		b.StartTimer()
		f.runIn(clone, 0, "on-schedule", "--plan", filepath.Join(b.TempDir(), "plan.json"))
	}
	b.ReportMetric((cpu()-before).Seconds()/float64(b.N), "cpu-s/op")
	if !strings.Contains(f.g.Git("-C", f.origin, "log", "-1", "--format=%s", "main"), "packages (40)") {
		b.Error(f.g.Git("-C", f.origin, "log", "-1", "--format=%s%n%b", "main"))
	}
}
