package notify

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var luaFiles embed.FS

const (
	keyPrefix  = "{caur-notify}:"
	maxWaiting = 20000 // entries of one target; the oldest go first
	maxDead    = 1000  // dead letters of one target
	takeAtMost = 500   // entries in one call of take.lua
)

// Outbox is what waits to be sent, in Redis. It may be used by several goroutines and processes.
type Outbox struct {
	rdb               redis.UniversalClient
	put, take, leader *redis.Script
}

// NewOutbox makes a handle. It does not talk to Redis.
func NewOutbox(rdb redis.UniversalClient) *Outbox {
	load := func(name string) *redis.Script {
		text, err := luaFiles.ReadFile("lua/" + name + ".lua")
		if err != nil {
			panic(err) // embedded: cannot be missing in a program that was built
		}
		return redis.NewScript(string(text))
	}
	return &Outbox{rdb: rdb, put: load("put"), take: load("take"), leader: load("leader")}
}

// kind says what may become of an entry that waits when another of its key comes.
type kind byte

const (
	replaceable kind = 'o'
	final       kind = 'f'
	once        kind = 'u'
)

// entry is a message for one target.
type entry struct {
	target string
	key    string
	raw    string // kind and body as stored
}

func newEntry(target, key string, k kind, body any) entry {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // plain structs of ours
	}
	return entry{target, key, string(k) + string(text)}
}

func (e entry) read(body any) error {
	if len(e.raw) < 2 {
		return fmt.Errorf("entry %s of %s is empty", e.key, e.target)
	}
	if err := json.Unmarshal([]byte(e.raw[1:]), body); err != nil {
		return fmt.Errorf("entry %s of %s: %w", e.key, e.target, err)
	}
	return nil
}

// base is the key without what tells entries of the same key apart: what has the same base is sent in order.
func (e entry) base() string {
	base, _, _ := strings.Cut(e.key, "#")
	return base
}

// remember says what put does with the task of an event.
type remember struct{ task, text string }

var leaveTask = remember{text: "-"}

// add puts entries into the outbox and moves the place to event, unless it was there: then nothing changes. Without event the place stays.
func (o *Outbox) add(ctx context.Context, event string, task remember, entries []entry) error {
	args := make([]any, 0, 4+3*len(entries))
	args = append(args, event, task.task, task.text, maxWaiting)
	for _, e := range entries {
		args = append(args, e.target, e.key, e.raw)
	}
	if err := o.put.Run(ctx, o.rdb, []string{keyPrefix + "place"}, args...).Err(); err != nil {
		return fmt.Errorf("put into the outbox: %w", err)
	}
	return nil
}

// place is where the reading of events goes on; the first time it is now.
func (o *Outbox) place(ctx context.Context) (string, error) {
	now, err := o.rdb.Time(ctx).Result()
	if err == nil {
		err = o.rdb.SetNX(ctx, keyPrefix+"place", fmt.Sprintf("%d-0", now.UnixMilli()), 0).Err()
	}
	if err != nil {
		return "", fmt.Errorf("read the place in the events: %w", err)
	}
	place, err := o.rdb.Get(ctx, keyPrefix+"place").Result()
	if err != nil {
		return "", fmt.Errorf("read the place in the events: %w", err)
	}
	return place, nil
}

// waiting gives how many entries of a target wait, and the first of them.
func (o *Outbox) waiting(ctx context.Context, target string, most int) ([]entry, int, error) {
	pipe := o.rdb.Pipeline()
	total := pipe.ZCard(ctx, keyPrefix+"out:"+target)
	keys := pipe.ZRange(ctx, keyPrefix+"out:"+target, 0, int64(most)-1)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, 0, fmt.Errorf("read the outbox of %s: %w", target, err)
	}
	if len(keys.Val()) == 0 {
		return nil, 0, nil
	}
	bodies, err := o.rdb.HMGet(ctx, keyPrefix+"body:"+target, keys.Val()...).Result()
	if err != nil {
		return nil, 0, fmt.Errorf("read the outbox of %s: %w", target, err)
	}
	entries := make([]entry, 0, len(bodies))
	for i, key := range keys.Val() {
		raw, _ := bodies[i].(string)
		entries = append(entries, entry{target, key, raw})
	}
	return entries, int(total.Val()), nil
}

// letter is a dead letter as stored.
type letter struct {
	Key  string    `json:"key"`
	Raw  string    `json:"raw"`
	Why  string    `json:"why"`
	Time time.Time `json:"time"`
}

// sent, bury and Drop take entries out.
func (o *Outbox) sent(ctx context.Context, entries []entry) error {
	_, err := o.takeOut(ctx, "sent", entries, nil)
	return err
}

