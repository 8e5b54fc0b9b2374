package review

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/caur-build/caur/pkg/pkgdir"
)

// example is a file of testdata/hostile or testdata/harmless: old/… and new/…, and before them
//
//	LEVEL SEVERITY RULE…
//	allow EXPRESSION
//
// where SEVERITY is the worst that may be found in a harmless change, and exactly the worst in a hostile one.
type example struct {
	name     string
	level    string
	severity string
	rules    []string
	in       Input
}

func examples(t testing.TB, folder string) []example {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", folder, "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	var out []example
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		e, err := parseExample(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		e.name = strings.TrimSuffix(filepath.Base(name), ".txtar")
		e.in.Pkgbase = e.name
		out = append(out, e)
	}
	return out
}

func parseExample(data []byte) (example, error) {
	archive := txtar.Parse(data)
	e := example{in: Input{Old: pkgdir.Dir{}, New: pkgdir.Dir{}}}
	for line := range strings.Lines(string(archive.Comment)) {
		key, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if key == "allow" {
			e.in.Allow = append(e.in.Allow, regexp.MustCompile(rest))
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 2 {
			return e, fmt.Errorf("the first line %q names no level and severity", line)
		}
		e.level, e.severity, e.rules = fields[0], fields[1], fields[2:]
	}
	for _, f := range archive.Files {
		side, name, _ := strings.Cut(f.Name, "/")
		dir := map[string]pkgdir.Dir{"old": e.in.Old, "new": e.in.New}[side]
		if err := dir.Add(name, pkgdir.File{Data: f.Data}); err != nil {
			return e, err
		}
	}
	return e, nil
}

func rulesOf(v Verdict) []string {
	var list []string
	for _, f := range v.Findings {
		if !slices.Contains(list, f.Rule) {
			list = append(list, f.Rule)
		}
	}
	return list
}

func TestHostileChangesAreNamed(t *testing.T) {
	list := examples(t, "hostile")
	if len(list) < 60 {
		t.Errorf("only %d hostile changes", len(list))
	}
	for _, e := range list {
		t.Run(e.name, func(t *testing.T) {
			v := Judge(e.in)
			if v.Level.String() != e.level || v.Worst().String() != e.severity {
				t.Errorf("%s, %s; want %s, %s", v.Level, v.Worst(), e.level, e.severity)
			}
			for _, rule := range e.rules {
				if !slices.Contains(rulesOf(v), rule) {
					t.Errorf("rule %s found nothing; others: %v", rule, rulesOf(v))
				}
			}
			if len(v.Findings) > 0 && v.Findings[0].Severity != v.Worst() {
				t.Error("the worst is not first")
			}
		})
	}
}

func TestHarmlessChangesRaiseNoAlarm(t *testing.T) {
	list := examples(t, "harmless")
	if len(list) < 60 {
		t.Errorf("only %d harmless changes", len(list))
	}
	for _, e := range list {
		t.Run(e.name, func(t *testing.T) {
			v := Judge(e.in)
			if v.Level.String() != e.level || v.Worst().String() != e.severity {
				t.Errorf("%s, %s; want %s, %s: %v", v.Level, v.Worst(), e.level, e.severity, v.Findings)
			}
			for _, rule := range e.rules {
				if !slices.Contains(rulesOf(v), rule) {
					t.Errorf("rule %s found nothing; others: %v", rule, rulesOf(v))
				}
			}
		})
	}
}

func TestExamplesBackwards(t *testing.T) {
	for _, folder := range []string{"hostile", "harmless"} {
		for _, e := range examples(t, folder) {
			e.in.Old, e.in.New = e.in.New, e.in.Old
			if v := Judge(e.in); v.Level == Identical {
				t.Errorf("%s: identical", e.name)
			}
		}
	}
}
