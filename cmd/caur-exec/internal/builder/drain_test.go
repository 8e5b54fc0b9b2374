package builder_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caur-build/caur/cmd/caur-exec/internal/builder"
	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
	"github.com/caur-build/caur/cmd/caur-exec/internal/makepkg"
	"github.com/caur-build/caur/pkg/queue"
)

// runDrained starts a builder that drain ends.
func (v *site) runDrained(engine container.Engine, drain <-chan struct{}) (ended <-chan error) {
	done := make(chan error, 1)
	go func() {
		done <- builder.Run(v.ctx, v.s, builder.Deps{
			Queue: v.queue, Logs: v.logs, Log: slog.New(slog.DiscardHandler), Engine: engine, Drain: drain,
		})
	}()
	return done
}

func TestADrainedBuilderFinishesItsBuildsAndTakesNoMore(t *testing.T) {
	v := newSite(t, "BUILDER_JOBS=2")
	v.advertise(nil)
	started, goOn, drain := make(chan string, 2), make(chan struct{}), make(chan struct{})
	ended := v.runDrained(&scripted{play: func(_ context.Context, spec container.Spec, _ io.Writer) (int, error) {
		started <- request(t, spec).Pkgbase
		<-goOn
		return makepkg.CodeAlreadyBuilt, nil
	}}, drain)
	v.enqueue(v.job("caur-greeting"))
	<-started // the other worker is idle
	close(drain)
	v.enqueue(v.job("caur-patched"))
	goOn <- struct{}{}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	v.wantEnd("caur-greeting", queue.AlreadyBuilt, "")
	snapshot, err := v.queue.Snapshot(v.ctx)
	if err != nil || len(snapshot.Waiting) != 1 || len(snapshot.Running) != 0 {
		t.Errorf("%v: waiting %+v, running %+v; want one, none", err, snapshot.Waiting, snapshot.Running)
	}
	v.nothingLeft()
}

func TestAnIdleBuilderThatIsDrainedEnds(t *testing.T) {
	v := newSite(t)
	v.advertise(nil)
	drain := make(chan struct{})
	close(drain)
	if err := <-v.runDrained(&scripted{}, drain); err != nil {
		t.Error(err)
	}
}

// The commit of the pipeline is for statuses and links; what is built is the source commit, or the head of the branch.
func TestTheSourceCommitIsBuiltNotThatOfThePipelineNorTheHead(t *testing.T) {
	v := newSite(t)
	pipeline := v.source.Git("rev-parse", "HEAD")
	v.source.Write("caur-greeting/PKGBUILD", "# the update\n")
	update := v.source.Commit("chore(update): caur-greeting")
	v.source.Write("caur-greeting/PKGBUILD", "# the head\n")
	v.source.Commit("chore(update): caur-greeting again")
	v.advertise(nil)
	built := make(chan string, 1)
	v.run(&scripted{play: func(_ context.Context, spec container.Spec, _ io.Writer) (int, error) {
		text, err := os.ReadFile(filepath.Join(request(t, spec).SourceDir, "PKGBUILD"))
		if err != nil {
			t.Error(err)
		}
		built <- string(text)
		return makepkg.CodeAlreadyBuilt, nil
	}})
	job := v.job("caur-greeting")
	job.Commit = strings.TrimSpace(pipeline) + ":4711"
	for _, c := range []struct{ commit, want string }{{update, "# the update\n"}, {"", "# the head\n"}} {
		job.SourceCommit = c.commit
		v.enqueue(job)
		if got := <-built; got != c.want {
			t.Errorf("source commit %q: built %q, want %q", c.commit, got, c.want)
		}
		v.wantEnd("caur-greeting", queue.AlreadyBuilt, "")
	}
}

func TestPrivilegesAreGivenWhenThisBuilderAllowsThem(t *testing.T) {
	v := newSite(t)
	for name, asked := range map[string]string{"plain": "", "root": "sudo", "admin": "sudo SYS_ADMIN", "odd": "everything"} {
		v.source.Write(name+"/PKGBUILD", "pkgname="+name+"\n")
		v.source.Write(name+"/.CI/config", "BUILDER_PRIVILEGES='"+asked+"'\n")
	}
	v.source.Commit("test: privileges")
	v.advertise(nil)
	given := make(chan []string, 4)
	v.run(&scripted{play: func(_ context.Context, spec container.Spec, _ io.Writer) (int, error) {
		given <- spec.Privileges
		return makepkg.CodeAlreadyBuilt, nil
	}})
	for _, c := range []struct {
		name, given, message string
		status               queue.Status
	}{
		{"plain", "", "", queue.AlreadyBuilt},
		{"root", "sudo", "", queue.AlreadyBuilt},
		{"admin", "", "BUILDER_ALLOW_PRIVILEGES", queue.Failed},
		{"odd", "", "BUILDER_PRIVILEGES", queue.Failed},
	} {
		v.enqueue(v.job(c.name))
		v.wantEnd(c.name, c.status, c.message)
		got := ""
		select {
		case list := <-given:
			got = strings.Join(list, " ")
		default:
		}
		if got != c.given {
			t.Errorf("%s: given %q, want %q", c.name, got, c.given)
		}
	}
}
