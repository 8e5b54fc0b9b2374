package publish

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// change is one change of the disk, as the seam sees it. Paths are relative to the directory of the target repos.
type change struct {
	op   string // create, write, fsync, mkdir, rename, link, symlink, touch, remove, removeAll, sync
	path string
	from string // rename, link: what was there; symlink: the target
	data []byte // write
}

// recorder passes changes on to a real directory, remembers them in order, and lets those fail that fail says.
type recorder struct {
	root    string
	changes []change
	fail    func(n int, c change) error
}

func (r *recorder) note(c change, do func() error) error {
	for _, path := range []*string{&c.path, &c.from} {
		if rel, err := filepath.Rel(r.root, *path); err == nil {
			*path = rel
		}
	}
	r.changes = append(r.changes, c)
	if r.fail != nil {
		if err := r.fail(len(r.changes), c); err != nil {
			return err
		}
	}
	return do()
}

func (r *recorder) Create(path string) (diskFile, error) {
	var f diskFile
	err := r.note(change{op: "create", path: path}, func() (err error) { f, err = osDisk{}.Create(path); return err })
	if err != nil {
		return nil, err
	}
	return &recordedFile{r, path, f}, nil
}

func (r *recorder) Mkdir(path string) error {
	return r.note(change{op: "mkdir", path: path}, func() error { return osDisk{}.Mkdir(path) })
}

func (r *recorder) Rename(from, to string) error {
	if !exists(from) { // no change, but an answer that callers rely on
		return osDisk{}.Rename(from, to)
	}
	return r.note(change{op: "rename", path: to, from: from}, func() error { return osDisk{}.Rename(from, to) })
}

func (r *recorder) Link(from, to string) error {
	return r.note(change{op: "link", path: to, from: from}, func() error { return osDisk{}.Link(from, to) })
}

func (r *recorder) Symlink(target, path string) error {
	return r.note(change{op: "symlink", path: path, data: []byte(target)}, func() error { return osDisk{}.Symlink(target, path) })
}

func (r *recorder) Touch(path string, at time.Time) error {
	return r.note(change{op: "touch", path: path}, func() error { return osDisk{}.Touch(path, at) })
}

func (r *recorder) Remove(path string) error {
	return r.note(change{op: "remove", path: path}, func() error { return osDisk{}.Remove(path) })
}

func (r *recorder) RemoveAll(path string) error {
	return r.note(change{op: "removeAll", path: path}, func() error { return osDisk{}.RemoveAll(path) })
}

// Sync is only recorded: what it is for is tried by dropping what was not synced, and the tests need not wait.
func (r *recorder) Sync(path string) error {
	return r.note(change{op: "sync", path: path}, func() error { _, err := os.Stat(path); return err })
}

// recordedFile hides ReadFrom, so that every byte comes through Write.
type recordedFile struct {
	r    *recorder
	path string
	f    diskFile
}

func (f *recordedFile) Write(b []byte) (n int, err error) {
	err = f.r.note(change{op: "write", path: f.path, data: bytes.Clone(b)}, func() error { n, err = f.f.Write(b); return err })
	if errors.Is(err, syscall.ENOSPC) {
		n, _ = f.f.Write(b[:len(b)/2]) // a full disk takes a part
	}
	return n, err
}

func (f *recordedFile) Sync() error {
	return f.r.note(change{op: "fsync", path: f.path}, func() error { return nil })
}

func (f *recordedFile) Close() error { return f.f.Close() }

// inode is a file, directory or link of the simulated disk.
type inode struct {
	dir, link     bool
	data, durable []byte // as written; as of the last fsync
}

// power is a disk that can lose its power: it knows which changes have been synced.
type power struct {
	start map[string]*inode
	names map[string]*inode // as seen while the power is on
	log   []*nameChange
}

// nameChange is a change of a directory. It survives a loss of power once the directory was synced; before that it may.
type nameChange struct {
	change
	node    *inode
	durable bool
}

