package cli

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/internal/syncdb/pkgtest"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// upstreamHost is that server.
type upstreamHost struct {
	*httptest.Server
	mu         sync.Mutex
	newCommits map[string]bool // repositories by path with a commit more than before
	repos      []string        // all that were asked for
}

// commit gives the head of a repository.
func (h *upstreamHost) commit(repo string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.repos = append(h.repos, repo)
	if h.newCommits[repo] {
		repo += " new"
	}
	return fmt.Sprintf("%x", sha1.Sum([]byte(repo)))
}

// upstreamServer answers ls-refs of protocol version 2 for every repository: HEAD and every branch are at a commit that
// depends on the path alone. It is in this process, so its time counts too.
func upstreamServer(b testing.TB) *upstreamHost {
	b.Helper()
	h := &upstreamHost{newCommits: map[string]bool{}}
	packet := func(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }
	advert := packet("# service=git-upload-pack\n") + "0000" + packet("version 2\n") + packet("agent=test\n") + packet("ls-refs\n") +
		packet("fetch=shallow\n") + packet("object-format=sha1\n") + "0000"
	prefix := regexp.MustCompile(`ref-prefix (\S+)`)
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
		id := h.commit(repo)
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
	b.Cleanup(h.Close)
	return h
}

var (
	gitSource = regexp.MustCompile(`git\+[a-z]+://`)
	gitConfig = regexp.MustCompile(`(?m)^CI_PKGBUILD_SOURCE=.*://.*$|^CI_NVCHECKER=.*$`)
)

