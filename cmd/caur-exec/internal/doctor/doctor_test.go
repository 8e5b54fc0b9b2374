package doctor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/caur-build/caur/cmd/caur-exec/internal/builder"
	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
	"github.com/caur-build/caur/cmd/caur-exec/internal/doctor"
	"github.com/caur-build/caur/internal/redisconn"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
)

// TestMain lets this test program be what the engine starts.
func TestMain(m *testing.M) {
	container.MaybeInit()
	if slices.Equal(os.Args[1:], []string{"doctor", "--inside"}) {
		if err := doctor.LookInside(os.Stdout); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// clinic is a build host that is well, as far as a test machine can be.
type clinic struct {
	t     *testing.T
	redis *testenv.RedisServer
	queue *queue.Queue
	ssh   *testenv.SSHServer
	env   map[string]string
	now   func() time.Time
	conf  redisconn.Config
}

func newClinic(t *testing.T) *clinic {
	t.Helper()
	testenv.Need(t, "pacman", "makepkg", "fakeroot", "bsdtar", "useradd")
	c := &clinic{t: t, redis: testenv.Redis(t, "--appendonly", "yes"), ssh: testenv.SSHD(t), now: time.Now}
	c.queue = queue.New(c.redis.Client())
	c.env = map[string]string{
		"BUILDER_HOSTNAME": "patient", "SHARED_PATH": t.TempDir(), "CONTAINER_ENGINE": "none",
		"SSH_KEY_FILE": c.ssh.KeyFile, "SSH_KNOWN_HOSTS": c.ssh.KnownHostsFile,
	}
	host, port, err := net.SplitHostPort(c.redis.Addr)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	c.conf = redisconn.Config{Host: host, Port: number}
	c.advertise(queue.Landing{Host: c.ssh.Host, Port: c.ssh.Port, User: c.ssh.User, Path: c.ssh.Root})
	return c
}

func (c *clinic) advertise(at queue.Landing) {
	c.t.Helper()
	err := c.queue.Advertise(c.t.Context(), queue.Advert{
		Landing: at, SourceRepos: map[string]queue.SourceRepo{"src": {URL: "file:///x"}}, TargetRepos: map[string]queue.TargetRepo{"demo": {}},
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// examine gives what is found with some settings changed.
func (c *clinic) examine(changes ...string) map[string]doctor.Finding {
	c.t.Helper()
	env := make(map[string]string)
	for name, value := range c.env {
		env[name] = value
	}
	for _, change := range changes {
		name, value, _ := strings.Cut(change, "=")
		env[name] = value
	}
	o := doctor.Options{Redis: c.conf, Now: c.now}
	if err := settings.Load(c.t.Context(), &o.Builder, settings.Map(env)); err != nil {
		c.t.Fatal(err)
	}
	found := make(map[string]doctor.Finding)
	for _, f := range doctor.Examine(c.t.Context(), o) {
		if f.Status != doctor.OK && f.Fix == "" && f.Check != "disk space" {
			c.t.Errorf("%s: nobody is told what to do: %+v", f.Check, f)
		}
		if old, there := found[f.Check]; !there || old.Status == doctor.OK {
			found[f.Check] = f
		}
	}
	return found
}

func (c *clinic) want(found map[string]doctor.Finding, check string, status doctor.Status, text string) {
	c.t.Helper()
	f, there := found[check]
	if !there || f.Status != status || !strings.Contains(f.Detail+" "+f.Fix, text) {
		c.t.Errorf("%s: %+v, want %s with %q", check, f, status, text)
	}
}

func TestAHostThatIsWell(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts overlays: run make test as root")
	}
	c := newClinic(t)
	found := c.examine("BUILDER_OVERLAY=always")
	for _, check := range []string{"redis", "redis settings", "clock", "database role", "queue", "directories", "engine", "landing zone"} {
		c.want(found, check, doctor.OK, "")
	}
	if f := found["image"]; f.Status == doctor.Failed {
		t.Errorf("image: %+v", f)
	}
	for _, dir := range []string{c.ssh.Root, filepath.Join(c.env["SHARED_PATH"], "build", "patient")} {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left in %s: %v %v", dir, left, err)
		}
	}
}

func TestWhatIsWrongIsFoundAndTold(t *testing.T) {
	c := newClinic(t)
	noEngine := "DOCKER_SOCKET=" + filepath.Join(t.TempDir(), "no.sock")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}

	found := c.examine("CONTAINER_ENGINE=docker", noEngine, "SHARED_PATH="+file, "SSH_KNOWN_HOSTS="+file)
	c.want(found, "engine", doctor.Failed, "DOCKER_SOCKET")
	c.want(found, "directories", doctor.Failed, "SHARED_PATH")
	c.want(found, "landing zone", doctor.Failed, "no host key is pinned")
	c.want(found, "redis", doctor.OK, "")

	for _, s := range [][2]string{{"maxmemory", "100mb"}, {"maxmemory-policy", "allkeys-lru"}, {"appendonly", "no"}} {
		if err := c.redis.Client().ConfigSet(t.Context(), s[0], s[1]).Err(); err != nil {
			t.Fatal(err)
		}
	}
	c.now = func() time.Time { return time.Now().Add(-time.Hour) }
	c.advertise(queue.Landing{Path: file})
	found = c.examine("CONTAINER_ENGINE=docker", noEngine)
	c.want(found, "redis settings", doctor.Failed, "maxmemory-policy noeviction")
	c.want(found, "clock", doctor.Failed, "timedatectl")
	c.want(found, "landing zone", doctor.Failed, "not a directory")

	if err := c.redis.Client().ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err(); err != nil {
		t.Fatal(err)
	}
	c.now = func() time.Time { return time.Now().Add(time.Minute) }
	if err := c.queue.Advertise(t.Context(), queue.Advert{}); err != nil {
		t.Fatal(err)
	}
	found = c.examine("CONTAINER_ENGINE=docker", noEngine)
	c.want(found, "redis settings", doctor.Warning, "appendonly yes")
	c.want(found, "clock", doctor.Warning, "timedatectl")
	c.want(found, "database role", doctor.Failed, "PACKAGE_TARGET_REPOS")
	c.want(found, "landing zone", doctor.Warning, "database role")

	c.redis.Kill()
	found = c.examine("CONTAINER_ENGINE=docker", noEngine)
	c.want(found, "redis", doctor.Failed, "REDIS_HOST")
	c.want(found, "directories", doctor.OK, "")
}

func TestADiskThatIsTooSmallIsTold(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts a small file system: run make test as root")
	}
	c := newClinic(t)
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(small, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	found := c.examine("CONTAINER_ENGINE=docker", "DOCKER_SOCKET="+filepath.Join(t.TempDir(), "no.sock"), "SHARED_PATH="+small)
	c.want(found, "disk space", doctor.Failed, "BUILDER_CACHE_MAX_GB")
}

func TestAContainerTellsWhatItLacks(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var out bytes.Buffer
	if err := doctor.LookInside(&out); err != nil {
		t.Fatal(err)
	}
	var in doctor.Inside
	if err := json.Unmarshal(out.Bytes(), &in); err != nil || !slices.Contains(in.Missing, "makepkg") || !slices.Contains(in.Useful, "git") {
		t.Errorf("%v %s", err, out.String())
	}
}

// hostile is an engine whose container answers what it likes.
type hostile struct {
	container.Engine
	text string
	code int
}

func (h hostile) Run(_ context.Context, _ container.Spec, out io.Writer) (int, error) {
	if _, err := out.Write([]byte(h.text)); err != nil {
		return 0, err
	}
	return h.code, nil
}

func TestWhatAContainerSaysIsBounded(t *testing.T) {
	s := builder.Settings{Hostname: "patient", SharedPath: t.TempDir(), Engine: "docker"}
	for name, c := range map[string]struct {
		engine hostile
		err    string
	}{
		"more than anyone reads": {hostile{text: strings.Repeat("x", 1<<20)}, "too much"},
		"a status":               {hostile{text: "no such option", code: 2}, "status 2"},
		"an answer":              {hostile{text: "{}"}, ""},
	} {
		got, err := builder.RunInside(t.Context(), s, c.engine, "image", "", []string{"doctor", "--inside"})
		if c.err == "" && (err != nil || string(got) != "{}") || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %.80q %v, want %q", name, got, err, c.err)
		}
	}
}
