package git

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/testenv"
)

func newHeads(t *testing.T, o HeadsOptions) *Heads {
	t.Helper()
	if o.Wait == 0 {
		o.Wait = time.Millisecond
	}
	h := NewHeads(o)
	t.Cleanup(h.Close)
	return h
}

// one asks for a single head.
func one(h *Heads, address, ref string) (string, error) {
	a := h.Lookup(ctx, []HeadQuery{{address, ref}})[0]
	return a.SHA, a.Err
}

func posts(g *testenv.GitHTTP) (gets, posts int) {
	for _, r := range g.Requests() {
		if r.Method == http.MethodGet {
			gets++
		} else {
			posts++
		}
	}
	return gets, posts
}

func TestLookupAsksEachRemoteOnceInOneShortRequest(t *testing.T) {
	dir, heads := testenv.Repos(t, "one", "two", "three")
	g := testenv.NewGitHTTP(t, dir)
	h := newHeads(t, HeadsOptions{})
	answers := h.Lookup(ctx, []HeadQuery{
		{g.URL + "/one.git", ""}, {g.URL + "/two.git", "main"}, {g.URL + "/one.git", "HEAD"},
		{g.URL + "/one.git", "main"}, {g.URL + "/three.git", "refs/heads/main"}, {g.URL + "/one.git", "a b"},
	})
	for i, want := range []string{"one", "two", "one", "one", "three"} {
		if answers[i].Err != nil || answers[i].SHA != heads[want] {
			t.Errorf("%d: got %v, want %s", i, answers[i], heads[want])
		}
	}
	if err := answers[5].Err; err == nil || !strings.Contains(err.Error(), "no name of a branch") {
		t.Errorf("got %v", err)
	}
	if gets, posts := posts(g); gets != 0 || posts != 3 {
		t.Errorf("%d GET and %d POST for three repositories", gets, posts)
	}
}

func TestLookupKeepsConnectionsAndItsBounds(t *testing.T) {
	var names []string
	for i := range 40 {
		names = append(names, fmt.Sprintf("r%d", i))
	}
	dir, heads := testenv.Repos(t, names...)
	g := testenv.NewGitHTTP(t, dir)
	h := newHeads(t, HeadsOptions{PerHost: 3})
	var queries []HeadQuery
	for _, name := range names {
		queries = append(queries, HeadQuery{g.URL + "/" + name + ".git", ""})
	}
	for i, a := range h.Lookup(ctx, queries) {
		if a.Err != nil || a.SHA != heads[names[i]] {
			t.Errorf("%s: %v", names[i], a)
		}
	}
	if made, peak := g.Connections(); made > 3 || peak > 3 {
		t.Errorf("%d connections, %d at once", made, peak)
	}
}

func TestLookupUnderstandsServersOfAllAges(t *testing.T) {
	dir, heads := testenv.Repos(t, "one", "two")
	bare := filepath.Join(dir, "one.git")
	r := Repo{Dir: bare}
	for _, args := range [][]string{{"update-ref", "refs/heads/main-2", heads["one"]}, {"update-server-info"}} {
		if err := r.Run(ctx, args...); err != nil {
			t.Fatal(err)
		}
	}
	files := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(files.Close)
	daemon := testenv.NewGitDaemon(t, dir)
	old, now := testenv.NewGitHTTP(t, dir), testenv.NewGitHTTP(t, dir)
	old.WithoutV2()
	for name, base := range map[string]string{
		"version 2": now.URL, "version 0": old.URL, "files only": files.URL, "git daemon": daemon.URL, "file": "file://" + dir, "path": dir,
	} {
		t.Run(name, func(t *testing.T) {
			h := newHeads(t, HeadsOptions{})
			for _, ref := range []string{"", "main", "main-2"} {
				if got, err := one(h, base+"/one.git", ref); err != nil || got != heads["one"] {
					t.Errorf("%q: got %s, %v", ref, got, err)
				}
			}
			if _, err := one(h, base+"/one.git", "mai"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "it has no refs/heads/mai") {
				t.Errorf("a missing branch: %v", err)
			}
			if _, err := one(h, base+"/absent.git", ""); !errors.Is(err, ErrNotFound) {
				t.Errorf("a missing repository: %v", err)
			}
		})
	}
	old.Forget()
	h := newHeads(t, HeadsOptions{})
	for _, name := range []string{"one", "two", "one"} {
		if _, err := one(h, old.URL+"/"+name+".git", ""); err != nil {
			t.Error(err)
		}
	}
	if gets, posts := posts(old); gets != 3 || posts != 1 {
		t.Errorf("an old server was sent %d GET and %d POST: the first POST shows its age", gets, posts)
	}
}

