package publish

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/caur-build/caur/cmd/caur-exec/internal/landing"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/internal/syncdb/pkgtest"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
)

// station is a repository host: a landing zone, a repository directory, a signing key.
type station struct {
	t     *testing.T
	dir   string // scratch directory, for packages
	repo  string // REPO_PATH
	land  string
	gpg   string
	key   string
	token int64
	o     Options
}

const (
	target = "demo"
	arch   = "x86_64"
)

// exportKey writes the secret key of a GnuPG home, for the signer that starts no process.
func exportKey(t testing.TB, home string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	cmd := exec.Command("gpg", "--homedir", home, "--batch", "--quiet", "--output", path, "--export-secret-keys")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gpg: %v\n%s", err, out)
	}
	return path
}

func newStation(t *testing.T) *station {
	t.Helper()
	s := &station{t: t, dir: t.TempDir()}
	s.repo, s.land = filepath.Join(s.dir, "repo"), filepath.Join(s.dir, "landing")
	s.gpg, s.key = testenv.GPGHome(t)
	zone, err := landing.NewZone(s.land)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := NewKeyFile(exportKey(t, s.gpg), settings.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	s.o = Options{RepoPath: s.repo, Zone: zone, Signer: signer}
	return s
}

func (s *station) publisher() *Publisher {
	s.t.Helper()
	p, err := New(s.o)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// deliver puts package files into the landing zone, as a builder does, and returns the delivery.
func (s *station) deliver(pkgbase string, files ...string) *queue.Delivery {
	s.t.Helper()
	s.token++
	job := &queue.Job{TargetRepo: target, Arch: arch, Pkgbase: pkgbase, SourceRepo: "source"}
	d := &queue.Delivery{ID: fmt.Sprintf("%s:%d", job.ID(), s.token), TargetRepo: target, Job: job, Token: s.token}
	sender, err := landing.NewLocal(s.land, landing.PlaceOf(*job, s.token))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, path := range files {
		f, err := sender.Put(s.t.Context(), path, filepath.Base(path))
		if err != nil {
			s.t.Fatal(err)
		}
		d.Result.Files = append(d.Result.Files, f)
	}
	return d
}

// make writes a small package.
func (s *station) make(spec pkgtest.Spec) string {
	s.t.Helper()
	dir, err := os.MkdirTemp(s.dir, "pkg")
	if err != nil {
		s.t.Fatal(err)
	}
	return pkgtest.Make(s.t, dir, spec)
}

// publish delivers and publishes packages of one pkgbase, which must work.
func (s *station) publish(pkgbase string, specs ...pkgtest.Spec) Outcome {
	s.t.Helper()
	var files []string
	for _, spec := range specs {
		spec.Base = pkgbase
		files = append(files, s.make(spec))
	}
	out, err := s.publisher().Publish(s.t.Context(), s.deliver(pkgbase, files...))
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *station) path(parts ...string) string {
	return filepath.Join(append([]string{s.repo, target}, parts...)...)
}

// versions reads the database: NAME VERSION of each entry.
func (s *station) versions() []string {
	s.t.Helper()
	db, err := syncdb.Open(s.path(arch, target+".db.tar.zst"), s.path(arch, target+".files.tar.zst"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	if missing := db.WithoutFiles(); len(missing) != 0 {
		s.t.Errorf("%d entries without file list, the first is %s", len(missing), missing[0].Name)
	}
	return entries(db)
}

func entries(db *syncdb.DB) []string {
	var all []string
	for e := range db.Each() {
		all = append(all, e.Name+" "+e.Version)
	}
	return all
}

// check demands that the repository is what a reader may see: every entry has its package and a signature of our key
// that is also in the entry, nothing temporary is outside of the hidden directory, links and lists are right.
func (s *station) check(want ...string) {
	s.t.Helper()
	if got := s.versions(); !slices.Equal(got, want) {
		s.t.Errorf("database holds %q, want %q", got, want)
	}
	db, err := syncdb.Read(s.path(arch, target+".db.tar.zst"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	for e := range db.Each() {
		p, err := e.Package()
		if err != nil {
			s.t.Fatal(err)
		}
		onDisk, err := syncdb.ReadPackage(s.path(arch, e.Filename))
		if err != nil || onDisk.SHA256 != p.SHA256 || string(onDisk.PGPSig) != string(p.PGPSig) || len(p.PGPSig) == 0 {
			s.t.Errorf("%s: file and entry differ: %v", e.Filename, err)
		}
		if onDisk != nil && string(onDisk.Desc()) != e.Desc() {
			s.t.Errorf("%s: desc is\n%s\nwant\n%s", e.Filename, e.Desc(), onDisk.Desc())
		}
	}
	s.verifySignatures()
	s.checkLists(want)
	for _, kind := range []string{"db", "files"} {
		if to, err := os.Readlink(s.path(arch, target+"."+kind)); err != nil || to != target+"."+kind+".tar.zst" {
			s.t.Errorf("link %s.%s is %q, %v", target, kind, to, err)
		}
	}
	if exists(s.path(".caur", arch, "stage")) || exists(s.path(".caur", arch, "journal.json")) || exists(s.path(".caur", arch, "journal.json.part")) {
		s.t.Error("a stage or journal is left")
	}
}

// verifySignatures checks every signature in the architecture's directory, the databases' too.
func (s *station) verifySignatures() {
	s.t.Helper()
	signer, ok := s.o.Signer.(*KeyFile)
	if !ok {
		return // pacman will tell
	}
	sigs, err := filepath.Glob(s.path(arch, "*.sig"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, sig := range sigs {
		signed, err := os.Open(strings.TrimSuffix(sig, ".sig"))
		if err != nil {
			s.t.Errorf("a signature of nothing: %v", err)
			continue
		}
		raw, err := os.ReadFile(sig)
		if err == nil {
			_, err = openpgp.CheckDetachedSignature(openpgp.EntityList{signer.entity}, signed, bytes.NewReader(raw), nil)
		}
		signed.Close()
		if err != nil {
			s.t.Errorf("%s: %v", filepath.Base(sig), err)
		}
	}
}

func (s *station) checkLists(versions []string) {
	s.t.Helper()
	var packages []string
	for _, v := range versions {
		packages = append(packages, strings.ReplaceAll(v, " ", "-")+"/\n")
	}
	slices.Sort(packages)
	if got := s.read("pkgs.txt"); got != strings.Join(packages, "") {
		s.t.Errorf("pkgs.txt is %q, want %q", got, packages)
	}
	var files []string
	entries, err := os.ReadDir(s.path(arch))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.Contains(name, ".pkg.tar"):
			files = append(files, name+"\n")
		case !strings.HasPrefix(name, target+".db") && !strings.HasPrefix(name, target+".files"):
			s.t.Errorf("%s is in the architecture's directory", name)
		}
	}
	if got := s.read("pkgs.files.txt"); got != strings.Join(files, "") {
		s.t.Errorf("pkgs.files.txt is %q, want %q", got, files)
	}
	if got := s.read("lastupdate"); len(got) != 11 || got[10] != '\n' {
		s.t.Errorf("lastupdate is %q", got)
	}
}

func (s *station) read(rel string) string {
	s.t.Helper()
	data, err := os.ReadFile(s.path(rel))
	if err != nil {
		s.t.Error(err)
	}
	return string(data)
}

func (s *station) archived() []string {
	s.t.Helper()
	entries, err := os.ReadDir(s.path("archive"))
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func cleanup(pkgbases ...string) *queue.Delivery {
	return &queue.Delivery{ID: "cleanup", TargetRepo: target, Cleanup: &queue.Cleanup{TargetRepo: target, Arch: arch, Pkgbases: pkgbases}}
}

func neverWanted(err error) func(context.Context, *queue.Delivery) error {
	return func(context.Context, *queue.Delivery) error { return err }
}

func later(d time.Duration) func() time.Time { return func() time.Time { return time.Now().Add(d) } }
