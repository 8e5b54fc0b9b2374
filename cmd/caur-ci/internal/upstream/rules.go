package upstream

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caur-build/caur/pkg/srcinfo"
)

// rules are the options of an entry that go for every source.
type rules struct {
	list             bool
	include, exclude *pattern
	ignored          []string
	vercmp           bool // sort as pacman does, not as Python's packaging did
	prefix           string
	from             *pattern
	to               template
}

func newRules(e Entry, list bool) (*rules, error) {
	r := &rules{list: list}
	var err error
	if r.prefix, err = e.text("prefix"); err != nil {
		return nil, err
	}
	if err := r.substitution(e); err != nil {
		return nil, err
	}
	if !list {
		return r, nil
	}
	if r.include, err = e.pattern("include_regex"); err != nil {
		return nil, err
	}
	if r.exclude, err = e.pattern("exclude_regex"); err != nil {
		return nil, err
	}
	ignored, err := e.text("ignored")
	if err != nil {
		return nil, err
	}
	r.ignored = strings.Fields(ignored)
	key, err := e.text("sort_version_key")
	switch {
	case err != nil:
		return nil, err
	case key == "vercmp":
		r.vercmp = true
	case key != "" && key != "parse_version":
		return nil, unsupported("sort_version_key = %q", key)
	}
	return r, nil
}

func (r *rules) substitution(e Entry) (err error) {
	if r.from, err = e.pattern("from_pattern"); err != nil || r.from == nil {
		return err
	}
	if _, there := e.Options["to_pattern"]; !there {
		return errors.New("from_pattern is there, but no to_pattern")
	}
	to, err := e.text("to_pattern")
	if err != nil {
		return err
	}
	if r.from.whole.MatchString("") {
		return unsupported("a from_pattern that matches nothing at all")
	}
	r.to, err = parseTemplate(to, r.from.re)
	return err
}

// choose takes the newest of the candidates that the list options leave. Of equal ones the last counts.
func (r *rules) choose(found []candidate) (candidate, error) {
	found = slices.DeleteFunc(slices.Clone(found), func(c candidate) bool { return c.version == "" })
	if !r.list {
		if len(found) == 0 {
			return candidate{}, errors.New("no version is there")
		}
		return found[len(found)-1], nil
	}
	all := len(found)
	left := slices.DeleteFunc(found, func(c candidate) bool {
		return r.include != nil && !r.include.whole.MatchString(c.version) ||
			r.exclude != nil && r.exclude.whole.MatchString(c.version) ||
			slices.Contains(r.ignored, c.version)
	})
	switch {
	case all == 0:
		return candidate{}, errors.New("no version is there")
	case len(left) == 0:
		return candidate{}, fmt.Errorf("include_regex, exclude_regex and ignored leave none of %d versions", all)
	}
	best := &left[0]
	for i := range left[1:] {
		if c := &left[i+1]; r.compare(c, best) >= 0 {
			best = c
		}
	}
	return *best, nil
}

func (r *rules) compare(a, b *candidate) int {
	if r.vercmp {
		return srcinfo.Vercmp(a.version, b.version)
	}
	for _, c := range []*candidate{a, b} {
		if c.when == nil {
			c.when = parseVersion(c.version)
		}
	}
	return a.when.compare(b.when)
}

// rewrite applies prefix and from_pattern.
func (r *rules) rewrite(text string) (string, error) {
	text = strings.TrimPrefix(text, r.prefix)
	if r.from != nil {
		text = r.to.replace(text, r.from.re)
	}
	if text == "" {
		return "", errors.New("prefix and from_pattern leave nothing of the version")
	}
	return text, nil
}
