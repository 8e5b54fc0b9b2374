package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/cmd/caur-ci/internal/review"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/pkgdir"
)

type checkOptions struct {
	upstreamOptions
	json, committed, noDiff bool
	remote                  string
}

func (a *app) checkCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check {PKG… | all}",
		Short: "Say what on-schedule would do with packages, and why",
		Long: `Asks the same sources as on-schedule and shows for each package what would change: the reason, what a reviewer would
be told, and the difference. Nothing is written: no commit, no branch, no queue; files are as they lie in the checkout,
committed or not. It needs no settings of a pipeline and no token.` + exitStatus + ` A package that cannot be checked counts
as a failure when it was named.`,
		Example: `  caur-ci check yay
  caur-ci check all --no-diff
  caur-ci check paru yay --json | jq '.packages[] | {pkgbase, outcome, why}'`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.packageArgs,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.runCheck(cmd.Context(), args, o) },
	}
	o.upstreamOptions.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "report as JSON")
	f.BoolVar(&o.committed, "committed", false, "look at the last commit instead of the files of the checkout")
	f.BoolVar(&o.noDiff, "no-diff", false, "leave the differences out")
	f.StringVar(&o.remote, "remote", "origin", "the remote that holds the branch "+stateBranch)
	return cmd
}

// checkReport is what --json prints: the report of a run, and the differences.
type checkReport struct {
	*updateReport
	Diffs map[string]string `json:"diffs"` // unified, by pkgbase
}

func (a *app) runCheck(ctx context.Context, args []string, o checkOptions) (err error) {
	repo, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer closeRepo(ctx, repo, &err)
	cfg, err := a.repoConfig(ctx, repo)
	if err != nil {
		return err
	}
	base, err := a.findBase(ctx, repo, o.remote, "", true)
	if err != nil {
		return err
	}
	c, err := a.checkedFiles(ctx, repo, o.committed)
	if err != nil {
		return err
	}
	found, err := a.findUpdates(ctx, cfg, c, base.memory, args, o.upstreamOptions)
	if err != nil {
		return err
	}
	report := checkReport{newUpdateReport(base.head.ID, found.decisions, found.asked, true), map[string]string{}}
	for _, d := range found.decisions {
		if text := d.diff(); text != "" && !o.noDiff {
			report.Diffs[d.pkgbase] = text
		}
	}
	if o.json {
		err = json.NewEncoder(a.io.Out).Encode(report)
	} else {
		err = a.printCheck(found.decisions, report)
	}
	if n := report.Counts[failed]; err == nil && n > 0 && n == len(found.decisions) {
		return &command.ExitError{Code: command.Failed}
	}
	return err
}

// checkedFiles are those of the checkout, or of the last commit where there is none.
func (a *app) checkedFiles(ctx context.Context, repo *gitrepo.Repo, committed bool) (*catalog, error) {
	if committed || repo.Bare() {
		return a.headCatalog(ctx, repo)
	}
	files, err := repo.WorkTree()
	if err != nil {
		return nil, err
	}
	return newCatalog(ctx, files)
}

func (a *app) printCheck(decisions []*decision, report checkReport) error {
	for _, d := range decisions {
		if d.verdict == nil && report.Diffs[d.pkgbase] == "" {
			continue
		}
		var b strings.Builder
		a.heading(&b, d.pkgbase)
		for _, f := range d.verdict.Findings {
			if f.Severity > review.Info {
				fmt.Fprintf(&b, "%s: %s\n", a.severity(f.Severity), command.Sanitize(place(f)+f.Text))
			}
		}
		a.colorDiff(&b, report.Diffs[d.pkgbase])
		if _, err := io.WriteString(a.io.Out, b.String()); err != nil {
			return err
		}
	}
	return report.print(a.io.Out, a.io)
}

// place is FILE:LINE: of a finding, as far as it has any.
func place(f review.Finding) string {
	switch {
	case f.File == "":
		return ""
	case f.Line == 0:
		return f.File + ": "
	}
	return fmt.Sprintf("%s:%d: ", f.File, f.Line)
}

func (a *app) heading(b *strings.Builder, text string) {
	if a.io.Color {
		fmt.Fprintf(b, "\x1b[1m%s\x1b[0m\n", command.Sanitize(text))
		return
	}
	fmt.Fprintln(b, command.Sanitize(text))
}

// diff shows what changes, as diff -u does, file by file. Files that are no text are named only.
func (d *decision) diff() string {
	newer := d.direct
	if d.proposal != nil {
		newer = d.proposal
	}
	if newer == nil {
		return ""
	}
	return dirDiff(d.pkgbase, d.older, newer)
}

func dirDiff(pkgbase string, older, newer pkgdir.Dir) string {
	var b strings.Builder
	for _, c := range pkgdir.Diff(older, newer) {
		oldName, oldText, oldFine := diffSide("a/"+pkgbase+"/"+c.Path, c.Old)
		newName, newText, newFine := diffSide("b/"+pkgbase+"/"+c.Path, c.New)
		if !oldFine || !newFine {
			fmt.Fprintf(&b, "Binary files %s and %s differ\n", oldName, newName)
			continue
		}
		b.Write(diff.Diff(oldName, oldText, newName, newText))
		if c.Old != nil && c.New != nil && c.Old.Kind != c.New.Kind {
			fmt.Fprintf(&b, "kind of %s changes\n", newName)
		}
	}
	return b.String()
}

func diffSide(name string, f *pkgdir.File) (shown string, data []byte, text bool) {
	if f == nil {
		return "/dev/null", nil, true
	}
	return name, f.Data, utf8.Valid(f.Data) && !strings.ContainsRune(string(f.Data), 0)
}

// colorDiff writes a unified diff as git colours it. What comes from a package is made harmless first.
func (a *app) colorDiff(b *strings.Builder, text string) {
	for line := range strings.Lines(text) {
		line = command.Sanitize(strings.TrimSuffix(line, "\n"))
		color := ""
		switch {
		case !a.io.Color:
		case strings.HasPrefix(line, "diff "), strings.HasPrefix(line, "--- "), strings.HasPrefix(line, "+++ "):
			color = "1"
		case strings.HasPrefix(line, "@@"):
			color = "36"
		case strings.HasPrefix(line, "+"):
			color = "32"
		case strings.HasPrefix(line, "-"):
			color = "31"
		}
		if color != "" {
			line = "\x1b[" + color + "m" + line + "\x1b[0m"
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
}
