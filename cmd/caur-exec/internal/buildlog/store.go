package buildlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// ChunkSize is the most bytes of a log that one stored chunk holds.
const ChunkSize = 128 << 10

// Defaults of [Options].
const (
	DefaultRetention = 7 * 24 * time.Hour
	DefaultMaxBytes  = 128 << 20
)

var (
	// ErrNotFound says that there is no such log: never written, or expired.
	ErrNotFound = errors.New("no such log")
	// ErrSuperseded says that another writer has taken the log over, which
	// happens when the job's lease was lost and another builder runs it.
	ErrSuperseded = errors.New("another builder writes this log now")
	// ErrForbidden says that the user of Redis may read logs and not take them out.
	ErrForbidden = errors.New("the Redis user of this role may not take logs out of Redis")
	// ErrClosed says that the writer, follower or store was closed.
	ErrClosed = errors.New("log is closed")
)

// Key names a log.
type Key struct {
	Pkgbase   string
	Timestamp int64 // Unix milliseconds, the job's timestamp
}

// Options of a Store. The zero value has every default.
type Options struct {
	// Retention is how long a log is kept after its last byte
	// (LOGS_RETENTION, default [DefaultRetention]).
	Retention time.Duration
	// MaxBytes is the most that is kept of one log; the end of a longer one is
	// kept too, after a line that says what was left out (default [DefaultMaxBytes]).
	MaxBytes int64
	// FlushInterval is the longest time that a byte waits in a writer for
	// company (default 200 ms).
	FlushInterval time.Duration
	// StallLimit is how long a writer holds a build back while Redis is out of
	// reach before it gives output up, and how long followers wait for Redis to
	// come back (default one minute).
	StallLimit time.Duration
	// Builder is the name that a writer leaves in the log's Info.
	Builder string
	// Live says whether the job of a log may still write to it: it waits, runs
	// or is published. Asked every LiveInterval (default 15 s) for a followed
	// log that has no END and does not grow. Without it only END ends a follower.
	Live         func(context.Context, Key) (bool, error)
	LiveInterval time.Duration
	// Path is the folder to which ended logs are moved (LOGS_PATH); without it they stay in Redis. All processes that serve a
	// log must have the same folder.
	Path string
	// MoveAfter is how long after its END a log is moved: others may just be reading its end (default 1 minute).
	// MoveInterval is how often Keep looks (default 1 minute).
	MoveAfter, MoveInterval time.Duration
}

