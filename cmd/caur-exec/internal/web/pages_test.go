package web

import (
	"io"
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/buildlog"
	"github.com/caur-build/caur/pkg/queue"
)

var (
	linkSyntax   = regexp.MustCompile(`(?:href|src|action|data-source)="([^"]*)"`)
	inlineSyntax = regexp.MustCompile(`(?i)<script(?:\s[^>]*)?>[^<]|<[a-z][^<>]*\s(?:style|on[a-z]+)=|<style|javascript:`)
)

// hostile is what a log or a name may hold.
const hostile = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>\x1b]8;;javascript:alert(1)\x1b\\click\x1b]8;;\x1b\\\x1b[2J\xff\xfe\x00"

func TestHostileLogIsNothingButText(t *testing.T) {
	s := newSite(t, nil)
	s.finishedLog(key, hostile)
	answer := s.do("GET", keyPath)
	body, err := io.ReadAll(answer.Body)
	if err != nil || string(body) != hostile {
		t.Errorf("the log is changed: %q, %v", body, err)
	}
	if got := answer.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
	if got := answer.Header.Get("X-Content-Type-Options"); got != "nosniff" {
		t.Errorf("X-Content-Type-Options %q", got)
	}
	code, page := s.get("/logs.html?id=p&timestamp=1700000000000")
	if code != 200 || strings.Contains(page, "alert(1)") {
		t.Errorf("log page, %d:\n%s", code, page)
	}
}

func TestPolicyAllowsNothingInline(t *testing.T) {
	s := newSite(t, nil)
	for _, path := range []string{"/", "/logs.html?id=p", keyPath, "/nothing", "/api/queue/stats", "/assets/log.js"} {
		got := s.do("GET", path).Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(got, "default-src 'none'") || strings.Contains(got, "unsafe") || strings.Contains(got, "http") {
			t.Errorf("%s: policy %q", path, got)
		}
	}
}

func TestPagesHaveRelativeLinksAndNothingInline(t *testing.T) {
	evil := sample()
	evil.Running[0].Builder = `"><script>alert(1)</script>`
	evil.Running[0].Job.Pkgbase = `x" onclick="alert(1)`
	evil.Waiting[1].BlockedBy = []string{"<img src=x onerror=alert(1)>"}
	s := newSite(t, fixed(evil))
	s.finishedLog(key, hostile)
	for _, path := range []string{"/", "/logs/", "/queue.html", "/graph.html", "/package.html?name=p", "/builder.html?name=b1", "/failures.html", "/search.html?q=a", "/logs.html?id=p", "/logs.html?id=p&timestamp=1700000000000", "/logs/logs.html?id=p&timestamp=1"} {
		code, page := s.get(path)
		if code != 200 {
			t.Errorf("%s: %d", path, code)
		}
		if found := inlineSyntax.FindString(page); found != "" && !strings.Contains(found, "onclick") {
			t.Errorf("%s has %q inline", path, found)
		}
		if strings.Contains(page, "<script>alert") || strings.Contains(page, "<img") || strings.Contains(page, `" onclick="`) {
			t.Errorf("%s: a name became markup:\n%s", path, page)
		}
		links := linkSyntax.FindAllStringSubmatch(page, -1)
		if len(links) < 3 {
			t.Errorf("%s has %d links", path, len(links))
		}
		for _, link := range links {
			if strings.HasPrefix(link[1], "https://aur.archlinux.org/pkgbase/") {
				continue // a link for people: nothing is fetched from there
			}
			if strings.HasPrefix(link[1], "/") || strings.Contains(link[1], "//") || strings.HasPrefix(link[1], "..") {
				t.Errorf("%s: link to %q is not relative", path, link[1])
			}
			if asset, ok := strings.CutPrefix(link[1], "assets/"); ok {
				base := path[:strings.LastIndex(path, "/")+1]
				if code, _ := s.get(base + "assets/" + asset); code != 200 {
					t.Errorf("%s: %s is not there", path, link[1])
				}
			}
		}
	}
}

func TestScriptsNeverMakeMarkupOfALog(t *testing.T) {
	// The whole defence of these scripts is that they have no way to turn text into markup.
	for _, name := range []string{"log.js", "logindex.js", "ansi.js"} {
		script, err := fs.ReadFile(assetFiles, "assets/"+name)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(script), "link.href = `#L${line + 1}`", "") // a number of ours
		for _, word := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "eval(", "Function(", "setAttribute", ".href", "http:", "https:"} {
			if strings.Contains(text, word) {
				t.Errorf("%s uses %s", name, word)
			}
		}
	}
}

