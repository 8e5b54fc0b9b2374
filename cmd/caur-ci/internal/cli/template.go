package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caur-build/caur/cmd/caur-ci/internal/commit"
	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/state"
)

// ownFiles belong to the repository, whatever the template has (pipeline.md section 3, step 2).
var ownFiles = []string{configFile, maintainersFile, aurStateFile}

// updateTemplate is step 2 of section 3: CI files are replaced by those of TEMPLATE_REPO, URL or URL#COMMIT. When one
// changes, that is committed and pushed, and the run ends: the next one runs with the new files. Files that the template
// does not have stay. It gives the commit, "" when nothing changed.
func (a *app) updateTemplate(ctx context.Context, repo *gitrepo.Repo, cfg *state.RepoConfig, b *base, by commit.Person, dryRun bool) (string, error) {
	if !cfg.TemplateEnableUpdates || cfg.TemplateRepo == "" {
		return "", nil
	}
	url, pin, _ := strings.Cut(cfg.TemplateRepo, "#")
	scratch, err := os.MkdirTemp("", "caur-template-")
	if err != nil {
		return "", fmt.Errorf("make a folder for the template: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	template, id, err := fetchTemplate(ctx, scratch, url, pin)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil { // the CI files that are there will do for another run
		a.warnf("the CI files are not compared with the template: %v", err)
		return "", nil
	}
	changes, err := templateChanges(ctx, repo, b.head, template)
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
		Parent: b.head.ID, Changes: changes, Message: fmt.Sprintf("chore(ci): update CI from template\n\nTemplate commit %s.\n", id),
	})
}

// fetchTemplate reads the hidden files and folders at the top of the template: pipelines, their scripts and settings.
func fetchTemplate(ctx context.Context, scratch, url, pin string) (pkgdir.Dir, string, error) {
	cache, tree := filepath.Join(scratch, "template.git"), filepath.Join(scratch, "tree")
	id, err := git.FetchCommit(ctx, cache, url, pin)
	if err != nil {
		return nil, "", err
	}
	if err := git.Archive(ctx, cache, id, "", tree); err != nil {
		return nil, "", err
	}
	all, err := pkgdir.Read(tree)
	if err != nil {
		return nil, "", err
	}
	for _, path := range all.Paths() {
		if !strings.HasPrefix(path, ".") || slices.Contains(ownFiles, path) {
			delete(all, path)
		}
	}
	return all, id, nil
}

// templateChanges compares the template with what is committed. Only regular files count here: a link of ours in the
// place of a file of the template is replaced.
func templateChanges(ctx context.Context, repo *gitrepo.Repo, head gitrepo.Commit, template pkgdir.Dir) ([]commit.Change, error) {
	files, err := repo.At(ctx, head)
	if err != nil {
		return nil, err
	}
	paths := template.Paths()
	same := make([]bool, len(paths))
	err = files.Read(ctx, paths, func(i int, data []byte) error {
		same[i] = string(data) == string(template[paths[i]].Data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var changes []commit.Change
	for i, path := range paths {
		if f := template[path]; !same[i] && f.Kind != pkgdir.Link {
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
