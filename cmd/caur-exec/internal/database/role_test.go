package database

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/landing"
	"github.com/caur-build/caur/cmd/caur-exec/internal/publish"
	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/internal/syncdb/pkgtest"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
)

// host is a repository host with a Redis of its own.
type host struct {
	t     *testing.T
	redis *testenv.RedisServer
	q     *queue.Queue
	s     Settings
	log   *logBuffer
}

// logBuffer keeps the log and tells who waits for a text.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed and replaced with each line
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.more)
	b.more = make(chan struct{})
	return b.text.Write(p)
}

func (b *logBuffer) wait(t *testing.T, part string) {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		b.mu.Lock()
		text, more := b.text.String(), b.more
		b.mu.Unlock()
		if strings.Contains(text, part) {
			return
		}
		select {
		case <-more:
		case <-limit:
			t.Fatalf("%q never came:\n%s", part, text)
		}
	}
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, redis: testenv.Redis(t), log: &logBuffer{more: make(chan struct{})}}
	h.q = queue.New(h.redis.Client())
	dir := t.TempDir()
	gpg, _ := testenv.GPGHome(t)
	h.s = Settings{RepoPath: filepath.Join(dir, "repo"), LandingPath: filepath.Join(dir, "landing"), GPGPath: gpg, Port: 22,
		SourceRepos: oneSource, TargetRepos: `{"demo": {}, "other": {}}`, LeaseTTL: 10 * time.Second, Hostname: "db1"}
	return h
}

func (h *host) logger() *slog.Logger { return slog.New(slog.NewTextHandler(h.log, nil)) }

// start runs the role until the test, or the returned function, ends it.
func (h *host) start() (stop func()) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, h.s, h.q, h.logger()) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Errorf("the role ended with %v", err)
		}
	})
	h.t.Cleanup(stop)
	h.log.wait(h.t, "database role started")
	return stop
}

// build is what a builder does: enqueue, claim, upload, deliver. It returns the task.
func (h *host) build(repo string, specs ...pkgtest.Spec) (task string, place landing.Place) {
	h.t.Helper()
	job := queue.Job{Pkgbase: specs[0].Name, TargetRepo: repo, SourceRepo: "packages", Arch: "x86_64", Class: "1"}
	for _, spec := range specs {
		job.Pkgnames = append(job.Pkgnames, spec.Name)
	}
	if _, err := h.q.Enqueue(h.t.Context(), queue.Batch{Jobs: []queue.Job{job}}); err != nil {
		h.t.Fatal(err)
	}
	lease, err := h.q.Claim(h.t.Context(), queue.Builder{Name: "builder", Class: "1"}, time.Minute)
	if err != nil || lease == nil {
		h.t.Fatalf("claim: %v, %v", lease, err)
	}
	place = landing.PlaceOf(lease.Job, lease.Token)
	sender, err := landing.NewLocal(h.s.LandingPath, place)
	if err != nil {
		h.t.Fatal(err)
	}
	var result queue.Result
	for _, spec := range specs {
		if spec.Base == "" {
			spec.Base = job.Pkgbase
		}
		path := pkgtest.Make(h.t, h.t.TempDir(), spec)
		f, err := sender.Put(h.t.Context(), path, filepath.Base(path))
		if err != nil {
			h.t.Fatal(err)
		}
		result.Files = append(result.Files, f)
	}
	if err := h.q.Deliver(h.t.Context(), lease, result); err != nil {
		h.t.Fatal(err)
	}
	return lease.Job.TaskID(), place
}

func (h *host) end(task string) (queue.Status, string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 2*time.Minute)
	defer cancel()
	status, message, err := h.q.WaitTask(ctx, task)
	if err != nil {
		h.t.Fatalf("%s: %v", task, err)
	}
	return status, message
}

func (h *host) want(task string, status queue.Status, part string) {
	h.t.Helper()
	if got, message := h.end(task); got != status || !strings.Contains(message, part) {
		h.t.Errorf("%s ended as %s, %q; want %s, %q", task, got, message, status, part)
	}
}

func (h *host) packages(repo string) []string {
	h.t.Helper()
	db, err := syncdb.Read(filepath.Join(h.s.RepoPath, repo, "x86_64", repo+".db"))
	if err != nil {
		h.t.Fatal(err)
	}
	defer db.Close()
	var all []string
	for e := range db.Each() {
		all = append(all, e.Name+" "+e.Version)
	}
	return all
}

func (h *host) landed(place landing.Place) bool {
	_, err := os.Stat(filepath.Join(h.s.LandingPath, place.Dir()))
	return err == nil
}

