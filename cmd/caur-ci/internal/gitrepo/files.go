package gitrepo

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/caur-build/caur/pkg/pkgdir"
)

// Files is what a repository holds at one moment. There are two: a commit (Repo.At) and the work tree (Repo.WorkTree).
type Files interface {
	// Dirs lists the directories at the top whose names do not begin with a dot, sorted by bytes. Links and
	// submodules are no directories.
	Dirs() []string
	// Has says for each dir whether it holds a regular file of that name (no slash in it).
	Has(ctx context.Context, dirs []string, file string) ([]bool, error)
	// Read calls got with the content of each path that is a regular file; what does not exist or is something else, such
	// as a link, is left out. The data is only valid during the call, and got may be called by several goroutines at
	// once, in any order. The first error ends the reading.
	Read(ctx context.Context, paths []string, got func(i int, data []byte) error) error
	// Dir reads everything in a dir; fs.ErrNotExist when there is none of that name. Submodules are left out.
	Dir(ctx context.Context, dir string) (pkgdir.Dir, error)
}

// At gives the files of a commit, without a work tree.
func (r *Repo) At(ctx context.Context, commit Commit) (Files, error) {
	trees, err := r.trees(ctx, []string{commit.Tree})
	if err != nil {
		return nil, fmt.Errorf("read the tree of commit %s: %w", commit.ID, err)
	}
	return &committed{repo: r, known: map[string]tree{"": trees[0]}}, nil
}

// committed reads the files of a commit, by ID.
type committed struct {
	repo  *Repo
	known map[string]tree // directories read so far, by path; the top is ""
}

func (c *committed) Dirs() []string {
	var dirs []string
	// A tree that is damaged was refused when it was read.
	_ = c.known[""].each(func(m, name, _ []byte) bool {
		if mode(m).isDir() && !bytes.HasPrefix(name, []byte(".")) {
			dirs = append(dirs, string(name))
		}
		return true
	})
	return sorted(dirs)
}

func (c *committed) Has(ctx context.Context, dirs []string, file string) ([]bool, error) {
	if err := c.learn(ctx, dirs); err != nil {
		return nil, err
	}
	has := make([]bool, len(dirs))
	for i, dir := range dirs {
		has[i] = c.known[dir].find(file).mode.isFile()
	}
	return has, nil
}

func (c *committed) Read(ctx context.Context, paths []string, got func(i int, data []byte) error) error {
	dirs := make([]string, len(paths))
	for i, path := range paths {
		dirs[i], _ = splitPath(path)
	}
	if err := c.learn(ctx, dirs); err != nil {
		return err
	}
	ids := make([]string, 0, len(paths))
	index := make([]int, 0, len(paths))
	for i, path := range paths {
		_, file := splitPath(path)
		if e := c.known[dirs[i]].find(file); e.mode.isFile() {
			ids, index = append(ids, e.id), append(index, i)
		}
	}
	return c.repo.readExisting(ctx, ids, func(n int, o object) error {
		if o.kind != "blob" || o.data == nil {
			return fmt.Errorf("%s: it has %d bytes, more than the %d that are read", paths[index[n]], o.size, maxObject)
		}
		return got(index[n], o.data)
	})
}

// learn reads the directories that are not known yet, one level at a time. One that does not exist becomes empty.
func (c *committed) learn(ctx context.Context, dirs []string) error {
	for {
		var paths, ids []string
		waiting := false
		asked := map[string]bool{}
		for _, dir := range dirs {
			path, id, ok := c.firstUnknown(dir)
			if !ok {
				continue
			}
			waiting = true
			if asked[path] {
				continue
			}
			asked[path] = true
			paths, ids = append(paths, path), append(ids, id)
		}
		if !waiting {
			return nil
		}
		trees, err := c.repo.trees(ctx, ids)
		if err != nil {
			return fmt.Errorf("read %d directories: %w", len(ids), err)
		}
		for i, path := range paths {
			c.known[path] = trees[i]
		}
	}
}

// firstUnknown gives the topmost directory on the way to dir that has not been read; the ID is "" when there is none.
func (c *committed) firstUnknown(dir string) (path, id string, ok bool) {
	if _, known := c.known[dir]; known {
		return "", "", false
	}
	parent, name := splitPath(dir)
	if path, id, ok = c.firstUnknown(parent); ok {
		return path, id, true
	}
	if e := c.known[parent].find(name); e.mode.isDir() {
		id = e.id
	}
	return dir, id, true
}

func splitPath(path string) (dir, file string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}
