package state_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/state"
	"github.com/google/go-cmp/cmp"
)

const (
	commitA = "0123456789abcdef0123456789abcdef01234567"
	commitB = "fedcba9876543210fedcba9876543210fedcba98"
)

func parseState(t *testing.T, data string) *state.PackageState {
	t.Helper()
	s, problems, err := state.ParsePackageState("pkg", []byte(data))
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v, %v", problems, err)
	}
	return s
}

func TestPackageStateIsReadAndWritten(t *testing.T) {
	const file = "CI_GIT_COMMIT=" + commitA + "\nCI_AUR_MAINTAINERS=one, two\nCI_PKGBUILD_TIMESTAMP=1787434437\n"
	s := parseState(t, file)
	if s.GitCommit != commitA || !slices.Equal(s.AURMaintainers, []string{"one", "two"}) || !s.Timestamp.Equal(time.Unix(1787434437, 0)) {
		t.Errorf("read %+v", s)
	}
	if got := string(s.Bytes()); got != file {
		t.Errorf("unchanged, written as %q", got)
	}
	s.GitCommit = commitB
	s.Timestamp = time.Time{}
	if got, want := string(s.Bytes()), "CI_GIT_COMMIT="+commitB+"\nCI_AUR_MAINTAINERS=one, two\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := string(s.Bytes()), "CI_GIT_COMMIT="+commitB+"\nCI_AUR_MAINTAINERS=one, two\n"; got != want {
		t.Errorf("a second time: got %q, want %q", got, want)
	}
}

func TestWhoHeldAPackageIsRememberedSinceTheFirstLook(t *testing.T) {
	first, later := time.Unix(1000, 5), time.Unix(2000, 0)
	var s state.PackageState
	s.Held = s.Held.Seen([]string{"two", "one"}, first)
	s.Held = s.Held.Seen([]string{"one", "two"}, later)
	if got, want := string(s.Bytes()), "CI_AUR_HELD_SINCE=1000+:one,two\n"; got != want {
		t.Fatalf("seen twice: %q, want %q", got, want)
	}
	again := parseState(t, string(s.Bytes()))
	if !again.Held.Longer || again.Held.Since.Unix() != 1000 || !slices.Equal(again.Held.Accounts, []string{"one", "two"}) {
		t.Errorf("read again: %+v", again.Held)
	}
	again.Held = again.Held.Seen([]string{"mallory"}, later)
	if got, want := string(again.Bytes()), "CI_AUR_HELD_SINCE=2000:mallory\n"; got != want {
		t.Errorf("adopted: %q, want %q", got, want)
	}
	again.Held = again.Held.Seen(nil, time.Unix(3000, 0))
	if got, want := string(again.Bytes()), "CI_AUR_HELD_SINCE=3000:\n"; got != want {
		t.Errorf("orphaned: %q, want %q", got, want)
	}
	if _, _, err := state.ParsePackageState("pkg", []byte("CI_AUR_HELD_SINCE=yesterday:one\n")); err == nil || !strings.Contains(err.Error(), "seconds since 1970") {
		t.Errorf("no time: %v", err)
	}
}

func TestPackageStateOfANewPackage(t *testing.T) {
	var s state.PackageState
	if got := s.Bytes(); len(got) != 0 {
		t.Errorf("nothing known, yet %q", got)
	}
	s.AURMaintainers = []string{"one", "two"}
	s.Timestamp = time.Unix(5, 999)
	s.GitCommit = commitA
	want := "CI_GIT_COMMIT=" + commitA + "\nCI_AUR_MAINTAINERS=one,two\nCI_PKGBUILD_TIMESTAMP=5\n"
	if got := string(s.Bytes()); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if again := parseState(t, want); again.GitCommit != commitA || !slices.Equal(again.AURMaintainers, s.AURMaintainers) || again.Timestamp.Unix() != 5 {
		t.Errorf("read again %+v", again)
	}
}

