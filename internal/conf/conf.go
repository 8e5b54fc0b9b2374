// Package conf reads and rewrites KEY=VALUE files: .ci/config, PKGDIR/.CI/config
// and the state files of a package (pipeline.md section 1, "Config syntax").
//
// A setting is a line KEY=VALUE with optional blanks around both. KEY matches
// [A-Za-z0-9_]+. One pair of matching quotes around VALUE is no part of it;
// nothing inside is unescaped. The last setting of a key wins. Comments,
// blank lines and anything else are kept as they are and mean nothing.
//
// The files are shared with people and with the Bash pipelines, so a rewrite is
// byte-for-byte the input except for the lines whose value changed: order,
// comments, unknown keys, indentation, quotes, CRLF, a byte order mark, a missing
// final newline and bytes that are no UTF-8 all survive.
package conf

import (
	"bytes"
	"slices"
	"strings"
)

// File is one KEY=VALUE file. It is not safe for concurrent use while it is changed.
type File struct {
	name  string
	lines []line
	last  map[string]int // key → index of the line that counts
}

// line is one line of the file with its line ending. A line that sets a key
// has the value at text[from:to], quotes included.
type line struct {
	text     string
	key      string
	from, to int
}

// Entry is one setting as it stands in the file, also when a later one overrides it.
type Entry struct {
	Key, Value string
	Line       int // 1-based
}

const byteOrderMark = "\ufeff"

// Parse reads data. The name is kept for messages only. Parse never fails:
// what is no setting is kept and reported by Ignored.
func Parse(name string, data []byte) *File {
	f := &File{name: name, last: make(map[string]int)}
	text := string(data)
	f.lines = make([]line, 0, strings.Count(text, "\n")+1)
	for len(text) > 0 {
		end := strings.IndexByte(text, '\n') + 1
		if end == 0 {
			end = len(text)
		}
		l := parseLine(text[:end], len(f.lines) == 0)
		if l.key != "" {
			f.last[l.key] = len(f.lines)
		}
		f.lines = append(f.lines, l)
		text = text[end:]
	}
	return f
}

// parseLine finds key and value; the key stays empty where the line sets nothing.
func parseLine(text string, first bool) line {
	l := line{text: text}
	pos := 0
	if first && strings.HasPrefix(text, byteOrderMark) {
		pos = len(byteOrderMark)
	}
	pos = skipBlanks(text, pos)
	start := pos
	for pos < len(text) && isKeyByte(text[pos]) {
		pos++
	}
	key := text[start:pos]
	pos = skipBlanks(text, pos)
	if key == "" || pos >= len(text) || text[pos] != '=' {
		return l
	}
	l.key = key
	l.from = skipBlanks(text, pos+1)
	l.to = len(text)
	for l.to > l.from && isBlank(text[l.to-1]) {
		l.to--
	}
	return l
}

// isBlank covers what [[:space:]] matches, line endings included.
func isBlank(c byte) bool {
	return c == ' ' || c >= '\t' && c <= '\r'
}

func skipBlanks(s string, pos int) int {
	for pos < len(s) && isBlank(s[pos]) && s[pos] != '\n' {
		pos++
	}
	return pos
}

func isKeyByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

// quoteOf tells which quote encloses raw, 0 when none does.
func quoteOf(raw string) byte {
	if len(raw) < 2 {
		return 0
	}
	c := raw[0]
	if (c == '"' || c == '\'') && raw[len(raw)-1] == c {
		return c
	}
	return 0
}

func (l line) value() string {
	raw := l.text[l.from:l.to]
	if quoteOf(raw) != 0 {
		return raw[1 : len(raw)-1]
	}
	return raw
}

// Name is the name that was given to Parse.
func (f *File) Name() string { return f.name }

// Get gives the value of key; ok is false where no line sets it.
func (f *File) Get(key string) (value string, ok bool) {
	i, ok := f.last[key]
	if !ok {
		return "", false
	}
	return f.lines[i].value(), true
}

// Line is the 1-based number of the line that sets key, 0 where none does.
func (f *File) Line(key string) int {
	i, ok := f.last[key]
	if !ok {
		return 0
	}
	return i + 1
}