func TestLookupReadsSHA256Repositories(t *testing.T) {
	dir := t.TempDir()
	g := testenv.NewGitRepo(t)
	bare := filepath.Join(dir, "new.git")
	g.Git("init", "-q", "--bare", "--object-format=sha256", "-b", "main", bare)
	tree := g.Git("--git-dir="+bare, "hash-object", "-w", "-t", "tree", "/dev/null")
	sha := g.Git("--git-dir="+bare, "commit-tree", "-m", "x", tree)
	g.Git("--git-dir="+bare, "update-ref", "refs/heads/main", sha)
	got, err := one(newHeads(t, HeadsOptions{}), testenv.NewGitHTTP(t, dir).URL+"/new.git", "")
	if err != nil || got != sha || len(got) != 64 {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestLookupTriesAgainWhatMayPass(t *testing.T) {
	dir, heads := testenv.Repos(t, "one")
	for name, faults := range map[string][]testenv.GitFault{
		"busy":         {{Fault: testenv.Fault{Status: 429, Header: map[string]string{"Retry-After": "1"}}}},
		"broken twice": {{Fault: testenv.Fault{Status: 502, Times: 2}}},
		"cut off":      {{Fault: testenv.Fault{Drop: true}}},
		"half an answer": {{Fault: testenv.Fault{
			Status: 200, Header: map[string]string{"Content-Type": resultType}, Body: "0032" + heads["one"][:20],
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			g := testenv.NewGitHTTP(t, dir)
			g.Fail(faults...)
			began := time.Now()
			if got, err := one(newHeads(t, HeadsOptions{}), g.URL+"/one.git", ""); err != nil || got != heads["one"] {
				t.Errorf("got %s, %v", got, err)
			}
			if took := time.Since(began); name == "busy" && took < time.Second {
				t.Errorf("Retry-After was not honoured: %s", took)
			}
		})
	}
	g := testenv.NewGitHTTP(t, dir)
	g.Fail(testenv.GitFault{Fault: testenv.Fault{Status: 429, Times: 9, Header: map[string]string{"Retry-After": "86400"}}})
	_, err := one(newHeads(t, HeadsOptions{}), g.URL+"/one.git", "")
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "429") || !strings.Contains(err.Error(), "24h") || len(g.Requests()) != 1 {
		t.Errorf("a pause of a day: %v after %d requests", err, len(g.Requests()))
	}
}

func TestLookupLeavesSilentHostsAlone(t *testing.T) {
	dir, heads := testenv.Repos(t, "one")
	silent, good := testenv.NewGitHTTP(t, dir), testenv.NewGitHTTP(t, dir)
	silent.Fail(testenv.GitFault{Hang: true, Fault: testenv.Fault{Times: 1000}})
	h := newHeads(t, HeadsOptions{Timeout: 150 * time.Millisecond, PerHost: 2})
	queries := []HeadQuery{{good.URL + "/one.git", ""}}
	for i := range 200 {
		queries = append(queries, HeadQuery{fmt.Sprintf("%s/r%d.git", silent.URL, i), ""})
	}
	answers := h.Lookup(ctx, queries)
	if answers[0].SHA != heads["one"] {
		t.Errorf("the other host: %v", answers[0])
	}
	late := 0
	for _, a := range answers[1:] {
		if !errors.Is(a.Err, ErrUnreachable) {
			t.Fatal(a.Err)
		}
		if strings.Contains(a.Err.Error(), "no answer within 150ms") {
			late++
		}
	}
	if late < deadAfter || late > deadAfter+2 {
		t.Errorf("%d of 200 questions waited for the time limit", late)
	}
}

func TestLookupEndsWithItsContext(t *testing.T) {
	g := testenv.NewGitHTTP(t, t.TempDir())
	g.Fail(testenv.GitFault{Hang: true})
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan []HeadAnswer)
	h := newHeads(t, HeadsOptions{})
	go func() { done <- h.Lookup(ctx, []HeadQuery{{g.URL + "/one.git", ""}}) }()
	cancel(stop)
	if a := <-done; !errors.Is(a[0].Err, stop) {
		t.Errorf("got %v", a)
	}
}

func TestLookupFollowsOnlySafeRedirects(t *testing.T) {
	dir, heads := testenv.Repos(t, "one")
	plain := testenv.NewGitHTTP(t, dir)
	secure, client := testenv.NewGitHTTPS(t, dir)
	moved := func(to string) testenv.GitFault {
		return testenv.GitFault{Fault: testenv.Fault{Times: 20, Path: "/old.git", Status: 301, Header: map[string]string{"Location": to}}}
	}
	t.Run("renamed", func(t *testing.T) {
		plain.Fail(moved(secure.URL + "/one.git/info/refs?service=git-upload-pack"))
		h := newHeads(t, HeadsOptions{HTTP: client})
		if got, err := one(h, plain.URL+"/old.git", ""); err != nil || got != heads["one"] {
			t.Errorf("got %s, %v", got, err)
		}
		plain.Forget()
		if _, err := one(h, plain.URL+"/one.git", ""); err != nil {
			t.Error(err)
		}
		if gets, _ := posts(plain); gets != 0 {
			t.Error("one renamed repository makes the server ask twice for all others")
		}
	})
	for to, want := range map[string]string{
		plain.URL + "/one.git/info/refs?service=git-upload-pack": "from https to http, which is not followed",
		"file:///etc/passwd":             "redirected to a file address, which is not followed",
		secure.URL + "/old.git/info/x":   "redirected more than 5 times",
		"ssh://git@example.org/info/git": "redirected to a ssh address, which is not followed",
	} {
		t.Run(want, func(t *testing.T) {
			secure, client := testenv.NewGitHTTPS(t, dir)
			if strings.HasPrefix(to, "https") {
				to = secure.URL + "/old.git/info/x"
			}
			secure.Fail(moved(to))
			if got, err := one(newHeads(t, HeadsOptions{HTTP: client}), secure.URL+"/old.git", ""); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
}

func TestLookupRefusesWhatWouldRunAnotherProgram(t *testing.T) {
	h := newHeads(t, HeadsOptions{})
	mark := filepath.Join(t.TempDir(), "ran")
	for _, address := range []string{
		"ext::touch " + mark, "ext::touch%20" + mark, "git::ext::sh://x", "hg::https://example.org/x", "fd::17", "ftp://example.org/x.git",
		"--upload-pack=touch " + mark, "ssh://-oProxyCommand=touch/x", "-oProxyCommand=x:y", "", "relative/path", "http:///x", "https://exa mple.org/x",
	} {
		if _, err := one(h, address, ""); err == nil || !strings.Contains(err.Error(), "not asked") {
			t.Errorf("%q: %v", address, err)
		}
	}
	if found, _ := filepath.Glob(mark); found != nil {
		t.Error("a program was run")
	}
}

func TestLookupShowsNoCredentials(t *testing.T) {
	dir, heads := testenv.Repos(t, "one")
	g := testenv.NewGitHTTP(t, dir)
	var authorized atomic.Bool
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "bot" || password != "s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		authorized.Store(true)
		http.Redirect(w, r, g.URL+r.URL.Path+"?"+r.URL.RawQuery, http.StatusFound)
	}))
	t.Cleanup(front.Close)
	with := strings.Replace(front.URL, "://", "://bot:s3cret@", 1)
	h := newHeads(t, HeadsOptions{})
	if got, err := one(h, with+"/one.git", ""); err != nil || got != heads["one"] || !authorized.Load() {
		t.Errorf("got %s, %v", got, err)
	}
	front.Close()
	for _, address := range []string{with + "/two.git?token=s3cret", strings.Replace(with, "bot:", "other:", 1) + "/x.git", "https://bot:s3cret@127.0.0.1:1/x", "git://bot:s3cret@127.0.0.1:1/x"} {
		if _, err := one(h, address, ""); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("got %v", err)
		}
	}
	if _, err := one(h, g.URL+"/absent.git", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestLookupRefusesOtherPages(t *testing.T) {
	page := "<html>Please sign in</html>"
	var status atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(int(status.Load()))
		_, _ = io.WriteString(w, page)
	}))
	t.Cleanup(server.Close)
	for code, want := range map[int64]error{200: errOther, 401: ErrAuth, 403: ErrAuth, 404: ErrNotFound, 500: ErrUnreachable, 410: ErrNotFound} {
		status.Store(code)
		if _, err := one(newHeads(t, HeadsOptions{}), server.URL+"/x.git", ""); !errors.Is(err, want) || strings.Contains(err.Error(), "html") {
			t.Errorf("%d: %v", code, err)
		}
	}
}