func TestPackageStateKeepsWhatItDoesNotKnow(t *testing.T) {
	const file = "# by hand\r\nCI_FUTURE=1\r\nCI_GIT_COMMIT='" + commitA + "'\r\n"
	s, problems, err := state.ParsePackageState("pkg", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"pkg:2: CI_FUTURE: unknown key"}, messages(problems)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.GitCommit = commitB
	if got, want := string(s.Bytes()), strings.Replace(file, commitA, commitB, 1); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPackageStateRefusesWrongValues(t *testing.T) {
	_, _, err := state.ParsePackageState("pkg", []byte("CI_GIT_COMMIT=HEAD\nCI_PKGBUILD_TIMESTAMP=yesterday\n"))
	if err == nil {
		t.Fatal("no error")
	}
	want := "pkg:1: CI_GIT_COMMIT: \"HEAD\" must be the full ID of a commit\npkg:2: CI_PKGBUILD_TIMESTAMP: \"yesterday\" must be a time in seconds since 1970"
	if err.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", err, want)
	}
	for _, bad := range []string{"-1", "99999999999999999999", "253402300800", "1.5"} {
		if _, _, err := state.ParsePackageState("pkg", []byte("CI_PKGBUILD_TIMESTAMP="+bad)); err == nil {
			t.Errorf("the time %s is no error", bad)
		}
	}
}

func TestCorpusStateSurvivesAReadAndAWrite(t *testing.T) {
	dir := testenv.CorpusState(t)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if entry.Name() == ".version-state" {
			s, problems := state.ParseVersionState(".version-state", data)
			if len(problems) > 0 || !bytes.Equal(s.Bytes(), data) {
				t.Errorf(".version-state does not survive: %v", problems)
			}
			t.Logf(".version-state with %d lines", s.Len())
			continue
		}
		files++
		s, problems, err := state.ParsePackageState(entry.Name(), data)
		if err != nil || len(problems) > 0 {
			t.Errorf("%v, %v", problems, err)
			continue
		}
		if s.GitCommit == "" || !bytes.Equal(s.Bytes(), data) {
			t.Errorf("%s does not survive: %q", entry.Name(), s.Bytes())
		}
	}
	t.Logf("%d files of packages", files)
}

