// Package caur holds no code: its test keeps the import rules of ARCHITECTURE.md, each with its reason.
package caur

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/caur-build/caur"

type listed struct {
	ImportPath string
	Doc        string
	GoFiles    []string
	Imports    []string
	Deps       []string
}

func list(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Doc,GoFiles,Imports,Deps"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var packages []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// under reports whether path is the package root or lies below it; both are relative to the module when they do
// not begin with a host.
func under(path, root string) bool {
	if !strings.Contains(strings.SplitN(root, "/", 2)[0], ".") {
		root = module + "/" + root
	}
	return path == root || strings.HasPrefix(path, root+"/")
}

func TestImportRules(t *testing.T) {
	// from may not link any of deny, directly or through others (links) or may not import it itself (imports).
	rules := []struct {
		reason         string
		from           string
		links, imports []string
	}{
		{
			reason: "the executor is lean: it runs in build containers and knows nothing of git hosting, the AUR or PKGBUILD updates",
			from:   "cmd/caur-exec",
			links: []string{"github.com/go-git", "github.com/xanzy/go-gitlab", "github.com/google/go-github",
				"github.com/Jguer/aur", "pkg/aursync", "pkg/state", "cmd/caur-ci"},
		},
		{
			reason: "the two programs meet only in pkg, internal and the queue",
			from:   "cmd/caur-ci",
			links:  []string{"cmd/caur-exec", "github.com/moby"},
		},
		{reason: "pkg is for others to import: it cannot depend on a program", from: "pkg", links: []string{"cmd"}},
		{reason: "internal is below both programs and pkg", from: "internal", links: []string{"cmd"}},
		{reason: "production code never links the test servers", from: "cmd", links: []string{"internal/testenv", "testing"}},
		{reason: "production code never links the test servers", from: "pkg", links: []string{"internal/testenv", "testing"}},
		{
			reason:  "a later stage takes the value of the stage before: changes → plan → queue, never the reverse",
			from:    "cmd/caur-ci/internal/changes",
			links:   []string{"cmd/caur-ci/internal/plan", "cmd/caur-ci/internal/cli", "pkg/queue"},
			imports: nil,
		},
		{reason: "only cli joins the stages", from: "cmd/caur-ci/internal/plan", links: []string{"cmd/caur-ci/internal/cli"}},
		{
			reason: "a later stage takes the value of the stage before: candidates → review → commit, forge, plan, never the reverse",
			from:   "cmd/caur-ci/internal/candidates",
			links: []string{"cmd/caur-ci/internal/review", "cmd/caur-ci/internal/commit", "cmd/caur-ci/internal/forge",
				"cmd/caur-ci/internal/plan", "cmd/caur-ci/internal/cli", "pkg/queue"},
		},
		{
			reason: "a review is a pure function: no network, no files, no git, no child process",
			from:   "cmd/caur-ci/internal/review",
			links: []string{"net/http", "os/exec", "github.com/go-git", "internal/git", "internal/childproc",
				"cmd/caur-ci/internal/forge", "cmd/caur-ci/internal/commit", "cmd/caur-ci/internal/candidates"},
		},
		{
			reason:  "the client library of GitLab is deprecated: it stays in one file, where a change of import is all it takes",
			from:    "cmd/caur-ci/internal/cli",
			imports: []string{"github.com/xanzy/go-gitlab", "github.com/google/go-github"},
		},
		{
			reason: "what runs inside a build container holds no queue, no keys and no web server",
			from:   "cmd/caur-exec/internal/makepkg",
			links:  []string{"pkg/queue", "github.com/redis", "net/http/pprof", "cmd/caur-exec/internal/publish", "cmd/caur-exec/internal/web"},
		},
	}
	packages := list(t, "./...")
	for _, rule := range rules {
		for _, p := range packages {
			if !under(p.ImportPath, rule.from) || under(p.ImportPath, "internal/testenv") {
				continue
			}
			check(t, p, "links", p.Deps, rule.links, rule.reason)
			check(t, p, "imports", p.Imports, rule.imports, rule.reason)
		}
	}
}

func check(t *testing.T, p listed, verb string, have, deny []string, reason string) {
	t.Helper()
	for _, root := range deny {
		hit := func(dep string) bool { return under(dep, root) }
		if root == "testing" {
			hit = func(dep string) bool { return dep == "testing" }
		}
		if i := slices.IndexFunc(have, hit); i >= 0 {
			t.Errorf("%s %s %s: %s", p.ImportPath, verb, have[i], reason)
		}
	}
}

func TestRedisClientsComeFromRedisconn(t *testing.T) {
	// The queue and the log store take a client; only redisconn makes one, so that TLS, tunnels and time limits
	// are the same everywhere.
	cmd := exec.Command("git", "grep", "-nE", `redis\.(NewClient|NewUniversalClient|NewFailoverClient|NewClusterClient)\(`,
		"--", "*.go", ":!*_test.go", ":!internal/redisconn", ":!internal/testenv")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
		t.Fatal(err)
	}
	if len(out) > 0 {
		t.Errorf("Redis clients made outside internal/redisconn:\n%s", out)
	}
}

func TestEveryPackageHasAComment(t *testing.T) {
	// The package comment is glossary and contract: a newcomer reads it first.
	for _, p := range list(t, "./...") {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

func TestFolderDepthAndNames(t *testing.T) {
	for _, p := range list(t, "./...") {
		parts := strings.Split(strings.TrimPrefix(p.ImportPath, module+"/"), "/")
		if len(parts) > 5 {
			t.Errorf("%s is %d folders deep, more than 5", p.ImportPath, len(parts))
		}
		for _, banned := range []string{"util", "utils", "common", "helper", "helpers", "misc", "base", "shared"} {
			if slices.Contains(parts, banned) {
				t.Errorf("%s: a folder called %s says nothing about what it holds", p.ImportPath, banned)
			}
		}
	}
}
