package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/redisconn"
	"github.com/caur-build/caur/pkg/deptree"
	"github.com/caur-build/caur/pkg/queue"
)

// defaultRepo is the manager's default for both repositories.
const defaultRepo = "chaotic-aur"

// scheduleOptions are the flags of schedule: those of today's manager.
type scheduleOptions struct {
	arch, target, source, commit, mirror, tree string
}

func (a *app) schedule() *cobra.Command {
	var o scheduleOptions
	cmd := &cobra.Command{
		Use:   "schedule [flags] PKGBASE[/CLASS]...",
		Short: "Put packages into the build queue, with the command line of the earlier manager",
		Long: `Enqueues packages as one batch, with the command line of the earlier manager; new pipelines use 'caur-ci'. A package that waits
already is replaced; one that is being built is built anew. CLASS is the class of the builder, default 1.

The dependency tree comes from .ci/deptree.txt in $CI_PROJECT_DIR, $CI_BUILDS_DIR, $GITHUB_WORKSPACE or the working directory,
else from --deptree.` + settingsHelp(redisconn.Config{}) + exitStatus,
		Example: `  caur-exec schedule --target-repo=my-repo --source-repo=packages firefox-nightly/3 yay
  caur-exec schedule --arch aarch64 --commit "$CI_COMMIT_SHA:$CI_PIPELINE_ID" yay`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("schedule: no package is named, so nothing was scheduled")
			}
			return a.runSchedule(cmd.Context(), o, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.arch, "arch", "x86_64", "architecture to build for")
	f.StringVar(&o.target, "target-repo", defaultRepo, "`REPO` that gets the packages")
	f.StringVar(&o.source, "source-repo", defaultRepo, "`REPO` of PKGBUILDs, a name of the database role's PACKAGE_REPOS")
	f.StringVar(&o.commit, "commit", "", "`SHA:PIPELINE` that asks for the build, for statuses and links")
	f.StringVar(&o.mirror, "arch-mirror", "", "`URL` of a mirror for the distribution's packages")
	f.StringVar(&o.tree, "deptree", "", "dependency tree as `TEXT`, where there is no .ci/deptree.txt")
	return cmd
}

func (a *app) runSchedule(ctx context.Context, o scheduleOptions, packages []string) error {
	tree, err := a.readTree(o.tree)
	if err != nil {
		return err
	}
	jobs, err := o.jobs(packages, tree)
	if err != nil {
		return err
	}
	return a.withQueue(ctx, func(q *queue.Queue) error {
		done, err := q.Enqueue(ctx, queue.Batch{Jobs: jobs})
		if err != nil {
			return err
		}
		a.notef("%d packages wait to be built for %s, %d of them anew", len(done.Added), o.target, len(done.Replaced)+len(done.CanceledRuns))
		for _, id := range done.CanceledRuns {
			a.notef("the build of %s that was under way is stopped", id)
		}
		return nil
	})
}

// treeFile is where pipelines leave the dependency tree (pipeline.md section 6).
const treeFile = ".ci/deptree.txt"

