package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/redisconn"
	"github.com/caur-build/caur/pkg/queue"
)

func (a *app) queue() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "queue",
		Short: "Show what waits, what runs, and on whom",
		Long: `Lists what is built and where, what waits to be published, what waits to be built and on what, and the builders.` +
			settingsHelp(redisconn.Config{}) + exitStatus,
		Example: `  caur-exec queue
  caur-exec queue --json | jq -r '.waiting[] | select(.no_builder) | .job.pkgbase'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runQueue(cmd.Context(), asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with the keys of 'caur-ci queue --json'")
	return cmd
}

func (a *app) runQueue(ctx context.Context, asJSON bool) error {
	return a.withQueue(ctx, func(q *queue.Queue) error {
		snapshot, err := q.Snapshot(ctx)
		if err != nil {
			return err
		}
		if !asJSON {
			a.printf("%s", command.Sanitize(queueText(snapshot)))
			return nil
		}
		data, err := json.Marshal(reportOf(snapshot))
		if err != nil {
			return fmt.Errorf("queue as JSON: %w", err)
		}
		a.printf("%s\n", data)
		return nil
	})
}

type (
	queueReport struct {
		Time       time.Time        `json:"time"`
		Running    []runningRow     `json:"running"`
		Publishing []publishingRow  `json:"publishing"`
		Waiting    []waitingRow     `json:"waiting"`
		Builders   []builderRow     `json:"builders"`
		Ended      map[string]int64 `json:"ended"` // jobs by end state since the queue began
	}
	runningRow struct {
		Job     queue.Job `json:"job"`
		Builder string    `json:"builder"`
		Since   time.Time `json:"since"`
		Attempt int       `json:"attempt"`
	}
	publishingRow struct {
		Job     *queue.Job     `json:"job,omitempty"`
		Cleanup *queue.Cleanup `json:"cleanup,omitempty"`
		Builder string         `json:"builder,omitempty"`
		Holder  string         `json:"holder,omitempty"`
		Since   time.Time      `json:"since"`
	}
	waitingRow struct {
		Job        queue.Job `json:"job"`
		Ready      bool      `json:"ready"`
		InCycle    bool      `json:"in_cycle"`
		BlockedBy  []string  `json:"blocked_by"`
		FailedDeps []string  `json:"failed_deps,omitempty"`
		NoBuilder  bool      `json:"no_builder"`
	}
	builderRow struct {
		Name     string    `json:"name"`
		Class    string    `json:"class"`
		Version  string    `json:"version"`
		Busy     int       `json:"busy"`
		LastSeen time.Time `json:"last_seen"`
	}
)

func reportOf(s *queue.Snapshot) queueReport {
	r := queueReport{Time: s.Time, Running: []runningRow{}, Publishing: []publishingRow{}, Waiting: []waitingRow{},
		Builders: []builderRow{}, Ended: map[string]int64{}}
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
	for status, n := range s.Counters.Ended {
		r.Ended[status.String()] = n
	}
	return r
}

// queueText is the queue for people.
func queueText(s *queue.Snapshot) string {
	var b strings.Builder
	since := func(t time.Time) string { return s.Time.Sub(t).Round(time.Second).String() }
	if len(s.Running)+len(s.Publishing)+len(s.Waiting) == 0 {
		b.WriteString("The queue is empty.\n")
	}
	section(&b, "RUNNING", "BUILDER\tFOR\tATTEMPT", s.Running, func(j queue.RunningJob) string {
		return fmt.Sprintf("%s\t%s\t%s\t%d", j.Job.ID(), j.Builder, since(j.Since), j.Attempt)
	})
	section(&b, "TO PUBLISH", "BUILT BY\tPUBLISHED BY\tFOR", s.Publishing, func(j queue.PublishingJob) string {
		name := j.ID
		switch {
		case j.Job != nil:
			name = j.Job.ID()
		case j.Cleanup != nil:
			name = "clean-up of " + j.Cleanup.TargetRepo + "/" + j.Cleanup.Arch
		}
		return fmt.Sprintf("%s\t%s\t%s\t%s", name, orDash(j.Builder), orDash(j.Holder), since(j.Since))
	})
	section(&b, "WAITING", "CLASS\tFOR\tON", s.Waiting, func(j queue.WaitingJob) string {
		return fmt.Sprintf("%s\t%s\t%s\t%s", j.Job.ID(), j.Job.Class, since(time.UnixMilli(j.Job.Timestamp)), waitsOn(j))
	})
	section(&b, "BUILDER", "CLASS\tBUILDS\tSEEN\tVERSION", s.Builders, func(r queue.BuilderState) string {
		return fmt.Sprintf("%s\t%s\t%d\t%s ago\t%s", r.Builder.Name, r.Builder.Class, r.Busy, since(r.LastSeen), r.Builder.Version)
	})
	var ended []string
	for status, n := range s.Counters.Ended {
		ended = append(ended, fmt.Sprintf("%d %s", n, status))
	}
	if slices.Sort(ended); len(ended) > 0 {
		fmt.Fprintf(&b, "\nEnded so far: %s.\n", strings.Join(ended, ", "))
	}
	return b.String()
}

func section[T any](b *strings.Builder, title, columns string, rows []T, line func(T) string) {
	if len(rows) == 0 {
		return
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s (%d)\t%s\n", title, len(rows), columns)
	for _, row := range rows {
		fmt.Fprintln(w, line(row))
	}
	_ = w.Flush() // to a builder
}

func waitsOn(j queue.WaitingJob) string {
	on := strings.Join(j.BlockedBy, " ")
	switch {
	case j.Ready && j.NoBuilder:
		on = "a builder that takes it: none was seen lately"
	case j.Ready:
		on = "a free builder"
	case j.NoBuilder:
		on += " (and no builder that takes it was seen lately)"
	}
	if j.InCycle {
		on += " (its turn in a cycle)"
	}
	if len(j.FailedDeps) > 0 {
		on += " (failed: " + strings.Join(j.FailedDeps, " ") + ")"
	}
	return on
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
