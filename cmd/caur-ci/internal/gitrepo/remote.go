package gitrepo

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// RemoteRefs asks a remote where its references are: full name → ID, of an annotated tag the commit. The patterns are
// those of git-ls-remote(1).
func (r *Repo) RemoteRefs(ctx context.Context, remote string, patterns ...string) (map[string]string, error) {
	args := append([]string{"ls-remote", "--quiet", "--end-of-options", remote}, patterns...)
	out, err := r.program.Output(ctx, args...)
	if err != nil {
		return nil, fmt.Errorf("ask %s for its branches: %w", remote, err)
	}
	refs := map[string]string{}
	for line := range strings.Lines(string(out)) {
		id, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok {
			return nil, fmt.Errorf("ask %s for its branches: unexpected line %q", remote, line)
		}
		if peeled, is := strings.CutSuffix(name, "^{}"); is {
			refs[peeled] = id // comes after the tag itself
			continue
		}
		refs[name] = id
	}
	return refs, nil
}

// FetchBranches brings the newest commits of branches here, as refs/remotes/REMOTE/BRANCH, in one connection; in a
// shallow clone without their history.
func (r *Repo) FetchBranches(ctx context.Context, remote string, branches ...string) error {
	return r.fetchBranches(ctx, remote, func(b string) string { return "+refs/heads/" + b + ":refs/remotes/" + remote + "/" + b }, branches)
}

// FetchCommits is FetchBranches for those who only look: the commits can be read by their IDs, and no reference moves.
func (r *Repo) FetchCommits(ctx context.Context, remote string, branches ...string) error {
	return r.fetchBranches(ctx, remote, func(b string) string { return "refs/heads/" + b }, branches)
}

func (r *Repo) fetchBranches(ctx context.Context, remote string, spec func(string) string, branches []string) error {
	if len(branches) == 0 {
		return nil
	}
	args := []string{"fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--refmap=", "--stdin"}
	shallow, err := r.refs.shallow(ctx)
	if err != nil {
		return fmt.Errorf("read the list of shallow commits: %w", err)
	}
	if len(shallow) > 0 {
		args = append(args, "--depth=1")
	}
	if promisor, err := r.refs.promisor(ctx); err != nil {
		return fmt.Errorf("read the settings of the clone: %w", err)
	} else if promisor == "" {
		args = append(args, "--no-filter")
	}
	var specs strings.Builder
	for _, b := range slices.Sorted(slices.Values(branches)) {
		specs.WriteString(spec(b) + "\n")
	}
	if _, err := r.program.Feed(ctx, specs.String(), append(args, "--end-of-options", remote)...); err != nil {
		return fmt.Errorf("fetch %d branches from %s: %w", len(branches), remote, err)
	}
	return nil
}

// Ref gives the ID of a full reference name (refs/remotes/origin/state); ok is false when there is none.
func (r *Repo) Ref(ctx context.Context, name string) (id string, ok bool, err error) {
	return r.refs.ref(ctx, name)
}

// Branch is the branch that is checked out, "" for a detached HEAD.
func (r *Repo) Branch(ctx context.Context) (string, error) {
	out, err := r.program.Output(ctx, "rev-parse", "--symbolic-full-name", "HEAD")
	if err != nil {
		return "", fmt.Errorf("read the name of the branch: %w", err)
	}
	branch, is := strings.CutPrefix(strings.TrimSpace(string(out)), "refs/heads/")
	if !is {
		return "", nil
	}
	return branch, nil
}
