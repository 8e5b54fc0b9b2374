package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Since lists the commits that to has and from has not, newest first. In a shallow clone it first makes sure that none
// of them is missing: where the history between the two was not fetched, it is fetched from remote, and where that
// fails the error is ErrShallow and says what to do. excludeRef is the name of from on the remote (refs/tags/…).
func (r *Repo) Since(ctx context.Context, from, to, remote, excludeRef string) ([]Commit, error) {
	commits, complete, err := r.since(ctx, from, to)
	if err != nil || complete {
		return commits, err
	}
	// The remote can cut exactly there, when from is where it has excludeRef; what it leaves out are ancestors of from. Where
	// it cannot, more and more is fetched.
	excludeErr := r.deepen(ctx, remote, to, "--shallow-exclude="+excludeRef)
	if excludeErr == nil {
		commits, _, err = r.since(ctx, from, to)
		return commits, err
	}
	if ctx.Err() != nil {
		return nil, excludeErr
	}
	for _, how := range []string{"--deepen=200", "--deepen=2000", "--unshallow"} {
		if r.deepen(ctx, remote, to, how) != nil {
			break // the first error says it best
		}
		if commits, complete, err = r.since(ctx, from, to); err != nil || complete {
			return commits, err
		}
	}
	return nil, fmt.Errorf("commits %s..%s: %w", excludeRef, to, excludeErr)
}

// since lists what is here; complete is false when a commit's parent should be in the list but was not fetched.
func (r *Repo) since(ctx context.Context, from, to string) (commits []Commit, complete bool, err error) {
	out, err := r.program.Output(ctx, "rev-list", "--end-of-options", to, "^"+from)
	if err != nil {
		return nil, false, fmt.Errorf("list commits %s..%s: %w", from, to, err)
	}
	if commits, err = r.commits(ctx, strings.Fields(string(out))); err != nil {
		return nil, false, err
	}
	shallow, err := r.refs.shallow(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("read the list of shallow commits: %w", err)
	}
	if len(shallow) == 0 {
		return commits, true, nil
	}
	listed := make(map[string]bool, len(commits)+1)
	listed[from] = true
	for _, c := range commits {
		listed[c.ID] = true
	}
	for _, c := range commits {
		known := func(parent string) bool { return listed[parent] }
		if slices.Contains(shallow, c.ID) && !allOf(c.Parents, known) {
			return commits, false, nil
		}
	}
	return commits, true, nil
}

func allOf(list []string, is func(string) bool) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !is(s) })
}

// Parent gives the first parent of a commit, fetching it from remote where a shallow clone does not hold it; ok is
// false for the first commit of a history.
func (r *Repo) Parent(ctx context.Context, c Commit, remote string) (parent Commit, ok bool, err error) {
	if len(c.Parents) == 0 {
		return Commit{}, false, nil
	}
	parent, err = r.Commit(ctx, c.Parents[0])
	if errors.Is(err, ErrMissing) {
		if err := r.deepen(ctx, remote, c.ID, "--deepen=1"); err != nil {
			return Commit{}, false, fmt.Errorf("parent of %s: %w", c.ID, err)
		}
		parent, err = r.Commit(ctx, c.Parents[0])
	}
	return parent, err == nil, err
}

// deepen fetches more history of a commit. The error is ErrShallow and says what to do.
func (r *Repo) deepen(ctx context.Context, remote, commit, how string) error {
	const advice = "fetch more history, for example with 'git fetch --unshallow' or a larger GIT_DEPTH, and run again"
	has, err := r.refs.hasRemote(ctx, remote)
	if err != nil {
		return err
	}
	if !has {
		return fmt.Errorf("%w and has no remote %q to fetch from: %s", ErrShallow, remote, advice)
	}
	err = r.program.Run(ctx, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", how, "--end-of-options", remote, commit)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w, and fetching the rest from %s failed: %w: %s", ErrShallow, remote, err, advice)
	}
	return nil
}

// IsAncestor says whether ancestor is the commit or one of its ancestors, as far as this clone's history goes.
func (r *Repo) IsAncestor(ctx context.Context, ancestor, commit string) (bool, error) {
	err := r.program.Run(ctx, "merge-base", "--is-ancestor", ancestor, commit)
	if exitCode(err) == 1 {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for %s in the history of %s: %w", ancestor, commit, err)
	}
	return true, nil
}

// FetchTag brings a tag of the remote here, without its history, and says whether the remote has it.
func (r *Repo) FetchTag(ctx context.Context, remote, tag string) (bool, error) {
	ref := "refs/tags/" + tag
	out, err := r.program.Output(ctx, "ls-remote", "--end-of-options", remote, ref)
	if err != nil {
		return false, fmt.Errorf("ask %s for the tag %s: %w", remote, tag, err)
	}
	if !strings.Contains(string(out), "\t"+ref+"\n") {
		return false, nil
	}
	args := []string{"fetch", "--quiet", "--no-tags", "--no-write-fetch-head"}
	shallow, err := r.refs.shallow(ctx)
	if err != nil {
		return false, fmt.Errorf("read the list of shallow commits: %w", err)
	}
	if len(shallow) > 0 {
		args = append(args, "--depth=1") // else the whole history of a tag that lies deeper comes with it
	}
	if err := r.program.Run(ctx, append(args, "--end-of-options", remote, "+"+ref+":"+ref)...); err != nil {
		return false, fmt.Errorf("fetch the tag %s from %s: %w", tag, remote, err)
	}
	return true, nil
}
