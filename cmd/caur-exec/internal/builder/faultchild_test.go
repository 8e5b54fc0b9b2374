package builder_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caur-build/caur/cmd/caur-exec/internal/builder"
	"github.com/caur-build/caur/cmd/caur-exec/internal/buildlog"
	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
	"github.com/caur-build/caur/cmd/caur-exec/internal/database"
	"github.com/caur-build/caur/cmd/caur-exec/internal/makepkg"
	"github.com/caur-build/caur/internal/redisconn"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/pkg/queue"
)

// The roles of the fault table are processes of their own, so that they can be killed: this test program, with a role and
// the settings of that role in its environment.
const (
	roleVar   = "CAUR_TEST_ROLE"   // builder or database
	faultsVar = "CAUR_TEST_FAULTS" // directory with a file for each package whose fault was had
	leaseVar  = "CAUR_TEST_LEASE"
	fault     = "fault-"                   // pkgbases begin so and end with the step of their fault; their builds are quick
	endless   = "fault-container-building" // its build does not end by itself
)

// roleMain is what such a process does; the exit status.
func roleMain(role string) int {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	if err := runRole(ctx, role); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func runRole(ctx context.Context, role string) error {
	lease, err := time.ParseDuration(os.Getenv(leaseVar))
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	var where redisconn.Config
	if err := settings.Load(ctx, &where, settings.Environ()); err != nil {
		return err
	}
	rdb, err := redisconn.Open(ctx, where)
	if err != nil {
		return err
	}
	defer rdb.Close()
	if role == "database" {
		var s database.Settings
		if err := settings.Load(ctx, &s, settings.Environ()); err != nil {
			return err
		}
		s.LeaseTTL = lease
		return database.Run(ctx, s, queue.New(rdb), log)
	}
	var s builder.Settings
	if err := settings.Load(ctx, &s, settings.Environ()); err != nil {
		return err
	}
	s.LeaseTTL = lease
	return runFaultyBuilder(ctx, s, rdb, log)
}

func runFaultyBuilder(ctx context.Context, s builder.Settings, rdb redis.UniversalClient, log *slog.Logger) error {
	engine, err := builder.OpenEngine(context.WithoutCancel(ctx), s)
	if err != nil {
		return err
	}
	defer engine.Close()
	logs := buildlog.NewStore(rdb, buildlog.Options{})
	defer logs.Close()
	halt := &halt{in: bufio.NewReader(os.Stdin), dir: os.Getenv(faultsVar)}
	d := builder.Deps{Queue: queue.New(rdb), Logs: logs, Log: log, Engine: listening{engine, halt}}
	d.SetReached(halt.at)
	return builder.Run(ctx, s, d)
}

// halt stops the builder at the step that a package's name ends with, once, until the test writes a line.
type halt struct {
	mu  sync.Mutex
	in  *bufio.Reader
	dir string
}

func (h *halt) at(step, pkgbase string) {
	if !strings.HasPrefix(pkgbase, fault) || !strings.HasSuffix(pkgbase, "-"+step) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	f, err := os.OpenFile(filepath.Join(h.dir, pkgbase), os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return // had its fault
	}
	f.Close()
	fmt.Println("at " + pkgbase)
	_, _ = h.in.ReadString('\n')
}

// listening is an engine that tells when a build says that it has begun.
type listening struct {
	container.Engine
	halt *halt
}

func (e listening) Run(ctx context.Context, spec container.Spec, out io.Writer) (int, error) {
	r, err := makepkg.ReadRequest(spec.Command[len(spec.Command)-1])
	if err != nil {
		return 0, err
	}
	return e.Engine.Run(ctx, spec, hearing{out, func() { e.halt.at("building", r.Pkgbase) }})
}

type hearing struct {
	io.Writer
	begun func()
}

func (h hearing) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(quickBegins)) {
		h.begun()
	}
	return h.Writer.Write(p)
}

const quickBegins = "a quick build begins"

// quickBuild is the build of a package of the fault table, in its container: it takes a moment, and gives the package file
// that lies beside the PKGBUILD.
func quickBuild(r makepkg.Request) int {
	fmt.Println(quickBegins)
	if r.Pkgbase == endless {
		time.Sleep(time.Minute)
	}
	time.Sleep(100 * time.Millisecond)
	name := r.Pkgbase + "-1-1-any.pkg.tar.zst"
	data, err := os.ReadFile(filepath.Join(r.SourceDir, name))
	if err == nil {
		err = os.WriteFile(filepath.Join(r.OutputDir, name), data, 0o644)
	}
	if err != nil {
		fmt.Println(err)
		return makepkg.CodeFailed
	}
	return makepkg.CodeOK
}
