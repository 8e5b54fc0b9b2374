package landing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/pkg/sftp"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"

	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/pkg/queue"
)

// SFTPConfig says where the landing zone of another machine is.
type SFTPConfig struct {
	Host       string
	Port       int // 0 means 22
	User       string
	Path       string          // of the landing zone, as the SFTP server sees it
	Key        settings.Secret // private key (PEM); wins over KeyFile
	KeyFile    string          // file with the private key
	KnownHosts string          // known_hosts file with the pinned host key
	Tries      uint            // attempts a file, each on a new connection; 0 means 6
}

const (
	dialTimeout   = 20 * time.Second
	aliveInterval = 15 * time.Second // a peer that does not answer for two of these is gone
	// chunk is under way at once, in many requests. OpenSSH lets 2 MiB be unanswered; more only waits in its way.
	chunk = 1 << 20
	// overlap is sent again when an upload is continued, so that what an interrupted connection left incomplete, which
	// is at most a chunk, is written anew.
	overlap = 4 * chunk
	// compared is how much before that is read back, to tell whether the remains are of this file.
	compared = 64 << 10
)

type sftpSender struct {
	config SFTPConfig
	place  Place
	signer ssh.Signer
	conn   *connection
}

// NewSFTP makes the sender for a landing zone on another machine. It reads key and known_hosts; the connection is
// made by the first Put, and again whenever it broke.
func NewSFTP(c SFTPConfig, p Place) (Sender, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	pem := []byte(c.Key.Reveal())
	if len(pem) == 0 {
		var err error
		if pem, err = os.ReadFile(c.KeyFile); err != nil {
			return nil, fmt.Errorf("read SSH key (SSH_KEY_FILE): %w", err)
		}
	}
	signer, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return nil, fmt.Errorf("SSH key for the landing zone is not usable: %w", err)
	}
	if _, err := knownhosts.NewDB(c.KnownHosts); err != nil {
		return nil, fmt.Errorf("read known hosts (SSH_KNOWN_HOSTS): %w", err)
	}
	if c.Port == 0 {
		c.Port = 22
	}
	if c.Tries == 0 {
		c.Tries = 6
	}
	return &sftpSender{config: c, place: p, signer: signer}, nil
}

func (s *sftpSender) Close() error {
	if s.conn == nil {
		return nil
	}
	err := s.conn.close()
	s.conn = nil
	return err
}

// Put sends a file, going on where a broken connection left off.
func (s *sftpSender) Put(ctx context.Context, localFile, name string) (queue.File, error) {
	if _, err := syncdb.ParseFilename(name); err != nil {
		return queue.File{}, err
	}
	f, err := describe(ctx, localFile, name)
	if err != nil {
		return queue.File{}, err
	}
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		err := s.try(ctx, localFile, f)
		if err != nil {
			s.Close()
		}
		return struct{}{}, err
	}, backoff.WithBackOff(backoff.NewExponentialBackOff()), backoff.WithMaxTries(s.config.Tries))
	if err != nil {
		return queue.File{}, fmt.Errorf("upload %s to %s: %w", name, s.address(), err)
	}
	return f, nil
}

func (s *sftpSender) address() string {
	return net.JoinHostPort(s.config.Host, strconv.Itoa(s.config.Port))
}

func (s *sftpSender) try(ctx context.Context, localFile string, f queue.File) error {
	return s.withConnection(ctx, func() error { return s.upload(localFile, f) })
}

// withConnection connects if need be and does one thing, which the end of ctx breaks off.
func (s *sftpSender) withConnection(ctx context.Context, do func() error) error {
	if s.conn == nil {
		conn, err := s.dial(ctx)
		if ctx.Err() != nil {
			if conn != nil {
				conn.abort()
			}
			return backoff.Permanent(context.Cause(ctx))
		}
		if err != nil {
			return err
		}
		s.conn = conn
	}
	stop := context.AfterFunc(ctx, func() { s.conn.abort() })
	defer stop()
	err := do()
	if ctx.Err() != nil {
		return backoff.Permanent(context.Cause(ctx))
	}
	return err
}

func (s *sftpSender) upload(localFile string, f queue.File) error {
	client := s.conn.sftp
	dir := path.Join(s.config.Path, s.place.Dir())
	if err := client.MkdirAll(dir); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	final, tmp := path.Join(dir, f.Name), path.Join(dir, tempName(f.Name))
	if st, err := client.Lstat(final); err == nil && st.Mode().IsRegular() && st.Size() == f.Size {
		return nil // complete: it was renamed, and its directory is of this run alone
	}
	local, err := openRegular(localFile)
	if err != nil {
		return backoff.Permanent(err)
	}
	defer local.Close()
	remote, err := client.OpenFile(tmp, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return fmt.Errorf("open %s: %w", tmp, err)
	}
	if err := send(local, remote, f.Size); err != nil {
		remote.Close()
		return err
	}
	if err := remote.Close(); err != nil {
		return fmt.Errorf("close %s: %w", tmp, err)
	}
	if err := client.PosixRename(tmp, final); err != nil {
		return fmt.Errorf("rename %s: %w", tmp, err)
	}
	return nil
}

