package aursync

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/caur-build/caur/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

func newClient(t testing.TB, a *testenv.AUR, change func(*Options)) *Client {
	t.Helper()
	o := Options{
		ArchiveURL: a.ArchiveURL, RPCURL: a.RPCURL, MirrorURL: a.MirrorURL, GitURL: a.GitURL,
		GitDir: filepath.Join(t.TempDir(), "aur.git"), Retry: time.Millisecond,
		HTTP: &http.Client{Transport: &http.Transport{}},
	}
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func ptr[T any](v T) *T { return &v }

// someAUR has a split package, an orphan that is out of date, and a plain one.
func someAUR(t testing.TB) *testenv.AUR {
	a := testenv.NewAUR(t)
	a.Set(
		testenv.AURPackage{Name: "tools-b", PackageBase: "tools", Version: "1:2-3", Maintainer: ptr("ann"), Submitter: ptr("sue"), CoMaintainers: []string{"zoe", "bob"}, FirstSubmitted: 1_500_000_000, LastModified: 1_700_000_000},
		testenv.AURPackage{Name: "tools-a", PackageBase: "tools", Version: "1:2-3", Maintainer: ptr("ann"), Submitter: ptr("sue"), CoMaintainers: []string{"zoe", "bob"}, FirstSubmitted: 1_500_000_000, LastModified: 1_700_000_000},
		testenv.AURPackage{Name: "orphan", Version: "1-1", OutOfDate: ptr(int64(1_600_000_000)), FirstSubmitted: 1_400_000_000, LastModified: 1_450_000_000},
		testenv.AURPackage{Name: "f++@1.2", Version: "7-1", Maintainer: ptr("ann"), FirstSubmitted: 1_400_000_000, LastModified: 1_650_000_000},
		testenv.AURPackage{Name: "old-name", PackageBase: "new-base", Version: "2-1", Maintainer: ptr("ann"), FirstSubmitted: 1_400_000_000, LastModified: 1_650_000_000},
	)
	return a
}

var someWants = []Want{
	{Pkgbase: "tools", Pkgnames: []string{"tools-a", "tools-b"}}, {Pkgbase: "orphan"}, {Pkgbase: "f++@1.2", Pkgnames: []string{"f++@1.2"}},
	{Pkgbase: "old-name"}, {Pkgbase: "gone"}, {Pkgbase: "merged", Pkgnames: []string{"x", "tools-a"}},
}

func at(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

var somePackages = map[string]*Meta{
	"tools": {
		Pkgbase: "tools", Pkgnames: []string{"tools-a", "tools-b"}, Version: "1:2-3", Maintainer: "ann", CoMaintainers: []string{"zoe", "bob"},
		Submitter: "sue", FirstSubmitted: at(1_500_000_000), LastModified: at(1_700_000_000),
	},
	"orphan": {
		Pkgbase: "orphan", Pkgnames: []string{"orphan"}, Version: "1-1", OutOfDate: at(1_600_000_000),
		FirstSubmitted: at(1_400_000_000), LastModified: at(1_450_000_000),
	},
	"f++@1.2": {
		Pkgbase: "f++@1.2", Pkgnames: []string{"f++@1.2"}, Version: "7-1", Maintainer: "ann",
		FirstSubmitted: at(1_400_000_000), LastModified: at(1_650_000_000),
	},
}

func checkSnapshot(t *testing.T, got *Snapshot, from string) {
	t.Helper()
	want := maps.Clone(somePackages)
	if from == "rpc" { // one of its pkgnames tells all there is to know of a pkgbase
		tools := *want["tools"]
		tools.Pkgnames = []string{"tools-a"}
		want["tools"] = &tools
	}
	if diff := cmp.Diff(want, got.Packages, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"old-name": "new-base", "merged": "tools"}, got.Moved); diff != "" {
		t.Errorf("moved (-want +got):\n%s", diff)
	}
	if got.From != from {
		t.Errorf("from %s, want %s (%v)", got.From, from, got.Fallback)
	}
}

func TestMetadataOfTheArchive(t *testing.T) {
	a := someAUR(t)
	got, err := newClient(t, a, nil).Metadata(ctx, someWants)
	if err != nil {
		t.Fatal(err)
	}
	checkSnapshot(t, got, "archive")
	if !got.Taken.Equal(a.Modified()) || got.Fallback != nil {
		t.Errorf("taken %s, want %s; %v", got.Taken, a.Modified(), got.Fallback)
	}
	if m := got.Packages["tools"].Maintainers(); !slices.Equal(m, []string{"ann", "zoe", "bob"}) {
		t.Errorf("maintainers %v", m)
	}
	if m := got.Packages["orphan"].Maintainers(); len(m) != 0 {
		t.Errorf("maintainers of an orphan %v", m)
	}
}

func TestMetadataIsDownloadedOnlyWhenItChanged(t *testing.T) {
	a := someAUR(t)
	dir := t.TempDir()
	ask := func() *Snapshot {
		t.Helper()
		got, err := newClient(t, a, func(o *Options) { o.CacheDir = dir }).Metadata(ctx, someWants)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	statuses := func() (list []int) {
		for _, r := range a.Requests() {
			list = append(list, r.Status)
		}
		return list
	}
	first, second := ask(), ask()
	checkSnapshot(t, second, "archive")
	if !second.Taken.Equal(first.Taken) || !slices.Equal(statuses(), []int{200, 304}) {
		t.Errorf("taken %s and %s, %v", first.Taken, second.Taken, statuses())
	}
	a.Set(testenv.AURPackage{Name: "gone", Version: "1-1", LastModified: 1_710_000_000})
	if third := ask(); third.Packages["gone"] == nil || !slices.Equal(statuses(), []int{200, 304, 200}) {
		t.Errorf("a change was missed: %v", statuses())
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("the cache holds %v, %v", entries, err)
	}
}

func TestADamagedCacheIsDropped(t *testing.T) {
	damage := map[string]func(archive, note string) error{
		"other bytes":   func(archive, _ string) error { return flip(archive) },
		"cut short":     func(archive, _ string) error { return os.Truncate(archive, 100) },
		"no archive":    func(archive, _ string) error { return os.Remove(archive) },
		"half a note":   func(_, note string) error { return os.Truncate(note, 10) },
		"another AUR's": func(_, note string) error { return os.WriteFile(note, []byte(`{"URL":"https://example.org/"}`), 0o644) },
	}
	for name, do := range damage {
		t.Run(name, func(t *testing.T) {
			a := someAUR(t)
			dir := t.TempDir()
			for i := range 3 {
				got, err := newClient(t, a, func(o *Options) { o.CacheDir = dir }).Metadata(ctx, someWants)
				if err != nil {
					t.Fatal(err)
				}
				checkSnapshot(t, got, "archive")
				if i == 0 {
					if err := do(filepath.Join(dir, "packages-meta-ext-v1.json.gz"), filepath.Join(dir, "packages-meta-ext-v1.note")); err != nil {
						t.Fatal(err)
					}
				}
			}
			requests := a.Requests()
			if last := requests[len(requests)-1]; last.Status != 304 {
				t.Errorf("the cache was not made anew: %d", last.Status)
			}
		})
	}
}

func flip(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[len(data)/2] ^= 0xff
	return os.WriteFile(path, data, 0o644)
}

func zip(text string) []byte {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, _ = io.WriteString(zw, text)
	_ = zw.Close()
	return b.Bytes()
}

const onePackage = `{"Name":"orphan","PackageBase":"orphan","Version":"1-1"}`

func TestABadArchiveIsNotBelieved(t *testing.T) {
	whole := someAUR(t).Archive()
	wrong := slices.Clone(whole)
	wrong[len(wrong)-6] ^= 1 // of the checksum
	cases := map[string]struct {
		archive []byte
		want    string
		tries   int
	}{
		"half of it":            {whole[:len(whole)/2], "cut short", 2},
		"without its checksum":  {whole[:len(whole)-8], "cut short", 2},
		"with a wrong checksum": {wrong, "checksum", 2},
		"HTML":                  {[]byte("<html>Down for maintenance</html>"), `it is no list of packages: it begins with "<html`, 1},
		"HTML in gzip":          {zip("<html>"), `it is no list of packages: it begins with "<html`, 1},
		"an object":             {zip(`{"error":"x"}`), `it is no list of packages: it begins with "{\"error`, 1},
		"nothing":               {zip(""), "cut short", 2},
		"no packages":           {zip("[]"), "it is empty", 1},
		"no packages, in lines": {zip("[\n]"), "it is empty", 1},
		"wrong JSON":            {zip("[\n" + onePackage + ",\n{\"Name\":}\n]"), "it is no JSON of packages", 1},
		"another type":          {zip("[\n{\"Name\":\"orphan\",\"PackageBase\":[]}\n]"), "it is no JSON of packages", 1},
		"no comma":              {zip("[\n" + onePackage + "\n" + onePackage + "\n]"), "after package 1 comes", 1},
		"a comma too many":      {zip("[\n" + onePackage + ",\n]"), "a comma after its last package", 1},
		"no end":                {zip("[\n" + onePackage + ",\n" + onePackage + "\n"), "cut short", 2},
		"more after its end":    {zip("[\n" + onePackage + "\n]\nx"), "something after its end", 1},
		"more on its last line": {zip("[\n" + onePackage + "\n]x"), "something after its end", 1},
		"not in lines, no end":  {zip("[" + onePackage + "," + onePackage), "cut short", 2},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a := someAUR(t)
			a.Serve(c.archive)
			got, err := newClient(t, a, func(o *Options) { o.CacheDir = t.TempDir() }).Metadata(ctx, someWants)
			if err != nil {
				t.Fatal(err)
			}
			checkSnapshot(t, got, "rpc")
			if got.Fallback == nil || !strings.Contains(got.Fallback.Error(), c.want) {
				t.Errorf("got %v, want %s", got.Fallback, c.want)
			}
			tried := 0
			for _, r := range a.Requests() {
				if r.Path != "/rpc" {
					tried++
				}
			}
			if tried != c.tries {
				t.Errorf("%d tries, want %d", tried, c.tries)
			}
			if !got.Taken.Equal(a.Modified()) {
				t.Errorf("taken %s", got.Taken)
			}
		})
	}
}

