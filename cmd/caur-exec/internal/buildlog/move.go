package buildlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// errMoved ends the tail of a log whose END was never read here: a file has it all.
var errMoved = errors.New("the log was moved to a file")

// Move puts the text of all logs that ended a while ago into files and then takes it out of Redis, which keeps a line about
// each. It gives how many were moved. A log that cannot be moved stays in Redis and is in the error; the next Move tries it again.
func (s *Store) Move(ctx context.Context) (moved int, err error) {
	if s.disk == nil {
		return 0, nil
	}
	if err = os.MkdirAll(s.disk.root, 0o755); err != nil {
		return 0, fmt.Errorf("move logs to files: %w", err)
	}
	keys, err := s.inRedis(ctx)
	if noPermission(err) {
		err = fmt.Errorf("%w: %w", ErrForbidden, err)
	}
	if err != nil {
		return 0, fmt.Errorf("look for logs to move to files: %w", err)
	}
	var problems []error
	for _, k := range keys {
		if ctx.Err() != nil {
			return moved, context.Cause(ctx)
		}
		done, err := s.move(ctx, k)
		if done {
			moved++
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("move log %s to a file: %w", k, err))
		}
		if noPermission(err) {
			return moved, fmt.Errorf("move log %s to a file: %w: %w", k, ErrForbidden, err)
		}
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			break // the others would fail, too
		}
	}
	return moved, errors.Join(problems...)
}

// Sweep removes files of logs that ended longer than Options.Retention ago.
func (s *Store) Sweep() (removed int, err error) {
	if s.disk == nil {
		return 0, nil
	}
	if removed, err = s.disk.sweep(time.Now(), s.opt.Retention); err != nil && !missing(err) {
		return removed, fmt.Errorf("remove old log files: %w", err)
	}
	return removed, nil
}

// Keep moves and sweeps until ctx ends. Errors are told, and tried again; that Redis does not let its user take logs out ends it.
func (s *Store) Keep(ctx context.Context, tell func(error)) error {
	if s.disk == nil {
		return nil
	}
	for {
		_, err := s.Move(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			tell(err)
		}
		if errors.Is(err, ErrForbidden) {
			return nil
		}
		if _, err := s.Sweep(); err != nil {
			tell(err)
		}
		if !wait(ctx, s.opt.MoveInterval) {
			return nil
		}
	}
}

// noPermission says that the ACL of Redis forbids something, by itself or within a script.
func noPermission(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "NOPERM") || strings.Contains(err.Error(), "The user executing the script can't") || strings.Contains(err.Error(), "ACL failure in script"))
}

// inRedis lists the logs whose text, or some of it, is in Redis.
func (s *Store) inRedis(ctx context.Context) ([]Key, error) {
	var mu sync.Mutex
	found := map[Key]bool{} // SCAN may give a key twice
	scan := func(ctx context.Context, c redis.Cmdable) error {
		for cursor := uint64(0); ; {
			names, next, err := c.Scan(ctx, cursor, tag+":data:*", 1000).Result()
			if err != nil {
				return err
			}
			mu.Lock()
			for _, name := range names {
				if k, ok := keyOf(name); ok {
					found[k] = true
				}
			}
			mu.Unlock()
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	}
	var err error
	if cluster, ok := s.rdb.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return scan(ctx, c) })
	} else {
		err = scan(ctx, s.rdb)
	}
	keys := make([]Key, 0, len(found))
	for k := range found {
		keys = append(keys, k)
	}
	return keys, err
}

// keyOf reads what dataKey wrote.
func keyOf(name string) (Key, bool) {
	pkgbase, stamp, ok := strings.Cut(strings.TrimPrefix(name, tag+":data:"), ":")
	number, err := strconv.ParseInt(stamp, 10, 64)
	return Key{pkgbase, number}, ok && err == nil
}

// move is Move for one log. A crash anywhere leaves it whole in Redis, in the file, or in both.
func (s *Store) move(ctx context.Context, k Key) (done bool, err error) {
	info, err := s.redisInfo(ctx, k)
	if errors.Is(err, ErrNotFound) {
		return false, nil // it has expired
	}
	if err != nil || info.Ended.IsZero() || time.Since(info.Ended) < s.opt.MoveAfter {
		return false, err
	}
	if !s.disk.has(info) {
		if err = s.writeFile(ctx, info); err != nil {
			return false, err
		}
	}
	code, err := s.scripts.moved.Run(ctx, s.rdb, scriptKeys(k), info.token, info.Size).Int()
	if err != nil {
		return false, err
	}
	return code == 1, nil // else it is written again, and will be moved when it has ended
}

func (s *Store) writeFile(ctx context.Context, info Info) error {
	marks, err := s.Times(ctx, info.Key)
	if err != nil {
		return err
	}
	f := s.followEnded(ctx, info)
	defer f.Close()
	return s.disk.write(info, io.LimitReader(f, info.Size), marks)
}

// piecesAt gives a few pieces, the first of which holds the byte at offset, from the file or from Redis.
func (s *Store) piecesAt(ctx context.Context, info Info, offset int64) ([]entry, error) {
	if s.disk == nil {
		return s.entriesAt(ctx, info.Key, offset)
	}
	if offset < info.moved {
		return s.disk.read(info.Key, offset)
	}
	entries, err := s.entriesAt(ctx, info.Key, offset)
	for _, e := range entries {
		if !e.end && e.offset <= offset && offset < e.offset+int64(len(e.data)) {
			return entries, err
		}
	}
	// It was moved since info was read, or Redis does not answer.
	if kept, diskErr := s.disk.read(info.Key, offset); diskErr == nil {
		return kept, nil
	} else if !missing(diskErr) {
		err = errors.Join(err, diskErr)
	}
	return entries, err
}
