package buildlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// ringSize is how much of a live log's end is held in memory for its followers.
const ringSize = 512 << 10

// blockFor is the longest that one Redis read waits for news. A new followed
// log interrupts it.
const blockFor = 5 * time.Second

// errCutBack ends the followers of a log of which Redis has lost the end: the
// offsets that they know do not mean the same bytes any more.
var errCutBack = errors.New("the end of this log was lost when Redis came back with older data: follow it again")

// hub reads the ends of all followed live logs with one blocking XREAD, so that
// followers cost one Redis connection however many they are. It works only
// while something is followed.
type hub struct {
	store *Store

	mu        sync.Mutex
	tails     map[Key]*liveTail
	running   bool
	closed    bool
	interrupt context.CancelFunc // of the XREAD under way
	stop      context.CancelFunc // of the reader
	done      sync.WaitGroup
}

// liveTail is the end of one live log.
type liveTail struct {
	key       Key
	followers int
	token     int64         // an END of an earlier run does not count
	lastID    string        // last entry that was read
	start     int64         // offset of chunks[0]
	end       int64         // offset after the last chunk
	chunks    []tailChunk   // oldest first, about ringSize bytes
	news      chan struct{} // closed, and replaced, when something changes
	err       error         // io.EOF or why following ended; nil while it lives
	quiet     time.Time     // since when nothing came and the job was not seen alive
	strikes   int           // answers "not live" in a row
	checking  bool
}

type tailChunk struct {
	offset int64
	data   []byte
}

func newHub(s *Store) *hub { return &hub{store: s, tails: map[Key]*liveTail{}} }

// join gives the tail of a live log, which begins at info.Size when it is new.
func (h *hub) join(info Info) (*liveTail, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	t := h.tails[info.Key]
	if t == nil {
		t = &liveTail{key: info.Key, token: info.token, lastID: idFrom(info.Size), start: info.Size, end: info.Size,
			news: make(chan struct{}), quiet: time.Now()}
		h.tails[info.Key] = t
		if h.interrupt != nil {
			h.interrupt()
		}
	}
	t.followers++
	if !h.running {
		ctx, stop := context.WithCancel(context.Background())
		h.stop, h.running = stop, true
		h.done.Add(1)
		go h.run(ctx)
	}
	return t, nil
}

func (h *hub) leave(t *liveTail) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.followers--; t.followers == 0 && h.tails[t.key] == t {
		delete(h.tails, t.key)
		if len(h.tails) == 0 && h.interrupt != nil {
			h.interrupt()
		}
	}
}

func (h *hub) close() {
	h.mu.Lock()
	h.closed = true
	for _, t := range h.tails {
		h.endLocked(t, ErrClosed)
	}
	if h.stop != nil {
		h.stop()
	}
	h.mu.Unlock()
	h.done.Wait()
}

// endLocked lets the followers read what is in the ring, and then err.
func (h *hub) endLocked(t *liveTail, err error) {
	if t.err == nil {
		t.err = err
		close(t.news)
	}
	if h.tails[t.key] == t {
		delete(h.tails, t.key)
	}
}

// run reads until nothing is followed any more.
func (h *hub) run(ctx context.Context) {
	defer h.done.Done()
	var down time.Time
	for pause := retryFirst; ; {
		streams, readCtx, cancel, more := h.next(ctx)
		if !more {
			return
		}
		result, err := h.store.rdb.XRead(readCtx, &redis.XReadArgs{Streams: streams, Count: historyChunks, Block: min(blockFor, h.store.opt.LiveInterval)}).Result()
		interrupted := readCtx.Err() != nil
		cancel()
		switch {
		case err == nil:
			h.deliver(result)
		case errors.Is(err, redis.Nil), interrupted:
		default:
			if down.IsZero() {
				down = time.Now()
			}
			if time.Since(down) >= h.store.opt.StallLimit {
				h.endAll(fmt.Errorf("follow logs: %w", err))
			}
			wait(ctx, pause)
			pause = nextPause(pause)
			continue
		}
		down, pause = time.Time{}, retryFirst
		h.checkQuiet(ctx)
	}
}

// next gives the streams to read, and false when the reader must stop.
func (h *hub) next(ctx context.Context) (streams []string, readCtx context.Context, cancel context.CancelFunc, more bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.interrupt = nil
	if len(h.tails) == 0 || ctx.Err() != nil {
		h.running = false
		h.stop()
		return nil, nil, nil, false
	}
	ids := make([]string, 0, len(h.tails))
	for k, t := range h.tails {
		streams = append(streams, dataKey(k))
		ids = append(ids, t.lastID)
	}
	readCtx, cancel = context.WithCancel(ctx)
	h.interrupt = cancel
	return append(streams, ids...), readCtx, cancel, true
}

func (h *hub) endAll(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.tails {
		h.endLocked(t, err)
	}
}

func (h *hub) deliver(streams []redis.XStream) {
	h.mu.Lock()
	byStream := make(map[string]*liveTail, len(h.tails))
	for k, t := range h.tails {
		byStream[dataKey(k)] = t
	}
	h.mu.Unlock()
	for _, stream := range streams {
		if t := byStream[stream.Stream]; t != nil {
			entries, err := h.store.decode(stream.Messages) // outside the lock: it unpacks
			h.mu.Lock()
			h.addLocked(t, entries, err)
			h.mu.Unlock()
		}
	}
}

func (h *hub) addLocked(t *liveTail, entries []entry, err error) {
	if t.err != nil {
		return
	}
	for _, e := range entries {
		t.lastID = e.id
		switch {
		case e.end && e.token >= t.token:
			h.endLocked(t, io.EOF)
			return
		case e.end:
		case e.offset != t.end:
			h.endLocked(t, errCutBack)
			return
		default:
			t.chunks = append(t.chunks, tailChunk{e.offset, e.data})
			t.end += int64(len(e.data))
			t.token = max(t.token, e.token)
		}
	}
	if err != nil {
		h.endLocked(t, err)
		return
	}
	drop := 0
	for t.end-t.startWithout(drop+1) >= ringSize {
		drop++
	}
	clear(t.chunks[:drop]) // the array lives on; its old chunks must not
	t.chunks = t.chunks[drop:]
	t.start = t.startWithout(0)
	t.quiet, t.strikes = time.Now(), 0
	close(t.news)
	t.news = make(chan struct{})
}

// startWithout is the offset at which the ring would begin without its first n chunks.
func (t *liveTail) startWithout(n int) int64 {
	if n < len(t.chunks) {
		return t.chunks[n].offset
	}
	return t.end
}

// at gives the bytes from offset on that one chunk of the ring holds; behind
// says that the ring does not reach back that far. With neither, news is closed
// when to ask again, or err says why there will be nothing more.
func (h *hub) at(t *liveTail, offset int64) (data []byte, behind bool, news <-chan struct{}, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if offset < t.start {
		return nil, true, nil, nil
	}
	if offset >= t.end {
		return nil, false, t.news, t.err
	}
	i := sort.Search(len(t.chunks), func(i int) bool { return t.chunks[i].offset > offset }) - 1
	return t.chunks[i].data[offset-t.chunks[i].offset:], false, nil, nil
}
