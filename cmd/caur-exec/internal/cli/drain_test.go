package cli

import (
	"bytes"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
)

// sayings is a standard error that a test waits on.
type sayings struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (s *sayings) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return s.text.Write(p)
}

func (s *sayings) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), text)
}

func TestDrainWaitsForTheBuildsOfABuilder(t *testing.T) {
	q := queue.New(testenv.Redis(t).Client())
	said := &sayings{more: make(chan struct{}, 1)}
	a := &app{io: &command.IO{Out: said, Err: said}}
	who := queue.Builder{Name: "b1", Class: "1"}
	job := func(name string) queue.Job {
		return queue.Job{Pkgbase: name, TargetRepo: "demo", SourceRepo: "src", Arch: "x86_64", Pkgnames: []string{name}}
	}
	if _, err := q.Enqueue(t.Context(), queue.Batch{Jobs: []queue.Job{job("a"), job("b")}}); err != nil {
		t.Fatal(err)
	}
	lease, err := q.Claim(t.Context(), who, time.Minute)
	if err != nil || lease == nil {
		t.Fatal(lease, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.runDrain(t.Context(), q, "b1", false, true) }()
	for !said.has("waiting for demo/x86_64/") {
		<-said.more
	}
	if more, err := q.Claim(t.Context(), who, time.Minute); more != nil || err != nil {
		t.Errorf("a drained builder gets %+v, %v", more, err)
	}
	if err := q.Finish(t.Context(), lease, queue.Result{Status: queue.Failed}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := a.runDrain(t.Context(), q, "b1", true, false); err != nil {
		t.Error(err)
	}
	if lease, err := q.Claim(t.Context(), who, time.Minute); lease == nil || err != nil {
		t.Errorf("a builder that takes jobs again gets %v, %v", lease, err)
	}
	if err := a.runDrain(t.Context(), q, "nobody", false, true); err != nil || !said.has("no builder called nobody") {
		t.Errorf("%v, %s", err, said.text.String())
	}
}

func TestABuilderIsDrainedBySIGUSR1(t *testing.T) {
	redis := testenv.Redis(t)
	p := start(t, []string{
		"REDIS_URL=" + redis.URL, "BUILDER_HOSTNAME=b1", "SHARED_PATH=" + t.TempDir(), "CONTAINER_ENGINE=none", "BUILDER_OVERLAY=never",
	}, "builder")
	p.wait("builder is ready")
	p.stop(syscall.SIGUSR1, 0)
}
