package buildlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// bufferSize bounds what a writer holds: one chunk that is being sent and
	// one that fills.
	bufferSize = 2 * ChunkSize
	// tailSize is how much of the end of a log that is too long is kept:
	// compilers say at the end what went wrong.
	tailSize = 64 << 10
	// statusRequeued is "canceled and requeued": the job comes back with the
	// same timestamp, so its log is not finished.
	statusRequeued = 6
	// statusUnknown stands in a log whose writer was closed without a status.
	statusUnknown = 7
)

// Writer appends to a log. Write, End and Close may be called from different
// goroutines.
type Writer struct {
	store *Store
	key   Key

	mu       sync.Mutex
	room     sync.Cond // a send has ended, or the state below has changed
	buf      []byte    // not yet taken by the sender, at most bufferSize
	budget   int64     // bytes that may still be taken before the log is cut
	cut      *tail     // set once the budget is used up
	lost     int64     // bytes given up since Redis went out of reach
	stalled  bool      // Redis is out of reach for longer than StallLimit
	ending   bool
	fatal    error // nothing can be written any more
	lastErr  error // of the latest failed attempt, nil when it went well
	work     chan struct{}
	stopSend context.CancelFunc
	sent     chan struct{} // closed when the sender has stopped

	// Of the sender alone.
	token  int64
	offset int64
}

// Writer takes the log over and goes on at its end, or begins it. ctx bounds
// the opening only. The caller ends it with End, or Close.
func (s *Store) Writer(ctx context.Context, k Key) (*Writer, error) {
	token, size, err := s.open(ctx, k)
	if err != nil {
		return nil, err
	}
	sendCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	w := &Writer{store: s, key: k, token: token, offset: size, stopSend: stop,
		budget: max(s.opt.MaxBytes-tailSize-size, 0),
		work:   make(chan struct{}, 1), sent: make(chan struct{})}
	w.room.L = &w.mu
	if size > 0 {
		w.takeLocked([]byte("\n[caur: the build starts again]\n"))
	}
	go w.send(sendCtx)
	return w, nil
}

func (s *Store) open(ctx context.Context, k Key) (token, size int64, err error) {
	reply, err := s.scripts.open.Run(ctx, s.rdb, scriptKeys(k), s.opt.Builder, k.Timestamp, s.opt.Retention.Milliseconds()).Int64Slice()
	if err != nil {
		return 0, 0, fmt.Errorf("open log %s: %w", k, err)
	}
	return reply[0], reply[1], nil
}

// Key gives the name of the log.
func (w *Writer) Key() Key { return w.key }

// Write takes p. It blocks while Redis is slower than the build, and never
// fails before End: a log must not end a build.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for rest := p; len(rest) > 0; {
		if w.ending {
			return len(p) - len(rest), ErrClosed
		}
		if w.fatal != nil {
			return len(p), nil
		}
		if w.lost > 0 && !w.stalled {
			w.noteLossLocked()
		}
		if w.lost == 0 {
			rest = rest[w.takeLocked(rest):]
		}
		if len(rest) == 0 {
			break
		}
		if w.stalled {
			w.lost += int64(len(rest))
			break
		}
		w.room.Wait()
	}
	return len(p), nil
}

// takeLocked moves what fits from p into the buffer, or into the kept tail of a
// log that is too long, and gives the number of bytes that are dealt with.
func (w *Writer) takeLocked(p []byte) int {
	if w.cut != nil {
		return w.cut.add(p)
	}
	n := int(min(int64(len(p)), int64(max(bufferSize-len(w.buf), 0)), w.budget))
	w.buf = append(w.buf, p[:n]...)
	w.budget -= int64(n)
	if w.budget == 0 && n < len(p) {
		w.cut = &tail{}
		w.buf = fmt.Appendf(w.buf, "\n[caur: this log has reached its limit of %d bytes; the build goes on and the end of its output follows when it is done]\n", w.store.opt.MaxBytes)
	}
	select {
	case w.work <- struct{}{}:
	default:
	}
	return n
}

func (w *Writer) noteLossLocked() {
	w.buf = fmt.Appendf(w.buf, "\n[caur: %d bytes of output are missing here: Redis was out of reach]\n", w.lost)
	w.lost = 0
}

// End writes what is left and marks the log as finished with the job's end
// status (numbers of executor.md section 1). Status 6, canceled and requeued,
// leaves the log open for the next run. ctx bounds how long that may take. A
// second call does nothing.
func (w *Writer) End(ctx context.Context, status int) error {
	w.mu.Lock()
	if w.ending {
		w.mu.Unlock()
		return nil
	}
	w.ending = true
	if w.lost > 0 {
		w.noteLossLocked()
	}
	if w.cut != nil {
		w.buf = w.cut.appendTo(w.buf)
	}
	w.room.Broadcast()
	w.mu.Unlock()
	select {
	case w.work <- struct{}{}:
	default:
	}

	defer w.stopSend()
	select {
	case <-w.sent:
	case <-ctx.Done():
		w.stopSend()
		<-w.sent
		w.mu.Lock()
		defer w.mu.Unlock()
		return fmt.Errorf("finish log %s: %w", w.key, errors.Join(context.Cause(ctx), w.lastErr))
	}
	if w.fatal != nil {
		return fmt.Errorf("finish log %s: %w", w.key, w.fatal)
	}
	if status == statusRequeued {
		return nil
	}
	return w.markEnd(ctx, status)
}

// Close is End for callers that have no status: the log then says software
// failure. After End it does nothing.
func (w *Writer) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return w.End(ctx, statusUnknown)
}

func (w *Writer) markEnd(ctx context.Context, status int) error {
	for pause := retryFirst; ; pause = nextPause(pause) {
		code, err := w.store.scripts.end.Run(ctx, w.store.rdb, scriptKeys(w.key), w.token, status, w.store.opt.Retention.Milliseconds()).Int64()
		switch {
		case err == nil && code == 1:
			return nil
		case err == nil && code == -1:
			return fmt.Errorf("finish log %s: %w", w.key, ErrSuperseded)
		case err == nil:
			return fmt.Errorf("finish log %s: %w", w.key, ErrNotFound)
		}
		if !wait(ctx, pause) {
			return fmt.Errorf("finish log %s: %w", w.key, err)
		}
	}
}
