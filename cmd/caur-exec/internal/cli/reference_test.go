package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/caur-build/caur/cmd/caur-exec/internal/builder"
	"github.com/caur-build/caur/cmd/caur-exec/internal/database"
	"github.com/caur-build/caur/cmd/caur-exec/internal/metrics"
	"github.com/caur-build/caur/cmd/caur-exec/internal/notify"
	"github.com/caur-build/caur/cmd/caur-exec/internal/web"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/redisconn"
	"github.com/caur-build/caur/internal/reference"
	"github.com/caur-build/caur/internal/settings"
)

// docsDir is where the generated pages lie.
var docsDir = filepath.Join("..", "..", "..", "..", "docs", "reference")

// TestReferenceIsMadeFromTheCode keeps the pages in docs/reference as the code says. UPDATE_DOCS=1 writes them.
func TestReferenceIsMadeFromTheCode(t *testing.T) {
	for name, want := range map[string]string{
		"caur-exec.md":     reference.Markdown(New(&command.IO{}), "settings-exec.md"),
		"settings-exec.md": settingsPage(t),
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
			t.Errorf("docs/reference/%s is not what the code says; run UPDATE_DOCS=1 go test ./cmd/caur-exec/internal/cli -run Reference", name)
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

func settingsPage(t *testing.T) string {
	const all = "Roles: database, standalone."
	return reference.SettingsPage("Settings of the executor", "All are variables of the environment; flags win over them. An empty variable is an unset one. "+
		"Any of them may also be given as a file: `REDIS_PASSWORD_FILE=/run/secrets/redis` for `REDIS_PASSWORD`.", []reference.Group{
		{Title: "Building", Text: "Roles: builder, standalone; `caur-exec doctor`.", Settings: rows(t, &builder.Settings{})},
		{Title: "The repositories", Text: all, Settings: rows(t, &database.Settings{})},
		{Title: "Notifications", Text: all, Settings: rows(t, &notify.Settings{})},
		{Title: "Web pages", Text: "Roles: database, web, standalone.", Settings: rows(t, &web.Settings{})},
		{Title: "Metrics", Text: "Roles: database, web, standalone.", Settings: rows(t, &metrics.Settings{})},
		{Title: "Build logs", Text: "All roles.", Settings: rows(t, &logSettings{})},
		{Title: "Redis", Text: "All roles, and the commands that talk to the queue.", Settings: rows(t, &redisconn.Config{})},
		{Title: "`caur-exec standalone`", Settings: rows(t, &allRoles{})[:1]},
		{Title: "`caur-exec repo`", Settings: rows(t, &repoSettings{})},
		{Title: "`caur-exec srcinfo`", Settings: rows(t, &sandboxSettings{})},
	})
}