// listing serves so many refs, in the old protocol or in version 2 without a filter, as fast as they are read.
func listing(t testing.TB, old bool, count int, sent *atomic.Int64) *httptest.Server {
	sha := strings.Repeat("a", 40)
	var block bytes.Buffer
	for i := range 1000 {
		line := fmt.Sprintf("%s refs/heads/aaa-%04d\n", sha, i)
		fmt.Fprintf(&block, "%04x%s", len(line)+4, line)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && old {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("Content-Type", resultType)
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", advertisementType)
			_, _ = io.WriteString(w, "001e# service=git-upload-pack\n0000")
			if !old {
				_, _ = io.WriteString(w, "000eversion 2\n0000")
				return
			}
		}
		line := strings.Repeat("b", 40) + " HEAD\x00symref=HEAD:refs/heads/zzz agent=x\n"
		if !old {
			line = strings.Repeat("b", 40) + " HEAD symref-target:refs/heads/zzz\n"
		}
		_, _ = fmt.Fprintf(w, "%04x%s", len(line)+4, line)
		for range count / 1000 {
			n, err := w.Write(block.Bytes())
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
		line = strings.Repeat("c", 40) + " refs/heads/zzz\n"
		_, _ = fmt.Fprintf(w, "%04x%s0000", len(line)+4, line)
	}))
	t.Cleanup(server.Close)
	return server
}

