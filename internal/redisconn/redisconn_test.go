package redisconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const password = "p@ss/w:rd%"

// escaped is the password as it stands in a URL.
const escaped = "p%40ss%2Fw%3Ard%25"

func at(s string) Config { return Config{URL: settings.NewSecret(s)} }

// use opens a client and writes through it.
func use(t *testing.T, c Config) error {
	t.Helper()
	ctx := context.Background()
	rdb, err := Open(ctx, c)
	if err != nil {
		return err
	}
	if err := rdb.Set(ctx, "key", t.Name(), 0).Err(); err != nil {
		t.Errorf("set: %v", err)
	}
	if got, err := rdb.Get(ctx, "key").Result(); err != nil || got != t.Name() {
		t.Errorf("get: %q, %v", got, err)
	}
	return rdb.Close()
}

func TestOpenByHostURLAndSocket(t *testing.T) {
	plain := testenv.Redis(t)
	secured := testenv.Redis(t, "--requirepass", password, "--user", "caur", "on", ">"+password, "~*", "&*", "+@all")
	host, port, _ := net.SplitHostPort(plain.Addr)
	n, _ := strconv.Atoi(port)
	_, securedPort, _ := net.SplitHostPort(secured.Addr)
	sn, _ := strconv.Atoi(securedPort)
	for name, c := range map[string]Config{
		"host and port":              {Host: host, Port: n},
		"host, port and password":    {Host: host, Port: sn, Password: settings.NewSecret(password)},
		"host, port, user, password": {Host: host, Port: sn, Username: "caur", Password: settings.NewSecret(password)},
		"URL":                        at("redis://" + plain.Addr),
		"URL with a database":        at("redis://" + plain.Addr + "/3"),
		"URL with a password":        at("redis://:" + escaped + "@" + secured.Addr),
		"URL with user and password": at("redis://caur:" + escaped + "@" + secured.Addr + "?db=2"),
		"URL wins over host":         {URL: settings.NewSecret("redis://" + plain.Addr), Host: "absent.invalid", Port: 1},
		"URL and password apart":     {URL: settings.NewSecret("redis://" + secured.Addr), Password: settings.NewSecret(password)},
		"socket":                     at("unix://" + plain.Socket),
		"socket with a password":     at("unix://caur:" + escaped + "@" + secured.Socket + "?db=1"),
	} {
		t.Run(name, func(t *testing.T) {
			if err := use(t, c); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenErrorsSayWhatToDoAndNeverThePassword(t *testing.T) {
	secured := testenv.Redis(t, "--requirepass", password, "--user", "caur", "on", ">"+password, "~*", "+@all", "-info")
	open := testenv.Redis(t)
	socketDir := t.TempDir()
	for _, test := range []struct {
		name string
		c    Config
		is   error
		says []string
	}{
		{"nothing listens", at("redis://:" + escaped + "@127.0.0.1:1"), ErrUnreachable, []string{"127.0.0.1:1", "refused", "REDIS_HOST"}},
		{"unknown host", at("redis://u:" + escaped + "@host.invalid"), ErrUnreachable, []string{"host.invalid:6379", "check REDIS_HOST or REDIS_URL"}},
		{"no socket", at("unix://" + socketDir + "/absent.sock"), ErrUnreachable, []string{"absent.sock", "is the server running"}},
		{"wrong password", at("redis://:wrong-" + escaped + "@" + secured.Addr), ErrAuth, []string{secured.Addr, "check REDIS_USERNAME and REDIS_PASSWORD"}},
		{"unknown user", at("redis://other:" + escaped + "@" + secured.Addr), ErrAuth, []string{"does not know this user"}},
		{"no password", at("redis://" + secured.Addr), ErrAuth, []string{"set REDIS_PASSWORD"}},
		{"TLS with a plain server", at("rediss://:" + escaped + "@" + open.Addr), ErrUnreachable, []string{"TLS", "use redis://"}},
		{"no master of that name", at("redis-sentinel://" + open.Addr + "/absent"), ErrUnreachable, []string{"master absent of the sentinels " + open.Addr}},
		{"no cluster", at("redis-cluster://127.0.0.1:1,127.0.0.1:2"), ErrUnreachable, []string{"cluster 127.0.0.1:1,127.0.0.1:2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := use(t, test.c)
			if !errors.Is(err, test.is) {
				t.Fatalf("got %v", err)
			}
			for _, want := range test.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if s := err.Error(); strings.Contains(s, password) || strings.Contains(s, escaped) || strings.Contains(s, "p@ss") {
				t.Errorf("the password is shown: %v", err)
			}
		})
	}
	if err := use(t, at("redis://caur:"+escaped+"@"+secured.Addr)); err != nil {
		t.Errorf("a user that may not ask for the version is refused: %v", err)
	}
}

func TestWrongSettingsAreRefusedWithoutAConnection(t *testing.T) {
	dir := t.TempDir()
	noPEM := filepath.Join(dir, "no.pem")
	if err := os.WriteFile(noPEM, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{
		at("localhost:6379"), at("http://secret-x@h"), at("redis://:secret-x/@h"), at("redis://:secret-%zz@h"), at("redis://secret-%zz:p@h"),
		at("redis://h:secret-port"), at("redis://h:99999"), at("redis://:secret-x@"), at("redis://h/secret-db"), at("redis://h/-1"),
		at("redis://a,b"), at("redis://h?secret-opt=1"), at("redis://h?%zz"), at("unix://h/secret-x?db=secret-y"), at("unix://"),
		at("redis-sentinel://:secret-x@h"), at("redis-cluster://h/3"), at("redis://[::1"), at("redis://::1"),
		{Host: "h"}, {Host: "h", Port: 70000}, {Host: "h", Port: 1, TLSCA: filepath.Join(dir, "absent")}, {Host: "h", Port: 1, TLSCA: noPEM},
		{Host: "h", Port: 1, TLSCert: noPEM}, {Host: "h", Port: 1, TLSCert: noPEM, TLSKey: noPEM}, at("rediss://h?ca=" + noPEM),
	} {
		_, err := Open(context.Background(), c)
		if !errors.Is(err, ErrConfig) || strings.Contains(err.Error(), "secret-") {
			t.Errorf("%q: got %v", c.URL.Reveal(), err)
		}
	}
}

func TestAddressesInURLs(t *testing.T) {
	for in, want := range map[string]string{
		"redis://h":                         "h:6379",
		"redis://[::1]":                     "[::1]:6379",
		"redis://[::1]:7":                   "[::1]:7",
		"redis-cluster://a,b:7,[::2]:8":     "cluster a:6379,b:7,[::2]:8",
		"redis-sentinel://a,b:7/m/2":        "master m of the sentinels a:26379,b:7",
		"redis-sentinel://u:p@a/m?tls=true": "master m of the sentinels a:26379 (TLS)",
		"rediss://u:p@h:1?servername=other": "h:1 (TLS)",
		"unix:///run/redis.sock":            "socket /run/redis.sock",
		"unix://:p@/run/redis.sock?db=1":    "socket /run/redis.sock",
		"redis-cluster://u:p@a?tls=true":    "cluster a:6379 (TLS)",
		"redis-sentinel://a/m?db=4":         "master m of the sentinels a:26379",
		"redis://user@h":                    "h:6379",
	} {
		got, err := parse(at(in))
		if err != nil || got.String() != want {
			t.Errorf("%s: got %v, %v", in, got, err)
		}
	}
}

func TestADeadlineStopsABlockingCall(t *testing.T) {
	rdb, err := Open(context.Background(), at(testenv.Redis(t).URL))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rdb.Close() }()
	stopBlocked(t, rdb)
}

// stopBlocked wants a call that blocks for an hour to end at the deadline of its context.
func stopBlocked(t *testing.T, rdb redis.UniversalClient) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	var timeout net.Error
	if err := rdb.BLPop(ctx, time.Hour, "queue").Err(); !errors.Is(err, context.DeadlineExceeded) && !(errors.As(err, &timeout) && timeout.Timeout()) {
		t.Errorf("a deadline: %v", err)
	}
}

func TestTheClientOutlivesARestart(t *testing.T) {
	server := testenv.Redis(t)
	ctx := context.Background()
	rdb, err := Open(ctx, at(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rdb.Close() }()
	if err := rdb.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if err := rdb.Get(ctx, "k").Err(); err == nil {
		t.Error("a dead server answers")
	}
	server.Start()
	if got, err := rdb.Get(ctx, "k").Result(); err != nil || got != "v" {
		t.Errorf("got %q, %v", got, err)
	}
}

// fake answers INFO as a server of another version would, and everything else with OK.
func fake(t *testing.T, info string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveFake(conn, info)
		}
	}()
	return "redis://" + l.Addr().String()
}

func serveFake(conn net.Conn, info string) {
	defer func() { _ = conn.Close() }()
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		answer := "-ERR unknown command 'HELLO'\r\n"
		if strings.Contains(strings.ToUpper(string(buf[:n])), "INFO") {
			answer = fmt.Sprintf("$%d\r\n%s\r\n", len(info), info)
		}
		if _, err := conn.Write([]byte(answer)); err != nil {
			return
		}
	}
}

func TestOldServersAreRefused(t *testing.T) {
	for info, ok := range map[string]bool{
		"# Server\r\nredis_version:6.0.16\r\n":                      false,
		"# Server\r\nredis_version:5.0.3\r\n":                       false,
		"# Server\r\nredis_version:6.2.0\r\n":                       true,
		"# Server\r\nredis_version:10.0.0\r\n":                      true,
		"# Server\r\nredis_version:5.0\r\nvalkey_version:8.0.1\r\n": true,
		"# Server\r\nserver_name:valkey\r\nredis_version:7.2.4\r\n": true,
	} {
		rdb, err := Open(context.Background(), at(fake(t, info)))
		if ok {
			if err != nil {
				t.Errorf("%q is refused: %v", info, err)
				continue
			}
			_ = rdb.Close()
			continue
		}
		version, _, _ := strings.Cut(strings.TrimPrefix(info, "# Server\r\nredis_version:"), "\r")
		if !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), "version "+version) || !strings.Contains(err.Error(), "6.2") {
			t.Errorf("%q: got %v", info, err)
		}
	}
}

func TestConfigIsReadFromTheEnvironment(t *testing.T) {
	var c Config
	err := settings.Load(context.Background(), &c, settings.Map(map[string]string{"REDIS_SSH_HOST": "s", "SSH_KEY_FILE": "/k", "REDIS_PASSWORD": "x"}))
	if err != nil || c.Host != "localhost" || c.Port != 6379 || c.SSHPort != 22 || c.SSHKeyFile != "/k" || !c.SSHKey.IsZero() || c.KnownHosts != "/app/known_hosts" {
		t.Errorf("got %+v, %v", c, err)
	}
	if s := fmt.Sprintf("%+v", c); strings.Contains(s, "Password:x") {
		t.Error("the password prints")
	}
}

var _ redis.UniversalClient = (*client)(nil)
