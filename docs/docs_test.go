// Package docs holds no code: its tests keep what people copy from the documentation in step with the programs.
package docs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// commandLine is what the reference, which is made from the code, says of a command.
type commandLine struct {
	flags map[string]bool // flag → takes a value
	most  int             // arguments, -1 where there is no bound
}

var (
	heading  = regexp.MustCompile("^##? (caur-(?:ci|exec)(?: [a-z-]+)*)$")
	flagRow  = regexp.MustCompile("^\\| `(?:(-[A-Za-z]), )?(--[a-z0-9-]+)( [^`]+)?` \\|")
	codeSpan = regexp.MustCompile("`([^`\n]+)`")
	envWord  = regexp.MustCompile(`^[A-Za-z_]+=`)
	setting  = regexp.MustCompile(`^([A-Z][A-Z0-9]*_[A-Z0-9_]+)(=.*)?$`)
	link     = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
)

func reference(t *testing.T) map[string]commandLine {
	t.Helper()
	known := map[string]commandLine{}
	for _, page := range []string{"caur-ci.md", "caur-exec.md"} {
		var path string
		for line := range strings.Lines(read(t, filepath.Join("reference", page))) {
			line = strings.TrimSuffix(line, "\n")
			if m := heading.FindStringSubmatch(line); m != nil {
				path = m[1]
				known[path] = commandLine{flags: map[string]bool{"--help": false, "-h": false, "--version": false}, most: -2}
			} else if m := flagRow.FindStringSubmatch(line); m != nil {
				known[path].flags[m[2]] = m[3] != ""
				if m[1] != "" {
					known[path].flags[m[1]] = m[3] != ""
				}
			} else if usage, ok := strings.CutPrefix(line, path); ok && path != "" && known[path].most == -2 {
				c := known[path]
				c.most = mostArgs(usage)
				known[path] = c
			}
		}
	}
	if len(known) < 30 {
		t.Fatalf("only %d commands in the reference", len(known))
	}
	return known
}

var optionalFlags = regexp.MustCompile(`\[(flags|-[^\]]*)\]`)

