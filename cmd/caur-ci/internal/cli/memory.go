package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caur-build/caur/cmd/caur-ci/internal/commit"
	"github.com/caur-build/caur/cmd/caur-ci/internal/forge"
	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/state"
)

// The state branch (pipeline.md section 1): a history of one commit, a file a package.
const (
	stateBranch  = "state"
	versionState = ".version-state"
)

// memory is what the last run left on the state branch.
type memory struct {
	commit   string            // "" when there is no branch
	files    map[string][]byte // everything in it, as it is
	packages map[string]*state.PackageState
	versions *state.VersionState // nil when there is none
}

func emptyMemory() *memory {
	return &memory{files: map[string][]byte{}, packages: map[string]*state.PackageState{}}
}

// readMemory reads the state of a commit. A state that is missing or cannot be read is no reason to stop (section 3,
// step 4): what cannot be read is begun anew, with a warning, and costs builds that were not needed, nothing else.
func (a *app) readMemory(ctx context.Context, repo *gitrepo.Repo, id string) (*memory, error) {
	m := emptyMemory()
	if id == "" {
		a.warnf("there is no branch %s yet: every VCS package counts as changed, and the watched databases as unknown", stateBranch)
		return m, nil
	}
	m.commit = id
	files, err := stateFiles(ctx, repo, id)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		a.warnf("the branch %s cannot be read and is made anew: %v", stateBranch, err)
		return m, nil
	}
	m.files = files
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name == versionState {
			versions, problems := state.ParseVersionState(name, files[name])
			a.remarks(problems)
			m.versions = versions
			continue
		}
		s, problems, err := state.ParsePackageState(stateBranch+":"+name, files[name])
		a.remarks(problems)
		if err != nil {
			a.warnf("the state of %s is made anew: %v", name, err)
			continue
		}
		m.packages[name] = s
	}
	if m.versions == nil {
		a.warnf("the branch %s has no %s: the watched databases count as unknown", stateBranch, versionState)
	}
	return m, nil
}

// remarks shows the first few: a file that is broken line for line must not bury everything else.
func (a *app) remarks(problems []state.Problem) {
	const few = 3
	for i, p := range problems {
		if i == few {
			a.warnf("%s: %d more lines like that", p.File, len(problems)-few)
			return
		}
		a.warnf("%s", p)
	}
}

func stateFiles(ctx context.Context, repo *gitrepo.Repo, id string) (map[string][]byte, error) {
	entries, err := repo.Diff(ctx, "", id)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.New
	}
	contents, err := repo.Blobs(ctx, ids)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte, len(entries))
	for i, e := range entries {
		files[e.Path] = contents[i]
	}
	return files, nil
}

// of is the state of a package; never nil.
func (m *memory) of(pkgbase string) *state.PackageState {
	if s := m.packages[pkgbase]; s != nil {
		return s
	}
	return &state.PackageState{}
}

// next is the state branch after a run, nil when it stays as it is. Packages that are gone leave no file behind.
func (m *memory) next(names []string, states map[string]*state.PackageState, versions *state.VersionState) *commit.Commit {
	files := make(map[string][]byte, len(names)+1)
	for _, name := range names {
		s := states[name]
		if s == nil {
			s = m.of(name)
		}
		if text := s.Bytes(); len(text) > 0 {
			files[name] = text
		}
	}
	switch {
	case versions != nil:
		files[versionState] = versions.Bytes()
	case m.versions != nil:
		files[versionState] = m.files[versionState]
	}
	if m.commit != "" && maps.EqualFunc(files, m.files, bytes.Equal) {
		return nil
	}
	c := &commit.Commit{Message: "chore(state): update state\n", Whole: true}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		c.Changes = append(c.Changes, commit.Change{Path: name, File: &pkgdir.File{Data: files[name]}})
	}
	return c
}

// base is where everything stands when a run begins.
type base struct {
	head   gitrepo.Commit
	branch string            // that is updated
	remote string            // "" in a repository without one, which is enough to look
	refs   map[string]string // of the remote, by full name; nil when it cannot be reached
	memory *memory
}

func (b *base) ref(name string) string { return b.refs[name] }

// requestBranches lists the remote's update-PKGBASE branches by pkgbase.
func (b *base) requestBranches() map[string]string {
	list := map[string]string{}
	for name, id := range b.refs {
		if pkgbase, is := strings.CutPrefix(name, "refs/heads/"+forge.BranchPrefix); is {
			list[pkgbase] = id
		}
	}
	return list
}

