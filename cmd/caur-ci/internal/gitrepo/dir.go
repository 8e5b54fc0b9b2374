package gitrepo

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"

	"github.com/caur-build/caur/pkg/pkgdir"
)

// Dir walks the trees of the directory one level at a time, then reads all blobs in one go.
func (c *committed) Dir(ctx context.Context, dir string) (pkgdir.Dir, error) {
	top := c.known[""].find(dir)
	if !top.mode.isDir() {
		return nil, fmt.Errorf("%s: %w", dir, fs.ErrNotExist)
	}
	var ids []string
	var files []pkgdir.Change // path and kind; the content follows
	for level := []entry{{name: "", id: top.id}}; len(level) > 0; {
		below, err := c.repo.level(ctx, level, func(path string, e entry) {
			kind := pkgdir.Regular
			switch e.mode {
			case "120000":
				kind = pkgdir.Link
			case "100755":
				kind = pkgdir.Executable
			}
			ids, files = append(ids, e.id), append(files, pkgdir.Change{Path: path, New: &pkgdir.File{Kind: kind}})
		})
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", dir, err)
		}
		level = below
	}
	if len(files) > pkgdir.MaxFiles {
		return nil, fmt.Errorf("read %s: it has %d files, more than the %d that a package may have", dir, len(files), pkgdir.MaxFiles)
	}
	return c.repo.fill(ctx, dir, ids, files)
}

// level reads directories, whose names are paths, hands their files over and gives the directories below.
func (r *Repo) level(ctx context.Context, dirs []entry, file func(path string, e entry)) (below []entry, err error) {
	ids := make([]string, len(dirs))
	for i, d := range dirs {
		ids[i] = d.id
	}
	trees, err := r.trees(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i, t := range trees {
		entries, err := t.entries()
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			path := e.name
			if dirs[i].name != "" {
				path = dirs[i].name + "/" + e.name
			}
			switch {
			case e.mode.isDir():
				below = append(below, entry{name: path, id: e.id, mode: e.mode})
			case e.mode.isFile() || e.mode == "120000":
				file(path, e)
			}
		}
	}
	return below, nil
}

// fill reads the contents and makes the directory, which checks paths and sizes.
func (r *Repo) fill(ctx context.Context, dir string, ids []string, files []pkgdir.Change) (pkgdir.Dir, error) {
	d := make(pkgdir.Dir, len(files))
	err := r.readExisting(ctx, ids, func(i int, o object) error {
		if o.kind != "blob" || o.data == nil {
			return fmt.Errorf("%s/%s: it has %d bytes, more than the %d that are read", dir, files[i].Path, o.size, maxObject)
		}
		return d.Add(files[i].Path, pkgdir.File{Kind: files[i].New.Kind, Data: bytes.Clone(o.data)})
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", dir, err)
	}
	return d, nil
}