// send brings remote to the content of local, from where its own content ends to be the same.
func send(local io.ReadSeeker, remote *sftp.File, size int64) error {
	from, err := common(local, remote, size)
	if err != nil {
		return err
	}
	if err := remote.Truncate(from); err != nil {
		return fmt.Errorf("cut remains of an earlier upload: %w", err)
	}
	if _, err := local.Seek(from, io.SeekStart); err != nil {
		return err
	}
	if _, err := remote.Seek(from, io.SeekStart); err != nil {
		return err
	}
	buf := make([]byte, min(chunk, max(size-from, 1)))
	for at := from; at < size; {
		part := buf[:min(size-at, int64(len(buf)))]
		if _, err := io.ReadFull(local, part); err != nil {
			return backoff.Permanent(fmt.Errorf("the file changed while it was sent, at %d of %d bytes: %w", at, size, err))
		}
		if _, err := remote.Write(part); err != nil {
			return fmt.Errorf("%d of %d bytes sent: %w", at, size, err)
		}
		at += int64(len(part))
	}
	if err := remote.Sync(); err != nil && !unsupported(err) {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}

// common returns how much of remote, from its beginning, is already what local has.
func common(local io.ReadSeeker, remote *sftp.File, size int64) (int64, error) {
	st, err := remote.Stat()
	if err != nil {
		return 0, err
	}
	from := st.Size() - overlap
	if from <= 0 || from > size {
		return 0, nil
	}
	n := min(from, compared)
	theirs, ours := make([]byte, n), make([]byte, n)
	if _, err := remote.ReadAt(theirs, from-n); err != nil {
		return 0, fmt.Errorf("read back: %w", err)
	}
	if _, err := local.Seek(from-n, io.SeekStart); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(local, ours); err != nil {
		return 0, err
	}
	if !bytes.Equal(theirs, ours) {
		return 0, nil
	}
	return from, nil
}

func unsupported(err error) bool {
	var status *sftp.StatusError
	return errors.As(err, &status) && status.FxCode() == sftp.ErrSSHFxOpUnsupported
}

// connection is an SFTP session over SSH with a watch that ends it when the peer is silent.
type connection struct {
	tcp  net.Conn
	ssh  *ssh.Client
	sftp *sftp.Client
	done chan struct{}
}

func (s *sftpSender) dial(ctx context.Context) (*connection, error) {
	known, err := knownhosts.NewDB(s.config.KnownHosts)
	if err != nil {
		return nil, backoff.Permanent(fmt.Errorf("read known hosts (SSH_KNOWN_HOSTS): %w", err))
	}
	config := &ssh.ClientConfig{
		User:              s.config.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(s.signer)},
		HostKeyCallback:   known.HostKeyCallback(),
		HostKeyAlgorithms: known.HostKeyAlgorithms(s.address()),
		Timeout:           dialTimeout,
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	tcp, err := dialer.DialContext(ctx, "tcp", s.address())
	if err != nil {
		return nil, err
	}
	_ = tcp.SetDeadline(time.Now().Add(dialTimeout)) // the handshake must end too
	stop := context.AfterFunc(ctx, func() { tcp.Close() })
	defer stop()
	c, channels, requests, err := ssh.NewClientConn(tcp, s.address(), config)
	if err != nil {
		tcp.Close()
		return nil, s.explain(err)
	}
	_ = tcp.SetDeadline(time.Time{})
	client := ssh.NewClient(c, channels, requests)
	session, err := sftp.NewClient(client, sftp.UseConcurrentWrites(true), sftp.MaxConcurrentRequestsPerFile(64))
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("start SFTP: %w", err)
	}
	conn := &connection{tcp: tcp, ssh: client, sftp: session, done: make(chan struct{})}
	go conn.watch()
	return conn, nil
}

// explain makes the two mistakes of an installation plain, which no new attempt mends.
func (s *sftpSender) explain(err error) error {
	var denied *ssh.ServerAuthError
	switch {
	case knownhosts.IsHostKeyChanged(err):
		return backoff.Permanent(fmt.Errorf("the host key is not the one pinned in %s: if it was replaced on purpose, replace the line there: %w", s.config.KnownHosts, err))
	case knownhosts.IsHostUnknown(err):
		return backoff.Permanent(fmt.Errorf("no host key is pinned in %s: add the line that ssh-keyscan -p %d %s gives, after comparing it: %w",
			s.config.KnownHosts, s.config.Port, s.config.Host, err))
	case errors.As(err, &denied) || isAuth(err):
		return backoff.Permanent(fmt.Errorf("user %s is refused: is its public key in authorized_keys there? %w", s.config.User, err))
	}
	return err
}

func isAuth(err error) bool {
	return bytes.Contains([]byte(err.Error()), []byte("unable to authenticate"))
}

func (c *connection) watch() {
	tick := time.NewTicker(aliveInterval)
	defer tick.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-tick.C:
		}
		answer := make(chan error, 1)
		go func() {
			_, _, err := c.ssh.SendRequest("keepalive@openssh.com", true, nil)
			answer <- err
		}()
		select {
		case <-c.done:
			return
		case err := <-answer:
			if err != nil {
				return
			}
		case <-time.After(aliveInterval):
			c.abort()
			return
		}
	}
}

// abort ends every call that is under way.
func (c *connection) abort() { c.tcp.Close() }

func (c *connection) close() error {
	close(c.done)
	err := errors.Join(c.sftp.Close(), c.ssh.Close())
	c.tcp.Close()
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, fs.ErrClosed) {
		return nil
	}
	return err
}
