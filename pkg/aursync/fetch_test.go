package aursync

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/pkgdir"
)

func files(version string) map[string]string {
	return map[string]string{
		"PKGBUILD": "pkgver=" + version + "\n", ".SRCINFO": "pkgbase = x\n", "patches/a.patch": "diff\n", "link": "symlink patches/a.patch",
	}
}

func fetchOne(t *testing.T, c *Client, name string) *Fetched {
	t.Helper()
	got, err := c.Fetch(ctx, []string{name})
	if err != nil {
		t.Fatal(err)
	}
	return got[name]
}

func TestFetchBringsFilesAndCommitInOneFetch(t *testing.T) {
	a := testenv.NewAUR(t)
	var names []string
	for i := range 40 {
		names = append(names, fmt.Sprintf("p%d", i))
	}
	names = append(names, "c++@1.2", "c++", "_x.y-z+")
	var commits []testenv.AURCommit
	for i, name := range names {
		commits = append(commits,
			testenv.AURCommit{Pkgbase: name, Files: files("1"), Time: 1_600_000_000},
			testenv.AURCommit{Pkgbase: name, Files: files(fmt.Sprint(i)), Author: "Eve\t\x1b[31m <eve@example.org>", Subject: "upd: " + name, Time: 1_700_000_000 + int64(i)})
	}
	a.Push(commits...)
	heads := a.Heads()
	a.Git.Forget()
	c := newClient(t, a, nil)
	got, err := c.Fetch(ctx, names)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		f := got[name]
		if f == nil || f.Err != nil {
			t.Fatalf("%s: %v", name, f)
		}
		want := Commit{ID: heads[name], AuthorName: "Eve[31m", AuthorEmail: "eve@example.org", Time: at(1_700_000_000 + int64(i)), Subject: "upd: " + name}
		if f.Commit != want {
			t.Errorf("commit of %s:\n%+v, want\n%+v", name, f.Commit, want)
		}
		dir := pkgdir.Dir{
			"PKGBUILD": {Data: []byte(fmt.Sprintf("pkgver=%d\n", i))}, ".SRCINFO": {Data: []byte("pkgbase = x\n")},
			"patches/a.patch": {Data: []byte("diff\n")}, "link": {Kind: pkgdir.Link, Data: []byte("patches/a.patch")},
		}
		if diff := cmp.Diff(dir, f.Files); diff != "" {
			t.Errorf("files of %s:\n%s", name, diff)
		}
	}
	// One question by us, then git's own: capabilities, refs, pack.
	if n := len(a.Git.Requests()); n > 4 {
		t.Errorf("%d requests for %d packages", n, len(names))
	}
	if made, _ := a.Git.Connections(); made > 2 {
		t.Errorf("%d connections", made)
	}
	a.Push(testenv.AURCommit{Pkgbase: "p0", Files: files("new"), Time: 1_800_000_000})
	if f := fetchOne(t, c, "p0"); f.Err != nil || string(f.Files["PKGBUILD"].Data) != "pkgver=new\n" {
		t.Errorf("again: %v", f)
	}
}

func TestOnePackageThatCannotBeFetchedHidesNoOther(t *testing.T) {
	a := testenv.NewAUR(t)
	a.Push(testenv.AURCommit{Pkgbase: "good", Files: files("1"), Time: 1}, testenv.AURCommit{Pkgbase: "only-direct", Files: files("2"), Time: 1})
	a.Push(testenv.AURCommit{Pkgbase: "outside", Files: map[string]string{"PKGBUILD": "x", "evil": "symlink ../../etc/passwd"}, Time: 1})
	a.Push(testenv.AURCommit{Pkgbase: "absolute", Files: map[string]string{"PKGBUILD": "x", "evil": "symlink /etc/passwd"}, Time: 1})
	a.Direct("only-direct")
	a.Lag("only-direct")
	a.PushTree("dots", "../x", "evil")
	a.PushTree("dotgit", ".git", "evil")
	a.PushTree("dotGIT", ".GIT", "evil")
	a.PushTree("control", "a\nb", "evil")
	a.PushFolder("dotgit-folder", ".git")
	a.PushFolder("dots-folder", "..")
	c := newClient(t, a, nil)
	want := map[string]string{
		"good": "", "only-direct": "",
		"gone":          "it has no refs/heads/gone: not found; and from the AUR: git fetch: not found",
		"outside":       `"evil" is a link that points out of the directory`,
		"absolute":      `"evil" is a link that points out of the directory`,
		"dots":          `"../x" leads out of the directory`,
		"dotgit":        `".git" would be a file of git's own`,
		"dotGIT":        `".GIT" would be a file of git's own`,
		"dotgit-folder": `".git" is no folder`,
		"dots-folder":   `".." is no folder`,
		"control":       `"a\nb" has a control character`,
		"a b":           `"a b" is no name of a package`,
		"-x":            `"-x" is no name of a package`,
		"a:b":           `"a:b" is no name of a package`,
		"x.lock":        "is no name of a branch",
		"x..y":          "is no name of a branch",
	}
	var names []string
	for name := range want {
		names = append(names, name)
	}
	got, err := c.Fetch(ctx, names)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range want {
		f := got[name]
		switch {
		case f == nil:
			t.Errorf("%s: no answer", name)
		case text == "" && (f.Err != nil || len(f.Files) != 4):
			t.Errorf("%s: %v", name, f.Err)
		case text != "" && (f.Err == nil || !strings.Contains(f.Err.Error(), text) || f.Files != nil):
			t.Errorf("%s: got %v, want %s", name, f.Err, text)
		}
	}
}

