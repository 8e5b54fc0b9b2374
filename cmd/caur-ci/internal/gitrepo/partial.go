package gitrepo

import (
	"context"
	"fmt"
	"strings"
)

// fetchChunk bounds how many object IDs one fetch gets as arguments.
const fetchChunk = 1000

// fetchObjects brings objects here that a partial clone (git clone --filter=…) left at its promisor remote.
func (r *Repo) fetchObjects(ctx context.Context, ids []string) error {
	remote, err := r.promisor(ctx)
	if err != nil {
		return err
	}
	if remote == "" {
		return fmt.Errorf("object %s and %d more: %w: the repository is damaged, 'git fsck' says where", ids[0], len(ids)-1, ErrMissing)
	}
	for len(ids) > 0 {
		n := min(len(ids), fetchChunk)
		// As git itself does it: what is here says nothing about what is missing, so there is nothing to negotiate.
		args := []string{"-c", "fetch.negotiationAlgorithm=noop", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head",
			"--recurse-submodules=no", "--filter=blob:none", "--end-of-options", remote}
		if err := r.program.Run(ctx, append(args, ids[:n]...)...); err != nil {
			return fmt.Errorf("fetch %d objects that this partial clone lacks: %w", n, err)
		}
		ids = ids[n:]
	}
	return nil
}

// promisor is the remote that has what a partial clone lacks, "" for other clones.
func (r *Repo) promisor(ctx context.Context) (string, error) {
	out, err := r.program.Output(ctx, "config", "--get-regexp", `^remote\..*\.promisor$`)
	if exitCode(err) == 1 {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for a promisor remote: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if value == "true" {
			return strings.TrimSuffix(strings.TrimPrefix(key, "remote."), ".promisor"), nil
		}
	}
	return "", nil
}
