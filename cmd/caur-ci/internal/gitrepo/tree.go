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

// tree is the content of a tree object as git stores it: "MODE NAME\0" and the ID in binary, for each entry.
type tree struct {
	data   []byte
	idSize int // bytes of an ID
}

var errDamagedTree = errors.New("damaged tree")

// each calls got for each entry until it returns false. The names are only valid during the call.
func (t tree) each(got func(m, name, id []byte) bool) error {
	for data := t.data; len(data) > 0; {
		space := bytes.IndexByte(data, ' ')
		end := bytes.IndexByte(data, 0)
		if space < 0 || end < space || len(data) < end+1+t.idSize {
			return errDamagedTree
		}
		next := end + 1 + t.idSize
		if !got(data[:space], data[space+1:end], data[end+1:next]) {
			return nil
		}
		data = data[next:]
	}
	return nil
}

func newEntry(m, name, id []byte) entry {
	return entry{mode: mode(m), name: string(name), id: hex.EncodeToString(id)}
}

func (t tree) entries() ([]entry, error) {
	list := make([]entry, 0, len(t.data)/36)
	err := t.each(func(m, name, id []byte) bool {
		list = append(list, newEntry(m, name, id))
		return true
	})
	return list, err
}

// find looks a name up; the zero entry when there is none. Most trees are asked for one or two names, so nothing else
// is made of them.
func (t tree) find(name string) (found entry) {
	// A tree that is damaged was refused when it was read.
	_ = t.each(func(m, n, id []byte) bool {
		if string(n) != name {
			return true
		}
		found = newEntry(m, n, id)
		return false
	})
	return found
}

// trees reads the trees with these IDs; an ID "" gives an empty one.
func (r *Repo) trees(ctx context.Context, ids []string) ([]tree, error) {
	names := make([]string, 0, len(ids))
	index := make([]int, 0, len(ids))
	for i, id := range ids {
		if id != "" {
			names, index = append(names, id), append(index, i)
		}
	}
	list := make([]tree, len(ids))
	err := r.readExisting(ctx, names, func(i int, o object) error {
		if o.kind != "tree" || o.data == nil {
			return fmt.Errorf("object %s is a %s of %d bytes, not a tree", o.id, o.kind, o.size)
		}
		t := tree{data: bytes.Clone(o.data), idSize: len(o.id) / 2}
		if err := t.each(func(_, _, _ []byte) bool { return true }); err != nil {
			return fmt.Errorf("tree %s: %w", o.id, err)
		}
		list[index[i]] = t
		return nil
	})
	return list, err
}
