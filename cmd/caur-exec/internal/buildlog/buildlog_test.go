package buildlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/caur-build/caur/internal/testenv"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { os.Exit(code) }))
}

var zlib = Key{Pkgbase: "zlib-ng", Timestamp: 1700000000123}

// quick makes the waits of a store short enough for tests.
var quick = Options{FlushInterval: time.Millisecond, LiveInterval: 20 * time.Millisecond, Builder: "b1"}

func newStore(t testing.TB, opt Options) (*Store, *testenv.RedisServer) {
	t.Helper()
	server := testenv.Redis(t)
	return storeOn(t, server.Client(), opt), server
}

func storeOn(t testing.TB, rdb redis.UniversalClient, opt Options) *Store {
	t.Helper()
	s := NewStore(rdb, opt)
	t.Cleanup(s.Close)
	return s
}

func openWriter(t testing.TB, s *Store, k Key) *Writer {
	t.Helper()
	w, err := s.Writer(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func write(t testing.TB, w io.Writer, text string) {
	t.Helper()
	if n, err := io.WriteString(w, text); err != nil || n != len(text) {
		t.Fatalf("Write gave %d, %v; want %d", n, err, len(text))
	}
}

func end(t testing.TB, w *Writer, status int) {
	t.Helper()
	if err := w.End(t.Context(), status); err != nil {
		t.Fatal(err)
	}
}

func follow(t testing.TB, s *Store, k Key, offset int64) *Follower {
	t.Helper()
	f, err := s.Follow(t.Context(), k, offset)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func readAll(t testing.TB, r io.Reader) string {
	t.Helper()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// readUntil reads until the text ends with want.
func readUntil(t testing.TB, f *Follower, want string) string {
	t.Helper()
	var text []byte
	for !bytes.HasSuffix(text, []byte(want)) {
		data, err := f.Next()
		if err != nil {
			t.Fatalf("after %q: %v", text, err)
		}
		text = append(text, data...)
	}
	return string(text)
}

// noise is text that does not compress, of n bytes.
func noise(n int) string {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

func TestFinishedLogReadsBackFromEveryOffset(t *testing.T) {
	s, _ := newStore(t, quick)
	lines := strings.Repeat("gcc -O2 -c file.c\n", 3*ChunkSize/18)
	text := "short\n" + noise(ChunkSize+17) + lines + "\x1b[31mred\x1b[0m \xff\x00 end"
	w := openWriter(t, s, zlib)
	write(t, w, text)
	end(t, w, 3)

	for _, offset := range []int{0, 1, 5, 6, ChunkSize - 1, ChunkSize, ChunkSize + 1, 2 * ChunkSize, len(text) - 1, len(text), len(text) + 10} {
		t.Run(fmt.Sprint(offset), func(t *testing.T) {
			if got := readAll(t, follow(t, s, zlib, int64(offset))); got != text[min(offset, len(text)):] {
				t.Errorf("got %d bytes, want %d", len(got), len(text)-offset)
			}
		})
	}
	info, err := s.Info(t.Context(), zlib)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size != int64(len(text)) || info.Status != 3 || info.Ended.IsZero() || info.Builder != "b1" || info.Started.After(info.Ended) {
		t.Errorf("Info = %+v", info)
	}
}

func TestAnyPiecesGiveTheSameBytes(t *testing.T) {
	s, _ := newStore(t, quick)
	var n int64
	rapid.Check(t, func(rt *rapid.T) {
		n++
		k := Key{"p", n}
		pieces := rapid.SliceOfN(rapid.IntRange(0, 2*ChunkSize), 1, 6).Draw(rt, "pieces")
		compressible := rapid.Bool().Draw(rt, "compressible")
		w := openWriter(t, s, k)
		var all strings.Builder
		for _, size := range pieces {
			piece := noise(size)
			if compressible {
				piece = strings.Repeat("x", size)
			}
			all.WriteString(piece)
			write(t, w, piece)
		}
		offset := rapid.IntRange(0, all.Len()).Draw(rt, "offset")
		live := follow(t, s, k, int64(offset))
		end(t, w, 0)
		want := all.String()[offset:]
		if got := readAll(t, live); got != want {
			rt.Fatalf("live follower got %d bytes, want %d", len(got), len(want))
		}
		if got := readAll(t, follow(t, s, k, int64(offset))); got != want {
			rt.Fatalf("late follower got %d bytes, want %d", len(got), len(want))
		}
	})
}

func TestFollowersSeeALogGrowAndEnd(t *testing.T) {
	s, _ := newStore(t, quick)
	w := openWriter(t, s, zlib)
	early := follow(t, s, zlib, 0)
	ahead := follow(t, s, zlib, 4)
	write(t, w, "one\n")
	if got := readUntil(t, early, "one\n"); got != "one\n" {
		t.Errorf("first piece %q", got)
	}
	late := follow(t, s, zlib, 0)
	write(t, w, "two\n")
	if got := readUntil(t, late, "two\n"); got != "one\ntwo\n" {
		t.Errorf("late follower got %q", got)
	}
	end(t, w, 0)
	if got := readAll(t, early); got != "two\n" {
		t.Errorf("early follower got %q", got)
	}
	if got := readAll(t, ahead); got != "two\n" {
		t.Errorf("follower from an offset ahead got %q", got)
	}
}

func TestFollowerWithoutReadersDelaysNobody(t *testing.T) {
	s, _ := newStore(t, quick)
	w := openWriter(t, s, zlib)
	slow := follow(t, s, zlib, 0)
	fast := follow(t, s, zlib, 0)
	text := noise(3 * ringSize) // far more than the ring: slow must go back to Redis
	done := make(chan string)
	go func() { data, _ := io.ReadAll(fast); done <- string(data) }()
	write(t, w, text)
	end(t, w, 0)
	if got := <-done; got != text {
		t.Errorf("fast follower got %d bytes, want %d", len(got), len(text))
	}
	if got := readAll(t, slow); got != text {
		t.Errorf("slow follower got %d bytes, want %d", len(got), len(text))
	}
}

func TestAllFollowersShareOneRedisRead(t *testing.T) {
	s, server := newStore(t, quick)
	var followers []*Follower
	var writers []*Writer
	for i := range 8 {
		k := Key{"p", int64(i)}
		writers = append(writers, openWriter(t, s, k))
		for range 25 {
			followers = append(followers, follow(t, s, k, 0))
		}
	}
	for _, w := range writers {
		write(t, w, "x\n")
	}
	for _, f := range followers {
		readUntil(t, f, "x\n") // the hub follows all of them now
	}
	clients, err := server.Client().ClientList(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	if n := blockedReads(clients); n > 1 {
		t.Errorf("%d connections read logs, want at most 1:\n%s", n, clients)
	}
	for _, w := range writers {
		end(t, w, 0)
	}
	for _, f := range followers {
		if rest := readAll(t, f); rest != "" {
			t.Errorf("after END: %q", rest)
		}
	}
}

func TestClosingOneFollowerLeavesTheOthers(t *testing.T) {
	s, _ := newStore(t, quick)
	w := openWriter(t, s, zlib)
	one, other := follow(t, s, zlib, 0), follow(t, s, zlib, 0)
	ended := make(chan error)
	go func() { _, err := one.Next(); ended <- err }()
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("closed follower got %v", err)
	}
	write(t, w, "still here\n")
	readUntil(t, other, "still here\n")
	end(t, w, 0)
}

func TestClosingTheStoreEndsFollowers(t *testing.T) {
	s, _ := newStore(t, quick)
	openWriter(t, s, zlib)
	f := follow(t, s, zlib, 0)
	s.Close()
	if _, err := f.Next(); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if _, err := s.Follow(t.Context(), zlib, 0); !errors.Is(err, ErrClosed) {
		t.Errorf("new follower got %v, want ErrClosed", err)
	}
}

func TestUnknownLogs(t *testing.T) {
	s, server := newStore(t, quick)
	if _, err := s.Follow(t.Context(), zlib, 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("Follow: %v", err)
	}
	if _, err := s.Newest(t.Context(), "zlib-ng"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Newest: %v", err)
	}
	if _, err := s.Follow(t.Context(), zlib, -1); err == nil {
		t.Error("Follow took a negative offset")
	}
	w := openWriter(t, s, zlib)
	end(t, w, 0)
	server.Client().Del(t.Context(), metaKey(zlib), dataKey(zlib)) // as if it had expired
	if _, err := s.Newest(t.Context(), "zlib-ng"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Newest of an expired log: %v", err)
	}
	if n := server.Client().ZCard(t.Context(), indexKey("zlib-ng")).Val(); n != 0 {
		t.Errorf("%d expired logs stay in the index", n)
	}
}

func TestNewestAndList(t *testing.T) {
	s, server := newStore(t, quick)
	for _, ts := range []int64{30, 10, 20, 40} {
		end(t, openWriter(t, s, Key{"p", ts}), 0)
	}
	server.Client().Del(t.Context(), metaKey(Key{"p", 40}), metaKey(Key{"p", 20}))
	newest, err := s.Newest(t.Context(), "p")
	if err != nil || newest.Timestamp != 30 {
		t.Errorf("Newest = %v, %v", newest, err)
	}
	infos, err := s.List(t.Context(), "p", 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for _, i := range infos {
		got = append(got, i.Key.Timestamp)
	}
	if fmt.Sprint(got) != "[30 10]" {
		t.Errorf("List = %v", got)
	}
}

func TestLogsExpireAfterTheirLastByte(t *testing.T) {
	opt := quick
	opt.Retention = time.Hour
	s, server := newStore(t, opt)
	w := openWriter(t, s, zlib)
	write(t, w, "x")
	end(t, w, 0)
	for _, key := range scriptKeys(zlib) {
		if ttl := server.Client().PTTL(t.Context(), key).Val(); ttl <= 50*time.Minute || ttl > time.Hour {
			t.Errorf("%s lives for %v", key, ttl)
		}
	}
}

// blockedReads counts the connections that wait for news of logs. One that has only looked once keeps "xread" as the
// name of its last command, too, but does not wait (flag b).
func blockedReads(clients string) int {
	n := 0
	for line := range strings.Lines(clients) {
		if strings.Contains(line, "cmd=xread") && strings.Contains(line, " flags=b") {
			n++
		}
	}
	return n
}
