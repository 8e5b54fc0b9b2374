package builder_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/builder"
	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
	"github.com/caur-build/caur/pkg/queue"
)

func TestTheContainerGetsTheRequestAndNoSecret(t *testing.T) {
	v := newSite(t, "BUILDER_LIMITS_CPUS=1.5", "BUILDER_LIMITS_RAM=512", "CI_CODE_SKIP=77", "BUILDER_EXTRA_MOUNTS="+t.TempDir())
	t.Setenv("REDIS_PASSWORD", "hunter2")
	url := "file://" + v.source.Origin()
	v.advertise(func(a *queue.Advert) {
		a.SourceRepos["src"] = queue.SourceRepo{URL: url}
		a.Image = "advertised:1"
		a.TargetRepos["demo"] = queue.TargetRepo{
			ExtraRepos:    []queue.ExtraRepo{{Name: "more", Servers: []string{"https://more.example.org"}}, {Name: "demo", Servers: []string{"https://demo.example.org"}}},
			ExtraKeyrings: []string{"https://more.example.org/keyring.pkg.tar.zst"},
		}
	})
	specs := make(chan container.Spec, 1)
	v.run(&scripted{play: func(_ context.Context, spec container.Spec, out io.Writer) (int, error) {
		r := request(t, spec)
		if r.Pkgbase != "caur-greeting" || r.Arch != "x86_64" || r.Jobs != 2 || r.CodeSkip != 77 || !r.OwnRoot || r.WorkDir != "/build" ||
			r.Packager == "" || r.Mirror != "https://mirror.example.org/$repo/os/$arch" || len(r.Keyrings) != 1 ||
			len(r.ExtraRepos) != 1 || r.TargetRepo == nil || r.TargetRepo.Servers[0] != "https://demo.example.org" ||
			!strings.HasPrefix(r.LogURL, "https://logs.example.org/logs.html?id=caur-greeting&timestamp=") {
			t.Errorf("request %+v", r)
		}
		data, err := os.ReadFile(filepath.Join(r.SourceDir, "PKGBUILD"))
		if err != nil || !strings.Contains(string(data), "pkgname=caur-greeting") {
			t.Errorf("package directory: %v %q", err, data)
		}
		text, _ := os.ReadFile(spec.Command[2])
		for _, secret := range []string{"hunter2", url, v.redis.Addr} {
			if strings.Contains(string(text)+strings.Join(spec.Env, "\n")+strings.Join(spec.Command, " "), secret) {
				t.Errorf("the container is told %q", secret)
			}
		}
		leave(t, spec, "caur-greeting-1.2.0-1-any.pkg.tar.zst", "package")
		specs <- spec
		return 0, nil
	}})
	job := v.job("caur-greeting")
	job.ArchMirror = "https://mirror.example.org/$repo/os/$arch"
	v.enqueue(job)
	d, files := v.take()
	if len(files) != 1 || files["caur-greeting-1.2.0-1-any.pkg.tar.zst"] != "package" || len(d.Result.Files) != 1 || d.Result.Files[0].Size != 7 {
		t.Errorf("landing zone %v, result %+v", files, d.Result)
	}
	spec := <-specs
	if spec.Image != "advertised:1" || spec.Limits.MemoryMiB != 512 || spec.Limits.CPUs != 1.5 || spec.Limits.Pids == 0 || spec.Owner != "tester" {
		t.Errorf("spec %+v", spec)
	}
	for _, m := range spec.Mounts {
		if !m.ReadOnly && m.Target != request0(spec) {
			t.Errorf("%s is writable", m.Target)
		}
	}
	if err := v.queue.FinishDelivery(v.ctx, d, queue.Success, ""); err != nil {
		t.Fatal(err)
	}
	if log := v.log("caur-greeting"); !strings.Contains(log, "building demo/x86_64/caur-greeting on tester") || !strings.Contains(log, "==> caur: success") {
		t.Errorf("log:\n%s", log)
	}
	v.nothingLeft()
}

// request0 is the output directory, the only one that a build without cache may write to.
func request0(spec container.Spec) string {
	return filepath.Join(filepath.Dir(spec.Command[2]), "out")
}