// readTree reads the tree file where there is one, else text. Its names win over those of a text on the command line,
// which had to be cut to fit there.
func (a *app) readTree(text string) (map[string]deptree.Node, error) {
	from := "--deptree"
	places := []string{"CI_PROJECT_DIR", "CI_BUILDS_DIR", "GITHUB_WORKSPACE", ""}
	for _, variable := range places {
		dir := "."
		if variable != "" {
			if dir, _ = a.io.Getenv(variable); dir == "" {
				continue
			}
		}
		file := filepath.Join(dir, treeFile)
		data, err := os.ReadFile(file)
		if err == nil {
			from, text = file, string(data)
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read the dependency tree: %w", err)
		}
	}
	nodes, err := deptree.ParseText(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	tree := make(map[string]deptree.Node, len(nodes))
	for _, n := range nodes {
		tree[n.Pkgbase] = n
	}
	return tree, nil
}

// jobs makes the batch. Of a package that is named twice the last counts, as in the manager.
func (o scheduleOptions) jobs(packages []string, tree map[string]deptree.Node) ([]queue.Job, error) {
	var jobs []queue.Job
	place := map[string]int{}
	for _, p := range packages {
		pkgbase, class, _ := strings.Cut(p, "/")
		if pkgbase == "" || strings.HasPrefix(pkgbase, "-") {
			return nil, command.Usagef("schedule: %q is no package", p)
		}
		job := queue.Job{
			Pkgbase: pkgbase, TargetRepo: o.target, SourceRepo: o.source, Arch: o.arch, Class: class,
			Pkgnames: []string{pkgbase}, Commit: o.commit, ArchMirror: o.mirror,
		}
		if node, ok := tree[pkgbase]; ok {
			job.Dependencies = node.Deps
			if len(node.Names) > 0 {
				job.Pkgnames = node.Names
			}
		}
		if i, twice := place[pkgbase]; twice {
			jobs[i] = job
			continue
		}
		place[pkgbase] = len(jobs)
		jobs = append(jobs, job)
	}
	return jobs, nil
}

// withQueue connects to the queue for the time of do.
func (a *app) withQueue(ctx context.Context, do func(*queue.Queue) error) error {
	var where redisconn.Config
	if err := a.load(ctx, &where); err != nil {
		return err
	}
	rdb, err := redisconn.Open(ctx, where)
	if err != nil {
		return redisError(err)
	}
	defer rdb.Close()
	return do(queue.New(rdb))
}

// cleanupOptions are the flags of auto-repo-remove.
type cleanupOptions struct {
	arch, target, commit string
	force                bool
	patience             time.Duration
}

func (a *app) autoRepoRemove() *cobra.Command {
	var o cleanupOptions
	cmd := &cobra.Command{
		Use:   "auto-repo-remove [flags] [PKGBASE...]",
		Short: "Remove every package from a repository whose pkgbase is not listed",
		Long: `Asks the database role to clean a target repo up: it removes the packages of every pkgbase that is not listed, and split packages
that the newest build of their pkgbase no longer made. It waits for the result. A list that would remove more than a third
of the repo is refused unless --force is given.` + settingsHelp(redisconn.Config{}) + exitStatus,
		Example: `  caur-exec auto-repo-remove --target-repo=my-repo $(ls packages)`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && !o.force {
				return errors.New("auto-repo-remove: no pkgbase is named, which would remove every package; --force does that")
			}
			return a.runCleanup(cmd.Context(), o, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.arch, "arch", "x86_64", "architecture of the repository")
	f.StringVar(&o.target, "target-repo", defaultRepo, "`REPO` to clean up")
	f.StringVar(&o.commit, "commit", "", "`SHA:PIPELINE` that asks for it, for statuses and links")
	f.BoolVar(&o.force, "force", false, "remove more than a third of the repository if need be, or with no PKGBASE all of it")
	f.DurationVar(&o.patience, "patience", time.Hour, "how long to wait for the result")
	return cmd
}

func (a *app) runCleanup(ctx context.Context, o cleanupOptions, pkgbases []string) error {
	return a.withQueue(ctx, func(q *queue.Queue) error {
		done, err := q.Enqueue(ctx, queue.Batch{Cleanup: &queue.Cleanup{
			TargetRepo: o.target, Arch: o.arch, Pkgbases: pkgbases, Commit: o.commit, Force: o.force,
		}})
		if err != nil {
			return err
		}
		a.notef("clean-up of %s is in the queue, waiting for its result", o.target)
		late := fmt.Errorf("the clean-up of %s has no result after %v: does a database role run? It stays in the queue", o.target, o.patience)
		waitCtx, cancel := context.WithTimeoutCause(ctx, o.patience, late)
		defer cancel()
		status, message, err := q.WaitTask(waitCtx, done.CleanupID)
		switch {
		case err != nil && ctx.Err() == nil && waitCtx.Err() != nil:
			return context.Cause(waitCtx)
		case err != nil:
			return err
		case status != queue.Success:
			return fmt.Errorf("the clean-up of %s ended with %s: %s", o.target, status, message)
		}
		a.notef("the clean-up of %s is done: %s", o.target, message)
		return nil
	})
}
