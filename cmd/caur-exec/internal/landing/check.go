package landing

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"

	"github.com/cenkalti/backoff/v5"
)

// checkName is the file that Check makes and removes. One that stays because the connection broke is no upload: Zone.Sweep
// removes it.
const checkName = ".check-caur"

// Check writes to the landing zone what Put would: a file in its directory, which is removed again.
func (l *local) Check(context.Context) error {
	if err := os.MkdirAll(l.root, 0o755); err != nil {
		return fmt.Errorf("landing zone: %w", err)
	}
	f, err := os.CreateTemp(l.root, checkName)
	if err != nil {
		return fmt.Errorf("landing zone: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// Check connects, and writes to the landing zone what Put would. Nothing is tried twice.
func (s *sftpSender) Check(ctx context.Context) error {
	err := s.withConnection(ctx, func() error {
		if st, err := s.conn.sftp.Stat(s.config.Path); err != nil {
			return fmt.Errorf("%s: %w", s.config.Path, err)
		} else if !st.IsDir() {
			return fmt.Errorf("%s is no directory", s.config.Path)
		}
		name := path.Join(s.config.Path, checkName)
		f, err := s.conn.sftp.Create(name)
		if err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		return errors.Join(f.Close(), s.conn.sftp.Remove(name))
	})
	var permanent *backoff.PermanentError
	if errors.As(err, &permanent) {
		err = permanent.Unwrap()
	}
	if err != nil {
		return fmt.Errorf("landing zone on %s: %w", s.address(), err)
	}
	return nil
}
