package queue

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	auditKept  = 10000 // entries, about
	auditField = 300   // bytes
)

// AuditEntry is one action of an administrator.
type AuditEntry struct {
	ID     string    `json:"id,omitempty"` // set by AuditLog
	Time   time.Time `json:"time"`         // by Redis' clock, set by AuditLog
	Actor  string    `json:"actor"`        // who, as far as it is known: a page or the API, and from where
	Action string    `json:"action"`       // cancel, retry, …
	Target string    `json:"target"`       // a job id, a task id or a builder
	Result string    `json:"result"`       // "done", or why it was not
}

// Audit writes an entry into the log of what administrators did, which keeps about the last 10,000.
func (q *Queue) Audit(ctx context.Context, e AuditEntry) error {
	values := []any{"a", auditText(e.Actor), "x", auditText(e.Action), "t", auditText(e.Target), "r", auditText(e.Result)}
	args := &redis.XAddArgs{Stream: q.keys.key("audit"), MaxLen: auditKept, Approx: true, Values: values}
	if err := q.rdb.XAdd(ctx, args).Err(); err != nil {
		return fmt.Errorf("write the audit log: %w", err)
	}
	return nil
}

// AuditLog gives the newest entries, newest first, at most limit.
func (q *Queue) AuditLog(ctx context.Context, limit int) ([]AuditEntry, error) {
	if limit < 1 {
		return nil, nil
	}
	messages, err := q.rdb.XRevRangeN(ctx, q.keys.key("audit"), "+", "-", int64(limit)).Result()
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	entries := make([]AuditEntry, 0, len(messages))
	for _, m := range messages {
		field := func(name string) string { return str(m.Values[name]) }
		entries = append(entries, AuditEntry{ID: m.ID, Time: eventTime(m.ID), Actor: field("a"), Action: field("x"), Target: field("t"), Result: field("r")})
	}
	return entries, nil
}

// auditText is text that fits an entry, on one line.
func auditText(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), auditField)], "")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
