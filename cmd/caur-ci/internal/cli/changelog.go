package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/changes"
	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/internal/command"
)

type changelogOptions struct {
	since, until string
	json         bool
}

// What can happen to a package between two commits.
const (
	kindAdded   = "added"
	kindDropped = "dropped"
	kindUpdated = "updated"
	kindRebuilt = "rebuilt"
	kindFixed   = "fixed"
)

var changelogKinds = []string{kindAdded, kindDropped, kindUpdated, kindRebuilt, kindFixed}

// changelogReport is the history of a repository between two commits.
type changelogReport struct {
	From     string           `json:"from,omitempty"` // none: from the beginning
	To       string           `json:"to"`
	Commits  int              `json:"commits"`
	Packages []changelogEntry `json:"packages"`
}

type changelogEntry struct {
	Pkgbase string   `json:"pkgbase"`
	Kind    string   `json:"kind"`
	Old     string   `json:"old,omitempty"`
	New     string   `json:"new,omitempty"`
	Notes   []string `json:"notes,omitempty"` // subjects of the commits that people wrote, newest first
}

func (a *app) changelog() *cobra.Command {
	var o changelogOptions
	cmd := &cobra.Command{
		Use:   "changelog",
		Short: "Tell what happened to the packages since a commit or a day",
		Long: `Compares two commits and tells, as Markdown, which packages were

  added, dropped
  updated    another version: OLD → NEW
  rebuilt    another pkgrel or CI_PACKAGE_BUMP, or [deploy PKG] in a message
  fixed      the same version, but something that changes the package or how it is built

What people wrote about a package (the subjects of commits other than those that on-schedule and the commands make) stands behind
it, without the type of a conventional commit. What only steers updates is left out.

A day is 2026-08-01, 2026-08-01T12:00:00Z, or 7d or 2w ago; a commit is anything that git understands. Versions are those of
.SRCINFO, with CI_PACKAGE_BUMP; of packages whose version is made during the build it may be an older one.` + exitStatus,
		Example: `  caur-ci changelog
  caur-ci changelog --since 2026-08-01 > changes.md
  caur-ci changelog --since scheduled~20 --until scheduled
  caur-ci changelog --since 4w --json | jq -r '.packages[] | select(.kind == "added").pkgbase'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runChangelog(cmd.Context(), o) },
	}
	cmd.Flags().StringVar(&o.since, "since", "7d", "the commit or day to begin after")
	cmd.Flags().StringVar(&o.until, "until", "HEAD", "the commit to end with")
	cmd.Flags().BoolVar(&o.json, "json", false, "print the result as JSON")
	return cmd
}

func (a *app) runChangelog(ctx context.Context, o changelogOptions) (err error) {
	repo, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer closeRepo(ctx, repo, &err)
	to, err := repo.Commit(ctx, o.until)
	if errors.Is(err, gitrepo.ErrMissing) {
		return command.Usagef("--until %s: there is no such commit", o.until)
	}
	if err != nil {
		return err
	}
	from, err := sinceCommit(ctx, repo, o.since, to, time.Now())
	if err != nil {
		return err
	}
	report, err := a.history(ctx, repo, from, to)
	if err != nil {
		return err
	}
	if o.json {
		encoder := json.NewEncoder(a.io.Out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(report)
	}
	out := bufio.NewWriter(a.io.Out)
	report.markdown(out)
	return out.Flush()
}

var ago = regexp.MustCompile(`^([0-9]{1,4})([dw])$`)

// sinceCommit finds the commit to compare with: nil is the empty repository.
func sinceCommit(ctx context.Context, repo *gitrepo.Repo, since string, to gitrepo.Commit, now time.Time) (*gitrepo.Commit, error) {
	day, isDay := parseDay(since, now)
	if !isDay {
		from, err := repo.Commit(ctx, since)
		if errors.Is(err, gitrepo.ErrMissing) {
			return nil, command.Usagef("--since %s: it is neither a commit nor a day such as 2026-08-01 or 7d", since)
		}
		return &from, err
	}
	out, err := repo.Program().Output(ctx, "rev-list", "--first-parent", "--max-count=1", "--before="+day.Format(time.RFC3339), to.ID)
	if err != nil {
		return nil, fmt.Errorf("look for the last commit before %s: %w", day.Format(time.DateOnly), err)
	}
	if id := strings.TrimSpace(string(out)); id != "" {
		from, err := repo.Commit(ctx, id)
		return &from, err
	}
	shallow, err := repo.Program().Output(ctx, "rev-parse", "--is-shallow-repository")
	if err != nil {
		return nil, fmt.Errorf("see how much of the history is here: %w", err)
	}
	if strings.TrimSpace(string(shallow)) == "true" {
		return nil, fmt.Errorf("look for the last commit before %s: %w; fetch more of it with 'git fetch --shallow-since=%s'",
			day.Format(time.DateOnly), gitrepo.ErrShallow, day.AddDate(0, 0, -1).Format(time.DateOnly))
	}
	return nil, nil
}

func parseDay(text string, now time.Time) (time.Time, bool) {
	if m := ago.FindStringSubmatch(text); m != nil {
		n, _ := strconv.Atoi(m[1]) // four digits
		if m[2] == "w" {
			n *= 7
		}
		return now.AddDate(0, 0, -n), true
	}
	for _, form := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(form, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// history makes the report.
func (a *app) history(ctx context.Context, repo *gitrepo.Repo, from *gitrepo.Commit, to gitrepo.Commit) (*changelogReport, error) {
	report := &changelogReport{To: to.ID, Packages: []changelogEntry{}}
	if from != nil {
		report.From = from.ID
	}
	commits, err := historyCommits(ctx, repo, report.From, to.ID)
	if err != nil {
		return nil, err
	}
	report.Commits = len(commits)
	before, err := snapshotOf(ctx, repo, from)
	if err != nil {
		return nil, err
	}
	after, err := snapshotOf(ctx, repo, &to)
	if err != nil {
		return nil, err
	}
	relevant, err := relevantChanges(ctx, repo, report.From, to.ID, after.dirs)
	if err != nil {
		return nil, err
	}
	deployed := deploys(commits, after.dirs)
	names := touched(relevant, deployed)
	if err := before.readVersions(ctx, names); err != nil {
		return nil, err
	}
	if err := after.readVersions(ctx, names); err != nil {
		return nil, err
	}
	notes := notesOf(commits)
	for _, name := range names {
		if entry, ok := entryFor(name, before, after, relevant[name], deployed[name]); ok {
			entry.Notes = notes[name]
			report.Packages = append(report.Packages, entry)
		}
	}
	return report, nil
}

// relevantChanges gives the packages that differ in something that changes the package or how it is built.
func relevantChanges(ctx context.Context, repo *gitrepo.Repo, from, to string, dirs map[string]bool) (map[string]bool, error) {
	set, err := changesBetween(ctx, repo, from, to, dirs)
	if err != nil {
		return nil, err
	}
	relevant := map[string]bool{}
	for _, c := range set.Changed {
		relevant[c.Pkgbase] = true
	}
	for _, name := range set.Removed {
		relevant[name] = true
	}
	return relevant, nil
}

// changesBetween compares two commits; messages have no say. dirs are those of the newer one.
func changesBetween(ctx context.Context, repo *gitrepo.Repo, from, to string, dirs map[string]bool) (*changes.Set, error) {
	diff, err := repo.Diff(ctx, from, to)
	if err != nil {
		return nil, err
	}
	input := changes.Input{Dirs: dirs}
	var ids []string
	var wanted []int
	for _, c := range diff {
		input.Files = append(input.Files, changes.File{Path: c.Path})
		if changes.NeedsContent(c.Path) {
			ids, wanted = append(ids, c.Old, c.New), append(wanted, len(input.Files)-1)
		}
	}
	blobs, err := repo.Blobs(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i, at := range wanted {
		input.Files[at].Old, input.Files[at].New = blobs[2*i], blobs[2*i+1]
	}
	return changes.Find(input)
}

// markdown prints the report for people.
func (r *changelogReport) markdown(out io.Writer) {
	since := "the beginning"
	if r.From != "" {
		since = short(r.From)
	}
	fmt.Fprintf(out, "# Changes from %s to %s (%s)\n", since, short(r.To), count(r.Commits, "commit"))
	if len(r.Packages) == 0 {
		fmt.Fprintln(out, "\nNo package changed.")
	}
	for _, kind := range changelogKinds {
		var lines []string
		for _, e := range r.Packages {
			if e.Kind == kind {
				lines = append(lines, e.line())
			}
		}
		if len(lines) > 0 {
			fmt.Fprintf(out, "\n## %s (%d)\n\n%s\n", strings.ToUpper(kind[:1])+kind[1:], len(lines), command.Sanitize(strings.Join(lines, "\n")))
		}
	}
}

func (e changelogEntry) line() string {
	line := "- " + e.Pkgbase
	switch {
	case e.Old != "" && e.New != "" && e.Old != e.New:
		line += " " + e.Old + " → " + e.New
	case e.New != "":
		line += " " + e.New
	case e.Old != "":
		line += " " + e.Old
	}
	if len(e.Notes) > 0 {
		line += ": " + strings.Join(e.Notes[:min(3, len(e.Notes))], "; ")
		if more := len(e.Notes) - 3; more > 0 {
			line += "; and " + count(more, "more change")
		}
	}
	return line
}