// setAside demands that an upload is in quarantine, with its file, and that the log says so.
func (h *host) setAside(place landing.Place, reason string) {
	h.t.Helper()
	h.log.wait(h.t, "set aside for a day")
	aside := filepath.Join(h.s.LandingPath, ".quarantine", place.Dir())
	files, err := os.ReadDir(aside)
	why, readErr := os.ReadFile(filepath.Join(aside, "REASON"))
	if err != nil || readErr != nil || len(files) < 2 || !strings.Contains(string(why), reason) {
		h.t.Errorf("in quarantine are %v, because of %q; want %q: %v, %v", files, why, reason, err, readErr)
	}
	if h.landed(place) {
		h.t.Error("the upload is still in the landing zone")
	}
}

func TestDeliveriesArePublishedAndEnded(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	early, place := h.build("demo", pkgtest.Spec{Name: "foo"}, pkgtest.Spec{Name: "foo-data"})
	h.start()
	h.want(early, queue.Success, "2 packages added")
	if got := h.packages("demo"); !slices.Equal(got, []string{"foo 1-1", "foo-data 1-1"}) {
		t.Errorf("demo: %q", got)
	}
	later, _ := h.build("other", pkgtest.Spec{Name: "foo", Version: "2-1"})
	h.want(later, queue.Success, "1 packages added")
	if got := h.packages("other"); !slices.Equal(got, []string{"foo 2-1"}) {
		t.Errorf("other: %q", got)
	}
	again, _ := h.build("demo", pkgtest.Spec{Name: "foo"})
	h.want(again, queue.Success, "in the repository already")
	h.log.wait(t, again)
	if h.landed(place) {
		t.Error("a published upload stays in the landing zone")
	}
	advert, err := h.q.Advertised(t.Context())
	if err != nil || advert.Landing.Path != h.s.LandingPath || len(advert.TargetRepos) != 2 {
		t.Errorf("advertised: %+v, %v", advert, err)
	}
}

func TestRefusedDeliveriesFailAndTheNextOnesGoOn(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start()
	first, _ := h.build("demo", pkgtest.Spec{Name: "foo", Version: "2-1"})
	h.want(first, queue.Success, "")
	older, place := h.build("demo", pkgtest.Spec{Name: "foo", Version: "1-1"})
	h.want(older, queue.Failed, "older than 2-1")
	h.setAside(place, "older than 2-1")
	thief, _ := h.build("demo", pkgtest.Spec{Name: "thief"}, pkgtest.Spec{Name: "foo", Base: "thief", Version: "3-1"})
	h.want(thief, queue.Failed, "belongs to pkgbase foo")
	unknown, _ := h.build("nowhere", pkgtest.Spec{Name: "foo"})
	h.want(unknown, queue.Failed, "target repo nowhere is not configured")
	next, _ := h.build("demo", pkgtest.Spec{Name: "bar"})
	h.want(next, queue.Success, "")
	if got := h.packages("demo"); !slices.Equal(got, []string{"bar 1-1", "foo 2-1"}) {
		t.Errorf("demo: %q", got)
	}
}

func TestCleanUps(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start()
	for _, name := range []string{"a", "b", "c", "d"} {
		task, _ := h.build("demo", pkgtest.Spec{Name: name})
		h.want(task, queue.Success, "")
	}
	clean := func(c queue.Cleanup) string {
		t.Helper()
		c.TargetRepo, c.Arch = "demo", "x86_64"
		e, err := h.q.Enqueue(t.Context(), queue.Batch{Cleanup: &c})
		if err != nil {
			t.Fatal(err)
		}
		return e.CleanupID
	}
	h.want(clean(queue.Cleanup{Pkgbases: []string{"a", "b", "c"}}), queue.Success, "1 moved to the archive")
	h.want(clean(queue.Cleanup{Pkgbases: []string{"a"}}), queue.Failed, "more than a third")
	h.want(clean(queue.Cleanup{Pkgbases: []string{"a", "b", "c"}}), queue.Success, "nothing to do")
	h.want(clean(queue.Cleanup{Pkgbases: []string{"a"}, Force: true}), queue.Success, "2 moved to the archive")
	if got := h.packages("demo"); !slices.Equal(got, []string{"a 1-1"}) {
		t.Errorf("demo: %q", got)
	}
}

