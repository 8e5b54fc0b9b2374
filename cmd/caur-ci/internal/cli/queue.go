package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/queue"
)

func (a *app) queue() *cobra.Command {
	var o queueOptions
	cmd := &cobra.Command{
		Use:   "queue",
		Short: "Show what waits, what runs, and on whom",
		Long: `Shows the queue: builds that run and on which builder, packages that are being published, jobs that wait and what
they wait for, and the builders. It needs the queue's settings only. With --watch it goes on until it is interrupted: a
terminal is drawn anew, anything else gets the whole again whenever it has changed.` + exitStatus,
		Example: `  caur-ci queue
  caur-ci queue --watch
  caur-ci queue --json | jq -r '.waiting[] | select(.no_builder) | .job.pkgbase'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runQueue(cmd.Context(), o) },
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON; with --watch one line whenever something has changed")
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "go on showing it")
	cmd.Flags().DurationVar(&o.every, "interval", 2*time.Second, "with --watch, the `TIME` between two looks")
	return cmd
}

type queueOptions struct {
	json, watch bool
	every       time.Duration
}

func (a *app) runQueue(ctx context.Context, o queueOptions) error {
	if o.watch && o.every < 100*time.Millisecond {
		return command.Usagef("queue: --interval: at least 100ms")
	}
	cfg, err := a.anyConfig(ctx)
	if err != nil {
		return err
	}
	return a.withQueue(ctx, cfg, func(q *queue.Queue) error {
		if o.watch {
			return a.watchQueue(ctx, q.Snapshot, o)
		}
		snapshot, err := q.Snapshot(ctx)
		if err != nil {
			return err
		}
		return a.printQueue(snapshot, o.json)
	})
}

func (a *app) printQueue(s *queue.Snapshot, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(a.io.Out).Encode(newQueueReport(s))
	}
	_, err := a.io.Out.Write([]byte(a.queueText(s)))
	return err
}

// queueReport is what --json prints. Keys may be added.
type queueReport struct {
	Time       time.Time       `json:"time"`
	Running    []runningRow    `json:"running"`
	Publishing []publishingRow `json:"publishing"`
	Waiting    []waitingRow    `json:"waiting"`
	Builders   []builderRow    `json:"builders"`
}

type runningRow struct {
	Job     queue.Job `json:"job"`
	Builder string    `json:"builder"`
	Since   time.Time `json:"since"`
	Attempt int       `json:"attempt"`
}

type publishingRow struct {
	Job     *queue.Job     `json:"job,omitempty"`
	Cleanup *queue.Cleanup `json:"cleanup,omitempty"`
	Builder string         `json:"builder,omitempty"`
	Holder  string         `json:"holder,omitempty"`
	Since   time.Time      `json:"since"`
}

type waitingRow struct {
	Job        queue.Job `json:"job"`
	Ready      bool      `json:"ready"`
	InCycle    bool      `json:"in_cycle"`
	BlockedBy  []string  `json:"blocked_by"`
	FailedDeps []string  `json:"failed_deps,omitempty"`
	NoBuilder  bool      `json:"no_builder"`
}

type builderRow struct {
	Name     string    `json:"name"`
	Class    string    `json:"class"`
	Version  string    `json:"version"`
	Busy     int       `json:"busy"`
	LastSeen time.Time `json:"last_seen"`
}

func newQueueReport(s *queue.Snapshot) queueReport {
	r := queueReport{Time: s.Time, Running: []runningRow{}, Publishing: []publishingRow{}, Waiting: []waitingRow{}, Builders: []builderRow{}}
	for _, j := range s.Running {
		r.Running = append(r.Running, runningRow{j.Job, j.Builder, j.Since, j.Attempt})
	}
	for _, j := range s.Publishing {
		r.Publishing = append(r.Publishing, publishingRow{j.Job, j.Cleanup, j.Builder, j.Holder, j.Since})
	}
	for _, j := range s.Waiting {
		r.Waiting = append(r.Waiting, waitingRow{j.Job, j.Ready, j.InCycle, append([]string{}, j.BlockedBy...), j.FailedDeps, j.NoBuilder})
	}
	for _, b := range s.Builders {
		r.Builders = append(r.Builders, builderRow{b.Builder.Name, b.Builder.Class, b.Builder.Version, b.Busy, b.LastSeen})
	}
	return r
}

// queueText is the same for people: a table each for what there is.
func (a *app) queueText(s *queue.Snapshot) string {
	var b strings.Builder
	if len(s.Running)+len(s.Publishing)+len(s.Waiting) == 0 {
		b.WriteString("The queue is empty.\n")
	}
	section := func(title string, header table.Row, rows []table.Row) {
		if len(rows) == 0 {
			return
		}
		t := table.NewWriter()
		t.SetStyle(table.StyleLight)
		t.Style().Options = table.OptionsNoBordersAndSeparators
		t.Style().Format.Header = 0 // as written
		t.AppendHeader(header)
		t.AppendRows(rows)
		if a.io.OutTTY && a.io.Width > 0 {
			t.SetAllowedRowLength(a.io.Width)
		}
		fmt.Fprintf(&b, "%s (%d)\n%s\n\n", title, len(rows), command.Sanitize(t.Render()))
	}
	section("Running", table.Row{"job", "class", "builder", "for", "attempt"}, runningTable(s))
	section("Publishing", table.Row{"what", "built on", "published by", "for"}, publishingTable(s))
	section("Waiting", table.Row{"job", "class", "waits for"}, waitingTable(s))
	section("Builders", table.Row{"builder", "class", "version", "busy", "seen"}, builderTable(s))
	text := b.String()
	if !s.Exact {
		text += "The queue changed while it was read; a job may be shown at its old place.\n"
	}
	return strings.TrimSuffix(text, "\n")
}

func age(now, since time.Time) string {
	return max(now.Sub(since), 0).Truncate(time.Second).String()
}

func runningTable(s *queue.Snapshot) (rows []table.Row) {
	for _, j := range s.Running {
		rows = append(rows, table.Row{j.Job.ID(), j.Job.Class, j.Builder, age(s.Time, j.Since), j.Attempt})
	}
	return rows
}

func publishingTable(s *queue.Snapshot) (rows []table.Row) {
	for _, j := range s.Publishing {
		what := "clean-up"
		switch {
		case j.Job != nil:
			what = j.Job.ID()
		case j.Cleanup != nil:
			what = "clean-up of " + j.Cleanup.TargetRepo + "/" + j.Cleanup.Arch
		}
		rows = append(rows, table.Row{what, j.Builder, cmp.Or(j.Holder, "waits"), age(s.Time, j.Since)})
	}
	return rows
}

func waitingTable(s *queue.Snapshot) (rows []table.Row) {
	jobs := slices.Clone(s.Waiting)
	slices.SortStableFunc(jobs, func(a, b queue.WaitingJob) int {
		if a.Ready != b.Ready {
			if a.Ready {
				return -1
			}
			return 1
		}
		return 0 // within, the order is the queue's
	})
	for _, j := range jobs {
		rows = append(rows, table.Row{j.Job.ID(), j.Job.Class, waitsFor(j)})
	}
	return rows
}

// waitsFor says why a job is not running, in one cell.
func waitsFor(j queue.WaitingJob) string {
	const few = 3
	var parts []string
	switch {
	case j.NoBuilder:
		parts = append(parts, "a builder of class "+j.Job.Class+" (none was seen lately)")
	case j.Ready:
		parts = append(parts, "a free builder")
	}
	if len(j.BlockedBy) > 0 && !j.Ready {
		names := make([]string, 0, few)
		for _, id := range j.BlockedBy[:min(few, len(j.BlockedBy))] {
			names = append(names, id[strings.LastIndexByte(id, '/')+1:])
		}
		text := strings.Join(names, ", ")
		if more := len(j.BlockedBy) - few; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		parts = append(parts, text)
	}
	if j.InCycle {
		parts = append(parts, "its turn in a cycle")
	}
	return strings.Join(parts, "; ")
}

func builderTable(s *queue.Snapshot) (rows []table.Row) {
	for _, b := range s.Builders {
		rows = append(rows, table.Row{b.Builder.Name, b.Builder.Class, b.Builder.Version, b.Busy, age(s.Time, b.LastSeen) + " ago"})
	}
	return rows
}