func TestLookupInAListOf300000Refs(t *testing.T) {
	for _, old := range []bool{true, false} {
		t.Run(fmt.Sprintf("old=%v", old), func(t *testing.T) {
			var sent atomic.Int64
			server := listing(t, old, 300_000, &sent)
			h := newHeads(t, HeadsOptions{})
			if got, err := one(h, server.URL+"/x.git", ""); err != nil || got[0] != 'b' {
				t.Errorf("HEAD: %s, %v", got, err)
			}
			allocated := testing.AllocsPerRun(1, func() {
				if got, err := one(h, server.URL+"/x.git", "zzz"); err != nil || got[0] != 'c' {
					t.Errorf("the last branch: %s, %v", got, err)
				}
			})
			if allocated > 1_300_000 {
				t.Errorf("%.0f allocations", allocated)
			}
		})
	}
	var sent atomic.Int64
	endless := listing(t, true, 1<<40, &sent)
	h := newHeads(t, HeadsOptions{Tries: 1})
	if _, err := one(h, endless.URL+"/x.git", "zzz"); err == nil {
		t.Error("an endless list was read to its end")
	}
	if got, err := one(h, endless.URL+"/x.git", ""); err != nil || got[0] != 'b' {
		t.Errorf("HEAD of an endless list: %s, %v", got, err)
	}
}

func TestPacketsRefuseNonsense(t *testing.T) {
	for input, want := range map[string]string{
		"":                     "EOF",
		"00":                   "unexpected EOF",
		"zzzz":                 `"zzzz" is no packet`,
		"0003":                 "a packet of 3 bytes",
		"fff9":                 "a packet of 65529 bytes",
		"0010short":            "unexpected EOF",
		"0000":                 "flush packet",
		"0001":                 "flush packet",
		"0011ERR no\x1b[31m x": "the server says: no[31m x",
	} {
		_, err := newPackets(strings.NewReader(input)).next()
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", input, err, want)
		}
	}
}

func FuzzAdvertisement(f *testing.F) {
	f.Add([]byte("001e# service=git-upload-pack\n0000000eversion 2\n0000"))
	f.Add([]byte("0035" + strings.Repeat("a", 40) + " HEAD\x00x\n0000"))
	f.Fuzz(func(t *testing.T, data []byte) {
		q := &question{found: map[string]string{"HEAD": ""}}
		_, _ = readAdvertisement(newPackets(bytes.NewReader(data)), q)
		if sha := q.found["HEAD"]; sha != "" && !isHash(sha) {
			t.Errorf("took %q for a hash", sha)
		}
	})
}

func TestAProxyIsUsed(t *testing.T) {
	dir, heads := testenv.Repos(t, "one")
	g := testenv.NewGitHTTP(t, dir)
	var asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		r.RequestURI = ""
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	t.Cleanup(proxy.Close)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(at)}
	h := newHeads(t, HeadsOptions{HTTP: &http.Client{Transport: transport}})
	if got, err := one(h, g.URL+"/one.git", ""); err != nil || got != heads["one"] || asked.Load() != 1 {
		t.Errorf("got %s, %v after %d requests", got, err, asked.Load())
	}
}

func TestOpenConnectionsAreCounted(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	h := newHeads(t, HeadsOptions{})
	transport := h.client.Transport.(*http.Transport)
	conn, err := transport.DialContext(ctx, "tcp", listener.Addr().String())
	if err != nil || h.open.Load() != 1 {
		t.Fatalf("%v, %d open", err, h.open.Load())
	}
	_, _ = conn.Close(), conn.Close()
	if _, err := transport.DialContext(ctx, "tcp", "127.0.0.1:1"); err == nil || h.open.Load() != 0 {
		t.Errorf("%v, %d open", err, h.open.Load())
	}
	if transport.TLSClientConfig != nil && transport.TLSClientConfig.MinVersion < tls.VersionTLS12 {
		t.Error("old TLS")
	}
}
