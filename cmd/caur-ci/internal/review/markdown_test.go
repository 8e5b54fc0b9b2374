package review

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// attacks are texts that mean something to GitLab, GitHub, Markdown or HTML.
var attacks = []string{
	"@everyone", "![x](https://evil.example.net/x.png)", "[click](javascript:alert(1))", "</code></details><script>alert(1)</script>", "`code`", "```\n/merge\n```", "\n/approve\n/label ~x\n",
	"| a | b |", "#123", "!45", "~danger", ":tada:", "www.evil.example.net", "https://evil.example.net", "<img src=x onerror=alert(1)>", "&lt;b&gt;", "**bold** _it_ ~~no~~", "$x^2$", "[[_TOC_]]",
	"\u202ereversed", "\x1b[2J", "%{issue}", "GL-1 group/project#1 user/repo@abcdef", "- [x] done", "a\\|b", "<!-- hidden -->", "{{ toc }}", "::include{file=x}", "&milestone", "\u0000", "*[id]: x",
}

// rest is what remains of a description without what caur may write itself: code elements, fences, tables, emphasis.
var allowedTags = regexp.MustCompile(`</?code>|</?details>|</?summary>|&#[0-9]+;|&[lg]t;`)

func checkHarmless(t interface{ Errorf(string, ...any) }, text, what string) {
	outside, _, _ := strings.Cut(text, "<details>")
	plain := allowedTags.ReplaceAllString(outside, "")
	if i := strings.IndexAny(plain, "<>@#`[]~$&!{}\\\x1b\u202e"); i >= 0 {
		t.Errorf("%q left %q in:\n%s", what, plain[i:min(len(plain), i+20)], text)
	}
	for line := range strings.Lines(outside) {
		if strings.HasPrefix(strings.TrimSpace(line), "/") {
			t.Errorf("%q made a quick action: %q", what, line)
		}
	}
	for _, link := range []string{"://", "www."} {
		if strings.Contains(plain, link) {
			t.Errorf("%q made a link:\n%s", what, text)
		}
	}
}

func hostileVerdict(text string) (Verdict, Signals, Decision) {
	f := Finding{Rule: "download-run", Kind: "network", Severity: Critical, Major: true, File: text, Line: 3, Old: text, New: text, Text: text + "."}
	return Verdict{Pkgbase: text, Level: Major, From: text, To: text, Findings: []Finding{f, f}, Unknown: []string{text}},
		Signals{MaintainersKnown: true, MaintainersNow: []string{text}, AuthorName: text, AuthorEmail: text, Now: noon, FirstSubmitted: noon.Add(-50 * time.Hour)}, Decision{Why: text}
}

func TestNothingOfAPackageBecomesMarkup(t *testing.T) {
	for _, text := range attacks {
		v, s, d := hostileVerdict(text)
		checkHarmless(t, v.Markdown(Links{}, s, d), text)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text") + rapid.SampledFrom(attacks).Draw(t, "attack") + rapid.String().Draw(t, "more")
		v, s, d := hostileVerdict(text)
		checkHarmless(t, v.Markdown(Links{}, s, d), text)
	})
}

func TestADiffCannotLeaveItsFence(t *testing.T) {
	for _, diff := range []string{"+```\n+/merge\n", "+````````\n", "```", "+</details>\n+```\n+@everyone", "+\x1b[2J\u202e", strings.Repeat("`", 4000)} {
		text := Verdict{Level: Minor}.Markdown(Links{Diff: diff}, Signals{}, Decision{})
		_, rest, _ := strings.Cut(text, "<summary>Diff</summary>\n\n")
		fence, body, _ := strings.Cut(rest, "diff\n")
		if strings.Trim(fence, "`") != "" || len(fence) < 3 {
			t.Fatalf("%q: fence %q", diff, fence)
		}
		inside, after, closed := strings.Cut(body, "\n"+fence+"\n")
		if !closed || strings.Contains(inside, fence) || strings.TrimSpace(after) != "</details>" || strings.ContainsAny(inside, "\x1b\u202e") {
			t.Errorf("%q left its fence:\n%s", diff, text)
		}
	}
}

func TestTheDangerStandsOnTheFirstLine(t *testing.T) {
	for _, e := range examples(t, "hostile") {
		v := Judge(e.in)
		head, _, _ := strings.Cut(v.Markdown(Links{}, Signals{}, Decision{}), "\n")
		switch v.Worst() {
		case Critical:
			if !strings.HasPrefix(head, "**Danger: ") || !strings.Contains(head, escapeText(v.Findings[0].Text)) {
				t.Errorf("%s: %s", e.name, head)
			}
		case Warning:
			if !strings.HasPrefix(head, "**Look closely: ") {
				t.Errorf("%s: %s", e.name, head)
			}
		}
	}
}

func TestTheDescriptionSaysWhoMaintainsThePackage(t *testing.T) {
	s := settled()
	s.Trusted = []string{"ADA"}
	v := Verdict{Pkgbase: "quill", Level: Minor, From: "1-1", To: "2-1", Unknown: []string{"Who wrote the AUR commit is unknown."}}
	text := v.Markdown(Links{AUR: "https://aur.archlinux.org/packages/quill", Commit: "javascript:alert(1)", Diff: "+a\n"}, s, Decision{Why: "Only the version changed."})
	for _, part := range []string{
		"A minor change of <code>quill</code> <code>1&#45;1</code> → <code>2&#45;1</code> without warnings.\n", "Only the version changed.\n",
		"- AUR maintainers: <code>ada</code> (trusted), <code>bo</code> (not trusted), for at least 730 days\n", "- In the AUR for 1096 days\n",
		"- Unknown: Who wrote the AUR commit is unknown.\n", "- [AUR package](<https://aur.archlinux.org/packages/quill>)\n", "```diff\n+a\n```\n",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in\n%s", part, text)
		}
	}
	if strings.Contains(text, "javascript") {
		t.Error("a link that is no web address")
	}
	if text := v.Markdown(Links{}, Signals{MaintainersKnown: true}, Decision{}); !strings.Contains(text, "AUR maintainers: nobody") {
		t.Error(text)
	}
}

func TestLongDescriptionsAreShortened(t *testing.T) {
	v := Verdict{Level: Major}
	for range 400 {
		v.Findings = append(v.Findings, Finding{Rule: "r", Severity: Notice, Text: strings.Repeat("long ", 40) + ".", Old: strings.Repeat("o", 400), New: strings.Repeat("é@", 300)})
	}
	text := v.Markdown(Links{Diff: strings.Repeat("+ line\n", 100_000)}, Signals{}, Decision{})
	if len(text) > maxMarkdown || !strings.Contains(text, "more findings, none of them worse") {
		t.Errorf("%d bytes", len(text))
	}
	if strings.Count(text, "<details>") != strings.Count(text, "</details>") {
		t.Error("the diff is not closed")
	}
}
