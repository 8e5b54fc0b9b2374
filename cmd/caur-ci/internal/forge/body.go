package forge

import (
	"crypto/sha256"
	"regexp"
	"strings"
	"unicode/utf8"
)

// cutMarker ends a description that was shortened.
const cutMarker = "\n\n*(The rest does not fit into a description here: look at the changes of the branch.)*\n"

// cut shortens Markdown to at most limit bytes, which no forge counts as more than limit characters. It ends at the end of a
// line where that is possible, and what is open there (a code fence, HTML details) is closed, so that the marker is seen.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	var open structure
	end := 0   // of what is kept
	best := "" // closes what is open at end
	room := limit - len(cutMarker)
	for end < len(text) {
		line := text[end:]
		if i := strings.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		}
		next := open
		next.read(line)
		closing := next.closing()
		if end+len(line)+len(closing) > room {
			if end == 0 && closing == "" { // a single line that is too long
				return cutLine(text, room) + cutMarker
			}
			break
		}
		end, open, best = end+len(line), next, closing
	}
	return text[:end] + best + cutMarker
}

// cutLine cuts between two characters.
func cutLine(text string, room int) string {
	if len(text) <= room {
		return text
	}
	room = max(room, 0)
	for room > 0 && !utf8.RuneStart(text[room]) {
		room--
	}
	return text[:room]
}

// structure is what is open at the end of a line of Markdown, as far as it matters for cut.
type structure struct {
	fence   string // the characters that opened a code fence
	details int    // how many HTML details
}

var (
	fenceLine   = regexp.MustCompile("^ {0,3}(`{3,}|~{3,})(.*)$")
	detailsLine = regexp.MustCompile(`(?i)</?details\b`)
)

func (s *structure) read(line string) {
	line = strings.TrimRight(line, "\r\n")
	if m := fenceLine.FindStringSubmatch(line); m != nil {
		switch {
		case s.fence == "":
			if m[1][0] != '`' || !strings.Contains(m[2], "`") {
				s.fence = m[1]
				return
			}
		case m[1][0] == s.fence[0] && len(m[1]) >= len(s.fence) && strings.TrimSpace(m[2]) == "":
			s.fence = ""
			return
		}
	}
	if s.fence != "" {
		return
	}
	for _, tag := range detailsLine.FindAllString(line, -1) {
		if strings.HasPrefix(tag, "</") {
			s.details = max(s.details-1, 0)
		} else {
			s.details++
		}
	}
}

func (s *structure) closing() string {
	var out strings.Builder
	if s.fence != "" {
		out.WriteString(s.fence + "\n")
	}
	for range s.details {
		out.WriteString("\n</details>\n")
	}
	return out.String()
}

// quickAction is a line that GitLab obeys instead of showing it, when it stands in a description or comment: /merge, /approve.
var quickAction = regexp.MustCompile(`(?m)^([ \t]*)/([A-Za-z_]+[ \t]*$|[A-Za-z_]+[ \t])`)

// withoutQuickActions escapes the slash of such lines; in Markdown they read as before. It does not matter whether they
// are in a code fence: where one begins and ends is in the hand of whoever wrote the text.
func withoutQuickActions(text string) string {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	return quickAction.ReplaceAllString(text, `$1\/$2`)
}

// normalText undoes what a forge or an editor in a browser does to a text: other ends of lines and of the text.
func normalText(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")) }

// maxBodyKept is how much of a description stays in memory.
const maxBodyKept = 4 << 10

// setBody keeps of a description what is needed of it.
func (r *Request) setBody(body string) {
	r.bodySum = sha256.Sum256([]byte(normalText(body)))
	r.Body = strings.Clone(cutLine(body, maxBodyKept)) // the clone lets go of the rest
}