func TestAnArchiveIsReadHoweverItIsLaidOut(t *testing.T) {
	zr, err := gzip.NewReader(bytes.NewReader(someAUR(t).Archive()))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	lines := string(text)
	for name, archive := range map[string][]byte{
		"not compressed":     []byte(lines),
		"compressed twice":   zip(string(zip(lines))),
		"on one line":        zip(strings.ReplaceAll(lines, "\n", "")),
		"two on a line":      zip(strings.Replace(lines, "},\n{", "},{", 1)),
		"commas before":      zip(strings.ReplaceAll(lines, ",\n", "\n,")),
		"many lines each":    zip(strings.ReplaceAll(lines, `,"`, ",\n\"")),
		"blanks after colon": zip(strings.ReplaceAll(lines, `":"`, `": "`)),
		"Windows lines":      zip(strings.ReplaceAll(lines, "\n", "\r\n")),
		"escapes":            zip(strings.ReplaceAll(lines, `"tools`, `"\u0074ools`)),
		"a quote in a value": zip(strings.ReplaceAll(lines, `"Description":""`, `"Description":"\"Name\":\"x\",\"PackageBase\":\"x\""`)),
	} {
		t.Run(name, func(t *testing.T) {
			a := someAUR(t)
			a.Serve(archive)
			got, err := newClient(t, a, nil).Metadata(ctx, someWants)
			if err != nil {
				t.Fatal(err)
			}
			checkSnapshot(t, got, "archive")
		})
	}
}

