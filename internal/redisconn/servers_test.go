package redisconn

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/internal/testenv"
)

// authority makes certificates.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.issue(t, "ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name+".pem") }

// issue writes NAME.pem and NAME-key.pem.
func (a *authority) issue(t *testing.T, name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.Subject = pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, parentKey := a.cert, a.key
	if parent == nil {
		parent, parentKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		a.file(name):          {Type: "CERTIFICATE", Bytes: der},
		a.file(name + "-key"): {Type: "EC PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// tlsRedis starts a server that speaks TLS alone and wants a client certificate.
func tlsRedis(t *testing.T, a *authority) (addr string) {
	t.Helper()
	a.issue(t, "server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"redis.example.org"}})
	a.issue(t, "client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(addr)
	testenv.Redis(t, "--tls-port", port, "--tls-cert-file", a.file("server"), "--tls-key-file", a.file("server-key"),
		"--tls-ca-cert-file", a.file("ca"))
	return addr
}

func TestTLS(t *testing.T) {
	a := newAuthority(t)
	addr := tlsRedis(t, a)
	other := newAuthority(t)
	ok := Config{URL: settings.NewSecret("rediss://" + addr), TLSCA: a.file("ca"), TLSCert: a.file("client"), TLSKey: a.file("client-key")}
	if err := use(t, ok); err != nil {
		t.Errorf("by environment: %v", err)
	}
	inURL := at("rediss://" + addr + "?ca=" + a.file("ca") + "&cert=" + a.file("client") + "&key=" + a.file("client-key") + "&servername=redis.example.org")
	if err := use(t, inURL); err != nil {
		t.Errorf("by URL: %v", err)
	}
	host, port, _ := net.SplitHostPort(addr)
	byHost := ok
	byHost.URL, byHost.Host = settings.Secret{}, host
	byHost.Port, _ = strconv.Atoi(port)
	if err := use(t, byHost); err != nil {
		t.Errorf("by host and port: %v", err)
	}
	wrongCA, wrongName := ok, ok
	wrongCA.TLSCA = other.file("ca")
	wrongName.URL = settings.NewSecret("rediss://" + addr + "?servername=evil.example.org")
	for want, c := range map[string]Config{"REDIS_TLS_CA": wrongCA, "servername": wrongName} {
		if err := use(t, c); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v", err)
		}
	}
	noCert := ok
	noCert.TLSCert, noCert.TLSKey = "", ""
	if err := use(t, noCert); !errors.Is(err, ErrUnreachable) {
		t.Errorf("without a client certificate: %v", err)
	}
}

// redisCLI runs a command on a server and fails the test when it is refused.
func redisCLI(t *testing.T, addr string, args ...any) {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	defer func() { _ = rdb.Close() }()
	if err := rdb.Do(context.Background(), args...).Err(); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
}

func TestSentinelFindsTheMaster(t *testing.T) {
	master := testenv.Redis(t, "--requirepass", password)
	host, port, _ := net.SplitHostPort(master.Addr)
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := "sentinel monitor caur " + host + " " + port + " 1\nsentinel auth-pass caur " + password + "\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := testenv.RedisWith(t, "redis-server", conf, "--sentinel")
	if err := use(t, at("redis-sentinel://:"+escaped+"@"+sentinel+"/caur")); err != nil {
		t.Error(err)
	}
	if err := use(t, at("redis-sentinel://:wrong@"+sentinel+"/caur")); !errors.Is(err, ErrAuth) {
		t.Errorf("got %v", err)
	}
}

func TestCluster(t *testing.T) {
	node := testenv.Redis(t, "--cluster-enabled", "yes")
	if err := use(t, at("redis-cluster://"+node.Addr)); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "cluster has no nodes") {
		t.Errorf("a cluster without slots: %v", err)
	}
	redisCLI(t, node.Addr, "CLUSTER", "ADDSLOTSRANGE", 0, 16383)
	deadline := time.After(30 * time.Second)
	rdb := node.Client()
	for {
		info, err := rdb.ClusterInfo(context.Background()).Result()
		if err == nil && strings.Contains(info, "cluster_state:ok") {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("the cluster does not form: %s, %v", info, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := use(t, at("redis-cluster://"+node.Addr)); err != nil {
		t.Error(err)
	}
}

// through gives settings that reach a Redis through an SSH server.
func through(t *testing.T, s *testenv.SSHServer, redisAddr string) Config {
	t.Helper()
	_, port, _ := net.SplitHostPort(redisAddr)
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Host: "localhost", Port: n, SSHHost: s.Host, SSHPort: s.Port, SSHUser: s.User, SSHKeyFile: s.KeyFile, KnownHosts: s.KnownHostsFile,
	}
}

func TestTunnelSurvivesAKilledSSHServer(t *testing.T) {
	server := testenv.Redis(t)
	s := testenv.SSHD(t, "PermitOpen "+server.Addr)
	ctx := context.Background()
	rdb, err := Open(ctx, through(t, s, server.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := rdb.Close(); err != nil {
			t.Error(err)
		}
	}()
	big := strings.Repeat("x", 5<<20)
	if err := rdb.Set(ctx, "big", big, 0).Err(); err != nil {
		t.Fatal(err)
	}
	stopBlocked(t, rdb)
	s.Kill()
	if err := rdb.Get(ctx, "big").Err(); err == nil {
		t.Error("the tunnel works without its server")
	}
	s.Start()
	if got, err := rdb.Get(ctx, "big").Result(); err != nil || got != big {
		t.Errorf("after the restart: %d bytes, %v", len(got), err)
	}
}

func TestTunnelCarriesURLsAndTLS(t *testing.T) {
	s := testenv.SSHD(t)
	a := newAuthority(t)
	addr := tlsRedis(t, a)
	c := through(t, s, addr)
	c.URL = settings.NewSecret("rediss://" + addr)
	c.TLSCA, c.TLSCert, c.TLSKey = a.file("ca"), a.file("client"), a.file("client-key")
	if err := use(t, c); err != nil {
		t.Errorf("TLS: %v", err)
	}
	plain := testenv.Redis(t)
	c = through(t, s, plain.Addr)
	if plain.Socket != "" {
		c.URL = settings.NewSecret("unix://" + plain.Socket)
		if err := use(t, c); err != nil {
			t.Errorf("socket: %v", err)
		}
	}
	key, err := os.ReadFile(s.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	c = through(t, s, plain.Addr)
	c.SSHKeyFile, c.SSHKey = "/not/there", settings.NewSecret(strings.TrimSpace(string(key)))
	if err := use(t, c); err != nil {
		t.Errorf("key in the environment: %v", err)
	}
}

func TestTunnelRefusesAHostKeyThatIsNotPinned(t *testing.T) {
	server := testenv.Redis(t)
	s := testenv.SSHD(t)
	c := through(t, s, server.Addr)
	empty := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.KnownHosts = empty
	err := use(t, c)
	if !errors.Is(err, ErrHostKey) || !strings.Contains(err.Error(), empty) || !strings.Contains(err.Error(), s.KnownHostsLine()) {
		t.Errorf("an unknown key: %v", err)
	}
	s.Kill()
	s.NewHostKey()
	s.Start()
	c.KnownHosts = s.KnownHostsFile
	err = use(t, c)
	if !errors.Is(err, ErrHostKey) || !strings.Contains(err.Error(), s.KnownHostsFile+" pins another") || !strings.Contains(err.Error(), s.KnownHostsLine()) {
		t.Errorf("a changed key: %v", err)
	}
}

func TestTunnelErrorsSayWhatToDo(t *testing.T) {
	server := testenv.Redis(t)
	s := testenv.SSHD(t, "PermitOpen "+server.Addr)
	good := through(t, s, server.Addr)
	dir := t.TempDir()
	locked, other, noKey := filepath.Join(dir, "locked"), filepath.Join(dir, "other"), filepath.Join(dir, "no")
	for path, phrase := range map[string]string{locked: "passphrase", other: ""} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", phrase, "-f", path).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if err := os.WriteFile(noKey, []byte("secret-text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(*Config)
		is     error
		says   string
	}{
		{"no user", func(c *Config) { c.SSHUser = "" }, ErrConfig, "REDIS_SSH_USER is not set"},
		{"no key file", func(c *Config) { c.SSHKeyFile = "/not/there" }, ErrConfig, "SSH_KEY_FILE: open /not/there"},
		{"no key in the file", func(c *Config) { c.SSHKeyFile = noKey }, ErrConfig, "holds no private key"},
		{"a key with a passphrase", func(c *Config) { c.SSHKeyFile = locked }, ErrConfig, "has a passphrase"},
		{"no known_hosts", func(c *Config) { c.KnownHosts = "/not/there" }, ErrConfig, "SSH_KNOWN_HOSTS: open /not/there"},
		{"a key that is not let in", func(c *Config) { c.SSHKeyFile = other }, ErrAuth, "authorized_keys"},
		{"nothing listens", func(c *Config) { c.SSHPort = 1 }, ErrUnreachable, "through SSH 127.0.0.1:1: SSH server: dial tcp 127.0.0.1:1"},
		{"a forward that is not permitted", func(c *Config) { c.Port = 1 }, ErrAuth, "PermitOpen"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := good
			test.change(&c)
			err := use(t, c)
			if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "secret-text") {
				t.Errorf("got %v", err)
			}
		})
	}
	server.Kill()
	if err := use(t, good); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "connect to 127.0.0.1:") {
		t.Errorf("no redis behind the tunnel: %v", err)
	}
}

func TestTunnelGivesUpOnASilentServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	s := testenv.SSHD(t)
	c := through(t, s, "127.0.0.1:1")
	c.SSHPort = l.Addr().(*net.TCPAddr).Port
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, c); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}
