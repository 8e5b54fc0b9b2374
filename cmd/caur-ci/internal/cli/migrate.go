package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/commit"
	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/template"
)

// bashFiles are the CI files of the Bash pipelines; those of .ci/awk/ are meant, too.
var bashFiles = []string{
	".ci/create-pr.sh", ".ci/manage-aur.sh", ".ci/manual-add.sh", ".ci/manual-bump.sh", ".ci/manual-drop.sh", ".ci/manual-schedule.sh",
	".ci/on-commit.sh", ".ci/on-schedule.sh", ".ci/schedule-packages.sh", ".ci/update-template.sh", ".ci/util.shlib",
	".gitlab-ci.yml", ".github/workflows/chaotic-on-commit.yml", ".github/workflows/chaotic-on-schedule.yml",
}

const (
	bashFolder  = ".ci/awk/"
	bashMark    = ".ci/util.shlib"
	caurMark    = ".ci/caur"
	migratedKey = "Caur-Migrated-From: " // trailer of the commit: where the files that it replaced are
)

type migrateOptions struct{ undo, dryRun, json bool }

func (a *app) migrate() *cobra.Command {
	var o migrateOptions
	cmd := &cobra.Command{
		Use:   "migrate [DIR]",
		Short: "Replace the Bash pipelines of a repository, or bring them back",
		Long: `Makes one commit in which the CI files of the Bash pipelines are replaced by those of caur, for the forge whose pipeline
is there. Packages, settings, CODEOWNERS and every other file stay as they are. Nothing is pushed. .ci/caur.env then has
to say which caur-ci the jobs run.

With --undo a second commit brings back the files that the first one replaced, byte for byte; they are taken from its
parent. What was changed since in other files stays.

Changes that are not committed stop it.` + exitStatus,
		Example: `  caur-ci migrate --dry-run
  caur-ci migrate && git push
  caur-ci migrate --undo && git push`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				a.repo = args[0]
			}
			return a.runMigrate(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.undo, "undo", false, "bring back what was replaced")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "say what would change and change nothing")
	f.BoolVar(&o.json, "json", false, "report as JSON")
	return cmd
}

// entry is a file of a tree, as git ls-tree tells it; mode "" is none.
type entry struct{ mode, blob string }

func (a *app) runMigrate(ctx context.Context, o migrateOptions) (err error) {
	repo, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer closeRepo(ctx, repo, &err)
	if repo.Bare() {
		return command.Usagef("a bare repository has no branch that is checked out: run this in a checkout")
	}
	if out, err := repo.Program().Output(ctx, "status", "--porcelain"); err != nil {
		return err
	} else if len(out) > 0 {
		return fmt.Errorf("there are changes that are not committed:\n%scommit or stash them first", out)
	}
	head, err := repo.Head(ctx)
	if err != nil {
		return err
	}
	now, err := entries(ctx, repo, head.ID)
	if err != nil {
		return err
	}
	change, message, err := a.migration(ctx, repo, head, now, o.undo)
	if err != nil {
		return err
	}
	report := migrateReport{Added: []string{}, Removed: []string{}, Replaced: []string{}}
	for path, e := range change {
		report.add(path, now[path], e)
	}
	if !o.dryRun {
		if report.Commit, err = a.commitMigration(ctx, repo, head, change, message); err != nil {
			return err
		}
	}
	return a.tellMigration(report, o)
}

