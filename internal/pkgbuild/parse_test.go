package pkgbuild

import (
	"errors"
	"strings"
	"testing"
)

// deep repeats pieces to about half the accepted size.
func deep(open, middle, end string) string {
	n := MaxSize / 2 / (len(open) + len(end))
	return strings.Repeat(open, n) + middle + strings.Repeat(end, n)
}

func TestParseBoundsHostileNesting(t *testing.T) {
	t.Parallel()
	for name, src := range map[string]string{
		"command substitutions":   "a=" + deep("$(", "x", ")"),
		"unclosed substitutions":  "a=" + deep("$(", "", ""),
		"hidden closers":          "a=" + deep("$(')' ", "x", ")"),
		"quotes":                  "a=" + deep(`"$(`, "x", `)"`),
		"parameter defaults":      "a=" + deep("${a:-", "x", "}"),
		"subshells":               deep("(", "x", ")"),
		"blocks":                  deep("{ ", "x;", " };"),
		"ifs":                     deep("if x; then ", "x;", " fi;"),
		"nested conditions":       deep("if ", "", ""),
		"negations":               deep("! ", "x", ""),
		"functions":               deep("f() ", "{ x; }", ""),
		"keyword functions":       deep("function f ", "{ x; }", ""),
		"arithmetic brackets":     "a=$((" + deep("(", "1", ")") + "))",
		"arithmetic signs":        "a=$((" + deep("- ", "1", "") + "))",
		"arithmetic chain":        "a=$((" + deep("1+", "1", "") + "))",
		"arithmetic powers":       "a=$((" + deep("1**", "1", "") + "))",
		"arithmetic ternaries":    "a=$((" + deep("1?", "1", ":1") + "))",
		"commas":                  "((" + deep("1,", "1", "") + "))",
		"and-or chain":            deep("a&&", "a", ""),
		"pipes":                   deep("a|", "a", ""),
		"test brackets":           "[[ " + deep("( ", "a", " )") + " ]]",
		"test negations":          "[[ " + deep("! ", "a", "") + " ]]",
		"test chain":              "[[ " + deep("a || ", "a", "") + " ]]",
		"time":                    deep("time ", "x", ""),
		"coproc":                  deep("coproc ", "x", ""),
		"case":                    deep("case x in x) ", "x", ";; esac"),
		"index":                   "a=" + deep("${a[", "1", "]}"),
		"here-documents":          deep("$(cat <<E\n", "", ""),
		"arrays":                  "a=(" + deep("$(a=(", "", "))") + ")",
		"else ladder":             "if a; then b; " + deep("elif a; then b; ", "", "") + "fi",
		"process substitutions":   deep("<(", "x", ")"),
		"replacement in patterns": "a=" + deep("${a//", "x", "}"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("PKGBUILD", []byte(src))
			var problem *Error
			if !errors.As(err, &problem) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if !strings.HasPrefix(err.Error(), "PKGBUILD:") {
				t.Errorf("%q does not name the file", err)
			}
		})
	}
}
