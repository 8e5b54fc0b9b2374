package redisconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

const (
	keepAliveEvery = 15 * time.Second
	keepAliveLimit = 15 * time.Second
)

// tunnel is an SSH connection that is made when it is first needed, and again when it has broken.
type tunnel struct {
	addr   string
	config *ssh.ClientConfig

	mu      sync.Mutex
	client  *ssh.Client // nil: not connected
	closed  bool
	running sync.WaitGroup // keep-alives and copies
}

func newTunnel(c Config) (*tunnel, error) {
	if c.SSHUser == "" {
		return nil, fmt.Errorf("%w: REDIS_SSH_USER is not set, but REDIS_SSH_HOST is", ErrConfig)
	}
	signer, err := signer(c)
	if err != nil {
		return nil, err
	}
	addr := net.JoinHostPort(c.SSHHost, strconv.Itoa(c.SSHPort))
	hosts, err := knownhosts.NewDB(c.KnownHosts)
	if err != nil {
		return nil, fmt.Errorf("%w: SSH_KNOWN_HOSTS: %w; make the file with a line for %s (ssh-keyscan prints it; compare it with the server's)",
			ErrConfig, err, knownhosts.Normalize(addr))
	}
	return &tunnel{addr: addr, config: &ssh.ClientConfig{
		User: c.SSHUser, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, Timeout: dialTimeout,
		HostKeyCallback: pinned(hosts, c.KnownHosts), HostKeyAlgorithms: hosts.HostKeyAlgorithms(addr),
	}}, nil
}

// signer reads the private key.
func signer(c Config) (ssh.Signer, error) {
	pem, from := []byte(c.SSHKey.Reveal()), "SSH_KEY"
	if c.SSHKey.IsZero() {
		var err error
		from = "SSH_KEY_FILE " + c.SSHKeyFile
		if pem, err = os.ReadFile(c.SSHKeyFile); err != nil {
			return nil, fmt.Errorf("%w: SSH_KEY_FILE: %w", ErrConfig, err)
		}
	}
	s, err := ssh.ParsePrivateKey(append(pem, '\n')) // a pasted key often lacks its last newline
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, fmt.Errorf("%w: %s: the key has a passphrase; use one without", ErrConfig, from)
	case err != nil: // the error may quote the key
		return nil, fmt.Errorf("%w: %s: it holds no private key in PEM or OpenSSH format", ErrConfig, from)
	}
	return s, nil
}

// pinned accepts a host key that known_hosts has, and says for any other what to do.
func pinned(hosts *knownhosts.HostKeyDB, file string) ssh.HostKeyCallback {
	check := hosts.HostKeyCallback()
	return func(host string, remote net.Addr, key ssh.PublicKey) error {
		err := check(host, remote, key)
		line := knownhosts.Line([]string{host}, key)
		shown := fmt.Sprintf("%s has the key %s %s", host, key.Type(), ssh.FingerprintSHA256(key))
		switch {
		case err == nil:
			return nil
		case knownhosts.IsHostKeyChanged(err):
			return fmt.Errorf("%w: %s, but %s pins another: someone may be in between. If the server was set up anew, replace its line by: %s",
				ErrHostKey, shown, file, line)
		case knownhosts.IsHostUnknown(err):
			return fmt.Errorf("%w: %s, which %s does not have. If it is the server's (ssh-keygen -lf there), add this line: %s",
				ErrHostKey, shown, file, line)
		}
		return fmt.Errorf("%w: %s: %w", ErrHostKey, shown, err)
	}
}

// dial opens a connection from the SSH server to addr. A broken SSH connection is replaced once.
func (t *tunnel) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(addr); err == nil && host == "localhost" {
		addr = net.JoinHostPort("127.0.0.1", port) // servers permit forwards by the exact text
	}
	for attempt := 0; ; attempt++ {
		client, fresh, err := t.connect(ctx)
		if err != nil {
			return nil, err
		}
		channel, err := client.DialContext(ctx, network, addr)
		if err == nil {
			return t.local(channel)
		}
		var refused *ssh.OpenChannelError
		switch {
		case errors.As(err, &refused) && refused.Reason == ssh.Prohibited:
			return nil, fmt.Errorf("%w: the SSH server %s does not permit a forward to %s: allow it there (PermitOpen)", ErrAuth, t.addr, addr)
		case errors.As(err, &refused) || fresh || attempt > 0 || ctx.Err() != nil:
			return nil, fmt.Errorf("SSH server %s: connect to %s: %w", t.addr, addr, err)
		}
		t.drop(client)
	}
}

