// Package redisconn opens Redis clients: plain, TLS, Unix socket, Sentinel and Cluster, directly or through an SSH
// forward. It is the only place that makes them, so that every client has contexts that stop a blocking call, checks the
// version of the server, and gives errors that say what was tried and what to do, never the password.
package redisconn

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/caur-build/caur/internal/settings"
)

// Config says where Redis is. URL wins over Host and Port; user and password of the URL win over Username and Password.
type Config struct {
	URL      settings.Secret `env:"REDIS_URL" help:"redis://, rediss://, unix://, redis-sentinel:// or redis-cluster:// address; wins over REDIS_HOST and REDIS_PORT"`
	Host     string          `env:"REDIS_HOST, default=localhost" help:"host of the Redis server; with REDIS_SSH_HOST as seen from there"`
	Port     int             `env:"REDIS_PORT, default=6379" help:"port of the Redis server"`
	Username string          `env:"REDIS_USERNAME" help:"ACL user; empty for the default user"`
	Password settings.Secret `env:"REDIS_PASSWORD" help:"password of the Redis server"`

	TLSCA   string `env:"REDIS_TLS_CA" help:"file with the CA certificates (PEM) that may have signed the server's certificate"`
	TLSCert string `env:"REDIS_TLS_CERT" help:"file with our client certificate (PEM)"`
	TLSKey  string `env:"REDIS_TLS_KEY" help:"file with the key of our client certificate (PEM)"`

	SSHHost    string          `env:"REDIS_SSH_HOST" help:"SSH server through which Redis is reached"`
	SSHPort    int             `env:"REDIS_SSH_PORT, default=22" help:"port of that SSH server"`
	SSHUser    string          `env:"REDIS_SSH_USER" help:"user on that SSH server"`
	SSHKey     settings.Secret `env:"SSH_KEY" help:"private key (PEM) for SSH; wins over SSH_KEY_FILE"`
	SSHKeyFile string          `env:"SSH_KEY_FILE, default=/app/sshkey" help:"file with the private key for SSH"`
	KnownHosts string          `env:"SSH_KNOWN_HOSTS, default=/app/known_hosts" help:"known_hosts file with the pinned keys of SSH servers"`
}

// Reasons why Open fails; errors.Is tells them apart.
var (
	ErrUnreachable = errors.New("redis cannot be reached")
	ErrAuth        = errors.New("redis refuses the user or password")
	ErrVersion     = errors.New("redis is too old")
	ErrHostKey     = errors.New("the SSH server's host key is not pinned")
	ErrConfig      = errors.New("wrong Redis settings")
)

// Open connects, checks that the server answers and is new enough (6.2), and gives the client. Close on it also closes
// the SSH connection.
func Open(ctx context.Context, c Config) (redis.UniversalClient, error) {
	return nil, ErrConfig
}