func TestTheEndOfTheContainerIsTheEndOfTheJob(t *testing.T) {
	v := newSite(t)
	v.advertise(nil)
	type end struct {
		code    int
		err     error
		leave   func(out string)
		status  queue.Status
		message string
	}
	link := func(name string) func(string) {
		return func(out string) {
			if err := os.Symlink("/etc/passwd", filepath.Join(out, name)); err != nil {
				t.Error(err)
			}
		}
	}
	ends := map[string]end{
		"already":  {code: 13, status: queue.AlreadyBuilt},
		"skipped":  {code: 123, status: queue.Skipped},
		"timedout": {code: 124, status: queue.TimedOut, message: "time limit"},
		"failed":   {code: 4, status: queue.Failed, message: "function of the PKGBUILD"},
		"deps":     {code: 8, status: queue.Failed, message: "dependency"},
		"killed":   {code: 137, status: queue.Failed, message: "BUILDER_LIMITS_RAM"},
		"other":    {code: 42, status: queue.Failed, message: "status 42"},
		"engine":   {err: errors.New("no space left on device"), status: queue.SoftwareFailure, message: "no space left on device"},
		"empty":    {status: queue.Failed, message: "left no package"},
		"symlink":  {leave: link("symlink-1-1-any.pkg.tar.zst"), status: queue.Failed, message: "left no package"},
		"upwards": {leave: func(out string) {
			_ = os.WriteFile(filepath.Join(out, "..", "x-1-1-any.pkg.tar.zst"), []byte("x"), 0o644)
			_ = os.WriteFile(filepath.Join(out, "..x-1-1-any.pkg.tar.zst"), []byte("x"), 0o644)
		}, status: queue.Failed, message: "left no package"},
		"device": {leave: func(out string) {
			if err := syscall.Mknod(filepath.Join(out, "device-1-1-any.pkg.tar.zst"), syscall.S_IFCHR|0o666, 1<<8|5); err != nil {
				t.Error(err)
			}
		}, status: queue.Failed, message: "left no package"},
		"foreign": {leave: func(out string) {
			_ = os.WriteFile(filepath.Join(out, "glibc-1-1-any.pkg.tar.zst"), []byte("x"), 0o644)
			_ = os.WriteFile(filepath.Join(out, "foreign-1-1-armv7h.pkg.tar.zst"), []byte("x"), 0o644)
			_ = os.WriteFile(filepath.Join(out, "foreign-1-1-any.pkg.tar"), []byte("x"), 0o644)
			_ = os.WriteFile(filepath.Join(out, "foreign-2-1-any.pkg.tar.zst"), nil, 0o644)
		}, status: queue.Failed, message: "left no package"},
		"hardlink": {leave: func(out string) {
			_ = os.WriteFile(filepath.Join(out, "kept"), []byte("x"), 0o644)
			_ = os.Link(filepath.Join(out, "kept"), filepath.Join(out, "hardlink-1-1-any.pkg.tar.zst"))
		}, status: queue.Failed, message: "left no package"},
	}
	for name := range ends {
		v.source.Write(name+"/PKGBUILD", "pkgname="+name+"\n")
	}
	v.source.Write("wrong/PKGBUILD", "x")
	v.source.Write("wrong/.CI/config", "BUILDER_EXTRA_TIMEOUT=soon\n")
	v.source.Commit("test: many ends")
	v.source.Git("push", "-q", "origin", "HEAD")
	v.run(&scripted{play: func(_ context.Context, spec container.Spec, out io.Writer) (int, error) {
		r := request(t, spec)
		e := ends[r.Pkgbase]
		if e.leave != nil {
			e.leave(r.OutputDir)
		}
		return e.code, e.err
	}})
	for name := range ends {
		v.enqueue(v.job(name))
	}
	v.enqueue(v.job("nowhere"), v.job("wrong"))
	for name, e := range ends {
		v.wantEnd(name, e.status, e.message)
	}
	v.wantEnd("nowhere", queue.Failed, "has no directory nowhere")
	v.wantEnd("wrong", queue.Failed, "BUILDER_EXTRA_TIMEOUT")
	if log := v.log("symlink"); !strings.Contains(log, `not delivered: "symlink-1-1-any.pkg.tar.zst": no regular file`) {
		t.Errorf("log:\n%s", log)
	}
	if left, _ := filepath.Glob(filepath.Join(v.landing, "*", "*", "*", "*", "*")); len(left) > 0 {
		t.Errorf("in the landing zone: %q", left)
	}
	v.nothingLeft()
}

func TestARepositoryThatNobodyKnowsEndsTheJobNotTheBuilder(t *testing.T) {
	v := newSite(t)
	v.advertise(func(a *queue.Advert) { a.SourceRepos["gone"] = queue.SourceRepo{URL: "file:///nonexistent/repo.git"} })
	v.run(&scripted{play: func(context.Context, container.Spec, io.Writer) (int, error) { return 13, nil }})
	target := v.job("a")
	target.TargetRepo = "unknown"
	source, gone := v.job("b"), v.job("c")
	source.SourceRepo, gone.SourceRepo = "unknown", "gone"
	v.enqueue(target, source, gone, v.job("caur-greeting"))
	status, message, err := v.queue.WaitTask(v.ctx, "unknown/x86_64/a")
	if err != nil || status != queue.SoftwareFailure || !strings.Contains(message, "PACKAGE_TARGET_REPOS") {
		t.Errorf("%v %q %v", status, message, err)
	}
	v.wantEnd("b", queue.SoftwareFailure, "PACKAGE_REPOS")
	v.wantEnd("c", queue.SoftwareFailure, "PACKAGE_REPOS")
	v.wantEnd("caur-greeting", queue.AlreadyBuilt, "")
}