func TestFetchTriesTwiceAndThenTheAURForAFew(t *testing.T) {
	a := testenv.NewAUR(t)
	for _, name := range []string{"a", "b", "c"} {
		a.Push(testenv.AURCommit{Pkgbase: name, Files: files(name), Time: 1})
		a.Direct(name)
	}
	fails := func(times int) testenv.GitFault {
		return testenv.GitFault{Fault: testenv.Fault{Path: "/mirror.git", Status: 502, Times: times}}
	}
	t.Run("once", func(t *testing.T) {
		a.Git.Fail(fails(3)) // all the short tries of the first one
		if f := fetchOne(t, newClient(t, a, nil), "a"); f.Err != nil {
			t.Error(f.Err)
		}
	})
	t.Run("for good, few", func(t *testing.T) {
		a.Git.Fail(fails(1000))
		got, err := newClient(t, a, nil).Fetch(ctx, []string{"a", "b"})
		if err != nil || got["a"].Err != nil || string(got["b"].Files["PKGBUILD"].Data) != "pkgver=b\n" {
			t.Errorf("%v, %v, %v", got["a"], got["b"], err)
		}
	})
	t.Run("for good, many", func(t *testing.T) {
		got, err := newClient(t, a, func(o *Options) { o.Direct = 2 }).Fetch(ctx, []string{"a", "b", "c"})
		if err != nil {
			t.Fatal(err)
		}
		for name, f := range got {
			if f.Err == nil || !strings.Contains(f.Err.Error(), "fetch from the mirror of the AUR: "+a.MirrorURL+": the remote cannot be reached: HTTP status 502") {
				t.Errorf("%s: %v", name, f.Err)
			}
		}
	})
	t.Run("not at all", func(t *testing.T) {
		f := fetchOne(t, newClient(t, a, func(o *Options) { o.Direct = -1 }), "a")
		if f.Err == nil || strings.Contains(f.Err.Error(), "and from the AUR") {
			t.Errorf("got %v", f.Err)
		}
	})
	t.Run("directly", func(t *testing.T) {
		got, err := newClient(t, a, func(o *Options) { o.Direct = 1 }).FetchDirect(ctx, []string{"a", "b"})
		if err != nil || got["a"].Err != nil || got["b"].Err == nil {
			t.Errorf("%v, %v, %v", got["a"], got["b"], err)
		}
	})
}

func TestFetchFromAMirrorThatIsNoWebServer(t *testing.T) {
	a := testenv.NewAUR(t)
	a.Push(testenv.AURCommit{Pkgbase: "a", Files: files("1"), Time: 1})
	for _, url := range []string{testenv.NewGitDaemon(t, a.Git.Dir).URL + "/mirror.git", "file://" + a.Git.Dir + "/mirror.git"} {
		got, err := newClient(t, a, func(o *Options) { o.MirrorURL = url }).Fetch(ctx, []string{"a", "gone"})
		if err != nil || got["a"].Err != nil || got["gone"].Err == nil {
			t.Errorf("%s: %v, %v, %v", url, got["a"], got["gone"], err)
		}
	}
	if f := fetchOne(t, newClient(t, a, func(o *Options) { o.MirrorURL = "ext::sh -c true"; o.Direct = -1 }), "a"); f.Err == nil || !strings.Contains(f.Err.Error(), "not asked") {
		t.Errorf("got %v", f.Err)
	}
}

