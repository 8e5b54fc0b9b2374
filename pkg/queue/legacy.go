package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// The queue of the earlier manager is one string: {"save_queue": [JOB…], "version": 3} (executor.md section 7).
const (
	legacyKey     = "build-queue"
	legacyVersion = 3
)

// Legacy says what [Queue.ImportLegacy] found and did. The lists hold job ids.
type Legacy struct {
	Found    bool     // there is a queue of the earlier manager
	Imported []string // now wait in this queue
	Here     []string // were in this queue already, which is newer
	Refused  []string // sentences: jobs that this queue does not take
}

// legacyJob is a job as the earlier manager saves it. Its class is a number or a text; missing values are null or absent.
type legacyJob struct {
	Pkgbase      string          `json:"pkgbase"`
	TargetRepo   string          `json:"target_repo"`
	SourceRepo   string          `json:"source_repo"`
	Arch         string          `json:"arch"`
	Class        json.RawMessage `json:"build_class"`
	Pkgnames     []string        `json:"pkgnames"`
	Dependencies []string        `json:"dependencies"`
	Commit       string          `json:"commit"`
	ArchMirror   string          `json:"arch_mirror"`
}

func (l legacyJob) job() Job {
	class := strings.Trim(string(l.Class), `"`)
	if class == "null" {
		class = ""
	}
	j := Job{Pkgbase: l.Pkgbase, TargetRepo: l.TargetRepo, SourceRepo: l.SourceRepo, Arch: l.Arch, Class: class, Commit: l.Commit, ArchMirror: l.ArchMirror}
	for _, names := range []struct {
		from []string
		to   *[]string
	}{{l.Pkgnames, &j.Pkgnames}, {l.Dependencies, &j.Dependencies}} {
		for _, name := range names.from {
			if name != "" && !slices.Contains(*names.to, name) {
				*names.to = append(*names.to, name)
			}
		}
	}
	if len(j.Pkgnames) == 0 {
		j.Pkgnames = []string{j.Pkgbase}
	}
	return j
}

// ImportLegacy takes the waiting jobs of the earlier manager over: they wait here as one batch, and its queue is removed,
// unless the manager has changed it meanwhile. Jobs that this queue does not take are left out, and with one of them its
// queue stays, as it does with keep or with dryRun, which changes nothing at all. Doing it again enqueues nothing twice.
//
// Errors: a queue of another version or shape, *[ProtocolError], or Redis'.
func (q *Queue) ImportLegacy(ctx context.Context, keep, dryRun bool) (Legacy, error) {
	text, err := q.rdb.Get(ctx, legacyKey).Result()
	if errors.Is(err, redis.Nil) {
		return Legacy{}, nil
	}
	if err != nil {
		return Legacy{}, fmt.Errorf("read the queue of the earlier manager: %w", err)
	}
	found, err := parseLegacy(text)
	if err != nil {
		return Legacy{}, err
	}
	now, err := q.Snapshot(ctx)
	if err != nil {
		return Legacy{}, err
	}
	report, jobs := sortLegacy(found, now)
	if dryRun {
		return report, nil
	}
	sum := sha256.Sum256([]byte(text))
	done, err := q.Enqueue(ctx, Batch{ID: "legacy:" + hex.EncodeToString(sum[:]), Jobs: jobs})
	if err != nil {
		return Legacy{}, err
	}
	if done.Duplicate {
		report.Imported = nil // an earlier call did, and they have ended since
	}
	if keep || len(report.Refused) > 0 {
		return report, nil
	}
	return report, q.removeLegacy(ctx, text)
}

func parseLegacy(text string) ([]legacyJob, error) {
	var saved struct {
		Queue   *[]legacyJob `json:"save_queue"`
		Version int          `json:"version"`
	}
	switch err := json.Unmarshal([]byte(text), &saved); {
	case err != nil:
		return nil, fmt.Errorf("the Redis key %s is not the queue of the earlier manager: %w", legacyKey, err)
	case saved.Queue == nil:
		return nil, fmt.Errorf("the Redis key %s is not the queue of the earlier manager: it has no save_queue", legacyKey)
	case saved.Version != legacyVersion:
		return nil, fmt.Errorf("the queue of the earlier manager has version %d, this program knows %d: start its newest release once, which converts it", saved.Version, legacyVersion)
	}
	return *saved.Queue, nil
}

// sortLegacy tells jobs to take from those that are here already and those that are wrong. Of several of one identity the
// last counts.
func sortLegacy(found []legacyJob, now *Snapshot) (report Legacy, jobs []Job) {
	report.Found = true
	here := make(map[string]bool)
	for _, w := range now.Waiting {
		here[w.Job.ID()] = true
	}
	for _, r := range now.Running {
		here[r.Job.ID()] = true
	}
	for _, p := range now.Publishing {
		if p.Job != nil {
			here[p.Job.ID()] = true
		}
	}
	taken := make(map[string]bool)
	for _, l := range slices.Backward(found) {
		j := l.job()
		err := j.check()
		switch id := j.ID(); {
		case taken[id]:
		case err != nil:
			report.Refused = append(report.Refused, err.Error())
		case here[id]:
			report.Here = append(report.Here, id)
			taken[id] = true
		default:
			report.Imported, jobs = append(report.Imported, id), append(jobs, j)
			taken[id] = true
		}
	}
	for _, list := range []*[]string{&report.Refused, &report.Here, &report.Imported} {
		slices.Reverse(*list)
	}
	slices.Reverse(jobs)
	return report, jobs
}

// removeLegacy removes the earlier queue if it is still the one that was imported.
func (q *Queue) removeLegacy(ctx context.Context, text string) error {
	err := q.rdb.Watch(ctx, func(tx *redis.Tx) error {
		now, err := tx.Get(ctx, legacyKey).Result()
		switch {
		case errors.Is(err, redis.Nil):
			return nil
		case err != nil:
			return err
		case now != text:
			return redis.TxFailedErr
		}
		_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error { p.Del(ctx, legacyKey); return nil })
		return err
	}, legacyKey)
	if errors.Is(err, redis.TxFailedErr) {
		return fmt.Errorf("the jobs are imported, but the earlier manager has changed its queue meanwhile: stop it and import again")
	}
	if err != nil {
		return fmt.Errorf("the jobs are imported, the Redis key %s is not removed: %w", legacyKey, err)
	}
	return nil
}
