package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/caur-build/caur/cmd/caur-ci/internal/commit"
	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/state"
	"github.com/caur-build/caur/template"
)

// updateTemplate is step 2 of section 3: CI files are replaced by those of TEMPLATE_REPO, URL#COMMIT with a full commit
// hash, or without one by those inside this program. Only the template's own paths are looked at (template.Owned). When one
// changes, that is committed and pushed, and the run ends: the next one runs with the new files. Files that the template
// does not have stay. It gives the commit, "" when nothing changed.
func (a *app) updateTemplate(ctx context.Context, repo *gitrepo.Repo, cfg *state.RepoConfig, b *base, by commit.Person, dryRun bool) (string, error) {
	if !cfg.TemplateEnableUpdates {
		return "", nil
	}
	have, err := entries(ctx, repo, b.head.ID)
	if err != nil {
		return "", err
	}
	files, id, err := newestTemplate(ctx, cfg.TemplateRepo, have)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil { // the CI files that are there will do for another run
		a.warnf("the CI files are not compared with the template: %v", err)
		return "", nil
	}
	changes, err := templateChanges(ctx, repo, have, files)
	if err != nil || len(changes) == 0 {
		return "", err
	}
	a.notef("%s of the template (%s) changed", count(len(changes), "CI file"), short(id))
	for _, c := range changes {
		a.notef("  %s", c.Path)
	}
	if dryRun {
		return "", nil
	}
	return a.pushTemplate(ctx, repo, b, by, commit.Commit{
		Parent: b.head.ID, Changes: changes, Message: fmt.Sprintf("chore(ci): update CI from template\n\nTemplate: %s.\n", id),
	})
}

var fullHash = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// newestTemplate gives the files of the template that belong to it, and where they come from; none for a repository that
// has not the pipelines of caur and names no template.
func newestTemplate(ctx context.Context, source string, have map[string]entry) (pkgdir.Dir, string, error) {
	if source == "" {
		if have[caurMark].mode == "" {
			return nil, "", nil
		}
		files, err := template.OwnedFiles(forgeOf(have))
		return files, "built in", err
	}
	url, pin, _ := strings.Cut(source, "#")
	if !fullHash.MatchString(pin) {
		return nil, "", fmt.Errorf("TEMPLATE_REPO is not pinned: CI files decide what runs with the secrets of the pipeline, so name a full commit hash, URL#COMMIT")
	}
	scratch, err := os.MkdirTemp("", "caur-template-")
	if err != nil {
		return nil, "", fmt.Errorf("make a folder for the template: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	files, err := fetchTemplate(ctx, scratch, url, pin)
	return files, pin, err
}

// fetchTemplate reads the paths that belong to the template. One of the Bash pipelines is refused: it would bring them back.
func fetchTemplate(ctx context.Context, scratch, url, pin string) (pkgdir.Dir, error) {
	cache, tree := filepath.Join(scratch, "template.git"), filepath.Join(scratch, "tree")
	id, err := git.FetchCommit(ctx, cache, url, pin)
	if err != nil {
		return nil, err
	}
	if err := git.Archive(ctx, cache, id, "", tree); err != nil {
		return nil, err
	}
	all, err := pkgdir.Read(tree)
	if err != nil {
		return nil, err
	}
	if _, is := all[caurMark]; !is {
		return nil, fmt.Errorf("%s has no %s: it is no template of caur", pin, caurMark)
	}
	files := pkgdir.Dir{}
	for path, f := range all {
		if template.Owned(path) && f.Kind != pkgdir.Link {
			files[path] = f
		}
	}
	return files, nil
}

// templateChanges compares content and executable bit of the template's files with what is committed. A link of ours in
// the place of one is replaced.
func templateChanges(ctx context.Context, repo *gitrepo.Repo, have map[string]entry, files pkgdir.Dir) ([]commit.Change, error) {
	var changes []commit.Change
	for _, path := range files.Paths() {
		f := files[path]
		is, err := blobOf(ctx, repo, path, f)
		if err != nil {
			return nil, err
		}
		if have[path] != is {
			changes = append(changes, commit.Change{Path: path, File: &f})
		}
	}
	return changes, nil
}

// pushTemplate commits and pushes main, and the tag with it: no package changed, so nothing is to be scheduled.
func (a *app) pushTemplate(ctx context.Context, repo *gitrepo.Repo, b *base, by commit.Person, c commit.Commit) (string, error) {
	_, gitlab := a.pipelineCommit()
	if v, _ := a.io.Getenv("GITHUB_ACTIONS"); v != "" {
		c.Message = commit.SkipCI(c.Message)
	}
	ids, err := commit.Write(ctx, repo.Program(), by, time.Now(), []commit.Commit{c})
	if err != nil {
		return "", err
	}
	opts := git.PushOptions{ForceWithLease: map[string]string{"refs/heads/" + b.branch: b.head.ID}}
	specs := []string{ids[0] + ":refs/heads/" + b.branch}
	if tag := "refs/tags/" + scheduledTag; b.ref(tag) == b.head.ID { // else commits before are still to be scheduled
		specs = append(specs, ids[0]+":"+tag)
		opts.ForceWithLease[tag] = b.head.ID
	}
	if gitlab {
		opts.PushOptions = []string{"ci.skip"}
	}
	if err := repo.Program().PushAtomic(ctx, b.remote, specs, opts); err != nil {
		return "", fmt.Errorf("push the CI files of the template: %w (a token needs the right to change pipeline files); nothing at %s has changed", err, b.remote)
	}
	a.notef("pushed as %s; this run ends here, the next one uses the new files", short(ids[0]))
	return ids[0], nil
}
