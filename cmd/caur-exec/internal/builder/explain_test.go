package builder_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
	"github.com/caur-build/caur/cmd/caur-exec/internal/failure"
	"github.com/caur-build/caur/cmd/caur-exec/internal/makepkg"
	"github.com/caur-build/caur/pkg/queue"
)

// ends gives the events of all jobs that ended or were given back, oldest first, up to the end of the job of that pkgbase.
func (v *site) ends(last string) (out []queue.Event) {
	v.t.Helper()
	for e, err := range v.queue.Events(v.ctx, "") {
		if err != nil {
			v.t.Fatal(err)
		}
		if e.Kind == queue.EventEnded || e.Kind == queue.EventRequeued {
			out = append(out, e)
		}
		if e.Kind == queue.EventEnded && e.Job.Pkgbase == last {
			break
		}
	}
	return out
}

func TestAFailedBuildSaysWhyInItsLogAndItsEvent(t *testing.T) {
	v := newSite(t)
	v.advertise(nil)
	logs := map[string]string{
		"caur-greeting": "==> Starting check()...\n--- FAIL: TestX (0.00s)\n==> ERROR: A failure occurred in check().\n    Aborting...\n",
		"caur-hello":    "[caur: the build ran out of memory; its limit is 512 MiB (BUILDER_LIMITS_RAM)]\n",
		"caur-patched":  "\x1b[1m==> ERROR:\x1b[0m One or more files did not pass the validity check!\n",
	}
	v.run(&scripted{play: func(_ context.Context, spec container.Spec, out io.Writer) (int, error) {
		if _, err := io.WriteString(out, logs[request(t, spec).Pkgbase]); err != nil {
			t.Error(err)
		}
		return 4, nil
	}})

	v.enqueue(v.job("caur-greeting"), v.job("caur-hello"), v.job("caur-patched"), v.job("nowhere"))
	for pkgbase, class := range map[string]string{
		"caur-greeting": failure.Test, "caur-hello": failure.Memory, "caur-patched": failure.Checksum, "nowhere": failure.Package,
	} {
		v.wantEnd(pkgbase, queue.Failed, "")
		if log := v.log(pkgbase); !strings.Contains(log, "==> caur: reason: "+class+"\n") {
			t.Errorf("%s: the log does not tell %s:\n%s", pkgbase, class, log)
		}
		events := v.ends(pkgbase)
		if f := events[len(events)-1].Failure; f == nil || f.Class != class || len(f.Lines) == 0 {
			t.Errorf("%s: the event tells %+v, want %s", pkgbase, f, class)
		}
	}
}

const noHost = "curl: (6) Could not resolve host: example.org\n==> ERROR: Failure while downloading https://example.org/x.tar\n    Aborting...\n"

func TestABuildWhoseSourceDidNotComeIsTriedOnceMoreLater(t *testing.T) {
	v := newSite(t)
	v.s.RetryAfter = time.Second
	v.advertise(nil)
	tries := make(map[string]int) // one worker: nothing is at once
	v.run(&scripted{play: func(_ context.Context, spec container.Spec, out io.Writer) (int, error) {
		name := request(t, spec).Pkgbase
		tries[name]++
		if name == "caur-hello" && tries[name] == 2 {
			return makepkg.CodeAlreadyBuilt, nil
		}
		text := noHost
		if name == "caur-patched" {
			text = "1 out of 1 hunk FAILED -- saving rejects to file x.rej\n==> ERROR: A failure occurred in prepare().\n"
		}
		if _, err := io.WriteString(out, text); err != nil {
			t.Error(err)
		}
		return 1, nil
	}})
	v.enqueue(v.job("caur-hello"), v.job("caur-patched"), v.job("caur-greeting"))
	v.wantEnd("caur-hello", queue.AlreadyBuilt, "")
	v.wantEnd("caur-patched", queue.Failed, "")
	v.wantEnd("caur-greeting", queue.Failed, "")
	for name, want := range map[string][]queue.EventKind{
		"caur-hello":    {queue.EventRequeued, queue.EventEnded}, // the mirror was back
		"caur-greeting": {queue.EventRequeued, queue.EventEnded}, // it was not
		"caur-patched":  {queue.EventEnded},                      // no time mends that
	} {
		var kinds []queue.EventKind
		for _, e := range v.ends(name) {
			if e.Job.Pkgbase != name {
				continue
			}
			kinds = append(kinds, e.Kind)
			if e.Status == queue.Failed && (e.Failure == nil || name == "caur-greeting" && e.Failure.Class != failure.Download) {
				t.Errorf("%s: %s tells %+v", name, e.Kind, e.Failure)
			}
		}
		if !slices.Equal(kinds, want) {
			t.Errorf("%s: %v, want %v", name, kinds, want)
		}
	}
	if log := v.log("caur-greeting"); strings.Count(log, "Could not resolve host") != 2 || !strings.Contains(log, "tried once more in 1s") {
		t.Errorf("the log does not hold both tries:\n%s", log)
	}
}

func TestNoBuildIsTriedAgainWhereThatIsSwitchedOff(t *testing.T) {
	v := newSite(t)
	v.s.RetryAfter = 0
	v.advertise(nil)
	v.run(&scripted{play: func(_ context.Context, _ container.Spec, out io.Writer) (int, error) {
		_, err := io.WriteString(out, noHost)
		return 1, err
	}})
	v.enqueue(v.job("caur-greeting"))
	v.wantEnd("caur-greeting", queue.Failed, "")
	if events := v.ends("caur-greeting"); len(events) != 1 {
		t.Errorf("%+v", events)
	}
}
