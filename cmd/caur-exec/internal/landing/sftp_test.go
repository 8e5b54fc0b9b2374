package landing

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/internal/testenv"
)

func config(s *testenv.SSHServer) SFTPConfig {
	return SFTPConfig{Host: s.Host, Port: s.Port, User: s.User, KeyFile: s.KeyFile, KnownHosts: s.KnownHostsFile, Path: s.Root}
}

func random(t *testing.T, size int) (path string, content []byte) {
	t.Helper()
	content = make([]byte, size)
	r := rand.NewChaCha8([32]byte{1})
	if _, err := r.Read(content); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, content
}

func sender(t *testing.T, c SFTPConfig) Sender {
	t.Helper()
	s, err := NewSFTP(c, place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func checkZone(t *testing.T, root string, want []byte) {
	t.Helper()
	dir := filepath.Join(root, place.Dir())
	got, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrived, %d were sent: %v", len(got), len(want), err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("in the zone: %v, %v", left, err)
	}
}

func TestWhatSFTPSendsTheReceiverTakes(t *testing.T) {
	server := testenv.SSHD(t)
	s := sender(t, config(server))
	path, content := random(t, 3<<20)
	f, err := s.Put(t.Context(), path, name)
	if err != nil {
		t.Fatal(err)
	}
	checkZone(t, server.Root, content)
	z, err := NewZone(server.Root)
	if err != nil {
		t.Fatal(err)
	}
	if err := z.Copy(t.Context(), place, f, io.Discard); err != nil {
		t.Error(err)
	}
	if again, err := s.Put(t.Context(), path, name); err != nil || again != f {
		t.Errorf("sending it again: %+v, %v", again, err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file was taken away: %v", err)
	}
}

// proxy passes connections on to addr; the n-th is cut after the n-th number of bytes to the server, 0 meaning never.
func proxy(t *testing.T, addr string, cuts ...int64) (port int, connections *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	connections = &atomic.Int32{}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			n := int(connections.Add(1))
			server, err := net.Dial("tcp", addr)
			if err != nil {
				client.Close()
				continue
			}
			limit := int64(0)
			if n <= len(cuts) {
				limit = cuts[n-1]
			}
			go pump(client, server, 0)
			go pump(server, client, limit)
		}
	}()
	return l.Addr().(*net.TCPAddr).Port, connections
}

func pump(to, from net.Conn, limit int64) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for sent := int64(0); limit == 0 || sent < limit; {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
			sent += int64(n)
		}
		if err != nil {
			return
		}
	}
}

func TestAnUploadGoesOnWhereTheConnectionBroke(t *testing.T) {
	server := testenv.SSHD(t)
	path, content := random(t, 24<<20)
	c := config(server)
	var connections *atomic.Int32
	c.Port, connections = proxy(t, net.JoinHostPort(server.Host, strconv.Itoa(server.Port)), 16<<20, 10<<20)
	pin(t, &c, server)
	f, err := sender(t, c).Put(t.Context(), path, name)
	if err != nil {
		t.Fatal(err)
	}
	// 16 MiB, then from 12 MiB or less on: the second connection gets to the end only because it did not begin anew.
	if n := connections.Load(); n < 2 || n > 3 {
		t.Errorf("%d connections", n)
	}
	if f.Size != int64(len(content)) {
		t.Errorf("size %d", f.Size)
	}
	checkZone(t, server.Root, content)
}