// Keys lists every key once, in the order of first appearance.
func (f *File) Keys() []string {
	keys := make([]string, 0, len(f.last))
	seen := make(map[string]bool, len(f.last))
	for _, l := range f.lines {
		if l.key != "" && !seen[l.key] {
			seen[l.key] = true
			keys = append(keys, l.key)
		}
	}
	return keys
}

// Entries lists every setting in the order of the file, overridden ones included.
func (f *File) Entries() []Entry {
	entries := make([]Entry, 0, len(f.last))
	for i, l := range f.lines {
		if l.key != "" {
			entries = append(entries, Entry{Key: l.key, Value: l.value(), Line: i + 1})
		}
	}
	return entries
}

// Ignored lists the 1-based numbers of the lines that are neither a setting, a
// comment nor blank: most often a typing mistake.
func (f *File) Ignored() []int {
	var numbers []int
	for i, l := range f.lines {
		if l.key != "" {
			continue
		}
		text := strings.TrimSpace(strings.TrimPrefix(l.text, byteOrderMark))
		if text != "" && text[0] != '#' {
			numbers = append(numbers, i+1)
		}
	}
	return numbers
}

// Set gives key a value. A key that is there keeps its line, its blanks and its
// quotes, and a value that is already right changes nothing; a new key becomes
// the last line. Get then returns the value exactly, with one exception: a value
// is one line, so line breaks in it become blanks. Set panics where key could
// not be read back, because keys are constants of the program.
func (f *File) Set(key, value string) {
	if key == "" || strings.IndexFunc(key, func(r rune) bool { return r > 0x7f || !isKeyByte(byte(r)) }) >= 0 {
		panic("conf: " + f.name + ": illegal key " + key)
	}
	value = lineBreaks.Replace(value)
	i, ok := f.last[key]
	if !ok {
		f.add(key, value)
		return
	}
	old := f.lines[i]
	if old.value() == value {
		return
	}
	raw := quoted(value, quoteOf(old.text[old.from:old.to]))
	f.lines[i] = line{
		text: old.text[:old.from] + raw + old.text[old.to:],
		key:  key, from: old.from, to: old.from + len(raw),
	}
}

var lineBreaks = strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ")

// quoted encloses value in the quote that its line had, or, where it would not
// be read back as it is, in one of its own.
func quoted(value string, quote byte) string {
	if quote == 0 {
		needed := quoteOf(value) != 0 || value != "" && (isBlank(value[0]) || isBlank(value[len(value)-1]))
		if !needed {
			return value
		}
		quote = '"'
	}
	return string(quote) + value + string(quote)
}

// add appends a line in the file's own style of line endings.
func (f *File) add(key, value string) {
	ending, final := "\n", "\n"
	if n := len(f.lines); n > 0 {
		ending = lineEnding(f.lines[0].text, "\n")
		final = lineEnding(f.lines[n-1].text, "")
		if final == "" {
			f.lines[n-1].text += ending
		} else {
			final = ending
		}
	}
	raw := quoted(value, 0)
	from := len(key) + 1
	f.last[key] = len(f.lines)
	f.lines = append(f.lines, line{text: key + "=" + raw + final, key: key, from: from, to: from + len(raw)})
}

func lineEnding(text, fallback string) string {
	switch {
	case strings.HasSuffix(text, "\r\n"):
		return "\r\n"
	case strings.HasSuffix(text, "\n"):
		return "\n"
	}
	return fallback
}

// Delete removes every line that sets key. A byte order mark stays.
func (f *File) Delete(key string) {
	if _, ok := f.last[key]; !ok {
		return
	}
	marked := len(f.lines) > 0 && strings.HasPrefix(f.lines[0].text, byteOrderMark)
	f.lines = slices.DeleteFunc(f.lines, func(l line) bool { return l.key == key })
	if marked && len(f.lines) > 0 && !strings.HasPrefix(f.lines[0].text, byteOrderMark) {
		l := &f.lines[0]
		l.text = byteOrderMark + l.text
		l.from += len(byteOrderMark)
		l.to += len(byteOrderMark)
	}
	clear(f.last)
	for i, l := range f.lines {
		if l.key != "" {
			f.last[l.key] = i
		}
	}
}

// Bytes is the file as it is to be written.
func (f *File) Bytes() []byte {
	var b bytes.Buffer
	for _, l := range f.lines {
		b.WriteString(l.text)
	}
	return b.Bytes()
}
