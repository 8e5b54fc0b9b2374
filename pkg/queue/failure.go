package queue

import (
	"encoding/json"
	"strings"
)

const (
	maxFailureLines = 10
	maxFailureLine  = 300 // bytes
)

// bounded is what is kept of a failure: it comes from a builder, and its lines from a package.
func (f *Failure) bounded() *Failure {
	if f == nil {
		return nil
	}
	b := &Failure{Class: f.Class}
	if b.Class == "" || len(b.Class) > 40 || !printable(b.Class) {
		b.Class = "unknown"
	}
	for _, line := range f.Lines[max(0, len(f.Lines)-maxFailureLines):] {
		line = strings.Map(func(r rune) rune {
			if r < ' ' && r != '\t' || r == 0x7f {
				return -1
			}
			return r
		}, strings.ToValidUTF8(line, "\uFFFD"))
		if len(line) > maxFailureLine {
			line = strings.ToValidUTF8(line[:maxFailureLine-len("…")], "") + "…"
		}
		b.Lines = append(b.Lines, line)
	}
	return b
}

// text is how a failure is stored; nothing for none.
func (f *Failure) text() string {
	if f == nil {
		return ""
	}
	text, err := json.Marshal(f.bounded())
	if err != nil {
		return "" // strings alone: it cannot fail
	}
	return string(text)
}

// readFailure reads what text has stored. What a builder's credentials have spoiled is none.
func readFailure(text string) *Failure {
	f := &Failure{}
	if text == "" || json.Unmarshal([]byte(text), f) != nil {
		return nil
	}
	return f.bounded()
}
