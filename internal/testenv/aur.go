package testenv

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// AURPackage is one package as the AUR's archive and its RPC interface show it.
type AURPackage struct {
	ID             int
	Name           string
	PackageBaseID  int
	PackageBase    string
	Version        string
	Description    string
	URL            string
	NumVotes       int
	Popularity     float64
	OutOfDate      *int64
	Maintainer     *string
	Submitter      *string
	FirstSubmitted int64
	LastModified   int64
	URLPath        string
	Depends        []string `json:",omitempty"`
	License        []string `json:",omitempty"`
	Keywords       []string
	CoMaintainers  []string `json:",omitempty"`
}

// AUR is a fake of the AUR: its metadata archive and RPC interface, strict about what they are asked, and real git
// repositories of the packages.
type AUR struct {
	ArchiveURL, RPCURL string
	MirrorURL          string // a repository with a branch for each pkgbase
	GitURL             string // below which there are the AUR's own repositories, see Direct
	Git                *GitHTTP

	t      testing.TB
	server *httptest.Server
	stop   chan struct{}
	repo   *GitRepo // whose user and dates the commits have

	mu       sync.Mutex
	packages map[string]AURPackage
	modified time.Time // of the archive
	sent     []Sent
	faults   []*GitFault
	archive  []byte // what is served instead of packages; nil: these
}

const archivePath = "/packages-meta-ext-v1.json.gz"

// NewAUR makes an AUR without packages.
func NewAUR(t testing.TB) *AUR {
	t.Helper()
	a := &AUR{
		t: t, repo: newGitRepo(t, t.TempDir()), packages: map[string]AURPackage{}, stop: make(chan struct{}),
		modified: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
	a.Git = NewGitHTTP(t, t.TempDir())
	a.repo.Git("init", "-q", "--bare", "--template=", "-b", "main", a.mirror())
	a.MirrorURL, a.GitURL = a.Git.URL+"/mirror.git", a.Git.URL+"/aur"
	a.server = httptest.NewServer(http.HandlerFunc(a.serve))
	a.ArchiveURL, a.RPCURL = a.server.URL+archivePath, a.server.URL+"/rpc"
	t.Cleanup(a.Stop)
	return a
}

// Stop ends the web server; the git repositories are still there.
func (a *AUR) Stop() {
	a.mu.Lock()
	select {
	case <-a.stop:
	default:
		close(a.stop)
	}
	a.mu.Unlock()
	a.server.CloseClientConnections()
	a.server.Close()
}

// Set adds or replaces packages, and makes a new archive.
func (a *AUR) Set(list ...AURPackage) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range list {
		if p.PackageBase == "" {
			p.PackageBase = p.Name
		}
		if p.Keywords == nil {
			p.Keywords = []string{}
		}
		p.URLPath = "/cgit/aur.git/snapshot/" + p.Name + ".tar.gz"
		a.packages[p.Name] = p
	}
	a.modified = a.modified.Add(5 * time.Minute)
}

// Delete takes packages away by their pkgname.
func (a *AUR) Delete(pkgnames ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range pkgnames {
		delete(a.packages, name)
	}
	a.modified = a.modified.Add(5 * time.Minute)
}

// Serve serves these bytes as the archive; nil: the real one again.
func (a *AUR) Serve(archive []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.archive = archive
	a.modified = a.modified.Add(5 * time.Minute)
}

// Archive is the archive as it is served.
func (a *AUR) Archive() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.content()
}

// Modified is when the archive was made.
func (a *AUR) Modified() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.modified
}

// Fail lets requests of the archive and the RPC interface fail; Git.Fail does for the repositories.
func (a *AUR) Fail(faults ...GitFault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, fault := range faults {
		a.faults = append(a.faults, &fault)
	}
}

// Requests gives what archive and RPC interface were asked, in order.
func (a *AUR) Requests() []Sent {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.sent)
}

