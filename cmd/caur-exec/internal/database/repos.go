package database

import (
	"regexp"
	"strings"

	"github.com/caur-build/caur/cmd/caur-exec/internal/jsonpath"
	"github.com/caur-build/caur/pkg/queue"
)

// A name that can be a directory and a section of pacman.conf.
var repoName = regexp.MustCompile(`^[A-Za-z0-9_@+][A-Za-z0-9_@.+-]{0,99}$`)

func checkName(n jsonpath.Node, name string) {
	if !repoName.MatchString(name) {
		n.Problem("%q is not a legal name of a repository", name)
	}
}

// parseSources reads PACKAGE_REPOS.
func parseSources(text string) (map[string]queue.SourceRepo, []string) {
	root, problems := jsonpath.Parse("PACKAGE_REPOS", text)
	if problems != nil {
		return nil, problems
	}
	repos := make(map[string]queue.SourceRepo)
	names, members := root.Object()
	for _, name := range names {
		n := members[name]
		checkName(n, name)
		var r queue.SourceRepo
		n.Fields(map[string]func(jsonpath.Node){"url": func(n jsonpath.Node) {
			if r.URL = n.Text(); strings.HasPrefix(r.URL, "-") {
				n.Problem("%q is not an address", r.URL)
			}
		}})
		if m, ok := n.Value().(map[string]any); ok && m["url"] == nil {
			n.Problem("url is missing")
		}
		repos[name] = r
	}
	if len(repos) == 0 && len(root.Problems()) == 0 {
		root.Problem("no source repo is given")
	}
	return repos, root.Problems()
}

// parseTargets reads PACKAGE_TARGET_REPOS.
func parseTargets(text string) (map[string]queue.TargetRepo, []string) {
	root, problems := jsonpath.Parse("PACKAGE_TARGET_REPOS", text)
	if problems != nil {
		return nil, problems
	}
	repos := make(map[string]queue.TargetRepo)
	names, members := root.Object()
	for _, name := range names {
		n := members[name]
		checkName(n, name)
		var r queue.TargetRepo
		n.Fields(map[string]func(jsonpath.Node){
			"extra_repos":    func(n jsonpath.Node) { r.ExtraRepos = extraRepos(n) },
			"extra_keyrings": func(n jsonpath.Node) { r.ExtraKeyrings = n.URLs() },
		})
		repos[name] = r
	}
	if len(repos) == 0 && len(root.Problems()) == 0 {
		root.Problem("no target repo is given")
	}
	return repos, root.Problems()
}

func extraRepos(n jsonpath.Node) []queue.ExtraRepo {
	var repos []queue.ExtraRepo
	for _, item := range n.List() {
		var r queue.ExtraRepo
		item.Fields(map[string]func(jsonpath.Node){
			"name":    func(n jsonpath.Node) { r.Name = n.Text(); checkName(n, r.Name) },
			"servers": func(n jsonpath.Node) { r.Servers = n.URLs() },
		})
		if _, ok := item.Value().(map[string]any); ok && (r.Name == "" || len(r.Servers) == 0) {
			item.Problem("name and servers are needed")
		}
		repos = append(repos, r)
	}
	return repos
}

const maxWeight = 1000

// parseWeights reads QUEUE_WEIGHTS; empty is none.
func parseWeights(text string) (map[string]int, []string) {
	if text == "" {
		return nil, nil
	}
	root, problems := jsonpath.Parse("QUEUE_WEIGHTS", text)
	if problems != nil {
		return nil, problems
	}
	weights := make(map[string]int)
	names, members := root.Object()
	for _, name := range names {
		n := members[name]
		checkName(n, name)
		w, ok := n.Value().(float64)
		if !ok || w != float64(int(w)) || w < 1 || w > maxWeight {
			n.Problem("a whole number from 1 to %d is expected", maxWeight)
		}
		weights[name] = int(w)
	}
	return weights, root.Problems()
}