var errClosed = errors.New("the SSH connection is closed")

// connect gives the SSH connection; fresh says that it was made just now. Callers wait for each other: one handshake
// serves all.
func (t *tunnel) connect(ctx context.Context) (client *ssh.Client, fresh bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, false, errClosed
	}
	if t.client != nil {
		return t.client, false, nil
	}
	nd := net.Dialer{KeepAlive: keepAliveEvery}
	conn, err := nd.DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, false, fmt.Errorf("SSH server: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // a handshake knows no context
	sshConn, channels, requests, err := ssh.NewClientConn(conn, t.addr, t.config)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, false, t.explain(ctx, err)
	}
	t.client = ssh.NewClient(sshConn, channels, requests)
	t.running.Add(1)
	go t.keepAlive(t.client)
	return t.client, true, nil
}

func (t *tunnel) explain(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("SSH server %s: no answer: %w", t.addr, context.Cause(ctx))
	case errors.Is(err, ErrHostKey):
		return err
	case strings.Contains(err.Error(), "unable to authenticate"):
		return fmt.Errorf("%w: the SSH server %s does not let the user %s in with this key: add its public key to authorized_keys there, or check SSH_KEY_FILE and REDIS_SSH_USER",
			ErrAuth, t.addr, t.config.User)
	}
	return fmt.Errorf("SSH server %s: %w", t.addr, err)
}

// keepAlive finds a connection that died without a word, and ends with the connection.
func (t *tunnel) keepAlive(client *ssh.Client) {
	defer t.running.Done()
	ended := make(chan struct{})
	t.running.Add(1)
	go func() {
		defer t.running.Done()
		defer close(ended)
		_ = client.Wait()
		t.drop(client)
	}()
	for {
		select {
		case <-ended:
			return
		case <-time.After(keepAliveEvery):
		}
		late := time.AfterFunc(keepAliveLimit, func() { _ = client.Close() })
		_, _, err := client.SendRequest("keepalive@openssh.com", true, nil)
		late.Stop()
		if err != nil {
			_ = client.Close()
		}
	}
}

// drop forgets a connection, so that the next dial makes another.
func (t *tunnel) drop(client *ssh.Client) {
	_ = client.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.client == client {
		t.client = nil
	}
}

// Close ends the connection and waits for everything that uses it.
func (t *tunnel) Close() error {
	t.mu.Lock()
	t.closed = true
	client := t.client
	t.client = nil
	t.mu.Unlock()
	if client != nil {
		_ = client.Close() // an error here only says that it was broken already
	}
	t.running.Wait()
	return nil
}

// local joins a channel to one end of a socket pair and gives the other: SSH channels know no deadlines, which the Redis
// library sets before every read and write, and it sees on a socket at once that the other side is gone.
func (t *tunnel) local(channel net.Conn) (net.Conn, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, errors.Join(err, channel.Close())
	}
	ours, err := fileConn(fds[0])
	theirs, err2 := fileConn(fds[1])
	if err := errors.Join(err, err2); err != nil {
		return nil, errors.Join(err, channel.Close())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, errors.Join(errClosed, ours.Close(), theirs.Close(), channel.Close())
	}
	closeBoth := func() {
		_ = ours.Close()
		_ = channel.Close()
	}
	t.running.Go(func() {
		defer closeBoth()
		_, _ = io.Copy(channel, ours)
	})
	t.running.Go(func() {
		defer closeBoth()
		_, _ = io.Copy(ours, channel)
	})
	return theirs, nil
}

func fileConn(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "redis over ssh")
	defer func() { _ = f.Close() }() // FileConn has its own duplicate
	return net.FileConn(f)
}
