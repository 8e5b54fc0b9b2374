package cli

import (
	"os"
	"path/filepath"
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
		{Title: "Where updates come from", Text: "Environment of `caur-ci on-schedule` and `caur-ci check`.", Settings: rows(t, &upstreamSettings{})},
		{Title: "Pushing to the AUR", Text: "Environment of `caur-ci on-commit` and `caur-ci on-schedule`.", Settings: rows(t, &aurKeys{})},
		{Title: "Redis", Text: "Environment, or `.ci/config` for the keys that stand above.", Settings: rows(t, &redisconn.Config{})},
	})
}
