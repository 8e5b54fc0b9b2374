package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/redisconn"
	"github.com/caur-build/caur/internal/reference"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/pkg/state"
)

// docsDir is where the generated pages lie.
var docsDir = filepath.Join("..", "..", "..", "..", "docs", "reference")

// TestReferenceIsMadeFromTheCode keeps the pages in docs/reference as the code says. UPDATE_DOCS=1 writes them.
func TestReferenceIsMadeFromTheCode(t *testing.T) {
	for name, want := range map[string]string{
		"caur-ci.md":     reference.Markdown(New(&command.IO{}), "settings-ci.md"),
		"settings-ci.md": settingsPage(t),
	} {
		path := filepath.Join(docsDir, name)
		if os.Getenv("UPDATE_DOCS") != "" {
			if err := os.MkdirAll(docsDir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("docs/reference/%s is not what the code says; run UPDATE_DOCS=1 go test ./cmd/caur-ci/internal/cli -run Reference", name)
		}
	}
}

func rows(t *testing.T, target any) []reference.Setting {
	t.Helper()
	list, err := settings.Describe(target)
	if err != nil {
		t.Fatal(err)
	}
	table := make([]reference.Setting, len(list))
	for i, s := range list {
		if s.Help == "" {
			t.Errorf("%s has no help", s.Name)
		}
		table[i] = reference.Setting{Name: s.Name, Default: s.Default, Help: s.Help, Required: s.Required, Secret: s.Secret}
	}
	return table
}

func keys(list []state.Key) []reference.Setting {
	table := make([]reference.Setting, len(list))
	for i, k := range list {
		table[i] = reference.Setting{Name: k.Name, Default: k.Default, Help: k.Help}
	}
	return table
}

func settingsPage(t *testing.T) string {
	return reference.SettingsPage("Settings of the pipeline", "Flags win over the environment, that over `.ci/config`, that over defaults. An empty variable is an unset one. "+
		"A variable that is not a key of a file may also be given as a file: `REDIS_PASSWORD_FILE=/run/secrets/redis` for `REDIS_PASSWORD`.", []reference.Group{
		{Title: "`.ci/config`", Text: "At the top of the repository; the environment wins over it.", Settings: keys(state.RootKeys())},
		{Title: "`PKGDIR/.CI/config`", Text: "Of one package.", Settings: keys(state.PackageKeys())},
		{Title: "Inputs of a pipeline", Text: "What whoever starts a pipeline gives it. Commands read them where an argument or flag is not given. What a forge itself sets in its jobs (`CI_COMMIT_SHA`, `GITHUB_REPOSITORY`, …) is read, too.", Settings: pipelineInputs},
		{Title: "Where updates come from", Text: "Environment of `caur-ci on-schedule` and `caur-ci check`.", Settings: rows(t, &upstreamSettings{})},
		{Title: "Pushing to the AUR", Text: "Environment of `caur-ci on-commit` and `caur-ci on-schedule`.", Settings: rows(t, &aurKeys{})},
		{Title: "Redis", Text: "Environment, or `.ci/config` for the keys that stand above.", Settings: rows(t, &redisconn.Config{})},
	})
}

// pipelineInputs are the variables that single commands read.
var pipelineInputs = []reference.Setting{
	{Name: "PACKAGES", Help: "packages of `caur-ci schedule`, `bump` and `drop`"},
	{Name: "ADD_PACKAGES", Help: "packages of `caur-ci add`, each as PKGBASE/SOURCE"},
	{Name: "REQUEST_ORIGIN", Help: "`caur-ci add --origin`"},
	{Name: "CUSTOM_REQUEST_REASON", Help: "`caur-ci add --reason`"},
	{Name: "REQUEST_REASON", Help: "the same, where CUSTOM_REQUEST_REASON is not set; unset is none"},
	{Name: "TRIGGER", Help: "`caur-ci on-schedule --trigger`"},
	{Name: "CI_ARCH", Default: "x86_64", Help: "architecture of the builds"},
	{Name: "SKIP_ON_COMMIT_CHECK", Default: "false", Help: "true: `caur-ci on-schedule` does not want the last on-commit pipeline to have ended well"},
	{Name: "LOGS_URL", Help: "address of the page that shows a log; `caur-ci logs --server` wins"},
}

// readVariable finds the names of variables that the code asks the environment for.
var readVariable = regexp.MustCompile(`(?:\bget|Getenv)\("([A-Z_]+)"\)`)

func TestEveryVariableThatIsReadIsInTheReference(t *testing.T) {
	page := settingsPage(t)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range readVariable.FindAllStringSubmatch(string(data), -1) {
			if !ofForge.MatchString(m[1]) && !strings.Contains(page, "| `"+m[1]+"` |") {
				t.Errorf("%s reads %s, which is not on the page of settings", file, m[1])
			}
		}
	}
}

// ofForge are variables that the forge or git sets.
var ofForge = regexp.MustCompile(`^(GITHUB_|GITLAB_|CI_(COMMIT|PIPELINE|PROJECT|JOB|DEFAULT_BRANCH|SERVER)|GIT_)`)