// mostArgs counts the arguments in a usage line, -1 where it does not bound them.
func mostArgs(usage string) int {
	if strings.ContainsAny(usage, "…{") || strings.Contains(usage, "...") {
		return -1
	}
	n := 0
	for word := range strings.FieldsSeq(optionalFlags.ReplaceAllString(usage, "")) {
		if strings.HasPrefix(word, "-") {
			n-- // a flag that is required, and its value
			continue
		}
		n++
	}
	return n
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// pages are the documents of this repository.
func pages(t *testing.T) []string {
	t.Helper()
	list := []string{"../README.md", "../CONTRIBUTING.md"}
	for _, dir := range []string{".", "../deploy", "../template"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if strings.HasSuffix(path, ".md") {
				list = append(list, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func TestEveryCommandLineNamesACommandAndFlagsThatAreThere(t *testing.T) {
	known := reference(t)
	lines := 0
	for _, page := range pages(t) {
		for _, text := range code(read(t, page)) {
			for _, words := range invocations(text) {
				lines++
				if problem := check(known, words); problem != "" {
					t.Errorf("%s: %s: %s", page, strings.Join(words, " "), problem)
				}
			}
		}
	}
	if lines < 100 {
		t.Errorf("only %d command lines found", lines)
	}
}

func TestWrongCommandLinesAreFound(t *testing.T) {
	known := reference(t)
	for text, right := range map[string]bool{
		"caur-ci on-commit --dry-run": true, "FOO=1 caur-ci -C repo queue --json | jq .": true, "caur-exec repo verify my-repo --deep && true": true,
		"caur-exec queue export queue.jsonl": true, "caur-ci on-comit": false, "sudo caur-exec repo verfy x": false, "true && caur-ci queue --jsn": false,
		"caur-exec --no-such queue": false, "caur-exec repo history my-repo yay": false, "caur-exec repo history yay": true,
		"caur-exec queue export a b": false, "caur-ci review a b": true, "caur-ci why a b": false, "caur-exec reconcile --database x": true,
	} {
		for _, words := range invocations(text) {
			if problem := check(known, words); (problem == "") != right {
				t.Errorf("%s: %q", text, problem)
			}
		}
	}
}

// code gives the lines of code blocks, continued ones joined, and code spans in which a program is called.
func code(page string) []string {
	var list []string
	fenced, rest := false, ""
	for line := range strings.Lines(page) {
		line = rest + strings.TrimSuffix(line, "\n")
		rest = ""
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			fenced = !fenced
		case fenced && strings.HasSuffix(line, "\\"):
			rest = strings.TrimSuffix(line, "\\")
		case fenced:
			list = append(list, strings.TrimSpace(line))
		default:
			for _, m := range codeSpan.FindAllStringSubmatch(line, -1) {
				list = append(list, m[1])
			}
		}
	}
	return list
}

// invocations gives the words of every call of a program in a line of shell.
func invocations(line string) [][]string {
	var list [][]string
	var now []string
	start := true
	for _, word := range fields(line) {
		switch {
		case strings.HasPrefix(word, "#"):
			return end(list, now)
		case slices.Contains([]string{"|", "&&", "||", ";", ">", "<", "2>", "&"}, word):
			list, now, start = end(list, now), nil, word != ">" && word != "<" && word != "2>"
		case now != nil:
			now = append(now, strings.TrimSuffix(word, ";"))
		case start && (word == "caur-ci" || word == "caur-exec"):
			now = []string{word}
		default:
			start = start && (envWord.MatchString(word) || word == "sudo" || word == "$" || word == "exec" || word == "-")
		}
	}
	return end(list, now)
}

// fields splits at blanks outside of quotes.
func fields(line string) []string {
	var quote rune
	return strings.FieldsFunc(line, func(r rune) bool {
		switch {
		case quote == 0 && (r == '\'' || r == '"'):
			quote = r
		case r == quote:
			quote = 0
		}
		return quote == 0 && unicode.IsSpace(r)
	})
}

func end(list [][]string, now []string) [][]string {
	if len(now) > 1 {
		return append(list, now)
	}
	return list
}

// check says what is wrong with a call: an unknown command or flag.
func check(known map[string]commandLine, words []string) string {
	path, flags, args := words[0], []string{}, 0
	for i := 1; i < len(words); i++ {
		word := words[i]
		if strings.HasPrefix(word, "-") && word != "-" && word != "--" {
			name, _, whole := strings.Cut(word, "=")
			flags = append(flags, name)
			if takesValue(known, name) && !whole {
				i++
			}
			continue
		}
		if next := path + " " + word; known[next].flags != nil {
			path = next
			continue
		}
		if path == words[0] && word != "completion" && word != "…" && word != "VERB" && word != "help" {
			return "no such command: " + word
		}
		if isGroup(known, path) && regexp.MustCompile(`^[a-z]+$`).MatchString(word) {
			return "no such command of " + path + ": " + word
		}
		if word != "…" && !strings.HasPrefix(word, "[") { // as in a usage line
			args++
		}
	}
	if most := known[path].most; most >= 0 && args > most && path != words[0] {
		return fmt.Sprintf("%s takes at most %d arguments, here are %d", path, most, args)
	}
	for _, name := range flags {
		_, own := known[path].flags[name]
		_, shared := known[words[0]].flags[name]
		if !own && !shared {
			return path + " has no flag " + name
		}
	}
	return ""
}

func takesValue(known map[string]commandLine, flag string) bool {
	for _, c := range known {
		if c.flags[flag] {
			return true
		}
	}
	return false
}

func isGroup(known map[string]commandLine, path string) bool {
	for name := range known {
		if strings.HasPrefix(name, path+" ") {
			return true
		}
	}
	return false
}

func TestSettingsOfTheOperatorsPageAreThere(t *testing.T) {
	tables := read(t, "reference/settings-exec.md") + read(t, "reference/settings-ci.md")
	for _, m := range codeSpan.FindAllStringSubmatch(read(t, "operator.md"), -1) {
		name := setting.FindStringSubmatch(m[1])
		if name == nil {
			continue
		}
		if !strings.Contains(tables, "| `"+name[1]+"` |") && !strings.Contains(tables, "| `"+strings.TrimSuffix(name[1], "_FILE")+"` |") {
			t.Errorf("no setting %s", name[1])
		}
	}
}

func TestLinksLeadToFilesAndEveryPageIsInTheIndex(t *testing.T) {
	index := read(t, "README.md")
	for _, page := range pages(t) {
		if strings.HasPrefix(page, "../template") {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: a link leads to %s, which is not there", page, m[1])
			}
		}
		if !strings.HasPrefix(page, "..") && page != "README.md" && !strings.Contains(index, "("+page+")") {
			t.Errorf("docs/README.md has no link to %s", page)
		}
	}
}