// pin makes a known_hosts file for the port of c with the key of server.
func pin(t *testing.T, c *SFTPConfig, server *testenv.SSHServer) {
	t.Helper()
	line, err := os.ReadFile(server.KnownHostsFile)
	if err != nil {
		t.Fatal(err)
	}
	c.KnownHosts = filepath.Join(t.TempDir(), "known_hosts")
	changed := strings.ReplaceAll(string(line), ":"+strconv.Itoa(server.Port), ":"+strconv.Itoa(c.Port))
	if err := os.WriteFile(c.KnownHosts, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRemainsOfAnotherFileAreNotContinued(t *testing.T) {
	server := testenv.SSHD(t)
	path, content := random(t, 8<<20)
	dir := filepath.Join(server.Root, place.Dir())
	for _, size := range []int{6 << 20, 9 << 20, 100} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, tempName(name)), make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := sender(t, config(server)).Put(t.Context(), path, name); err != nil {
			t.Fatal(err)
		}
		checkZone(t, server.Root, content)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAServerThatComesBackIsFoundAgain(t *testing.T) {
	server := testenv.SSHD(t)
	s := sender(t, config(server))
	path, content := random(t, 1<<20)
	if _, err := s.Put(t.Context(), path, name); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if err := os.RemoveAll(filepath.Join(server.Root, "demo")); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.Put(context.Background(), path, name)
		done <- err
	}()
	server.Start()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	checkZone(t, server.Root, content)
}

func TestSFTPMistakesAreExplainedAndNotRepeated(t *testing.T) {
	server := testenv.SSHD(t)
	other := testenv.SSHD(t)
	path, _ := random(t, 1000)
	empty := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	changed := config(other)
	changed.Port = server.Port
	pin(t, &changed, other)
	changed.KeyFile = server.KeyFile
	// The key of other is pinned for the port of server.
	line, err := os.ReadFile(other.KnownHostsFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(changed.KnownHosts, bytes.ReplaceAll(line, []byte(strconv.Itoa(other.Port)), []byte(strconv.Itoa(server.Port))), 0o600); err != nil {
		t.Fatal(err)
	}
	unknown := config(server)
	unknown.KnownHosts = empty
	wrongKey := config(server)
	wrongKey.KeyFile = other.KeyFile
	for what, c := range map[string]struct {
		config SFTPConfig
		err    string
	}{
		"an unknown host": {unknown, "no host key is pinned in " + empty},
		"a changed host":  {changed, "not the one pinned"},
		"a refused key":   {wrongKey, "is its public key in authorized_keys there?"},
	} {
		if _, err := sender(t, c.config).Put(t.Context(), path, name); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", what, err, c.err)
		}
	}
	if left, err := os.ReadDir(server.Root); err != nil || len(left) != 0 {
		t.Errorf("something was sent: %v, %v", left, err)
	}
	for what, c := range map[string]SFTPConfig{
		"no key":         {KnownHosts: server.KnownHostsFile, KeyFile: filepath.Join(t.TempDir(), "none")},
		"no known_hosts": {KeyFile: server.KeyFile, KnownHosts: filepath.Join(t.TempDir(), "none")},
		"a broken key":   {KeyFile: path, KnownHosts: server.KnownHostsFile},
	} {
		if _, err := NewSFTP(c, place); err == nil {
			t.Errorf("%s is accepted", what)
		} else if what != "a broken key" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestTheKeyMayComeAsASecret(t *testing.T) {
	server := testenv.SSHD(t)
	pem, err := os.ReadFile(server.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	c := config(server)
	c.KeyFile = ""
	c.Key = settings.NewSecret(string(pem))
	path, content := random(t, 1000)
	if _, err := sender(t, c).Put(t.Context(), path, name); err != nil {
		t.Fatal(err)
	}
	checkZone(t, server.Root, content)
}

func TestACanceledUploadEndsAtOnce(t *testing.T) {
	server := testenv.SSHD(t)
	path, _ := random(t, 8<<20)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("the builder shuts down")
	c := config(server)
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan struct{})
	go func() {
		if conn, err := l.Accept(); err == nil {
			close(accepted)
			<-ctx.Done()
			conn.Close()
		}
	}()
	c.Port = l.Addr().(*net.TCPAddr).Port
	go func() { <-accepted; cancel(stop) }()
	if _, err := sender(t, c).Put(ctx, path, name); !errors.Is(err, stop) {
		t.Errorf("error is %v", err)
	}
}
