package queue

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func exported(t *testing.T, q *Queue) string {
	t.Helper()
	var b bytes.Buffer
	_, err := q.Export(t.Context(), &b)
	must(t, err)
	return b.String()
}

func TestAQueueMovesToAnotherRedis(t *testing.T) {
	from, to := newQueue(t), newQueue(t)
	special := job("special: run")
	special.Priority, special.NotBefore, special.Provides = 5, time.Now().Add(time.Hour).UnixMilli(), []string{"x"}
	enqueue(t, from, jobs("run", "deliver", "a: b", "b: a", "wait: run")...)
	_, err := from.Enqueue(t.Context(), Batch{Jobs: []Job{special}, Cleanup: &Cleanup{TargetRepo: repo, Arch: arch, Pkgbases: []string{"a"}}})
	must(t, err)
	must(t, from.Prioritise(t.Context(), id("wait"), 3))
	mustClaim(t, from, "run")
	deliver(t, from, claim(t, from))
	file := exported(t, from)
	e, err := to.Import(t.Context(), strings.NewReader(file))
	must(t, err)
	if len(e.Added) != 6 || e.Duplicate || len(e.LeftOut) != 0 {
		t.Fatalf("imported %+v", e)
	}
	// Again, and again after some of it is built: nothing.
	for range 2 {
		e, err = to.Import(t.Context(), strings.NewReader(file))
		must(t, err)
		if !e.Duplicate || len(e.Added) != 0 {
			t.Fatalf("imported again %+v", e)
		}
		fail(t, to, claim(t, to))
	}
	fresh := newQueue(t)
	enqueue(t, fresh, job("run"))
	e, err = fresh.Import(t.Context(), strings.NewReader(file))
	must(t, err)
	if !slices.Equal(e.LeftOut, []string{id("run")}) || len(e.Added) != 5 {
		t.Fatalf("imported %+v", e)
	}
	// All that was said of a job is there again, and the order in which they were enqueued.
	want, got := strings.Split(file, "\n"), strings.Split(exported(t, fresh), "\n")
	strip := func(lines []string) (out []string) {
		for _, l := range lines {
			before, after, found := strings.Cut(l, `"timestamp":`)
			if found {
				l = before + after[strings.IndexAny(after, ",}"):]
			}
			out = append(out, l)
		}
		slices.Sort(out)
		return out
	}
	if diff := cmp.Diff(strip(want), strip(got)); diff != "" {
		t.Fatal(diff)
	}
}

func TestAFileThatIsNoExportChangesNothing(t *testing.T) {
	q := newQueue(t)
	good := `{"caur_queue":1,"jobs":1}` + "\n" + `{"job":{"pkgbase":"foo","target_repo":"r","arch":"x86_64","build_class":"1","pkgnames":["foo"],"source_repo":"s"}}` + "\n"
	for name, text := range map[string]string{
		"nothing":         "{}",
		"no JSON":         "pkgbase=foo",
		"another version": strings.Replace(good, `"caur_queue":1`, `"caur_queue":2`, 1),
		"cut off":         strings.SplitAfter(good, "\n")[0],
		"an empty line":   good + "{}\n",
		"unknown fields":  strings.Replace(good, `"arch"`, `"arches"`, 1),
		"an illegal name": strings.Replace(good, `"pkgbase":"foo"`, `"pkgbase":"../foo"`, 1),
		"a huge line":     good + strings.Repeat("x", maxExportLine+1),
	} {
		if _, err := q.Import(t.Context(), strings.NewReader(text)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if s := snapshot(t, q); len(s.Waiting) > 0 {
		t.Fatalf("something was enqueued: %+v", s.Waiting)
	}
	if _, err := q.Import(t.Context(), strings.NewReader(good)); err != nil {
		t.Fatal(err)
	}
}
