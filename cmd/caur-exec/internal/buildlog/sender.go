package buildlog

import (
	"context"
	"fmt"
	"time"
)

const (
	retryFirst = 100 * time.Millisecond
	retryMost  = 5 * time.Second
)

func nextPause(d time.Duration) time.Duration { return min(2*d, retryMost) }

// wait sleeps, and says false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// send is the writer's goroutine: it takes chunks from the buffer and stores
// them until the writer ends or has been superseded.
func (w *Writer) send(ctx context.Context) {
	defer close(w.sent)
	chunk := make([]byte, 0, ChunkSize)
	var packed []byte
	for {
		var ok bool
		if chunk, ok = w.nextChunk(ctx, chunk[:0]); !ok {
			return
		}
		field, value := w.store.codec.pack(chunk, packed)
		if field == fieldZstd {
			packed = value
		}
		if err := w.storeChunk(ctx, field, value, len(chunk)); err != nil {
			w.mu.Lock()
			w.fatal = err
			w.buf = nil
			w.room.Broadcast()
			w.mu.Unlock()
			return
		}
	}
}

// nextChunk waits until a chunk is full, its first byte has waited for
// FlushInterval, or the writer ends; false when nothing is left to send.
func (w *Writer) nextChunk(ctx context.Context, chunk []byte) ([]byte, bool) {
	var flush <-chan time.Time
	for due := false; ; {
		w.mu.Lock()
		if len(w.buf) >= ChunkSize || (len(w.buf) > 0 && (due || w.ending)) {
			n := min(len(w.buf), ChunkSize)
			chunk = append(chunk, w.buf[:n]...)
			w.buf = w.buf[:copy(w.buf, w.buf[n:])]
			w.room.Broadcast()
			w.mu.Unlock()
			return chunk, true
		}
		some, ending := len(w.buf) > 0, w.ending
		w.mu.Unlock()
		if ending {
			return nil, false
		}
		if some && flush == nil {
			timer := time.NewTimer(w.store.opt.FlushInterval)
			defer timer.Stop()
			flush = timer.C
		}
		select {
		case <-w.work:
		case <-flush:
			due = true
		case <-ctx.Done():
			return nil, false
		}
	}
}

// storeChunk stores one chunk, retrying for as long as Redis is out of reach. An
// error is final.
func (w *Writer) storeChunk(ctx context.Context, field string, value []byte, size int) error {
	begun := time.Now()
	for pause := retryFirst; ; {
		reply, err := w.store.scripts.append.Run(ctx, w.store.rdb, scriptKeys(w.key),
			w.token, w.offset, size, field, value, w.store.opt.Retention.Milliseconds()).Int64Slice()
		w.noteAttempt(err, time.Since(begun))
		if err == nil {
			again, err := w.settle(ctx, reply[0], reply[1], size)
			if !again || err != nil {
				return err
			}
			continue
		}
		if !wait(ctx, pause) {
			return fmt.Errorf("append to log %s: %w", w.key, err)
		}
		pause = nextPause(pause)
	}
}

func (w *Writer) noteAttempt(err error, since time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastErr = err
	w.stalled = err != nil && since >= w.store.opt.StallLimit
	w.room.Broadcast()
}

// settle acts on the answer of the append script and says whether the chunk
// must be sent again: after Redis has lost what came before it.
func (w *Writer) settle(ctx context.Context, code, size int64, sent int) (again bool, err error) {
	switch code {
	case 1:
		w.offset += int64(sent)
		return false, nil
	case -1:
		return false, ErrSuperseded
	case -2:
		// Redis came back without the log: begin it anew.
		token, begun, err := w.store.open(ctx, w.key)
		if err != nil {
			wait(ctx, retryFirst) // the next attempt finds out whether ctx has ended
			return true, nil
		}
		w.token, size = token, begun
	}
	missing := w.offset - size
	w.offset = size
	if missing > 0 {
		note := fmt.Appendf(nil, "\n[caur: %d bytes of output are missing here: Redis came back with older data]\n", missing)
		return true, w.storeChunk(ctx, fieldPlain, note, len(note))
	}
	return true, nil
}