func TestLogPageKnowsItsSource(t *testing.T) {
	s := newSite(t, nil)
	s.finishedLog(buildlog.Key{Pkgbase: "c++-x", Timestamp: 1700000000000}, "x")
	tests := map[string]string{
		"/logs.html?id=c%2B%2B-x&timestamp=1600000000000": `data-source="api/logs/c&#43;&#43;-x/1600000000000"`,
		"/logs.html?id=c%2B%2B-x":                         `data-source="api/logs/c&#43;&#43;-x/1700000000000"`, // the newest
		"/logs.html?id=not-yet":                           `data-source="api/logs/not-yet"`,
	}
	for path, want := range tests {
		if code, page := s.get(path); code != 200 || !strings.Contains(page, want) {
			t.Errorf("%s: %d, lacks %s:\n%s", path, code, want, page)
		}
	}
	if code, page := s.get("/logs.html?id=c%2B%2B-x"); code != 200 || !strings.Contains(page, "2023-11-14 22:13:20 UTC") {
		t.Errorf("the time of the job is missing:\n%s", page)
	}
}

func TestOverviewShowsTheStateAndStaysSmall(t *testing.T) {
	q := sample()
	for range 2500 {
		q.Waiting = append(q.Waiting, queue.WaitingJob{Job: job("more"), Ready: true, NoBuilder: true})
	}
	s := newSite(t, fixed(q))
	code, page := s.get("/")
	if code != 200 || len(page) > 100<<10 {
		t.Errorf("%d, %d bytes", code, len(page))
	}
	for _, want := range []string{
		`<a href="package.html?name=gcc-git">gcc-git</a>`, `href="logs.html?timestamp=1700000000002&amp;id=gcc-git"`, `id=libstdc%2B%2B5`, `>libstdc&#43;&#43;5</a>`,
		`<td class="num">1:00</td>`, `<td class="num">3:00:00</td>`, `<a href="package.html?name=zlib">zlib</a>`, "failed: old", "clean-up",
		`<a href="queue.html">2502</a>`, "and 2452 more", "no builder takes it", "2023-11-14 22:15:00 UTC", "<noscript><meta http-equiv=\"refresh\"",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the overview lacks %q", want)
		}
	}
}

func TestAssetsAreKeptUntilTheyChange(t *testing.T) {
	s := newSite(t, nil)
	first := s.do("GET", "/assets/style.css")
	if got := first.Header.Get("Content-Type"); got != "text/css; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
	if again := s.do("GET", "/assets/style.css", "If-None-Match", first.Header.Get("ETag")); again.StatusCode != 304 {
		t.Errorf("unchanged: %d", again.StatusCode)
	}
}

func TestPrefixWithoutSlashLeadsOnRelatively(t *testing.T) {
	s := newSite(t, nil)
	answer := s.do("GET", "/logs")
	if got := answer.Header.Get("Location"); answer.StatusCode != 302 || got != "logs/" {
		t.Errorf("%d to %q", answer.StatusCode, got)
	}
}

func TestDurationsForPeople(t *testing.T) {
	tests := map[time.Duration]string{
		-time.Second: "0 s", 90 * time.Second: "90 s", 5 * time.Minute: "5 min", 3 * time.Hour: "3 h", 50 * time.Hour: "2 d",
	}
	for d, want := range tests {
		if got := ago(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
