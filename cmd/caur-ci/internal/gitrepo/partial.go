package gitrepo

import (
	"context"
	"fmt"
	"strings"
)

// fetchChunk bounds how many object IDs one fetch gets as arguments.
const fetchChunk = 1000

// partial is what is known of a partial clone (git clone --filter=…): objects that others name may still be at its
// promisor remote. cat-file cannot be asked what is missing, it ends with the first such object.
type partial struct {
	remote string          // "" when the clone is not partial
	local  map[string]bool // IDs of all objects that are here
}

// fetchAbsent brings those of the objects here that a partial clone has left at its remote.
func (r *Repo) fetchAbsent(ctx context.Context, ids []string) error {
	if r.partial == nil {
		remote, err := r.refs.promisor(ctx)
		if err != nil {
			return fmt.Errorf("look for a promisor remote: %w", err)
		}
		r.partial = &partial{remote: remote}
	}
	p := r.partial
	if p.remote == "" || len(ids) == 0 {
		return nil
	}
	if p.local == nil {
		out, err := r.program.Output(ctx, "cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objectname)")
		if err != nil {
			return fmt.Errorf("list the objects of a partial clone: %w", err)
		}
		p.local = make(map[string]bool, len(out)/41)
		for id := range strings.FieldsSeq(string(out)) {
			p.local[id] = true
		}
	}
	var absent []string
	for _, id := range ids {
		if !p.local[id] {
			p.local[id] = true
			absent = append(absent, id)
		}
	}
	return r.fetchObjects(ctx, p.remote, absent)
}

func (r *Repo) fetchObjects(ctx context.Context, remote string, ids []string) error {
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
