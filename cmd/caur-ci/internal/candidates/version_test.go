package candidates_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// edits holds a directory a case: PKGBUILD, .SRCINFO and edit.json go in; the directory want comes out, or an error that
// has the text of the file error in it. UPDATE_EDITS=1 writes want anew: read the difference before you commit it.
var edits = filepath.Join("..", "..", "..", "..", "testdata", "edits")

// makepkg's own functions, on recipes of our own, whose commands are harmless. Loading them takes most of the time.
const printSrcinfo = `shopt -s extglob
LIBRARY=/usr/share/makepkg CARCH=x86_64
source "$LIBRARY/srcinfo.sh" || exit
for dir; do
	(cd "$dir" && source ./PKGBUILD && write_srcinfo_content) || exit
	printf '\0'
done`

func TestEdits(t *testing.T) {
	cases, err := os.ReadDir(edits)
	if err != nil || len(cases) < 30 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, c := range cases {
		t.Run(c.Name(), func(t *testing.T) {
			dir := filepath.Join(edits, c.Name())
			files, edit := input(t, dir)
			before := files.Clone()
			got, err := candidates.EditVersion(files, edit)
			if !files.Equal(before) {
				t.Error("the directory that was given has changed")
			}
			if reason, readErr := os.ReadFile(filepath.Join(dir, "error")); readErr == nil {
				if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(string(reason))) || got != nil {
					t.Errorf("error %v\nwant   %s", err, reason)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := filepath.Join(dir, "want")
			if os.Getenv("UPDATE_EDITS") != "" {
				update(t, want, got)
			}
			for _, name := range []string{"PKGBUILD", ".SRCINFO"} {
				if diff := cmp.Diff(read(t, filepath.Join(want, name)), string(got[name].Data)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

// makepkg takes the better part of a second for each, so what is expected is all checked when it is written, and else a few.
func TestExpectedSrcinfoIsWhatMakepkgPrints(t *testing.T) {
	t.Parallel()
	testenv.Need(t, "bash", "makepkg")
	which := "dynamic-s*"
	if os.Getenv("UPDATE_EDITS") != "" {
		which = "*"
	}
	dirs, err := filepath.Glob(filepath.Join(edits, which, "want"))
	if err != nil || len(dirs) < 2 {
		t.Fatalf("%d cases, %v", len(dirs), err)
	}
	cmd := exec.Command("bash", append([]string{"-c", printSrcinfo, "print"}, dirs...)...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8"}
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("makepkg's srcinfo.sh: %v", err)
	}
	for i, printed := range strings.Split(strings.TrimSuffix(string(output), "\x00"), "\x00") {
		info, problems, err := srcinfo.Parse(".SRCINFO", []byte(read(t, filepath.Join(dirs[i], ".SRCINFO"))))
		if err != nil || len(problems) > 0 {
			t.Fatalf("%s: %v, %v", dirs[i], err, problems)
		}
		made := comment.ReplaceAllString(string(info.Bytes()), "")
		if diff := cmp.Diff(printed, made); diff != "" {
			t.Errorf("%s (-makepkg +ours):\n%s", dirs[i], diff)
		}
	}
}

var comment = regexp.MustCompile(`(?m)^#.*\n`)

func input(t *testing.T, dir string) (pkgdir.Dir, candidates.VersionEdit) {
	t.Helper()
	files := pkgdir.Dir{"lamp.conf": {Data: []byte("on\n")}}
	for _, name := range []string{"PKGBUILD", ".SRCINFO"} {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			files[name] = pkgdir.File{Data: data}
		}
	}
	var edit candidates.VersionEdit
	decoder := json.NewDecoder(strings.NewReader(read(t, filepath.Join(dir, "edit.json"))))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&edit); err != nil {
		t.Fatal(err)
	}
	return files, edit
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func update(t *testing.T, dir string, files pkgdir.Dir) {
	t.Helper()
	for _, name := range []string{"PKGBUILD", ".SRCINFO"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), files[name].Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const lamp = "pkgname=lamp\npkgver=1.0\npkgrel=1\narch=(any)\n"

func TestOtherFilesAndModesAreKept(t *testing.T) {
	files := pkgdir.Dir{
		"PKGBUILD": {Kind: pkgdir.Executable, Data: []byte(lamp)}, ".CI/config": {Data: []byte("x=y\n")},
		"link": {Kind: pkgdir.Link, Data: []byte("PKGBUILD")},
	}
	got, err := candidates.EditVersion(files, candidates.VersionEdit{Pkgver: "1.1"})
	if err != nil {
		t.Fatal(err)
	}
	if got["PKGBUILD"].Kind != pkgdir.Executable || !got["link"].Equal(files["link"]) || !got[".CI/config"].Equal(files[".CI/config"]) || len(got) != 4 {
		t.Errorf("%v", got)
	}
	if !strings.Contains(string(got[".SRCINFO"].Data), "\tpkgver = 1.1\n") {
		t.Errorf("no .SRCINFO was made: %s", got[".SRCINFO"].Data)
	}
}

func TestWhatIsNoFileIsNotEdited(t *testing.T) {
	for name, files := range map[string]pkgdir.Dir{
		"no PKGBUILD":            {".SRCINFO": {}},
		"PKGBUILD is a link":     {"PKGBUILD": {Kind: pkgdir.Link, Data: []byte("other")}},
		".SRCINFO is a link":     {"PKGBUILD": {Data: []byte(lamp)}, ".SRCINFO": {Kind: pkgdir.Link, Data: []byte("other")}},
		"PKGBUILD is no bash":    {"PKGBUILD": {Data: []byte("if (")}},
		"PKGBUILD has 5 MB":      {"PKGBUILD": {Data: append([]byte(lamp), bytes.Repeat([]byte("# x\n"), 5<<18)...)}},
		"PKGBUILD names nothing": {"PKGBUILD": {Data: []byte("pkgver=1.0\npkgrel=1\n")}},
	} {
		got, err := candidates.EditVersion(files, candidates.VersionEdit{Pkgver: "1.1"})
		if err == nil || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
			continue
		}
		t.Logf("%s: %v", name, err)
	}
}

func TestTheKindOfARefusalCanBeTold(t *testing.T) {
	for recipe, kind := range map[string]error{
		"pkgname=lamp\npkgver=$(x)\npkgrel=1\narch=(any)\n": pkgbuild.ErrNotLiteral,
		"pkgname=lamp\npkgrel=1\narch=(any)\n":              pkgbuild.ErrMissing,
	} {
		_, err := candidates.EditVersion(pkgdir.Dir{"PKGBUILD": {Data: []byte(recipe)}}, candidates.VersionEdit{Pkgver: "1.1"})
		if !errors.Is(err, kind) {
			t.Errorf("%q: %v", recipe, err)
		}
	}
}

func TestLineEndsAndLayoutOfASrcinfoAreKept(t *testing.T) {
	recipe := lamp + "depends=($(printf wire))\nprovides=(a=$pkgver b=$pkgver)\n"
	text := "# by hand\r\npkgbase=lamp\r\n  pkgver=1.0\r\n  pkgrel = 1\r\n arch = any\r\n\tprovides = a=1.0\r\n\r\nprovides = c\r\npkgname = lamp"
	want := "# by hand\r\npkgbase=lamp\r\n  pkgver = 1.1\r\n  pkgrel = 1\r\n  epoch = 2\r\n arch = any\r\n\tprovides = a=1.1\r\n\r\nprovides = b=1.1\r\npkgname = lamp"
	files := pkgdir.Dir{"PKGBUILD": {Data: []byte(recipe)}, ".SRCINFO": {Data: []byte(text)}}
	got, err := candidates.EditVersion(files, candidates.VersionEdit{Pkgver: "1.1", Epoch: "2"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got[".SRCINFO"].Data)); diff != "" {
		t.Error(diff)
	}
}

// Whatever the new values are: the new files say exactly them, and no line differs that has none of them in it.
func TestAnEditChangesOnlyTheLinesOfItsValues(t *testing.T) {
	recipe := read(t, filepath.Join(edits, "quoting-kept", "PKGBUILD"))
	older := strings.Split(recipe, "\n")
	edited := regexp.MustCompile(`^(pkgver|pkgrel|sha256sums)=|^ +'`)
	rapid.Check(t, func(t *rapid.T) {
		e := candidates.VersionEdit{
			Pkgver: rapid.StringMatching(`[0-9]{1,4}(\.[0-9a-z]{1,3}){0,3}`).Draw(t, "pkgver"),
			Pkgrel: rapid.StringMatching(`[1-9][0-9]?`).Draw(t, "pkgrel"),
		}
		sum := rapid.StringMatching(`[0-9a-f]{64}|SKIP`)
		e.Checksums = map[string][]string{"sha256sums": {sum.Draw(t, "first"), sum.Draw(t, "second")}}
		got, err := candidates.EditVersion(pkgdir.Dir{"PKGBUILD": {Data: []byte(recipe)}}, e)
		if err != nil {
			t.Fatal(err)
		}
		newer := strings.Split(string(got["PKGBUILD"].Data), "\n")
		if len(newer) != len(older) {
			t.Fatalf("%d lines became %d", len(older), len(newer))
		}
		for i, line := range newer {
			if line != older[i] && !edited.MatchString(line) {
				t.Fatalf("line %d became %q", i+1, line)
			}
		}
		info, _, err := srcinfo.Parse(".SRCINFO", got[".SRCINFO"].Data)
		if err != nil || info.Version() != e.Pkgver+"-"+e.Pkgrel {
			t.Fatalf("%v, %v", info, err)
		}
		if diff := cmp.Diff(e.Checksums["sha256sums"], info.Base.Values("sha256sums")); diff != "" {
			t.Fatal(diff)
		}
	})
}
