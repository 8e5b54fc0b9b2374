//go:build realhistory

package review

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/caur-build/caur/pkg/pkgdir"
)

// TestRealHistory judges the updates of a real PKGBUILD repository and prints what comes out:
//
//	CAUR_REAL_REPO=path/to/clone go test -tags realhistory -run RealHistory -v ./cmd/caur-ci/internal/review
//
// Every chore(update) commit of all branches counts, and every update-* branch against its merge base with main. With
// CAUR_REAL_EVERY=N only every Nth commit is looked at; CAUR_REAL_SHOW is a level, severity or rule to list examples of.
func TestRealHistory(t *testing.T) {
	repo := os.Getenv("CAUR_REAL_REPO")
	if repo == "" {
		t.Fatal("set CAUR_REAL_REPO to a clone of a PKGBUILD repository")
	}
	every, _ := strconv.Atoi(cmp.Or(os.Getenv("CAUR_REAL_EVERY"), "1"))
	runtime.LockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as caur-ci does
	h := newHistory(t, repo)
	commits := h.lines("log", "--all", "--no-merges", "--grep=^chore(update)", "--format=%H %P")
	for i, line := range commits {
		id, parent, ok := strings.Cut(line, " ")
		if i%max(1, every) == 0 && ok && !strings.Contains(parent, " ") {
			h.diff("merged", parent, id)
		}
	}
	trunk := h.main()
	for _, branch := range h.lines("for-each-ref", "--format=%(objectname)", "refs/heads/update-*", "refs/remotes/origin/update-*") {
		if base := h.lines("merge-base", branch, trunk); len(base) == 1 {
			h.diff("branch", base[0], branch)
		}
	}
	h.commits()
	h.report()
}

type history struct {
	t        *testing.T
	repo     string
	in       io.Writer
	out      *bufio.Reader
	seen     map[string]bool
	todo     [][3]string // kind, before, after
	why      map[string]int
	slow     map[string]int
	pairs    int
	levels   map[string]int
	rules    map[string]int
	requests map[string]*[5]int // by kind: pairs, caur, line rule, lenient line rule, critical
	only     [2]int             // major for caur only; for the line rule only
	times    []time.Duration
	show     string
	shown    int
}

func newHistory(t *testing.T, repo string) *history {
	cmd := exec.Command("git", "-C", repo, "cat-file", "--batch")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return &history{t: t, repo: repo, in: in, out: bufio.NewReaderSize(out, 1<<16), seen: map[string]bool{}, levels: map[string]int{}, why: map[string]int{}, slow: map[string]int{}, rules: map[string]int{}, requests: map[string]*[5]int{}, show: os.Getenv("CAUR_REAL_SHOW")}
}

