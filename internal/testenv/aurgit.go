package testenv

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// data is an argument of git fast-import(1).
func data(s string) string { return fmt.Sprintf("data %d\n%s\n", len(s), s) }

// feed is Git with text on standard input.
func (g *GitRepo) feed(input string, args ...string) string {
	g.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = g.Dir, g.env
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		g.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// Push makes the newest commit of pkgbases, in the mirror: their files by path. A file whose content begins with
// "symlink " is a link to the rest.
func (a *AUR) Push(commits ...AURCommit) {
	a.t.Helper()
	var stream strings.Builder
	heads := a.Heads()
	for _, c := range commits {
		author := c.Author
		if author == "" {
			author = "Ann Author <ann@example.org>"
		}
		subject := c.Subject
		if subject == "" {
			subject = "update"
		}
		fmt.Fprintf(&stream, "commit refs/heads/%s\nauthor %s %d +0000\ncommitter %s %d +0000\n%s",
			c.Pkgbase, author, c.Time, author, c.Time, data(subject))
		if head := heads[c.Pkgbase]; head != "" {
			fmt.Fprintf(&stream, "from %s\n", head)
			delete(heads, c.Pkgbase) // the next one of this stream follows this one
		}
		stream.WriteString("deleteall\n")
		paths := make([]string, 0, len(c.Files))
		for path := range c.Files {
			paths = append(paths, path)
		}
		slices.Sort(paths)
		for _, path := range paths {
			mode, content := "100644", c.Files[path]
			if target, is := strings.CutPrefix(content, "symlink "); is {
				mode, content = "120000", target
			}
			fmt.Fprintf(&stream, "M %s inline %s\n%s", mode, path, data(content))
		}
	}
	a.repo.feed(stream.String(), "--git-dir="+a.mirror(), "fast-import", "--quiet", "--force")
}

// AURCommit is a commit of Push.
type AURCommit struct {
	Pkgbase string
	Files   map[string]string
	Author  string // NAME <MAIL>
	Subject string
	Time    int64 // in seconds since 1970
}

// PushTree makes a commit with a tree of one file whose name git itself would not let pass: "../x", ".git".
func (a *AUR) PushTree(pkgbase, name, content string) {
	a.t.Helper()
	blob := a.repo.feed(content, "--git-dir="+a.mirror(), "hash-object", "-w", "--stdin")
	a.commitTree(pkgbase, a.tree("100644", name, blob))
}

// PushFolder is PushTree with an empty folder of that name.
func (a *AUR) PushFolder(pkgbase, name string) {
	a.t.Helper()
	empty := a.repo.feed("", "--git-dir="+a.mirror(), "hash-object", "-t", "tree", "-w", "--stdin")
	a.commitTree(pkgbase, a.tree("40000", name, empty))
}

func (a *AUR) tree(mode, name, object string) string {
	a.t.Helper()
	id, err := hex.DecodeString(object)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.repo.feed(mode+" "+name+"\x00"+string(id), "--git-dir="+a.mirror(), "hash-object", "-t", "tree", "-w", "--literally", "--stdin")
}

func (a *AUR) commitTree(pkgbase, tree string) {
	a.t.Helper()
	git := "--git-dir=" + a.mirror()
	a.repo.Git(git, "update-ref", "refs/heads/"+pkgbase, a.repo.feed("hostile", git, "commit-tree", tree))
}

// Heads gives the newest commit of each pkgbase in the mirror.
func (a *AUR) Heads() map[string]string {
	a.t.Helper()
	heads := map[string]string{}
	for line := range strings.Lines(a.repo.Git("--git-dir="+a.mirror(), "for-each-ref", "--format=%(objectname) %(refname:strip=2)", "refs/heads/")) {
		sha, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		heads[name] = sha
	}
	return heads
}

// Lag moves the branch of a pkgbase to where it was before its newest commit, or away when there was none: the mirror
// has not seen the newest one yet. The AUR's own repository, which Direct makes, has it.
func (a *AUR) Lag(pkgbase string) {
	a.t.Helper()
	git := "--git-dir=" + a.mirror()
	if a.repo.Git(git, "rev-list", "--count", "refs/heads/"+pkgbase) == "1" {
		a.repo.Git(git, "update-ref", "-d", "refs/heads/"+pkgbase)
		return
	}
	a.repo.Git(git, "update-ref", "refs/heads/"+pkgbase, "refs/heads/"+pkgbase+"^")
}

// Direct makes the AUR's own repository of a pkgbase, with what the mirror has now.
func (a *AUR) Direct(pkgbase string) {
	a.t.Helper()
	bare := filepath.Join(a.Git.Dir, "aur", pkgbase+".git")
	if _, err := os.Stat(bare); err != nil {
		a.repo.Git("init", "-q", "--bare", "--template=", "-b", "master", bare)
	}
	a.repo.Git("--git-dir="+bare, "fetch", "-q", a.mirror(), "+refs/heads/"+pkgbase+":refs/heads/master")
}

func (a *AUR) mirror() string { return filepath.Join(a.Git.Dir, "mirror.git") }
