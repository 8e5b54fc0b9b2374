package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/caur-build/caur/internal/childproc"
	"github.com/caur-build/caur/internal/git"
)

// refs answers what lies around the objects. Both implementations pass the same tests.
type refs interface {
	// ref resolves HEAD or a full reference name to an ID; ok is false when it does not exist or is unborn.
	ref(ctx context.Context, name string) (id string, ok bool, err error)
	hasRemote(ctx context.Context, name string) (bool, error)
	// shallow lists the commits whose parents a shallow clone was not given.
	shallow(ctx context.Context) ([]string, error)
	// promisor is the remote that has what a partial clone lacks, "" for other clones.
	promisor(ctx context.Context) (string, error)
}

// library answers with go-git.
type library struct {
	repo     *gogit.Repository
	storage  *filesystem.Storage
	workTree string
}

// openLibrary opens dir or the checkout around it; ErrNoRepository when there is none, any other error when go-git
// does not know this kind of repository.
func openLibrary(dir string) (*library, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%w: no such directory", ErrNoRepository)
	}
	options := gogit.PlainOpenOptions{
		// go-git looks for .git in the parents before it looks at the directory itself: a bare repository that lies
		// inside a checkout would be passed over.
		DetectDotGit:          !isBare(dir),
		EnableDotGitCommonDir: true,
	}
	repo, err := gogit.PlainOpenWithOptions(dir, &options)
	if errors.Is(err, gogit.ErrRepositoryNotExists) {
		return nil, ErrNoRepository
	}
	if err != nil {
		return nil, err
	}
	storage, ok := repo.Storer.(*filesystem.Storage)
	if !ok {
		return nil, fmt.Errorf("go-git opened %s as a %T", dir, repo.Storer)
	}
	lib := &library{repo: repo, storage: storage}
	tree, err := repo.Worktree()
	switch {
	case err == nil:
		lib.workTree = tree.Filesystem.Root()
	case !errors.Is(err, gogit.ErrIsBareRepository):
		return nil, err
	}
	return lib, nil
}

func isBare(dir string) bool {
	for _, name := range []string{"HEAD", "objects", "refs"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

func (l *library) dir() string {
	if l.workTree != "" {
		return l.workTree
	}
	return l.storage.Filesystem().Root()
}

func (l *library) ref(_ context.Context, name string) (string, bool, error) {
	ref, err := l.repo.Reference(plumbing.ReferenceName(name), true)
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	return ref.Hash().String(), true, nil
}

func (l *library) hasRemote(_ context.Context, name string) (bool, error) {
	_, err := l.repo.Remote(name)
	if errors.Is(err, gogit.ErrRemoteNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (l *library) shallow(context.Context) ([]string, error) {
	hashes, err := l.storage.Shallow()
	ids := make([]string, len(hashes))
	for i, hash := range hashes {
		ids[i] = hash.String()
	}
	return ids, err
}

func (l *library) promisor(context.Context) (string, error) {
	cfg, err := l.repo.Config()
	if err != nil {
		return "", err
	}
	for _, remote := range cfg.Raw.Section("remote").Subsections {
		if remote.Options.Get("promisor") == "true" {
			return remote.Name, nil
		}
	}
	return "", nil
}

// program answers with the git program.
type program struct {
	repo     git.Repo
	workTree string
}

func openProgram(ctx context.Context, dir string) (*program, error) {
	repo := git.Repo{Dir: dir}
	out, err := repo.Output(ctx, "rev-parse", "--is-inside-work-tree", "--absolute-git-dir")
	if err != nil {
		return nil, err
	}
	inside, gitDir, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if inside != "true" {
		return &program{repo: git.Repo{Dir: gitDir}}, nil
	}
	out, err = repo.Output(ctx, "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, err
	}
	top := strings.TrimSuffix(string(out), "\n")
	return &program{repo: git.Repo{Dir: top}, workTree: top}, nil
}

func (p *program) ref(ctx context.Context, name string) (string, bool, error) {
	out, err := p.repo.Output(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", name)
	if exitCode(err) == 1 {
		return "", false, nil
	}
	return strings.TrimSpace(string(out)), err == nil, err
}

func (p *program) hasRemote(ctx context.Context, name string) (bool, error) {
	_, err := p.repo.Output(ctx, "config", "--get-regexp", `^remote\.`+quoteRegexp(name)+`\.url$`)
	if exitCode(err) == 1 {
		return false, nil
	}
	return err == nil, err
}

func (p *program) shallow(ctx context.Context) ([]string, error) {
	out, err := p.repo.Output(ctx, "rev-parse", "--git-path", "shallow")
	if err != nil {
		return nil, err
	}
	path := strings.TrimSuffix(string(out), "\n")
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.repo.Dir, path)
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(data)), err
}

func (p *program) promisor(ctx context.Context) (string, error) {
	out, err := p.repo.Output(ctx, "config", "--get-regexp", `^remote\..*\.promisor$`)
	if exitCode(err) == 1 {
		return "", nil
	}
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if value == "true" {
			return strings.TrimSuffix(strings.TrimPrefix(key, "remote."), ".promisor"), err
		}
	}
	return "", err
}

// quoteRegexp makes a remote's name literal in an extended POSIX expression.
func quoteRegexp(name string) string {
	var b strings.Builder
	for _, r := range name {
		if strings.ContainsRune(`.[]()*+?{}|^$\`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// exitCode is the status the git program ended with; 0 for other errors and none.
func exitCode(err error) int {
	var exit *childproc.ExitError
	if errors.As(err, &exit) {
		return exit.Code
	}
	return 0
}