func TestAPanicEndsTheJobNotTheBuilder(t *testing.T) {
	v := newSite(t)
	v.advertise(nil)
	v.run(&scripted{play: func(_ context.Context, spec container.Spec, _ io.Writer) (int, error) {
		if request(t, spec).Pkgbase == "caur-hello" {
			panic("a mistake")
		}
		return 13, nil
	}})
	v.enqueue(v.job("caur-hello"))
	v.wantEnd("caur-hello", queue.SoftwareFailure, "a mistake")
	v.enqueue(v.job("caur-greeting"))
	v.wantEnd("caur-greeting", queue.AlreadyBuilt, "")
	v.nothingLeft()
}

// blocking is a container that runs until it is stopped, and tells when it starts and why it stops.
type blocking struct {
	started chan container.Spec
	stopped chan error
}

func newBlocking() *blocking {
	return &blocking{started: make(chan container.Spec, 4), stopped: make(chan error, 4)}
}

func (b *blocking) play(ctx context.Context, spec container.Spec, out io.Writer) (int, error) {
	b.started <- spec
	<-ctx.Done()
	b.stopped <- context.Cause(ctx)
	return 0, fmt.Errorf("the build was stopped: %w", context.Cause(ctx))
}

// A lease of an hour: were the next renewal of an ordinary keeper waited for, this test would not end.
func TestACancelledJobStopsItsContainerLongBeforeItsLeaseEnds(t *testing.T) {
	v := newSite(t, "BUILDER_LEASE=1h")
	v.advertise(nil)
	c := newBlocking()
	v.run(&scripted{play: c.play})
	v.enqueue(v.job("caur-greeting"))
	<-c.started
	if err := v.queue.Cancel(v.ctx, "demo/x86_64/caur-greeting"); err != nil {
		t.Fatal(err)
	}
	if cause := <-c.stopped; !errors.Is(cause, queue.ErrCanceled) {
		t.Errorf("stopped because of %v", cause)
	}
	v.wantEnd("caur-greeting", queue.Canceled, "")
	v.log("caur-greeting") // ends
	v.enqueue(v.job("caur-hello"))
	<-c.started
}

func TestAReplacedJobIsBuiltAnew(t *testing.T) {
	v := newSite(t)
	v.advertise(nil)
	c := newBlocking()
	v.run(&scripted{play: c.play})
	v.enqueue(v.job("caur-greeting"))
	first := <-c.started
	v.enqueue(v.job("caur-greeting"))
	if cause := <-c.stopped; !errors.Is(cause, queue.ErrCanceled) {
		t.Errorf("stopped because of %v", cause)
	}
	if second := <-c.started; second.Name == first.Name {
		t.Error("the same container again")
	}
}

