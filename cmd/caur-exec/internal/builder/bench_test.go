package builder_test

import (
	"context"
	"log/slog"
	"os/exec"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/builder"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
)

// BenchmarkAnEmptyPackage compares a build of a package with nothing in it, from the queue to the landing zone, with plain
// makepkg in a container of the same engine and image: what is between them is what we cost.
func BenchmarkAnEmptyPackage(b *testing.B) {
	host, image := testenv.Docker(b)
	_, caurExec := testenv.Binaries(b)
	v := newSite(b, "CONTAINER_ENGINE=docker", "DOCKER_SOCKET="+host, "BUILDER_PULL=never")
	v.source.Write("empty/PKGBUILD", "pkgname=empty\npkgver=1\npkgrel=1\narch=(any)\noptions=(!strip)\npackage() { :; }\n")
	v.source.Commit("test: an empty package")
	v.advertise(func(a *queue.Advert) { a.Image = image })
	ctx, cancel := context.WithCancel(v.ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- builder.Run(ctx, v.s, builder.Deps{Queue: v.queue, Logs: v.logs, Log: slog.New(slog.DiscardHandler), Executable: caurExec})
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}()
	var ours, plain time.Duration
	last := ""
	for b.Loop() {
		began := time.Now()
		v.enqueue(v.job("empty"))
		last = v.delivered("empty", last)
		d, _ := v.take()
		ours += time.Since(began)
		if err := v.queue.FinishDelivery(v.ctx, d, queue.Success, ""); err != nil {
			b.Fatal(err)
		}
		began = time.Now()
		const script = `useradd -m b && cp -r /src /build && chown -R b /build && cd /build && exec setpriv --reuid=b --regid=b --init-groups env HOME=/home/b PKGEXT=.pkg.tar.zst makepkg`
		out, err := exec.CommandContext(b.Context(), "docker", "-H", host, "run", "--rm", "-v", v.source.Dir+"/empty:/src:ro", image, "bash", "-c", script).CombinedOutput()
		if err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		plain += time.Since(began)
	}
	b.ReportMetric(ours.Seconds()/float64(b.N), "s/build")
	b.ReportMetric(plain.Seconds()/float64(b.N), "s/plain")
}

// delivered waits until a job is built, after an event, and fails with its log when it ends otherwise.
func (v *site) delivered(pkgbase, after string) (event string) {
	v.t.Helper()
	for e, err := range v.queue.Events(v.ctx, after) {
		switch {
		case err != nil:
			v.t.Fatal(err)
		case e.Job == nil || e.Job.Pkgbase != pkgbase:
		case e.Kind == queue.EventDelivered:
			return e.ID
		case e.Kind == queue.EventEnded && e.Status != queue.Success:
			v.t.Fatalf("%s ended as %v (%s)\n%s", pkgbase, e.Status, e.Message, v.log(pkgbase))
		}
	}
	return ""
}
