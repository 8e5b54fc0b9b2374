package queue

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// exportVersion is the version of the file that Export writes: JSON lines, the first of them says so.
const exportVersion = 1

const (
	maxExportLine = 4 << 20 // bytes; a clean-up lists 2,500 names
	maxExport     = 1 << 30
	importBatch   = 2500 // jobs
)

// exportLine is a line of the file: the first has Version, each further one a job or a clean-up.
type exportLine struct {
	Version int      `json:"caur_queue,omitempty"`
	Count   int      `json:"jobs,omitempty"` // jobs that follow
	Job     *Job     `json:"job,omitempty"`
	Cleanup *Cleanup `json:"cleanup,omitempty"`
}

// Export writes what is alive as JSON lines: jobs that wait, and those that run or are to be published, which would have to be built again, and clean-ups. Oldest first.
func (q *Queue) Export(ctx context.Context, w io.Writer) (jobs int, err error) {
	s, err := q.Snapshot(ctx)
	if err != nil {
		return 0, err
	}
	if !s.Exact {
		return 0, errors.New("export the queue: it changed while it was read, again and again: stop enqueueing for a moment")
	}
	var all []Job
	var cleanups []*Cleanup
	for _, j := range s.Waiting {
		all = append(all, j.Job)
	}
	for _, j := range s.Running {
		all = append(all, j.Job)
	}
	for _, p := range s.Publishing {
		if p.Job != nil {
			all = append(all, *p.Job)
		} else {
			cleanups = append(cleanups, p.Cleanup)
		}
	}
	slices.SortFunc(all, func(a, b Job) int {
		if a.Timestamp != b.Timestamp {
			return int(a.Timestamp - b.Timestamp)
		}
		return strings.Compare(a.ID(), b.ID())
	})
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	err = enc.Encode(exportLine{Version: exportVersion, Count: len(all)})
	for i := 0; i < len(all) && err == nil; i++ {
		err = enc.Encode(exportLine{Job: &all[i]})
	}
	for i := 0; i < len(cleanups) && err == nil; i++ {
		err = enc.Encode(exportLine{Cleanup: cleanups[i]})
	}
	if err = errors.Join(err, out.Flush()); err != nil {
		return 0, fmt.Errorf("export the queue: %w", err)
	}
	return len(all), nil
}

// Import enqueues what Export has written, in batches whose ids come from the content: importing a file twice enqueues once. Jobs of which one of the same identity is alive here are left out: those
// are newer. The whole file is checked before anything is enqueued.
func (q *Queue) Import(ctx context.Context, r io.Reader) (Enqueued, error) {
	jobs, cleanups, err := readExport(r)
	if err != nil {
		return Enqueued{}, fmt.Errorf("import a queue: %w", err)
	}
	var batches []Batch
	for part := range slices.Chunk(jobs, importBatch) {
		batches = append(batches, Batch{Jobs: part, Missing: true})
	}
	for _, c := range cleanups {
		batches = append(batches, Batch{Cleanup: c})
	}
	for i := range batches {
		if err := batches[i].check(); err != nil {
			return Enqueued{}, fmt.Errorf("import a queue: %w", err)
		}
		text, err := json.Marshal(batches[i])
		if err != nil {
			return Enqueued{}, fmt.Errorf("import a queue: %w", err)
		}
		sum := sha256.Sum256(text)
		batches[i].ID = "import:" + hex.EncodeToString(sum[:])
	}
	all := Enqueued{Duplicate: len(batches) > 0}
	for _, b := range batches {
		e, err := q.Enqueue(ctx, b)
		if err != nil {
			return all, err
		}
		if e.Duplicate {
			continue
		}
		all.Duplicate = false
		all.Added, all.LeftOut = append(all.Added, e.Added...), append(all.LeftOut, e.LeftOut...)
	}
	return all, nil
}

func readExport(r io.Reader) (jobs []Job, cleanups []*Cleanup, err error) {
	lines := bufio.NewScanner(io.LimitReader(r, maxExport))
	lines.Buffer(nil, maxExportLine)
	want := 0
	for n := 1; lines.Scan(); n++ {
		var l exportLine
		dec := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&l); err != nil {
			return nil, nil, fmt.Errorf("line %d: %w", n, err)
		}
		switch {
		case n == 1 && l.Version == exportVersion:
			want = l.Count
		case n == 1:
			return nil, nil, fmt.Errorf("line 1: want {\"caur_queue\":%d,…}, a file of 'caur-exec queue export' that this version knows", exportVersion)
		case l.Job != nil:
			l.Job.Timestamp = 0
			jobs = append(jobs, *l.Job)
		case l.Cleanup != nil:
			cleanups = append(cleanups, l.Cleanup)
		default:
			return nil, nil, fmt.Errorf("line %d: neither a job nor a clean-up", n)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, nil, err
	}
	if len(jobs) != want {
		return nil, nil, fmt.Errorf("the file says that it has %d jobs and has %d: it is not complete", want, len(jobs))
	}
	return jobs, cleanups, nil
}