func TestAJobWhoseLeaseIsLostIsLeftAlone(t *testing.T) {
	v := newSite(t)
	v.advertise(nil)
	c := newBlocking()
	v.run(&scripted{play: c.play})
	v.enqueue(v.job("caur-greeting"))
	spec := <-c.started
	token, err := strconv.ParseInt(spec.Name[strings.LastIndexByte(spec.Name, '-')+1:], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := v.queue.Snapshot(v.ctx)
	if err != nil || len(snapshot.Running) != 1 {
		t.Fatalf("%v %+v", err, snapshot)
	}
	lease := &queue.Lease{Job: snapshot.Running[0].Job, Token: token, Builder: "tester"}
	if err := v.queue.Requeue(v.ctx, lease); err != nil {
		t.Fatal(err)
	}
	if cause := <-c.stopped; !errors.Is(cause, queue.ErrLeaseLost) {
		t.Errorf("stopped because of %v", cause)
	}
	<-c.started // it waits again, and is taken again
}

func TestTheEndOfTheBuilderGivesItsJobsBack(t *testing.T) {
	v := newSite(t, "BUILDER_JOBS=2")
	v.advertise(nil)
	c := newBlocking()
	stop := v.run(&scripted{play: c.play})
	v.enqueue(v.job("caur-greeting"), v.job("caur-patched"))
	<-c.started
	<-c.started
	began := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	snapshot, err := v.queue.Snapshot(v.ctx)
	if err != nil || len(snapshot.Waiting) != 2 || len(snapshot.Running) != 0 {
		t.Errorf("%v: waiting %d, running %d; want 2, 0", err, len(snapshot.Waiting), len(snapshot.Running))
	}
	v.nothingLeft()

	// The next run appends to the same log.
	v.run(&scripted{play: func(_ context.Context, spec container.Spec, out io.Writer) (int, error) {
		fmt.Fprintln(out, "second run")
		return 13, nil
	}})
	v.wantEnd("caur-greeting", queue.AlreadyBuilt, "")
	if log := v.log("caur-greeting"); !strings.Contains(log, "canceled and requeued") || !strings.Contains(log, "second run") {
		t.Errorf("log:\n%s", log)
	}
}

func TestABuildOutlivesRedis(t *testing.T) {
	v := newSite(t)
	v.advertise(nil)
	started, goOn := make(chan struct{}), make(chan struct{})
	v.run(&scripted{play: func(_ context.Context, spec container.Spec, out io.Writer) (int, error) {
		close(started)
		<-goOn
		leave(t, spec, "caur-greeting-1.2.0-1-any.pkg.tar.zst", "package")
		return 0, nil
	}})
	v.enqueue(v.job("caur-greeting"))
	<-started
	v.redis.Kill()
	close(goOn)
	v.redis.Start()
	d, files := v.take()
	if d.Job.Pkgbase != "caur-greeting" || len(files) != 1 {
		t.Errorf("%+v %v", d, files)
	}
}

func TestOneBuilderOfANameAMachine(t *testing.T) {
	v := newSite(t)
	v.advertise(nil)
	c := newBlocking()
	v.run(&scripted{play: c.play})
	v.enqueue(v.job("caur-greeting"))
	<-c.started
	err := builder.Run(v.ctx, v.s, builder.Deps{Queue: v.queue, Logs: v.logs, Log: slog.New(slog.DiscardHandler), Engine: &scripted{}})
	if err == nil || !strings.Contains(err.Error(), "BUILDER_HOSTNAME") {
		t.Errorf("error %v", err)
	}
}

func TestWhatAKilledBuilderLeftIsRemoved(t *testing.T) {
	v := newSite(t)
	v.advertise(nil)
	left := v.mkdir("shared/build/tester/123/out")
	e := &scripted{play: func(context.Context, container.Spec, io.Writer) (int, error) { return 13, nil }}
	v.run(e)
	v.enqueue(v.job("caur-greeting"))
	v.wantEnd("caur-greeting", queue.AlreadyBuilt, "")
	if _, err := os.Stat(left); err == nil {
		t.Error("the directory is still there")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.swept) != 1 || e.swept[0] != "tester" {
		t.Errorf("swept %q", e.swept)
	}
}

func TestAnEngineThatDoesNotWorkTakesNoJob(t *testing.T) {
	v := newSite(t)
	v.advertise(nil)
	broken := errors.New("the engine does not answer")
	err := builder.Run(v.ctx, v.s, builder.Deps{Queue: v.queue, Logs: v.logs, Log: slog.New(slog.DiscardHandler), Engine: &scripted{checks: broken}})
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestNothingIsClaimedBeforeTheDatabaseRoleHasSpoken(t *testing.T) {
	v := newSite(t)
	ran := make(chan struct{}, 1)
	v.run(&scripted{play: func(context.Context, container.Spec, io.Writer) (int, error) {
		ran <- struct{}{}
		return 13, nil
	}})
	v.enqueue(v.job("caur-greeting"))
	snapshot, err := v.queue.Snapshot(v.ctx)
	if err != nil || len(snapshot.Waiting) != 1 {
		t.Fatalf("%v %+v", err, snapshot)
	}
	v.advertise(nil)
	<-ran
	v.wantEnd("caur-greeting", queue.AlreadyBuilt, "")
}

func TestACommitThatComesAfterItsJobIsWaitedFor(t *testing.T) {
	v := newSite(t)
	v.advertise(nil)
	v.run(&scripted{play: func(context.Context, container.Spec, io.Writer) (int, error) { return 13, nil }})
	v.source.Write("caur-greeting/more", "x")
	job := v.job("caur-greeting")
	job.SourceCommit = v.source.Commit("chore(update): caur-greeting") // here only: the origin does not have it
	v.enqueue(job)
	for !strings.Contains(v.partOfLog("caur-greeting"), "trying again") {
		if v.ctx.Err() != nil {
			t.Fatal("the builder never noticed")
		}
	}
	v.source.Origin()
	v.wantEnd("caur-greeting", queue.AlreadyBuilt, "")
}

// partOfLog waits for the log of a package to grow, and gives what there is.
func (v *site) partOfLog(pkgbase string) string {
	v.t.Helper()
	key, err := v.logs.Newest(v.ctx, pkgbase)
	if err != nil {
		return "" // not begun
	}
	follower, err := v.logs.Follow(v.ctx, key, 0)
	if err != nil {
		return ""
	}
	defer follower.Close()
	text := make([]byte, 64<<10)
	n, err := io.ReadAtLeast(follower, text, 200)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return ""
	}
	return string(text[:n])
}
