package forge

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestCutEndsWhereNothingIsOpen(t *testing.T) {
	const room = 40
	tests := []struct{ name, in, want string }{
		{"text", strings.Repeat("a line of text\n", 9), "a line of text\na line of text\n"},
		{"fence", "x\n```sh\n" + strings.Repeat("code\n", 99), "x\n```sh\n" + strings.Repeat("code\n", 5) + "```\n"},
		{"longer fence", "````\n```\n" + strings.Repeat("code\n", 99), "````\n```\n" + strings.Repeat("code\n", 5) + "````\n"},
		{"tildes", "~~~\n```\n" + strings.Repeat("code\n", 99), "~~~\n```\n" + strings.Repeat("code\n", 5) + "~~~\n"},
		{"details", "<details>\n" + strings.Repeat("text\n", 99), "<details>\n" + strings.Repeat("text\n", 3) + "\n</details>\n"},
		{"closed details", "<details>a</details>\n" + strings.Repeat("text\n", 99), "<details>a</details>\n" + strings.Repeat("text\n", 3)},
		{"details inside code", "```\n<details>\n" + strings.Repeat("code\n", 99), "```\n<details>\n" + strings.Repeat("code\n", 4) + "```\n"},
		{"no fence: backticks in its info", "``` a`b\n" + strings.Repeat("text\n", 99), "``` a`b\n" + strings.Repeat("text\n", 6)},
		{"one long line", strings.Repeat("ä", 99), strings.Repeat("ä", 20)},
		{"one long line, not even", "x" + strings.Repeat("ä", 99), "x" + strings.Repeat("ä", 19)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := cut(tt.in, room+len(cutMarker)); got != tt.want+cutMarker {
				t.Errorf("got  %q\nwant %q", got, tt.want+cutMarker)
			}
		})
	}
	if got := cut("short\n", 6); got != "short\n" {
		t.Errorf("changed what fits: %q", got)
	}
}

func TestCutProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.SampledFrom([]string{
			"```", "```diff\n", "````\n", "~~~\n", "<details>", "<details>\n", "</details>\n", "<summary>x</summary>\n", "\n", "text ", "ä", "+ code\n",
		})).Draw(t, "parts")
		text := strings.Join(parts, "")
		limit := rapid.IntRange(len(cutMarker), 400).Draw(t, "limit")
		got := cut(text, limit)
		if len(got) > limit || !utf8.ValidString(got) {
			t.Fatalf("%d bytes of %d: %q", len(got), limit, got)
		}
		if len(text) <= limit {
			if got != text {
				t.Fatalf("changed what fits: %q", got)
			}
			return
		}
		var open structure
		lines := strings.SplitAfter(strings.TrimSuffix(got, cutMarker), "\n")
		if len(lines) == 1 { // not even one line fits
			return
		}
		for _, line := range lines {
			open.read(line)
		}
		if open.fence != "" || open.details != 0 {
			t.Fatalf("the marker is inside of %+v: %q", open, got)
		}
	})
}

func TestQuickActionsAreEscapedAndNothingElse(t *testing.T) {
	obeyed := regexp.MustCompile(`(?m)^[ \t]*/[A-Za-z_]+([ \t]|$)`)
	tests := map[string]string{
		"/merge":               `\/merge`,
		"a\n/label ~x\nb":      "a\n\\/label ~x\nb",
		"\t /close ":           "\t \\/close ",
		"a\r/close\r\n":        "a\n\\/close\n",
		"/usr/bin/foo":         "/usr/bin/foo",
		"see /merge":           "see /merge",
		"/* comment":           "/* comment",
		"// /merge":            "// /merge",
		"+/merge":              "+/merge",
		"/merge\n/merge\n/due": "\\/merge\n\\/merge\n\\/due",
	}
	for in, want := range tests {
		if got := withoutQuickActions(in); got != want || obeyed.MatchString(got) {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
