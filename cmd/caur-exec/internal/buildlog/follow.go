package buildlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"sync"

	"github.com/redis/go-redis/v9"
)

// entry is one decoded stream entry.
type entry struct {
	id            string
	offset, token int64
	end           bool
	data          []byte
}

func (s *Store) decode(messages []redis.XMessage) ([]entry, error) {
	entries := make([]entry, 0, len(messages))
	for _, m := range messages {
		offset, token, end, err := parseID(m.ID)
		if err != nil {
			return entries, err
		}
		e := entry{id: m.ID, offset: offset, token: token, end: end}
		if !end {
			if e.data, err = s.codec.unpack(m.ID, m.Values); err != nil {
				return entries, err
			}
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Follower reads a log from an offset to its END, waiting for what is yet to
// come. It is used by one goroutine; Close may be called from any.
type Follower struct {
	store  *Store
	ctx    context.Context
	stop   context.CancelFunc
	info   Info
	tail   *liveTail // nil for a log that has ended
	moved  bool      // the tail is of no use any more: a file has the log
	offset int64
	ready  [][]byte // read from Redis and not yet handed out
	part   []byte   // rest of a chunk that Read has begun
	leave  sync.Once
}

// Follow reads a log from a byte offset on (0 is the beginning, an offset after
// the end waits for it to be reached). Reading gives io.EOF at END, or when the
// queue no longer knows the job; then a line in the log's text says so.
// [ErrNotFound] when there is no such log. ctx ends the follower.
func (s *Store) Follow(ctx context.Context, k Key, offset int64) (*Follower, error) {
	info, err := s.Info(ctx, k)
	if err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, fmt.Errorf("follow log %s: negative offset %d", k, offset)
	}
	if s.disk == nil && offset < info.moved {
		return nil, fmt.Errorf("log %s was moved to a file and LOGS_PATH is not set here: %w", k, ErrNotFound)
	}
	f := &Follower{store: s, info: info, offset: offset}
	if info.Ended.IsZero() {
		if f.tail, err = s.hub.join(info); err != nil {
			return nil, fmt.Errorf("follow log %s: %w", k, err)
		}
	}
	f.ctx, f.stop = context.WithCancel(ctx)
	return f, nil
}

// followEnded reads a log that has ended.
func (s *Store) followEnded(ctx context.Context, info Info) *Follower {
	f := &Follower{store: s, info: info}
	f.ctx, f.stop = context.WithCancel(ctx)
	return f
}

// Info is what was known of the log when following began.
func (f *Follower) Info() Info { return f.info }

// Close ends the follower; a Next or Read under way returns.
func (f *Follower) Close() error {
	f.stop()
	f.leave.Do(func() {
		if f.tail != nil {
			f.store.hub.leave(f.tail)
		}
	})
	return nil
}

// Read is Next for callers that want an io.Reader.
func (f *Follower) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(f.part) == 0 {
		var err error
		if f.part, err = f.Next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.part)
	f.part = f.part[n:]
	return n, nil
}

// Next waits for the next piece of the log, at most [ChunkSize] bytes. The
// bytes are shared with other followers: read only.
func (f *Follower) Next() ([]byte, error) {
	for {
		if f.ctx.Err() != nil {
			return nil, context.Cause(f.ctx)
		}
		if len(f.ready) > 0 {
			return f.handOut(), nil
		}
		if f.tail == nil || f.moved {
			if f.offset >= f.info.Size {
				return nil, io.EOF
			}
			if err := f.readHistory(f.info.Size); err != nil {
				return nil, err
			}
			continue
		}
		data, behind, news, err := f.store.hub.at(f.tail, f.offset)
		switch {
		case behind:
			if err := f.readHistory(math.MaxInt64); err != nil {
				return nil, err
			}
		case len(data) > 0:
			f.offset += int64(len(data))
			return data, nil
		case errors.Is(err, errMoved):
			if err := f.toFile(); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, err
		default:
			select {
			case <-news:
			case <-f.ctx.Done():
			}
		}
	}
}

// toFile goes on with the file of a log that ended and was moved before its END came by.
func (f *Follower) toFile() error {
	info, err := f.store.Info(f.ctx, f.info.Key)
	if err != nil {
		return err
	}
	if info.Ended.IsZero() || info.Size < f.offset {
		return fmt.Errorf("read log %s: %w", f.info.Key, errCutBack) // it is written anew
	}
	f.info, f.moved = info, true
	return nil
}

func (f *Follower) handOut() []byte {
	data := f.ready[0]
	f.ready[0] = nil
	f.ready = f.ready[1:]
	f.offset += int64(len(data))
	return data
}

// readHistory fills ready with what Redis or the file holds from the offset on, up to limit.
func (f *Follower) readHistory(limit int64) error {
	select {
	case f.store.history <- struct{}{}:
	case <-f.ctx.Done():
		return context.Cause(f.ctx)
	}
	defer func() { <-f.store.history }()
	entries, err := f.store.piecesAt(f.ctx, f.info, f.offset)
	if err != nil {
		return err
	}
	f.ready = nil
	at := f.offset
	for _, e := range entries {
		after := e.offset + int64(len(e.data))
		if e.end || after <= at {
			continue
		}
		if e.offset > at {
			return fmt.Errorf("read log %s: %w", f.info.Key, errCutBack)
		}
		data := e.data[at-e.offset:]
		data = data[:min(int64(len(data)), max(limit-at, 0))]
		if len(data) > 0 {
			f.ready = append(f.ready, data)
		}
		at = after
	}
	if len(f.ready) == 0 {
		// It was there when Info or the hub looked: it has expired since, or
		// Redis lost it.
		return fmt.Errorf("read log %s at %d: %w", f.info.Key, f.offset, errCutBack)
	}
	return nil
}

// entriesAt gives a few entries, the first of which holds the byte at offset.
func (s *Store) entriesAt(ctx context.Context, k Key, offset int64) ([]entry, error) {
	at := strconv.FormatInt(offset+1, 10)
	messages, err := s.rdb.XRangeN(ctx, dataKey(k), at+"-0", "+", historyChunks).Result()
	if err != nil {
		return nil, fmt.Errorf("read log %s: %w", k, err)
	}
	entries, err := s.decode(messages)
	if err != nil {
		return nil, fmt.Errorf("read log %s: %w", k, err)
	}
	for _, e := range entries {
		if !e.end && e.offset == offset {
			return entries, nil // a chunk begins here, the usual case
		}
	}
	// The chunk began earlier. One END of an earlier run may lie in between.
	for before := int64(2); ; before *= 2 {
		messages, err = s.rdb.XRevRangeN(ctx, dataKey(k), at, "-", before).Result()
		if err != nil {
			return nil, fmt.Errorf("read log %s: %w", k, err)
		}
		earlier, err := s.decode(messages)
		if err != nil {
			return nil, fmt.Errorf("read log %s: %w", k, err)
		}
		for _, e := range earlier {
			if !e.end {
				return append([]entry{e}, entries...), nil
			}
		}
		if int64(len(messages)) < before {
			return entries, nil
		}
	}
}
