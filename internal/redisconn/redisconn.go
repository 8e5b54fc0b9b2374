// Package redisconn opens Redis clients: plain, TLS, Unix socket, Sentinel and Cluster, directly or through an SSH
// forward. It is the only place that makes them, so that every client has deadlines that stop a blocking call, checks the
// version of the server, and gives errors that say what was tried and what to do, never the password.
//
// The deadline of a context ends a call that blocks (BLPOP, XREAD BLOCK); that the context is cancelled is noticed by the
// Redis library only between calls. So block for a second or two at a time, not for ever.
package redisconn

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/caur-build/caur/internal/settings"
)

// Config says where Redis is. URL wins over Host and Port; user and password of the URL win over Username and Password.
//
// URL is one of
//
//	redis://[USER:PASSWORD@]HOST[:PORT][/DB]                      plain TCP
//	rediss://[USER:PASSWORD@]HOST[:PORT][/DB][?ca=&cert=&key=]    TLS
//	unix://[USER:PASSWORD@]/PATH[?db=DB]                          Unix socket
//	redis-sentinel://[USER:PASSWORD@]HOST[:PORT],…/MASTER[/DB]    master found by Sentinel; ?sentinel_username=&sentinel_password=
//	redis-cluster://[USER:PASSWORD@]HOST[:PORT],…                 Cluster
//
// Sentinel and Cluster take ?tls=true; ca, cert and key name PEM files and win over TLSCA, TLSCert and TLSKey;
// servername is the name in the server's certificate when it is not the host.
type Config struct {
	URL      settings.Secret `env:"REDIS_URL" help:"redis://, rediss://, unix://, redis-sentinel:// or redis-cluster:// address; wins over REDIS_HOST and REDIS_PORT"`
	Host     string          `env:"REDIS_HOST, default=localhost" help:"host of the Redis server; with REDIS_SSH_HOST as seen from there"`
	Port     int             `env:"REDIS_PORT, default=6379" help:"port of the Redis server"`
	Username string          `env:"REDIS_USERNAME" help:"ACL user; empty for the default user"`
	Password settings.Secret `env:"REDIS_PASSWORD" help:"password of the Redis server"`

	TLSCA   string `env:"REDIS_TLS_CA" help:"PEM file with the certificates that may have signed the server's; default those of the system"`
	TLSCert string `env:"REDIS_TLS_CERT" help:"PEM file with our client certificate"`
	TLSKey  string `env:"REDIS_TLS_KEY" help:"PEM file with the key of our client certificate"`

	SSHHost    string          `env:"REDIS_SSH_HOST" help:"SSH server through which Redis is reached"`
	SSHPort    int             `env:"REDIS_SSH_PORT, default=22" help:"port of that SSH server"`
	SSHUser    string          `env:"REDIS_SSH_USER" help:"user on that SSH server; required with REDIS_SSH_HOST"`
	SSHKey     settings.Secret `env:"SSH_KEY" help:"private key for SSH, in PEM; wins over SSH_KEY_FILE"`
	SSHKeyFile string          `env:"SSH_KEY_FILE, default=/app/sshkey" help:"file with the private key for SSH"`
	KnownHosts string          `env:"SSH_KNOWN_HOSTS, default=/app/known_hosts" help:"known_hosts file with the pinned keys of SSH servers"`
}

// Reasons why Open, or later a new connection, fails; errors.Is tells them apart.
var (
	ErrConfig      = errors.New("wrong Redis settings")
	ErrUnreachable = errors.New("redis cannot be reached")
	ErrAuth        = errors.New("access to redis is refused")
	ErrVersion     = errors.New("redis is too old")
	ErrHostKey     = errors.New("the host key of the SSH server is not trusted")
)

// Open connects, checks that the server answers and is new enough (6.2, or any Valkey), and gives the client. Close on it
// also closes the SSH connection. A connection that breaks later is made again by the next command, the SSH connection
// included.
//
// Without a deadline in ctx, one attempt takes at most 20 seconds.
func Open(ctx context.Context, c Config) (redis.UniversalClient, error) {
	target, err := parse(c)
	if err != nil {
		return nil, err
	}
	d := &dialer{target: target}
	if c.SSHHost != "" {
		if d.tunnel, err = newTunnel(c); err != nil {
			return nil, err
		}
	}
	silence()
	rdb := &client{UniversalClient: target.connect(d.dial), tunnel: d.tunnel}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
	}
	if err := check(ctx, rdb, target, d); err != nil {
		return nil, errors.Join(err, rdb.Close())
	}
	return rdb, nil
}

// client closes the tunnel with itself.
type client struct {
	redis.UniversalClient
	tunnel *tunnel
}

func (c *client) Close() error {
	err := c.UniversalClient.Close()
	if c.tunnel != nil {
		err = errors.Join(err, c.tunnel.Close())
	}
	return err
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// noUpgrades turns off a handshake that only one vendor's servers understand.
func noUpgrades() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// connect makes the client; no connection is made yet.
func (t *target) connect(dial dialFunc) redis.UniversalClient {
	switch t.kind {
	case kindSentinel:
		return redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: t.master, SentinelAddrs: t.addrs, SentinelUsername: t.sentinelUser, SentinelPassword: t.sentinelPassword,
			Username: t.user, Password: t.password, DB: t.db, Dialer: dial, ContextTimeoutEnabled: true, DisableIdentity: true,
			DialerRetries: 1,
		})
	case kindCluster:
		return redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: t.addrs, Username: t.user, Password: t.password, Dialer: dial, ContextTimeoutEnabled: true,
			DisableIdentity: true, DialerRetries: 1, MaintNotificationsConfig: noUpgrades(),
			// A node that has died redirects nobody to its successor: the client has to ask the others.
			ClusterStateReloadInterval: 2 * time.Second,
		})
	}
	return redis.NewClient(&redis.Options{
		Network: t.network, Addr: t.addrs[0], Username: t.user, Password: t.password, DB: t.db, Dialer: dial,
		ContextTimeoutEnabled: true, DisableIdentity: true, DialerRetries: 1, MaintNotificationsConfig: noUpgrades(),
	})
}

var silenced sync.Once

// silence keeps the Redis library from writing to standard error by itself; what it would say is in its errors.
func silence() { silenced.Do(logging.Disable) }
