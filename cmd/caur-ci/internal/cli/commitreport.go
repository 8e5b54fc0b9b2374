package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/caur-build/caur/cmd/caur-ci/internal/changes"
	"github.com/caur-build/caur/cmd/caur-ci/internal/plan"
	"github.com/caur-build/caur/internal/command"
)

// commitReport is what on-commit tells about a run; its JSON form is what --json prints. Keys may be added.
type commitReport struct {
	From     string       `json:"from"` // "" when HEAD is the first commit
	Tag      string       `json:"tag"`  // commit of the tag before the run, "" when there was none
	Head     string       `json:"head"`
	Commits  int          `json:"commits"`
	Packages []scheduled  `json:"packages"`
	All      string       `json:"all,omitempty"` // the commit that says [deploy all]
	Removed  []string     `json:"removed"`
	Skipped  []skipped    `json:"skipped"`
	Warnings []string     `json:"warnings"`
	Plan     *plan.Plan   `json:"plan"`
	Enqueued *queueReply  `json:"enqueued,omitempty"`
	TagMoved bool         `json:"tag_moved"`
	DryRun   bool         `json:"dry_run"`
	set      *changes.Set // what it was made of
}

// scheduled is a package and why it is built.
type scheduled struct {
	Pkgbase string   `json:"pkgbase"`
	Files   []string `json:"files"`  // that changed, relative to the package
	Deploy  []string `json:"deploy"` // commits that ask for it
}

type skipped struct {
	Dir    string `json:"dir"`
	Reason string `json:"reason"`
}

func newCommitReport(r *commitRange, set *changes.Set, p *plan.Plan, dryRun bool) *commitReport {
	report := &commitReport{
		From: r.from, Tag: r.tag, Head: r.head.ID, Commits: len(r.commits), All: set.All, Plan: p, DryRun: dryRun, set: set,
		Packages: []scheduled{}, Removed: append([]string{}, set.Removed...), Skipped: []skipped{}, Warnings: append([]string{}, set.Warnings...),
	}
	files := map[string][]string{}
	for _, c := range set.Changed {
		files[c.Pkgbase] = c.Files
	}
	deploys := map[string][]string{}
	for _, d := range set.Deploy {
		deploys[d.Pkgbase] = d.Commits
	}
	for _, name := range set.Pkgbases() {
		report.Packages = append(report.Packages, scheduled{name, append([]string{}, files[name]...), append([]string{}, deploys[name]...)})
	}
	for _, s := range set.Skipped {
		report.Skipped = append(report.Skipped, skipped{s.Dir, s.Reason})
	}
	return report
}

func (r *commitReport) printJSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

// print writes the same for people, one line a package.
func (r *commitReport) print(w io.Writer) error {
	var b strings.Builder
	from := "the beginning"
	if r.From != "" {
		from = short(r.From)
	}
	fmt.Fprintf(&b, "%s..%s: %s, %s to schedule\n", from, short(r.Head), count(r.Commits, "commit"), count(len(r.Plan.Jobs), "package"))
	if r.All != "" {
		fmt.Fprintf(&b, "  every package: [deploy all] in %s\n", short(r.All))
	}
	width := 0
	for _, p := range r.Packages {
		width = max(width, len(p.Pkgbase))
	}
	for _, p := range r.Packages {
		fmt.Fprintf(&b, "  %-*s  %s\n", width, p.Pkgbase, p.reason())
	}
	if len(r.Removed) > 0 {
		fmt.Fprintf(&b, "  removed, so the target repo is cleaned up: %s\n", strings.Join(r.Removed, ", "))
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(&b, "  not scheduled: %s: %s\n", s.Dir, s.Reason)
	}
	_, err := io.WriteString(w, command.Sanitize(b.String()))
	return err
}

func (s scheduled) reason() string {
	const few = 4
	var parts []string
	for _, commit := range s.Deploy {
		parts = append(parts, "[deploy] in "+short(commit))
	}
	files := s.Files[:min(few, len(s.Files))]
	parts = append(parts, files...)
	if more := len(s.Files) - few; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	return strings.Join(parts, ", ")
}
