package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-exec/internal/reconcile"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/redirects"
	"github.com/caur-build/caur/internal/redisconn"
	"github.com/caur-build/caur/pkg/queue"
)

// databaseTimeout is the time for a repository database from a server.
const databaseTimeout = 10 * time.Minute

type reconcileOptions struct {
	reconcile.Options
	database, source, branch, cache string
	dryRun, asJSON, again           bool
}

func (a *app) reconcile() *cobra.Command {
	var o reconcileOptions
	cmd := &cobra.Command{
		Use:   "reconcile --database DB [flags]",
		Short: "Enqueue what the repository lacks and the queue has lost",
		Long: `Compares the database of a target repo with the head of its source repository and with the queue, and enqueues what the repository lacks
or has in an older version, unless it is in the queue already. For the time after Redis has lost something: a crash without append-only file, a
fail-over. What the repository has in a newer version stays, as VCS packages do, whose .SRCINFO is often older than their build.

Doing it again enqueues nothing, as long as the same is missing; so a package whose build fails is tried once for each head. --again asks
once more. Wanted versions include a bump (CI_PACKAGE_BUMP).` + settingsHelp(redisconn.Config{}) + exitStatus,
		Example: `  caur-exec reconcile --database /srv/http/repos/chaotic-aur/x86_64/chaotic-aur.db --dry-run
  caur-exec reconcile --target-repo my-repo --database https://repo.example.org/my-repo/x86_64/my-repo.db --source https://git.example.org/packages.git`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runReconcile(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.database, "database", "", "database of the target repo: a file or an http(s) address")
	f.StringVar(&o.TargetRepo, "target-repo", "chaotic-aur", "target repo")
	f.StringVar(&o.SourceRepo, "source-repo", "chaotic-aur", "source repo")
	f.StringVar(&o.Arch, "arch", "x86_64", "architecture")
	f.StringVar(&o.Class, "class", "1", "class of packages that name none")
	f.StringVar(&o.source, "source", "", "URL or directory of the source repository (default: as the database role advertises)")
	f.StringVar(&o.branch, "branch", "", "branch of it (default: its HEAD)")
	f.StringVar(&o.cache, "cache", "", "bare repository to fetch into (default: caur/reconcile in the user's cache directory)")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "say what would be enqueued and change nothing")
	f.BoolVar(&o.asJSON, "json", false, "print JSON")
	f.BoolVar(&o.again, "again", false, "enqueue also what an earlier call has enqueued and is missing still")
	return cmd
}

func (a *app) runReconcile(ctx context.Context, o reconcileOptions) error {
	if o.database == "" {
		return command.Usagef("reconcile: --database is not given: the file or address of the target repo's database, such as REPO.db")
	}
	if o.cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("reconcile: --cache is not given: %w", err)
		}
		o.cache = filepath.Join(dir, "caur", "reconcile")
	}
	return a.withQueue(ctx, func(q *queue.Queue) error {
		report, err := a.compare(ctx, q, o)
		if err != nil {
			return err
		}
		var done queue.Enqueued
		if o.again && report.Batch != "" {
			report.Batch += ":" + time.Now().UTC().Format("20060102T150405Z")
		}
		if !o.dryRun && len(report.Jobs) > 0 {
			if done, err = q.Enqueue(ctx, queue.Batch{ID: report.Batch, Jobs: report.Jobs, Missing: true}); err != nil {
				return err
			}
		}
		return a.tell(report, done, o)
	})
}

func (a *app) compare(ctx context.Context, q *queue.Queue, o reconcileOptions) (reconcile.Report, error) {
	if o.source == "" {
		advert, err := q.Advertised(ctx)
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			return reconcile.Report{}, err
		}
		if advert != nil {
			o.source = advert.SourceRepos[o.SourceRepo].URL
		}
		if o.source == "" {
			return reconcile.Report{}, command.Usagef("reconcile: --source is not given, and no database role advertises where the source repo %s is", o.SourceRepo)
		}
	}
	client := &http.Client{Timeout: databaseTimeout, CheckRedirect: redirects.AtMost(5)}
	published, err := reconcile.Published(ctx, client, o.database)
	if err != nil {
		return reconcile.Report{}, err
	}
	head, packages, warnings, err := reconcile.Packages(ctx, o.cache, o.source, o.branch)
	if err != nil {
		return reconcile.Report{}, err
	}
	for _, text := range warnings {
		a.notef("warning: %s", text)
	}
	o.Head = head
	// The queue last: what was published meanwhile was in the queue then, and is enqueued once too often at worst, never too little.
	s, err := q.Snapshot(ctx)
	if err != nil {
		return reconcile.Report{}, err
	}
	return reconcile.Compare(published, packages, aliveIn(s), o.Options), nil
}

func aliveIn(s *queue.Snapshot) map[string]bool {
	alive := map[string]bool{}
	for _, j := range s.Waiting {
		alive[j.Job.ID()] = true
	}
	for _, j := range s.Running {
		alive[j.Job.ID()] = true
	}
	for _, j := range s.Publishing {
		if j.Job != nil {
			alive[j.Job.ID()] = true
		}
	}
	return alive
}

func (a *app) tell(report reconcile.Report, done queue.Enqueued, o reconcileOptions) error {
	if o.asJSON {
		data, err := json.Marshal(struct {
			reconcile.Report
			Enqueued  []string `json:"enqueued"`
			Duplicate bool     `json:"duplicate"`
		}{report, append([]string{}, done.Added...), done.Duplicate})
		if err != nil {
			return fmt.Errorf("reconcile: report as JSON: %w", err)
		}
		a.printf("%s\n", data)
		return nil
	}
	a.printf("%s", command.Sanitize(report.Text()))
	verb := fmt.Sprintf("%d jobs were enqueued", len(done.Added))
	switch {
	case o.dryRun:
		verb = fmt.Sprintf("%d jobs would be enqueued", len(report.Jobs))
	case done.Duplicate:
		verb = "nothing was enqueued: an earlier call has done it (--again does it once more)"
	}
	a.notef("head %s: %d packages are as published, %d newer there, %d missing or older; %s", report.Head, report.Same, report.Newer, len(report.Rows), verb)
	return nil
}