// migration says what changes: to the files of the template, or back to those that a migration replaced.
func (a *app) migration(ctx context.Context, repo *gitrepo.Repo, head gitrepo.Commit, now map[string]entry, undo bool) (map[string]entry, string, error) {
	change := map[string]entry{}
	if undo {
		from, err := migratedFrom(ctx, repo)
		if err != nil {
			return nil, "", err
		}
		was, err := entries(ctx, repo, from)
		if err != nil {
			return nil, "", fmt.Errorf("the commit %s with the earlier files is not here (fetch the whole history: git fetch --unshallow): %w", short(from), err)
		}
		for _, m := range []map[string]entry{now, was} {
			for path := range m {
				if ciFile(path) && now[path] != was[path] {
					change[path] = was[path]
				}
			}
		}
		return change, fmt.Sprintf("chore(ci): back to the earlier pipelines\n\nThe CI files are those of %s again.\n", from), nil
	}
	if now[bashMark].mode == "" || now[".ci/on-commit.sh"].mode == "" {
		return nil, "", fmt.Errorf("there are no Bash pipelines here (no %s): 'caur-ci init' writes a new repository", bashMark)
	}
	a.warnAbout(repo, now)
	for path := range now {
		if slices.Contains(bashFiles, path) || strings.HasPrefix(path, bashFolder) {
			change[path] = entry{}
		}
	}
	files, err := template.Files(forgeOf(now))
	if err != nil {
		return nil, "", err
	}
	for path, f := range files {
		if !template.Owned(path) && (path != template.PinFile || now[template.PinFile].mode != "") {
			continue
		}
		e, err := blobOf(ctx, repo, path, f)
		if err != nil {
			return nil, "", err
		}
		change[path] = e
	}
	return change, "chore(ci): pipelines of caur\n\n'caur-ci migrate --undo' brings the earlier ones back.\n\n" + migratedKey + head.ID + "\n", nil
}

// ciFile says whether a migration may touch the path.
func ciFile(path string) bool {
	return slices.Contains(bashFiles, path) || strings.HasPrefix(path, bashFolder) || template.Owned(path) || path == template.PinFile
}

// forgeOf says whose pipelines a repository has; GitLab's where it has none.
func forgeOf(now map[string]entry) template.Forge {
	lab := now[".gitlab-ci.yml"].mode != ""
	hub := now[".github/workflows/chaotic-on-commit.yml"].mode != "" || now[".github/workflows/caur-on-commit.yml"].mode != ""
	switch {
	case lab && hub:
		return template.Both
	case hub:
		return template.GitHub
	}
	return template.GitLab
}

func (a *app) warnAbout(repo *gitrepo.Repo, now map[string]entry) {
	if cfg, err := a.configIn(repo.Dir()); err != nil {
		a.warnf("%v", err)
	} else if cfg.TemplateEnableUpdates && cfg.TemplateRepo != "" {
		a.warnf("TEMPLATE_REPO names a template of the Bash pipelines, from which caur takes nothing: delete the line to follow the template inside caur-ci, or name one of yours")
	}
	for path := range now {
		if ok, _ := filepath.Match(".gitlab-ci-*.yml", path); ok {
			a.warnf("%s stays and is included: its jobs get no before_script any more, and so none of the programs that it installed", path)
		}
	}
}

// entries lists what a commit has in hidden folders and files at the top.
func entries(ctx context.Context, repo *gitrepo.Repo, id string) (map[string]entry, error) {
	out, err := repo.Program().Output(ctx, "ls-tree", "-r", "-z", "--full-tree", id, ".ci", ".github", ".gitlab-ci.yml")
	if err != nil {
		return nil, err
	}
	list := map[string]entry{}
	for line := range strings.SplitSeq(string(out), "\x00") {
		meta, path, found := strings.Cut(line, "\t")
		if fields := strings.Fields(meta); found && len(fields) == 3 {
			list[path] = entry{fields[0], fields[2]}
		}
	}
	top, err := repo.Program().Output(ctx, "ls-tree", "-z", "--full-tree", id)
	for line := range strings.SplitSeq(string(top), "\x00") {
		meta, path, found := strings.Cut(line, "\t")
		if fields := strings.Fields(meta); found && strings.HasPrefix(path, ".") && len(fields) == 3 && fields[1] == "blob" {
			list[path] = entry{fields[0], fields[2]}
		}
	}
	return list, err
}

