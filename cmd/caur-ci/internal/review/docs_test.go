package review

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRulesAreDocumented keeps docs/review-rules.md as the table says. UPDATE_DOCS=1 writes it.
func TestRulesAreDocumented(t *testing.T) {
	name := filepath.Join("..", "..", "..", "..", "docs", "review-rules.md")
	want := rulesPage()
	if os.Getenv("UPDATE_DOCS") != "" {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/review-rules.md is not what the table says; run UPDATE_DOCS=1 go test ./cmd/caur-ci/internal/review -run Documented")
	}
}

func rulesPage() string {
	var b strings.Builder
	b.WriteString(`# Rules of the review

This page is made from the table in the code (` + "`cmd/caur-ci/internal/review`" + `); a test keeps it up to date.

` + "`caur-ci review OLD_DIR NEW_DIR`" + ` compares two versions of a package. Every difference and every risk is a finding of one of
these rules. A finding of a rule that is not marked *minor* makes the change major: with ` + "`CI_HUMAN_REVIEW`" + ` it goes to people.
Where two severities are given, the second is for code that runs as root when the package is installed, or whenever somebody
only reads the PKGBUILD. What the old version does already, too, is no finding.

Critical findings always need people, whoever maintains the package (` + "`CI_REVIEW_CRITICAL`" + `).
`)
	var kinds []string
	byKind := map[string][]Rule{}
	for _, r := range Rules() {
		if byKind[r.Kind] == nil {
			kinds = append(kinds, r.Kind)
		}
		byKind[r.Kind] = append(byKind[r.Kind], r)
	}
	for _, kind := range kinds {
		fmt.Fprintf(&b, "\n## %s\n\n| rule | severity | finding | why |\n| --- | --- | --- | --- |\n", kind)
		for _, r := range byKind[kind] {
			severity := r.Severity.String()
			if r.Exposed != r.Severity {
				severity += " / " + r.Exposed.String()
			}
			if r.Minor {
				severity += ", *minor*"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.ID, severity, cellText(r.Title), cellText(r.Why))
		}
	}
	return b.String()
}

func cellText(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// TestEveryRuleHasAnExample: a rule that no example of the corpus and no test of signals sets off may as well be broken.
func TestEveryRuleHasAnExample(t *testing.T) {
	seen := map[string]bool{}
	for _, folder := range []string{"hostile", "harmless"} {
		for _, e := range examples(t, folder) {
			for _, rule := range e.rules {
				seen[rule] = true
			}
		}
	}
	elsewhere := []Rule{{ID: "too-much"}, {ID: "binary"}, {ID: "link"}, {ID: "mode"}} // TestHostileInputIsBounded, TestFilesThatAreNoText
	for _, r := range append(signalRules(), elsewhere...) {                           // TestSignals
		seen[r.ID] = true
	}
	for _, r := range Rules() {
		if !seen[r.ID] {
			t.Errorf("no example has the rule %s", r.ID)
		}
		if r.Title == "" || r.Why == "" || strings.HasSuffix(r.Title, ".") {
			t.Errorf("%s: title %q, why %q", r.ID, r.Title, r.Why)
		}
	}
}
