package review

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Rule is one thing that is looked for. What it looks at decides where it is applied: commands, text, or nothing, when
// the comparison of two versions itself finds it.
type Rule struct {
	ID       string
	Kind     string
	Severity Severity
	Exposed  Severity // the severity where code runs as root on install, or whenever a PKGBUILD is read; at least Severity
	Minor    bool     // the change may be taken over without review
	Title    string   // what was found: the beginning of a sentence, without a full stop
	Why      string   // why it matters, for docs/review-rules.md

	// match looks at a resolved command. The key says what is the same: a key that the old version has, too, is no new risk.
	match func(*command) (key string, ok bool)
	// prose: match is also for the lines of files that are no shell code (programs in other languages, patches).
	prose bool
	// needles are words one of which must be in the lower-case text before pattern is tried; the match is the key.
	needles []string
	pattern *regexp.Regexp
	accept  func(match string) bool
	// codeOnly: the pattern is for code and resolved words, not for comments, sources and other text.
	codeOnly bool
}

// Rules lists the rules by theme, each id once.
func Rules() []Rule { return slices.Clone(table().list) }

type ruleTable struct {
	list     []Rule
	byID     map[string]*Rule
	commands []*Rule
	texts    []*Rule
}

var table = sync.OnceValue(func() *ruleTable {
	t := &ruleTable{byID: map[string]*Rule{}}
	for _, theme := range [][]Rule{
		versionRules(), sourceRules(), codeRules(), fetchRules(), hiddenRules(), placeRules(), systemRules(), fileRules(), signalRules(),
	} {
		t.list = append(t.list, theme...)
	}
	for i := range t.list {
		r := &t.list[i]
		r.Exposed = max(r.Exposed, r.Severity)
		if t.byID[r.ID] != nil {
			panic("two rules with the id " + r.ID)
		}
		t.byID[r.ID] = r
		if r.match != nil {
			t.commands = append(t.commands, r)
		}
		if r.pattern != nil {
			t.texts = append(t.texts, r)
		}
	}
	return t
})

// in says whether the command is one of these.
func (c *command) in(names ...string) bool { return slices.Contains(names, c.name) }

// has says whether one of its words is one of these.
func (c *command) has(words ...string) bool {
	return len(c.words) > 0 && slices.ContainsFunc(c.words[1:], func(w string) bool { return slices.Contains(words, w) })
}

// plainArgs are the arguments that are no options.
func (c *command) plainArgs() []string {
	var out []string
	if len(c.words) == 0 {
		return nil
	}
	for _, w := range c.words[1:] {
		if !strings.HasPrefix(w, "-") {
			out = append(out, w)
		}
	}
	return out
}

// all is everything in a command that may name a place or a host.
func (c *command) all() []string {
	if c.every == nil {
		c.every = append(slices.Clone(c.env), c.words...)
		for _, r := range c.redirs {
			c.every = append(c.every, r.target)
		}
		c.every = append(c.every, c.inline)
	}
	return c.every[:len(c.every):len(c.every)]
}

// wordRule makes a matcher of a pattern for single words.
func wordRule(needles []string, pattern string) func(*command) (string, bool) {
	re := regexp.MustCompile(pattern)
	return func(c *command) (string, bool) {
		for _, w := range c.all() {
			for _, n := range needles {
				if strings.Contains(w, n) {
					if m := re.FindString(w); m != "" {
						return m, true
					}
					break
				}
			}
		}
		return "", false
	}
}

// hostOf gives the host of the first URL among words, else the first argument.
func hostOf(words []string) string {
	for _, w := range words {
		if _, rest, ok := strings.Cut(w, "://"); ok {
			host, _, _ := strings.Cut(rest, "/")
			return host
		}
	}
	return ""
}

// lazily compiles an expression when it is first used: most commands of caur-ci judge nothing and should not wait for it.
func lazily(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
