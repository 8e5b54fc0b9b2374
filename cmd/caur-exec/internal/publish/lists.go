package publish

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/caur-build/caur/internal/syncdb"
)

// writeLists writes pkgs.txt, pkgs.files.txt and lastupdate of a target repo. db is the database of l, nil when it is
// to be read.
func (p *Publisher) writeLists(l layout, db *syncdb.DB) error {
	all, err := arches(l.root, l.repo)
	if err != nil {
		return err
	}
	var packages, files []string
	for _, arch := range all {
		of := db
		if arch != l.arch || db == nil {
			other := layout{root: l.root, repo: l.repo, arch: arch}
			path := other.abs(other.file(other.dbName("db")))
			if !exists(path) {
				continue // its first publish is not complete
			}
			if of, err = syncdb.Read(path); err != nil {
				return err
			}
		}
		for e := range of.Each() {
			packages = append(packages, e.Name+"-"+e.Version+"/")
		}
		if of != db {
			of.Close()
		}
		names, err := packageFiles(filepath.Join(l.root, arch))
		if err != nil {
			return err
		}
		files = append(files, names...)
	}
	now := strconv.FormatInt(p.o.Now().Unix(), 10)
	for _, list := range []struct {
		name    string
		content []byte
	}{{"pkgs.txt", lines(packages)}, {"pkgs.files.txt", lines(files)}, {"lastupdate", []byte(now + "\n")}} {
		if err := p.replace(l, list.name, list.content); err != nil {
			return err
		}
	}
	return p.disk.Sync(l.root)
}

// lines sorts names, drops what is there twice (packages of architecture any) and joins them.
func lines(names []string) []byte {
	slices.Sort(names)
	var b bytes.Buffer
	for _, name := range slices.Compact(names) {
		b.WriteString(name)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func hashFile(ctx context.Context, path string) (sum string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, &untilDone{ctx, f})
	return hex.EncodeToString(h.Sum(nil)), size, err
}
