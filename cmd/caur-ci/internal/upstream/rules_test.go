package upstream

import (
	"strings"
	"testing"
)

func TestListOptionsLeaveOne(t *testing.T) {
	all := []string{"v1.0", "v1.2", "v1.10", "v2.0-rc1", "weekly", "v1.10.0"}
	for _, c := range []struct {
		options map[string]any
		want    string
	}{
		{nil, "v2.0-rc1"},
		{map[string]any{"include_regex": `v[\d.]+`}, "v1.10.0"}, // of equal ones the last
		{map[string]any{"include_regex": `v1\.\d`}, "v1.2"},     // the whole string must match
		{map[string]any{"exclude_regex": `.*rc.*`}, "v1.10.0"},
		{map[string]any{"exclude_regex": `rc`}, "v2.0-rc1"},
		{map[string]any{"include_regex": `v1.*|weekly`, "exclude_regex": `v1\.10.*`, "ignored": "v1.2 weekly"}, "v1.0"},
		{map[string]any{"sort_version_key": "vercmp", "ignored": "weekly", "prefix": "v"}, "2.0-rc1"},
		{map[string]any{"include_regex": `v1\.0|weekly`, "sort_version_key": "vercmp"}, "weekly"}, // a word is no version to Python only,
		{map[string]any{"include_regex": `x`}, ""},
		{map[string]any{"include_regex": `v2.*`, "from_pattern": `v(\d)\.(\d)-(?P<end>rc\d)`, "to_pattern": `\1.\g<2>\g<end>\\`}, `2.0rc1\`},
		{map[string]any{"include_regex": `v2.*`, "from_pattern": `[v.]`, "to_pattern": `-`}, "-2-0-rc1"},
	} {
		var found []candidate
		for _, v := range all {
			found = append(found, candidate{version: v})
		}
		r, err := newRules(Entry{Options: c.options}, true)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		best, err := r.choose(found)
		if err == nil {
			got, err = r.rewrite(best.version)
		}
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%v: %q, %v; want %q", c.options, got, err, c.want)
		}
	}
}

func TestPatternsMeanWhatTheyMeanToPython(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          string // first match; "-" is none
	}{
		{`a{,2}b`, "aab", "aab"},
		{`x\Z`, "ax", "x"},
		{`[]a]+`, "]a]", "]a]"},
		{`[^]a]+`, "]xa", "x"},
		{`[\]a{,]+`, "{,]", "{,]"},
		{`[[a]+`, "[a", "[a"},
		{`(?s)a.b`, "a\nb", "a\nb"},
		{`a.b`, "a\nb", "-"},
		{`(?:a|ab)c`, "abc", "abc"},
		{`a|ab`, "ab", "a"}, // the first that matches, not the longest
		{`(?i)V1`, "v1", "v1"},
		{`\/x\-\_\"`, `/x-_"`, `/x-_"`},
	} {
		e := Entry{Options: map[string]any{"regex": c.pattern}}
		p, err := e.pattern("regex")
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		got := "-"
		if at := p.re.FindStringIndex(c.text); at != nil {
			got = c.text[at[0]:at[1]]
		}
		if got != c.want {
			t.Errorf("%s in %q: %q, not %q", c.pattern, c.text, got, c.want)
		}
	}
}

func TestTemplatesOfPython(t *testing.T) {
	e := Entry{Options: map[string]any{"from_pattern": `(\d)(x)?(?P<n>\d)`}}
	from, err := e.pattern("from_pattern")
	if err != nil {
		t.Fatal(err)
	}
	for template, want := range map[string]string{
		`\1\2-\3`: "v1-2", `\g<n>\g<1>`: "v21", `\\\n\t`: "v\\\n\t", ``: "v", `$1`: "v$1", `\g<0>!`: "v12!", `\10`: "?", `\9`: "?", `x\`: "?", `\g<x`: "?", `\g<x>`: "?", `\q`: "?",
	} {
		got := "?"
		if parsed, err := parseTemplate(template, from.re); err == nil {
			got = parsed.replace("v12", from.re)
		}
		if got != want {
			t.Errorf("%s: %q, not %q", template, got, want)
		}
	}
}

func TestNothingThatAPageSaysTakesLong(t *testing.T) {
	e := Entry{Options: map[string]any{"regex": `(?:a+)+b|([0-9]+)`}}
	p, err := e.pattern("regex")
	if err != nil {
		t.Fatal(err)
	}
	found, err := p.findAll(strings.Repeat("a", 50_000) + strings.Repeat(" 7", maxCandidates+10))
	if err != nil || len(found) != maxCandidates {
		t.Errorf("%d %v", len(found), err)
	}
}
