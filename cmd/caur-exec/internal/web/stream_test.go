package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/buildlog"
	"github.com/caur-build/caur/pkg/queue"
)

var key = buildlog.Key{Pkgbase: "p", Timestamp: 1700000000000}

const keyPath = "/api/logs/p/1700000000000"

func TestLiveLogComesLineByLineUntilItsEnd(t *testing.T) {
	s := newSite(t, nil)
	w := s.writer(key)
	answer := s.do("GET", keyPath) // the head comes before the first line does
	if answer.Header.Get("Content-Length") != "" || answer.Header.Get("X-Accel-Buffering") != "no" {
		t.Errorf("head is %v", answer.Header)
	}
	lines := bufio.NewReader(answer.Body)
	for i := range 5 {
		line := fmt.Sprintf("line %d \x1b[31mred\x1b[0m\n", i)
		io.WriteString(w, line)
		if got, err := lines.ReadString('\n'); got != line || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if err := w.End(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("after END: %q, %v", rest, err)
	}
}

func TestFinishedLogHasALengthAndRanges(t *testing.T) {
	s := newSite(t, nil)
	s.finishedLog(key, "0123456789")
	live := s.writer(buildlog.Key{Pkgbase: "live", Timestamp: 1})
	io.WriteString(live, "x")
	tests := []struct {
		path, ranges string
		code         int
		body         string
	}{
		{keyPath, "", 200, "0123456789"},
		{keyPath, "bytes=4-", 206, "456789"},
		{keyPath, "bytes=0-", 206, "0123456789"},
		{keyPath, "bytes=2-5", 206, "2345"},
		{keyPath, "bytes=2-99", 206, "23456789"},
		{keyPath, "bytes=-3", 206, "789"},
		{keyPath, "bytes=-30", 206, "0123456789"},
		{keyPath, "bytes=-0", 416, "the log does not reach that far\n"},
		{keyPath, "bytes=5-2", 200, "0123456789"},     // no range: ignored
		{keyPath, "bytes=1-2,4-5", 200, "0123456789"}, // several: ignored
		{keyPath, "lines=4-", 200, "0123456789"},
		{keyPath, "bytes=10-", 416, "the log does not reach that far\n"},
		{keyPath + "?offset=7", "", 200, "789"},
		{keyPath + "?offset=10", "", 200, ""},
		{keyPath + "?offset=11", "", 416, "the log does not reach that far\n"},
		{keyPath + "?offset=-1", "", 416, "the log does not reach that far\n"},
		{keyPath + "?offset=x", "", 416, "the log does not reach that far\n"},
		{"/api/logs/p?offset=9", "", 200, "9"},
	}
	for _, tt := range tests {
		t.Run(tt.path+" "+tt.ranges, func(t *testing.T) {
			answer := s.do("GET", tt.path, "Range", tt.ranges)
			body, err := io.ReadAll(answer.Body)
			if answer.StatusCode != tt.code || string(body) != tt.body || err != nil {
				t.Errorf("got %d %q, %v", answer.StatusCode, body, err)
			}
			if tt.code < 300 && answer.ContentLength != int64(len(tt.body)) {
				t.Errorf("Content-Length %d", answer.ContentLength)
			}
			if got := answer.Header.Get("Content-Range"); (tt.code == 206 || tt.code == 416 && tt.ranges != "") && !strings.HasSuffix(got, "/10") {
				t.Errorf("Content-Range %q", got)
			}
		})
	}
	if answer := s.do("HEAD", "/api/logs/live/1"); answer.StatusCode != 200 { // does not wait for END
		t.Errorf("HEAD of a live log: %d", answer.StatusCode)
	}
}

func TestNewestLogIsServed(t *testing.T) {
	s := newSite(t, nil)
	for ts := range int64(3) {
		s.finishedLog(buildlog.Key{Pkgbase: "p", Timestamp: ts}, fmt.Sprint("log ", ts))
	}
	if _, body := s.get("/api/logs/p"); body != "log 2" {
		t.Errorf("got %q", body)
	}
}

func TestShutdownEndsLogStreamsButNotAsIfTheLogHadEnded(t *testing.T) {
	s := newSite(t, nil)
	w := s.writer(key)
	io.WriteString(w, "so far\n")
	answer := s.do("GET", keyPath)
	lines := bufio.NewReader(answer.Body)
	if line, err := lines.ReadString('\n'); line != "so far\n" {
		t.Fatal(line, err)
	}
	if err := s.stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := io.ReadAll(lines); err == nil {
		t.Error("the stream ended as if the log had ended")
	}
}

func TestClientThatDoesNotReadIsDroppedAndTheOthersAreNot(t *testing.T) {
	s := newSite(t, func(_ *Options, l *limits) { l.write = 200 * time.Millisecond })
	noise := make([]byte, 16<<20) // more than the buffers of a connection hold
	r := rand.NewChaCha8([32]byte{})
	r.Read(noise)
	w := s.writer(key)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", keyPath)
	good := s.do("GET", keyPath)
	read := make(chan int64)
	go func() { n, _ := io.Copy(io.Discard, good.Body); read <- n }()
	w.Write(noise)
	s.log.wait(t, "log stream ended early")
	if err := w.End(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if n := <-read; n != int64(len(noise)) {
		t.Errorf("the other client got %d bytes of %d", n, len(noise))
	}
}

func TestLogStreamsLeaveRoomForTheRest(t *testing.T) {
	s := newSite(t, func(o *Options, _ *limits) { o.Settings.MaxConnections = 4 })
	w := s.writer(key)
	for range 3 {
		s.do("GET", keyPath)
	}
	if code, _ := s.get(keyPath); code != 503 {
		t.Errorf("fourth stream: %d", code)
	}
	s.waitHealthy() // a moment after that answer its connection is free again
	if err := w.End(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
}

// waitHealthy asks until the server has a connection to spare. One that is turned away may be told so before it asks,
// which the client calls an error.
func (s *site) waitHealthy() {
	s.t.Helper()
	for code := 0; code != 200; {
		r, err := http.NewRequestWithContext(s.t.Context(), "GET", s.url+"/healthz", nil)
		if err != nil {
			s.t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			continue
		}
		code = answer.StatusCode
		answer.Body.Close()
	}
}

func TestConnectionsAboveTheLimitAreToldSo(t *testing.T) {
	s := newSite(t, func(o *Options, _ *limits) { o.Settings.MaxConnections = 4 })
	address := strings.TrimPrefix(s.url, "http://")
	var conns []net.Conn
	for range 4 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		if line, _ := bufio.NewReader(conn).ReadString('\n'); !strings.Contains(line, "200 OK") {
			t.Fatal(line)
		}
		conns = append(conns, conn)
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != 503 {
		t.Fatal(answer, err)
	}
	if body, err := io.ReadAll(answer.Body); err != nil || !strings.HasPrefix(string(body), "too many connections") {
		t.Errorf("body %q, %v", body, err)
	}
	fmt.Fprint(conns[0], "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	io.Copy(io.Discard, conns[0]) // ends when the server has closed it, a moment after its place is free
	s.waitHealthy()
}

func TestSlowAndOversizedHeadsAreCutOff(t *testing.T) {
	s := newSite(t, func(_ *Options, l *limits) { l.header = 50 * time.Millisecond })
	address := strings.TrimPrefix(s.url, "http://")
	tests := []struct {
		name, send, want string
	}{
		{"half a head", "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ", ""},
		{"nothing at all", "", ""},
		{"a huge head", "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Big: " + strings.Repeat("x", 64<<10), "431"},
		{"a body that never comes", "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n", "413"},
		{"garbage", "\x16\x03\x01\x02\r\n\r\n", "400"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go io.WriteString(conn, tt.send)
			answer, _ := io.ReadAll(conn) // ends only when the server closes the connection
			if !strings.Contains(string(answer), tt.want) {
				t.Errorf("answer %q, want %q in it", answer, tt.want)
			}
		})
	}
}

func TestManyAsksAreOneRead(t *testing.T) {
	var reads atomic.Int32
	var now atomic.Int64
	gate := make(chan struct{})
	s := NewSnapshots(func(context.Context) (*queue.Snapshot, error) {
		reads.Add(1)
		<-gate
		return sample(), nil
	}, func() time.Time { return time.UnixMilli(now.Load()) })
	var asks sync.WaitGroup
	for range 100 {
		asks.Go(func() {
			if _, err := s.get(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.get(impatient); !errors.Is(err, context.Canceled) {
		t.Errorf("impatient client got %v", err)
	}
	close(gate)
	asks.Wait()
	if n := reads.Load(); n != 1 {
		t.Errorf("%d reads", n)
	}
	now.Add(freshFor.Milliseconds())
	if _, err := s.get(t.Context()); err != nil || reads.Load() != 2 {
		t.Errorf("a second later: %d reads, %v", reads.Load(), err)
	}
}

func TestWhoHasChangedTheQueueSeesThatEvenIfAReadBeganBefore(t *testing.T) {
	started, gate := make(chan int, 4), make(chan *queue.Snapshot)
	reads := 0 // one at a time
	s := NewSnapshots(func(context.Context) (*queue.Snapshot, error) {
		reads++
		started <- reads
		return <-gate, nil
	}, func() time.Time { return time.UnixMilli(0) })
	before, after := sample(), sample()
	early := make(chan *view, 1)
	go func() {
		v, _ := s.get(t.Context())
		early <- v
	}()
	<-started
	s.forget()
	late := make(chan *view, 1)
	go func() {
		v, _ := s.get(t.Context())
		late <- v
	}()
	gate <- before
	if v := <-early; v.queue != before {
		t.Error("who asked before waits for another read")
	}
	<-started
	gate <- after
	if v := <-late; v.queue != after {
		t.Error("who changed the queue got what was read before")
	}
	if v, err := s.get(t.Context()); err != nil || v.queue != after || reads != 2 {
		t.Errorf("%d reads, %v", reads, err)
	}
}

func TestLiveIsWhatTheQueueKnows(t *testing.T) {
	s := NewSnapshots(func(context.Context) (*queue.Snapshot, error) { return sample(), nil }, time.Now)
	tests := map[buildlog.Key]bool{
		{Pkgbase: "gcc-git", Timestamp: 1700000000002}: true,  // runs
		{Pkgbase: "zlib", Timestamp: 1700000000003}:    true,  // waits
		{Pkgbase: "done", Timestamp: 1700000000001}:    true,  // is published
		{Pkgbase: "zlib", Timestamp: 1600000000000}:    false, // an earlier job
		{Pkgbase: "other", Timestamp: 1700000000003}:   false,
	}
	for k, want := range tests {
		if got, err := s.Live(t.Context(), k); got != want || err != nil {
			t.Errorf("%s: %v, %v", k, got, err)
		}
	}
	broken := NewSnapshots(func(context.Context) (*queue.Snapshot, error) { return nil, io.ErrUnexpectedEOF }, time.Now)
	if _, err := broken.Live(t.Context(), key); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}
