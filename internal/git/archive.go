package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/caur-build/caur/internal/childproc"
)

// Bounds of what Archive extracts.
const (
	MaxArchiveBytes = 512 << 20
	MaxArchiveFiles = 20_000
)

// Archive extracts the directory path ("" for all) of a commit into destDir, which must be empty or not there. Files are
// byte for byte what the commit holds: attributes of the repository (export-ignore, export-subst, line ends, filters)
// have no say, which is why this is not git-archive(1). Only regular files (0644 or 0755), directories and symbolic links
// that stay inside are accepted; a submodule becomes an empty directory. Everything else, a name that leads outside, and
// more than MaxArchiveBytes or MaxArchiveFiles is refused. After an error destDir is as before.
//
// The error is ErrNotFound when the commit or directory is not there.
func Archive(ctx context.Context, bareDir, commit, path, destDir string) error {
	entries, err := listTree(ctx, bareDir, commit, path)
	if err != nil {
		return err
	}
	_, statErr := os.Lstat(destDir)
	if err := os.MkdirAll(destDir, 0o755); err != nil {
		return err
	}
	if left, err := os.ReadDir(destDir); err != nil || len(left) > 0 {
		return errors.Join(fmt.Errorf("extract %s: %s is not an empty directory", path, destDir), err)
	}
	err = extract(ctx, bareDir, entries, destDir)
	if err == nil {
		return nil
	}
	return errors.Join(fmt.Errorf("extract %s of commit %s: %w", path, commit, err), clear(destDir, statErr != nil))
}

