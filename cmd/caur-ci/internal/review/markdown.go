package review

import (
	"fmt"
	"html"
	"slices"
	"strings"
	"unicode"
)

// Links is what a description points to; empty ones are left out. They come from caur, not from the package.
type Links struct {
	AUR    string // page of the package
	Commit string // the commit that was taken over
	Diff   string // unified diff of the two versions, shown collapsed
}

// Bounds of a description: GitLab takes a million characters, GitHub 65,536.
const (
	maxRows     = 50
	maxTable    = 30_000
	maxDiff     = 30_000
	maxMarkdown = 60_000
)

// Markdown is the description of a request: what is dangerous first, then what changed, who maintains the package, and
// the diff. Nothing that comes from a package or an account can become markup, a link, a mention or a command to the
// forge: such text stands in code elements, character by character escaped.
func (v Verdict) Markdown(l Links, s Signals, d Decision) string {
	var b strings.Builder
	b.WriteString(v.headline() + "\n\n")
	if d.Why != "" {
		b.WriteString(prose(d.Why) + "\n\n")
	}
	v.writeFindings(&b)
	v.writePeople(&b, s)
	for _, link := range []struct{ name, url string }{{"AUR package", l.AUR}, {"AUR commit", l.Commit}} {
		if safeURL(link.url) {
			fmt.Fprintf(&b, "- [%s](<%s>)\n", link.name, link.url)
		}
	}
	if room := min(maxDiff, maxMarkdown-b.Len()-1000); l.Diff != "" && room > 0 {
		b.WriteString("\n<details><summary>Diff</summary>\n\n" + fenced("diff", clipLines(printable(longFence().ReplaceAllString(l.Diff, "`…`")), room)) + "\n</details>\n")
	}
	return b.String()
}

// headline names the worst finding on the first line.
func (v Verdict) headline() string {
	what := inline(v.Pkgbase)
	if v.From != "" || v.To != "" {
		what += " " + inline(v.From) + " → " + inline(v.To)
	}
	count := 0
	for _, f := range v.Findings {
		if f.Severity == Critical {
			count++
		}
	}
	switch {
	case count > 1:
		return fmt.Sprintf("**Danger: %s** %d critical findings in %s.", prose(v.Findings[0].Text), count, what)
	case count == 1:
		return fmt.Sprintf("**Danger: %s** In %s.", prose(v.Findings[0].Text), what)
	case v.Worst() == Warning:
		return fmt.Sprintf("**Look closely: %s** In %s.", prose(v.Findings[0].Text), what)
	}
	return fmt.Sprintf("A %s change of %s without warnings.", v.Level, what)
}

func (v Verdict) writeFindings(b *strings.Builder) {
	if len(v.Findings) == 0 {
		return
	}
	b.WriteString("| severity | finding | where | old | new |\n| --- | --- | --- | --- | --- |\n")
	for i, f := range v.Findings {
		if i == maxRows || b.Len() > maxTable {
			fmt.Fprintf(b, "\n… and %d more findings, none of them worse.\n", len(v.Findings)-i)
			break
		}
		where := ""
		if f.File != "" {
			where = f.File
			if f.Line > 0 {
				where += fmt.Sprintf(":%d", f.Line)
			}
		}
		severity := f.Severity.String()
		if f.Severity >= Warning {
			severity = "**" + severity + "**"
		}
		fmt.Fprintf(b, "| %s | %s (%s) | %s | %s | %s |\n", severity, prose(f.Text), f.Rule, cell(where), cell(f.Old), cell(f.New))
	}
	b.WriteString("\n")
}

