package childproc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// feeder copies a reader to the child's standard input. os/exec would wait for that copy for ever when the reader blocks
// although the child is gone; the feeder waits for pipeDelay.
type feeder struct {
	from io.Reader
	to   io.WriteCloser // nil: nothing to copy
	done chan error
}

func newFeeder(cmd *exec.Cmd, from io.Reader) (*feeder, error) {
	if from == nil {
		return &feeder{}, nil
	}
	if f, ok := from.(*os.File); ok {
		cmd.Stdin = f
		return &feeder{}, nil
	}
	to, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	return &feeder{from: from, to: to, done: make(chan error, 1)}, nil
}

func (f *feeder) start() {
	if f.to == nil {
		return
	}
	go func() {
		_, err := io.Copy(f.to, f.from)
		if errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed) {
			err = nil // the child did not want all of it
		}
		if closeErr := f.to.Close(); err == nil && !errors.Is(closeErr, os.ErrClosed) {
			err = closeErr
		}
		f.done <- err
	}()
}

func (f *feeder) abandon() {
	if f.to != nil {
		_ = f.to.Close()
	}
}

func (f *feeder) wait() error {
	if f.to == nil {
		return nil
	}
	timer := time.NewTimer(pipeDelay)
	defer timer.Stop()
	select {
	case err := <-f.done:
		if err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
	case <-timer.C:
	}
	return nil
}
