package candidates

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/caur-build/caur/cmd/caur-ci/internal/download"
	"github.com/caur-build/caur/cmd/caur-ci/internal/upstream"
	"github.com/caur-build/caur/internal/childproc"
)

const (
	maxProgramOutput = 16 << 20
	requestTimeout   = 20 // seconds the program waits for one server
	maxComplaint     = 300
)

// runProgram asks the real nvchecker about all tasks in one run. That it cannot be run, or is not done in time, is an
// error of each task without an answer, so that what was found counts.
func (n *NVChecker) runProgram(ctx context.Context, tasks map[string]*task) error {
	dir, err := os.MkdirTemp(n.o.TempDir, "nvchecker-")
	if err != nil {
		return fmt.Errorf("make a folder for nvchecker: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	args, err := n.programFiles(dir, tasks)
	if err != nil {
		return err
	}
	late := fmt.Errorf("not done within %s", n.o.Timeout)
	timed, cancel := context.WithTimeoutCause(ctx, n.o.Timeout, late)
	defer cancel()
	out := &limited{left: maxProgramOutput}
	// A home of its own keeps the program from the user's ~/.netrc, whose passwords it would send.
	runErr := childproc.Run(timed, childproc.Cmd{
		Path: n.o.Program, Args: args, Dir: dir,
		Env:    hookEnv("HOME="+dir, "TMPDIR="+dir, "GIT_TERMINAL_PROMPT=0"),
		Stdout: out,
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	answers := parseAnswers(out.kept.Bytes())
	for pkgbase, t := range tasks {
		a := answers[pkgbase]
		switch {
		case a.version != "":
			t.found = upstream.Result{Version: a.version, Revision: a.revision}
		case len(a.complaints) > 0:
			t.err = errors.New("nvchecker: " + n.check.Keys.Hide(strings.Join(a.complaints, "; ")))
		case runErr != nil:
			t.err = fmt.Errorf("nvchecker: %s", n.check.Keys.Hide(runErr.Error()))
		default:
			t.err = errors.New("nvchecker says nothing about it")
		}
	}
	return nil
}

// programFiles writes the joined configuration and the keys, which only we can read, and gives the arguments.
func (n *NVChecker) programFiles(dir string, tasks map[string]*task) ([]string, error) {
	tables := map[string]any{"__config__": map[string]any{"http_timeout": requestTimeout}}
	for pkgbase, t := range tasks {
		tables[pkgbase] = programOptions(t.entry, pkgbase)
	}
	text, err := toml.Marshal(tables)
	if err != nil {
		return nil, fmt.Errorf("write nvchecker's configuration: %w", err)
	}
	files := map[string][]byte{"nvchecker.toml": text}
	args := []string{"--logger", "json", "-c", filepath.Join(dir, "nvchecker.toml")}
	if !n.o.KeyFile.IsZero() {
		files["keyfile.toml"] = []byte(n.o.KeyFile.Reveal())
		args = append(args, "-k", filepath.Join(dir, "keyfile.toml"))
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return nil, fmt.Errorf("write nvchecker's configuration: %w", err)
		}
	}
	return args, nil
}

// programOptions are the options of an entry whose table gets another name: sources that take the name of the table for
// that of the software are told the old one.
func programOptions(e upstream.Entry, pkgbase string) map[string]any {
	if e.Name == pkgbase || !slices.Contains(namedSources(), e.Source()) {
		return e.Options
	}
	if _, there := e.Options[e.Source()]; there {
		return e.Options
	}
	options := maps.Clone(e.Options)
	options[e.Source()] = e.Name
	return options
}

// namedSources have an option of their own name that is the name of the software.
func namedSources() []string {
	return []string{
		"alpm", "anitya", "apt", "archpkg", "aur", "cpan", "cran", "cratesio", "debianpkg", "gems", "hackage", "npm", "opam",
		"packagist", "pacman", "pypi", "repology", "snap", "ubuntupkg",
	}
}

// answer is what the program says of one table.
type answer struct {
	version, revision string
	complaints        []string
}

// parseAnswers reads the program's lines of JSON ("JSON logging" in its manual). Lines that are none are passed over.
func parseAnswers(out []byte) map[string]answer {
	answers := map[string]answer{}
	for line := range bytes.Lines(out) {
		var l struct {
			Name, Event, Level, Version, Revision string
			Error, Exception                      string
			ExcInfo                               any `json:"exc_info"`
		}
		if json.Unmarshal(line, &l) != nil || l.Name == "" {
			continue
		}
		a := answers[l.Name]
		switch {
		case l.Event == "updated" || l.Event == "up-to-date":
			a.version, a.revision = l.Version, l.Revision
		case l.Event == "no-result" && len(a.complaints) > 0: // it was said why
		case l.Level == "error" || l.Level == "warning" || l.Event == "no-result":
			a.complaints = append(a.complaints, complaint(l.Event, l.Error, lastLine(l.Exception)))
		}
		answers[l.Name] = a
	}
	return answers
}

// complaint joins what is there of an error, without queries of addresses and control characters.
func complaint(parts ...string) string {
	text := strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ": ")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, download.Clean(strings.ToValidUTF8(text, "?")))
	if len(text) > maxComplaint {
		text = strings.ToValidUTF8(text[:maxComplaint], "") + "…"
	}
	return text
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// limited keeps what is written to it up to a bound, and refuses more.
type limited struct {
	kept bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.left {
		return 0, fmt.Errorf("more than %d MiB of output", maxProgramOutput>>20)
	}
	l.left -= len(p)
	return l.kept.Write(p)
}
