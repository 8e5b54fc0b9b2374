package forge

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/caur-build/caur/internal/settings"
)

func TestFromEnvironment(t *testing.T) {
	lab := map[string]string{"CI_PROJECT_ID": "1", "CI_API_V4_URL": "https://gitlab.example/api/v4", "ACCESS_TOKEN": "t"}
	hub := map[string]string{"GITHUB_REPOSITORY": "a/b", "ACCESS_TOKEN": "t"}
	with := func(base map[string]string, pairs ...string) map[string]string {
		out := maps.Clone(base)
		for i := 0; i < len(pairs); i += 2 {
			out[pairs[i]] = pairs[i+1]
		}
		return out
	}
	both := with(lab, "GITHUB_REPOSITORY", "a/b")
	file := t.TempDir() + "/token"
	writeFile(t, file, "from file\n")
	tests := []struct {
		name    string
		env     map[string]string
		want    string // kind
		missing []string
		err     string
	}{
		{name: "GitLab", env: lab, want: GitLab},
		{name: "GitHub", env: hub, want: GitHub},
		{name: "token from a file", env: with(lab, "ACCESS_TOKEN", "", "ACCESS_TOKEN_FILE", file), want: GitLab},
		{name: "a file that is not there", env: with(hub, "ACCESS_TOKEN", "", "ACCESS_TOKEN_FILE", file+"x"), err: "ACCESS_TOKEN_FILE"},
		{name: "both, in a pipeline of GitLab", env: with(both, "GITLAB_CI", "true"), want: GitLab},
		{name: "both, in a workflow of GitHub", env: with(both, "GITHUB_ACTIONS", "true"), want: GitHub},
		{name: "both, by hand", env: both, want: GitLab},
		{name: "only the project of GitLab inside a workflow of GitHub", env: with(lab, "GITHUB_ACTIONS", "true"), want: GitLab},
		{name: "nothing", env: nil, missing: []string{"CI_PROJECT_ID", "GITHUB_REPOSITORY"}},
		{name: "no token", env: with(lab, "ACCESS_TOKEN", " "), missing: []string{"ACCESS_TOKEN"}},
		{name: "no server, no token", env: map[string]string{"CI_PROJECT_ID": "1"}, missing: []string{"CI_API_V4_URL", "ACCESS_TOKEN"}},
		{name: "a pipeline of GitLab without anything", env: map[string]string{"GITLAB_CI": "true", "ACCESS_TOKEN": "t"},
			missing: []string{"CI_PROJECT_ID", "CI_API_V4_URL"}},
		{name: "a workflow of GitHub without a repository", env: map[string]string{"GITHUB_ACTIONS": "true", "ACCESS_TOKEN": "t"},
			missing: []string{"GITHUB_REPOSITORY"}},
		{name: "address that is none", env: with(lab, "CI_API_V4_URL", "gitlab.example"), err: "CI_API_V4_URL is no http"},
		{name: "password in the address", env: with(hub, "GITHUB_API_URL", "https://u:hunter2@x"), err: "GITHUB_API_URL must hold neither"},
		{name: "repository without owner", env: with(hub, "GITHUB_REPOSITORY", "b"), err: "OWNER/NAME"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := FromEnvironment(func(key string) (string, bool) { v, ok := tt.env[key]; return v, ok })
			var missing *MissingError
			switch {
			case tt.missing != nil:
				if !errors.As(err, &missing) || !slices.Equal(missing.Variables, tt.missing) {
					t.Errorf("error %v", err)
				} else if !strings.Contains(err.Error(), tt.missing[0]) {
					t.Errorf("does not name %s: %v", tt.missing[0], err)
				}
			case tt.err != "":
				if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("error %v", err)
				}
			case err != nil || f.Kind() != tt.want:
				t.Errorf("%v, %v", f, err)
			}
		})
	}
}

func TestTheTokenIsInNoPrintedConfig(t *testing.T) {
	cfg := Config{Kind: GitLab, Token: settings.NewSecret("hunter2")}
	if text := fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg); strings.Contains(text, "hunter2") {
		t.Error(text)
	}
}
