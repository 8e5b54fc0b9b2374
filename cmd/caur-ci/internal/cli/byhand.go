package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/commit"
	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/state"
)

// byHand is what the commands bump, add and drop share: a maintainer's change of packages, made in the work tree or pushed
// as a commit (pipeline.md section 8).
type byHand struct {
	push, dryRun, json bool
	remote             string
}

func (h *byHand) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&h.push, "push", false, "make a commit on top of the remote's branch and push it; the checkout is left alone")
	f.BoolVarP(&h.dryRun, "dry-run", "n", false, "say what would change and change nothing")
	f.BoolVar(&h.json, "json", false, "report as JSON")
	f.StringVar(&h.remote, "remote", "origin", "the remote to push to")
}

const byHandHelp = `

The change is made in the work tree and staged, ready for 'git commit'. With --push, as in a pipeline, it becomes a commit
on top of what the remote's branch has now, and the on-commit pipeline of that commit schedules the builds.` + exitStatus

// handChange is what one of the commands wants.
type handChange struct {
	names   []string        // packages that change, sorted
	changes []commit.Change // paths from the top of the repository
	message string
	told    []string // one line a package, for people
}

func (c *handChange) add(name, told string, changes []commit.Change) {
	c.names = append(c.names, name)
	c.changes = append(c.changes, changes...)
	c.told = append(c.told, told)
}

// byHandReport is what --json prints.
type byHandReport struct {
	Packages []string `json:"packages"`
	Files    []string `json:"files"`
	Commit   string   `json:"commit,omitempty"`
	DryRun   bool     `json:"dry_run"`
}

// changer finds out what is to be changed, given the files that there are. It may be called again, after a race.
type changer func(ctx context.Context, cfg *state.RepoConfig, c *catalog) (*handChange, error)

func (a *app) runByHand(ctx context.Context, h byHand, change changer) (err error) {
	repo, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer closeRepo(ctx, repo, &err)
	cfg, err := a.repoConfig(ctx, repo)
	if err != nil {
		return err
	}
	if h.push {
		return a.pushByHand(ctx, repo, cfg, h, change)
	}
	files, err := repo.WorkTree()
	if errors.Is(err, gitrepo.ErrNoWorkTree) {
		return command.Usagef("%w: say --push to make a commit at the remote", err)
	}
	if err != nil {
		return err
	}
	c, err := newCatalog(ctx, files)
	if err != nil {
		return err
	}
	wanted, err := change(ctx, cfg, c)
	if err != nil {
		return err
	}
	if !h.dryRun {
		if err := stage(ctx, repo, wanted.changes); err != nil {
			return err
		}
	}
	return a.tellByHand(h, wanted, "")
}

// stage makes changes in the work tree and puts them into the index. Files with changes of their own are not touched.
func stage(ctx context.Context, repo *gitrepo.Repo, changes []commit.Change) error {
	if len(changes) == 0 {
		return nil
	}
	paths := make([]string, len(changes))
	for i, c := range changes {
		paths[i] = c.Path
	}
	args := []string{"--literal-pathspecs", "status", "--porcelain", "-z", "--untracked-files=all", "--"}
	out, err := repo.Program().Output(ctx, append(args, paths...)...)
	if err != nil {
		return err
	}
	if len(out) > 0 {
		dirty := strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
		return fmt.Errorf("these files have changes that are not committed (%s): commit or put them aside first", strings.Join(dirty, ", "))
	}
	root, err := os.OpenRoot(repo.Dir()) // links that lead out of the repository are not followed
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // a directory
	for _, c := range changes {
		if err := root.Remove(c.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if c.File != nil {
			if err := (pkgdir.Dir{c.Path: *c.File}).Write(repo.Dir()); err != nil {
				return err
			}
			continue
		}
		for dir := path.Dir(c.Path); dir != "."; dir = path.Dir(dir) {
			if root.Remove(dir) != nil { // not empty yet
				break
			}
		}
	}
	return repo.Program().Run(ctx, append([]string{"--literal-pathspecs", "add", "--all", "--"}, paths...)...)
}

// raceTries is how often a push begins anew because somebody else was faster.
const raceTries = 3

func (a *app) pushByHand(ctx context.Context, repo *gitrepo.Repo, cfg *state.RepoConfig, h byHand, change changer) error {
	by, err := a.author(ctx, repo, cfg)
	if err != nil {
		return err
	}
	if err := checkRemote(ctx, repo, h.remote); err != nil {
		return err
	}
	branch, err := a.defaultBranch(ctx, repo)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		wanted, id, err := a.pushOnce(ctx, repo, cfg, h, branch, by, change)
		switch {
		case errors.Is(err, git.ErrRaced) && try < raceTries:
			a.notef("%s has moved on meanwhile: working on what is there now", branch)
		case err != nil:
			return err
		default:
			return a.tellByHand(h, wanted, id)
		}
	}
}