func blobOf(ctx context.Context, repo *gitrepo.Repo, path string, f pkgdir.File) (entry, error) {
	out, err := repo.Program().Feed(ctx, string(f.Data), "hash-object", "-w", "--stdin", "--no-filters")
	if err != nil {
		return entry{}, fmt.Errorf("write %s: %w", path, err)
	}
	mode := "100644"
	if f.Kind == pkgdir.Executable {
		mode = "100755"
	}
	return entry{mode, strings.TrimSpace(string(out))}, nil
}

func migratedFrom(ctx context.Context, repo *gitrepo.Repo) (string, error) {
	out, err := repo.Program().Output(ctx, "log", "-1", "--format=%B", "--grep=^"+migratedKey)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(out)) {
		if id, is := strings.CutPrefix(line, migratedKey); is {
			return strings.TrimSpace(id), nil
		}
	}
	return "", fmt.Errorf("no commit of 'caur-ci migrate' in the history of HEAD: nothing to undo (in a shallow clone: git fetch --unshallow)")
}

// commitMigration commits the files and brings the checkout there.
func (a *app) commitMigration(ctx context.Context, repo *gitrepo.Repo, head gitrepo.Commit, change map[string]entry, message string) (string, error) {
	cfg, err := a.repoConfig(ctx, repo)
	if err != nil {
		return "", err
	}
	by, err := a.author(ctx, repo, cfg)
	if err != nil {
		return "", err
	}
	scratch, err := os.MkdirTemp("", "caur-migrate-")
	if err != nil {
		return "", fmt.Errorf("make a folder for the index: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	program := repo.Program()
	program.Env = append(slices.Clone(program.Env), "GIT_INDEX_FILE="+filepath.Join(scratch, "index"))
	if err := program.Run(ctx, "read-tree", head.ID); err != nil {
		return "", err
	}
	var lines strings.Builder
	for path, e := range change {
		if e.mode == "" {
			e = entry{"0", strings.Repeat("0", len(head.ID))}
		}
		fmt.Fprintf(&lines, "%s %s\t%s\x00", e.mode, e.blob, path)
	}
	if _, err := program.Feed(ctx, lines.String(), "update-index", "-z", "--index-info"); err != nil {
		return "", err
	}
	tree, err := program.Output(ctx, "write-tree")
	if err != nil {
		return "", err
	}
	ids, err := commit.Write(ctx, repo.Program(), by, time.Now(), []commit.Commit{{Parent: head.ID, Tree: strings.TrimSpace(string(tree)), Message: message}})
	if err != nil {
		return "", err
	}
	if err := repo.Program().Run(ctx, "merge", "-q", "--ff-only", ids[0]); err != nil {
		return "", fmt.Errorf("the commit %s is made, but the checkout did not follow: %w", ids[0], err)
	}
	return ids[0], nil
}

// migrateReport is what --json prints. Keys may be added.
type migrateReport struct {
	Added    []string `json:"added"`
	Removed  []string `json:"removed"`
	Replaced []string `json:"replaced"`
	Commit   string   `json:"commit,omitempty"`
}

func (r *migrateReport) add(path string, was, is entry) {
	list := &r.Replaced
	switch {
	case was == is:
		return
	case is.mode == "":
		list = &r.Removed
	case was.mode == "":
		list = &r.Added
	}
	*list = append(*list, path)
	slices.Sort(*list)
}

func (a *app) tellMigration(r migrateReport, o migrateOptions) error {
	if o.json {
		return json.NewEncoder(a.io.Out).Encode(r)
	}
	for _, part := range []struct {
		word string
		list []string
	}{{"add", r.Added}, {"replace", r.Replaced}, {"remove", r.Removed}} {
		for _, path := range part.list {
			if _, err := fmt.Fprintf(a.io.Out, "%-8s %s\n", part.word, path); err != nil {
				return err
			}
		}
	}
	switch {
	case o.dryRun:
		a.notef("nothing was changed")
	case o.undo:
		a.notef("committed as %s; push it to switch back", short(r.Commit))
	default:
		a.notef("committed as %s; say in %s which caur-ci the jobs run, then push it to switch", short(r.Commit), template.PinFile)
	}
	return nil
}
