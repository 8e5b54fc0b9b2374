package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/cmd/caur-ci/internal/review"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/state"
)

// Exit codes of caur-ci review beside the usual ones.
const (
	exitMajor    = 3
	exitCritical = 4
)

type reviewOptions struct {
	upstreamOptions
	json, open, merge bool
	remote            string
}

func (a *app) reviewCommand() *cobra.Command {
	var o reviewOptions
	cmd := &cobra.Command{
		Use:   "review {OLD_DIR NEW_DIR | PKG | --open | --merge PKG…}",
		Short: "Say what a person has to look at in a change of a package",
		Long: `Compares two directories that hold a package, or a package of the checkout with what the AUR has now: PKGBUILD, .SRCINFO,
sources, install scripts. Nothing in them is executed. It prints what is dangerous first, then everything that changed,
then the diff.

A change is minor when nothing but the version, checksums, pinned commits, layout and comments changed; everything else
is major. docs/review-rules.md describes every rule.

With --open it lists the open review requests of the forge by risk, the harmless ones last, each judged anew from its
branch; --merge merges those of the named packages at the commit that was judged, but none with a critical finding. Both
need ACCESS_TOKEN and the forge's variables, such as CI_PROJECT_ID and CI_API_V4_URL.

Exit status: 0 identical or minor, 3 major, 4 critical, 1 failed, 2 wrong usage.`,
		Example: `  caur-ci review paru/ ~/aur/paru/
  caur-ci review paru
  caur-ci review old new --json | jq -r '.findings[] | select(.severity == "critical").text'
  caur-ci review --open
  caur-ci review --merge yay paru`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.runReviewCommand(cmd.Context(), args, o) },
	}
	o.upstreamOptions.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "print the verdict, or the list, as JSON")
	f.BoolVar(&o.open, "open", false, "list the open review requests by risk")
	f.BoolVar(&o.merge, "merge", false, "merge the review requests of these packages")
	f.StringVar(&o.remote, "remote", "origin", "the remote that has the branches of requests")
	return cmd
}

func (a *app) runReviewCommand(ctx context.Context, args []string, o reviewOptions) error {
	switch {
	case o.open && o.merge:
		return command.Usagef("--open lists and --merge merges: choose one")
	case o.open && len(args) == 0:
		return a.runReviewOpen(ctx, openOptions{json: o.json, remote: o.remote})
	case o.merge && len(args) > 0:
		return a.runReviewOpen(ctx, openOptions{json: o.json, remote: o.remote, merge: args})
	case o.open || o.merge:
		return command.Usagef("--open takes no package, --merge at least one")
	case len(args) == 1:
		return a.runReviewAUR(ctx, args[0], o)
	case len(args) == 2:
		return a.runReview(args[0], args[1], o.json)
	}
	return command.Usagef("want two directories, or one package to compare with the AUR")
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
	return a.showReview(review.Input{Pkgbase: name, Old: older, New: newer}, asJSON)
}

// runReviewAUR compares a package of the checkout with what the AUR has now, whether it was taken over before or not.
func (a *app) runReviewAUR(ctx context.Context, pkgbase string, o reviewOptions) (err error) {
	repo, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer closeRepo(ctx, repo, &err)
	cfg, err := a.repoConfig(ctx, repo)
	if err != nil {
		return err
	}
	c, err := a.checkedFiles(ctx, repo, false)
	if err != nil {
		return err
	}
	base, err := a.findBase(ctx, repo, o.remote, "", true)
	if err != nil {
		return err
	}
	draft, err := a.fetchFromAUR(ctx, cfg, c, base.memory, pkgbase, o.upstreamOptions)
	if err != nil {
		return err
	}
	older, err := draft.Package.Files(ctx)
	if err != nil {
		return err
	}
	newer := draft.Changed()
	if newer == nil {
		newer = older
	}
	root, err := a.readRootFiles(ctx, c.files)
	if err != nil {
		return err
	}
	j := judge{cfg: cfg, trusted: root.trusted, now: time.Now()}
	return a.showReview(review.Input{
		Pkgbase: pkgbase, Old: older, New: newer, Allow: draft.Package.Config.AllowRegex, Signals: j.signals(draft),
	}, o.json)
}

// fetchFromAUR lets the AUR's source make a draft of one package as if it had never been taken over.
func (a *app) fetchFromAUR(ctx context.Context, cfg *state.RepoConfig, c *catalog, m *memory, pkgbase string, o upstreamOptions) (*candidates.Draft, error) {
	names, err := a.chosen(c, []string{pkgbase})
	if err != nil {
		return nil, err
	}
	root, err := a.readRootFiles(ctx, c.files)
	if err != nil {
		return nil, err
	}
	root.aurState = time.Time{}
	l, err := a.loadPackages(ctx, c, m, names)
	if err != nil {
		return nil, err
	}
	if len(l.faults) > 0 {
		return nil, l.faults[0].err
	}
	p := l.packages[0]
	if p.Config.Source.Kind != state.SourceAUR {
		return nil, command.Usagef("%s does not come from the AUR (CI_PKGBUILD_SOURCE=%s): name two directories", pkgbase, p.Config.Source)
	}
	forgotten := *p.State
	forgotten.Timestamp = time.Time{}
	p.State = &forgotten
	scratch, err := os.MkdirTemp("", "caur-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for what is fetched: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	up, err := a.newUpstreams(ctx, cfg, root, m, l, false, scratch, o)
	if err != nil {
		return nil, err
	}
	defer up.close()
	outcomes, asked, err := candidates.Run(ctx, []candidates.Finder{up.aur}, l.packages, 1, nil)
	switch {
	case err != nil:
		return nil, err
	case asked[0].Err != nil:
		return nil, asked[0].Err
	case len(outcomes[0].Faults) > 0:
		return nil, outcomes[0].Faults[0].Err
	}
	for _, n := range outcomes[0].Draft.Notes {
		a.warnf("%s: %s", pkgbase, n.Text)
	}
	return outcomes[0].Draft, nil
}

// showReview prints a verdict, and answers with the exit code.
func (a *app) showReview(in review.Input, asJSON bool) (err error) {
	verdict := review.Judge(in)
	if asJSON {
		err = json.NewEncoder(a.io.Out).Encode(verdict)
	} else {
		_, err = a.io.Out.Write([]byte(a.reviewText(verdict, in.Old, in.New)))
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
