package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

// A batch whose text is larger than pieceSize is sent ahead in pieces of that size, in one pipeline.
const pieceSize = 256 << 10

// Enqueue adds a batch, all of it or nothing. A job of an identity that waits takes its place; one of an identity that runs or is being
// published ends that run. A batch id that was accepted in the last seven days changes nothing and gives the same answer with Duplicate set.
//
// Round trips: two, whatever the size. Redis is busy for about 40 µs a job in the second.
//
// How long a chain of builds waits on each job is decided here, over this batch, by the durations of past builds (1 s where unknown); see Claim for the order. Jobs of earlier batches neither lengthen a path nor have theirs lengthened by this batch.
//
// Faults of the batch are reported together and nothing is enqueued. Other errors: *[ProtocolError], or Redis'. After an error of the connection
// the batch may have been accepted: call again with the same id.
func (q *Queue) Enqueue(ctx context.Context, b Batch) (Enqueued, error) {
	if err := b.check(); err != nil {
		return Enqueued{}, fmt.Errorf("enqueue: %w", err)
	}
	if len(b.Jobs) == 0 && b.Cleanup == nil {
		return Enqueued{}, nil
	}
	if b.ID == "" {
		b.ID = uuid.NewString()
	}
	pieces, jobs, err := pieces(b.Jobs)
	if err != nil {
		return Enqueued{}, fmt.Errorf("enqueue: %w", err)
	}
	paths, staged, err := q.prepare(ctx, jobs, pieces)
	if err != nil {
		return Enqueued{}, fmt.Errorf("enqueue %d jobs: %w", len(jobs), err)
	}
	args := []any{b.ID, paths, "", "", "", "", "here"}
	if b.Missing {
		args[5] = "missing"
	}
	if c := b.Cleanup; c != nil {
		text, err := json.Marshal(c)
		if err != nil {
			return Enqueued{}, fmt.Errorf("enqueue: %w", err)
		}
		args[2], args[3], args[4] = string(text), cleanupTask(b.ID), c.TargetRepo
	}
	if staged != nil {
		args[6], pieces = "stage", staged
	}
	for _, p := range pieces {
		args = append(args, p)
	}
	reply, err := q.run(ctx, fmt.Sprintf("enqueue %d jobs", len(jobs)), "enqueue", args...)
	if err != nil {
		return Enqueued{}, err
	}
	return readEnqueued(reply)
}

func cleanupTask(batch string) string { return "cleanup:" + batch }

// pieces gives the jobs as they are stored, one a line, in texts of about pieceSize.
func pieces(jobs []Job) (texts []string, clean []*Job, err error) {
	var piece strings.Builder
	for _, j := range jobs {
		j.Class, j.Timestamp = class(j.Class), 0
		if j.Pkgnames == nil {
			j.Pkgnames = []string{}
		}
		clean = append(clean, &j)
		line, err := json.Marshal(j)
		if err != nil {
			return nil, nil, fmt.Errorf("job %s: %w", j.ID(), err)
		}
		if piece.Len() > 0 && piece.Len()+len(line) > pieceSize {
			texts = append(texts, piece.String())
			piece.Reset()
		}
		piece.Write(line)
		piece.WriteByte('\n')
	}
	if piece.Len() > 0 {
		texts = append(texts, piece.String())
	}
	return texts, clean, nil
}

// prepare asks for the durations of past builds and, when there are several pieces, sends them ahead; one round trip.
func (q *Queue) prepare(ctx context.Context, jobs []*Job, pieces []string) (paths string, staged []string, err error) {
	if len(jobs) == 0 {
		return "", nil, nil
	}
	fields := make([]string, len(jobs))
	for i, j := range jobs {
		fields[i] = j.Arch + "/" + j.Pkgbase
	}
	nonce := uuid.NewString()
	var durations *redis.SliceCmd
	_, err = q.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		durations = p.HMGet(ctx, q.keys.key("durations"), fields...)
		if len(pieces) < 2 {
			return nil
		}
		for i, text := range pieces {
			staged = append(staged, q.keys.stage(nonce, i))
			p.Do(ctx, "SET", staged[i], text, "EX", 3600)
		}
		return nil
	})
	if err != nil {
		return "", nil, err
	}
	seconds := make(map[*Job]int64, len(jobs))
	for i, v := range durations.Val() {
		seconds[jobs[i]] = max(1, num(v))
	}
	var text strings.Builder
	for i, path := range criticalPaths(jobs, func(j *Job) int64 { return seconds[j] }) {
		text.WriteString(strconv.FormatInt(path, 10))
		text.WriteByte(':')
		text.WriteString(strconv.FormatInt(seconds[jobs[i]], 10))
		text.WriteByte(' ')
	}
	return text.String(), staged, nil
}

func readEnqueued(reply any) (Enqueued, error) {
	var answer struct {
		Added        []string `json:"added"`
		Replaced     []string `json:"replaced"`
		CanceledRuns []string `json:"canceled_runs"`
		LeftOut      []string `json:"left_out"`
		CleanupID    string   `json:"cleanup_id"`
	}
	l := list(reply)
	if err := json.Unmarshal([]byte(str(at(l, 0))), &answer); err != nil {
		return Enqueued{}, fmt.Errorf("enqueue: read the answer: %w", err)
	}
	return Enqueued{Added: answer.Added, Replaced: answer.Replaced, CanceledRuns: answer.CanceledRuns, LeftOut: answer.LeftOut,
		CleanupID: answer.CleanupID, Duplicate: num(at(l, 1)) == 1}, nil
}
