package aursync

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/testenv"
)

// bigArchive has 100,000 packages as long as those of the real AUR, and asks for 2,355 of them.
func bigArchive(t testing.TB) ([]byte, []Want) {
	var list []testenv.AURPackage
	var wants []Want
	chance := rand.New(rand.NewPCG(1, 2))
	words := func(n int) string {
		var b strings.Builder
		for range n {
			fmt.Fprintf(&b, "%s ", strconv.FormatUint(chance.Uint64N(1<<20), 36))
		}
		return b.String()
	}
	for i := range 100_000 {
		name := fmt.Sprintf("package-%06d-of-somebody", i*7919%1_000_003)
		list = append(list, testenv.AURPackage{
			ID: 1_000_000 + i, Name: name, PackageBaseID: 150_000 + i, PackageBase: name, Version: fmt.Sprintf("%d.%d.r%d.g%07x-1", i%9, i%13, i, i*31337),
			Description: "Something with \"quotes\" and " + words(12),
			URL:         "https://github.com/somebody/" + name, NumVotes: i % 300, Popularity: float64(i%1000) / 977, Maintainer: ptr(fmt.Sprintf("user%d", i%5000)),
			Submitter: ptr(fmt.Sprintf("user%d", i%7000)), FirstSubmitted: 1_400_000_000 + int64(i), LastModified: 1_600_000_000 + int64(i*977),
			Depends: []string{"glibc", "gcc-libs", "qt6-base>=6.5", fmt.Sprintf("lib-%d", i%999), "hicolor-icon-theme", "desktop-file-utils", words(1), words(1)},
			License: []string{"GPL-3.0-or-later"}, Keywords: []string{"some", "thing", "editor"}, CoMaintainers: []string{fmt.Sprintf("friend%d", i%777)},
		})
		if i%42 == 0 && len(wants) < 2_355 {
			wants = append(wants, Want{Pkgbase: name, Pkgnames: []string{name}})
		}
	}
	return testenv.ArchiveOf(t, list), wants
}

func BenchmarkScan100000Packages(b *testing.B) {
	archive, wants := bigArchive(b)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began, n := cpu(), 0
	for b.Loop() {
		s := newSelection(wants)
		if err := s.scan(bytes.NewReader(archive)); err != nil {
			b.Fatal(err)
		}
		if len(s.found) != len(wants) || s.entries != 100_000 {
			b.Fatalf("%d of %d, %d entries", len(s.found), len(wants), s.entries)
		}
		n++
		runtime.ReadMemStats(&after)
	}
	b.ReportMetric(float64((cpu()-began)/time.Millisecond)/float64(n), "cpu-ms/op")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(n)/1e6, "allocated-MB/op")
	b.ReportMetric(float64(len(archive))/1e6, "archive-MB")
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
