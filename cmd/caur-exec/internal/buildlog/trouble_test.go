package buildlog

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/redis/go-redis/v9"
)

func TestLogThatIsTooLongKeepsItsBeginningAndEnd(t *testing.T) {
	opt := quick
	opt.MaxBytes = 2 * tailSize
	s, _ := newStore(t, opt)
	w := openWriter(t, s, zlib)
	write(t, w, "begin\n"+strings.Repeat("m", 5*tailSize))
	write(t, w, strings.Repeat("n", 10*tailSize)+"\nthe last error\n")
	end(t, w, 3)
	got := readAll(t, follow(t, s, zlib, 0))
	if len(got) > 2*tailSize+400 {
		t.Errorf("%d bytes are kept, the limit is %d", len(got), opt.MaxBytes)
	}
	for _, want := range []string{"begin\n", "reached its limit of 131072 bytes", "bytes are left out here]", "\nthe last error\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the log lacks %q", want)
		}
	}
}

func TestTailKeepsTheLastBytesInOrder(t *testing.T) {
	text := noise(3*tailSize + 5)
	for _, piece := range []int{1000, tailSize, tailSize + 1, len(text)} {
		var tl tail
		for rest := text; rest != ""; {
			n := min(piece, len(rest))
			tl.add([]byte(rest[:n]))
			rest = rest[n:]
		}
		if got := string(tl.appendTo(nil)); !strings.HasSuffix(got, text[len(text)-tailSize:]) || !strings.Contains(got, "[caur: 131077 bytes are left out here]") {
			t.Errorf("pieces of %d: %d bytes kept", piece, len(got))
		}
	}
}

func TestNothingIsLostWhenRedisRestarts(t *testing.T) {
	s, server := newStore(t, quick)
	w := openWriter(t, s, zlib)
	f := follow(t, s, zlib, 0)
	write(t, w, "before\n")
	readUntil(t, f, "before\n")
	server.Kill()
	write(t, w, "meanwhile\n")
	server.Start()
	write(t, w, "after\n")
	readUntil(t, f, "after\n")
	end(t, w, 0)
	if rest := readAll(t, f); rest != "" {
		t.Errorf("after END: %q", rest)
	}
	if got := readAll(t, follow(t, s, zlib, 0)); got != "before\nmeanwhile\nafter\n" {
		t.Errorf("log is %q", got)
	}
}

func TestBuildGoesOnWhenRedisStaysAway(t *testing.T) {
	opt := quick
	opt.StallLimit = time.Millisecond
	s, server := newStore(t, opt)
	w := openWriter(t, s, zlib)
	server.Kill()
	write(t, w, strings.Repeat("z", 10*bufferSize)) // must not block for ever
	server.Start()
	w.mu.Lock()
	for w.stalled {
		w.room.Wait()
	}
	w.mu.Unlock()
	write(t, w, "and on\n")
	end(t, w, 0)
	got := readAll(t, follow(t, s, zlib, 0))
	if !strings.Contains(got, "bytes of output are missing here: Redis was out of reach]") || !strings.HasSuffix(got, "and on\n") {
		t.Errorf("the log of %d bytes ends with %q", len(got), got[max(0, len(got)-200):])
	}
}

func TestEndSaysThatRedisIsOutOfReach(t *testing.T) {
	s, server := newStore(t, quick)
	w := openWriter(t, s, zlib)
	server.Kill()
	write(t, w, "x")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := w.End(ctx, 0)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), zlib.String()) {
		t.Errorf("End: %v", err)
	}
	if _, err := w.Write([]byte("y")); !errors.Is(err, ErrClosed) {
		t.Errorf("Write after End: %v", err)
	}
}

func TestWriterGoesOnWhenRedisForgotTheLog(t *testing.T) {
	s, server := newStore(t, quick)
	w := openWriter(t, s, zlib)
	f := follow(t, s, zlib, 0)
	write(t, w, "forgotten\n")
	readUntil(t, f, "forgotten\n")
	server.Client().FlushAll(t.Context()) // as a Redis without persistence does
	write(t, w, "kept\n")
	write(t, w, "more\n")
	end(t, w, 0)
	got := readAll(t, follow(t, s, zlib, 0))
	if got != "\n[caur: 10 bytes of output are missing here: Redis came back with older data]\nkept\nmore\n" {
		t.Errorf("log is %q", got)
	}
	if _, err := io.ReadAll(f); !errors.Is(err, errCutBack) && !errors.Is(err, ErrNotFound) {
		t.Errorf("the old follower got %v", err)
	}
}

func TestOldWriterIsShutOut(t *testing.T) {
	s, _ := newStore(t, quick)
	old := openWriter(t, s, zlib)
	write(t, old, "first run\n")
	readUntil(t, follow(t, s, zlib, 0), "first run\n")
	f := follow(t, s, zlib, 0)

	second := openWriter(t, s, zlib)
	write(t, old, "from the dead\n")
	if err := old.End(t.Context(), 0); !errors.Is(err, ErrSuperseded) {
		t.Errorf("End of the old writer: %v", err)
	}
	write(t, second, "second run\n")
	end(t, second, 0)
	want := "first run\n\n[caur: the build starts again]\nsecond run\n"
	if got := readAll(t, f); got != want {
		t.Errorf("follower got %q", got)
	}
	if got := readAll(t, follow(t, s, zlib, 0)); got != want {
		t.Errorf("log is %q", got)
	}
}

