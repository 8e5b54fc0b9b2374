package failure_test

import (
	"bytes"
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/caur-build/caur/cmd/caur-exec/internal/failure"
)

func TestLogsHaveTheirClassAndTellTheirError(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) != 12 {
		t.Fatalf("%d files, %v: one a class", len(archives), err)
	}
	c := failure.New()
	total := 0
	for _, name := range archives {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.TrimSuffix(filepath.Base(name), ".txtar")
		for _, f := range archive.Files {
			total++
			t.Run(want+"/"+f.Name, func(t *testing.T) { checkLog(t, c, want, f) })
		}
	}
	if total < 60 {
		t.Errorf("only %d logs", total)
	}
}

func checkLog(t *testing.T, c *failure.Classifier, want string, f txtar.File) {
	code, err := strconv.Atoi(path.Dir(f.Name))
	if err != nil {
		t.Fatal(err)
	}
	var log, wants []string
	for line := range strings.Lines(string(f.Data)) {
		if text, ok := strings.CutPrefix(line, "want: "); ok {
			wants = append(wants, strings.TrimSpace(text))
			continue
		}
		log = append(log, line)
	}
	// A log is longer than what is looked at, and full of compilers.
	before := strings.Repeat("gcc -O2 -pipe -Wall -c -o x.o x.c\n", 3000)
	text := strings.ReplaceAll(strings.Join(log, ""), "␛", "\x1b")
	class, lines := c.Classify([]byte(before+text), failure.Facts{Code: code})
	if class != want {
		t.Errorf("class %s, want %s; %q", class, want, lines)
	}
	for _, text := range wants {
		if !strings.Contains(strings.Join(lines, "\n"), text) {
			t.Errorf("the report lacks %q: %q", text, lines)
		}
	}
	if strings.Contains(strings.Join(lines, "\n"), "interferences:") {
		t.Errorf("the report holds our own closing words: %q", lines)
	}
}

func TestWhatIsKnownWinsOverTheLog(t *testing.T) {
	const log = "==> Starting build()...\nx.c:1:1: error: bad\n==> ERROR: A failure occurred in build().\n"
	cases := []struct {
		facts failure.Facts
		want  string
	}{
		{failure.Facts{Code: 4}, failure.Compile},
		{failure.Facts{Code: 4, TimedOut: true}, failure.Timeout},
		{failure.Facts{Code: 137, OutOfMemory: true}, failure.Memory},
		{failure.Facts{Code: 137, DiskFull: true}, failure.Disk},
	}
	for _, c := range cases {
		if got, lines := failure.New().Classify([]byte(log), c.facts); got != c.want || len(lines) == 0 {
			t.Errorf("%+v: %s %q, want %s", c.facts, got, lines, c.want)
		}
	}
}

func TestOnlyDownloadsAreTransient(t *testing.T) {
	for _, class := range []string{failure.Dependency, failure.Checksum, failure.PGP, failure.Patch, failure.Compile, failure.Test,
		failure.Package, failure.Memory, failure.Disk, failure.Timeout, failure.Unknown, ""} {
		if failure.Transient(class) {
			t.Error(class)
		}
	}
	if !failure.Transient(failure.Download) {
		t.Error("a download is not")
	}
}

// bounded checks what people and Redis are promised of a report.
func bounded(t *testing.T, lines []string) {
	t.Helper()
	if len(lines) > 10 {
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		if len(line) > 300 || !utf8.ValidString(line) || strings.ContainsAny(line, "\x1b\r\n\x00\u202e") {
			t.Errorf("line of %d bytes: %.80q", len(line), line)
		}
	}
}

func TestHostileLogsGiveSmallCleanReports(t *testing.T) {
	endless := bytes.Repeat([]byte("error: x"), 1<<20)
	var tail failure.Tail
	if _, err := tail.Write(endless); err != nil {
		t.Fatal(err)
	}
	logs := map[string][]byte{
		"nothing":           nil,
		"an endless line":   endless,
		"the tail of it":    tail.Bytes(),
		"no line of text":   bytes.Repeat([]byte{0xff, 0, 0x1b, '['}, 30000),
		"escapes":           []byte(strings.Repeat("\x1b[31m\x1b]0;title\x07\x1bPq#0\x1b\\\x1b(B", 2000) + "x.c:1:1: error: \u202ered\x1b[0m\n"),
		"an escape cut off": []byte("x.c:1:1: error: a\x1b]8;;https://example.org"),
		"many errors":       []byte(strings.Repeat("x.c:1:1: error: one more\n", 5000)),
		"many ERRORs":       []byte(strings.Repeat("==> ERROR: one more\n", 5000)),
		"many returns":      []byte(strings.Repeat("50%\r", 20000) + "\n"),
	}
	for name, log := range logs {
		t.Run(name, func(t *testing.T) {
			_, lines := failure.New().Classify(log, failure.Facts{Code: 4})
			bounded(t, lines)
		})
	}
}

func FuzzReportsAreBounded(f *testing.F) {
	f.Add([]byte("x.c:1:1: error: bad\n==> ERROR: A failure occurred in build().\n"), 4)
	f.Add([]byte("\x1b[1m\xff\r\r==> caur: interferences:\n"), 1)
	c := failure.New()
	f.Fuzz(func(t *testing.T, log []byte, code int) {
		class, lines := c.Classify(log, failure.Facts{Code: code})
		if class == "" {
			t.Error("no class")
		}
		bounded(t, lines)
	})
}

func TestTheTailIsTheEndOfWhatWasWritten(t *testing.T) {
	var tail failure.Tail
	var all []byte
	if got := tail.Bytes(); len(got) != 0 {
		t.Errorf("%q", got)
	}
	for i := range 5000 {
		piece := []byte(strings.Repeat(fmt.Sprint(i), i%97))
		if i == 2500 {
			piece = bytes.Repeat(piece, 5000) // more than is kept, in one piece
		}
		all = append(all, piece...)
		if n, err := tail.Write(piece); n != len(piece) || err != nil {
			t.Fatalf("%d %v", n, err)
		}
		if i%100 == 0 || i == 2500 {
			if want := all[max(0, len(all)-64<<10):]; !bytes.Equal(tail.Bytes(), want) {
				t.Fatalf("after %d pieces the tail differs", i+1)
			}
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	c := failure.New()
	log := []byte(strings.Repeat("[ 42%] Building CXX object src/CMakeFiles/x.dir/content/browser/renderer_host.cc.o\n", 1000))
	log = append(log, "nobody has seen this\n==> ERROR: A failure occurred in prepare().\n    Aborting...\n"...)
	b.SetBytes(64 << 10)
	for b.Loop() {
		c.Classify(log, failure.Facts{Code: 4})
	}
}
