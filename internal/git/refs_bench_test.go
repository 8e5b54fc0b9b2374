package git

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/testenv"
)

// recorded answers as git http-backend 2.39 does to the request of lsRefs, without a process for each.
func recorded(t testing.TB) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || string(body) != lsRefs([]string{"HEAD"}, "") {
			t.Errorf("%s %s: %q", r.Method, r.URL, body)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Expires", "Fri, 01 Jan 1980 00:00:00 GMT")
		w.Header().Set("Pragma", "no-cache")
		w.Header().Set("Cache-Control", "no-cache, max-age=0, must-revalidate")
		w.Header().Set("Content-Type", resultType)
		_, _ = io.WriteString(w, "0032"+strings.Repeat("0123456789", 4)+" HEAD\n0000")
	}))
	t.Cleanup(server.Close)
	return server
}

func TestTheRecordedAnswerIsThatOfTheRealServer(t *testing.T) {
	dir, heads := testenv.Repos(t, "one")
	ask := func(base string) string {
		req, err := http.NewRequest(http.MethodPost, base+"/one.git/git-upload-pack", strings.NewReader(lsRefs([]string{"HEAD"}, "")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Git-Protocol", "version=2")
		req.Header.Set("Content-Type", "application/x-git-upload-pack-request")
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.Header.Get("Content-Type") + " " + string(body)
	}
	want := strings.ReplaceAll(ask(testenv.NewGitHTTP(t, dir).URL), heads["one"], strings.Repeat("0123456789", 4))
	if got := ask(recorded(t).URL); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func BenchmarkLookup760Heads(b *testing.B) {
	server := recorded(b)
	var queries []HeadQuery
	for i := range 760 {
		queries = append(queries, HeadQuery{fmt.Sprintf("%s/r%d.git", server.URL, i), ""})
	}
	benchmark(b, queries)
}

func BenchmarkLookup60HeadsOfTheRealServer(b *testing.B) {
	var names []string
	for i := range 60 {
		names = append(names, fmt.Sprintf("r%d", i))
	}
	dir, _ := testenv.Repos(b, names...)
	g := testenv.NewGitHTTP(b, dir)
	var queries []HeadQuery
	for _, name := range names {
		queries = append(queries, HeadQuery{g.URL + "/" + name + ".git", ""})
	}
	benchmark(b, queries)
	_, peak := g.Connections()
	b.ReportMetric(float64(peak), "connections")
}

// benchmark measures the whole process: server and client.
func benchmark(b *testing.B, queries []HeadQuery) {
	began, n := cpu(), 0
	for b.Loop() {
		n++
		h := NewHeads(HeadsOptions{})
		for _, a := range h.Lookup(ctx, queries) {
			if a.Err != nil {
				b.Fatal(a.Err)
			}
		}
		h.Close()
	}
	b.ReportMetric(float64((cpu()-began)/time.Millisecond)/float64(n), "cpu-ms/op")
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
