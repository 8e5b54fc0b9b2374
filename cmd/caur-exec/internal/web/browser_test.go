package web

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/caur-build/caur/cmd/caur-exec/internal/buildlog"
	"github.com/caur-build/caur/cmd/caur-exec/internal/history"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
)

const (
	testToken = "a token of the test, long enough"
	root      = "../../../../"
)

// browser is one Chromium for all tests of the pages.
type browser struct {
	t   *testing.T
	ctx context.Context
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	testenv.Need(t, "chromium")
	ctx, cancel := chromedp.NewContext(t.Context(), chromedp.WithAllocatorOptions(chromedp.NoSandbox, chromedp.DisableGPU))
	t.Cleanup(cancel)
	ctx, stop := context.WithTimeout(ctx, 10*time.Minute)
	t.Cleanup(stop)
	return &browser{t, ctx}
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// open goes to a page.
func (b *browser) open(url string) {
	b.t.Helper()
	b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(url)) // the first for a page that differs in the fragment only
}

// press presses a button by key: a click misses one that moves meanwhile, since the page changes as the queue does.
func (b *browser) press(button string) {
	b.t.Helper()
	b.do(chromedp.Focus(chromedp.CSS(button)), chromedp.KeyEvent("\r"))
}

// wait waits until an expression is true, across navigations, too.
func (b *browser) wait(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	for {
		_, err := chromedp.Run(ctx, chromedp.Poll[bool]("Boolean("+expression+")"))
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			b.t.Fatalf("%s never came: %v; the page: %.2000s", expression, err, get[string](b, "document.documentElement.innerText"))
		}
	}
}

func get[T any](b *browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func (b *browser) theme(name string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
	if err != nil {
		b.t.Fatal(err)
	}
}

// picture keeps what the page looks like.
func (b *browser) picture(name string) {
	b.t.Helper()
	dir := filepath.Join(root, "artifacts", "screenshots")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	image, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), image, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

const (
	allRules = `{type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}`
	colours  = `{type: "rule", values: ["color-contrast"]}`
)

// axe checks rules of WCAG 2 A and AA.
func (b *browser) axe(where, rules string) {
	b.t.Helper()
	script, err := os.ReadFile(filepath.Join(root, ".cache", "axe", "axe.min.js"))
	if err != nil {
		b.t.Fatalf("axe-core is missing (%v): run .ci/setup test, as make test does", err)
	}
	if get[string](b, "typeof window.axe") == "undefined" {
		get[string](b, string(script)+"; 'loaded'")
	}
	found, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](
		`axe.run({runOnly: `+rules+`}).then((r) => JSON.stringify(r.violations.map((v) => [v.id, v.help, v.nodes.slice(0, 3).map((n) => n.html + " " + n.failureSummary)])))`,
		chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: axe: %v", where, err)
	}
	var violations []any
	if err := json.Unmarshal([]byte(found), &violations); err != nil {
		b.t.Fatal(err)
	}
	for _, v := range violations {
		b.t.Errorf("%s: %v", where, v)
	}
}

// farm is a site over a queue in which much goes on: 2,500 jobs wait, three run, some have ended in every way.
func farm(t *testing.T) *site {
	t.Helper()
	var past *history.Index
	s := newSite(t, func(o *Options, _ *limits) {
		past = history.New(o.Control.Events)
		o.History = past
		o.Settings.AdminToken = settings.NewSecret(testToken)
	})
	ended := map[string]queue.Result{
		"zlib": {Status: queue.Success, Duration: 95 * time.Second}, "brotli": {Status: queue.AlreadyBuilt},
		"qt6-webengine-git": {Status: queue.Failed, Duration: 83 * time.Minute, Message: "makepkg failed", Failure: &queue.Failure{Class: "compile", Lines: []string{"widget.cpp:1:2: error: 'x' was not declared", "ninja: build stopped: subcommand failed.", "==> ERROR: A failure occurred in build()."}}},
		"obs-studio-git":    {Status: queue.Failed, Duration: 3 * time.Minute, Message: "makepkg failed", Failure: &queue.Failure{Class: "dependency", Lines: []string{"error: target not found: libajantv2"}}},
		"chromium-git":      {Status: queue.TimedOut, Duration: time.Hour, Message: "stopped after 1h"},
	}
	b1 := queue.Builder{Name: "builder-1", Class: "5", Version: "1.0"}
	for range 6 {
		for name, r := range ended {
			s.enqueue(job(name))
			l := s.claim(b1)
			s.finish(l, r)
		}
	}
	s.enqueue(job("zlib"), job("linux-cachyos"), job("firefox-nightly"))
	for range 3 {
		s.claim(b1)
	}
	s.claim(queue.Builder{Name: "builder-2", Class: "2", Version: "1.0"})
	var jobs []queue.Job
	for i := range 2500 {
		j := job(fmt.Sprintf("package-%04d", i))
		switch {
		case i < 40 && i > 0:
			j.Dependencies = []string{fmt.Sprintf("package-%04d", i/3), "zlib"}
		case i < 60:
			j.Dependencies = []string{"linux-cachyos"}
		case i > 2490:
			j.Class = "9"
		}
		jobs = append(jobs, j)
	}
	s.enqueue(jobs...)
	go func() { _ = past.Run(t.Context()) }() // gives no error
	for len(past.Package("chromium-git")) < 6 {
		_, _, _, more := past.Feed("")
		if len(past.Package("chromium-git")) < 6 {
			<-more
		}
	}
	return s
}

