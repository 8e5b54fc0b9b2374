package notify

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/caur-build/caur/pkg/queue"
)

// markup is how a kind of text writes what has a meaning.
type markup interface {
	plain(string) string
	bold(string) string
	link(text, url string) string
	code(lines []string) string
}

// text is a message within a limit: what does not fit is left out in whole lines, from the end.
type text struct {
	b     strings.Builder
	size  int // UTF-16 units, which is how Telegram counts
	limit int
	cut   bool
}

func units(s string) int {
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

// line adds a line when it fits.
func (t *text) line(s string) bool {
	n := units(s) + 1
	if t.cut || t.size+n > t.limit {
		t.cut = true
		return false
	}
	t.size += n
	t.b.WriteString(s + "\n")
	return true
}

func (t *text) String() string { return strings.TrimRight(t.b.String(), "\n") }

// single is the message about one job or clean-up.
func single(n Note, m markup, limit int) string {
	t := &text{limit: limit}
	t.line(m.bold(n.heading()))
	if n.Topic == TopicTest {
		t.line(m.plain("This is a test, sent by hand."))
		return t.String()
	}
	var about []string
	if n.Pkgbase != "" {
		about = append(about, m.bold(n.Pkgbase)+m.plain(" ("+n.Arch+")"))
	}
	if n.Builder != "" {
		about = append(about, m.plain("on "+n.Builder))
	}
	if n.Duration > 0 {
		about = append(about, m.plain("in "+n.Duration.Round(time.Second).String()))
	}
	if len(about) > 0 {
		t.line(strings.Join(about, m.plain(" ")))
	}
	if class := n.class(); class != "" {
		t.line(m.plain("Cause: ") + m.bold(class))
	}
	if n.Message != "" && n.Status != queue.Success {
		t.line(m.plain(shorten(n.Message, 500)))
	}
	var to []string
	if n.LogURL != "" {
		to = append(to, m.link("log", n.LogURL))
	}
	if n.CommitURL != "" {
		to = append(to, m.link("commit", n.CommitURL))
	}
	if len(to) > 0 {
		t.line(strings.Join(to, m.plain(" · ")))
	}
	for lines := n.lines(); len(lines) > 0; lines = lines[1:] { // the last lines say most
		if block := m.code(lines); t.size+units(block) < limit {
			t.line(block)
			break
		}
	}
	return t.String()
}

const namesAtMost = 40 // of successes in a line of a digest

// digest is one message about many.
func digest(notes []Note, m markup, limit int) string {
	t := &text{limit: limit - units(m.plain("… and 20000 more"))}
	first, last := notes[0].Time, notes[len(notes)-1].Time
	t.line(m.bold(digestTitle(notes)))
	t.line(m.plain(fmt.Sprintf("from %s to %s UTC", first.UTC().Format("2006-01-02 15:04"), last.UTC().Format("15:04"))))
	var quiet []string
	left := 0
	for _, n := range notes {
		if n.Topic == TopicSuccess || n.Topic == TopicSkipped {
			quiet = append(quiet, n.Pkgbase)
			continue
		}
		line := m.plain(n.title())
		if n.LogURL != "" {
			line += " " + m.link("log", n.LogURL)
		}
		if !t.line(line) {
			left++
		}
	}
	if left > 0 {
		t.limit, t.cut = limit, false
		t.line(m.plain(fmt.Sprintf("… and %d more", left)))
		return t.String()
	}
	for len(quiet) > 0 {
		names := quiet[:min(namesAtMost, len(quiet))]
		if !t.line(m.plain("· " + strings.Join(names, ", "))) {
			t.limit, t.cut = limit, false
			t.line(m.plain(fmt.Sprintf("… and %d more", len(quiet))))
			break
		}
		quiet = quiet[len(names):]
	}
	return t.String()
}

func digestTitle(notes []Note) string {
	counts := map[Topic]int{}
	repos := map[string]bool{}
	for _, n := range notes {
		counts[n.Topic]++
		repos[n.Repo] = true
	}
	var parts []string
	for _, p := range []struct {
		topic Topic
		words string
	}{{TopicFailed, "%d failed"}, {TopicSuccess, "%d deployed"}, {TopicSkipped, "%d not built"}, {TopicCleanup, "%d clean-ups"}} {
		if n := counts[p.topic]; n > 0 {
			parts = append(parts, fmt.Sprintf(p.words, n))
		}
	}
	where := fmt.Sprintf("%d repos", len(repos))
	if len(repos) == 1 {
		where = notes[0].Repo
	}
	return where + ": " + strings.Join(parts, ", ")
}

func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// simple is text without markup.
type simple struct{}

func (simple) plain(s string) string      { return s }
func (simple) bold(s string) string       { return s }
func (simple) link(text, u string) string { return text + ": " + u }
func (simple) code(lines []string) string { return "\n" + strings.Join(lines, "\n") }

// markdownV2 is Telegram's: every character that it reserves is escaped (core.telegram.org/bots/api#markdownv2-style).
type markdownV2 struct{}

var (
	escapePlain = strings.NewReplacer(escapes("\\_*[]()~`>#+-=|{}.!")...)
	escapeCode  = strings.NewReplacer(escapes("\\`")...)
	escapeLink  = strings.NewReplacer(escapes("\\)")...)
)

func escapes(reserved string) []string {
	var pairs []string
	for _, r := range reserved {
		pairs = append(pairs, string(r), "\\"+string(r))
	}
	return pairs
}

func (markdownV2) plain(s string) string { return escapePlain.Replace(s) }
func (markdownV2) bold(s string) string  { return "*" + escapePlain.Replace(s) + "*" }
func (markdownV2) link(text, u string) string {
	return "[" + escapePlain.Replace(text) + "](" + escapeLink.Replace(u) + ")"
}
func (markdownV2) code(lines []string) string {
	return "```\n" + escapeCode.Replace(strings.Join(lines, "\n")) + "\n```"
}
