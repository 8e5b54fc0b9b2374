package jsonpath

import (
	"slices"
	"strings"
	"testing"
)

func TestMistakesAreNamedByTheirPath(t *testing.T) {
	tests := []struct {
		text string
		want []string // beginnings
	}{
		{`{"a": {"name": "x", "more": ["y"]}}`, nil},
		{`{"a": {"name": "", "more": ["", 3]}}`, []string{"S.a.more[0]: a text", "S.a.more[1]: a text", "S.a.name: a text"}},
		{`{"a": {"name": "x", "more": {}, "what": 1}}`, []string{"S.a.more: a list [ … ]", "S.a.what: unknown key; known are more, name"}},
		{`{"a": [], "b": 5}`, []string{"S.a: an object { … }", "S.b: an object"}},
		{`5`, []string{"S: an object"}},
	}
	for _, tt := range tests {
		root, problems := Parse("S", tt.text)
		if problems != nil {
			t.Fatalf("%s: %q", tt.text, problems)
		}
		_, members := root.Object()
		for _, key := range []string{"a", "b"} {
			if n, ok := members[key]; ok {
				n.Fields(map[string]func(Node){
					"name": func(n Node) { n.Text() },
					"more": func(n Node) {
						for _, item := range n.List() {
							item.Text()
						}
					},
				})
			}
		}
		got := root.Problems()
		if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
			t.Errorf("%s gives %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestWhatIsNoJSON(t *testing.T) {
	for text, want := range map[string]string{`{`: "S: not JSON (at byte 1)", ``: "S: not JSON", `{"a": 1} x`: "S: not JSON (at byte 10)"} {
		if _, problems := Parse("S", text); len(problems) != 1 || !strings.HasPrefix(problems[0], want) {
			t.Errorf("%q gives %q, want %s", text, problems, want)
		}
	}
}

func TestAddresses(t *testing.T) {
	root, _ := Parse("S", `["https://a", "file:///b", "gopher://c", "", "ftp://d"]`)
	if got := root.URLs(); len(got) != 5 {
		t.Errorf("%q", got)
	}
	want := []string{`S[2]: "gopher://c" is no http`, "S[3]: a text"}
	if !slices.EqualFunc(root.Problems(), want, strings.HasPrefix) {
		t.Errorf("%q, want %q", root.Problems(), want)
	}
	if root.Path() != "S" || root.Value() == nil {
		t.Errorf("%q, %v", root.Path(), root.Value())
	}
}
