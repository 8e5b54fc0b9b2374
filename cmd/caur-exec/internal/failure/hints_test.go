package failure

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A rule whose lines have no hint would never be asked.
func TestEveryLineThatARuleKnowsHasAHint(t *testing.T) {
	c := New()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%q %v", files, err)
	}
	all, known := append(c.causes, c.rules...), 0
	used := make(map[int]bool)
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			line = strings.TrimRight(line, "\n")
			for i, r := range all {
				if r.like.MatchString(line) {
					known++
					used[i] = true
					if !hinted(line) {
						t.Errorf("%s: %q: no hint for %s", name, line, r.like)
					}
				}
			}
		}
	}
	for i, r := range all {
		if !used[i] {
			t.Errorf("no log in testdata has a line for the %s rule %s", r.class, r.like)
		}
	}
	if known == 0 {
		t.Error("no line is known")
	}
}
