package buildlog

import (
	"io"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caur-build/caur/internal/testenv"
)

func TestTimesSayWhenALogWasHowLong(t *testing.T) {
	server := testenv.Redis(t)
	s := NewStore(server.Client(), Options{FlushInterval: time.Millisecond})
	t.Cleanup(s.Close)
	k := Key{Pkgbase: "zlib", Timestamp: 42}
	if marks, err := s.Times(t.Context(), k); err != nil || len(marks) != 0 {
		t.Fatalf("of no log: %v, %v", marks, err)
	}
	w, err := s.Writer(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now().Add(-time.Second)
	io.WriteString(w, "one line\n")
	if err := w.End(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	marks, err := s.Times(t.Context(), k)
	if err != nil || len(marks) != 1 || marks[0].Offset != 0 || marks[0].Time.Before(before) {
		t.Errorf("got %v, %v", marks, err)
	}
	if ttl := server.Client().PTTL(t.Context(), timesKey(k)).Val(); ttl <= 0 {
		t.Errorf("the times stay for ever: %v", ttl)
	}
}

func TestTimesOfALogThatWasCutBackAreInOrder(t *testing.T) {
	server := testenv.Redis(t)
	s := NewStore(server.Client(), Options{})
	t.Cleanup(s.Close)
	k := Key{Pkgbase: "zlib", Timestamp: 42}
	add := func(score float64, member string) {
		if err := server.Client().ZAdd(t.Context(), timesKey(k), redis.Z{Score: score, Member: member}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	add(0, "0:1000")
	add(10, "10:2000")
	add(20, "20:3000")
	add(10, "10:9000")
	marks, err := s.Times(t.Context(), k)
	if err != nil || len(marks) != 2 || marks[1].Offset != 10 || marks[1].Time.UnixMilli() != 9000 {
		t.Errorf("got %v, %v", marks, err)
	}
	add(99, "nonsense")
	if _, err := s.Times(t.Context(), k); err == nil {
		t.Error("a foreign entry is read")
	}
}