func TestADamagedRepositoryIsMadeAnew(t *testing.T) {
	a := testenv.NewAUR(t)
	a.Push(testenv.AURCommit{Pkgbase: "a", Files: files("1"), Time: 1})
	dir := filepath.Join(t.TempDir(), "aur.git")
	c := newClient(t, a, func(o *Options) { o.GitDir = dir })
	if f := fetchOne(t, c, "a"); f.Err != nil {
		t.Fatal(f.Err)
	}
	packs, err := filepath.Glob(filepath.Join(dir, "objects/pack/*.pack"))
	if err != nil || len(packs) != 1 {
		t.Fatalf("%v, %v", packs, err)
	}
	if err := os.Chmod(packs[0], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(packs[0], 20); err != nil {
		t.Fatal(err)
	}
	a.Push(testenv.AURCommit{Pkgbase: "a", Files: files("2"), Time: 2})
	if f := fetchOne(t, c, "a"); f.Err != nil || string(f.Files["PKGBUILD"].Data) != "pkgver=2\n" {
		t.Errorf("got %v", f)
	}
}

func TestFetchEndsWithItsContextAndNeedsAFolder(t *testing.T) {
	a := testenv.NewAUR(t)
	a.Git.Fail(testenv.GitFault{Hang: true, Fault: testenv.Fault{Times: 100}})
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(ctx)
	time.AfterFunc(50*time.Millisecond, func() { cancel(stop) })
	if _, err := newClient(t, a, nil).Fetch(ctx, []string{"a"}); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	if _, err := newClient(t, a, func(o *Options) { o.GitDir = "" }).Fetch(ctx, []string{"a"}); err == nil {
		t.Error("no folder was needed")
	}
	if got, err := newClient(t, a, nil).Fetch(ctx, nil); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestHugeTreesAreRefusedBeforeTheyAreRead(t *testing.T) {
	a := testenv.NewAUR(t)
	many := map[string]string{"PKGBUILD": "x"}
	for i := range pkgdir.MaxFiles {
		many[fmt.Sprintf("f%d", i)] = ""
	}
	a.Push(testenv.AURCommit{Pkgbase: "many", Files: many, Time: 1})
	deep := map[string]string{"PKGBUILD": "x", strings.Repeat("d/", 20) + "f": "x"}
	a.Push(testenv.AURCommit{Pkgbase: "deep", Files: deep, Time: 1})
	big := map[string]string{"PKGBUILD": "x", "a": strings.Repeat("a", 33<<20), "b": strings.Repeat("b", 33<<20)}
	a.Push(testenv.AURCommit{Pkgbase: "big", Files: big, Time: 1})
	large := map[string]string{"PKGBUILD": strings.Repeat("# 5 MB\n", 5<<20/7)}
	a.Push(testenv.AURCommit{Pkgbase: "large", Files: large, Time: 1})
	got, err := newClient(t, a, nil).Fetch(ctx, []string{"many", "deep", "big", "large"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"many": "is one file too many", "deep": "more folders than a package may have", "big": `"b": object `} {
		if f := got[name]; f.Err == nil || !strings.Contains(f.Err.Error(), want) {
			t.Errorf("%s: got %v", name, f.Err)
		}
	}
	if f := got["large"]; f.Err != nil || len(f.Files["PKGBUILD"].Data) != len(large["PKGBUILD"]) {
		t.Errorf("a PKGBUILD of 5 MB: %v", f.Err)
	}
}

func TestOddCommitsAreRead(t *testing.T) {
	for text, want := range map[string]Commit{
		"":     {},
		"tree": {},
		"tree 1\nauthor Ann <a@b> 12 +0000\ncommitter Bob <b@c> 34 +0100\ngpgsig x\n author Eve <e@f> 1 +0000\n\n\nfix: it\n\nbody": {AuthorName: "Ann", AuthorEmail: "a@b", Time: at(34), Subject: "fix: it"},
		"tree 1\nauthor <>\ncommitter x < y > -5 z\n\n" + strings.Repeat("ä", 200):                                                  {Subject: strings.Repeat("ä", 150) + "…"},
		"tree 1\nauthor \xff\x00A <m> 99999999999999999999 +0000\ncommitter A <m> 99999999999999999999 +0000\n\n\x1b]0;x\a":         {AuthorName: "A", AuthorEmail: "m", Subject: "]0;x"},
	} {
		if got, _ := parseCommit("", []byte(text)); got != want {
			t.Errorf("%q:\n%+v, want\n%+v", text, got, want)
		}
	}
}

func BenchmarkFetch40Packages(b *testing.B) {
	a := testenv.NewAUR(b)
	var names []string
	var commits []testenv.AURCommit
	for i := range 40 {
		names = append(names, fmt.Sprintf("p%d", i))
		commits = append(commits, testenv.AURCommit{Pkgbase: names[i], Files: files(fmt.Sprint(i)), Time: 1_700_000_000})
	}
	a.Push(commits...)
	began := cpu()
	for n := 1; b.Loop(); n++ {
		got, err := newClient(b, a, nil).Fetch(ctx, names)
		if err != nil || got["p39"].Err != nil {
			b.Fatal(got["p39"], err)
		}
		b.ReportMetric(float64((cpu()-began)/time.Millisecond)/float64(n), "own-cpu-ms/op")
	}
}
