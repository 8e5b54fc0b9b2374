package candidates

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/pkgdir"
)

const blobID = "0123456789abcdef0123456789abcdef01234567"

func TestTreesAreBoundedBeforeAnythingIsRead(t *testing.T) {
	line := func(mode, kind, size, path string) string {
		return fmt.Sprintf("%s %s %s %7s\t%s\x00", mode, kind, blobID, size, path)
	}
	for name, c := range map[string]struct{ listing, want string }{
		"empty":       {"", ""},
		"a submodule": {line("160000", "commit", "-", "sub"), ""},
		"largest":     {line("100644", "blob", fmt.Sprint(pkgdir.MaxBytes), "x"), ""},
		"too large":   {line("100644", "blob", fmt.Sprint(pkgdir.MaxBytes), "x") + line("100644", "blob", "1", "y"), "larger than the 64 MiB"},
		"overflow":    {line("100644", "blob", "9223372036854775807", "x"), "larger than the 64 MiB"},
		"most":        {strings.Repeat(line("100644", "blob", "0", "x"), pkgdir.MaxFiles), ""},
		"too many":    {strings.Repeat(line("100644", "blob", "0", "x"), pkgdir.MaxFiles+1), "more than the 2000 files"},
		"no size":     {line("100644", "blob", "-", "x"), "unexpected line"},
		"a tree":      {line("040000", "tree", "1", "x"), "unexpected line"},
		"garbage":     {"fatal: no\x00", "unexpected line"},
	} {
		_, err := parseTree([]byte(c.listing))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnswersOfGitMustFit(t *testing.T) {
	b := blob{path: "x", id: blobID, size: 3}
	for answer, fine := range map[string]bool{
		blobID + " blob 3\nabc\n": true, blobID + " blob 3\nab": false, blobID + " blob 4\nabcd\n": false, blobID + " missing\n": false, "": false,
		blobID + " tree 3\nabc\n": false, blobID + " blob 3\nabc": false,
	} {
		data, rest, err := nextObject([]byte(answer+"more"), b)
		if !fine && err == nil {
			t.Errorf("%q gives %q", answer, data)
		}
		if fine && (err != nil || string(data) != "abc" || string(rest) != "more") {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

func TestACommitIsReadWhole(t *testing.T) {
	g := testenv.NewGitRepo(t)
	want := pkgdir.Dir{}
	for _, name := range []string{"a", "sub/ü b", "sub/deep/empty", "z"} {
		text := strings.Repeat(name+"\x00\n", len(name)%3)
		g.Write(name, text)
		want[name] = pkgdir.File{Data: []byte(text)}
	}
	got, err := readCommit(t.Context(), git.Repo{Dir: g.Dir}, g.Commit("x"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := readCommit(t.Context(), git.Repo{Dir: g.Dir}, blobID); err == nil {
		t.Error("a commit that is not there was read")
	}
}