func clear(dir string, remove bool) error {
	if remove {
		return os.RemoveAll(dir)
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// treeEntry is a line of git ls-tree -r -l.
type treeEntry struct {
	mode, sha, name string
	size            int64
}

// listTree lists the files below a directory of a commit and checks names, kinds and total size before anything is
// written.
func listTree(ctx context.Context, bareDir, commit, dir string) ([]treeEntry, error) {
	if !isHash(commit) {
		return nil, fmt.Errorf("%q is not a full commit hash", commit)
	}
	tree := commit + "^{tree}"
	if dir = path.Clean(dir); dir != "." && dir != "/" {
		if !filepath.IsLocal(dir) {
			return nil, fmt.Errorf("%q is not a directory of a repository", dir)
		}
		tree = commit + ":" + dir
	}
	list := command{gitDir: bareDir, dir: bareDir, args: []string{"ls-tree", "-r", "-l", "-z", "--full-tree", tree}}
	out, err := list.output(ctx)
	if err != nil {
		var exit *childproc.ExitError
		if errors.As(err, &exit) && exit.Code == 128 && containsAny(exit.Stderr, "Not a valid object", "not a tree object") {
			return nil, fmt.Errorf("directory %s of commit %s: %w: %w", dir, commit, ErrNotFound, err)
		}
		return nil, err
	}
	var entries []treeEntry
	var total int64
	for line := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if line == "" {
			continue
		}
		e, err := parseTreeEntry(line)
		if err != nil {
			return nil, fmt.Errorf("directory %s of commit %s: %w", dir, commit, err)
		}
		entries = append(entries, e)
		if total += e.size; total > MaxArchiveBytes || len(entries) > MaxArchiveFiles {
			return nil, fmt.Errorf("directory %s of commit %s has more than %d MiB or %d files",
				dir, commit, MaxArchiveBytes>>20, MaxArchiveFiles)
		}
	}
	return entries, nil
}

// parseTreeEntry reads MODE SP TYPE SP HASH SP SIZE TAB NAME.
func parseTreeEntry(line string) (treeEntry, error) {
	meta, name, _ := strings.Cut(line, "\t")
	fields := strings.Fields(meta)
	if len(fields) != 4 {
		return treeEntry{}, fmt.Errorf("unexpected line %q of git ls-tree", line)
	}
	e := treeEntry{mode: fields[0], sha: fields[2], name: name}
	if !fs.ValidPath(name) || name == "." {
		return e, fmt.Errorf("refused: the name %q leads outside", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.EqualFold(part, ".git") {
			return e, fmt.Errorf("refused: the name %q belongs to git", name)
		}
	}
	switch e.mode {
	case "100644", "100755", "100664", "120000":
		size, err := strconv.ParseInt(fields[3], 10, 64)
		if err != nil {
			return e, fmt.Errorf("unexpected size of %q: %w", name, err)
		}
		e.size = size
	case "160000":
	default:
		return e, fmt.Errorf("refused: %q has the mode %s", name, e.mode)
	}
	return e, nil
}

// extract writes the entries below destDir. All names go through os.Root, which follows no link that leads out.
func extract(ctx context.Context, bareDir string, entries []treeEntry, destDir string) error {
	root, err := os.OpenRoot(destDir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	var ask bytes.Buffer
	for _, e := range entries {
		if e.mode != "160000" {
			ask.WriteString(e.sha + "\n")
		}
	}
	read, write := io.Pipe()
	c := command{gitDir: bareDir, dir: bareDir, args: []string{"cat-file", "--batch"}}
	child := c.child()
	child.Stdin, child.Stdout = &ask, write
	ended := make(chan error, 1)
	go func() {
		err := c.run(ctx, child)
		_ = write.CloseWithError(errors.Join(err, io.ErrUnexpectedEOF))
		ended <- err
	}()
	err = writeEntries(root, bufio.NewReaderSize(read, 64<<10), entries)
	_ = read.CloseWithError(errStopped)
	runErr := <-ended
	if err == nil && !errors.Is(runErr, errStopped) {
		return runErr
	}
	return err
}

// errStopped ends the reading of blobs after the last one that is wanted.
var errStopped = errors.New("no more blobs wanted")

func writeEntries(root *os.Root, blobs *bufio.Reader, entries []treeEntry) error {
	for _, e := range entries {
		if dir := path.Dir(e.name); dir != "." {
			if err := root.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		if e.mode == "160000" {
			if err := root.MkdirAll(e.name, 0o755); err != nil {
				return err
			}
			continue
		}
		if err := writeBlob(root, blobs, e); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return nil
}

// writeBlob reads one answer of git cat-file --batch, HASH SP TYPE SP SIZE LF CONTENTS LF, into a new file or link.
func writeBlob(root *os.Root, blobs *bufio.Reader, e treeEntry) error {
	header, err := blobs.ReadString('\n')
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("%s blob %d\n", e.sha, e.size); header != want {
		return fmt.Errorf("git cat-file answers %q instead of %q", header, want)
	}
	content := io.LimitReader(blobs, e.size)
	if e.mode == "120000" {
		err = writeLink(root, content, e)
	} else {
		err = writeFile(root, content, e)
	}
	if err != nil {
		return err
	}
	_, err = blobs.Discard(1)
	return err
}

func writeFile(root *os.Root, content io.Reader, e treeEntry) (err error) {
	perm := fs.FileMode(0o644)
	if e.mode == "100755" {
		perm = 0o755
	}
	f, err := root.OpenFile(e.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, err := io.Copy(f, content)
	if err == nil && n != e.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	return f.Chmod(perm) // whatever the umask is
}

func writeLink(root *os.Root, content io.Reader, e treeEntry) error {
	const maxTarget = 4096 // PATH_MAX
	if e.size > maxTarget {
		return fmt.Errorf("refused: the target of the link has %d bytes", e.size)
	}
	target, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	if !staysInside(e.name, string(target)) {
		return fmt.Errorf("refused: a link to %q leads outside", target)
	}
	return root.Symlink(string(target), e.name)
}

// staysInside says whether a link can be followed without leaving the tree, whatever other links are in it: ".." may
// only stand at the beginning of the target, and not climb higher than the link is deep. A ".." after a name is refused
// since that name may be a link to somewhere less deep.
func staysInside(name, target string) bool {
	if target == "" || strings.HasPrefix(target, "/") || strings.ContainsRune(target, 0) {
		return false
	}
	depth := strings.Count(name, "/")
	down := false
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "..":
			if depth--; depth < 0 || down {
				return false
			}
		case ".", "":
		default:
			down = true
		}
	}
	return true
}
