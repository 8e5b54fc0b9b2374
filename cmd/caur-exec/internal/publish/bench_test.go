package publish

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/landing"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/internal/syncdb/pkgtest"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
)

// large is the size that the goals are stated for: a publish under 1.5 s, of which 0.7 s of our own CPU, and never more
// than repo-add; verify under 5 s; both under 150 MB.
const large = 15_000

// largeStation has a repository of that size, of which the package files do not exist, and two deliveries that
// supersede each other.
func largeStation(b *testing.B) (dir, gpg string, deliveries []*queue.Delivery) {
	b.Helper()
	dir = b.TempDir()
	gpg, _ = testenv.GPGHome(b)
	db := syncdb.New()
	pkgtest.Repository(b, db, large)
	in := filepath.Join(dir, "repo", target, arch)
	if err := os.MkdirAll(in, 0o755); err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(db.WriteDB(in+"/demo.db.tar.zst"), db.WriteFiles(in+"/demo.files.tar.zst")); err != nil {
		b.Fatal(err)
	}
	for n, version := range []string{"1-1", "2-1"} {
		job := &queue.Job{TargetRepo: target, Arch: arch, Pkgbase: "new"}
		d := &queue.Delivery{ID: "bench", Job: job, Token: int64(n + 1)}
		sender, err := landing.NewLocal(dir+"/landing", landing.PlaceOf(*job, d.Token))
		if err != nil {
			b.Fatal(err)
		}
		f, err := sender.Put(b.Context(), pkgtest.Make(b, dir, pkgtest.Spec{Name: "new", Version: version}), "new-"+version+"-any.pkg.tar.zst")
		if err != nil {
			b.Fatal(err)
		}
		d.Result.Files = []queue.File{f}
		deliveries = append(deliveries, d)
	}
	return dir, gpg, deliveries
}

// cpu is what this process, or its children, have used.
func cpu(b *testing.B, who int) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A whole transaction, databases signed by gpg, beside repo-add, which neither copies, checks, signs, archives nor keeps a
// journal. The same again in a process of its own, whose memory is measured; it signs without gpg.
func BenchmarkPublishIntoLargeRepository(b *testing.B) {
	dir, gpg, deliveries := largeStation(b)
	b.Run("caur", func(b *testing.B) {
		signer, err := NewGPG(b.Context(), gpg, "", settings.Secret{})
		if err != nil {
			b.Fatal(err)
		}
		zone, err := landing.NewZone(dir + "/landing")
		if err != nil {
			b.Fatal(err)
		}
		p, err := New(Options{RepoPath: dir + "/repo", Zone: zone, Signer: signer, SignDB: true, Force: true})
		if err != nil {
			b.Fatal(err)
		}
		own, children, n := cpu(b, syscall.RUSAGE_SELF), cpu(b, syscall.RUSAGE_CHILDREN), 0
		for b.Loop() {
			if _, err := p.Publish(b.Context(), deliveries[n%2]); err != nil {
				b.Fatal(err)
			}
			n++
		}
		b.ReportMetric((cpu(b, syscall.RUSAGE_SELF)-own).Seconds()/float64(n), "own-cpu-s/op")
		b.ReportMetric((cpu(b, syscall.RUSAGE_CHILDREN)-children).Seconds()/float64(n), "gpg-cpu-s/op")
	})
	b.Run("caur-process", func(b *testing.B) {
		c := crash{RepoPath: dir + "/repo", Landing: dir + "/landing", KeyFile: exportKey(b, gpg), SignDB: true, Force: true, Peak: true}
		n, peak, spent := 0, int64(0), time.Duration(0)
		for b.Loop() {
			c.Delivery = deliveries[n%2]
			state, memory := c.process(b)
			spent += state.UserTime() + state.SystemTime()
			peak = max(peak, memory)
			n++
		}
		b.ReportMetric(spent.Seconds()/float64(n), "cpu-s/op")
		b.ReportMetric(float64(peak)/1024, "peak-MB")
	})
	b.Run("repo-add", func(b *testing.B) {
		testenv.Need(b, "repo-add")
		db, pkg := filepath.Join(dir, "repo", target, arch, "demo.db.tar.zst"), filepath.Join(dir, "landing", target, arch, "new", "1", "new-1-1-any.pkg.tar.zst")
		before, n := cpu(b, syscall.RUSAGE_CHILDREN), 0
		for b.Loop() {
			if out, err := exec.Command("repo-add", "-q", db, pkg).CombinedOutput(); err != nil {
				b.Fatalf("repo-add: %v\n%s", err, out)
			}
			n++
		}
		b.ReportMetric((cpu(b, syscall.RUSAGE_CHILDREN)-before).Seconds()/float64(n), "cpu-s/op")
	})
}

// process is run for its resources, memory in KiB. That of rusage would be ours: a child inherits it.
func (c crash) process(b *testing.B) (state *os.ProcessState, memory int64) {
	b.Helper()
	plan, err := json.Marshal(c)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashVariable+"="+string(plan))
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	_, rest, _ := strings.Cut(string(out), "VmHWM:")
	if _, err := fmt.Sscan(rest, &memory); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return cmd.ProcessState, memory
}

// Every entry has its package and signature, all of them small: it is the number that counts.
func BenchmarkVerifyLargeRepository(b *testing.B) {
	dir := b.TempDir()
	db := syncdb.New()
	pkgtest.Repository(b, db, large)
	in := filepath.Join(dir, target, arch)
	if err := os.MkdirAll(in, 0o755); err != nil {
		b.Fatal(err)
	}
	small := syncdb.New()
	for e := range db.Each() {
		p, err := e.Package()
		if err == nil {
			p.Files, err = db.Files(e.Name)
		}
		p.CSize, p.SHA256 = 1, "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" // of "x"
		path := filepath.Join(in, p.Filename)
		if err := errors.Join(err, os.WriteFile(path, []byte("x"), 0o644), os.WriteFile(path+".sig", p.PGPSig, 0o644), small.Put(p)); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(small.WriteDB(in+"/demo.db.tar.zst"), small.WriteFiles(in+"/demo.files.tar.zst")); err != nil {
		b.Fatal(err)
	}
	p, err := New(Options{RepoPath: dir})
	if err != nil {
		b.Fatal(err)
	}
	for what, deep := range map[string]bool{"names-and-sizes": false, "deep": true} {
		b.Run(what, func(b *testing.B) {
			before, n := cpu(b, syscall.RUSAGE_SELF), 0
			for b.Loop() {
				if problems, err := p.Verify(b.Context(), target, arch, deep); err != nil || len(problems) != 0 {
					b.Fatalf("%d problems, the first is %q; %v", len(problems), problems[:min(1, len(problems))], err)
				}
				n++
			}
			b.ReportMetric((cpu(b, syscall.RUSAGE_SELF)-before).Seconds()/float64(n), "cpu-s/op")
		})
	}
	gpg, _ := testenv.GPGHome(b)
	b.Run("deep-process", func(b *testing.B) {
		c := crash{RepoPath: dir, Landing: b.TempDir(), KeyFile: exportKey(b, gpg), Verify: true, Peak: true}
		peak := int64(0)
		for b.Loop() {
			_, memory := c.process(b)
			peak = max(peak, memory)
		}
		b.ReportMetric(float64(peak)/1024, "peak-MB")
	})
}
