package database

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/caur-build/caur/pkg/queue"
)

// node is a value inside a JSON setting; path names it in messages, such as
// PACKAGE_TARGET_REPOS.chaotic-aur.extra_repos[0].name.
type node struct {
	path     string
	value    any
	problems *[]string
}

func (n node) problem(format string, args ...any) {
	*n.problems = append(*n.problems, n.path+": "+fmt.Sprintf(format, args...))
}

// object returns the members in the order of their keys.
func (n node) object() ([]string, map[string]node) {
	m, ok := n.value.(map[string]any)
	if !ok {
		n.problem("an object { … } is expected")
		return nil, nil
	}
	members := make(map[string]node, len(m))
	for key, value := range m {
		members[key] = node{path: n.path + "." + key, value: value, problems: n.problems}
	}
	return slices.Sorted(maps.Keys(m)), members
}

// fields calls the function of each member; a member without one is a problem.
func (n node) fields(known map[string]func(node)) {
	keys, members := n.object()
	for _, key := range keys {
		if read := known[key]; read != nil {
			read(members[key])
		} else {
			members[key].problem("unknown key; known are %s", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
}

func (n node) list() []node {
	l, ok := n.value.([]any)
	if !ok {
		n.problem("a list [ … ] is expected")
		return nil
	}
	items := make([]node, len(l))
	for i, value := range l {
		items[i] = node{path: fmt.Sprintf("%s[%d]", n.path, i), value: value, problems: n.problems}
	}
	return items
}

func (n node) text() string {
	s, ok := n.value.(string)
	if !ok || s == "" {
		n.problem("a text is expected")
	}
	return s
}

func (n node) urls() []string {
	var all []string
	for _, item := range n.list() {
		s := item.text()
		if u, err := url.Parse(s); s != "" && (err != nil || !slices.Contains([]string{"http", "https", "ftp", "file"}, u.Scheme)) {
			item.problem("%q is no http, https, ftp or file address", s)
		}
		all = append(all, s)
	}
	return all
}

func parseJSON(name, text string) (node, []string) {
	problems := new([]string)
	n := node{path: name, problems: problems}
	if err := json.Unmarshal([]byte(text), &n.value); err != nil {
		where := ""
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			where = fmt.Sprintf(" (at byte %d)", syntax.Offset)
		}
		n.problem("not JSON%s: %v", where, err)
		return n, *problems
	}
	return n, nil
}

// A name that can be a directory and a section of pacman.conf.
var repoName = regexp.MustCompile(`^[A-Za-z0-9_@+][A-Za-z0-9_@.+-]{0,99}$`)

func (n node) checkName(name string) {
	if !repoName.MatchString(name) {
		n.problem("%q is not a legal name of a repository", name)
	}
}

// parseSources reads PACKAGE_REPOS.
func parseSources(text string) (map[string]queue.SourceRepo, []string) {
	root, problems := parseJSON("PACKAGE_REPOS", text)
	if problems != nil {
		return nil, problems
	}
	repos := make(map[string]queue.SourceRepo)
	names, members := root.object()
	for _, name := range names {
		n := members[name]
		n.checkName(name)
		var r queue.SourceRepo
		n.fields(map[string]func(node){"url": func(n node) {
			if r.URL = n.text(); strings.HasPrefix(r.URL, "-") {
				n.problem("%q is not an address", r.URL)
			}
		}})
		if m, ok := n.value.(map[string]any); ok && m["url"] == nil {
			n.problem("url is missing")
		}
		repos[name] = r
	}
	if len(repos) == 0 && len(*root.problems) == 0 {
		root.problem("no source repo is given")
	}
	return repos, *root.problems
}

// parseTargets reads PACKAGE_TARGET_REPOS.
func parseTargets(text string) (map[string]queue.TargetRepo, []string) {
	root, problems := parseJSON("PACKAGE_TARGET_REPOS", text)
	if problems != nil {
		return nil, problems
	}
	repos := make(map[string]queue.TargetRepo)
	names, members := root.object()
	for _, name := range names {
		n := members[name]
		n.checkName(name)
		var r queue.TargetRepo
		n.fields(map[string]func(node){
			"extra_repos":    func(n node) { r.ExtraRepos = extraRepos(n) },
			"extra_keyrings": func(n node) { r.ExtraKeyrings = n.urls() },
		})
		repos[name] = r
	}
	if len(repos) == 0 && len(*root.problems) == 0 {
		root.problem("no target repo is given")
	}
	return repos, *root.problems
}

func extraRepos(n node) []queue.ExtraRepo {
	var repos []queue.ExtraRepo
	for _, item := range n.list() {
		var r queue.ExtraRepo
		item.fields(map[string]func(node){
			"name":    func(n node) { r.Name = n.text(); n.checkName(r.Name) },
			"servers": func(n node) { r.Servers = n.urls() },
		})
		if _, ok := item.value.(map[string]any); ok && (r.Name == "" || len(r.Servers) == 0) {
			item.problem("name and servers are needed")
		}
		repos = append(repos, r)
	}
	return repos
}