// prepared is a role that is not running, with a signer that can be made to do things.
func (h *host) prepared(sign func(ctx context.Context, n int) error) *role {
	h.t.Helper()
	r, err := newRole(h.t.Context(), h.s, h.q, h.logger())
	if err != nil {
		h.t.Fatal(err)
	}
	signer, err := h.s.signer(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	r.publisher, err = publish.New(publish.Options{RepoPath: h.s.RepoPath, Zone: r.zone, StillWanted: h.q.StillWanted, Signer: &hooked{Signer: signer, hook: sign}})
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

type hooked struct {
	publish.Signer
	n    int
	hook func(ctx context.Context, n int) error
}

func (s *hooked) Sign(ctx context.Context, path string) ([]byte, error) {
	s.n++
	if err := s.hook(ctx, s.n); err != nil {
		return nil, err
	}
	return s.Signer.Sign(ctx, path)
}

func (h *host) take() *queue.Delivery {
	h.t.Helper()
	d, err := h.q.TakeDelivery(h.t.Context(), h.s.Hostname, h.s.LeaseTTL)
	if err != nil || d == nil {
		h.t.Fatalf("take: %v, %v", d, err)
	}
	return d
}

func (h *host) nothingPublished() {
	h.t.Helper()
	if _, err := os.Stat(filepath.Join(h.s.RepoPath, "demo", "x86_64", "demo.db.tar.zst")); !errors.Is(err, os.ErrNotExist) {
		h.t.Errorf("something was published: %v", err)
	}
}

func TestAJobThatIsCanceledWhileItIsPublishedIsNotPublished(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	task, place := h.build("demo", pkgtest.Spec{Name: "foo"})
	r := h.prepared(func(ctx context.Context, _ int) error { return h.q.Cancel(ctx, task) })
	r.handle(t.Context(), h.take())
	h.want(task, queue.Canceled, "")
	h.nothingPublished()
	h.setAside(place, "the job was canceled or replaced")
	// The line is free.
	next, _ := h.build("demo", pkgtest.Spec{Name: "bar"})
	r = h.prepared(func(context.Context, int) error { return nil })
	r.handle(t.Context(), h.take())
	h.want(next, queue.Success, "")
}

func TestAJobThatIsReplacedWhileItIsPublishedIsNotPublished(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	task, _ := h.build("demo", pkgtest.Spec{Name: "foo"})
	newer := queue.Job{Pkgbase: "foo", TargetRepo: "demo", SourceRepo: "packages", Arch: "x86_64", Class: "1"}
	r := h.prepared(func(ctx context.Context, _ int) error {
		_, err := h.q.Enqueue(ctx, queue.Batch{Jobs: []queue.Job{newer}})
		return err
	})
	r.handle(t.Context(), h.take())
	h.want(task, queue.Canceled, "")
	h.nothingPublished()
}

func TestATurnThatRanOutPublishesNothing(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	task, _ := h.build("demo", pkgtest.Spec{Name: "foo"})
	r := h.prepared(func(context.Context, int) error { return nil })
	stale := h.take()
	stale.HolderToken-- // as if another process had the turn
	r.handle(t.Context(), stale)
	h.nothingPublished()
	h.log.wait(t, "another process took the delivery over")
	stale.HolderToken++
	r.handle(t.Context(), stale)
	h.want(task, queue.Success, "")
}

func TestTroubleOfOursIsTriedAgainAndThenASoftwareFailure(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for _, tt := range []struct {
		failures int
		version  string
		status   queue.Status
		part     string
	}{{2, "1-1", queue.Success, "1 packages added"}, {100, "2-1", queue.SoftwareFailure, "no key today"}} {
		task, _ := h.build("demo", pkgtest.Spec{Name: "foo", Version: tt.version})
		r := h.prepared(func(_ context.Context, n int) error {
			if n <= tt.failures {
				return errors.New("no key today")
			}
			return nil
		})
		r.handle(t.Context(), h.take())
		h.want(task, tt.status, tt.part)
	}
	task, _ := h.build("demo", pkgtest.Spec{Name: "bar"})
	r := h.prepared(func(context.Context, int) error { panic("a bug") })
	r.handle(t.Context(), h.take())
	h.want(task, queue.SoftwareFailure, "internal error while publishing: a bug")
}

func TestAShutdownWhilePublishingLeavesTheDeliveryToTheNext(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.s.LeaseTTL = time.Second
	task, _ := h.build("demo", pkgtest.Spec{Name: "foo"})
	ctx, cancel := context.WithCancel(t.Context())
	r := h.prepared(func(ctx context.Context, _ int) error { cancel(); <-ctx.Done(); return ctx.Err() })
	r.handle(ctx, h.take())
	h.nothingPublished()
	h.s.Hostname = "db2"
	h.start()
	h.want(task, queue.Success, "1 packages added")
}

func TestARestartOfRedisIsSurvived(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.start()
	first, _ := h.build("demo", pkgtest.Spec{Name: "foo"})
	h.want(first, queue.Success, "")
	h.redis.Kill()
	h.log.wait(t, "will try again")
	h.redis.Start()
	second, _ := h.build("demo", pkgtest.Spec{Name: "bar"})
	h.want(second, queue.Success, "")
}

func TestTwoDatabaseProcessesPublishEachOnce(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	other := *h
	other.s.Hostname = "db2"
	h.start()
	other.start()
	var tasks, want []string
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		for _, repo := range []string{"demo", "other"} {
			task, _ := h.build(repo, pkgtest.Spec{Name: name})
			tasks = append(tasks, task)
		}
		want = append(want, name+" 1-1")
	}
	for _, task := range tasks {
		h.want(task, queue.Success, "1 packages added")
	}
	for _, repo := range []string{"demo", "other"} {
		if got := h.packages(repo); !slices.Equal(got, want) {
			t.Errorf("%s: %q", repo, got)
		}
	}
}

// upload puts a package into a place, as a builder does that came back from the dead.
func (h *host) upload(place landing.Place) {
	h.t.Helper()
	sender, err := landing.NewLocal(h.s.LandingPath, place)
	if err != nil {
		h.t.Fatal(err)
	}
	path := pkgtest.Make(h.t, h.t.TempDir(), pkgtest.Spec{Name: place.Pkgbase})
	if _, err := sender.Put(h.t.Context(), path, filepath.Base(path)); err != nil {
		h.t.Fatal(err)
	}
}

func TestUploadsWithAnOldTokenAreSetAsideForADay(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	_, waits := h.build("demo", pkgtest.Spec{Name: "waits"})
	runs := queue.Job{Pkgbase: "runs", TargetRepo: "demo", SourceRepo: "packages", Arch: "x86_64", Class: "1"}
	claim := func() landing.Place {
		t.Helper()
		if _, err := h.q.Enqueue(t.Context(), queue.Batch{Jobs: []queue.Job{runs}}); err != nil {
			t.Fatal(err)
		}
		lease, err := h.q.Claim(t.Context(), queue.Builder{Name: "builder", Class: "1"}, time.Minute)
		if err != nil || lease == nil {
			t.Fatalf("claim: %v, %v", lease, err)
		}
		return landing.PlaceOf(lease.Job, lease.Token)
	}
	replaced := claim()
	running := claim() // replaces the first run
	dead := landing.Place{TargetRepo: "demo", Arch: "x86_64", Pkgbase: "dead", Token: 1}
	later := dead
	later.Token = time.Now().Add(time.Hour).UnixMicro() // claimed after we looked
	for _, place := range []landing.Place{replaced, running, dead, later} {
		h.upload(place)
	}
	snapshot, err := h.q.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	snapshot.Time = snapshot.Time.Add(2 * time.Minute)
	live := livePlaces(snapshot)
	for place, want := range map[landing.Place]bool{waits: true, replaced: false, running: true, dead: false, later: true} {
		if live(place) != want {
			t.Errorf("%s waited for: %v, want %v", place.Dir(), !want, want)
		}
	}
	h.prepared(func(context.Context, int) error { return nil }).sweep(t.Context())
	h.setAside(dead, "its token is old")
	for _, place := range []landing.Place{waits, running, later} {
		if !h.landed(place) {
			t.Errorf("%s is gone", place.Dir())
		}
	}
}

func TestAWrongHashIsRefusedAndSetAside(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	task, place := h.build("demo", pkgtest.Spec{Name: "foo"})
	file := filepath.Join(h.s.LandingPath, place.Dir(), "foo-1-1-any.pkg.tar.zst")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	h.start()
	h.want(task, queue.Failed, "SHA-256")
	h.setAside(place, "in the landing zone has SHA-256")
	h.nothingPublished()
}

func TestAShutdownWhileStartingIsNoError(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, h.s, h.q, h.logger()); err != nil {
		t.Errorf("the role ended with %v", err)
	}
}

func TestTheRoleDoesNotStartWithoutWhatItNeeds(t *testing.T) {
	t.Parallel()
	for what, tt := range map[string]struct {
		change func(h *host)
		err    string
	}{
		"no key": {func(h *host) { h.s.GPGPath = h.t.TempDir() }, "no usable secret signing key in GPG_PATH"},
		"a landing zone that is a file": {func(h *host) {
			h.s.LandingPath = filepath.Join(h.t.TempDir(), "file")
			if err := os.WriteFile(h.s.LandingPath, nil, 0o644); err != nil {
				h.t.Fatal(err)
			}
		}, "landing zone"},
		"a journal that cannot be read": {func(h *host) {
			state := filepath.Join(h.s.RepoPath, "demo", ".caur", "x86_64")
			if err := errors.Join(os.MkdirAll(state, 0o755), os.WriteFile(filepath.Join(state, "journal.json"), []byte("x"), 0o644)); err != nil {
				h.t.Fatal(err)
			}
		}, "recover what an interrupted publish left: repository demo: journal"},
	} {
		h := newHost(t)
		tt.change(h)
		if err := Run(t.Context(), h.s, h.q, h.logger()); err == nil || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, want %q", what, err, tt.err)
		}
	}
}
