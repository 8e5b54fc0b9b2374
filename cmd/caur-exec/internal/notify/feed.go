package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/caur-build/caur/pkg/queue"
)

// feed puts what events have to say into the outbox, from the remembered place on, until ctx ends or Redis fails.
func (n *Notifier) feed(ctx context.Context, wake func(target string)) error {
	place, err := n.outbox.place(ctx)
	if err != nil {
		return err
	}
	for e, err := range n.opt.Queue.Events(ctx, place) {
		if err != nil {
			return err
		}
		if e.Kind == queue.EventGap {
			err = n.bridge(ctx, wake)
		} else {
			err = n.tell(ctx, e.ID, e, wake)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// tell puts the entries of one event into the outbox. id: of the event, or empty for one that was made up.
func (n *Notifier) tell(ctx context.Context, id string, e queue.Event, wake func(string)) error {
	entries := n.entries(e)
	if err := n.outbox.add(ctx, id, taskOf(e), entries); err != nil {
		return err
	}
	for _, entry := range entries {
		wake(entry.target)
	}
	return nil
}

func (n *Notifier) entries(e queue.Event) []entry {
	var all []entry
	note, ended := noteOf(e, n.links)
	for _, t := range n.targets {
		switch {
		case t.forge != nil:
			if e.Job != nil && e.Job.SourceRepo == t.repo {
				all = append(all, t.forge.entries(t.name, e, n.links)...)
			}
		case ended && t.wants(note):
			key := e.ID
			if key == "" {
				key = fmt.Sprintf("%s:%d", e.JobID, e.Time.UnixMilli())
			}
			all = append(all, newEntry(t.name, key, once, note))
		}
	}
	return all
}

// opened is a job that was told of and has not ended.
type opened struct {
	Job  queue.Job       `json:"job"`
	Kind queue.EventKind `json:"kind"` // queued or started
}

// taskOf says what to remember of the job of an event.
func taskOf(e queue.Event) remember {
	if e.Job == nil {
		return leaveTask
	}
	r := remember{task: e.Job.TaskID()}
	if e.Kind == queue.EventEnded {
		return r
	}
	o := opened{Job: *e.Job, Kind: queue.EventQueued}
	if e.Kind == queue.EventStarted || e.Kind == queue.EventDelivered {
		o.Kind = queue.EventStarted
	}
	text, err := json.Marshal(o)
	if err != nil {
		panic(err) // plain struct of ours
	}
	r.text = string(text)
	return r
}

const askTime = 5 * time.Second

// bridge makes up for events that were trimmed before they were read: jobs told so far that are not in the queue any more have ended, and what is in the
// queue is told as it stands. It may be done twice: entries are replaced, and a job that has ended is forgotten in the same step.
func (n *Notifier) bridge(ctx context.Context, wake func(string)) error {
	now, err := n.opt.Queue.Snapshot(ctx)
	if err != nil {
		return err
	}
	before, err := n.outbox.open(ctx)
	if err != nil {
		return err
	}
	n.opt.Log.Warn("events of the queue were lost while nobody read them: what became of the jobs is asked", "told", len(before))
	alive := map[string]bool{}
	state := func(job queue.Job, builder string, kind queue.EventKind, at time.Time) error {
		alive[job.TaskID()] = true
		if had, told := before[job.TaskID()]; told && had.Kind == kind {
			return nil
		}
		return n.tell(ctx, "", queue.Event{Kind: kind, JobID: job.ID(), Job: &job, Builder: builder, Time: at}, wake)
	}
	for _, w := range now.Waiting {
		if err := state(w.Job, "", queue.EventQueued, now.Time); err != nil {
			return err
		}
	}
	for _, r := range now.Running {
		if err := state(r.Job, r.Builder, queue.EventStarted, r.Since); err != nil {
			return err
		}
	}
	for _, p := range now.Publishing {
		if p.Job == nil {
			continue
		}
		if err := state(*p.Job, p.Builder, queue.EventStarted, p.Since); err != nil {
			return err
		}
	}
	for task, o := range before {
		if !alive[task] {
			if err := n.askEnd(ctx, task, o, now.Time, wake); err != nil {
				return err
			}
		}
	}
	return nil
}

// askEnd tells how a job ended whose event was lost.
func (n *Notifier) askEnd(ctx context.Context, task string, o opened, at time.Time, wake func(string)) error {
	asking, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	status, message, err := n.opt.Queue.WaitTask(asking, task)
	switch {
	case errors.Is(err, queue.ErrNotFound): // longer than a week ago
		status, message = queue.Canceled, "what became of it is not known any more"
	case asking.Err() != nil && ctx.Err() == nil:
		return nil // it began anew meanwhile: its events will come
	case err != nil:
		return err
	}
	return n.tell(ctx, "", queue.Event{Kind: queue.EventEnded, JobID: o.Job.ID(), Job: &o.Job, Status: status, Message: message, Time: at}, wake)
}

// open lists the jobs that were told of and have not ended.
func (o *Outbox) open(ctx context.Context) (map[string]opened, error) {
	texts, err := o.rdb.HGetAll(ctx, keyPrefix+"open").Result()
	if err != nil {
		return nil, fmt.Errorf("read the jobs told of: %w", err)
	}
	all := make(map[string]opened, len(texts))
	for task, text := range texts {
		var job opened
		if err := json.Unmarshal([]byte(text), &job); err != nil {
			return nil, fmt.Errorf("read the jobs told of: %s: %w", task, err)
		}
		all[task] = job
	}
	return all, nil
}