func (v Verdict) writePeople(b *strings.Builder, s Signals) {
	if s.MaintainersKnown {
		var names []string
		for _, name := range s.MaintainersNow {
			trust := "not trusted"
			if slices.ContainsFunc(s.Trusted, func(t string) bool { return strings.EqualFold(t, name) }) {
				trust = "trusted"
			}
			names = append(names, inline(name)+" ("+trust+")")
		}
		if len(names) == 0 {
			names = []string{"nobody"}
		}
		fmt.Fprintf(b, "- AUR maintainers: %s", strings.Join(names, ", "))
		if !s.MaintainersSince.IsZero() && !s.Now.IsZero() {
			fmt.Fprintf(b, ", for at least %s", age(s.Now.Sub(s.MaintainersSince)))
		}
		b.WriteString("\n")
	}
	if s.AuthorName != "" {
		fmt.Fprintf(b, "- Author of the commit: %s\n", inline(s.AuthorName+" <"+s.AuthorEmail+">"))
	}
	if !s.FirstSubmitted.IsZero() && !s.Now.IsZero() {
		fmt.Fprintf(b, "- In the AUR for %s\n", age(s.Now.Sub(s.FirstSubmitted)))
	}
	for _, sentence := range v.Unknown {
		fmt.Fprintf(b, "- Unknown: %s\n", prose(sentence))
	}
}

// cell is a value in a table.
func cell(s string) string {
	if s == "" {
		return ""
	}
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200]) + "…"
	}
	return inline(s)
}

// inline shows text as code on one line.
func inline(s string) string {
	if s == "" {
		return ""
	}
	return "<code>" + escapeText(s) + "</code>"
}

// prose is a sentence of caur's own, which may hold names of a package.
func prose(s string) string { return escapeText(s) }

// escapeText makes every character that means something to Markdown, to HTML or to a forge (mentions, references, quick
// actions, templates) a numeric reference. The forge shows the character and acts on none.
func escapeText(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			b.WriteByte(' ')
		case r == '.' || r == ',' || r == ' ' || r == '(' || r == ')' || r == '…' || r == '→':
			b.WriteRune(r)
		case invisible(r) || unicode.IsControl(r) || !unicode.IsPrint(r):
			b.WriteString("&lt;U+" + strings.ToUpper(hex4(r)) + "&gt;")
		case r < 0x80 && !isLetter(r) && (r < '0' || r > '9'), r >= 0x80 && !unicode.IsLetter(r):
			fmt.Fprintf(&b, "&#%d;", r)
		default:
			b.WriteRune(r)
		}
	}
	return breakLinks(b.String())
}

// breakLinks keeps bare www. from becoming a link; :// is escaped already.
func breakLinks(s string) string {
	for _, prefix := range []string{"www.", "WWW.", "Www."} {
		s = strings.ReplaceAll(s, prefix, prefix[:3]+"&#46;")
	}
	return s
}

// fenced is a block of code whose fence is longer than any run of backticks inside.
func fenced(language, text string) string {
	longest, run := 0, 0
	for _, r := range text {
		if r == '`' {
			run++
			longest = max(longest, run)
		} else {
			run = 0
		}
	}
	fence := strings.Repeat("`", max(3, longest+1))
	return fence + language + "\n" + strings.TrimRight(text, "\n") + "\n" + fence + "\n"
}

// longFence is a run of backticks that no text needs; the fence around it would be as long.
var longFence = lazily("`{50,}")

// printable makes characters visible that would hide or turn text.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || invisible(r)) {
			b.WriteString("<U+" + strings.ToUpper(hex4(r)) + ">")
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// clipLines shortens text at a line's end.
func clipLines(s string, most int) string {
	if len(s) <= most {
		return s
	}
	s = s[:most]
	if i := strings.LastIndexByte(s, '\n'); i > 0 {
		s = s[:i]
	}
	return strings.ToValidUTF8(s, "") + "\n… (shortened)"
}

func safeURL(url string) bool {
	return (strings.HasPrefix(url, "https://") || strings.HasPrefix(url, "http://")) && !strings.ContainsAny(url, "<>\\ \n\r\t\"`") && html.EscapeString(url) == strings.ReplaceAll(url, "&", "&amp;")
}
