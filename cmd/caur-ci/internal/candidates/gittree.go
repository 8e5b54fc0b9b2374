package candidates

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/pkg/pkgdir"
)

// blob is a file in a tree of git.
type blob struct {
	path, id string
	kind     pkgdir.Kind
	size     int64
}

// readCommit reads all files of a commit. Number and sizes are known before any content is read; submodules are left out.
func readCommit(ctx context.Context, repo git.Repo, commit string) (pkgdir.Dir, error) {
	listing, err := repo.Output(ctx, "ls-tree", "-r", "-z", "-l", "--full-tree", commit)
	if err != nil {
		return nil, err
	}
	blobs, err := parseTree(listing)
	if err != nil {
		return nil, err
	}
	var ids strings.Builder
	for _, b := range blobs {
		ids.WriteString(b.id + "\n")
	}
	content, err := repo.Feed(ctx, ids.String(), "cat-file", "--batch")
	if err != nil {
		return nil, err
	}
	files := make(pkgdir.Dir, len(blobs))
	for _, b := range blobs {
		var data []byte
		if data, content, err = nextObject(content, b); err != nil {
			return nil, err
		}
		if err := files.Add(b.path, pkgdir.File{Kind: b.kind, Data: data}); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// parseTree reads lines MODE TYPE ID SIZE<tab>PATH that end with NUL.
func parseTree(listing []byte) ([]blob, error) {
	var list []blob
	var total int64
	for line := range bytes.SplitSeq(listing, []byte{0}) {
		if len(line) == 0 {
			continue
		}
		about, path, _ := strings.Cut(string(line), "\t")
		fields := strings.Fields(about)
		if len(fields) != 4 {
			return nil, fmt.Errorf("git ls-tree: unexpected line %q", line)
		}
		b := blob{path: path, id: fields[2]}
		switch fields[0] {
		case "160000":
			continue
		case "120000":
			b.kind = pkgdir.Link
		case "100755":
			b.kind = pkgdir.Executable
		}
		size, err := strconv.ParseInt(fields[3], 10, 64)
		if err != nil || fields[1] != "blob" {
			return nil, fmt.Errorf("git ls-tree: unexpected line %q", line)
		}
		b.size = size
		total += size
		if len(list) == pkgdir.MaxFiles {
			return nil, fmt.Errorf("it has more than the %d files that a package may have", pkgdir.MaxFiles)
		}
		if total > pkgdir.MaxBytes {
			return nil, fmt.Errorf("it is larger than the %d MiB that a package may have", pkgdir.MaxBytes>>20)
		}
		list = append(list, b)
	}
	return list, nil
}

// nextObject takes one answer off the output of git cat-file --batch: ID TYPE SIZE, the content, a line break.
func nextObject(output []byte, b blob) (data, rest []byte, err error) {
	head, rest, found := bytes.Cut(output, []byte{'\n'})
	if want := fmt.Sprintf("%s blob %d", b.id, b.size); !found || string(head) != want || int64(len(rest)) <= b.size || rest[b.size] != '\n' {
		return nil, nil, fmt.Errorf("git cat-file: %.80q for %q", head, b.path)
	}
	return rest[:b.size:b.size], rest[b.size+1:], nil
}
