package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/cmd/caur-ci/internal/plan"
	"github.com/caur-build/caur/cmd/caur-ci/internal/review"
	"github.com/caur-build/caur/internal/command"
)

// updateReport is what on-schedule and check tell about a run; its JSON form is what --json prints. Keys may be added.
type updateReport struct {
	Head     string          `json:"head"`
	Commit   string          `json:"commit,omitempty"` // that was made on the branch
	State    string          `json:"state,omitempty"`  // commit of the state branch that was made
	Checked  int             `json:"checked"`
	Counts   map[outcome]int `json:"counts"`
	Packages []packageReport `json:"packages"` // those with something to say
	Sources  []sourceReport  `json:"sources"`
	Deleted  []string        `json:"deleted_branches,omitempty"`
	Plan     *plan.Plan      `json:"plan,omitempty"`
	Enqueued *queueReply     `json:"enqueued,omitempty"`
	DryRun   bool            `json:"dry_run"`
}

type packageReport struct {
	Pkgbase  string              `json:"pkgbase"`
	Outcome  outcome             `json:"outcome"`
	From     string              `json:"from,omitempty"`
	To       string              `json:"to,omitempty"`
	Reasons  []candidates.Reason `json:"reasons"`
	Notes    []candidates.Reason `json:"notes"`
	Faults   []faultReport       `json:"faults"`
	Level    string              `json:"level,omitempty"` // of the change: minor, major
	Worst    string              `json:"worst,omitempty"` // severity of the worst finding
	Why      string              `json:"why,omitempty"`
	Request  string              `json:"request,omitempty"`
	Schedule bool                `json:"schedule"`
	Findings []review.Finding    `json:"findings,omitempty"`
}

type faultReport struct {
	Source string `json:"source"`
	Error  string `json:"error"`
}

type sourceReport struct {
	Source string `json:"source"`
	Wanted int    `json:"wanted"`
	Error  string `json:"error,omitempty"`
}

func newUpdateReport(head string, decisions []*decision, asked []candidates.Asked, dryRun bool) *updateReport {
	r := &updateReport{
		Head: head, Checked: len(decisions), Counts: map[outcome]int{}, Packages: []packageReport{}, Sources: []sourceReport{}, DryRun: dryRun,
	}
	for _, d := range decisions {
		r.Counts[d.outcome]++
		if d.worthTelling() {
			r.Packages = append(r.Packages, d.report())
		}
	}
	for _, a := range asked {
		s := sourceReport{Source: a.Source, Wanted: a.Wanted}
		if a.Err != nil {
			s.Error = a.Err.Error()
		}
		r.Sources = append(r.Sources, s)
	}
	return r
}

func (d *decision) report() packageReport {
	p := packageReport{
		Pkgbase: d.pkgbase, Outcome: d.outcome, From: d.from, To: d.to, Why: d.decided.Why, Request: d.request, Schedule: d.schedule,
		Reasons: append([]candidates.Reason{}, d.reasons...), Notes: append([]candidates.Reason{}, d.notes...), Faults: []faultReport{},
	}
	for _, f := range d.faults {
		p.Faults = append(p.Faults, faultReport{f.Source, f.Err.Error()})
	}
	if d.verdict != nil {
		p.Level, p.Worst, p.Findings = d.verdict.Level.String(), d.verdict.Worst().String(), d.verdict.Findings
	}
	return p
}

func (r *updateReport) printJSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

// print writes the closing table: a line a package, what needs people last, where the eye is when a log ends.
func (r *updateReport) print(w io.Writer, streams *command.IO) error {
	var b strings.Builder
	if len(r.Packages) > 0 {
		b.WriteString(r.table(streams))
	}
	for _, s := range r.Sources {
		if s.Error != "" {
			fmt.Fprintf(&b, "%s: not asked about %s: %s\n", s.Source, count(s.Wanted, "package"), command.Sanitize(s.Error))
		}
	}
	b.WriteString(r.summary())
	_, err := io.WriteString(w, b.String())
	return err
}

var outcomeColors = map[outcome]text.Colors{
	failed: {text.FgRed, text.Bold}, inReview: {text.FgYellow, text.Bold}, cooling: {text.FgYellow}, updated: {text.FgGreen},
	bumped: {text.FgGreen}, built: {text.FgCyan},
}

func (r *updateReport) table(streams *command.IO) string {
	t := table.NewWriter()
	style := table.StyleLight
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	t.AppendHeader(table.Row{"package", "", "version", "why"})
	if streams.OutTTY && streams.Width > 40 {
		t.SetColumnConfigs([]table.ColumnConfig{{Number: 4, WidthMax: max(30, streams.Width-60), WidthMaxEnforcer: text.WrapSoft}})
	}
	for i := len(outcomes) - 1; i >= 0; i-- {
		for _, p := range r.Packages {
			if p.Outcome == outcomes[i] {
				t.AppendRow(p.row(streams.Color))
			}
		}
	}
	var b strings.Builder
	for line := range strings.Lines(t.Render()) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}

func (p packageReport) row(color bool) table.Row {
	name := string(p.Outcome)
	if c, has := outcomeColors[p.Outcome]; has && color {
		name = c.Sprint(name)
	}
	version := p.From
	if p.To != "" && p.To != p.From {
		version += " → " + p.To
	}
	return table.Row{p.Pkgbase, name, command.Sanitize(version), command.Sanitize(p.reason())}
}

func (p packageReport) reason() string {
	var parts []string
	for _, f := range p.Faults {
		line, _, _ := strings.Cut(f.Error, "\n")
		parts = append(parts, f.Source+": "+line)
	}
	if p.Why != "" && p.Outcome != bumped {
		parts = append(parts, p.Why)
	}
	for _, x := range p.Reasons {
		if x.Text != p.From+" → "+p.To { // the version has a column of its own
			parts = append(parts, x.Text)
		}
	}
	for _, n := range p.Notes {
		parts = append(parts, n.Source+": "+n.Text)
	}
	if p.Request != "" {
		parts = append(parts, p.Request)
	}
	return strings.Join(parts, "; ")
}

// summary is one line of numbers.
func (r *updateReport) summary() string {
	var parts []string
	for _, o := range outcomes {
		if n := r.Counts[o]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, o))
		}
	}
	text := count(r.Checked, "package") + " checked"
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	if r.DryRun {
		text += " (nothing was written)"
	}
	return text + "\n"
}
