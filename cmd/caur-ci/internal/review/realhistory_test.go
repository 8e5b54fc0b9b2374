//go:build realhistory

package review

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

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
	h := newHistory(t, repo)
	commits := h.lines("log", "--all", "--no-merges", "--grep=^chore(update)", "--format=%H %P")
	for i, line := range commits {
		id, parent, ok := strings.Cut(line, " ")
		if i%max(1, every) == 0 && ok && !strings.Contains(parent, " ") {
			h.commit("merged", parent, id)
		}
	}
	for _, branch := range h.lines("for-each-ref", "--format=%(objectname)", "refs/heads/update-*", "refs/remotes/origin/update-*") {
		if base := h.lines("merge-base", branch, h.main()); len(base) == 1 {
			h.commit("branch", base[0], branch)
		}
	}
	h.report()
}

type history struct {
	t        *testing.T
	repo     string
	in       io.Writer
	out      *bufio.Reader
	seen     map[string]bool
	pairs    int
	levels   map[string]int
	rules    map[string]int
	requests [4]int // caur, line rule, line rule that ignores comments and blank lines, critical
	only     [2]int // major for caur only; for the line rule only
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
	return &history{t: t, repo: repo, in: in, out: bufio.NewReaderSize(out, 1<<16), seen: map[string]bool{}, levels: map[string]int{}, rules: map[string]int{}, show: os.Getenv("CAUR_REAL_SHOW")}
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

// commit judges every package whose directory differs between two commits.
func (h *history) commit(kind, before, after string) {
	older, newer := map[string]pkgdir.Dir{}, map[string]pkgdir.Dir{}
	for _, line := range h.lines("diff-tree", "-r", "--raw", "--no-renames", "--no-abbrev", before, after) {
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
	start := time.Now()
	v := Judge(Input{Pkgbase: pkg, Old: older, New: newer})
	h.times = append(h.times, time.Since(start))
	h.levels[v.Level.String()]++
	h.levels["worst "+v.Worst().String()]++
	rules := map[string]bool{}
	for _, f := range v.Findings {
		rules[f.Rule] = true
	}
	for r := range rules {
		h.rules[r]++
	}
	strict, lenient := lineRule(older["PKGBUILD"].Data, newer["PKGBUILD"].Data, false), lineRule(older["PKGBUILD"].Data, newer["PKGBUILD"].Data, true)
	for i, hit := range []bool{v.Level == Major, strict, lenient, v.Worst() == Critical} {
		if hit {
			h.requests[i]++
		}
	}
	if v.Level == Major && !strict {
		h.only[0]++
	}
	if v.Level != Major && strict {
		h.only[1]++
	}
	show := h.show == v.Level.String() || h.show == v.Worst().String() || rules[h.show] || h.show == "only-caur" && v.Level == Major && !strict || h.show == "only-line" && v.Level != Major && strict
	if h.show == "only-major" {
		n := 0
		for _, f := range v.Findings {
			if f.Major {
				n++
			}
		}
		show = n == 1
	}
	if most, _ := strconv.Atoi(cmp.Or(os.Getenv("CAUR_REAL_MOST"), "20")); show && h.shown < most && len(key)%7 == 0 {
		h.shown++
		fmt.Printf("--- %s %s %s: %s, %s; line rule %t\n", kind, commit[:12], pkg, v.Level, v.Worst(), strict)
		for _, f := range v.Findings {
			fmt.Printf("    %-8s %-24s %s:%d %s\n        - %.200q\n        + %.200q\n", f.Severity, f.Rule, f.File, f.Line, f.Text, f.Old, f.New)
		}
	}
}

var (
	versionLine  = regexp.MustCompile(`^\s*(?:pkgver|pkgrel|epoch|_commit|_?pkgver|_gitcommit)=`)
	checksumLine = regexp.MustCompile(`^\s*(?:(?:ck|md5|sha1|sha224|sha256|sha384|sha512|b2)sums\w*\+?=\(?)?\s*(?:['"]?(?:[0-9a-fA-F]{32,128}|[0-9]{5,10}|SKIP)['"]?\s*)*\)?\s*$`)
)

// lineRule is how today's pipelines decide (pipeline.md section 4, "Today compares line by line: any added line is
// major"): a line of the new PKGBUILD that the old one does not have, other than version, pkgrel, pinned commit and
// checksums. With lenient, comments and blank lines do not count either.
func lineRule(older, newer []byte, lenient bool) bool {
	have := map[string]int{}
	for line := range bytes.Lines(older) {
		have[strings.TrimRight(string(line), " \t\n")]++
	}
	for line := range bytes.Lines(newer) {
		text := strings.TrimRight(string(line), " \t\n")
		if have[text] > 0 {
			have[text]--
			continue
		}
		if versionLine.MatchString(text) || text != "" && checksumLine.MatchString(text) {
			continue
		}
		if trimmed := strings.TrimSpace(text); lenient && (trimmed == "" || strings.HasPrefix(trimmed, "#")) {
			continue
		}
		return true
	}
	return false
}

func (h *history) report() {
	slices.Sort(h.times)
	at := func(p float64) time.Duration { return h.times[min(len(h.times)-1, int(p*float64(len(h.times))))] }
	fmt.Printf("%d pairs: %v\n", h.pairs, h.levels)
	fmt.Printf("requests: caur %d (critical %d), line rule %d, line rule without comments and blank lines %d; only caur %d, only line rule %d\n", h.requests[0], h.requests[3], h.requests[1], h.requests[2], h.only[0], h.only[1])
	fmt.Printf("time for a pair: median %v, p90 %v, p99 %v, max %v\n", at(0.5), at(0.9), at(0.99), h.times[len(h.times)-1])
	type count struct {
		rule string
		n    int
	}
	var list []count
	for r, n := range h.rules {
		list = append(list, count{r, n})
	}
	slices.SortFunc(list, func(a, b count) int { return b.n - a.n })
	for _, c := range list {
		fmt.Printf("  %6d %s\n", c.n, c.rule)
	}
}