func TestAnAnswerThatLacksMostPackagesIsNotBelieved(t *testing.T) {
	a := someAUR(t)
	var wants []Want
	for i := range 30 {
		wants = append(wants, Want{Pkgbase: fmt.Sprintf("p%d", i)})
	}
	_, err := newClient(t, a, nil).Metadata(ctx, wants)
	if err == nil || strings.Count(err.Error(), "knows only 0 of 30 packages") != 2 {
		t.Errorf("got %v", err)
	}
}

func TestFaultsOfTheArchive(t *testing.T) {
	later := map[string]string{"Retry-After": "1"}
	never := map[string]string{"Retry-After": "86400"}
	for name, c := range map[string]struct {
		fault testenv.GitFault
		from  string
		want  string
	}{
		"404":                 {testenv.GitFault{Fault: testenv.Fault{Status: 404, Times: 9}}, "rpc", "answers 404 Not Found"},
		"429 once":            {testenv.GitFault{Fault: testenv.Fault{Status: 429, Header: later}}, "archive", ""},
		"429 for a day":       {testenv.GitFault{Fault: testenv.Fault{Status: 429, Header: never, Times: 9}}, "rpc", "429 Too Many Requests and wants to be asked again in 24h"},
		"503 once":            {testenv.GitFault{Fault: testenv.Fault{Status: 503}}, "archive", ""},
		"503 twice":           {testenv.GitFault{Fault: testenv.Fault{Status: 503, Times: 2}}, "rpc", "503"},
		"cut off":             {testenv.GitFault{Fault: testenv.Fault{Drop: true}}, "archive", ""},
		"no answer":           {testenv.GitFault{Hang: true, Fault: testenv.Fault{Times: 2}}, "rpc", "no whole answer within 300ms"},
		"to a file":           {testenv.GitFault{Fault: testenv.Fault{Status: 302, Header: map[string]string{"Location": "file:///etc/passwd"}}}, "rpc", "is redirected to a file address, which is not followed"},
		"unasked not changed": {testenv.GitFault{Fault: testenv.Fault{Status: 304}}, "rpc", "was not asked that"},
		"in a circle":         {testenv.GitFault{Fault: testenv.Fault{Status: 302, Times: 20, Header: map[string]string{"Location": "/packages-meta-ext-v1.json.gz"}}}, "rpc", "redirected more than 5 times"},
	} {
		t.Run(name, func(t *testing.T) {
			a := someAUR(t)
			c.fault.Path = ".gz"
			a.Fail(c.fault)
			began := time.Now()
			got, err := newClient(t, a, func(o *Options) { o.Timeout = 300 * time.Millisecond }).Metadata(ctx, someWants)
			if err != nil {
				t.Fatal(err)
			}
			checkSnapshot(t, got, c.from)
			if c.want != "" && (got.Fallback == nil || !strings.Contains(got.Fallback.Error(), c.want)) {
				t.Errorf("got %v, want %s", got.Fallback, c.want)
			}
			if name == "429 once" && time.Since(began) < time.Second {
				t.Error("Retry-After was not honoured")
			}
		})
	}
}

