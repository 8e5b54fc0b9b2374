package redisconn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

const dialTimeout = 10 * time.Second

// dialer makes the connections of one client. It remembers why the last one failed, since the Redis library turns some
// failures into others on their way up (a cancelled context, "all sentinels are down").
type dialer struct {
	target *target
	tunnel *tunnel // nil: direct

	mu   sync.Mutex
	last error
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := d.open(ctx, network, addr)
	d.mu.Lock()
	d.last = err
	d.mu.Unlock()
	return conn, err
}

func (d *dialer) lastError() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

func (d *dialer) open(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var conn net.Conn
	var err error
	if d.tunnel != nil {
		conn, err = d.tunnel.dial(ctx, network, addr)
	} else {
		nd := net.Dialer{KeepAlive: 30 * time.Second}
		conn, err = nd.DialContext(ctx, network, addr)
	}
	if err != nil || d.target.tls == nil {
		return conn, err
	}
	conf := d.target.tls.Clone()
	if conf.ServerName == "" {
		if conf.ServerName, _, err = net.SplitHostPort(addr); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	secure := tls.Client(conn, conf)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		if errors.Is(err, context.DeadlineExceeded) { // a plain Redis waits for the rest of what it takes for a command
			return nil, fmt.Errorf("TLS with %s: no answer: if the server does not speak TLS on this port, use redis://: %w", addr, err)
		}
		return nil, fmt.Errorf("TLS with %s: %w", addr, err)
	}
	return secure, nil
}

// minMajor and minMinor are the oldest Redis with what the queue needs (GETDEL, GT for expiry, streams with MINID).
const minMajor, minMinor = 6, 2

// check asks the server for its version, which shows at once whether it is there, lets us in, and is new enough.
func check(ctx context.Context, rdb redis.UniversalClient, t *target, d *dialer) error {
	info, err := rdb.Info(ctx, "server").Result()
	if err != nil && strings.HasPrefix(err.Error(), "NOPERM") {
		return nil // ACL came with 6.0, and whoever writes one for caur starts from ours; the queue says if more is missing
	}
	if err != nil {
		return explain(err, t, d)
	}
	if t.kind == kindCluster {
		state, err := rdb.ClusterInfo(ctx).Result()
		switch {
		case err != nil && !strings.HasPrefix(err.Error(), "NOPERM"):
			return explain(err, t, d)
		case err == nil && field(state, "cluster_state") != "ok":
			return fmt.Errorf("%w: %s: it says cluster_state:%s: not all of its slots are served", ErrUnreachable, t, field(state, "cluster_state"))
		}
	}
	version := field(info, "redis_version")
	if field(info, "server_name") == "valkey" || field(info, "valkey_version") != "" {
		return nil
	}
	var major, minor int
	if n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor); n == 2 && (major < minMajor || major == minMajor && minor < minMinor) {
		return fmt.Errorf("%w: %s runs version %s; install Redis %d.%d or newer, or Valkey", ErrVersion, t, version, minMajor, minMinor)
	}
	return nil
}

func field(info, name string) string {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// accessAdvice is what to do about the errors of AUTH and HELLO, found by their beginning.
var accessAdvice = [...]struct{ code, advice string }{
	{"WRONGPASS", "it does not know this user or password: check REDIS_USERNAME and REDIS_PASSWORD, or those in REDIS_URL"},
	{"NOAUTH", "it wants a password: set REDIS_PASSWORD"},
	{"NOPERM", "the user may not do this: check its ACL"},
}

// explain says what was tried, what happened, and what to do.
func explain(err error, t *target, d *dialer) error {
	text := err.Error()
	for _, a := range accessAdvice {
		if strings.Contains(text, a.code) {
			return fmt.Errorf("%w: %s: %s", ErrAuth, t, a.advice)
		}
	}
	if strings.HasPrefix(text, "LOADING") {
		return fmt.Errorf("%w: %s: it is still loading its data: try again in a moment", ErrUnreachable, t)
	}
	if dialErr := d.lastError(); dialErr != nil {
		err = dialErr
	}
	if errors.Is(err, ErrHostKey) || errors.Is(err, ErrConfig) || errors.Is(err, ErrAuth) {
		return err
	}
	return fmt.Errorf("%w: %s%s: %w%s", ErrUnreachable, t, d.through(), err, advice(err, t))
}

func (d *dialer) through() string {
	if d.tunnel == nil {
		return ""
	}
	return " through SSH " + d.tunnel.addr
}

// advice ends the message of a connection that failed.
func advice(err error, t *target) string {
	var unknownCA x509.UnknownAuthorityError
	var wrongName x509.HostnameError
	var dns *net.DNSError
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &unknownCA):
		return "; name the CA's certificate in REDIS_TLS_CA"
	case errors.As(err, &wrongName):
		return "; use a host name of the certificate, or say it with ?servername= in REDIS_URL"
	case errors.As(err, &header):
		return "; the server does not speak TLS on this port: use redis://"
	case errors.As(err, &dns):
		return "; check REDIS_HOST or REDIS_URL"
	case errors.Is(err, os.ErrPermission) && t.network == "unix":
		return "; the user of this process may not use the socket"
	case errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist):
		return "; is the server running, and is the address right (REDIS_HOST, REDIS_PORT, REDIS_URL)?"
	}
	return ""
}
