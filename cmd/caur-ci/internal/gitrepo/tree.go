package gitrepo

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// entry is one name in a tree.
type entry struct {
	name, id string
	mode     mode
}

// mode is the octal mode of a tree entry as git writes it.
type mode string

func (m mode) isDir() bool { return m == "40000" }

// isFile is true for regular files. Links (120000) are left out: what they point to need not be part of the repository;
// so are submodules (160000).
func (m mode) isFile() bool { return strings.HasPrefix(string(m), "100") }

// parseTree reads a tree object: "MODE NAME\0" and the ID in binary, idSize bytes long.
func parseTree(data []byte, idSize int) ([]entry, error) {
	entries := make([]entry, 0, len(data)/36)
	for len(data) > 0 {
		space := bytes.IndexByte(data, ' ')
		end := bytes.IndexByte(data, 0)
		if space < 0 || end < space || len(data) < end+1+idSize {
			return nil, errors.New("damaged tree")
		}
		entries = append(entries, entry{
			mode: mode(data[:space]),
			name: string(data[space+1 : end]),
			id:   hex.EncodeToString(data[end+1 : end+1+idSize]),
		})
		data = data[end+1+idSize:]
	}
	return entries, nil
}

// trees reads the trees with these IDs; an ID "" gives an empty one.
func (r *Repo) trees(ctx context.Context, ids []string) ([][]entry, error) {
	names := make([]string, 0, len(ids))
	index := make([]int, 0, len(ids))
	for i, id := range ids {
		if id != "" {
			names, index = append(names, id), append(index, i)
		}
	}
	list := make([][]entry, len(ids))
	err := r.readExisting(ctx, names, func(i int, o object) error {
		if o.kind != "tree" || o.data == nil {
			return fmt.Errorf("object %s is a %s of %d bytes, not a tree", o.id, o.kind, o.size)
		}
		entries, err := parseTree(o.data, len(o.id)/2)
		if err != nil {
			return fmt.Errorf("tree %s: %w", o.id, err)
		}
		list[index[i]] = entries
		return nil
	})
	return list, err
}