// findBase asks the remote where everything is and reads the state. Without the remote a dry run works on what the last
// fetch brought; a run that means to push ends.
func (a *app) findBase(ctx context.Context, repo *gitrepo.Repo, remote, branch string, dryRun bool) (*base, error) {
	head, err := repo.Head(ctx)
	if err != nil {
		return nil, err
	}
	b := &base{head: head, branch: branch, remote: remote}
	if b.branch == "" {
		if b.branch, err = a.defaultBranch(ctx, repo); err != nil {
			return nil, err
		}
	}
	id, err := a.askRemote(ctx, repo, b, dryRun)
	if err != nil {
		return nil, err
	}
	b.memory, err = a.readMemory(ctx, repo, id)
	return b, err
}

// askRemote fills refs and brings the state branch here.
func (a *app) askRemote(ctx context.Context, repo *gitrepo.Repo, b *base, dryRun bool) (stateID string, err error) {
	has, err := repo.HasRemote(ctx, b.remote)
	if err != nil {
		return "", err
	}
	if !has && !dryRun {
		return "", checkRemote(ctx, repo, b.remote)
	}
	local := "refs/heads/" + stateBranch
	if has {
		local = "refs/remotes/" + b.remote + "/" + stateBranch
		refs, err := repo.RemoteRefs(ctx, b.remote, "refs/heads/*", "refs/tags/"+scheduledTag)
		if err == nil && refs["refs/heads/"+stateBranch] != "" {
			fetch := repo.FetchBranches
			if dryRun {
				fetch = repo.FetchCommits
			}
			err = fetch(ctx, b.remote, stateBranch)
		}
		switch {
		case ctx.Err() != nil:
			return "", context.Cause(ctx)
		case err == nil:
			b.refs = refs
			return refs["refs/heads/"+stateBranch], nil
		case !dryRun:
			return "", fmt.Errorf("%w: nothing was changed, the next run does it again", err)
		}
		a.warnf("%v: this try works on what the last fetch brought", err)
	}
	stateID, ok, err := repo.Ref(ctx, local)
	if err != nil || !ok {
		return "", err
	}
	return stateID, nil
}

// defaultBranch: a pipeline has HEAD detached, and says in its environment what it stands for.
func (a *app) defaultBranch(ctx context.Context, repo *gitrepo.Repo) (string, error) {
	for _, key := range []string{"CI_COMMIT_BRANCH", "CI_DEFAULT_BRANCH"} {
		if v, _ := a.io.Getenv(key); v != "" {
			return v, nil
		}
	}
	if kind, _ := a.io.Getenv("GITHUB_REF_TYPE"); kind == "branch" {
		if v, _ := a.io.Getenv("GITHUB_REF_NAME"); v != "" {
			return v, nil
		}
	}
	branch, err := repo.Branch(ctx)
	if err == nil && branch == "" {
		branch = "main"
	}
	return branch, err
}

var errNotScheduled = errors.New("the last on-commit pipeline has to be fixed first")

// checkScheduled wants the tag at HEAD (section 3, step 3): else commits that were never built would be passed over.
func (a *app) checkScheduled(ctx context.Context, repo *gitrepo.Repo, b *base, dryRun bool) error {
	if skip, _ := a.io.Getenv("SKIP_ON_COMMIT_CHECK"); skip == "true" {
		return nil
	}
	tag := b.ref("refs/tags/" + scheduledTag)
	if b.refs == nil {
		var err error
		if tag, _, err = repo.Tag(ctx, scheduledTag); err != nil {
			return err
		}
	}
	var err error
	switch tag {
	case b.head.ID:
		return nil
	case "":
		err = fmt.Errorf("there is no tag %s, so nothing says that HEAD (%s) was scheduled: %w (run 'caur-ci on-commit'; SKIP_ON_COMMIT_CHECK=true is for local tries)",
			scheduledTag, short(b.head.ID), errNotScheduled)
	default:
		err = fmt.Errorf("the tag %s is at %s, not at HEAD (%s): %w (run 'caur-ci on-commit'; SKIP_ON_COMMIT_CHECK=true is for local tries)",
			scheduledTag, short(tag), short(b.head.ID), errNotScheduled)
	}
	if dryRun {
		a.warnf("%v", err)
		return nil
	}
	return err
}
