package aursync

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/caur-build/caur/pkg/pkgdir"
)

// Bounds of what a commit may hold, beside those of a package directory.
const (
	maxCommit  = 1 << 20
	maxTree    = 4 << 20
	maxDepth   = 16
	maxFolders = 500
)

// readCommit reads a commit and all of its files. Names, kinds and sizes are those that somebody else wrote: pkgdir says
// which of them are let in.
func (o *objects) readCommit(id string) (*Fetched, error) {
	data, err := o.read(id, "commit", maxCommit)
	if err != nil {
		return nil, err
	}
	commit, tree := parseCommit(id, data)
	t := treeReader{objects: o, files: pkgdir.Dir{}, left: pkgdir.MaxBytes}
	if err := t.read("", tree, 0); err != nil {
		return nil, fmt.Errorf("commit %.12s: %w", id, err)
	}
	return &Fetched{Files: t.files, Commit: commit}, nil
}

// parseCommit reads what git-cat-file(1) prints of a commit. Missing or odd lines leave their fields empty.
func parseCommit(id string, data []byte) (c Commit, tree string) {
	c.ID = id
	head, message, _ := bytes.Cut(data, []byte("\n\n"))
	for line := range strings.Lines(string(head)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch {
		case key == "tree" && tree == "":
			tree = value
		case key == "author" && c.AuthorName == "" && c.AuthorEmail == "":
			c.AuthorName, c.AuthorEmail, _ = person(value)
		case key == "committer" && c.Time.IsZero():
			_, _, c.Time = person(value)
		}
	}
	first, _, _ := strings.Cut(strings.TrimLeft(string(message), "\n"), "\n")
	c.Subject = tidy(first)
	return c, tree
}

// person reads NAME <MAIL> SECONDS ZONE.
func person(s string) (name, mail string, at time.Time) {
	name, rest, _ := strings.Cut(s, "<")
	mail, when, _ := strings.Cut(rest, ">")
	if fields := strings.Fields(when); len(fields) > 0 {
		if n, err := strconv.ParseInt(fields[0], 10, 64); err == nil && n >= 0 && n < 1<<38 {
			at = time.Unix(n, 0).UTC()
		}
	}
	return tidy(name), tidy(mail), at
}

// tidy makes a text of somebody else one short printable line.
func tidy(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\ufffd' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return strings.TrimSpace(s)
}

type treeReader struct {
	objects *objects
	files   pkgdir.Dir
	left    int64 // bytes that may still come
	folders int
}

func (t *treeReader) read(dir, id string, depth int) error {
	if t.folders++; depth > maxDepth || t.folders > maxFolders {
		return fmt.Errorf("it has more folders than a package may have (%d, %d deep)", maxFolders, maxDepth)
	}
	data, err := t.objects.read(id, "tree", maxTree)
	if err != nil {
		return err
	}
	for len(data) > 0 {
		head, rest, found := bytes.Cut(data, []byte{0})
		mode, name, _ := strings.Cut(string(head), " ")
		size := len(id) / 2
		if !found || len(rest) < size {
			return errors.New("a damaged folder")
		}
		entry := hex.EncodeToString(rest[:size])
		data = rest[size:]
		full := name
		if dir != "" {
			full = dir + "/" + name
		}
		if err := t.entry(mode, full, entry, depth); err != nil {
			return err
		}
	}
	return nil
}

func (t *treeReader) entry(mode, full, id string, depth int) error {
	var f pkgdir.File
	switch strings.TrimLeft(mode, "0") {
	case "160000": // a submodule has no files here
		return nil
	case "40000":
		// An empty folder with a bad name would not show up as a file.
		if err := pkgdir.CheckPath(full + "/x"); err != nil {
			return &pkgdir.Error{Path: full, Reason: "is no folder that a package may have"}
		}
		return t.read(full, id, depth+1)
	case "120000":
		f.Kind = pkgdir.Link
	case "100755":
		f.Kind = pkgdir.Executable
	case "100644", "100664":
	default:
		return &pkgdir.Error{Path: full, Reason: "is neither a file nor a link"}
	}
	if err := pkgdir.CheckPath(full); err != nil { // before it is read
		return err
	}
	if len(t.files) >= pkgdir.MaxFiles {
		return &pkgdir.Error{Path: full, Reason: fmt.Sprintf("is one file too many: a package has at most %d", pkgdir.MaxFiles)}
	}
	var err error
	if f.Data, err = t.objects.read(id, "blob", t.left); err != nil {
		return fmt.Errorf("%q: %w", full, err)
	}
	t.left -= int64(len(f.Data))
	return t.files.Add(full, f)
}
