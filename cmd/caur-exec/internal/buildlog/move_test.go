package buildlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/redis/go-redis/v9"

	"github.com/caur-build/caur/internal/testenv"
)

// moving is quick, and moves logs as soon as they have ended.
func moving(dir string) Options {
	o := quick
	o.Path, o.MoveAfter, o.MoveInterval = dir, time.Nanosecond, time.Millisecond
	return o
}

func newMoving(t *testing.T) (*Store, *testenv.RedisServer) {
	t.Helper()
	return newStore(t, moving(filepath.Join(t.TempDir(), "logs")))
}

func ended(t *testing.T, s *Store, k Key, text string) {
	t.Helper()
	w := openWriter(t, s, k)
	write(t, w, text)
	end(t, w, 3)
}

func move(t *testing.T, s *Store, want int) {
	t.Helper()
	if n, err := s.Move(t.Context()); err != nil || n != want {
		t.Fatalf("%d logs were moved, %v; want %d", n, err, want)
	}
}

// inStream is how many entries of a log Redis has.
func inStream(t *testing.T, rdb redis.UniversalClient, k Key) int64 {
	t.Helper()
	n, err := rdb.XLen(t.Context(), dataKey(k)).Result()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func logText() string {
	return "begin\n" + noise(ChunkSize+17) + strings.Repeat("gcc -O2 -c file.c\n", 3*ChunkSize/18) + "\x1b[31mred\x1b[0m \xff\x00 end"
}

func TestAMovedLogReadsBackFromEveryOffsetAndIsGoneFromRedis(t *testing.T) {
	s, server := newMoving(t)
	text := logText()
	ended(t, s, zlib, text)
	before, err := s.Info(t.Context(), zlib)
	if err != nil {
		t.Fatal(err)
	}
	marks, err := s.Times(t.Context(), zlib)
	if err != nil || len(marks) == 0 {
		t.Fatal(marks, err)
	}
	move(t, s, 1)
	move(t, s, 0)
	if n := inStream(t, server.Client(), zlib); n != 0 {
		t.Errorf("Redis still has %d entries", n)
	}
	for _, offset := range []int{0, 1, ChunkSize - 1, ChunkSize, ChunkSize + 1, 3 * ChunkSize, len(text) - 1, len(text), len(text) + 10} {
		if got := readAll(t, follow(t, s, zlib, int64(offset))); got != text[min(offset, len(text)):] {
			t.Errorf("from %d on: %d bytes, want %d", offset, len(got), max(0, len(text)-offset))
		}
	}
	after, err := s.Info(t.Context(), zlib)
	before.moved = after.moved
	if err != nil || after != before {
		t.Errorf("%+v, %v; want %+v", after, err, before)
	}
	if got, err := s.Times(t.Context(), zlib); err != nil || fmt.Sprint(got) != fmt.Sprint(marks) {
		t.Errorf("times %v, %v; want %v", got, err, marks)
	}
}

func TestAMovedLogIsAnOrdinaryZstdFile(t *testing.T) {
	s, _ := newMoving(t)
	text := logText()
	ended(t, s, zlib, text)
	move(t, s, 1)
	path, _ := s.disk.path(zlib)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got := readAll(t, d); got != text {
		t.Errorf("%d bytes, want %d", len(got), len(text))
	}
	if tool, err := exec.LookPath("zstd"); err == nil {
		if out, err := exec.Command(tool, "-dcq", path).Output(); err != nil || string(out) != text {
			t.Errorf("zstd -d: %d bytes, %v", len(out), err)
		}
	}
}

func TestALogThatRedisLostIsReadFromItsFile(t *testing.T) {
	s, server := newMoving(t)
	ended(t, s, zlib, "kept\n")
	ended(t, s, Key{zlib.Pkgbase, zlib.Timestamp + 1}, "newer\n")
	move(t, s, 2)
	if err := server.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	ended(t, s, Key{zlib.Pkgbase, zlib.Timestamp + 2}, "newest\n")
	infos, err := s.List(t.Context(), zlib.Pkgbase, 2)
	if err != nil || len(infos) != 2 || infos[0].Key.Timestamp != zlib.Timestamp+2 || infos[1].Key.Timestamp != zlib.Timestamp+1 {
		t.Fatalf("%+v, %v", infos, err)
	}
	if got := readAll(t, follow(t, s, zlib, 0)); got != "kept\n" {
		t.Errorf("%q", got)
	}
	if marks, err := s.Times(t.Context(), zlib); err != nil || len(marks) != 1 {
		t.Errorf("times %v, %v", marks, err)
	}
	server.Kill()
	if got := readAll(t, follow(t, s, zlib, 2)); got != "pt\n" {
		t.Errorf("without Redis: %q", got)
	}
	if _, err := s.Info(t.Context(), Key{"other", 1}); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("that Redis is away is not told: %v", err)
	}
}