func TestLogOfARequeuedJobStaysOpen(t *testing.T) {
	s, _ := newStore(t, quick)
	w := openWriter(t, s, zlib)
	f := follow(t, s, zlib, 0)
	write(t, w, "one")
	end(t, w, statusRequeued)
	w = openWriter(t, s, zlib)
	write(t, w, "two")
	end(t, w, 0)
	if got := readAll(t, f); got != "one\n[caur: the build starts again]\ntwo" {
		t.Errorf("follower got %q", got)
	}
}

func TestLogThatIsWrittenAgainAfterItsEndIsReadWhole(t *testing.T) {
	s, _ := newStore(t, quick)
	w := openWriter(t, s, zlib)
	write(t, w, "one")
	end(t, w, 7)
	w = openWriter(t, s, zlib)
	f := follow(t, s, zlib, 2)
	write(t, w, "two")
	end(t, w, 0)
	for name, f := range map[string]*Follower{"live": f, "late": follow(t, s, zlib, 2), "inside the first run": follow(t, s, zlib, 2)} {
		if got := readAll(t, f); got != "e\n[caur: the build starts again]\ntwo" {
			t.Errorf("%s follower got %q", name, got)
		}
	}
}

func TestFollowerOfADeadBuilderEnds(t *testing.T) {
	var live atomic.Bool
	live.Store(true)
	asked := make(chan struct{}, 100)
	opt := quick
	opt.Live = func(_ context.Context, k Key) (bool, error) {
		if k != zlib {
			t.Errorf("asked for %v", k)
		}
		select {
		case asked <- struct{}{}:
		default:
		}
		return live.Load(), nil
	}
	s, _ := newStore(t, opt)
	w := openWriter(t, s, zlib)
	write(t, w, "last words\n")
	f := follow(t, s, zlib, 0)
	readUntil(t, f, "last words\n")
	for range 2 * strikesOut {
		<-asked // a build that prints nothing for long is not ended
	}
	select {
	case <-func() <-chan struct{} { f.store.hub.mu.Lock(); defer f.store.hub.mu.Unlock(); return f.tail.news }():
		t.Fatal("the follower of a live build was told something")
	default:
	}
	live.Store(false)
	if got := readAll(t, f); got != goneText {
		t.Errorf("follower got %q", got)
	}
}

func TestUnansweredQuestionsEndNobody(t *testing.T) {
	var asked atomic.Int32
	opt := quick
	reached := make(chan struct{})
	opt.Live = func(context.Context, Key) (bool, error) {
		if asked.Add(1) == 3*strikesOut {
			close(reached)
		}
		return false, errors.New("queue is out of reach")
	}
	s, _ := newStore(t, opt)
	w := openWriter(t, s, zlib)
	f := follow(t, s, zlib, 0)
	<-reached
	write(t, w, "alive")
	end(t, w, 0)
	if got := readAll(t, f); got != "alive" {
		t.Errorf("follower got %q", got)
	}
}

func TestFollowerEndsWhenItsLogExpires(t *testing.T) {
	s, server := newStore(t, quick)
	openWriter(t, s, zlib)
	f := follow(t, s, zlib, 0)
	server.Client().FlushAll(t.Context())
	if _, err := f.Next(); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestFollowersGiveUpWhenRedisStaysAway(t *testing.T) {
	opt := quick
	opt.StallLimit = time.Millisecond
	s, server := newStore(t, opt)
	w := openWriter(t, s, zlib)
	f := follow(t, s, zlib, 0)
	write(t, w, "x")
	readUntil(t, f, "x")
	server.Kill()
	if _, err := f.Next(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %v, want an error", err)
	}
	server.Start()
}

func TestForgedEntriesAreRefused(t *testing.T) {
	bomb, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		values map[string]any
		want   string
	}{
		{"no data", map[string]any{"x": "y"}, "has no data"},
		{"a compression bomb", map[string]any{fieldZstd: bomb.EncodeAll(make([]byte, 64<<20), nil)}, "unpack"},
		{"a chunk that is too large", map[string]any{fieldPlain: strings.Repeat("x", ChunkSize+1)}, "larger"},
		{"not zstd", map[string]any{fieldZstd: "garbage"}, "unpack"},
	}
	s, server := newStore(t, quick)
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := Key{"p", int64(i)}
			openWriter(t, s, k)
			live := follow(t, s, k, 0)
			server.Client().XAdd(t.Context(), &redis.XAddArgs{Stream: dataKey(k), ID: "1-2", Values: tt.values})
			server.Client().HSet(t.Context(), metaKey(k), "size", 5)
			for name, f := range map[string]*Follower{"live": live, "late": follow(t, s, k, 0)} {
				if _, err := io.ReadAll(f); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s follower got %v, want an error with %q", name, err, tt.want)
				}
			}
		})
	}
}

func TestForeignEntryIDs(t *testing.T) {
	for _, id := range []string{"", "x", "1", "0-1", "1-x", "-1-1"} {
		if _, _, _, err := parseID(id); err == nil {
			t.Errorf("%q was taken", id)
		}
	}
}
