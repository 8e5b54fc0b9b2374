// Package git runs the git program, for what go-git cannot do or does badly: fetch, push, archive. It knows nothing of
// go-git, so that caur-exec can use it.
package git

import (
	"context"
	"errors"
)

// Repo is a repository, bare or with a work tree.
type Repo struct{ Dir string }

// PushOptions of PushAtomic.
type PushOptions struct {
	ForceWithLease map[string]string // remote ref → the object it must be at; "" or zeros: it must not exist
	PushOptions    []string          // handed to the server (git push -o)
}

// Reasons why a push fails.
var ErrRaced = errors.New("the remote has moved on")

// ErrRefused is a push that the server's rules or hooks refuse.
type ErrRefused struct{ Reason string }

func (e *ErrRefused) Error() string { return "the server refuses the push: " + e.Reason }

// Run runs git with args in the repository.
func (r Repo) Run(ctx context.Context, args ...string) error {
	_, err := r.Output(ctx, args...)
	return err
}

// Output runs git with args in the repository and gives its standard output.
func (r Repo) Output(ctx context.Context, args ...string) ([]byte, error) {
	return nil, errors.ErrUnsupported
}

// Archive extracts the directory path of a commit into destDir.
func Archive(ctx context.Context, bareDir, commit, path, destDir string) error {
	return errors.ErrUnsupported
}

// FetchCommit brings one commit, or the head of a branch, into the bare repository cacheDir.
func FetchCommit(ctx context.Context, cacheDir, url, commitOrBranch string) (sha string, err error) {
	return "", errors.ErrUnsupported
}

// PushAtomic pushes all refspecs or none.
func (r Repo) PushAtomic(ctx context.Context, remote string, refspecs []string, opts PushOptions) error {
	return errors.ErrUnsupported
}

// Ref is a name on a remote and the object it points to.
type Ref struct{ Name, SHA string }

// LsRemote lists the refs of a remote that match the patterns, all when there are none.
func LsRemote(ctx context.Context, url string, patterns ...string) ([]Ref, error) {
	return nil, errors.ErrUnsupported
}
