package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Change is a file that differs between two trees: content, kind or mode. A rename is two changes.
type Change struct {
	Path     string
	Old, New string // IDs of the contents, "" where the file does not exist
}

// Diff lists the files that differ between two commits, without looking for renames. An old of "" is the empty tree:
// everything is new. The order is that of the trees, level by level.
func (r *Repo) Diff(ctx context.Context, oldID, newID string) ([]Change, error) {
	pairs := []pair{{}}
	for _, side := range []struct {
		commit string
		tree   *string
	}{{oldID, &pairs[0].old}, {newID, &pairs[0].new}} {
		if side.commit == "" {
			continue
		}
		commit, err := r.Commit(ctx, side.commit)
		if err != nil {
			return nil, fmt.Errorf("compare %s with %s: %w", name(oldID), name(newID), err)
		}
		*side.tree = commit.Tree
	}
	if pairs[0].old == pairs[0].new {
		return nil, nil
	}
	var changes []Change
	for len(pairs) > 0 {
		next, found, err := r.compareLevel(ctx, pairs)
		if err != nil {
			return nil, fmt.Errorf("compare %s with %s: %w", name(oldID), name(newID), err)
		}
		pairs, changes = next, append(changes, found...)
	}
	return changes, nil
}

func name(commit string) string {
	if commit == "" {
		return "nothing"
	}
	return commit
}

// pair is a directory that differs; an ID is "" where the directory does not exist.
type pair struct{ prefix, old, new string }

// compareLevel reads all directories of one level in one go.
func (r *Repo) compareLevel(ctx context.Context, pairs []pair) (next []pair, changes []Change, err error) {
	ids := make([]string, 0, 2*len(pairs))
	for _, p := range pairs {
		ids = append(ids, p.old, p.new)
	}
	trees, err := r.trees(ctx, ids)
	if err != nil {
		return nil, nil, err
	}
	for i, p := range pairs {
		before, beforeErr := trees[2*i].entries()
		after, afterErr := trees[2*i+1].entries()
		if err := errors.Join(beforeErr, afterErr); err != nil {
			return nil, nil, err
		}
		compareTrees(before, after, func(older, newer entry) {
			path := p.prefix + older.name
			if older.name == "" {
				path = p.prefix + newer.name
			}
			down := pair{prefix: path + "/"}
			change := Change{Path: path}
			if older.mode.isDir() {
				down.old = older.id
			} else {
				change.Old = older.id
			}
			if newer.mode.isDir() {
				down.new = newer.id
			} else {
				change.New = newer.id
			}
			if down.old != "" || down.new != "" {
				next = append(next, down)
			}
			if change.Old != "" || change.New != "" {
				changes = append(changes, change)
			}
		})
	}
	return next, changes, nil
}

// compareTrees calls differ for each name whose entry is not the same, with an empty entry where it does not exist.
// Trees are sorted as if the name of a directory ended with a slash.
func compareTrees(older, newer []entry, differ func(older, newer entry)) {
	for len(older) > 0 || len(newer) > 0 {
		order := 0
		switch {
		case len(newer) == 0:
			order = -1
		case len(older) == 0:
			order = 1
		default:
			order = strings.Compare(older[0].sortName(), newer[0].sortName())
		}
		switch {
		case order < 0:
			differ(older[0], entry{})
			older = older[1:]
		case order > 0:
			differ(entry{}, newer[0])
			newer = newer[1:]
		default:
			if older[0] != newer[0] {
				differ(older[0], newer[0])
			}
			older, newer = older[1:], newer[1:]
		}
	}
}

func (e entry) sortName() string {
	if e.mode.isDir() {
		return e.name + "/"
	}
	return e.name
}
