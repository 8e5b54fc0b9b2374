package upstream

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// pattern is a regular expression of Python that means the same to Go's engine, which takes time in proportion to the
// text whatever the pattern is.
type pattern struct {
	re    *regexp.Regexp
	whole *regexp.Regexp // the whole string must match
}

// pattern is an option that must be a regular expression; nil where it is not there. One that the engine does not take
// (look-around, references) gives an *UnsupportedError.
func (e Entry) pattern(key string) (*pattern, error) {
	text, err := e.text(key)
	if err != nil || text == "" {
		return nil, err
	}
	translated, err := translate(text)
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile(translated)
	if err != nil {
		return nil, unsupported("the regular expression %s = %q", key, text)
	}
	whole, err := regexp.Compile(`\A(?:` + translated + `)\z`)
	if err != nil {
		return nil, unsupported("the regular expression %s = %q", key, text)
	}
	return &pattern{re, whole}, nil
}

// translate handles the few things that Go spells differently or reads as something else.
func translate(text string) (string, error) {
	var b strings.Builder
	class := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			if text[i] == 'Z' && !class {
				b.WriteString(`\z`)
				continue
			}
			if text[i] >= '1' && text[i] <= '9' || text[i] == 'z' || text[i] == 'Q' || text[i] == 'C' || text[i] == 'p' || text[i] == 'P' {
				return "", unsupported("the regular expression %q", text) // Go reads these as something else
			}
			b.WriteByte('\\')
			b.WriteByte(text[i])
		case c == '{' && !class && strings.HasPrefix(text[i:], "{,"):
			b.WriteString("{0,")
			i++
		default:
			if c == '[' && !class {
				class = true
				b.WriteByte(c)
				// A bracket that comes first is a member, in both languages.
				for _, first := range []string{"^", "]"} {
					if strings.HasPrefix(text[i+1:], first) {
						i++
						b.WriteString(first)
					}
				}
				continue
			}
			if c == '[' && strings.HasPrefix(text[i:], "[:") {
				return "", unsupported("the regular expression %q", text) // a class of POSIX to Go only
			}
			if c == ']' {
				class = false
			}
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

// findAll lists what nvchecker calls the version strings of a text: the whole match, or the one group of the pattern.
func (p *pattern) findAll(text string) ([]candidate, error) {
	if p.re.NumSubexp() > 1 {
		return nil, fmt.Errorf("the regular expression %q has more than one group", p.re)
	}
	var list []candidate
	for _, m := range p.re.FindAllStringSubmatch(text, maxCandidates) {
		list = append(list, candidate{version: m[len(m)-1]})
	}
	return list, nil
}

// maxCandidates bounds what a page can make us sort.
const maxCandidates = 50_000

// template is a to_pattern: text and groups in turn.
type template []part

type part struct {
	text  string
	group int // -1: text
}

// parseTemplate reads \1, \g<1>, \g<name> and the escapes of a replacement of Python's re.sub.
func parseTemplate(text string, re *regexp.Regexp) (template, error) {
	var t template
	literal := func(s string) { t = append(t, part{s, -1}) }
	for text != "" {
		before, rest, escaped := strings.Cut(text, `\`)
		literal(before)
		if !escaped {
			return t, nil
		}
		if rest == "" {
			return nil, fmt.Errorf(`to_pattern ends with a backslash`)
		}
		text = rest[1:]
		switch c := rest[0]; {
		case c == '\\':
			literal(`\`)
		case c == 'n':
			literal("\n")
		case c == 't':
			literal("\t")
		case c >= '1' && c <= '9':
			digits := rest[:1]
			if len(rest) > 1 && rest[1] >= '0' && rest[1] <= '9' {
				digits, text = rest[:2], rest[2:]
			}
			group, err := groupOf(digits, re)
			if err != nil {
				return nil, err
			}
			t = append(t, part{group: group})
		case strings.HasPrefix(rest, "g<"):
			name, after, closed := strings.Cut(rest[2:], ">")
			if !closed {
				return nil, fmt.Errorf(`to_pattern has a \g< without >`)
			}
			group, err := groupOf(name, re)
			if err != nil {
				return nil, err
			}
			t, text = append(t, part{group: group}), after
		default:
			return nil, unsupported(`\%c in to_pattern`, c)
		}
	}
	return t, nil
}

func groupOf(name string, re *regexp.Regexp) (int, error) {
	group, err := strconv.Atoi(name)
	if err != nil {
		group = re.SubexpIndex(name)
	}
	if group < 0 || group > re.NumSubexp() {
		return 0, fmt.Errorf("to_pattern names the group %q, which from_pattern does not have", name)
	}
	return group, nil
}

func (t template) replace(text string, re *regexp.Regexp) string {
	var b strings.Builder
	last := 0
	for _, at := range re.FindAllStringSubmatchIndex(text, -1) {
		b.WriteString(text[last:at[0]])
		for _, p := range t {
			switch {
			case p.group < 0:
				b.WriteString(p.text)
			case at[2*p.group] >= 0:
				b.WriteString(text[at[2*p.group]:at[2*p.group+1]])
			}
		}
		last = at[1]
	}
	b.WriteString(text[last:])
	return b.String()
}