func (s *site) claim(b queue.Builder) *queue.Lease {
	s.t.Helper()
	l, err := s.queue.Claim(s.t.Context(), b, time.Hour)
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

// finish ends a job; one that succeeded is published first.
func (s *site) finish(l *queue.Lease, r queue.Result) {
	s.t.Helper()
	if r.Status != queue.Success {
		if err := s.queue.Finish(s.t.Context(), l, r); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	r.Duration += time.Duration(l.Job.Timestamp%30) * time.Second
	err := s.queue.Deliver(s.t.Context(), l, r)
	if err != nil {
		s.t.Fatal(err)
	}
	d, err := s.queue.TakeDelivery(s.t.Context(), "db", time.Minute)
	if err == nil {
		err = s.queue.FinishDelivery(s.t.Context(), d, queue.Success, "")
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// colourful is a log with what logs have.
func colourful() string {
	var b strings.Builder
	b.WriteString("==> caur: building repo/x86_64/zlib on builder-1\n==> Making package: zlib 1.3.1-1\n==> Retrieving sources...\n  -> Downloading zlib-1.3.1.tar.gz...\n")
	b.WriteString("\x1b[1m\x1b[32m==>\x1b[0m\x1b[1m Starting prepare()...\x1b[0m\n==> Starting build()...\n")
	for i := range 400 {
		fmt.Fprintf(&b, "[%3d/400] \x1b[3%dmcc\x1b[0m -O2 -c file%d.c\n", i+1, i%8, i)
	}
	b.WriteString("\x1b[1;31merror:\x1b[0m nothing is wrong\n10%\r50%\r100%\n==> Starting check()...\nok 1\n==> Starting package()...\n==> Tidying install...\n==> caur: success\n")
	return b.String()
}

// TestBrowser drives one real Chromium through all pages.
func TestBrowser(t *testing.T) {
	b := newBrowser(t)
	run := func(name string, f func(*browser, *site), s *site) {
		t.Run(name, func(t *testing.T) { f(&browser{t, b.ctx}, s) })
	}
	s := farm(t)
	build := startBuild(t, s) // its checks take a while: it is awaited last
	s.finishedLog(key, hostile+"\n<b>bold</b>\n")
	s.finishedLog(buildlog.Key{Pkgbase: "zlib", Timestamp: 1700000000000}, colourful())
	run("every page is readable, in both themes and on a phone", everyPage, s)
	run("2,500 jobs are listed and filtered", manyJobs, s)
	run("a hostile log runs no script", hostileLog, s)
	run("a log is coloured, folded, searched and linked", logTools, s)
	run("a large log keeps few rows in the document", largeLog, s)
	run("a log is followed while makepkg runs", build.follow, s)
	run("an administrator logs in, cancels and drains", administrate, s)
	run("the drawing is zoomed and moved by keys", zoomGraph, s)
	run("without script everything is there to read", withoutScript, s)
}

func everyPage(b *browser, s *site) {
	pages := map[string]string{
		"overview": "/", "queue": "/queue.html", "graph": "/graph.html", "package": "/package.html?name=zlib", "package-failing": "/package.html?name=qt6-webengine-git",
		"builder": "/builder.html?name=builder-1", "failures": "/failures.html", "search": "/search.html?q=zlib", "search-nothing": "/search.html?q=xyz", "admin": "/admin.html",
		"log": "/logs.html?id=zlib&timestamp=1700000000000",
	}
	for name, path := range pages {
		begin := time.Now()
		b.do(chromedp.EmulateViewport(1280, 900))
		b.theme("light")
		b.open(s.url + path)
		for _, theme := range []string{"light", "dark"} {
			b.theme(theme)
			if name == "log" {
				b.wait(`document.querySelectorAll("#log .row").length > 10 && document.getElementById("state").textContent.startsWith("finished")`)
			}
			b.picture(name + "-" + theme)
			switch {
			case slices.Contains([]string{"queue", "package", "builder", "search-nothing", "admin"}, name): // made of what other pages have, too
			case theme == "light":
				b.axe(name+", light", allRules)
			default: // all else is the same
				b.axe(name+", dark", colours)
			}
		}
		b.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
		b.picture(name + "-phone")
		if name == "overview" || name == "log" {
			b.axe(name+", phone", allRules)
		}
		if wide := get[int](b, "document.documentElement.scrollWidth"); wide > 390 {
			b.t.Errorf("%s is %d pixels wide on a phone of 390", name, wide)
		}
		b.t.Logf("%s took %v", name, time.Since(begin))
	}
	b.do(chromedp.EmulateViewport(1280, 900))
}

func manyJobs(b *browser, s *site) {
	begin := time.Now()
	b.open(s.url + "/queue.html")
	b.t.Logf("2,500 rows after %v", time.Since(begin))
	if n := get[int](b, `document.querySelectorAll("tbody tr").length`); n != 2500 {
		b.t.Errorf("%d rows", n)
	}
	b.do(chromedp.SendKeys(chromedp.CSS("#filter"), "package-012"))
	b.wait(`document.getElementById("filtered").textContent === "10 of 2500 shown"`)
	b.open(s.url + "/")
	b.do(chromedp.KeyEvent("/"))
	if at := get[string](b, "document.activeElement.id"); at != "q" {
		b.t.Errorf("the key / leads to %q", at)
	}
	// What happens is on the page without a reload.
	s.enqueue(job("brand-new"))
	b.wait(`document.querySelector(".tiles").textContent.includes("2501")`)
	if err := s.queue.Cancel(b.t.Context(), job("brand-new").ID()); err != nil {
		b.t.Fatal(err)
	}
}

func hostileLog(b *browser, s *site) {
	b.open(s.url + "/logs.html?id=p&timestamp=1700000000000")
	b.wait(`document.getElementById("log").textContent.includes("<b>bold</b>")`)
	if n := get[int](b, `document.querySelectorAll("#log script, #log img, #log b, #log a[href^=javascript]").length`); n != 0 {
		b.t.Errorf("%d elements came out of a log", n)
	}
	if text := get[string](b, `document.getElementById("log").textContent`); !strings.Contains(text, "<script>alert(1)</script>") || strings.Contains(text, "\x1b") {
		b.t.Errorf("the log reads %q", text)
	}
}

func logTools(b *browser, s *site) {
	b.open(s.url + "/logs.html?id=zlib&timestamp=1700000000000#L30-L32")
	b.wait(`document.querySelectorAll("#log .row.marked").length === 3`)
	if got := get[string](b, `document.querySelector("#log .row.marked a").textContent`); got != "30" {
		b.t.Errorf("the link leads to line %s", got)
	}
	if !get[bool](b, `document.querySelectorAll("#log .f1, #log .f2").length > 2`) {
		b.t.Error("nothing is coloured")
	}
	steps := get[string](b, `[...document.querySelectorAll("#steps .go")].map((e) => e.textContent).join(" ")`)
	if steps != "caur makepkg sources prepare build check package archive caur" {
		b.t.Errorf("steps: %s", steps)
	}
	b.wait(`document.querySelector("#steps .took").textContent !== ""`)
	b.do(chromedp.Click(chromedp.CSS("#steps div:nth-child(5) .fold")))
	b.do(chromedp.Click(chromedp.CSS("#steps div:nth-child(5) .go")))
	b.wait(`document.getElementById("log").textContent.includes("Starting check()") && !document.getElementById("log").textContent.includes("file0.c")`)
	b.do(chromedp.SendKeys(chromedp.CSS("#needle"), "FILE123.c"))
	b.wait(`document.getElementById("matches").textContent === "1 of 1" && document.querySelector("#log .row.now")?.textContent.includes("file123.c")`)
	b.open(s.url + "/logs.html?id=zlib&timestamp=1700000000000")
	b.wait(`document.getElementById("log").textContent.includes("100%") && !document.getElementById("log").textContent.includes("50%")`)
}

// fillLog writes lines of a compiler's length until the log is that large, and gives how many.
func fillLog(s *site, k buildlog.Key, size int) (lines int) {
	w := s.writer(k)
	for written := 0; written < size; lines++ {
		n, _ := fmt.Fprintf(w, "[%7d] cc -O2 -march=x86-64 -pipe -fno-plt -fexceptions -Wp,-D_FORTIFY_SOURCE=3 -c source/file.c\n", lines+1)
		written += n
	}
	if err := w.End(s.t.Context(), 0); err != nil {
		s.t.Fatal(err)
	}
	return lines
}

func largeLog(b *browser, s *site) {
	lines := fillLog(s, buildlog.Key{Pkgbase: "large", Timestamp: 1}, 40<<20)
	begin := time.Now()
	b.open(s.url + "/logs.html?id=large&timestamp=1")
	last := fmt.Sprintf("[%7d]", lines)
	b.wait(fmt.Sprintf(`document.getElementById("log").textContent.includes(%q)`, last))
	b.t.Logf("the end of 40 MiB after %v", time.Since(begin))
	b.wait(`document.getElementById("state").textContent === "finished: success"`)
	b.t.Logf("all of it after %v", time.Since(begin))
	for _, line := range []int{1, lines / 2, lines} {
		get[string](b, fmt.Sprintf(`location.hash = "L%d"`, line))
		b.wait(fmt.Sprintf(`document.querySelector("#log .row.marked")?.textContent.startsWith("%d[%7d]")`, line, line))
	}
	if n := get[int](b, `document.querySelectorAll("#log .row").length`); n > 100 {
		b.t.Errorf("%d rows are in the document", n)
	}
}

// liveBuild is a real makepkg whose log is written while it runs. It stops in build() until it is let on.
type liveBuild struct {
	gate string
	cmd  *exec.Cmd
	wait func() error // for its end, once
	log  *buildlog.Writer
}

func startBuild(t *testing.T, s *site) *liveBuild {
	t.Helper()
	testenv.Need(t, "makepkg", "fakeroot", "bsdtar")
	uid, gid := testenv.UnprivilegedUser(t)
	dir := testenv.BuildDir(t)
	l := &liveBuild{gate: filepath.Join(dir, "go-on"), log: s.writer(buildlog.Key{Pkgbase: "live", Timestamp: 5})}
	if err := syscall.Mkfifo(l.gate, 0o666); err != nil {
		t.Fatal(err)
	}
	text := "pkgname=live\npkgver=1\npkgrel=1\narch=(any)\nprepare() { echo preparing; }\nbuild() { printf '\\033[32mgreen\\033[0m\\n'; read -r word <'" + l.gate + "'; echo \"went $word\"; }\ncheck() { echo checking; }\npackage() { install -Dm644 /dev/null \"$pkgdir/usr/share/live\"; }\n"
	if err := os.WriteFile(filepath.Join(dir, "PKGBUILD"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	l.cmd = exec.CommandContext(t.Context(), "makepkg", "--nodeps", "--nocolor", "--config", makepkgConf(t, dir))
	testenv.Chown(t, dir)
	l.cmd.Dir, l.cmd.Stdout, l.cmd.Stderr = dir, l.log, l.log
	l.cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + dir, "LANG=C.UTF-8"}
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		l.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	}
	l.cmd.Cancel = func() error { return syscall.Kill(-l.cmd.Process.Pid, syscall.SIGKILL) }
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l.wait = sync.OnceValue(l.cmd.Wait)
	t.Cleanup(func() { _ = l.wait() }) // where nobody let it on, the test's end has killed it
	return l
}

// follow shows the log of the build while it runs.
func (l *liveBuild) follow(b *browser, s *site) {
	b.open(s.url + "/logs.html?id=live&timestamp=5")
	b.wait(`document.querySelector("#log .f2")?.textContent === "green" && document.getElementById("state").textContent === "live"`)
	b.picture("log-live")
	if err := os.WriteFile(l.gate, []byte("on\n"), 0); err != nil { // waits for the build to read
		b.t.Fatal(err)
	}
	b.wait(`document.getElementById("log").textContent.includes("went on")`)
	if err := l.wait(); err != nil {
		b.t.Fatalf("makepkg: %v\n%s", err, get[string](b, `document.getElementById("log").textContent`))
	}
	if err := l.log.End(b.t.Context(), 0); err != nil {
		b.t.Fatal(err)
	}
	b.wait(`document.getElementById("state").textContent === "finished: success" && document.getElementById("log").textContent.includes("Finished making")`)
	steps := get[string](b, `[...document.querySelectorAll("#steps .go")].map((e) => e.textContent).join(" ")`)
	if !strings.Contains(steps, "prepare build check package") {
		b.t.Errorf("steps: %s", steps)
	}
}

// makepkgConf is a configuration that builds nothing but the package file.
func makepkgConf(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "makepkg.conf")
	text := "CARCH=x86_64\nCHOST=x86_64-pc-linux-gnu\nPKGEXT=.pkg.tar\nSRCEXT=.src.tar\nBUILDENV=(check !sign !color !ccache !distcc)\nOPTIONS=(!strip !docs !debug !lto)\nDLAGENTS=()\nVCSCLIENTS=()\nINTEGRITY_CHECK=(sha256)\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func administrate(b *browser, s *site) {
	b.open(s.url + "/queue.html?q=package-2000")
	if get[bool](b, `document.querySelector("form.act") !== null`) {
		b.t.Error("everybody has the administrator's buttons")
	}
	b.open(s.url + "/admin.html")
	b.do(chromedp.SendKeys(chromedp.CSS("#token"), testToken+"\r"))
	b.wait(`document.body.textContent.includes("Log out")`)
	b.open(s.url + "/queue.html?q=package-2000")
	b.axe("queue, administrator", allRules)
	b.picture("queue-admin")
	b.press(".acts form:first-child button")
	b.wait(`location.search === "?q=package-2000" && document.querySelector(".empty") !== null`)
	b.open(s.url + "/builder.html?name=builder-2")
	b.press("form.act button")
	b.wait(`document.querySelector(".badge.drained") !== null`)
	b.open(s.url + "/admin.html")
	rows := get[string](b, `[...document.querySelectorAll("tbody tr")].map((r) => r.cells[2].textContent + " " + r.cells[3].textContent.replace(/:\d+$/, "") + " " + r.cells[4].textContent).join("; ")`)
	if rows != "drain builder-2 ✓done; cancel repo/x86_64/package-2000 ✓done" {
		b.t.Errorf("audit: %s", rows)
	}
	b.picture("admin-audit")
	b.axe("audit", allRules)
	b.press("form.act button")
	b.wait(`document.getElementById("token") !== null`)
}

func zoomGraph(b *browser, s *site) {
	b.open(s.url + "/graph.html")
	b.wait(`!document.querySelector(".graph-tools").hidden`)
	width := `document.querySelector("#graph svg").viewBox.baseVal.width`
	before := get[float64](b, width)
	b.do(chromedp.Focus(chromedp.CSS("#graph")), chromedp.KeyEvent("+"))
	if after := get[float64](b, width); after >= before {
		b.t.Errorf("zoomed from %v to %v", before, after)
	}
	b.do(chromedp.Click(chromedp.CSS("#zoom-fit")))
	b.picture("graph-whole")
	if n := get[int](b, `document.querySelectorAll("#graph .node").length`); n < 55 {
		b.t.Errorf("%d jobs are drawn", n)
	}
}

func withoutScript(b *browser, s *site) {
	off := func(value bool) {
		if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: value}); err != nil {
			b.t.Fatal(err)
		}
	}
	off(true)
	defer off(false)
	for path, want := range map[string]string{"/": "linux-cachyos", "/graph.html": "The same in words", "/logs.html?id=zlib&timestamp=1700000000000": "plain text"} {
		if _, err := chromedp.Call(b.ctx, cdppage.Navigate, cdppage.NavigateParams{URL: s.url + path}); err != nil {
			b.t.Fatal(err)
		}
		b.do(chromedp.WaitVisible(chromedp.CSS("main")))
		text, err := chromedp.Run(b.ctx, chromedp.TextContent(chromedp.CSS("body")))
		if err != nil || !strings.Contains(text, want) {
			b.t.Errorf("%s lacks %q without script, %v", path, want, err)
		}
	}
}