func (o Options) withDefaults() Options {
	if o.Retention <= 0 {
		o.Retention = DefaultRetention
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.FlushInterval <= 0 {
		o.FlushInterval = 200 * time.Millisecond
	}
	if o.StallLimit <= 0 {
		o.StallLimit = time.Minute
	}
	if o.LiveInterval <= 0 {
		o.LiveInterval = 15 * time.Second
	}
	if o.MoveAfter <= 0 {
		o.MoveAfter = time.Minute
	}
	if o.MoveInterval <= 0 {
		o.MoveInterval = time.Minute
	}
	return o
}

// Store reads and writes logs. It is safe for concurrent use.
type Store struct {
	rdb     redis.UniversalClient
	opt     Options
	scripts scripts
	codec   *codec
	hub     *hub
	disk    *disk         // nil: logs stay in Redis
	history chan struct{} // one slot for each history read under way
}

// historyReads bounds what followers that lag behind cost in memory:
// historyReads × historyChunks × ChunkSize.
const (
	historyReads  = 16
	historyChunks = 2
)

// NewStore returns a store on an open client; closing that stays with the caller.
func NewStore(rdb redis.UniversalClient, opt Options) *Store {
	s := &Store{
		rdb: rdb, opt: opt.withDefaults(), scripts: loadScripts(), codec: newCodec(),
		history: make(chan struct{}, historyReads),
	}
	s.hub = newHub(s)
	if s.opt.Path != "" {
		s.disk = newDisk(s.opt.Path, s.codec)
	}
	return s
}

// Close ends all followers with [ErrClosed]. Writers are not touched.
func (s *Store) Close() { s.hub.close() }

// Info is what is known of a log without reading it.
type Info struct {
	Key     Key
	Size    int64     // bytes
	Started time.Time // first writer opened it
	Builder string    // last writer
	Ended   time.Time // zero without END
	Status  int       // number of executor.md section 1; meaningless without END
	token   int64
	moved   int64 // that many bytes are in a file and not in Redis
}

// Info describes one log; [ErrNotFound] when there is none.
func (s *Store) Info(ctx context.Context, k Key) (Info, error) {
	info, err := s.redisInfo(ctx, k)
	if err == nil || s.disk == nil {
		return info, err
	}
	kept, diskErr := s.disk.info(k) // Redis has lost it, or does not answer
	switch {
	case diskErr == nil:
		return kept, nil
	case missing(diskErr):
		return Info{}, err
	}
	return Info{}, errors.Join(err, diskErr)
}

func (s *Store) redisInfo(ctx context.Context, k Key) (Info, error) {
	fields, err := s.rdb.HGetAll(ctx, metaKey(k)).Result()
	if err != nil {
		return Info{}, fmt.Errorf("look up log %s: %w", k, err)
	}
	if fields["token"] == "" {
		return Info{}, fmt.Errorf("log %s: %w", k, ErrNotFound)
	}
	number := func(field string) int64 {
		n, _ := strconv.ParseInt(fields[field], 10, 64) // written by our scripts; absent is 0
		return n
	}
	info := Info{Key: k, Size: number("size"), Builder: fields["builder"], token: number("token"), moved: number("moved"),
		Started: time.UnixMilli(number("started")), Status: int(number("status"))}
	if fields["status"] != "" {
		info.Ended = time.UnixMilli(number("ended"))
	}
	return info, nil
}

// Newest gives the newest log of a pkgbase; [ErrNotFound] when it has none.
func (s *Store) Newest(ctx context.Context, pkgbase string) (Key, error) {
	infos, err := s.List(ctx, pkgbase, 1)
	if err != nil {
		return Key{}, err
	}
	if len(infos) == 0 {
		return Key{}, fmt.Errorf("log of %s: %w", pkgbase, ErrNotFound)
	}
	return infos[0].Key, nil
}

// List gives the newest logs of a pkgbase, newest first, at most limit. Expired
// logs are taken out of the index on the way.
func (s *Store) List(ctx context.Context, pkgbase string, limit int) ([]Info, error) {
	infos, err := s.listRedis(ctx, pkgbase, limit)
	if s.disk == nil {
		return infos, err
	}
	stamps, diskErr := s.disk.stamps(pkgbase)
	if diskErr != nil {
		return nil, errors.Join(err, fmt.Errorf("list logs of %s: %w", pkgbase, diskErr))
	}
	slices.SortFunc(stamps, func(a, b int64) int { return cmp.Compare(b, a) })
	for _, stamp := range stamps[:min(len(stamps), limit)] {
		if slices.ContainsFunc(infos, func(i Info) bool { return i.Key.Timestamp == stamp }) {
			continue
		}
		if kept, err := s.disk.info(Key{pkgbase, stamp}); err == nil { // else it was just removed, or reading it will say why not
			infos = append(infos, kept)
		}
	}
	if len(infos) == 0 {
		return nil, err
	}
	slices.SortFunc(infos, func(a, b Info) int { return cmp.Compare(b.Key.Timestamp, a.Key.Timestamp) })
	return infos[:min(len(infos), limit)], nil
}

func (s *Store) listRedis(ctx context.Context, pkgbase string, limit int) ([]Info, error) {
	var infos []Info
	for len(infos) < limit {
		// Found entries stay and missing ones are removed, so those that were
		// already seen come first.
		stamps, err := s.rdb.ZRevRange(ctx, indexKey(pkgbase), int64(len(infos)), int64(limit-1)).Result()
		if err != nil {
			return nil, fmt.Errorf("list logs of %s: %w", pkgbase, err)
		}
		if len(stamps) == 0 {
			break
		}
		for _, stamp := range stamps {
			ts, err := strconv.ParseInt(stamp, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("list logs of %s: index has %q", pkgbase, stamp)
			}
			info, err := s.redisInfo(ctx, Key{pkgbase, ts})
			switch {
			case errors.Is(err, ErrNotFound):
				if err := s.rdb.ZRem(ctx, indexKey(pkgbase), stamp).Err(); err != nil {
					return nil, fmt.Errorf("forget an expired log of %s: %w", pkgbase, err)
				}
			case err != nil:
				return nil, err
			default:
				infos = append(infos, info)
			}
		}
	}
	return infos, nil
}
