package web

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/caur-build/caur/pkg/queue"
)

// BenchmarkPages renders the pages of a queue in which 2,500 jobs wait, a tenth of them on others.
func BenchmarkPages(b *testing.B) {
	q := sample()
	for i := range 2500 {
		w := queue.WaitingJob{Job: job(fmt.Sprintf("package-%d", i)), Ready: i >= 250}
		if !w.Ready {
			w.BlockedBy = []string{job(fmt.Sprintf("package-%d", 250+i/2)).ID(), "chaotic-aur/x86_64/gcc-git"}
		}
		q.Waiting = append(q.Waiting, w)
	}
	s := newSite(b, fixed(q))
	for _, path := range []string{"/", "/queue.html", "/graph.html", "/api/queue/stats"} {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				s.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
				if w.Code != 200 {
					b.Fatal(w.Code)
				}
				b.ReportMetric(float64(w.Body.Len()), "bytes")
			}
		})
	}
}
