package testenv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// git runs git in the bare repository.
func (f *forgeHost) git(args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = f.Dir
	cmd.Env = append(cmd.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_COUNT=1",
		"GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*", "GIT_AUTHOR_NAME=Forge", "GIT_AUTHOR_EMAIL=forge@example.org",
		"GIT_COMMITTER_NAME=Forge", "GIT_COMMITTER_EMAIL=forge@example.org")
	out, err := cmd.Output()
	return strings.TrimSuffix(string(out), "\n"), err
}

// heads gives the branches and their newest commits. It reads git's files, as it is asked for at every request.
func (f *forgeHost) heads() map[string]string {
	heads := map[string]string{}
	packed, err := os.ReadFile(filepath.Join(f.Dir, "packed-refs"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.t.Errorf("branches: %v", err)
	}
	for line := range strings.Lines(string(packed)) {
		if sha, ref, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(ref, "refs/heads/") {
			heads[strings.TrimPrefix(ref, "refs/heads/")] = sha
		}
	}
	loose := filepath.Join(f.Dir, "refs", "heads")
	err = filepath.WalkDir(loose, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".lock") {
			return err
		}
		sha, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted meanwhile
		}
		name, _ := filepath.Rel(loose, path)
		heads[name] = strings.TrimSpace(string(sha))
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.t.Errorf("branches: %v", err)
	}
	return heads
}

// follow takes over what was pushed: new commits, and branches that are gone, which closes their requests.
func (f *forgeHost) follow() {
	heads := f.heads()
	for _, m := range f.requests {
		if m.State != "open" || m.Fork {
			continue
		}
		sha, there := heads[m.Branch]
		switch {
		case there:
			m.HeadSHA, m.tracked = sha, true
		case m.tracked:
			m.State = "closed"
		}
	}
}

// touched gives the lines of the new file that a diff with so many lines of context shows; nil when the file is not in it.
func (f *forgeHost) touched(target, head, file string, context int) map[int]bool {
	out, err := f.git("diff", "--no-color", fmt.Sprintf("-U%d", context), target+"..."+head, "--", file)
	if err != nil || out == "" {
		return nil
	}
	lines := map[int]bool{}
	at := 0
	for line := range strings.Lines(out) {
		var from, count int
		if _, after, ok := strings.Cut(line, " +"); ok && strings.HasPrefix(line, "@@ ") {
			if n, _ := fmt.Sscanf(after, "%d,%d", &from, &count); n > 0 {
				at = from
			}
			continue
		}
		if at > 0 && (line[0] == '+' || line[0] == ' ') {
			lines[at] = true
			at++
		}
	}
	return lines
}

// merge merges a branch into its target, as one commit without a second parent when flat; false on a conflict.
func (f *forgeHost) merge(m *MergeRequest, flat bool) bool {
	tree, err := f.git("merge-tree", "--write-tree", m.Target, m.HeadSHA)
	if err != nil {
		return false
	}
	old, err := f.git("rev-parse", "refs/heads/"+m.Target)
	if err != nil {
		return false
	}
	args := []string{"commit-tree", tree, "-p", old, "-m", fmt.Sprintf("Merge branch '%s' into '%s'\n\n%s", m.Branch, m.Target, m.Title)}
	if !flat {
		args = append(args, "-p", m.HeadSHA)
	}
	commit, err := f.git(args...)
	if err == nil {
		_, err = f.git("update-ref", "refs/heads/"+m.Target, commit, old)
	}
	if err != nil {
		f.t.Errorf("merge %s: %v", m.Branch, err)
		return false
	}
	m.State = "merged"
	return true
}

// deleteBranch deletes a branch; false when there is none.
func (f *forgeHost) deleteBranch(name string) bool {
	if _, there := f.heads()[name]; !there {
		return false
	}
	if _, err := f.git("update-ref", "-d", "refs/heads/"+name); err != nil {
		f.t.Errorf("delete %s: %v", name, err)
	}
	return true
}
