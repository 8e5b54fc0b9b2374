package gitrepo

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/internal/testenv"
)

// forked has branches main, state (a history of its own), update-a and an annotated tag.
func forked(t *testing.T) (*testenv.GitRepo, map[string]string) {
	t.Helper()
	g := testenv.NewGitRepo(t)
	g.Write("a/PKGBUILD", "1")
	main := g.Commit("one")
	g.Git("tag", "-a", "-m", "annotated", "scheduled")
	g.Git("switch", "-q", "-c", "update-a")
	g.Write("a/PKGBUILD", "2")
	update := g.Commit("two")
	g.Git("switch", "-q", "--orphan", "state")
	g.Write("a", "CI_GIT_COMMIT=x\n")
	state := g.Commit("state")
	g.Git("switch", "-q", "main")
	g.Origin()
	return g, map[string]string{
		"refs/heads/main": main, "refs/heads/update-a": update, "refs/heads/state": state, "refs/tags/scheduled": main,
	}
}

func TestRemoteReferencesAreListedWithTheCommitsOfTags(t *testing.T) {
	g, want := forked(t)
	r := openDir(t, g.Dir)
	got, err := r.RemoteRefs(t.Context(), "origin")
	delete(got, "HEAD")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	got, err = r.RemoteRefs(t.Context(), "origin", "refs/heads/update-*")
	if diff := cmp.Diff(map[string]string{"refs/heads/update-a": want["refs/heads/update-a"]}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if _, err := r.RemoteRefs(t.Context(), "--upload-pack=touch x"); err == nil {
		t.Error("an option was taken for a remote")
	}
	if _, err := r.RemoteRefs(t.Context(), "nowhere"); !errors.Is(err, git.ErrNotFound) {
		t.Error(err)
	}
}

func TestBranchesComeWithoutHistoryIntoAShallowCloneAndWholeIntoOthers(t *testing.T) {
	g, want := forked(t)
	for _, args := range [][]string{{"--depth=1"}, {"--filter=blob:none"}, nil} {
		clone := t.TempDir()
		g.Git("-C", g.Origin(), "config", "uploadpack.allowFilter", "true")
		g.Git(append(append([]string{"clone", "-q", "--single-branch", "-b", "main"}, args...), "file://"+g.Origin(), clone)...)
		r := openDir(t, clone)
		if err := r.FetchBranches(t.Context(), "origin", "state", "update-a"); err != nil {
			t.Fatal(args, err)
		}
		for _, b := range []string{"state", "update-a"} {
			if id, ok, err := r.Ref(t.Context(), "refs/remotes/origin/"+b); err != nil || !ok || id != want["refs/heads/"+b] {
				t.Error(args, b, id, ok, err)
			}
		}
		commit, err := r.Commit(t.Context(), want["refs/heads/state"])
		if err != nil {
			t.Fatal(err)
		}
		files, err := r.At(t.Context(), commit)
		if err != nil {
			t.Fatal(err)
		}
		read := ""
		if err := files.Read(t.Context(), []string{"a"}, func(_ int, data []byte) error { read = string(data); return nil }); err != nil || read != "CI_GIT_COMMIT=x\n" {
			t.Error(args, read, err)
		}
	}
}

func TestABranchThatIsNotThereFailsTheFetchAndSaysSo(t *testing.T) {
	g, _ := forked(t)
	r := openDir(t, g.Dir)
	if err := r.FetchBranches(t.Context(), "origin", "update-a", "update-none"); !errors.Is(err, git.ErrNotFound) {
		t.Error(err)
	}
	if err := r.FetchBranches(t.Context(), "nowhere"); err != nil {
		t.Error("nothing to fetch asked someone:", err)
	}
}

func TestTheBranchOfADetachedHeadHasNoName(t *testing.T) {
	g, _ := forked(t)
	r := openDir(t, g.Dir)
	if b, err := r.Branch(t.Context()); err != nil || b != "main" {
		t.Error(b, err)
	}
	g.Git("checkout", "-q", "--detach")
	if b, err := r.Branch(t.Context()); err != nil || b != "" {
		t.Error(b, err)
	}
}