func TestVersionStateFindsVersions(t *testing.T) {
	s, problems := state.ParseVersionState("v", []byte("b:1:2.0-1\na:1.0-1\r\n\nb:9-1\nbroken\n../x:1-1\nc:\nd:1 0-1\na:1.0-1\n"))
	want := []string{
		`v:5: "broken" is not PKGBASE:VERSION and is ignored`, `v:6: "../x:1-1" is not PKGBASE:VERSION and is ignored`,
		`v:7: "c:" is not PKGBASE:VERSION and is ignored`, `v:8: "d:1 0-1" is not PKGBASE:VERSION and is ignored`,
	}
	if diff := cmp.Diff(want, messages(problems)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := s.Newest("b"); got != "1:2.0-1" {
		t.Errorf("the newest b is %s: an epoch wins", got)
	}
	if got := s.Newest("nope"); got != "" {
		t.Errorf("what nobody has is %q", got)
	}
	if got, want := string(s.Bytes()), "a:1.0-1\na:1.0-1\nb:1:2.0-1\nb:9-1\n"; got != want || s.Len() != 4 {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestVersionStateIsBuiltFromDatabases(t *testing.T) {
	var s state.VersionState
	for _, v := range []struct {
		pkgbase, version string
		ok               bool
	}{{"86box", "6.0-1", true}, {"86box-git", "6-1", true}, {"86box", "6.0-1", true}, {"86box", "5-1", true}, {"a b", "1-1", false}, {"a", "", false}, {"a", "1\n-1", false}} {
		if got := s.Add(v.pkgbase, v.version); got != v.ok {
			t.Errorf("Add(%q, %q) = %v", v.pkgbase, v.version, got)
		}
	}
	if got, want := string(s.Bytes()), "86box-git:6-1\n86box:5-1\n86box:6.0-1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Today's pipelines compare with comm(1), after sort(1): the same packages must come out.
func TestChangedSinceAgreesWithSortAndComm(t *testing.T) {
	testenv.Need(t, "comm", "sort")
	older, _ := state.ParseVersionState("old", []byte("gone:1-1\nsame:1-1\nnewer:1-1\ndouble:1-1\ndouble:2-1\nfewer:1-1\nfewer:2-1\nepoch:1:1-1\n"))
	newer, _ := state.ParseVersionState("new", []byte("same:1-1\nnewer:2-1\ndouble:2-1\ndouble:3-1\nfewer:2-1\nepoch:2:1-1\nfresh:1-1\n"))
	dir := t.TempDir()
	for name, s := range map[string]*state.VersionState{"old": older, "new": newer} {
		if err := os.WriteFile(filepath.Join(dir, name), s.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sh", "-c", "LC_ALL=C sort -c old && LC_ALL=C sort -c new && LC_ALL=C comm -13 old new | cut -d: -f1 | sort -u")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("sort and comm: %v", err)
	}
	if diff := cmp.Diff(strings.Fields(string(out)), newer.ChangedSince(older)); diff != "" {
		t.Errorf("(-comm +ours):\n%s", diff)
	}
	if got := len(newer.ChangedSince(nil)); got != 6 {
		t.Errorf("since nothing, %d packages have changed", got)
	}
	if got := newer.ChangedSince(newer); len(got) != 0 {
		t.Errorf("since now, %q have changed", got)
	}
}

func BenchmarkVersionState(b *testing.B) {
	data, err := os.ReadFile(filepath.Join(testenv.CorpusState(b), ".version-state"))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("parse", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			state.ParseVersionState("v", data)
		}
	})
	s, _ := state.ParseVersionState("v", data)
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Bytes()
		}
	})
	b.Run("compare", func(b *testing.B) {
		other, _ := state.ParseVersionState("v", data)
		for b.Loop() {
			s.ChangedSince(other)
		}
	})
}

func FuzzParsePackageState(f *testing.F) {
	f.Add([]byte("CI_GIT_COMMIT=" + commitA + "\nCI_AUR_MAINTAINERS=a,b\nCI_PKGBUILD_TIMESTAMP=12\nCI_AUR_HELD_SINCE=12+:a,b\n"))
	f.Add([]byte("X=1\r\n# c\r\nCI_PKGBUILD_TIMESTAMP=0012"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, _, err := state.ParsePackageState("p", data)
		if err != nil {
			return
		}
		if !bytes.Equal(s.Bytes(), data) {
			t.Fatalf("%q is written %q", data, s.Bytes())
		}
		s.GitCommit = commitB
		again, _, err := state.ParsePackageState("p", s.Bytes())
		if err != nil || again.GitCommit != commitB || !again.Timestamp.Equal(s.Timestamp) || !slices.Equal(again.AURMaintainers, s.AURMaintainers) {
			t.Fatalf("%q changed is %q: %+v, %v", data, s.Bytes(), again, err)
		}
	})
}

func FuzzParseVersionState(f *testing.F) {
	f.Add([]byte("a:1-1\nb:1:2-1\n"))
	f.Add([]byte("b:1-1\na:1-1\na:1-1\nnoise\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, _ := state.ParseVersionState("v", data)
		written := s.Bytes()
		again, problems := state.ParseVersionState("v", written)
		if len(problems) > 0 || !bytes.Equal(again.Bytes(), written) || again.Len() != s.Len() {
			t.Fatalf("%q is written %q, then %q, %v", data, written, again.Bytes(), problems)
		}
		if changed := again.ChangedSince(s); len(changed) > 0 {
			t.Fatalf("%q differ", changed)
		}
	})
}