func newPower(root string) (*power, error) {
	p := &power{start: make(map[string]*inode)}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		node := &inode{dir: e.IsDir(), link: e.Type() == fs.ModeSymlink}
		switch {
		case node.link:
			target, err := os.Readlink(path)
			node.data = []byte(target)
			p.start[rel] = node
			return err
		case !node.dir:
			if node.data, err = os.ReadFile(path); err != nil {
				return err
			}
			node.durable = node.data
		}
		p.start[rel] = node
		return nil
	})
	p.names = maps.Clone(p.start)
	return p, err
}

// do makes one change while the power is on.
func (p *power) do(c change) {
	switch c.op {
	case "write":
		node := p.names[c.path]
		node.data = append(node.data[:len(node.data):len(node.data)], c.data...)
	case "fsync":
		p.names[c.path].durable = p.names[c.path].data
	case "sync":
		if node := p.names[c.path]; node != nil && !node.dir {
			node.durable = node.data
			return
		}
		for _, n := range p.log {
			n.durable = n.durable || filepath.Dir(n.path) == c.path
		}
	case "touch":
	default:
		n := &nameChange{change: c}
		switch c.op {
		case "create":
			n.node = &inode{}
		case "mkdir":
			n.node = &inode{dir: true}
		case "symlink":
			n.node = &inode{link: true, data: c.data}
		case "rename", "link":
			n.node = p.names[c.from]
		}
		p.log = append(p.log, n)
		n.apply(p.names)
	}
}

func (n *nameChange) apply(names map[string]*inode) {
	switch n.op {
	case "create", "mkdir", "symlink", "link":
		names[n.path] = n.node
	case "rename":
		for _, name := range slices.Collect(maps.Keys(names)) {
			if rest, below := strings.CutPrefix(name, n.from+"/"); below {
				names[filepath.Join(n.path, rest)] = names[name]
				delete(names, name)
			}
		}
		if names[n.from] == n.node {
			delete(names, n.from)
		}
		names[n.path] = n.node
	case "remove":
		delete(names, n.path)
	case "removeAll":
		for name := range names {
			if name == n.path || strings.HasPrefix(name, n.path+"/") {
				delete(names, name)
			}
		}
	}
}

// The ways in which a disk may look after its power came back, from what an unkind file system does to what a kind one
// does.
const (
	lost      = "everything that was not synced is lost"
	namesOnly = "all names are there, and of files what was synced"
	some      = "some names are there, and some of the content"
	all       = "everything is there"
)

// off tells what is on the disk after a loss of power, as a text that is the same for the same content, and how to put it
// into a directory.
func (p *power) off(how string, dice *rand.Rand) (state string, write func(dir string) error) {
	names := maps.Clone(p.start)
	for _, n := range p.log {
		if n.durable || how == namesOnly || how == all || (how == some && dice.IntN(2) == 0) {
			n.apply(names)
		}
	}
	content := make(map[string][]byte)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(names)) {
		node := names[name]
		if parent := names[filepath.Dir(name)]; name != "." && (parent == nil || !parent.dir) {
			delete(names, name)
			continue
		}
		data := node.durable
		switch extra := len(node.data) - len(node.durable); {
		case how == all || node.link:
			data = node.data
		case how == some && extra > 0:
			data = node.data[:len(node.durable)+dice.IntN(extra)]
		}
		content[name] = data
		fmt.Fprintf(&text, "%s %v %v %x\n", name, node.dir, node.link, sha256.Sum256(data))
	}
	return text.String(), func(dir string) error {
		for _, name := range slices.Sorted(maps.Keys(names)) {
			path, err := filepath.Join(dir, name), error(nil)
			switch node := names[name]; {
			case node.dir:
				err = os.MkdirAll(path, 0o755)
			case node.link:
				err = os.Symlink(string(content[name]), path)
			default:
				err = os.WriteFile(path, content[name], 0o644)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}
