package forge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"unicode"
)

// maxThreads bounds what one proposal says at lines; a hostile package could hold any number of findings.
const maxThreads = 20

// note is something that was said in a request.
type note struct {
	author  string
	bot     bool   // the author is a program that the project let in
	text    string // Markdown
	settled bool   // resolved, or about a line that has changed since
}

// mark is in every thread of ours, unseen, to find it again: what it is about, and the commit it was first said of.
var mark = regexp.MustCompile(`<!-- caur:thread ([0-9a-f]{32}) ([0-9a-f]*) -->`)

// say begins the threads that are not there yet.
func (d *desk) say(ctx context.Context, r Request, threads []Thread) error {
	if len(threads) == 0 {
		return nil
	}
	ours, err := d.ownMarks(ctx, r.Number)
	if err != nil {
		return err
	}
	var missing []Thread
	for _, t := range marked(bounded(threads), r.HeadSHA) {
		key := mark.FindStringSubmatch(t.Text)[1]
		if !ours.covers(key, r.HeadSHA) {
			t.Text = d.shape(t.Text)
			missing = append(missing, t)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return d.discuss(ctx, r, missing)
}

// bounded replaces what is too much by one sentence.
func bounded(threads []Thread) []Thread {
	if len(threads) <= maxThreads {
		return threads
	}
	more := len(threads) - (maxThreads - 1)
	return append(threads[:maxThreads-1:maxThreads-1], Thread{
		ID: "more", Text: fmt.Sprintf("%d more critical findings are in the description or in the changes.", more),
	})
}

// marked adds the mark to the text of each thread. The same thing said of several lines is several threads.
func marked(threads []Thread, head string) []Thread {
	out := make([]Thread, 0, len(threads))
	seen := map[string]int{}
	for _, t := range threads {
		about := t.ID + "\x00" + t.Text
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", about, seen[about]))
		seen[about]++
		t.Text = cut(t.Text, maxThreadText) + fmt.Sprintf("\n\n<!-- caur:thread %s %s -->", hex.EncodeToString(sum[:16]), head)
		out = append(out, t)
	}
	return out
}

const maxThreadText = 8000

// marks are the threads of ours in a request by what they are about.
type marks map[string][]said

type said struct {
	head    string
	settled bool
}

// covers reports whether a thread need not be said: it is there and open, or somebody settled it looking at this very
// commit. What was settled for another commit may be about other code now.
func (m marks) covers(key, head string) bool {
	for _, s := range m[key] {
		if !s.settled || s.head == head {
			return true
		}
	}
	return false
}

// ownMarks reads the marks that we made. Those of others count for nothing: a stranger who can foresee a finding could keep
// it from being said.
func (d *desk) ownMarks(ctx context.Context, number int) (marks, error) {
	list, err := d.notes(ctx, number)
	if err != nil {
		return nil, err
	}
	out := marks{}
	for _, n := range list {
		m := mark.FindStringSubmatch(n.text)
		if m == nil {
			continue
		}
		mine, err := d.wrote(ctx, n)
		if err != nil {
			return nil, err
		}
		if mine {
			out[m[1]] = append(out[m[1]], said{head: m[2], settled: n.settled})
		}
	}
	return out, nil
}

// wrote reports whether a note is ours. A token that has no user, such as that of a GitHub job, writes as a bot.
func (d *desk) wrote(ctx context.Context, n note) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.asked {
		me, err := d.self(ctx)
		switch status(err) {
		case http.StatusForbidden, http.StatusNotFound:
			me = ""
		default:
			if err != nil {
				return false, err
			}
		}
		d.me, d.asked = me, true
	}
	if d.me == "" {
		return n.bot, nil
	}
	return n.author == d.me, nil
}

// placed says in words where a thread belongs that has no place.
func placed(t Thread) string {
	switch {
	case t.File == "":
		return t.Text
	case t.Line <= 0:
		return fmt.Sprintf("In %s: %s", code(t.File), t.Text)
	}
	return fmt.Sprintf("In %s, line %d: %s", code(t.File), t.Line, t.Text)
}

// code makes text that says nothing in Markdown.
func code(text string) string {
	return "`" + strings.Map(func(r rune) rune {
		if r == '`' || unicode.IsControl(r) {
			return '?'
		}
		return r
	}, text) + "`"
}
