package builder_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/builder"
	"github.com/caur-build/caur/cmd/caur-exec/internal/buildlog"
	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
	"github.com/caur-build/caur/cmd/caur-exec/internal/makepkg"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
)

// TestMain lets this test program be what the engine starts: the first process of a namespace, and "caur-exec build".
func TestMain(m *testing.M) {
	container.MaybeInit()
	if len(os.Args) == 4 && os.Args[1] == "build" && os.Args[2] == "--request" {
		os.Exit(build(os.Args[3]))
	}
	if role := os.Getenv(roleVar); role != "" {
		os.Exit(roleMain(role))
	}
	if caches := os.Getenv("CAUR_TEST_HOLD_CACHE"); caches != "" {
		builder.HoldCache(caches)
	}
	os.Exit(m.Run())
}

func build(file string) int {
	request, err := makepkg.ReadRequest(file)
	if err == nil && strings.HasPrefix(request.Pkgbase, fault) {
		return quickBuild(request)
	}
	if err == nil {
		var code int
		if code, err = makepkg.Run(context.Background(), request, os.Stdout); err == nil {
			return code
		}
	}
	fmt.Fprintln(os.Stdout, "caur-exec build:", err)
	return makepkg.CodeFailed
}

// site is a small installation: queue and logs in a real Redis, a PKGBUILD repository, directories.
type site struct {
	t       testing.TB
	ctx     context.Context
	redis   *testenv.RedisServer
	queue   *queue.Queue
	logs    *buildlog.Store
	source  *testenv.GitRepo
	dir     string
	landing string
	s       builder.Settings
}

// newSite makes one. extra are further settings, NAME=VALUE.
func newSite(t testing.TB, extra ...string) *site {
	t.Helper()
	v := &site{t: t, redis: testenv.Redis(t, "--appendonly", "yes", "--appendfsync", "always"), source: testenv.PackageRepo(t), dir: t.TempDir()}
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
	t.Cleanup(cancel)
	v.ctx = ctx
	client := v.redis.Client()
	v.queue = queue.New(client)
	v.logs = buildlog.NewStore(client, buildlog.Options{})
	t.Cleanup(v.logs.Close)
	v.landing = v.mkdir("landing")
	env := map[string]string{
		"BUILDER_HOSTNAME": "tester", "SHARED_PATH": v.mkdir("shared"), "LANDING_ZONE_PATH": v.landing, "CONTAINER_ENGINE": "none",
		"BUILDER_BUILD_USER": "nobody", "BUILDER_LEASE": "10s",
	}
	for _, e := range extra {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	if err := settings.Load(t.Context(), &v.s, settings.Map(env)); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *site) mkdir(name string) string {
	v.t.Helper()
	dir := filepath.Join(v.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		v.t.Fatal(err)
	}
	return dir
}

// advertise plays the database role's part of telling builders what there is.
func (v *site) advertise(change func(*queue.Advert)) {
	v.t.Helper()
	a := queue.Advert{
		Packager: "Tess Tester <tess@example.org>", LogsURL: "https://logs.example.org/logs.html",
		SourceRepos: map[string]queue.SourceRepo{"src": {URL: "file://" + v.source.Origin()}},
		TargetRepos: map[string]queue.TargetRepo{"demo": {}},
	}
	if change != nil {
		change(&a)
	}
	if err := v.queue.Advertise(v.ctx, a); err != nil {
		v.t.Fatal(err)
	}
}

// run starts a builder and gives the way to end it, which waits for its end.
func (v *site) run(engine container.Engine) (stop func() error) {
	v.t.Helper()
	ctx, cancel := context.WithCancel(v.ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- builder.Run(ctx, v.s, builder.Deps{
			Queue: v.queue, Logs: v.logs, Log: slog.New(slog.NewTextHandler(testWriter{v.t}, nil)), Version: "test", Engine: engine,
		})
	}()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() {
			cancel()
			err = <-ended
		})
		return err
	}
	v.t.Cleanup(func() {
		if err := stop(); err != nil {
			v.t.Errorf("the builder ended with %v", err)
		}
	})
	return stop
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (v *site) job(pkgbase string, pkgnames ...string) queue.Job {
	if len(pkgnames) == 0 {
		pkgnames = []string{pkgbase}
	}
	return queue.Job{Pkgbase: pkgbase, TargetRepo: "demo", SourceRepo: "src", Arch: "x86_64", Class: "1", Pkgnames: pkgnames}
}

