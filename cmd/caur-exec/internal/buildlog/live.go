package buildlog

import (
	"context"
	"errors"
	"io"
	"time"
)

// goneText ends a log whose builder died without END. It is told to followers
// and not stored: the job may yet run again and write to its log.
const goneText = "\n[caur: the log ends here without a result: the queue does not know this build as running]\n"

// checkTimeout bounds one look at the queue.
const checkTimeout = 10 * time.Second

// strikesOut is how often in a row the queue must not know the job: between a
// job's last state and its log's END, a builder is still writing.
const strikesOut = 2

// checkQuiet starts a check of every tail that has been quiet for a while.
func (h *hub) checkQuiet(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.tails {
		if !t.checking && time.Since(t.quiet) >= h.store.opt.LiveInterval {
			t.checking = true
			h.done.Add(1)
			go h.check(ctx, t)
		}
	}
}

// check ends a quiet tail whose log is gone, was cut back, or has no job any more.
func (h *hub) check(ctx context.Context, t *liveTail) {
	defer h.done.Done()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	h.mu.Lock()
	end := t.end
	h.mu.Unlock()

	info, err := h.store.Info(ctx, t.key)
	live := true
	if err == nil && h.store.opt.Live != nil {
		if known, err := h.store.opt.Live(ctx, t.key); err == nil {
			live = known
		}
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	t.checking = false
	t.quiet = time.Now()
	switch {
	case t.err != nil || t.end != end: // it has moved meanwhile
	case errors.Is(err, ErrNotFound): // expired, or Redis lost it
		h.endLocked(t, err)
	case err != nil: // Redis is out of reach: the reader deals with that
	case info.Size < end:
		h.endLocked(t, errCutBack)
	case info.moved > 0 && !info.Ended.IsZero(): // its END is not in Redis any more
		h.endLocked(t, errMoved)
	case live:
		t.strikes = 0
	default:
		if t.strikes++; t.strikes >= strikesOut {
			t.chunks = append(t.chunks, tailChunk{t.end, []byte(goneText)})
			t.end += int64(len(goneText))
			h.endLocked(t, io.EOF)
		}
	}
}
