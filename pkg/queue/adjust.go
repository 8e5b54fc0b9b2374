package queue

import (
	"context"
	"encoding/json"
	"fmt"
)

// Drain says that a builder shall get no more jobs, or with on false that it shall again. What it has it finishes; the builder need not have been seen yet, and
// the queue remembers it for as long as it takes.
func (q *Queue) Drain(ctx context.Context, builder string, on bool) error {
	if err := (Builder{Name: builder}).check(); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	op := "undrain"
	if on {
		op = "drain"
	}
	_, err := q.run(ctx, op+" "+builder, "settings", op, builder)
	return err
}

// Prioritise gives a job that waits another priority ([Job.Priority]). id: a job id or a task id. [ErrNotFound] when it does not wait.
func (q *Queue) Prioritise(ctx context.Context, id string, priority int) error {
	if priority < -maxPriority || priority > maxPriority {
		return fmt.Errorf("prioritise %s: priority %d: want -%d to %d", printableID(id), priority, maxPriority, maxPriority)
	}
	job, timestamp := splitTask(id)
	_, err := q.run(ctx, "prioritise "+printableID(id), "adjust", job, timestamp, "prioritise", priority)
	return err
}

// Release lets a job go on that is held because a dependency ended badly; that it was so is forgotten. [ErrNotFound] when it does not wait.
func (q *Queue) Release(ctx context.Context, id string) error {
	job, timestamp := splitTask(id)
	_, err := q.run(ctx, "release "+printableID(id), "adjust", job, timestamp, "release", "")
	return err
}

// RetryEnded enqueues a job again that has ended, at once and with the priority that it was enqueued with. id: a task id, or a job id: then the job of that identity that ended last. Once for each
// job that has ended: again, it gives the same answer with Duplicate set. [ErrNotFound] when it is older than seven days, was replaced, or one of its identity is alive.
func (q *Queue) RetryEnded(ctx context.Context, id string) (Enqueued, error) {
	reply, err := q.run(ctx, "retry "+printableID(id), "ended", id)
	if err != nil {
		return Enqueued{}, err
	}
	l := list(reply)
	var j Job
	if err := json.Unmarshal([]byte(str(at(l, 1))), &j); err != nil {
		return Enqueued{}, fmt.Errorf("retry %s: read the job: %w", printableID(id), err)
	}
	j.NotBefore = 0
	return q.Enqueue(ctx, Batch{ID: "retry:" + str(at(l, 0)), Jobs: []Job{j}, Missing: true})
}
