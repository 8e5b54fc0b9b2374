// Package jsonpath reads settings that are JSON and names each mistake by its path, such as
// PACKAGE_TARGET_REPOS.chaotic-aur.extra_repos[0].name.
package jsonpath

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Node is a value inside a JSON setting; path names it in messages, such as
// PACKAGE_TARGET_REPOS.chaotic-aur.extra_repos[0].name.
type Node struct {
	path     string
	value    any
	problems *[]string
}

// Problem notes what is wrong at this place.
func (n Node) Problem(format string, args ...any) {
	*n.problems = append(*n.problems, n.path+": "+fmt.Sprintf(format, args...))
}

// Object returns the members in the order of their keys.
func (n Node) Object() ([]string, map[string]Node) {
	m, ok := n.value.(map[string]any)
	if !ok {
		n.Problem("an object { … } is expected")
		return nil, nil
	}
	members := make(map[string]Node, len(m))
	for key, value := range m {
		members[key] = Node{path: n.path + "." + key, value: value, problems: n.problems}
	}
	return slices.Sorted(maps.Keys(m)), members
}

// Fields calls the function of each member; a member without one is a problem.
func (n Node) Fields(known map[string]func(Node)) {
	keys, members := n.Object()
	for _, key := range keys {
		if read := known[key]; read != nil {
			read(members[key])
		} else {
			members[key].Problem("unknown key; known are %s", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
}

// List returns the items of a list.
func (n Node) List() []Node {
	l, ok := n.value.([]any)
	if !ok {
		n.Problem("a list [ … ] is expected")
		return nil
	}
	items := make([]Node, len(l))
	for i, value := range l {
		items[i] = Node{path: fmt.Sprintf("%s[%d]", n.path, i), value: value, problems: n.problems}
	}
	return items
}

// Text returns a text that is not empty.
func (n Node) Text() string {
	s, ok := n.value.(string)
	if !ok || s == "" {
		n.Problem("a text is expected")
	}
	return s
}

// URLs returns a list of addresses of files.
func (n Node) URLs() []string {
	var all []string
	for _, item := range n.List() {
		s := item.Text()
		if u, err := url.Parse(s); s != "" && (err != nil || !slices.Contains([]string{"http", "https", "ftp", "file"}, u.Scheme)) {
			item.Problem("%q is no http, https, ftp or file address", s)
		}
		all = append(all, s)
	}
	return all
}

// Parse reads the JSON text of the setting called name. The problems are those of the text; later ones come from [Node.Problems].
func Parse(name, text string) (Node, []string) {
	problems := new([]string)
	n := Node{path: name, problems: problems}
	if err := json.Unmarshal([]byte(text), &n.value); err != nil {
		where := ""
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			where = fmt.Sprintf(" (at byte %d)", syntax.Offset)
		}
		n.Problem("not JSON%s: %v", where, err)
		return n, *problems
	}
	return n, nil
}

// Problems are those noted so far, at any place of the same text.
func (n Node) Problems() []string { return *n.problems }

// Path names the place.
func (n Node) Path() string { return n.path }

// Value is what stands there, as encoding/json gives it.
func (n Node) Value() any { return n.value }
