package syncdb_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/internal/syncdb/pkgtest"
	"github.com/caur-build/caur/internal/testenv"
)

// large is the size that the goals are stated for: one package into a repository of 15,000 in at most half of
// repo-add's time, under 0.7 s of CPU and 150 MB.
const large = 15_000

func usage(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// largeRepository writes a repository of 15,000 packages, in our frames, and one more package.
func largeRepository(b *testing.B) (db, files, added string) {
	b.Helper()
	dir := b.TempDir()
	d := syncdb.New()
	pkgtest.Repository(b, d, large)
	db, files = write(b, d, dir)
	for _, path := range []string{db, files} {
		st, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		b.Logf("%s: %.1f MB", filepath.Base(path), float64(st.Size())/1e6)
	}
	return db, files, pkgtest.Make(b, dir, pkgtest.Spec{Name: "new-package"})
}

func addOne(b *testing.B, db, files, added string) {
	b.Helper()
	d, err := syncdb.Open(db, files)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	p, err := syncdb.ReadPackage(added)
	if err != nil {
		b.Fatal(err)
	}
	if err := d.Put(p); err != nil {
		b.Fatal(err)
	}
	if err := d.WriteDB(db); err != nil {
		b.Fatal(err)
	}
	if err := d.WriteFiles(files); err != nil {
		b.Fatal(err)
	}
}

// measure reports wall time and CPU of what runs n times, per run.
func measure(b *testing.B, who int, what func()) (wall time.Duration) {
	b.Helper()
	runtime.GC()
	cpu, start := usage(who), time.Now()
	n := 0
	for b.Loop() {
		what()
		n++
	}
	wall = time.Since(start) / time.Duration(n)
	b.ReportMetric((usage(who)-cpu).Seconds()/float64(n), "cpu-s/op")
	return wall
}

func BenchmarkAddOneToLargeRepository(b *testing.B) {
	db, files, added := largeRepository(b)
	b.Run("caur", func(b *testing.B) {
		measure(b, syscall.RUSAGE_SELF, func() { addOne(b, db, files, added) })
	})
	b.Run("repo-add", func(b *testing.B) {
		testenv.Need(b, "repo-add")
		measure(b, syscall.RUSAGE_CHILDREN, func() {
			if out, err := exec.Command("repo-add", "-q", db, added).CombinedOutput(); err != nil {
				b.Fatalf("repo-add: %v\n%s", err, out)
			}
		})
	})
	// repo-add left archives without our index: the first time, everything is read and written anew.
	b.Run("caur-after-repo-add", func(b *testing.B) {
		plain := map[string][]byte{db: read(b, db), files: read(b, files)}
		measure(b, syscall.RUSAGE_SELF, func() {
			addOne(b, db, files, added)
			b.StopTimer()
			for path, data := range plain {
				if err := os.WriteFile(path, data, 0o644); err != nil {
					b.Fatal(err)
				}
			}
			b.StartTimer()
		})
	})
}

func BenchmarkReadPackage(b *testing.B) {
	path := pkgtest.Make(b, b.TempDir(), pkgtest.Spec{Name: "large", Content: string(make([]byte, 64<<20))})
	b.SetBytes(64 << 20)
	for b.Loop() {
		if _, err := syncdb.ReadPackage(path); err != nil {
			b.Fatal(err)
		}
	}
}