func TestHTTPSIsNotLeftForHTTP(t *testing.T) {
	a := someAUR(t)
	secure := httptest.NewTLSServer(http.RedirectHandler(a.ArchiveURL, http.StatusFound))
	t.Cleanup(secure.Close)
	c := newClient(t, a, func(o *Options) { o.ArchiveURL, o.HTTP = secure.URL+"/x.gz?token=s3cret", secure.Client() })
	got, err := c.Metadata(ctx, someWants)
	if err != nil {
		t.Fatal(err)
	}
	if got.From != "rpc" || !strings.Contains(got.Fallback.Error(), "from https to http") || strings.Contains(got.Fallback.Error(), "s3cret") {
		t.Errorf("%s: %v", got.From, got.Fallback)
	}
}

func TestWithoutAnAURThereIsAnErrorOfBothWays(t *testing.T) {
	a := someAUR(t)
	a.Fail(testenv.GitFault{Fault: testenv.Fault{Path: ".gz", Status: 404}}, testenv.GitFault{Fault: testenv.Fault{Path: "/rpc", Status: 200, Body: "<html>", Times: 9}})
	_, err := newClient(t, a, nil).Metadata(ctx, someWants)
	if err == nil || !strings.Contains(err.Error(), "archive: ") || !strings.Contains(err.Error(), "RPC interface: "+a.RPCURL+": response decoding failed") {
		t.Errorf("got %v", err)
	}
	a.Stop()
	c := newClient(t, a, func(o *Options) { o.ArchiveURL = strings.Replace(o.ArchiveURL, "://", "://bot:s3cret@", 1) })
	_, err = c.Metadata(ctx, someWants)
	if err == nil || strings.Count(err.Error(), "connection refused") != 2 || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "arg") {
		t.Errorf("got %v", err)
	}
	stop := errors.New("stop")
	ended, cancel := context.WithCancelCause(ctx)
	cancel(stop)
	if _, err := c.Metadata(ended, someWants); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

