// Package gitrepo reads a PKGBUILD repository: a checkout, a linked work tree or a bare repository, complete, shallow or
// partial.
//
// It answers from two sources behind one set of types. References, remotes and the layout come from go-git, in this
// process and within a millisecond; where go-git refuses a repository (partial clones, extensions it does not know) they
// come from the git program. Objects always come from one `git cat-file --batch` that lives as long as the Repo:
// go-git reads the whole index of a pack before the first object (0.1 s for the 212,000 objects of a large repository)
// and takes six times as long for 2,500 small files, and cat-file also knows alternates, replacements and promisor
// remotes. History ranges, fetch and push are the git program's, too.
//
// Words: an ID is the hexadecimal name of an object, in full. A dir is a directory at the top of the repository whose
// name does not begin with a dot (pipeline.md section 1); whether it is a package is for the caller to say. A path uses
// slashes and begins at the top of the repository.
//
// A Repo is for one goroutine at a time. Nothing here prints, and nothing changes the work tree or the index.
package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/caur-build/caur/internal/git"
)

// Reasons why a repository or an object cannot be read; errors.Is tells them apart.
var (
	ErrNoRepository = errors.New("no git repository")
	ErrNoCommit     = errors.New("the repository has no commit yet")
	ErrNoWorkTree   = errors.New("the repository has no work tree")
	ErrMissing      = errors.New("not in this repository")
	ErrShallow      = errors.New("the clone is too shallow")
)

// Repo is an open repository. Close ends the git process behind it.
type Repo struct {
	ctx      context.Context // of Open: ends the cat-file process
	program  git.Repo
	refs     refs
	workTree string // absolute, "" when bare
	batch    *catFile
	partial  *partial // nil until it is needed
}

// Open opens the repository that dir belongs to: dir itself when it is a bare repository, else the checkout around it.
// The context bounds the life of the Repo.
func Open(ctx context.Context, dir string) (*Repo, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open repository %s: %w", dir, err)
	}
	library, err := openLibrary(abs)
	if err == nil {
		return &Repo{ctx: ctx, program: git.Repo{Dir: library.dir()}, refs: library, workTree: library.workTree}, nil
	}
	if errors.Is(err, ErrNoRepository) {
		return nil, fmt.Errorf("%s: %w: run this in a checkout of the PKGBUILD repository, or name one with --repo", abs, err)
	}
	program, programErr := openProgram(ctx, abs)
	if programErr != nil {
		return nil, fmt.Errorf("open repository %s: %w (go-git: %v)", abs, programErr, err)
	}
	return &Repo{ctx: ctx, program: program.repo, refs: program, workTree: program.workTree}, nil
}

// Close ends the git process. The Repo cannot be used afterwards.
func (r *Repo) Close() error {
	if r.batch == nil {
		return nil
	}
	err := r.batch.close()
	r.batch = nil
	return err
}

// Dir is the top of the work tree, or the repository itself when it is bare.
func (r *Repo) Dir() string { return r.program.Dir }

// Bare says whether there is no work tree.
func (r *Repo) Bare() bool { return r.workTree == "" }

// Program is the git program on this repository, for what is not reading: fetch, push.
func (r *Repo) Program() git.Repo { return r.program }

// Head is the commit that is checked out, or of a bare repository its default branch; ErrNoCommit when there is none.
func (r *Repo) Head(ctx context.Context) (Commit, error) {
	id, ok, err := r.refs.ref(ctx, "HEAD")
	if err != nil {
		return Commit{}, fmt.Errorf("read HEAD: %w", err)
	}
	if !ok {
		return Commit{}, fmt.Errorf("%s: %w", r.Dir(), ErrNoCommit)
	}
	return r.Commit(ctx, id)
}

// Tag gives the ID of the commit that a tag points to, through annotated tags; ok is false when there is no such tag.
func (r *Repo) Tag(ctx context.Context, name string) (id string, ok bool, err error) {
	id, ok, err = r.refs.ref(ctx, "refs/tags/"+name)
	if err != nil || !ok {
		return "", false, err
	}
	commit, err := r.Commit(ctx, id)
	if err != nil {
		return "", false, fmt.Errorf("tag %s: %w", name, err)
	}
	return commit.ID, true, nil
}

// HasRemote says whether a remote of that name is configured.
func (r *Repo) HasRemote(ctx context.Context, name string) (bool, error) {
	return r.refs.hasRemote(ctx, name)
}

// Commit is a commit as it is recorded.
type Commit struct {
	ID, Tree string
	Parents  []string // as recorded, also where a shallow clone does not hold them
	Message  string
}

// Commit reads the commit that a revision (an ID, HEAD, a branch, a tag, HEAD~3) names; ErrMissing when there is none.
func (r *Repo) Commit(ctx context.Context, rev string) (Commit, error) {
	if rev == "" || strings.HasPrefix(rev, "-") || strings.ContainsAny(rev, "\n\x00") {
		return Commit{}, fmt.Errorf("%q is no revision", rev)
	}
	var commit Commit
	err := r.readObjects(ctx, []string{rev + "^{commit}"}, func(_ int, o object) error {
		if o.kind != "commit" {
			return fmt.Errorf("commit %s: %w", rev, ErrMissing)
		}
		var err error
		commit, err = parseCommit(o.id, o.data)
		return err
	})
	return commit, err
}

// commits reads several commits by ID in one go.
func (r *Repo) commits(ctx context.Context, ids []string) ([]Commit, error) {
	list := make([]Commit, len(ids))
	err := r.readObjects(ctx, ids, func(i int, o object) error {
		if o.kind != "commit" {
			return fmt.Errorf("commit %s: %w", ids[i], ErrMissing)
		}
		var err error
		list[i], err = parseCommit(o.id, o.data)
		return err
	})
	return list, err
}

// Blobs reads the contents of files by ID; an ID "" gives nil.
func (r *Repo) Blobs(ctx context.Context, ids []string) ([][]byte, error) {
	names := make([]string, 0, len(ids))
	index := make([]int, 0, len(ids))
	for i, id := range ids {
		if id != "" {
			names, index = append(names, id), append(index, i)
		}
	}
	contents := make([][]byte, len(ids))
	err := r.readExisting(ctx, names, func(i int, o object) error {
		if o.kind != "blob" || o.data == nil {
			return fmt.Errorf("object %s is a %s of %d bytes, not a file that is read", o.id, o.kind, o.size)
		}
		contents[index[i]] = bytes.Clone(o.data)
		return nil
	})
	return contents, err
}

// parseCommit reads the headers that matter here; the message is everything after the first empty line.
func parseCommit(id string, data []byte) (Commit, error) {
	commit := Commit{ID: id}
	head, message, _ := strings.Cut(string(data), "\n\n")
	commit.Message = message
	for line := range strings.SplitSeq(head, "\n") {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "tree":
			commit.Tree = value
		case "parent":
			commit.Parents = append(commit.Parents, value)
		case "author":
			return commit, nil // nothing after it is of use, and a signature may hold any text
		}
	}
	if commit.Tree == "" {
		return Commit{}, fmt.Errorf("commit %s is damaged: it names no tree", id)
	}
	return commit, nil
}
