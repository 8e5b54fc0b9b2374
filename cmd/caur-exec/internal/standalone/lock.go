package standalone

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// takeLock locks a file until it is closed or the process ends. The file holds our process number, for the message that
// a second process gives; it stays, because removing it would let two processes lock two files of one name.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		owner, _ := io.ReadAll(io.LimitReader(f, 20)) // only for the message
		return nil, fmt.Errorf("%w by process %s (lock file %s): stop that one first, or choose another data directory",
			ErrInUse, strings.TrimSpace(string(owner)), path)
	}
	if err = f.Truncate(0); err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return f, nil
}

// orphanLimit bounds how long a server that a crash has left behind may take to end.
const orphanLimit = 30 * time.Second

// clearSocket removes what an owner that crashed has left: the socket file, and behind it perhaps a server that still
// writes to the data. We hold the lock, so neither belongs to anyone.
func clearSocket(ctx context.Context, path string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	case err != nil:
		return fmt.Errorf("look at the old socket: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(orphanLimit)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "SHUTDOWN NOSAVE\r\n"); err != nil {
		return fmt.Errorf("end the server that was left behind: %w", err)
	}
	// It answers only when it refuses; it closes the connection when it has ended.
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil {
		return fmt.Errorf("the server that was left behind does not end: %s", strings.TrimSpace(answer))
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("end the server that was left behind: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