func (v *site) enqueue(jobs ...queue.Job) {
	v.t.Helper()
	if _, err := v.queue.Enqueue(v.ctx, queue.Batch{Jobs: jobs}); err != nil {
		v.t.Fatal(err)
	}
}

// ended waits for the end of the job of that pkgbase.
func (v *site) ended(pkgbase string) (queue.Status, string) {
	v.t.Helper()
	status, message, err := v.queue.WaitTask(v.ctx, "demo/x86_64/"+pkgbase)
	if err != nil {
		v.t.Fatalf("%s: %v", pkgbase, err)
	}
	return status, message
}

func (v *site) wantEnd(pkgbase string, want queue.Status, message string) {
	v.t.Helper()
	status, got := v.ended(pkgbase)
	if status != want || !strings.Contains(got, message) {
		v.t.Errorf("%s ended as %v (%q), want %v (%q)\n%s", pkgbase, status, got, want, message, v.log(pkgbase))
	}
}

// log reads the log of the newest job of a package to its END.
func (v *site) log(pkgbase string) string {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, time.Minute)
	defer cancel()
	key, err := v.logs.Newest(ctx, pkgbase)
	if err != nil {
		return fmt.Sprintf("no log: %v", err)
	}
	follower, err := v.logs.Follow(ctx, key, 0)
	if err != nil {
		return fmt.Sprintf("no log: %v", err)
	}
	defer follower.Close()
	text, err := io.ReadAll(follower)
	if err != nil {
		v.t.Errorf("log of %s: %v", pkgbase, err)
	}
	return string(text)
}

// take gives the next delivery and the contents of its directory in the landing zone.
func (v *site) take() (*queue.Delivery, map[string]string) {
	v.t.Helper()
	for {
		d, err := v.queue.TakeDelivery(v.ctx, "test", time.Minute)
		if err != nil {
			v.t.Fatal(err)
		}
		if d == nil {
			if err := v.queue.WaitDelivery(v.ctx, time.Minute); err != nil {
				v.t.Fatal(err)
			}
			continue
		}
		files := make(map[string]string)
		dir := filepath.Join(v.landing, d.Job.TargetRepo, d.Job.Arch, d.Job.Pkgbase, fmt.Sprint(d.Token))
		entries, err := os.ReadDir(dir)
		if err != nil {
			v.t.Fatal(err)
		}
		for _, e := range entries {
			data, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				v.t.Fatal(err)
			}
			files[e.Name()] = string(data)
		}
		return d, files
	}
}

// nothingLeft checks that no job left a directory behind.
func (v *site) nothingLeft() {
	v.t.Helper()
	left, err := filepath.Glob(filepath.Join(v.s.SharedPath, "build", "tester", "*"))
	if err != nil || len(left) > 0 {
		v.t.Errorf("left in the build directory: %q, %v", left, err)
	}
}

// scripted is an engine that plays a container: what happens around a build matters to these tests, not makepkg.
type scripted struct {
	play   func(ctx context.Context, spec container.Spec, out io.Writer) (int, error)
	mu     sync.Mutex
	swept  []string
	checks error
}

func (e *scripted) Run(ctx context.Context, spec container.Spec, out io.Writer) (int, error) {
	return e.play(ctx, spec, out)
}
func (e *scripted) Check(context.Context) error { return e.checks }
func (e *scripted) Sweep(_ context.Context, owner string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.swept = append(e.swept, owner)
	return nil
}
func (e *scripted) OwnRoot() bool { return true }
func (e *scripted) Close() error  { return nil }

// request reads what the container was asked to do.
func request(t *testing.T, spec container.Spec) makepkg.Request {
	t.Helper()
	if len(spec.Command) != 3 || spec.Command[0] != "build" || spec.Command[1] != "--request" {
		t.Errorf("command %q", spec.Command)
	}
	r, err := makepkg.ReadRequest(spec.Command[len(spec.Command)-1])
	if err != nil {
		t.Error(err)
	}
	return r
}

// leave writes a file into the output directory of a build.
func leave(t *testing.T, spec container.Spec, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(request(t, spec).OutputDir, name), []byte(text), 0o644); err != nil {
		t.Error(err)
	}
}
