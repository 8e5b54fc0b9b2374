package testenv

import (
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

func lsRemote(t *testing.T, url string) string {
	t.Helper()
	out, err := exec.Command("git", "ls-remote", url, "HEAD").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sha, _, _ := strings.Cut(string(out), "\t")
	return sha
}

func TestGitIsServedOverHTTPAndByADaemon(t *testing.T) {
	dir, heads := Repos(t, "one", "two")
	g, d := NewGitHTTP(t, dir), NewGitDaemon(t, dir)
	for _, base := range []string{g.URL, d.URL} {
		if got := lsRemote(t, base+"/two.git"); got != heads["two"] {
			t.Errorf("%s: %s, want %s", base, got, heads["two"])
		}
	}
	if list := g.Requests(); len(list) != 2 || list[0].Path != "/two.git/info/refs" || list[1].Method != http.MethodPost {
		t.Errorf("requests %+v", list)
	}
	g.Forget()
	g.WithoutV2()
	if got := lsRemote(t, g.URL+"/one.git"); got != heads["one"] || len(g.Requests()) != 1 {
		t.Errorf("without version 2: %s after %d requests", got, len(g.Requests()))
	}
	if made, peak := g.Connections(); made != 1 || peak != 1 {
		t.Errorf("%d connections, %d at once", made, peak)
	}
}

func TestGitHTTPFailsAsOrdered(t *testing.T) {
	dir, _ := Repos(t, "one")
	g := NewGitHTTP(t, dir)
	g.Fail(GitFault{Fault: Fault{Path: "/one.git", Skip: 1, Status: 429, Header: map[string]string{"Retry-After": "7"}, Body: "later"}})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, want := range []string{"200 ", "429 7 later", "200 "} {
		resp, err := client.Get(g.URL + "/one.git/info/refs?service=git-upload-pack")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		got := resp.Status[:4] + resp.Header.Get("Retry-After")
		if resp.StatusCode != 200 {
			got += " " + string(body)
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestTheAURHasAnArchiveAndRepositories(t *testing.T) {
	a := NewAUR(t)
	a.Push(AURCommit{Pkgbase: "x++", Files: map[string]string{"f": "1"}, Time: 1}, AURCommit{Pkgbase: "x++", Files: map[string]string{"f": "2"}, Time: 2})
	newest := a.Heads()["x++"]
	a.Direct("x++")
	a.Lag("x++")
	if lagging := a.Heads()["x++"]; lagging == newest || lagging == "" {
		t.Errorf("the mirror has %q", lagging)
	}
	if got := lsRemote(t, a.GitURL+"/x++.git"); got != newest {
		t.Errorf("the AUR itself has %s, want %s", got, newest)
	}
	a.Set(AURPackage{Name: "x++", Version: "1-1"}, AURPackage{Name: "y", Version: "1-1"})
	a.Delete("y")
	client := &http.Client{Transport: agent{&http.Transport{DisableKeepAlives: true}}}
	for url, want := range map[string]string{a.ArchiveURL: `"Name":"x++","PackageBaseID":0,"PackageBase":"x++"`, a.RPCURL + "?v=5&type=info&arg[]=x%2B%2B&arg[]=y": `"resultcount":1`} {
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if !strings.Contains(string(body), want) || strings.Contains(string(body), `"y"`) {
			t.Errorf("%s: %s", url, body)
		}
	}
}

type agent struct{ http.RoundTripper }

func (a agent) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("User-Agent", "caur-test")
	return a.RoundTripper.RoundTrip(r)
}
