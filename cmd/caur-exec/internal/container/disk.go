package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"
)

// ErrDisk is the cause of the end of a command that wrote more than Limits.DiskMiB.
var ErrDisk = errors.New("more was written to the disk than a build may")

// Disk use is looked at after a pause that is never shorter than this, nor than restFactor times what the last look took: a
// look walks through everything that was written.
const (
	diskPause  = 2 * time.Second
	restFactor = 10
)

// watchDisk ends the context that it returns when size gives more than limitMiB, until stop is called. A size that cannot be
// had now is asked for again: files vanish while they are counted.
func watchDisk(ctx context.Context, limitMiB int64, size func(context.Context) (int64, error)) (watched context.Context, stop func()) {
	if limitMiB <= 0 {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		pause := diskPause
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			start := time.Now()
			if n, err := size(ctx); err == nil && n > limitMiB<<20 {
				cancel(fmt.Errorf("%w: %d MiB, the limit is %d MiB (BUILDER_LIMITS_DISK)", ErrDisk, n>>20, limitMiB))
				return
			}
			pause = max(diskPause, restFactor*time.Since(start))
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-done
	}
}

// used is what the files below the directories take, in bytes of disk; a file with several names counts once. What vanishes
// meanwhile or cannot be read is left out.
func used(ctx context.Context, dirs ...string) int64 {
	type file struct{ device, inode uint64 }
	seen := map[file]bool{}
	total := int64(0)
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				return nil // gone, or not ours to look into
			}
			info, err := entry.Info()
			if err != nil {
				return nil
			}
			s, ok := info.Sys().(*syscall.Stat_t)
			if !ok {
				return nil
			}
			if s.Nlink > 1 && !info.IsDir() {
				if at := (file{s.Dev, s.Ino}); seen[at] {
					return nil
				} else {
					seen[at] = true
				}
			}
			total += s.Blocks * 512
			return nil
		})
	}
	return total
}

// writable are the directories of the machine that a command may fill.
func (s Spec) writable() (dirs []string) {
	for _, m := range s.Mounts {
		if !m.ReadOnly {
			dirs = append(dirs, m.Source)
		}
	}
	return dirs
}