// ArchiveOf is an archive as the AUR makes it: an array with a package on each line.
func ArchiveOf(t testing.TB, list []AURPackage) []byte {
	t.Helper()
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	_, _ = io.WriteString(zw, "[\n")
	for i, p := range list {
		line, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			_, _ = io.WriteString(zw, ",\n")
		}
		_, _ = zw.Write(line)
	}
	_, _ = io.WriteString(zw, "\n]")
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func (a *AUR) content() []byte {
	if a.archive != nil {
		return a.archive
	}
	var list []AURPackage
	for _, name := range slices.Sorted(maps.Keys(a.packages)) {
		list = append(list, a.packages[name])
	}
	return ArchiveOf(a.t, list)
}

func (a *AUR) serve(w http.ResponseWriter, r *http.Request) {
	fault, answer := a.answer(r)
	if fault != nil {
		if fault.Hang {
			select {
			case <-r.Context().Done():
			case <-a.stop:
			}
			return
		}
		(&GitHTTP{stop: a.stop}).fail(w, r, fault)
		return
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

func (a *AUR) answer(r *http.Request) (*GitFault, *httptest.ResponseRecorder) {
	a.mu.Lock()
	defer a.mu.Unlock()
	answer := httptest.NewRecorder()
	for i, fault := range a.faults {
		if !strings.Contains(r.URL.Path, fault.Path) {
			continue
		}
		if fault.Skip > 0 {
			fault.Skip--
			continue
		}
		if fault.Times--; fault.Times <= 0 {
			a.faults = slices.Delete(a.faults, i, i+1)
		}
		a.sent = append(a.sent, Sent{Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Status: fault.Status})
		return fault, nil
	}
	switch {
	case r.Method != http.MethodGet:
		a.wrong(answer, r, "only GET is used here")
	case r.URL.Path == archivePath:
		a.serveArchive(answer, r)
	case r.URL.Path == "/rpc":
		a.serveRPC(answer, r)
	default:
		a.wrong(answer, r, "there is no such page")
	}
	a.sent = append(a.sent, Sent{Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Status: answer.Code})
	return nil, answer
}

// wrong fails the test, because of what the AUR would not understand.
func (a *AUR) wrong(w http.ResponseWriter, r *http.Request, why string) {
	a.t.Errorf("the AUR: %s: %s %s", why, r.Method, r.URL)
	http.Error(w, why, http.StatusBadRequest)
}

func (a *AUR) serveArchive(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery != "" {
		a.wrong(w, r, "the archive takes no query")
		return
	}
	if !strings.HasPrefix(r.Header.Get("User-Agent"), "caur") {
		a.wrong(w, r, "the User-Agent must say who asks")
		return
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, a.modified.Unix()))
	w.Header().Set("Content-Type", "text/plain")
	if a.archive == nil || bytes.HasPrefix(a.archive, []byte{0x1f, 0x8b}) {
		w.Header().Set("Content-Encoding", "gzip") // as the AUR's server does for *.gz
	}
	http.ServeContent(w, r, "", a.modified, bytes.NewReader(a.content()))
}

func (a *AUR) serveRPC(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	args := query["arg[]"]
	if query.Get("v") != "5" || query.Get("type") != "info" || len(query) != 3 || len(args) == 0 || len(args) > 125 || len(r.URL.RequestURI()) > 8000 {
		a.wrong(w, r, "a request of the RPC interface is v=5&type=info and 1 to 125 arg[], within 8000 bytes")
		return
	}
	results := []AURPackage{}
	for _, name := range args {
		if p, there := a.packages[name]; there {
			results = append(results, p)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Date", a.modified.UTC().Format(http.TimeFormat))
	err := json.NewEncoder(w).Encode(map[string]any{
		"version": 5, "type": "multiinfo", "resultcount": len(results), "results": results,
	})
	if err != nil {
		a.t.Error(err)
	}
}