// bury makes dead letters of entries.
func (o *Outbox) bury(ctx context.Context, entries []entry, why string, now time.Time) error {
	_, err := o.takeOut(ctx, "dead", entries, func(e entry) any {
		text, err := json.Marshal(letter{e.key, e.raw, why, now})
		if err != nil {
			panic(err) // plain struct of ours
		}
		return text
	})
	return err
}

func (o *Outbox) takeOut(ctx context.Context, how string, entries []entry, dead func(entry) any) (int, error) {
	taken := 0
	for part := range slices.Chunk(entries, takeAtMost) {
		args := []any{part[0].target, how, maxDead}
		for _, e := range part {
			var text any = ""
			if dead != nil {
				text = dead(e)
			}
			args = append(args, e.key, e.raw, text)
		}
		n, err := o.take.Run(ctx, o.rdb, []string{keyPrefix + "place"}, args...).Int()
		taken += n
		if err != nil {
			return taken, fmt.Errorf("take out of the outbox of %s: %w", part[0].target, err)
		}
	}
	return taken, nil
}

// failed notes how the sending to a target goes; an empty text means well.
func (o *Outbox) failed(ctx context.Context, target string, failures int, text string, next time.Time) error {
	pipe := o.rdb.TxPipeline()
	if text == "" {
		pipe.Del(ctx, keyPrefix+"state:"+target)
	} else {
		pipe.HSet(ctx, keyPrefix+"state:"+target, "failures", failures, "error", text, "next", next.UnixMilli())
		pipe.HIncrBy(ctx, keyPrefix+"count", "failed:"+target, 1)
		pipe.SAdd(ctx, keyPrefix+"targets", target)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("note a failure of %s: %w", target, err)
	}
	return nil
}

// lead says whether who has the leadership, now for ttl; with ttl 0 it is given up.
func (o *Outbox) lead(ctx context.Context, who string, ttl time.Duration) (bool, error) {
	n, err := o.leader.Run(ctx, o.rdb, []string{keyPrefix + "leader"}, who, ttl.Milliseconds()).Int()
	if err != nil {
		return false, fmt.Errorf("lead the notifications: %w", err)
	}
	return n == 1, nil
}

// TargetState is how a target stands.
type TargetState struct {
	Target   string    `json:"target"`
	Waiting  int       `json:"waiting"`
	Oldest   time.Time `json:"oldest,omitzero"` // of what waits
	Dead     int       `json:"dead"`            // dead letters kept
	Failures int       `json:"failures"`        // in a row
	Error    string    `json:"error,omitempty"` // of the last of them
	Next     time.Time `json:"next,omitzero"`   // when it is tried again

	Sent        int64 `json:"sent"` // this and the rest: since the outbox began
	Failed      int64 `json:"failed"`
	DeadLetters int64 `json:"dead_letters"`
	Dropped     int64 `json:"dropped"` // too many waited
}

// States lists all targets that ever had a message.
func (o *Outbox) States(ctx context.Context) ([]TargetState, error) {
	targets, err := o.rdb.SMembers(ctx, keyPrefix+"targets").Result()
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	counts, err := o.rdb.HGetAll(ctx, keyPrefix+"count").Result()
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	states := make([]TargetState, 0, len(targets))
	for _, target := range targets {
		s, err := o.state(ctx, target, counts)
		if err != nil {
			return nil, err
		}
		states = append(states, s)
	}
	slices.SortFunc(states, func(a, b TargetState) int { return cmp.Compare(a.Target, b.Target) })
	return states, nil
}

func (o *Outbox) state(ctx context.Context, target string, counts map[string]string) (TargetState, error) {
	first, total, err := o.waiting(ctx, target, 1)
	if err != nil {
		return TargetState{}, err
	}
	pipe := o.rdb.Pipeline()
	dead, fields := pipe.LLen(ctx, keyPrefix+"dead:"+target), pipe.HGetAll(ctx, keyPrefix+"state:"+target)
	if _, err := pipe.Exec(ctx); err != nil {
		return TargetState{}, fmt.Errorf("read the outbox of %s: %w", target, err)
	}
	count := func(name string) int64 { n, _ := strconv.ParseInt(counts[name+":"+target], 10, 64); return n }
	f := fields.Val()
	s := TargetState{Target: target, Waiting: total, Dead: int(dead.Val()), Error: f["error"],
		Sent: count("sent"), Failed: count("failed"), DeadLetters: count("dead"), Dropped: count("dropped")}
	s.Failures, _ = strconv.Atoi(f["failures"])
	if ms, err := strconv.ParseInt(f["next"], 10, 64); err == nil {
		s.Next = time.UnixMilli(ms)
	}
	var dated struct {
		Time time.Time `json:"time"`
	}
	if len(first) > 0 && first[0].read(&dated) == nil {
		s.Oldest = dated.Time
	}
	return s, nil
}
