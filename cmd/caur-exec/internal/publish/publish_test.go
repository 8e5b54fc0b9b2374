package publish

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/internal/syncdb/pkgtest"
	"github.com/caur-build/caur/pkg/queue"
)

func TestPublish(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	out := s.publish("foo", pkgtest.Spec{Name: "foo"}, pkgtest.Spec{Name: "foo-data"})
	if len(out.Added) != 2 || len(out.Present) != 0 || len(out.Removed) != 0 {
		t.Errorf("first: %+v", out)
	}
	s.check("foo 1-1", "foo-data 1-1")

	out = s.publish("foo", pkgtest.Spec{Name: "foo", Version: "1-2"}, pkgtest.Spec{Name: "foo-data", Version: "1-2", Arch: "x86_64"})
	if len(out.Added) != 2 || !slices.Equal(out.Removed, []string{"foo-1-1-any.pkg.tar.zst", "foo-data-1-1-any.pkg.tar.zst"}) {
		t.Errorf("update: %+v", out)
	}
	s.check("foo 1-2", "foo-data 1-2")
	want := []string{"foo-1-1-any.pkg.tar.zst", "foo-1-1-any.pkg.tar.zst.sig", "foo-data-1-1-any.pkg.tar.zst", "foo-data-1-1-any.pkg.tar.zst.sig"}
	if got := s.archived(); !slices.Equal(got, want) {
		t.Errorf("archive holds %q", got)
	}

	s.publish("bar", pkgtest.Spec{Name: "bar", Version: "1:0.1-1"})
	s.check("bar 1:0.1-1", "foo 1-2", "foo-data 1-2")
}

func TestPublishingTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	d := s.deliver("foo", s.make(pkgtest.Spec{Name: "foo"}))
	p := s.publisher()
	if _, err := p.Publish(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(s.path(arch, "demo.db.tar.zst"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.Publish(t.Context(), d)
	if err != nil || len(out.Added) != 0 || len(out.Present) != 1 {
		t.Errorf("again: %+v, %v", out, err)
	}
	after, err := os.Stat(s.path(arch, "demo.db.tar.zst"))
	if err != nil || !os.SameFile(before, after) {
		t.Error("the database was written again")
	}
	s.check("foo 1-1")
}

func TestWhatIsMissingOfASplitPackageIsPublished(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.publish("foo", pkgtest.Spec{Name: "foo"})
	out := s.publish("foo", pkgtest.Spec{Name: "foo"}, pkgtest.Spec{Name: "foo-data"})
	if !slices.Equal(out.Present, []string{"foo-1-1-any.pkg.tar.zst"}) || !slices.Equal(out.Added, []string{"foo-data-1-1-any.pkg.tar.zst"}) {
		t.Errorf("%+v", out)
	}
	s.check("foo 1-1", "foo-data 1-1")
}

func TestAFileThatLiesThereWithoutEntryOrSignatureIsTakenIn(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.publish("bar", pkgtest.Spec{Name: "bar"})
	data, err := os.ReadFile(s.make(pkgtest.Spec{Name: "foo"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path(arch, "foo-1-1-any.pkg.tar.zst"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	s.publish("foo", pkgtest.Spec{Name: "foo"})
	s.check("bar 1-1", "foo 1-1")
	if err := os.Remove(s.path(arch, "foo-1-1-any.pkg.tar.zst.sig")); err != nil {
		t.Fatal(err)
	}
	s.publish("foo", pkgtest.Spec{Name: "foo"})
	s.check("bar 1-1", "foo 1-1")
}

func TestPublishRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		what   string
		change func(s *station, d *queue.Delivery)
		specs  []pkgtest.Spec
		base   string
		err    string
	}{
		{what: "other content under the same name", base: "old", specs: []pkgtest.Spec{{Name: "old", Version: "2-1", Content: "other"}}, err: "with other content: raise pkgrel"},
		{what: "an older version", base: "old", specs: []pkgtest.Spec{{Name: "old", Version: "1.9-9"}}, err: "old 1.9-9 is older than 2-1"},
		{what: "a package of another pkgbase", base: "thief", specs: []pkgtest.Spec{{Name: "old", Version: "3-1", Base: "thief"}}, err: "package old belongs to pkgbase old in the repository, so thief may not replace it"},
		{what: "a lie about the pkgbase", base: "foo", specs: []pkgtest.Spec{{Name: "foo", Base: "other"}}, err: "says that its pkgbase is other, the job builds foo"},
		{what: "an unconfigured target repo", base: "foo", specs: []pkgtest.Spec{{Name: "foo", Base: "foo"}}, err: "target repo nowhere is not configured",
			change: func(s *station, d *queue.Delivery) { d.Job.TargetRepo = "nowhere" }},
		{what: "a path as target repo", base: "foo", specs: []pkgtest.Spec{{Name: "foo", Base: "foo"}}, err: "not a legal name of a repository",
			change: func(s *station, d *queue.Delivery) { d.Job.TargetRepo = "../demo" }},
		{what: "the archive as architecture", base: "foo", specs: []pkgtest.Spec{{Name: "foo", Base: "foo"}}, err: "not a legal name of an architecture",
			change: func(s *station, d *queue.Delivery) { d.Job.Arch = "archive" }},
		{what: "no files", base: "foo", err: "delivered no files"},
		{what: "a package that the job does not build", base: "foo", specs: []pkgtest.Spec{{Name: "foo", Base: "foo"}}, err: "is not a package of foo, which builds bar",
			change: func(s *station, d *queue.Delivery) { d.Job.Pkgnames = []string{"bar"} }},
		{what: "a wrong hash", base: "foo", specs: []pkgtest.Spec{{Name: "foo", Base: "foo"}}, err: "SHA-256",
			change: func(s *station, d *queue.Delivery) { d.Result.Files[0].SHA256 = strings.Repeat("0", 64) }},
		{what: "a wrong size", base: "foo", specs: []pkgtest.Spec{{Name: "foo", Base: "foo"}}, err: "has not the",
			change: func(s *station, d *queue.Delivery) { d.Result.Files[0].Size-- }},
		{what: "an upload of another token", base: "foo", specs: []pkgtest.Spec{{Name: "foo", Base: "foo"}}, err: "no such file",
			change: func(s *station, d *queue.Delivery) { d.Token = 999 }},
		{what: "an illegal name", base: "foo", specs: []pkgtest.Spec{{Name: "foo", Base: "foo"}}, err: "not a legal package file name",
			change: func(s *station, d *queue.Delivery) { d.Result.Files[0].Name = "../foo-1-1-any.pkg.tar.zst" }},
		{what: "a name that is not that of the content", base: "foo", specs: []pkgtest.Spec{{Name: "foo", Base: "foo"}}, err: "does not match its content",
			change: rename("foo-9-1-any.pkg.tar.zst")},
		{what: "a link", base: "foo", specs: []pkgtest.Spec{{Name: "foo", Base: "foo"}}, err: "is a link",
			change: func(s *station, d *queue.Delivery) {
				at := filepath.Join(s.land, target, arch, "foo", "2", d.Result.Files[0].Name)
				if err := errors.Join(os.Rename(at, at+".x"), os.Symlink(at+".x", at)); err != nil {
					s.t.Fatal(err)
				}
			}},
		{what: "something that is no package", base: "foo", specs: []pkgtest.Spec{{Name: "foo", Base: "foo", Extra: "pkgname = twice\n"}}, err: ".PKGINFO:11: pkgname: given twice"},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			s := newStation(t)
			s.o.TargetRepo = func(repo string) bool { return repo != "nowhere" }
			s.publish("old", pkgtest.Spec{Name: "old", Version: "2-1"})
			var files []string
			for _, spec := range tt.specs {
				files = append(files, s.make(spec))
			}
			if tt.base == "old" {
				for i := range tt.specs {
					tt.specs[i].Base = "old"
				}
			}
			d := s.deliver(tt.base, files...)
			if tt.change != nil {
				tt.change(s, d)
			}
			_, err := s.publisher().Publish(t.Context(), d)
			var refused *Refused
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error is %v, want %q", err, tt.err)
			}
			s.check("old 2-1")
		})
	}
}

// rename gives the first delivered file another name, in the zone too.
func rename(to string) func(*station, *queue.Delivery) {
	return func(s *station, d *queue.Delivery) {
		dir := filepath.Join(s.land, target, arch, d.Job.Pkgbase, "2")
		if err := os.Rename(filepath.Join(dir, d.Result.Files[0].Name), filepath.Join(dir, to)); err != nil {
			s.t.Fatal(err)
		}
		d.Result.Files[0].Name = to
	}
}

func TestAHigherEpochAndForceAllowOlderVersions(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.publish("foo", pkgtest.Spec{Name: "foo", Version: "2-1"})
	s.publish("foo", pkgtest.Spec{Name: "foo", Version: "1:1-1"})
	s.check("foo 1:1-1")
	s.o.Force = true
	s.publish("foo", pkgtest.Spec{Name: "foo", Version: "1-1"})
	s.publish("bar", pkgtest.Spec{Name: "foo", Version: "1-2"})
	s.check("foo 1-2")
}

func TestADeliveryThatIsNoLongerWantedLeavesNoTrace(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.publish("foo", pkgtest.Spec{Name: "foo"})
	for _, reason := range []error{queue.ErrLeaseLost, queue.ErrCanceled} {
		s.o.StillWanted = neverWanted(reason)
		_, err := s.publisher().Publish(t.Context(), s.deliver("foo", s.make(pkgtest.Spec{Name: "foo", Version: "2-1"})))
		if !errors.Is(err, reason) {
			t.Errorf("error is %v, want %v", err, reason)
		}
		if _, err := s.publisher().Cleanup(t.Context(), cleanup("bar")); err == nil {
			t.Error("cleaned up")
		}
		s.check("foo 1-1")
	}
}

func TestASignerThatFailsLeavesNoTrace(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.publish("foo", pkgtest.Spec{Name: "foo"})
	broken := errors.New("no key today")
	for n := range 4 {
		s.o.SignDB = true
		signer := s.o.Signer
		s.o.Signer = &failing{Signer: signer, after: n, err: broken}
		_, err := s.publisher().Publish(t.Context(), s.deliver("bar", s.make(pkgtest.Spec{Name: "bar"}), s.make(pkgtest.Spec{Name: "bar-data", Base: "bar"})))
		if !errors.Is(err, broken) {
			t.Errorf("signature %d: %v", n, err)
		}
		var refused *Refused
		if errors.As(err, &refused) {
			t.Error("a broken signer is held against the package")
		}
		s.o.Signer = signer
		s.check("foo 1-1")
	}
}

type failing struct {
	Signer
	after int
	err   error
}

func (f *failing) Sign(ctx context.Context, path string) ([]byte, error) {
	if f.after--; f.after < 0 {
		return nil, f.err
	}
	return f.Signer.Sign(ctx, path)
}

func TestSignedDatabases(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.o.SignDB = true
	s.publish("foo", pkgtest.Spec{Name: "foo"})
	s.check("foo 1-1")
	for _, kind := range []string{"db", "files"} {
		if to, err := os.Readlink(s.path(arch, "demo."+kind+".sig")); err != nil || to != "demo."+kind+".tar.zst.sig" {
			t.Errorf("link demo.%s.sig: %q, %v", kind, to, err)
		}
	}
	s.o.SignDB = false // then the old signatures would be wrong
	s.publish("foo", pkgtest.Spec{Name: "foo", Version: "2-1"})
	s.check("foo 2-1")
	if left, err := filepath.Glob(s.path(arch, "demo.*.sig")); err != nil || len(left) != 0 {
		t.Errorf("stale signatures: %v, %v", left, err)
	}
}

func TestSeveralArchitecturesShareTheListsAndNothingElse(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.publish("foo", pkgtest.Spec{Name: "foo"})
	d := s.deliver("foo", s.make(pkgtest.Spec{Name: "foo"}), s.make(pkgtest.Spec{Name: "foo-arm", Base: "foo", Arch: "aarch64"}))
	for _, f := range d.Result.Files { // the same upload, for the other architecture
		from := filepath.Join(s.land, target, arch, "foo", "2", f.Name)
		to := filepath.Join(s.land, target, "aarch64", "foo", "2", f.Name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.Rename(from, to)); err != nil {
			t.Fatal(err)
		}
	}
	d.Job.Arch = "aarch64"
	if _, err := s.publisher().Publish(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if got := s.versions(); !slices.Equal(got, []string{"foo 1-1"}) {
		t.Errorf("x86_64: %v", got)
	}
	if got := s.read("pkgs.txt"); got != "foo-1-1/\nfoo-arm-1-1/\n" {
		t.Errorf("pkgs.txt: %q", got)
	}
	if got := s.read("pkgs.files.txt"); strings.Count(got, "\n") != 4 {
		t.Errorf("pkgs.files.txt: %q", got)
	}
}

func TestADatabaseThatIsGoneIsNotTakenForAnEmptyOne(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.publish("foo", pkgtest.Spec{Name: "foo"})
	if err := os.Remove(s.path(arch, "demo.db.tar.zst")); err != nil {
		t.Fatal(err)
	}
	_, err := s.publisher().Publish(t.Context(), s.deliver("bar", s.make(pkgtest.Spec{Name: "bar"})))
	if err == nil || !strings.Contains(err.Error(), "no database") {
		t.Errorf("error is %v", err)
	}
}

func TestLostFileListsComeBackWithTheNextPublish(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.publish("foo", pkgtest.Spec{Name: "foo"})
	s.publish("bar", pkgtest.Spec{Name: "bar"})
	if err := os.Remove(s.path(arch, "demo.files.tar.zst")); err != nil {
		t.Fatal(err)
	}
	s.publish("baz", pkgtest.Spec{Name: "baz"})
	s.check("bar 1-1", "baz 1-1", "foo 1-1")
	db, err := syncdb.Open(s.path(arch, "demo.db"), s.path(arch, "demo.files"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if files, err := db.Files("foo"); err != nil || !slices.Equal(files, []string{"usr/", "usr/share/", "usr/share/foo"}) {
		t.Errorf("%v, %v", files, err)
	}
}

func TestPublishersAtTheSameTimeTakeTurns(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	var deliveries []*queue.Delivery
	var want []string
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		deliveries = append(deliveries, s.deliver(name, s.make(pkgtest.Spec{Name: name})))
		want = append(want, name+" 1-1")
	}
	var wg sync.WaitGroup
	for _, d := range deliveries {
		p := s.publisher()
		wg.Go(func() {
			if _, err := p.Publish(t.Context(), d); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s.check(want...)

	unlock, err := s.publisher().lock(t.Context(), s.path())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.publisher().Publish(ctx, s.deliver("g", s.make(pkgtest.Spec{Name: "g"}))); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while another holds the lock: %v", err)
	}
}
