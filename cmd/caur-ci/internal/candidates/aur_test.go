package candidates_test

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/aursync"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/state"
)

// aurSource is the source aur with a client of a fake AUR.
func aurSource(t testing.TB, a *testenv.AUR, change func(*candidates.AUROptions)) *candidates.AUR {
	t.Helper()
	client, err := aursync.New(aursync.Options{
		ArchiveURL: a.ArchiveURL, RPCURL: a.RPCURL, MirrorURL: a.MirrorURL, GitURL: a.GitURL,
		GitDir: filepath.Join(t.TempDir(), "aur.git"), Retry: time.Millisecond, HTTP: &http.Client{Transport: &http.Transport{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	o := candidates.AUROptions{Client: client, Now: lookTime}
	if change != nil {
		change(&o)
	}
	return candidates.NewAUR(o)
}

var lookTime = time.Unix(1_700_000_000, 0).UTC() // of the run

// recipe is a PKGBUILD that shfmt would lay out otherwise.
func recipe(name, version string) string {
	return "pkgname=" + name + "\npkgver=" + version + "\npkgrel=1\narch=(any)\npackage() {\n    true\n}\n"
}

func laidOut(name, version string) string {
	return strings.Replace(recipe(name, version), "    true", "\ttrue", 1)
}

func info(name, version string) string {
	return "pkgbase = " + name + "\n\tpkgver = " + version + "\n\tpkgrel = 1\n\tarch = any\n\npkgname = " + name + "\n"
}

func remoteFiles(name, version string) map[string]string {
	return map[string]string{"PKGBUILD": recipe(name, version), ".SRCINFO": info(name, version)}
}

// fromAUR is a package at version 1 that was taken over at a time in seconds.
func fromAUR(t testing.TB, name string, seconds int64, more map[string]string) *candidates.Package {
	files := map[string]string{"PKGBUILD": laidOut(name, "1"), ".SRCINFO": info(name, "1"), ".CI/config": "CI_PKGBUILD_SOURCE=aur\n"}
	for path, text := range more {
		files[path] = text
	}
	p := known(t, name, directory(t, files))
	if seconds > 0 {
		p.State.Timestamp = time.Unix(seconds, 0).UTC()
	}
	return p
}

// publish puts a version on the AUR: metadata and commit.
func publish(a *testenv.AUR, name, version string, seconds int64, files map[string]string) {
	maintainer := "ann"
	a.Set(testenv.AURPackage{Name: name, Version: version + "-1", Maintainer: &maintainer, CoMaintainers: []string{"bob"}, FirstSubmitted: 1, LastModified: seconds})
	if files != nil {
		a.Push(testenv.AURCommit{Pkgbase: name, Files: files, Time: seconds - 60, Subject: "upgpkg"})
	}
}

func TestANewVersionOfTheAURIsTakenOver(t *testing.T) {
	a := testenv.NewAUR(t)
	remote := remoteFiles("hello", "2")
	remote["hello.install"], remote[".CI/config"], remote["dir/link"] = "post_install() { :; }\n", "CI_PKGBUILD_SOURCE=custom\n", "symlink ../PKGBUILD"
	publish(a, "hello", "2", 2_000, remote)
	p := fromAUR(t, "hello", 1_000, map[string]string{".CI/prepare": "true\n", "old.patch": "x\n"})
	s := aurSource(t, a, func(o *candidates.AUROptions) {
		o.Style = func(path string) (pkgbuild.Style, error) {
			if path != "hello/PKGBUILD" {
				t.Errorf("asked for the style of %s", path)
			}
			return pkgbuild.Style{Indent: 2}, nil
		}
	})
	d, err := asked(t, s, p)
	if err != nil {
		t.Fatal(err)
	}
	want := pkgdir.Dir{
		"PKGBUILD": {Data: []byte(strings.Replace(recipe("hello", "2"), "    true", "  true", 1))}, ".SRCINFO": {Data: []byte(info("hello", "2"))},
		"hello.install": {Data: []byte("post_install() { :; }\n")}, "dir/link": {Kind: pkgdir.Link, Data: []byte("../PKGBUILD")},
		".CI/config": {Data: []byte("CI_PKGBUILD_SOURCE=aur\n")}, ".CI/prepare": {Data: []byte("true\n")},
	}
	if diff := cmp.Diff(want, d.Changed()); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if got := reasons(d); got != "aur: 1-1 → 2-1" {
		t.Errorf("got %s", got)
	}
	if d.State.Timestamp.Unix() != 2_000 || !slices.Equal(d.State.AURMaintainers, []string{"ann", "bob"}) {
		t.Errorf("state %+v", d.State)
	}
	if d.AUR == nil || d.AUR.Version != "2-1" || d.AURCommit == nil || d.AURCommit.ID != a.Heads()["hello"] || d.AURCommit.Subject != "upgpkg" {
		t.Errorf("%+v, %+v", d.AUR, d.AURCommit)
	}
	if !s.Taken().Equal(a.Modified()) || s.Warnings() != nil {
		t.Errorf("taken %s, %v", s.Taken(), s.Warnings())
	}
}

func TestWhoHoldsThePackageIsNotedAtEachLook(t *testing.T) {
	for name, c := range map[string]struct {
		before, after string
	}{
		"the first look":    {"", "1700000000+:ann,bob"},
		"the same accounts": {"1000:ann,bob", "1000:ann,bob"},
		"adopted":           {"1000+:carl", "1700000000:ann,bob"},
	} {
		t.Run(name, func(t *testing.T) {
			a := testenv.NewAUR(t)
			publish(a, "hello", "1", 2_000, nil)
			p := fromAUR(t, "hello", 2_000, nil)
			s, _, err := state.ParsePackageState("hello", []byte("CI_PKGBUILD_TIMESTAMP=2000\nCI_AUR_HELD_SINCE="+c.before+"\n"))
			if c.before == "" {
				s, _, err = state.ParsePackageState("hello", []byte("CI_PKGBUILD_TIMESTAMP=2000\n"))
			}
			if err != nil {
				t.Fatal(err)
			}
			p.State = s
			d, err := asked(t, aurSource(t, a, nil), p)
			if err != nil || d.Changed() != nil {
				t.Fatalf("%v, %s", err, reasons(d))
			}
			if got, want := string(d.State.Bytes()), "CI_PKGBUILD_TIMESTAMP=2000\nCI_AUR_HELD_SINCE="+c.after+"\n"; got != want {
				t.Errorf("state %q, want %q", got, want)
			}
		})
	}
}

func TestWhatIsNotNewerIsNotFetched(t *testing.T) {
	for name, c := range map[string]struct{ own, fallback, modified int64 }{
		"own timestamp":                 {2_000, 0, 2_000},
		"no timestamp but the fallback": {0, 2_500, 2_000},
		"own before fallback":           {3_000, 1_000, 2_000},
	} {
		t.Run(name, func(t *testing.T) {
			a := testenv.NewAUR(t)
			publish(a, "hello", "2", c.modified, nil)
			p := fromAUR(t, "hello", c.own, nil)
			d, err := asked(t, aurSource(t, a, func(o *candidates.AUROptions) { o.Fallback = time.Unix(c.fallback, 0) }), p)
			if err != nil || d.Changed() != nil || reasons(d) != "" {
				t.Errorf("%v: %s", err, reasons(d))
			}
			if !d.State.Timestamp.Equal(p.State.Timestamp) && c.own == 0 {
				t.Errorf("timestamp %s", d.State.Timestamp)
			}
			if n := len(a.Git.Requests()); n != 0 {
				t.Errorf("%d requests to git", n)
			}
		})
	}
}

func TestAnIdenticalUpdateOnlyMovesTheTimestamp(t *testing.T) {
	a := testenv.NewAUR(t)
	publish(a, "hello", "1", 2_000, remoteFiles("hello", "1"))
	d, err := asked(t, aurSource(t, a, nil), fromAUR(t, "hello", 1_000, nil))
	if err != nil || d.Changed() != nil || len(d.Reasons) != 0 || d.State.Timestamp.Unix() != 2_000 {
		t.Errorf("%v: %s, %s", err, reasons(d), d.State.Timestamp)
	}
}

func TestAChangeWithoutANewVersionNamesItsFiles(t *testing.T) {
	a := testenv.NewAUR(t)
	remote := remoteFiles("hello", "1")
	for i := range 5 {
		remote[fmt.Sprintf("%d.patch", i)] = "x"
	}
	publish(a, "hello", "1", 2_000, remote)
	d, err := asked(t, aurSource(t, a, nil), fromAUR(t, "hello", 1_000, nil))
	want := fmt.Sprintf("aur: commit %.12s changes 0.patch, 1.patch, 2.patch, 3.patch, …", a.Heads()["hello"])
	if err != nil || reasons(d) != want {
		t.Errorf("%v: %s, want %s", err, reasons(d), want)
	}
}

func TestPackagesThatWentAwayAreReported(t *testing.T) {
	a := testenv.NewAUR(t)
	flagged := int64(1_600_000_000)
	maintainer := "ann"
	a.Set(testenv.AURPackage{Name: "merged", PackageBase: "suite", Version: "2-1", LastModified: 9_000, Maintainer: &maintainer},
		testenv.AURPackage{Name: "stale", Version: "1-1", LastModified: 500, OutOfDate: &flagged, Maintainer: &maintainer})
	for name, want := range map[string]string{
		"gone":   "note aur: the AUR has no pkgbase gone any more: look for its new place, keep it by hand (CI_PKGBUILD_SOURCE=custom) or drop it",
		"merged": "note aur: the AUR has no pkgbase merged any more, it is part of suite now: follow it or drop it",
		"stale":  "note aur: flagged out of date on the AUR since 2020-09-13",
	} {
		d, err := asked(t, aurSource(t, a, nil), fromAUR(t, name, 1_000, nil))
		if err != nil || reasons(d) != want || d.Changed() != nil || d.State.Timestamp.Unix() != 1_000 && !d.State.Timestamp.IsZero() {
			t.Errorf("%s: %v: %s", name, err, reasons(d))
		}
	}
}

func TestOneFailedFetchHidesNoUpdate(t *testing.T) {
	a := testenv.NewAUR(t)
	publish(a, "good", "2", 2_000, remoteFiles("good", "2"))
	publish(a, "hostile", "2", 3_000, map[string]string{"PKGBUILD": "x", ".SRCINFO": "x", "passwd": "symlink ../../../etc/passwd"})
	publish(a, "empty", "2", 4_000, map[string]string{"README": "x"})
	publish(a, "linked", "2", 5_000, map[string]string{".SRCINFO": info("linked", "2"), "PKGBUILD": "symlink .SRCINFO"})
	publish(a, "missing", "2", 2_500, nil)
	s := aurSource(t, a, nil)
	var list []*candidates.Package
	for _, name := range []string{"good", "hostile", "empty", "linked", "missing"} {
		list = append(list, fromAUR(t, name, 1_000, nil))
	}
	outcomes, sources, err := candidates.Run(t.Context(), []candidates.Finder{s}, list, 4, nil)
	if err != nil || sources[0].Err != nil {
		t.Fatal(err, sources)
	}
	want := map[string]string{
		"good": "", "hostile": `"passwd" is a link that points out of the directory`, "empty": "there is no PKGBUILD",
		"linked": "PKGBUILD is a link", "missing": "it has no refs/heads/missing",
	}
	for _, o := range outcomes {
		name := o.Draft.Package.Pkgbase
		text := want[name]
		switch {
		case text == "" && (len(o.Faults) != 0 || o.Draft.State.Timestamp.Unix() != 2_000):
			t.Errorf("%s: %v", name, o.Faults)
		case text != "" && (len(o.Faults) != 1 || !strings.Contains(o.Faults[0].Err.Error(), text) || !o.Draft.State.Timestamp.IsZero() && o.Draft.State.Timestamp.Unix() != 1_000 || o.Draft.Changed() != nil):
			t.Errorf("%s: %v, %+v", name, o.Faults, o.Draft.State)
		}
	}
	// What .ci/aur-state may say then lets the oldest of the failed ones be found again.
	if got := s.Taken().Unix(); got != 2_499 {
		t.Errorf("taken %d", got)
	}
}

func TestAPKGBUILDThatCannotBeFormattedIsKept(t *testing.T) {
	for name, text := range map[string]string{
		"no shell":  "pkgver=2\nif true; then (\n",
		"5 MB":      "pkgver=2\n" + strings.Repeat("# padding\n", 5<<20/10),
		"deep":      "pkgver=2\n" + strings.Repeat("$(", 100_000),
		"NUL bytes": "pkgver=2\x00\n(\n",
	} {
		t.Run(name, func(t *testing.T) {
			a := testenv.NewAUR(t)
			publish(a, "hello", "2", 2_000, map[string]string{"PKGBUILD": text, ".SRCINFO": info("hello", "2")})
			d, err := asked(t, aurSource(t, a, nil), fromAUR(t, "hello", 1_000, nil))
			if err != nil {
				t.Fatal(err)
			}
			if got := string(d.Changed()["PKGBUILD"].Data); got != text {
				t.Errorf("%d bytes, want %d", len(got), len(text))
			}
			if got := reasons(d); name != "5 MB" && !strings.HasPrefix(got, "aur: 1-1 → 2-1\nnote aur: the PKGBUILD is kept as it is, since it cannot be formatted: ") {
				t.Errorf("got %.200s", got)
			}
		})
	}
}

func TestAMirrorThatIsBehindLosesNoUpdate(t *testing.T) {
	older := func(a *testenv.AUR) {
		publish(a, "hello", "1", 900, remoteFiles("hello", "1"))
		publish(a, "hello", "2", 2_000, remoteFiles("hello", "2"))
	}
	same := func(a *testenv.AUR) { // a change without a new version
		publish(a, "hello", "1", 900, remoteFiles("hello", "1"))
		changed := remoteFiles("hello", "1")
		changed["fix.patch"] = "x"
		publish(a, "hello", "1", 2_000, changed)
	}
	for name, prepare := range map[string]func(*testenv.AUR){"by a version": older, "by a change": same} {
		t.Run(name, func(t *testing.T) {
			a := testenv.NewAUR(t)
			prepare(a)
			a.Direct("hello")
			a.Lag("hello")
			d, err := asked(t, aurSource(t, a, nil), fromAUR(t, "hello", 1_000, nil))
			if err != nil || d.Changed() == nil || d.State.Timestamp.Unix() != 2_000 {
				t.Errorf("from the AUR itself: %v: %s", err, reasons(d))
			}
			a = testenv.NewAUR(t)
			prepare(a)
			a.Lag("hello")
			s := aurSource(t, a, nil)
			d, err = asked(t, s, fromAUR(t, "hello", 1_000, nil))
			if err == nil || !strings.Contains(err.Error(), "the mirror does not have version") || s.Taken().Unix() != 1_999 {
				t.Errorf("without the AUR itself: %v: %s", err, reasons(d))
			}
		})
	}
}

func TestAnOldCommitThatWasPushedLaterIsTakenOver(t *testing.T) {
	a := testenv.NewAUR(t)
	publish(a, "hello", "2", 2_000, nil)
	a.Push(testenv.AURCommit{Pkgbase: "hello", Files: remoteFiles("hello", "2"), Time: 500})
	a.Direct("hello")
	d, err := asked(t, aurSource(t, a, nil), fromAUR(t, "hello", 1_000, nil))
	if err != nil || reasons(d) != "aur: 1-1 → 2-1" {
		t.Errorf("%v: %s", err, reasons(d))
	}
}

func TestTheAURThatIsDownDisablesOnlyItself(t *testing.T) {
	a := testenv.NewAUR(t)
	a.Stop()
	s := aurSource(t, a, nil)
	outcomes, sources, err := candidates.Run(t.Context(), []candidates.Finder{s}, []*candidates.Package{fromAUR(t, "hello", 1_000, nil)}, 2, nil)
	if err != nil || sources[0].Err == nil || !strings.Contains(sources[0].Err.Error(), "archive") || len(outcomes[0].Faults) != 0 {
		t.Errorf("%v, %v, %v", err, sources, outcomes)
	}
	if !s.Taken().IsZero() || s.Warnings() != nil {
		t.Errorf("taken %s", s.Taken())
	}
}

func TestAnArchiveThatCannotBeUsedIsAWarning(t *testing.T) {
	a := testenv.NewAUR(t)
	publish(a, "hello", "2", 2_000, remoteFiles("hello", "2"))
	a.Fail(testenv.GitFault{Fault: testenv.Fault{Path: ".gz", Status: 404}})
	s := aurSource(t, a, nil)
	d, err := asked(t, s, fromAUR(t, "hello", 1_000, nil))
	if err != nil || reasons(d) != "aur: 1-1 → 2-1" {
		t.Errorf("%v: %s", err, reasons(d))
	}
	if w := s.Warnings(); len(w) != 1 || !strings.Contains(w[0], "404") || !strings.HasSuffix(w[0], "; its RPC interface was asked instead") {
		t.Errorf("got %q", w)
	}
}

func TestErrorsOfTheRepositoryAreKept(t *testing.T) {
	a := testenv.NewAUR(t)
	publish(a, "hello", "2", 2_000, remoteFiles("hello", "2"))
	p := fromAUR(t, "hello", 1_000, nil)
	broken := errors.New("a broken .editorconfig")
	s := aurSource(t, a, func(o *candidates.AUROptions) {
		o.Style = func(string) (pkgbuild.Style, error) { return pkgbuild.Style{}, broken }
	})
	if d, err := asked(t, s, p); !errors.Is(err, broken) || d.Changed() != nil {
		t.Errorf("got %v", err)
	}
}

func TestOnlyPackagesOfTheAURAreWanted(t *testing.T) {
	for kind, want := range map[state.SourceKind]bool{state.SourceAUR: true, state.SourceCustom: false, state.SourceGit: false, state.SourceUnset: false} {
		p := &candidates.Package{Config: &state.PackageConfig{Source: state.Source{Kind: kind}}}
		if got := candidates.NewAUR(candidates.AUROptions{}).Wants(p); got != want {
			t.Errorf("%q: %v", kind, got)
		}
	}
}

func Benchmark40ChangedPackagesOfTheAUR(b *testing.B) {
	a := testenv.NewAUR(b)
	var list []*candidates.Package
	var commits []testenv.AURCommit
	for i := range 40 {
		name := fmt.Sprintf("p%d", i)
		list = append(list, fromAUR(b, name, 1_000, nil))
		commits = append(commits, testenv.AURCommit{Pkgbase: name, Files: remoteFiles(name, "2"), Time: 1_940})
		publish(a, name, "2", 2_000, nil)
	}
	a.Push(commits...)
	for b.Loop() {
		outcomes, _, err := candidates.Run(b.Context(), []candidates.Finder{aurSource(b, a, nil)}, list, 8, nil)
		if err != nil || len(outcomes[39].Draft.Reasons) != 1 {
			b.Fatal(err, outcomes[39])
		}
	}
}