func TestAJobThatRunsAgainWritesOnAfterItsLogWasMoved(t *testing.T) {
	s, server := newMoving(t)
	first := strings.Repeat("first run\n", ChunkSize/5)
	ended(t, s, zlib, first)
	move(t, s, 1)
	w := openWriter(t, s, zlib)
	write(t, w, "second run\n")
	f := follow(t, s, zlib, 0)
	text := readUntil(t, f, "second run\n")
	move(t, s, 0) // it runs
	write(t, w, "more\n")
	end(t, w, 0)
	text += readAll(t, f)
	if !strings.HasPrefix(text, first) || !strings.HasSuffix(text, "second run\nmore\n") {
		t.Fatalf("%d bytes, ending with %q", len(text), text[max(0, len(text)-60):])
	}
	if got := readAll(t, follow(t, s, zlib, 0)); got != text {
		t.Errorf("half in Redis: %d bytes, want %d", len(got), len(text))
	}
	move(t, s, 1)
	if n := inStream(t, server.Client(), zlib); n != 0 {
		t.Errorf("Redis still has %d entries", n)
	}
	if got := readAll(t, follow(t, s, zlib, 5)); got != text[5:] {
		t.Errorf("moved: %d bytes, want %d", len(got), len(text)-5)
	}
	if info, err := s.Info(t.Context(), zlib); err != nil || info.Status != 0 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestTwoProcessesMoveTheSameLogsWhileTheyAreRead(t *testing.T) {
	s, server := newMoving(t)
	other := storeOn(t, server.Client(), s.opt)
	text := logText()
	const logs = 12
	for i := range logs {
		ended(t, s, Key{"foo", int64(i)}, text)
	}
	var all sync.WaitGroup
	for _, store := range []*Store{s, other, s, other} {
		all.Go(func() {
			if _, err := store.Move(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	for i := range logs {
		all.Go(func() {
			f, err := other.Follow(t.Context(), Key{"foo", int64(i)}, 3)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			if got, err := io.ReadAll(f); err != nil || string(got) != text[3:] {
				t.Errorf("log %d: %d bytes, %v", i, len(got), err)
			}
		})
	}
	all.Wait()
	move(t, s, 0)
	names, err := os.ReadDir(filepath.Join(s.opt.Path, "foo"))
	if err != nil || len(names) != logs {
		t.Errorf("%d files, %v; want %d", len(names), err, logs)
	}
}

// endUnseen ends a log so that a process which follows it never reads the END: it is taken out of Redis in the same step.
func endUnseen(t *testing.T, s *Store, rdb redis.UniversalClient, text string) {
	t.Helper()
	info, err := s.Info(t.Context(), zlib)
	if err != nil {
		t.Fatal(err)
	}
	info.Ended = time.Now()
	if err := s.disk.write(info, strings.NewReader(text), nil); err != nil {
		t.Fatal(err)
	}
	for _, script := range []*redis.Script{s.scripts.end, s.scripts.moved} {
		if err := script.Load(t.Context(), rdb).Err(); err != nil {
			t.Fatal(err)
		}
	}
	pipe := rdb.TxPipeline()
	s.scripts.end.EvalSha(t.Context(), pipe, scriptKeys(zlib), info.token, 3, 60000)
	moved := s.scripts.moved.EvalSha(t.Context(), pipe, scriptKeys(zlib), info.token, info.Size)
	if _, err := pipe.Exec(t.Context()); err != nil || fmt.Sprint(moved.Val()) != "1" {
		t.Fatal(err, moved.Val())
	}
}

func TestAFollowerThatMissedTheEndGoesOnWithTheFile(t *testing.T) {
	s, server := newMoving(t)
	w := openWriter(t, s, zlib)
	write(t, w, "one\n")
	f := follow(t, s, zlib, 0)
	readUntil(t, f, "one\n")
	endUnseen(t, s, server.Client(), "one\n")
	if got := readAll(t, f); got != "" {
		t.Errorf("%q", got)
	}
}

func TestAFullDiskIsAnErrorAndTheLogStaysInRedis(t *testing.T) {
	s, server := newMoving(t)
	text := logText()
	ended(t, s, zlib, text)
	ended(t, s, Key{"other", 1}, text)
	create := s.disk.create
	s.disk.create = func(dir, pattern string) (newFile, error) {
		f, err := create(dir, pattern)
		return &fullFile{f, 100 << 10}, err
	}
	if n, err := s.Move(t.Context()); n != 0 || !errors.Is(err, syscall.ENOSPC) || strings.Count(err.Error(), "no space") != 1 {
		t.Errorf("%d moved, %v; want one error that the disk is full", n, err)
	}
	left := 0
	_ = filepath.WalkDir(s.opt.Path, func(_ string, d fs.DirEntry, _ error) error {
		if !d.IsDir() {
			left++
		}
		return nil
	})
	if n := inStream(t, server.Client(), zlib); n == 0 || left != 0 {
		t.Errorf("%d entries in Redis, %d files are left", n, left)
	}
	if got := readAll(t, follow(t, s, zlib, 0)); got != text {
		t.Errorf("%d bytes, want %d", len(got), len(text))
	}
	s.disk.create = create
	move(t, s, 2)
}

// fullFile is a file on a disk with so many bytes left.
type fullFile struct {
	newFile
	left int
}

func (f *fullFile) Write(p []byte) (int, error) {
	if len(p) > f.left {
		n, _ := f.newFile.Write(p[:f.left])
		f.left = 0
		return n, syscall.ENOSPC
	}
	f.left -= len(p)
	return f.newFile.Write(p)
}

func TestAMoveThatDiedIsDoneAgain(t *testing.T) {
	s, server := newMoving(t)
	ended(t, s, zlib, "text\n")
	info, err := s.Info(t.Context(), zlib)
	if err != nil {
		t.Fatal(err)
	}
	// One process died while it wrote, another one between the renaming and Redis.
	path, _ := s.disk.path(zlib)
	if err := s.writeFile(t.Context(), info); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".123")
	if err := os.WriteFile(half, []byte("ha"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, follow(t, s, zlib, 0)); got != "text\n" {
		t.Errorf("between: %q", got)
	}
	move(t, s, 1)
	if n := inStream(t, server.Client(), zlib); n != 0 {
		t.Errorf("Redis still has %d entries", n)
	}
	old := time.Now().Add(-2 * staleAfter)
	if err := os.Chtimes(half, old, old); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Sweep(); n != 1 || err != nil {
		t.Errorf("%d removed, %v; want what the dead process had begun", n, err)
	}
	if got := readAll(t, follow(t, s, zlib, 0)); got != "text\n" {
		t.Errorf("%q", got)
	}
}

func TestFilesOlderThanTheRetentionAreRemoved(t *testing.T) {
	s, _ := newMoving(t)
	ended(t, s, Key{"old", 1}, "text\n")
	ended(t, s, zlib, "text\n")
	move(t, s, 2)
	foreign := filepath.Join(s.opt.Path, "old", "note.txt")
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n, err := s.disk.sweep(time.Now().Add(DefaultRetention-time.Minute), DefaultRetention); n != 0 || err != nil {
			t.Fatalf("%d removed too early, %v", n, err)
		}
	}
	if n, err := s.disk.sweep(time.Now().Add(DefaultRetention+time.Minute), DefaultRetention); n != 2 || err != nil {
		t.Errorf("%d removed, %v", n, err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("a foreign file is gone: %v", err)
	}
	if _, err := os.Stat(filepath.Join(s.opt.Path, zlib.Pkgbase)); !missing(err) {
		t.Errorf("an empty folder is left: %v", err)
	}
}

func TestADamagedFileIsAnErrorThatNamesIt(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
		"empty":   func([]byte) []byte { return nil },
		"flipped": func(b []byte) []byte { b[40] ^= 0x40; return b },
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newMoving(t)
			ended(t, s, zlib, logText())
			move(t, s, 1)
			path, _ := s.disk.path(zlib)
			data, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, damage(data), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(follow(t, s, zlib, 0)); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestWithoutTheFolderAMovedLogIsNotFound(t *testing.T) {
	s, server := newMoving(t)
	ended(t, s, zlib, "text\n")
	move(t, s, 1)
	without := storeOn(t, server.Client(), quick)
	if _, err := without.Follow(t.Context(), zlib, 0); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "LOGS_PATH") {
		t.Errorf("error %v", err)
	}
	if n, err := without.Move(t.Context()); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestANameThatWouldLeaveTheFolderIsRefused(t *testing.T) {
	s, server := newMoving(t)
	for _, name := range []string{"..", "../../etc", "a/b", ".hidden"} {
		ended(t, s, Key{name, 1}, "text\n")
		if n, err := s.Move(t.Context()); n != 0 || err == nil || inStream(t, server.Client(), Key{name, 1}) == 0 {
			t.Errorf("%q: %d moved, %v", name, n, err)
		}
		server.Client().FlushAll(t.Context())
	}
}

func TestKeepMovesUntilItEndsAndStopsWhenRedisForbidsIt(t *testing.T) {
	s, server := newMoving(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- s.Keep(ctx, func(err error) { t.Error(err) }) }()
	ended(t, s, zlib, "text\n")
	for moved := false; !moved; {
		info, err := s.Info(t.Context(), zlib)
		if err != nil {
			t.Fatal(err)
		}
		moved = info.moved > 0
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	rdb := server.Client()
	ended(t, s, Key{"foo", 1}, "text\n")
	if err := rdb.ACLSetUser(t.Context(), "reader", "on", ">secret", "%R~*", "+@read", "+@connection", "+@scripting").Err(); err != nil {
		t.Fatal(err)
	}
	opt := *rdb.Options()
	opt.Username, opt.Password = "reader", "secret"
	reader := redis.NewClient(&opt)
	defer reader.Close()
	limited := storeOn(t, reader, s.opt)
	ctx, stop = context.WithCancel(t.Context())
	defer stop()
	told := 0
	if err := limited.Keep(ctx, func(err error) {
		if told++; !errors.Is(err, ErrForbidden) {
			t.Error(err)
			stop()
		}
	}); err != nil || told != 1 {
		t.Errorf("%v, told %d times", err, told)
	}
	if got := readAll(t, follow(t, limited, Key{"foo", 1}, 0)); got != "text\n" {
		t.Errorf("%q", got)
	}
}