func (h *history) lines(args ...string) []string {
	out, err := exec.Command("git", append([]string{"-C", h.repo}, args...)...).Output()
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func (h *history) main() string {
	for _, name := range []string{"refs/heads/main", "refs/remotes/origin/main"} {
		if id := h.lines("rev-parse", "-q", "--verify", name); len(id) == 1 && id[0] != "" {
			return id[0]
		}
	}
	return "HEAD"
}

func (h *history) blob(id string) []byte {
	fmt.Fprintln(h.in, id)
	head, err := h.out.ReadString('\n')
	if err != nil {
		h.t.Fatal(err)
	}
	fields := strings.Fields(head)
	if len(fields) != 3 || fields[1] != "blob" {
		if len(fields) == 3 {
			n, _ := strconv.Atoi(fields[2])
			_, _ = io.CopyN(io.Discard, h.out, int64(n)+1)
		}
		return nil
	}
	n, _ := strconv.Atoi(fields[2])
	data := make([]byte, n+1)
	if _, err := io.ReadFull(h.out, data); err != nil {
		h.t.Fatal(err)
	}
	return data[:n]
}

// diff notes two commits to be compared.
func (h *history) diff(kind, before, after string) {
	h.todo = append(h.todo, [3]string{kind, before, after})
}

// commits compares all commits that were noted; one process of git gives their differences.
func (h *history) commits() {
	var in bytes.Buffer
	for _, d := range h.todo {
		fmt.Fprintf(&in, "%s^{tree}\n%s^{tree}\n", d[1], d[2])
	}
	trees := strings.Fields(string(h.run(&in, "cat-file", "--batch-check=%(objectname)")))
	in.Reset()
	for i := range h.todo {
		fmt.Fprintf(&in, "%s %s\n", trees[2*i], trees[2*i+1])
	}
	i := -1
	var lines []string
	flush := func() {
		if i >= 0 {
			h.commit(h.todo[i][0], h.todo[i][2], lines)
		}
		lines = nil
	}
	for line := range strings.Lines(string(h.run(&in, "diff-tree", "--stdin", "-r", "--raw", "--no-renames", "--no-abbrev"))) {
		if line = strings.TrimRight(line, "\n"); !strings.HasPrefix(line, ":") {
			flush()
			i++
			for line != trees[2*i]+" "+trees[2*i+1] { // equal trees print nothing
				i++
			}
			continue
		}
		lines = append(lines, line)
	}
	flush()
}

func (h *history) run(in io.Reader, args ...string) []byte {
	cmd := exec.Command("git", append([]string{"-C", h.repo}, args...)...)
	cmd.Stdin = in
	out, err := cmd.Output()
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// commit judges every package whose directory differs.
func (h *history) commit(kind, after string, lines []string) {
	older, newer := map[string]pkgdir.Dir{}, map[string]pkgdir.Dir{}
	for _, line := range lines {
		meta, file, ok := strings.Cut(line, "\t")
		f := strings.Fields(meta)
		pkg, name, sub := strings.Cut(file, "/")
		if !ok || len(f) < 5 || !sub || strings.HasPrefix(pkg, ".") || pkgdir.OurOwn(name) {
			continue
		}
		for i, side := range []map[string]pkgdir.Dir{older, newer} {
			if side[pkg] == nil {
				side[pkg] = pkgdir.Dir{}
			}
			if mode := strings.TrimLeft(f[i], ":"); mode != "000000" && mode != "160000" {
				k := map[string]pkgdir.Kind{"100755": pkgdir.Executable, "120000": pkgdir.Link}[mode]
				side[pkg][name] = pkgdir.File{Kind: k, Data: h.blob(f[2+i])}
			}
		}
	}
	for pkg := range newer {
		for _, name := range []string{"PKGBUILD", ".SRCINFO"} {
			if _, changed := newer[pkg][name]; !changed {
				if data := h.blob(after + ":" + pkg + "/" + name); data != nil {
					older[pkg][name], newer[pkg][name] = pkgdir.File{Data: data}, pkgdir.File{Data: data}
				}
			}
		}
		if older[pkg]["PKGBUILD"].Data == nil || newer[pkg]["PKGBUILD"].Data == nil { // added or dropped by people
			continue
		}
		h.pair(kind, after, pkg, older[pkg], newer[pkg])
	}
}

func (h *history) pair(kind, commit, pkg string, older, newer pkgdir.Dir) {
	key := pkg + string(older["PKGBUILD"].Data) + "\x00" + string(newer["PKGBUILD"].Data) + string(newer[".SRCINFO"].Data)
	if h.seen[key] {
		return
	}
	h.seen[key] = true
	h.pairs++
	start := threadTime()
	v := Judge(Input{Pkgbase: pkg, Old: older, New: newer})
	h.times = append(h.times, threadTime()-start)
	if took := h.times[len(h.times)-1]; took > 10*time.Millisecond {
		h.slow[fmt.Sprintf("%s, %d kB", pkg, (older.Size()+newer.Size())>>10)] = int(took.Milliseconds())
	}
	checkMinor(h.t, v, older["PKGBUILD"].Data, newer["PKGBUILD"].Data)
	h.levels[v.Level.String()]++
	h.levels["worst "+v.Worst().String()]++
	rules := map[string]bool{}
	for _, f := range v.Findings {
		rules[f.Rule] = true
	}
	for r := range rules {
		h.rules[r]++
	}
	if v.Level == Major {
		var why []string
		for r := range rules {
			if rule := table().byID[r]; !rule.Minor && rule.Severity <= Warning {
				why = append(why, r)
			}
		}
		slices.Sort(why)
		h.why[strings.Join(why, " ")]++
	}
	strict, lenient := lineRule(older, newer, false), lineRule(older, newer, true)
	if h.requests[kind] == nil {
		h.requests[kind] = &[5]int{}
	}
	for i, hit := range []bool{true, v.Level == Major, strict, lenient, v.Worst() == Critical} {
		if hit {
			h.requests[kind][i]++
		}
	}
	if v.Level == Major && !strict {
		h.only[0]++
	}
	if v.Level != Major && strict {
		h.only[1]++
	}
	show := h.show == v.Level.String() || h.show == v.Worst().String() || rules[h.show] || h.show == "only-caur" && v.Level == Major && !strict || h.show == "only-line" && v.Level != Major && strict
	if alone, ok := strings.CutPrefix(h.show, "alone:"); ok { // the only rule that makes it major
		show = v.Level == Major && !slices.ContainsFunc(v.Findings, func(f Finding) bool { return f.Major && f.Rule != alone })
	}
	if most, _ := strconv.Atoi(cmp.Or(os.Getenv("CAUR_REAL_MOST"), "20")); show && h.pairs%5 == 0 && h.shown < most {
		h.shown++
		fmt.Printf("--- %s %s %s: %s, %s; line rule %t\n", kind, commit[:12], pkg, v.Level, v.Worst(), strict)
		for _, f := range v.Findings {
			fmt.Printf("    %-8s %-24s %s:%d %s\n        - %.300q\n        + %.300q\n", f.Severity, f.Rule, f.File, f.Line, f.Text, f.Old, f.New)
		}
	}
}

var (
	quotedToken  = regexp.MustCompile(`'([a-zA-Z0-9_.-]+)'|"([a-zA-Z0-9_.-]+)"`)
	versionLine  = regexp.MustCompile(`^(?:_?pkgver|pkgrel) *= *[a-zA-Z0-9_.-]+\s*$`)
	sumsBegin    = regexp.MustCompile(`^(?:sha(?:1|224|256|384|512)|md5|b2)sums(?:_(?:x86_64|i686|aarch64|armv7h))? *= *\((.*)$`)
	sumLine      = regexp.MustCompile(`^\s*(?:[a-fA-F0-9]+|SKIP)?\s*$`)
	sumLineClose = regexp.MustCompile(`^\s*(?:[a-fA-F0-9]+|SKIP)?\s*\)\s*$`)
)

// lineRule is how today's pipelines decide (pipeline.md section 4, "Today compares line by line: any added line is
// major"): both PKGBUILDs are read side by side, and every line must be the same, or a literal pkgver, _pkgver or pkgrel
// in both, or a checksum in both; and no other file may differ. With lenient, lines that are blank or comments are left
// out of both first, _commit and epoch count as versions, and other files do not count.
func lineRule(older, newer pkgdir.Dir, lenient bool) bool {
	if !lenient {
		for _, c := range pkgdir.Diff(older, newer) {
			if c.Path != "PKGBUILD" && c.Path != ".SRCINFO" && c.Path != ".gitignore" {
				return true
			}
		}
	}
	a, b := codeLines(older["PKGBUILD"].Data, lenient), codeLines(newer["PKGBUILD"].Data, lenient)
	if len(a) != len(b) {
		return true
	}
	inSums := false
	for i := range a {
		o, n := a[i], b[i]
		if x, y := sumsBegin.FindStringSubmatch(o), sumsBegin.FindStringSubmatch(n); !inSums && y != nil {
			if x == nil {
				return true
			}
			o, n, inSums = x[1], y[1], true
		}
		o, n = quotedToken.ReplaceAllString(o, "$1$2"), quotedToken.ReplaceAllString(n, "$1$2")
		switch {
		case inSums && sumLineClose.MatchString(o) && sumLineClose.MatchString(n):
			inSums = false
		case inSums && (!sumLine.MatchString(o) || !sumLine.MatchString(n)):
			return true
		case inSums, o == n, versionLine.MatchString(o) && versionLine.MatchString(n):
		case lenient && pinLine.MatchString(o) && pinLine.MatchString(n):
		default:
			return true
		}
	}
	return false
}

var pinLine = regexp.MustCompile(`^(?:epoch|_\w*) *= *["']?[a-zA-Z0-9_.+~:-]+["']?\s*$`)

func codeLines(data []byte, lenient bool) (out []string) {
	for line := range bytes.Lines(data) {
		text := strings.TrimSpace(string(line))
		if !lenient || text != "" && !strings.HasPrefix(text, "#") {
			out = append(out, text)
		}
	}
	return out
}

// threadTime is the processor time of this thread: on a busy machine the clock on the wall says little.
func threadTime() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now)
	return time.Duration(now.Nano())
}

func (h *history) report() {
	slices.Sort(h.times)
	at := func(p float64) time.Duration { return h.times[min(len(h.times)-1, int(p*float64(len(h.times))))] }
	fmt.Printf("%d pairs: %v\n", h.pairs, h.levels)
	for kind, n := range h.requests {
		fmt.Printf("%s: %d pairs; requests: caur %d (critical %d), line rule %d, lenient line rule %d\n", kind, n[0], n[1], n[4], n[2], n[3])
	}
	fmt.Printf("major for caur only %d, for the line rule only %d\n", h.only[0], h.only[1])
	fmt.Printf("processor time for a pair: median %v, p90 %v, p99 %v, max %v\n", at(0.5), at(0.9), at(0.99), h.times[len(h.times)-1])
	fmt.Println("slowest, in ms:")
	printCounts(h.slow, 20)
	fmt.Println("packages by rule:")
	printCounts(h.rules, 100)
	fmt.Println("why major:")
	printCounts(h.why, 40)
}

func printCounts(counts map[string]int, most int) {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Or(counts[b]-counts[a], strings.Compare(a, b)) })
	for _, name := range names[:min(most, len(names))] {
		fmt.Printf("  %6d %s\n", counts[name], name)
	}
}
