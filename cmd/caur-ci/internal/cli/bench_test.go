package cli

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/testenv"
)

// realRepo is a repository of real size: the corpus with a PKGBUILD in every directory, as one commit, and then 50
// commits that change four packages each. The tag is before these.
func realRepo(b *testing.B) string {
	b.Helper()
	g := testenv.NewGitRepo(b)
	if err := os.CopyFS(g.Dir, os.DirFS(testenv.Corpus(b))); err != nil {
		b.Fatal(err)
	}
	entries, err := os.ReadDir(g.Dir)
	if err != nil {
		b.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
			g.Write(e.Name()+"/PKGBUILD", "pkgname="+e.Name()+"\n")
		}
	}
	g.Commit("everything")
	g.Tag(scheduledTag)
	for i := range 50 {
		for n := range 4 {
			name := names[(i*37+n*501)%len(names)]
			g.Write(name+"/PKGBUILD", "pkgname="+name+"\npkgrel="+string(rune('a'+i%26))+strings.Repeat("x", i)+"\n")
		}
		g.Git("commit", "-q", "-a", "-m", "chore(update): four packages")
	}
	g.Git("repack", "-q", "-a", "-d")
	return g.Dir
}

// BenchmarkRealSize runs whole commands in this process; the start of the program, 30 ms, is not in it.
func BenchmarkRealSize(b *testing.B) {
	dir := realRepo(b)
	env := func(string) (string, bool) { return "", false }
	for _, bench := range []struct {
		name string
		args []string
	}{
		{"DeptreeOfTheWorkTree", []string{"deptree"}},
		{"DeptreeOfACommit", []string{"deptree", "--rev", "HEAD"}},
		{"DeptreeOrder", []string{"deptree", "--order"}},
		{"OnCommit50Behind", []string{"on-commit", "--dry-run"}},
		{"ScheduleAllToAPlan", []string{"schedule", "all", "--plan", filepath.Join(b.TempDir(), "plan.json")}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			for b.Loop() {
				var stderr bytes.Buffer
				streams := &command.IO{In: strings.NewReader(""), Out: io.Discard, Err: &stderr, Getenv: env}
				if code := command.Run(b.Context(), streams, New(streams), append([]string{"-C", dir}, bench.args...)); code != 0 {
					b.Fatalf("exit code %d\n%s", code, stderr.String())
				}
			}
		})
	}
}
