package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caur-build/caur/pkg/queue/internal/order"
)

const (
	rowsPerPage   = 500
	snapshotTries = 3
	builderAlive  = 10 * time.Minute // a builder not seen for longer does not count as one that could take a job
)

// Snapshot reads the whole queue, in pages so that Redis is never busy for long. When it changed between two pages it is read again, up to three times; the last is then taken with
// Exact false: a job that moved meanwhile may be shown at its old place.
func (q *Queue) Snapshot(ctx context.Context) (*Snapshot, error) {
	for try := 1; ; try++ {
		r := &snapshotReader{seen: map[string]bool{}}
		if err := r.read(ctx, q); err != nil {
			return nil, err
		}
		if r.exact || try == snapshotTries {
			return r.finish()
		}
	}
}

// row is a job alive as stored.
type row struct {
	seq    string
	job    Job
	fields map[string]string
}

type snapshotReader struct {
	seen     map[string]bool
	rows     []row
	meta     map[string]string
	builders map[string]string
	lastSeen map[string]string
	cleanups map[string]string
	lines    []any
	drained  []any
	held     map[string]bool
	now      time.Time
	exact    bool
}

func (r *snapshotReader) read(ctx context.Context, q *Queue) error {
	revision, cursor := "", "0"
	r.exact = true
	for first := true; first || cursor != "0"; first = false {
		reply, err := q.run(ctx, "read the queue", "list", cursor, rowsPerPage)
		if err != nil {
			return err
		}
		page := list(reply)
		cursor = str(at(page, 0))
		if first {
			revision = str(at(page, 1))
			r.now = time.UnixMilli(num(at(page, 2)))
			rest := list(at(page, 4))
			r.meta, r.builders, r.lastSeen, r.cleanups = flat(at(rest, 0)), flat(at(rest, 1)), flat(at(rest, 2)), flat(at(rest, 3))
			r.lines, r.drained, r.held = list(at(rest, 4)), list(at(rest, 5)), map[string]bool{}
			for _, seq := range list(at(rest, 6)) {
				r.held[str(seq)] = true
			}
		}
		r.exact = r.exact && revision == str(at(page, 1))
		for _, v := range list(at(page, 3)) {
			l := list(v)
			seq := str(at(l, 0))
			if r.seen[seq] {
				continue // HSCAN may give a field twice
			}
			r.seen[seq] = true
			fields := flat(at(l, 2))
			if at(l, 1) == nil || len(fields) == 0 {
				continue // a builder's credentials can write the one without the other
			}
			job, err := readJob(at(l, 1), fields["ts"])
			if err != nil {
				return fmt.Errorf("read the queue: %w", err)
			}
			job.Priority, job.NotBefore = int(num(fields["prio"])), num(fields["nb"])
			r.rows = append(r.rows, row{seq, job, fields})
		}
	}
	return nil
}

func (r *snapshotReader) finish() (*Snapshot, error) {
	s := &Snapshot{Time: r.now, Exact: r.exact, Counters: counters(r.meta)}
	busy := map[string]int{}
	for _, row := range r.rows {
		if row.fields["state"] == "running" {
			s.Running = append(s.Running, runningJob(row))
			busy[row.fields["builder"]]++
		}
	}
	slices.SortFunc(s.Running, func(a, b RunningJob) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Token, b.Token)) })
	for name, text := range r.builders {
		var record builderRecord
		if err := json.Unmarshal([]byte(text), &record); err != nil {
			return nil, fmt.Errorf("read the queue: builder %s: %w", name, err)
		}
		s.Builders = append(s.Builders, BuilderState{
			Builder:  Builder{Name: name, Class: record.Class, Arches: record.Arches, Protocol: record.Protocol, Version: record.Version},
			LastSeen: milli(r.lastSeen[name]), Busy: busy[name],
		})
	}
	for _, v := range r.drained {
		name := str(v)
		i := slices.IndexFunc(s.Builders, func(b BuilderState) bool { return b.Builder.Name == name })
		if i < 0 {
			i, s.Builders = len(s.Builders), append(s.Builders, BuilderState{Builder: Builder{Name: name}})
		}
		s.Builders[i].Drained = true
	}
	slices.SortFunc(s.Builders, func(a, b BuilderState) int { return cmp.Compare(a.Builder.Name, b.Builder.Name) })
	s.Waiting = r.waiting(s.Builders)
	var err error
	s.Publishing, err = r.publishing()
	return s, err
}

func runningJob(row row) RunningJob {
	f := row.fields
	return RunningJob{Job: row.job, Builder: f["builder"], Class: f["class"], Token: num(f["token"]), Attempt: int(num(f["lost"])) + 1,
		Since: milli(f["since"]), Expires: milli(f["expires"])}
}

