package publish

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/internal/syncdb/pkgtest"
)

// quick is a disk that survives no loss of power: for tests of many publishes.
type quick struct{ osDisk }

func (quick) Sync(string) error { return nil }

// fetch gets an address as pacman does: redirects are followed, and from tells where they led.
func fetch(client *http.Client, address string) (body []byte, from string, err error) {
	res, err := client.Get(address)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, "", fmt.Errorf("%s: %s", address, res.Status)
	}
	body, err = io.ReadAll(res.Body)
	return body, res.Request.URL.String(), err
}

// Readers download the database and then its signature, in a loop, while 200 publishes happen: each pair must verify.
// Among them is pacman that demands signatures of packages and databases, and one time in two asks only for what is new.
func TestEveryReaderGetsAPairThatVerifiesDuring200Publishes(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.o.SignDB = true
	p := s.publisher()
	p.disk = quick{}
	version := func(n int) pkgtest.Spec {
		return pkgtest.Spec{Name: "foo", Base: "foo", Version: fmt.Sprintf("%d-1", n)}
	}
	if _, err := p.Publish(t.Context(), s.deliver("foo", s.make(version(0)))); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(NewServer(s.repo))
	defer server.Close()
	address := server.URL + "/" + target + "/" + arch + "/"
	ring := openpgp.EntityList{s.o.Signer.(*KeyFile).entity}
	c := newClient(t, s, "Required DatabaseRequired", true)
	conf, err := os.ReadFile(c.conf)
	if err == nil {
		err = os.WriteFile(c.conf, bytes.Replace(conf, []byte("file://"+s.path(arch)), []byte(server.URL+"/$repo/$arch"), 1), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	// read repeats until the end, and then once more, at most as often as turns are given.
	turns := make(chan struct{}, 24)
	read := func(what string, once func(n int) error) {
		readers.Go(func() {
			n := 0
			for last := false; !last; n++ {
				if what != "pacman" {
					select {
					case <-turns:
					case <-ctx.Done():
					}
				}
				last = ctx.Err() != nil
				if err := once(n); err != nil {
					t.Errorf("%s, time %d: %v", what, n, err)
					return
				}
			}
			t.Logf("%s: %d times", what, n)
		})
	}
	verify := func(kind string, signed func(db string) string) error {
		db, from, err := fetch(server.Client(), address+target+kind)
		if err != nil {
			return err
		}
		sig, _, err := fetch(server.Client(), signed(from))
		if err == nil {
			_, err = openpgp.CheckDetachedSignature(ring, bytes.NewReader(db), bytes.NewReader(sig), nil)
		}
		return err
	}
	for _, kind := range []string{".db", ".files"} {
		read("reader of "+kind, func(int) error { return verify(kind, func(db string) string { return db + ".sig" }) })
	}
	read("pacman", func(n int) error {
		out, err := c.try([]string{"-Sy", "-Syy"}[n%2])
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
	// One that asks for the signature where a server that knows of nothing has it. It cannot always get the right one.
	asked, wrong := 0, 0
	read("reader of a server that only has files", func(int) error {
		asked++
		if verify(".db.tar.zst", func(db string) string { return db + ".sig" }) != nil {
			wrong++
		}
		return nil
	})
	for n := range 200 {
		for range cap(turns) - len(turns) {
			turns <- struct{}{}
		}
		if _, err := p.Publish(t.Context(), s.deliver("foo", s.make(version(n+1)))); err != nil {
			t.Error(err)
			break
		}
	}
	stop()
	readers.Wait()
	t.Logf("without redirects %d of %d pairs did not verify", wrong, asked)
	if info := c.pacman("-Si", "foo"); !strings.Contains(info, "200-1") {
		t.Errorf("in the end pacman sees\n%s", info)
	}
}

// Why there is a server: a signature file that holds the signatures of two databases is no way out. gpg ends with an error
// when one is bad, and libalpm wants all to be good.
func TestPacmanWantsEverySignatureInAFileToBeGood(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.o.SignDB = true
	s.publish("foo", pkgtest.Spec{Name: "foo"})
	before := s.read(arch + "/demo.db.tar.zst.sig")
	s.publish("foo", pkgtest.Spec{Name: "foo", Version: "2-1"})
	now := s.read(arch + "/demo.db.tar.zst.sig")
	for _, signatures := range []string{before + now, now + before, before} {
		if err := os.WriteFile(s.path(arch, "demo.db.tar.zst.sig"), []byte(signatures), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := newClient(t, s, "Required DatabaseRequired", true).try("-Sy"); err == nil || !strings.Contains(out, "is invalid") {
			t.Errorf("pacman takes a signature file with a bad one: %v\n%s", err, out)
		}
	}
	if err := os.WriteFile(s.path(arch, "demo.db.tar.zst.sig"), []byte(now), 0o644); err != nil {
		t.Fatal(err)
	}
	newClient(t, s, "Required DatabaseRequired", true).pacman("-Sy")
}

// In HTTP, times have whole seconds: two publishes in one must look different all the same.
func TestEachDatabaseIsASecondYoungerThanTheLast(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.o.SignDB = true
	at := time.Date(2030, 1, 1, 0, 0, 0, 900e6, time.UTC)
	s.o.Now = func() time.Time { return at }
	last := int64(0)
	for n := range 3 {
		s.publish("foo", pkgtest.Spec{Name: "foo", Version: fmt.Sprintf("%d-1", n)})
		for _, name := range []string{"demo.db", "demo.db.sig", "demo.files", "demo.files.sig"} {
			st, err := os.Stat(s.path(arch, name))
			if err != nil || st.ModTime().Unix() != at.Unix()+int64(n) {
				t.Errorf("publish %d: %s is of %v, %v", n, name, st.ModTime(), err)
			}
			last = st.ModTime().Unix()
		}
	}
	at = time.Unix(last+1, 5e8)
	s.publish("foo", pkgtest.Spec{Name: "foo", Version: "9-1"})
	if st, err := os.Stat(s.path(arch, "demo.db")); err != nil || !st.ModTime().Equal(at) {
		t.Errorf("when there is no need the time is that of the publish, not %v, %v", st.ModTime(), err)
	}
}

func TestOldPairsAreRemoved(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.o.SignDB = true
	pairs := func() int {
		t.Helper()
		entries, err := os.ReadDir(s.path(".caur", arch, "pairs"))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries) - 1 // current
	}
	for n := range 3 {
		s.publish("foo", pkgtest.Spec{Name: "foo", Version: fmt.Sprintf("%d-1", n)})
	}
	if pairs() != 3 {
		t.Errorf("%d pairs after three publishes", pairs())
	}
	s.o.Now = later(keepPairs + time.Minute)
	s.publish("foo", pkgtest.Spec{Name: "foo", Version: "3-1"})
	if pairs() != 2 { // the one before it may still be read: it was current a moment ago
		t.Errorf("%d pairs later", pairs())
	}
	s.checkPair()
	s.o.Now, s.o.SignDB = nil, false
	s.publish("foo", pkgtest.Spec{Name: "foo", Version: "4-1"})
	server := httptest.NewServer(NewServer(s.repo))
	defer server.Close()
	db, from, err := fetch(server.Client(), server.URL+"/demo/x86_64/demo.db")
	if err != nil || strings.Contains(from, "@") || string(db) != s.read(arch+"/demo.db.tar.zst") {
		t.Errorf("a database that is not signed any more comes from %s: %v", from, err)
	}
}

func TestServerServesRepositoriesAndNothingElse(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.o.SignDB = true
	s.publish("foo", pkgtest.Spec{Name: "foo"})
	s.publish("foo", pkgtest.Spec{Name: "foo", Version: "2-1"})
	secret := filepath.Join(s.dir, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, s.path(arch, "leak")); err != nil {
		t.Fatal(err)
	}
	server := NewServer(s.repo)
	get := func(method, path string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://repo.example.org/", nil)
		r.URL.Path = path
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		return w
	}
	for path, want := range map[string]int{
		"/demo/lastupdate": 200, "/demo/pkgs.txt": 200, "/demo/pkgs.files.txt": 200,
		"/demo/x86_64/foo-2-1-any.pkg.tar.zst": 200, "/demo/x86_64/foo-2-1-any.pkg.tar.zst.sig": 200, "/demo/archive/foo-1-1-any.pkg.tar.zst": 200,
		"/demo/x86_64/demo.db": 302, "/demo/x86_64/demo.files": 302, "/demo/x86_64/demo.db.sig": 200, "/demo/x86_64/demo.db.tar.zst": 200,
		"/demo/x86_64/leak": 404, "/demo/x86_64/none": 404, "/demo/x86_64": 404, "/demo/x86_64/": 404, "/demo": 404, "/": 404, "": 404,
		"/demo/.caur/lock": 404, "/demo/.caur/x86_64/journal.json": 404, "/demo/x86_64/../../../secret": 404, "/demo/../../secret": 404,
		"/demo/x86_64/@current/demo.db": 200, "/demo/x86_64/@none/demo.db": 404, "/demo/x86_64/@../journal.json": 404, "/demo/x86_64/@/demo.db": 404,
		"/demo/x86_64/@../../x/lock": 404, "/demo/x86_64/a/b/c": 404, "/demo//lastupdate": 404, "/demo/x86_64/a\\b": 404, "/demo/x86_64/a\x00": 404,
	} {
		if w := get(http.MethodGet, path); w.Code != want {
			t.Errorf("%q: %d, want %d", path, w.Code, want)
		} else if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%q leaks", path)
		}
	}
	location := get(http.MethodGet, "/demo/x86_64/demo.db").Header().Get("Location")
	w := get(http.MethodHead, "/demo/x86_64/"+location)
	if w.Code != 200 || !strings.HasPrefix(location, "@") || strings.Contains(location, "//") || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("the pair is at %q: %d, %v", location, w.Code, w.Header())
	}
	if w := get(http.MethodPost, "/demo/lastupdate"); w.Code != 405 || w.Header().Get("Allow") == "" {
		t.Errorf("POST: %d", w.Code)
	}
	db, err := syncdb.Read(s.path(".caur", arch, "pairs", location[1:strings.IndexByte(location, '/')], "demo.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if e, found := db.Get("foo"); !found || e.Version != "2-1" {
		t.Errorf("the pair holds %+v", e)
	}
	if w := httptest.NewRecorder(); true {
		NewServer(filepath.Join(s.dir, "none")).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://x/demo/lastupdate", nil))
		if w.Code != 503 {
			t.Errorf("without repositories: %d", w.Code)
		}
	}
}
