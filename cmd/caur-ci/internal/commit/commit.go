// Package commit makes commits without a work tree and without an index: of main, of update-PKGBASE branches, of the state
// branch. All commits of a run go through one `git fast-import`, which needs no more than the trees of the parent, so that
// shallow and partial clones will do, and which either ends with every object on disk or fails as a whole.
//
// Nothing here moves a branch: a commit is an ID until it is pushed (internal/git, PushAtomic). A run that dies leaves
// objects that nothing refers to, which git clears away in time.
package commit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caur-build/caur/internal/childproc"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/pkg/pkgdir"
)

// Person is the author of automated commits (GIT_AUTHOR_NAME, GIT_AUTHOR_EMAIL).
type Person struct{ Name, Email string }

// Change gives a path of the tree new content, or takes it away.
type Change struct {
	Path string // from the top of the repository
	File *pkgdir.File
}

// Commit describes a commit to be made.
type Commit struct {
	Parent  string // full ID; "" begins a history of its own
	Message string
	Changes []Change // onto the tree of the parent
	Tree    string   // full ID of a tree onto which the changes go instead
	Whole   bool     // onto nothing: the tree has the changes only
}

// Dir lists the changes that turn the older content of a package directory into the newer one.
func Dir(pkgbase string, older, newer pkgdir.Dir) []Change {
	diff := pkgdir.Diff(older, newer)
	changes := make([]Change, len(diff))
	for i, c := range diff {
		changes[i] = Change{pkgbase + "/" + c.Path, c.New}
	}
	return changes
}

// Write makes the commits, in order, and gives their IDs. The time is that of author and committer.
func Write(ctx context.Context, repo git.Repo, by Person, at time.Time, list []Commit) ([]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	var input bytes.Buffer
	for i, c := range list {
		if err := c.write(&input, i+1, by, at); err != nil {
			return nil, err
		}
	}
	for i := range list {
		fmt.Fprintf(&input, "get-mark :%d\n", i+1)
	}
	for i := range list { // the names served their purpose: they must not stay
		fmt.Fprintf(&input, "reset %s\nfrom %s\n\n", scratchRef(i+1), strings.Repeat("0", 40))
	}
	input.WriteString("done\n")
	var out bytes.Buffer
	cmd := repo.Command("fast-import", "--quiet", "--force", "--done", "--date-format=raw", "--cat-blob-fd=1")
	cmd.Stdin, cmd.Stdout = &input, &out
	if err := childproc.Run(ctx, cmd); err != nil {
		return nil, fmt.Errorf("write %d commits: %w", len(list), err)
	}
	ids := strings.Fields(out.String())
	if len(ids) != len(list) || slices.ContainsFunc(ids, func(id string) bool { return !fullID.MatchString(id) }) {
		return nil, fmt.Errorf("write %d commits: git fast-import answered %q", len(list), out.String())
	}
	return ids, nil
}

var fullID = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

func scratchRef(mark int) string { return fmt.Sprintf("refs/caur/commit-%d", mark) }

// write writes a commit command as git-fast-import(1) describes it.
func (c Commit) write(to *bytes.Buffer, mark int, by Person, at time.Time) error {
	if strings.ContainsAny(by.Name+by.Email, "<>\n\x00") || by.Email == "" {
		return fmt.Errorf("%q <%s> cannot be the author of a commit: set GIT_AUTHOR_NAME and GIT_AUTHOR_EMAIL", by.Name, by.Email)
	}
	for _, id := range []string{c.Parent, c.Tree} {
		if id != "" && !fullID.MatchString(id) {
			return fmt.Errorf("%q is no full ID", id)
		}
	}
	fmt.Fprintf(to, "commit %s\nmark :%d\n", scratchRef(mark), mark)
	for _, role := range [...]string{"author", "committer"} {
		fmt.Fprintf(to, "%s %s <%s> %d +0000\n", role, by.Name, by.Email, at.Unix())
	}
	data(to, []byte(c.Message))
	if c.Parent != "" {
		fmt.Fprintf(to, "from %s\n", c.Parent)
	}
	switch {
	case c.Whole:
		to.WriteString("deleteall\n")
	case c.Tree != "":
		fmt.Fprintf(to, "M 040000 %s \n", c.Tree) // the empty path is the root
	}
	for _, change := range inOrder(c.Changes) {
		if err := pkgdir.CheckPath(change.Path); err != nil {
			return err
		}
		if strings.HasPrefix(change.Path, `"`) { // for fast-import the beginning of a quoted path; no pkgbase begins so
			return fmt.Errorf("%s: no directory at the top begins with a quote", change.Path)
		}
		if change.File == nil {
			fmt.Fprintf(to, "D %s\n", change.Path)
			continue
		}
		fmt.Fprintf(to, "M %s inline %s\n", modes[change.File.Kind], change.Path)
		data(to, change.File.Data)
	}
	to.WriteByte('\n')
	return nil
}

// inOrder puts what goes away first: a file may become a directory.
func inOrder(changes []Change) []Change {
	sorted := slices.Clone(changes)
	slices.SortStableFunc(sorted, func(a, b Change) int {
		if (a.File == nil) != (b.File == nil) {
			if a.File == nil {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Path, b.Path)
	})
	return sorted
}

var modes = map[pkgdir.Kind]string{pkgdir.Regular: "100644", pkgdir.Executable: "100755", pkgdir.Link: "120000"}

func data(to *bytes.Buffer, content []byte) {
	fmt.Fprintf(to, "data %d\n", len(content))
	to.Write(content)
	to.WriteByte('\n')
}

// Message is that of an update of packages (pipeline.md section 3, step 7): their names in the subject for up to four, else
// their number, and the names below.
func Message(scope string, names []string) string {
	if len(names) <= 4 {
		return fmt.Sprintf("chore(%s): %s\n", scope, strings.Join(names, ", "))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "chore(%s): packages (%d)\n\n", scope, len(names))
	width := 0
	for i, name := range names {
		if i < len(names)-1 {
			name += ","
		}
		switch {
		case width > 0 && width+1+len(name) > 100:
			b.WriteByte('\n')
			width = 0
		case width > 0:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(name)
		width += len(name)
	}
	b.WriteByte('\n')
	return b.String()
}

// SkipCI adds what GitHub reads in the subject; GitLab has a push option for it.
func SkipCI(message string) string {
	subject, rest, _ := strings.Cut(message, "\n")
	return subject + " [skip ci]\n" + rest
}

var automated = regexp.MustCompile(`^chore\(update\): .+`)

// Automated says whether a commit is one of ours that CI_OVERWRITE_COMMITS may replace: author and subject tell.
func Automated(ctx context.Context, repo git.Repo, id string, by Person) (bool, error) {
	out, err := repo.Output(ctx, "show", "-s", "--format=%ae%n%an%n%s", id, "--")
	if err != nil {
		return false, fmt.Errorf("read commit %s: %w", id, err)
	}
	var lines []string
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		lines = append(lines, s.Text())
	}
	if len(lines) < 3 {
		return false, errors.Join(fmt.Errorf("read commit %s: git show answered %q", id, out), io.ErrUnexpectedEOF)
	}
	return lines[0] == by.Email && lines[1] == by.Name && automated.MatchString(lines[2]), nil
}