func (r *snapshotReader) waiting(builders []BuilderState) []WaitingJob {
	jobs := make([]*Job, len(r.rows))
	for i := range r.rows {
		jobs[i] = &r.rows[i].job
	}
	offered := indexOffers(jobs)
	takers := map[string]bool{}
	var waiting []WaitingJob
	for i, row := range r.rows {
		state := row.fields["state"]
		if state != "blocked" && state != "ready" && state != "offered" {
			continue
		}
		w := WaitingJob{Job: row.job, Ready: state != "blocked" && !time.UnixMilli(row.job.NotBefore).After(r.now), Held: r.held[row.seq],
			Retries: int(num(row.fields["retries"])), Failure: readFailure(row.fields["fail"]), Message: row.fields["why"],
			InCycle: state == "offered", LostLeases: int(num(row.fields["lost"])),
			CriticalPath: time.Duration(num(row.fields["path"])) * time.Second, FailedDeps: strings.Fields(row.fields["bad"])}
		for _, k := range offered.of(i, jobs[i]) {
			w.BlockedBy = append(w.BlockedBy, jobs[k].ID())
		}
		slices.Sort(w.BlockedBy)
		bucket := row.job.Arch + "|" + row.job.Class
		taken, known := takers[bucket]
		if !known {
			taken = slices.ContainsFunc(builders, func(b BuilderState) bool { return b.takes(row.job, r.now) })
			takers[bucket] = taken
		}
		w.NoBuilder = !taken
		waiting = append(waiting, w)
	}
	slices.SortFunc(waiting, func(a, b WaitingJob) int {
		if a.Ready != b.Ready {
			return cmp.Compare(strconv.FormatBool(b.Ready), strconv.FormatBool(a.Ready))
		}
		return cmp.Or(cmp.Compare(a.score(), b.score()), cmp.Compare(a.Job.Timestamp, b.Job.Timestamp), cmp.Compare(a.Job.ID(), b.Job.ID()))
	})
	return waiting
}

func (w WaitingJob) score() int64 {
	return order.Score(w.Job.Timestamp, int64(w.CriticalPath/time.Second), w.Job.Priority)
}

// takes is the rule of lua/claim.lua, for builders seen lately.
func (b BuilderState) takes(j Job, now time.Time) bool {
	if now.Sub(b.LastSeen) > builderAlive {
		return false
	}
	if len(b.Builder.Arches) > 0 && j.Arch != "any" && !slices.Contains(b.Builder.Arches, j.Arch) {
		return false
	}
	if !numeric(j.Class) {
		return j.Class == b.Builder.Name
	}
	return numeric(b.Builder.Class) && num(j.Class) <= num(b.Builder.Class)
}

func (r *snapshotReader) publishing() ([]PublishingJob, error) {
	jobs := map[string]row{}
	for _, row := range r.rows {
		if row.fields["state"] == "publishing" {
			jobs[row.job.TaskID()] = row
		}
	}
	var out []PublishingJob
	for i := 0; i+2 < len(r.lines); i += 3 {
		hold := flat(r.lines[i+2])
		for _, v := range list(r.lines[i+1]) {
			p := PublishingJob{ID: str(v)}
			if hold["task"] == p.ID && milli(hold["expires"]).After(r.now) {
				p.Holder = hold["holder"]
			}
			if text, ok := r.cleanups[p.ID]; ok {
				p.Cleanup = &Cleanup{}
				if err := json.Unmarshal([]byte(text), p.Cleanup); err != nil {
					return nil, fmt.Errorf("read the queue: clean-up %s: %w", p.ID, err)
				}
			} else if row, ok := jobs[p.ID]; ok {
				p.Job, p.Builder, p.Since = &row.job, row.fields["builder"], milli(row.fields["since"])
			} else {
				continue // it moved while the pages were read
			}
			out = append(out, p)
		}
	}
	return out, nil
}

func counters(meta map[string]string) Counters {
	n := func(name string) int64 { return num(meta["n:"+name]) }
	c := Counters{BuilderCompleted: n("builder_completed"), BuilderFailed: n("builder_failed"), DatabaseCompleted: n("database_completed"),
		DatabaseFailed: n("database_failed"), LostLeases: n("lost_leases"), Ended: map[Status]int64{}}
	for name := range maps.Keys(meta) {
		if status, ok := strings.CutPrefix(name, "n:status:"); ok {
			c.Ended[Status(num(status))] = num(meta[name])
		}
	}
	return c
}

func milli(ms string) time.Time {
	if ms == "" {
		return time.Time{}
	}
	return time.UnixMilli(num(ms))
}
