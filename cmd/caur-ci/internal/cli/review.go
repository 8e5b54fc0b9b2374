package cli

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/review"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/pkgdir"
)

// Exit codes of caur-ci review beside the usual ones.
const (
	exitMajor    = 3
	exitCritical = 4
)

func (a *app) reviewCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "review OLD_DIR NEW_DIR",
		Short: "Compare two versions of a package directory and say what a person has to look at",
		Long: `Compares two directories that hold a package: PKGBUILD, .SRCINFO, sources, install scripts. Nothing in them is
executed. It prints what is dangerous first, then everything that changed, then the diff.

A change is minor when nothing but the version, checksums, pinned commits, layout and comments changed; everything else
is major. docs/review-rules.md describes every rule.

Exit status: 0 identical or minor, 3 major, 4 critical, 1 failed, 2 wrong usage.`,
		Example: `  caur-ci review paru/ ~/aur/paru/
  caur-ci review old new --json | jq -r '.findings[] | select(.severity == "critical").text'`,
		Args: cobra.ExactArgs(2),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.runReview(args[0], args[1], asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the verdict as JSON")
	return cmd
}

func (a *app) runReview(oldDir, newDir string, asJSON bool) error {
	older, err := pkgdir.Read(oldDir)
	if err != nil {
		return fmt.Errorf("read the old version in %s: %w", oldDir, err)
	}
	newer, err := pkgdir.Read(newDir)
	if err != nil {
		return fmt.Errorf("read the new version in %s: %w", newDir, err)
	}
	name := filepath.Base(newDir)
	if abs, err := filepath.Abs(newDir); err == nil { // "." has a name, too
		name = filepath.Base(abs)
	}
	verdict := review.Judge(review.Input{Pkgbase: name, Old: older, New: newer})
	if asJSON {
		err = json.NewEncoder(a.io.Out).Encode(verdict)
	} else {
		_, err = a.io.Out.Write([]byte(a.reviewText(verdict, older, newer)))
	}
	switch {
	case err != nil:
		return err
	case verdict.Worst() == review.Critical:
		return &command.ExitError{Code: exitCritical}
	case verdict.Level == review.Major:
		return &command.ExitError{Code: exitMajor}
	}
	return nil
}

var severityColors = map[review.Severity]text.Colors{
	review.Critical: {text.FgRed, text.Bold}, review.Warning: {text.FgYellow, text.Bold}, review.Notice: {text.FgCyan},
}

// reviewText is the verdict, the table of findings and the diff.
func (a *app) reviewText(v review.Verdict, older, newer pkgdir.Dir) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", command.Sanitize(v.Pkgbase), v.Level)
	if v.Level != review.Identical {
		fmt.Fprintf(&b, ", worst finding: %s", a.severity(v.Worst()))
	}
	if v.From != v.To {
		fmt.Fprintf(&b, " (%s → %s)", command.Sanitize(v.From), command.Sanitize(v.To))
	}
	b.WriteString("\n")
	if len(v.Findings) > 0 {
		b.WriteString("\n" + a.findingsTable(v))
	}
	if changes := dirDiff(v.Pkgbase, older, newer); changes != "" {
		b.WriteString("\n")
		a.colorDiff(&b, changes)
	}
	return b.String()
}

func (a *app) severity(s review.Severity) string {
	if c, has := severityColors[s]; has && a.io.Color {
		return c.Sprint(s.String())
	}
	return s.String()
}

func (a *app) findingsTable(v review.Verdict) string {
	t := table.NewWriter()
	style := table.StyleLight
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	t.AppendHeader(table.Row{"severity", "where", "finding", "old → new"})
	if a.io.OutTTY && a.io.Width > 80 {
		half := (a.io.Width - 40) / 2
		t.SetColumnConfigs([]table.ColumnConfig{
			{Number: 3, WidthMax: half, WidthMaxEnforcer: text.WrapSoft}, {Number: 4, WidthMax: half, WidthMaxEnforcer: text.WrapHard},
		})
	}
	for _, f := range v.Findings {
		where := f.File
		if f.Line > 0 {
			where = fmt.Sprintf("%s:%d", f.File, f.Line)
		}
		change := oneLine(f.Old)
		if f.New != "" {
			change = strings.TrimSpace(change + " → " + oneLine(f.New))
		}
		t.AppendRow(table.Row{a.severity(f.Severity), command.Sanitize(where), command.Sanitize(f.Text) + " [" + f.Rule + "]", command.Sanitize(change)})
	}
	var b strings.Builder
	for line := range strings.Lines(t.Render()) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}

// oneLine shortens a value for a table.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 120 {
		return string(r[:120]) + "…"
	}
	return s
}