func TestRPCIsAskedInBatches(t *testing.T) {
	a := testenv.NewAUR(t)
	var wants []Want
	for i := range 400 {
		name := fmt.Sprintf("a-package-with-a-long-name-c++-and-a-number-%d", i)
		a.Set(testenv.AURPackage{Name: name, Version: "1-1", LastModified: 1_600_000_000})
		wants = append(wants, Want{Pkgbase: name})
	}
	a.Fail(testenv.GitFault{Fault: testenv.Fault{Path: ".gz", Status: 404}}, testenv.GitFault{Fault: testenv.Fault{Path: "/rpc", Skip: 2, Status: 502}})
	got, err := newClient(t, a, nil).Metadata(ctx, wants)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Packages) != 400 {
		t.Errorf("%d packages", len(got.Packages))
	}
	if n := len(a.Requests()); n < 7 || n > 12 { // archive, 6 or so batches, one of them twice
		t.Errorf("%d requests", n)
	}
}

func TestAProxyIsForTheAUROnly(t *testing.T) {
	if _, err := New(Options{Proxy: "socks9://x"}); err == nil || !strings.Contains(err.Error(), "CI_AUR_PROXY") {
		t.Errorf("got %v", err)
	}
	if _, err := New(Options{ArchiveURL: "ftp://user:s3cret@example.org/x"}); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
	a := someAUR(t)
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		r.RequestURI = ""
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		for _, name := range []string{"Content-Type", "Content-Encoding", "Last-Modified"} {
			w.Header().Set(name, resp.Header.Get(name))
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	t.Cleanup(proxy.Close)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	a.Push(testenv.AURCommit{Pkgbase: "tools", Files: map[string]string{"PKGBUILD": "x"}, Time: 1})
	a.Direct("tools")
	c := newClient(t, a, func(o *Options) { o.HTTP, o.Proxy = nil, proxy.URL })
	got, err := c.Metadata(ctx, someWants)
	if err != nil {
		t.Fatal(err)
	}
	checkSnapshot(t, got, "archive")
	if _, err := c.Fetch(ctx, []string{"tools"}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(asked, []string{"/packages-meta-ext-v1.json.gz"}) {
		t.Errorf("the proxy was asked for %q", asked)
	}
	direct, err := c.FetchDirect(ctx, []string{"tools"})
	if err != nil || direct["tools"].Err != nil || len(asked) < 2 || !strings.HasPrefix(asked[1], "/aur/tools.git/") {
		t.Errorf("%v, %v, %q", direct["tools"], err, asked)
	}
}