// pushOnce works on what the remote's branch has now.
func (a *app) pushOnce(ctx context.Context, repo *gitrepo.Repo, cfg *state.RepoConfig, h byHand, branch string, by commit.Person, change changer) (*handChange, string, error) {
	ref := "refs/heads/" + branch
	refs, err := repo.RemoteRefs(ctx, h.remote, ref)
	if err != nil {
		return nil, "", err
	}
	if refs[ref] == "" {
		return nil, "", fmt.Errorf("%s has no branch %s", h.remote, branch)
	}
	if err := repo.FetchCommits(ctx, h.remote, branch); err != nil {
		return nil, "", err
	}
	head, err := repo.Commit(ctx, refs[ref])
	if err != nil {
		return nil, "", err
	}
	files, err := repo.At(ctx, head)
	if err != nil {
		return nil, "", err
	}
	c, err := newCatalog(ctx, files)
	if err != nil {
		return nil, "", err
	}
	wanted, err := change(ctx, cfg, c)
	if err != nil || h.dryRun || len(wanted.changes) == 0 {
		return wanted, "", err
	}
	ids, err := commit.Write(ctx, repo.Program(), by, time.Now(), []commit.Commit{{Parent: head.ID, Changes: wanted.changes, Message: wanted.message}})
	if err != nil {
		return nil, "", err
	}
	opts := git.PushOptions{ForceWithLease: map[string]string{ref: head.ID}}
	if err := repo.Program().PushAtomic(ctx, h.remote, []string{ids[0] + ":" + ref}, opts); err != nil {
		return nil, "", fmt.Errorf("%w; nothing at %s has changed", err, h.remote)
	}
	return wanted, ids[0], nil
}

func (a *app) tellByHand(h byHand, wanted *handChange, id string) error {
	if h.json {
		report := byHandReport{Packages: append([]string{}, wanted.names...), Files: []string{}, Commit: id, DryRun: h.dryRun}
		for _, c := range wanted.changes {
			report.Files = append(report.Files, c.Path)
		}
		slices.Sort(report.Files)
		return json.NewEncoder(a.io.Out).Encode(report)
	}
	for _, line := range wanted.told {
		if _, err := fmt.Fprintln(a.io.Out, command.Sanitize(line)); err != nil {
			return err
		}
	}
	subject, _, _ := strings.Cut(wanted.message, "\n")
	switch {
	case len(wanted.changes) == 0:
		a.notef("nothing to change")
	case h.dryRun:
		a.notef("nothing was changed: this was a try")
	case id != "":
		a.notef("pushed as %s: %s", short(id), subject)
	default:
		a.notef("staged; now: git commit -m '%s'", subject)
	}
	return nil
}

// named gives the packages that are asked for, without the classes that the pipeline's input allows.
func (a *app) named(c *catalog, args []string) ([]string, error) {
	requests, err := a.requests(args)
	if err != nil {
		return nil, err
	}
	if requests, err = a.expand(c, requests); err != nil {
		return nil, err
	}
	names := make([]string, len(requests))
	for i, r := range requests {
		names[i] = r.Pkgbase
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