// wholeFarm is the corpus with all its upstreams on this machine: 2,500 packages, 760 git repositories, an AUR of 100,000
// packages, pacman databases of 15,000. One run has been made, so that the next finds nothing.
func wholeFarm(b testing.TB) (*farm, *upstreamHost) {
	b.Helper()
	f := &farm{t: b, g: testenv.NewGitRepo(b), redis: testenv.Redis(b), aur: testenv.NewAUR(b), dbDir: b.TempDir()}
	host := upstreamServer(b)
	upstream := strings.TrimPrefix(host.URL, "http://")
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
	return f, host
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

// measured runs caur-ci as a process of its own, for its processor time (its children included) and memory are the figures
// that count, not those of the servers in this process.
type measured struct {
	cpu    time.Duration
	memory int64 // largest resident set, bytes
}

func (m *measured) run(b *testing.B, f *farm, dir string, args ...string) {
	b.Helper()
	caurCI, _ := testenv.Binaries(b)
	// time(1) measures the memory: a child of ours would begin with the peak of this process, with all its servers.
	testenv.Need(b, "time")
	peak := filepath.Join(b.TempDir(), "peak")
	cmd := exec.CommandContext(b.Context(), "time", append([]string{"-o", peak, "-f", "%M", caurCI, "-C", dir}, args...)...)
	for key, value := range f.env {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		b.Fatalf("%v\n%s", err, stderr.String())
	}
	m.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	text, err := os.ReadFile(peak)
	if err != nil {
		b.Fatal(err)
	}
	kib, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	m.memory = max(m.memory, kib<<10)
}

func (m *measured) report(b *testing.B) {
	b.ReportMetric(m.cpu.Seconds()/float64(b.N), "cpu-s/op")
	b.ReportMetric(float64(m.memory)/(1<<20), "MiB-peak")
}

func BenchmarkOnScheduleNothingChanged(b *testing.B) {
	f, _ := wholeFarm(b)
	clone := f.clone()
	testenv.Binaries(b)
	var m measured
	for b.Loop() {
		m.run(b, f, clone, "on-schedule")
	}
	m.report(b)
}

func BenchmarkOnSchedule40Changed(b *testing.B) {
	f, _ := wholeFarm(b)
	f.changeOnAUR(40)
	refs := f.g.Git("-C", f.origin, "for-each-ref", "--format=%(refname) %(objectname)")
	clone := f.clone()
	f.env["CI_HUMAN_REVIEW"] = "false"
	testenv.Binaries(b)
	var m measured
	for b.Loop() {
		b.StopTimer()
		for line := range strings.Lines(refs) { // as before the run
			name, id, _ := strings.Cut(strings.TrimSpace(line), " ")
			f.g.Git("-C", f.origin, "update-ref", name, id)
		}
		b.StartTimer()
		m.run(b, f, clone, "on-schedule", "--plan", filepath.Join(b.TempDir(), "plan.json"))
	}
	m.report(b)
	if !strings.Contains(f.g.Git("-C", f.origin, "log", "-1", "--format=%s", "main"), "packages (40)") {
		b.Error(f.g.Git("-C", f.origin, "log", "-1", "--format=%s%n%b", "main"))
	}
}

// changeOnAUR gives n packages a new version on the AUR, and names them.
func (f *farm) changeOnAUR(n int) (names []string) {
	f.t.Helper()
	maintainer := "someone"
	var list []testenv.AURPackage
	var commits []testenv.AURCommit
	configs, err := filepath.Glob(filepath.Join(f.g.Dir, "*", ".CI", "config"))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, path := range configs {
		name := filepath.Base(filepath.Dir(filepath.Dir(path)))
		if text, err := os.ReadFile(path); err != nil || !bytes.Contains(text, []byte("CI_PKGBUILD_SOURCE=aur")) || len(list) == n {
			continue
		}
		names = append(names, name)
		list = append(list, testenv.AURPackage{ID: 1, Name: name, PackageBase: name, PackageBaseID: 1, Version: "1.1-1", Maintainer: &maintainer,
			FirstSubmitted: 900, LastModified: 2000, Keywords: []string{}, URLPath: "/x"})
		commits = append(commits, testenv.AURCommit{Pkgbase: name, Files: recipe(name, "1.1"), Author: "s <s@example.org>", Subject: "x", Time: 2000})
	}
	f.aur.Set(list...)
	f.aur.Push(commits...)
	return names
}

func TestAllPackagesAgainstAllUpstreamsFindExactlyWhatWasPlanted(t *testing.T) {
	f, host := wholeFarm(t)
	f.env["CI_HUMAN_REVIEW"] = "false"
	want := map[string]outcome{}
	for _, name := range f.changeOnAUR(5) {
		want[name] = updated
	}
	slices.Sort(host.repos)
	moved := slices.Compact(host.repos)[0]
	host.newCommits[moved] = true
	state := f.g.Git("-C", f.origin, "rev-parse", "state")
	r := f.report("--dry-run")
	for _, p := range r.Packages {
		switch {
		case p.Outcome == failed || p.Outcome == unchanged: // no sources that can be read, or gone from the AUR: as before
		case want[p.Pkgbase] == p.Outcome:
			delete(want, p.Pkgbase)
		case p.Outcome == built && strings.HasPrefix(p.Reasons[0].Text, "new commit ") && strings.Contains(f.at("main", p.Pkgbase+"/.SRCINFO"), moved):
		default:
			t.Errorf("%s is %s: %v", p.Pkgbase, p.Outcome, p.Reasons)
		}
	}
	if n := r.Counts[failed]; n > r.Checked/50 {
		t.Errorf("%d of %d packages failed", n, r.Checked)
	}
	if len(want) > 0 || r.Counts[built] == 0 {
		t.Errorf("not found: %v; %d of VCS packages", want, r.Counts[built])
	}
	host.Close()
	f.aur.Stop()
	r = f.report("--dry-run")
	if r.Counts[updated]+r.Counts[built] != 0 || !slices.ContainsFunc(r.Sources, func(s sourceReport) bool { return s.Source == "aur" && s.Error != "" }) {
		t.Errorf("without upstreams: %v %+v", r.Counts, r.Sources)
	}
	if f.g.Git("-C", f.origin, "rev-parse", "state") != state {
		t.Error("the state is lost")
	}
}
