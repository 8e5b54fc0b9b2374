package queue

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// savedQueue is what the earlier manager leaves: classes are numbers or texts, values may be missing, a job may be there
// twice.
const savedQueue = `{"save_queue": [
	{"pkgbase": "app", "target_repo": "chaotic-aur", "source_repo": "packages", "arch": "x86_64", "build_class": 1, "pkgnames": ["app"]},
	{"pkgbase": "app", "target_repo": "chaotic-aur", "source_repo": "packages", "arch": "x86_64", "build_class": "heavy",
	 "pkgnames": ["app", "app-docs", "app"], "dependencies": ["lib", ""], "commit": "c0ffee:12", "arch_mirror": "https://m.example/$repo/os/$arch", "more": {}},
	{"pkgbase": "lib", "target_repo": "chaotic-aur", "source_repo": "packages", "arch": "x86_64", "build_class": null, "pkgnames": null, "commit": null},
	{"pkgbase": "newer", "target_repo": "chaotic-aur", "source_repo": "packages", "arch": "x86_64", "build_class": 3}
], "version": 3}`

func TestTheQueueOfTheEarlierManagerIsTakenOver(t *testing.T) {
	q := newQueue(t)
	if got, err := q.ImportLegacy(t.Context(), false, false); err != nil || got.Found {
		t.Fatalf("of none: %+v, %v", got, err)
	}
	must(t, q.rdb.Set(t.Context(), legacyKey, savedQueue, 0).Err())
	enqueue(t, q, job("newer"))
	want := []string{id("app"), id("lib")}
	got, err := q.ImportLegacy(t.Context(), false, true)
	if err != nil || !slices.Equal(got.Imported, want) {
		t.Fatalf("dry run: %+v, %v", got, err)
	}
	if s, err := q.Snapshot(t.Context()); err != nil || len(s.Waiting) != 1 {
		t.Fatalf("a dry run enqueued: %+v, %v", s, err)
	}
	for _, keep := range []bool{true, false} { // the second time nothing is enqueued twice
		got, err = q.ImportLegacy(t.Context(), keep, false)
		must(t, err)
	}
	if !slices.Equal(got.Here, []string{id("app"), id("lib"), id("newer")}) || len(got.Imported)+len(got.Refused) != 0 {
		t.Errorf("again: %+v", got)
	}
	s, err := q.Snapshot(t.Context())
	must(t, err)
	jobs := map[string]Job{}
	for _, w := range s.Waiting {
		jobs[w.Job.Pkgbase] = w.Job
	}
	app, lib := jobs["app"], jobs["lib"]
	if len(s.Waiting) != 3 || app.Class != "heavy" || app.Commit != "c0ffee:12" || app.ArchMirror != "https://m.example/$repo/os/$arch" || app.SourceRepo != "packages" ||
		!slices.Equal(app.Pkgnames, []string{"app", "app-docs"}) || !slices.Equal(app.Dependencies, []string{"lib"}) {
		t.Errorf("app is %+v", app)
	}
	if lib.Class != "1" || !slices.Equal(lib.Pkgnames, []string{"lib"}) || jobs["newer"].Class != "1" {
		t.Errorf("lib is %+v, newer is %+v", lib, jobs["newer"])
	}
	if n, err := q.rdb.Exists(t.Context(), legacyKey).Result(); err != nil || n != 0 {
		t.Errorf("the earlier queue is still there: %d, %v", n, err)
	}
}

func TestLegacyJobsThatAreWrongStayWhereTheyAre(t *testing.T) {
	q := newQueue(t)
	must(t, q.rdb.Set(t.Context(), legacyKey, `{"save_queue": [{"pkgbase": "ok", "target_repo": "r", "arch": "any"}, {"pkgbase": "x;id", "target_repo": "r", "arch": "any"}], "version": 3}`, 0).Err())
	got, err := q.ImportLegacy(t.Context(), false, false)
	if err != nil || !slices.Equal(got.Imported, []string{"r/any/ok"}) || len(got.Refused) != 1 || !strings.Contains(got.Refused[0], "not a legal package name") {
		t.Errorf("%+v, %v", got, err)
	}
	if n, err := q.rdb.Exists(t.Context(), legacyKey).Result(); err != nil || n != 1 {
		t.Errorf("the earlier queue is gone, and with it the job: %d, %v", n, err)
	}
}

func TestOtherQueuesThanThatOfTheEarlierManagerAreRefused(t *testing.T) {
	q := newQueue(t)
	for text, part := range map[string]string{
		"": "not the queue", "[]": "not the queue", "{}": "no save_queue", `{"save_queue": {}, "version": 3}`: "not the queue",
		`{"save_queue": [], "version": 2}`: "version 2, this program knows 3", `{"save_queue": [{"pkgbase": 5}], "version": 3}`: "not the queue",
	} {
		must(t, q.rdb.Set(t.Context(), legacyKey, text, 0).Err())
		if _, err := q.ImportLegacy(t.Context(), false, false); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %v, want %q", text, err, part)
		}
	}
}

// The earlier manager saves its queue while it is imported.
func TestALegacyQueueThatChangesMeanwhileIsNotRemoved(t *testing.T) {
	q := newQueue(t)
	other := q.rdb.(*redis.Client)
	must(t, q.rdb.Set(t.Context(), legacyKey, savedQueue, 0).Err())
	q.rdb.AddHook(onCommand{"evalsha", func(ctx context.Context) {
		must(t, other.Set(ctx, legacyKey, `{"save_queue": [], "version": 3}`, 0).Err())
	}})
	if _, err := q.ImportLegacy(t.Context(), false, false); err == nil || !strings.Contains(err.Error(), "stop it and import again") {
		t.Errorf("error is %v", err)
	}
	if n, err := q.rdb.Exists(t.Context(), legacyKey).Result(); err != nil || n != 1 {
		t.Errorf("the changed queue is gone: %d, %v", n, err)
	}
}

// onCommand does something before each command of a name.
type onCommand struct {
	name string
	do   func(context.Context)
}

func (onCommand) DialHook(next redis.DialHook) redis.DialHook { return next }
func (h onCommand) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == h.name {
			h.do(ctx)
		}
		return next(ctx, cmd)
	}
}
func (h onCommand) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
