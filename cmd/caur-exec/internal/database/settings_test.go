package database

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/pkg/queue"
)

const (
	oneSource = `{"packages": {"url": "https://example.org/packages.git"}}`
	oneTarget = `{"demo": {}}`
)

func TestReposAreReadAndMistakesNamedByTheirPath(t *testing.T) {
	sources := func(text string) []string { _, problems := parseSources(text); return problems }
	targets := func(text string) []string { _, problems := parseTargets(text); return problems }
	weights := func(text string) []string { _, problems := parseWeights(text); return problems }
	tests := []struct {
		read       func(string) []string
		text, want string // want is the beginning of each problem, joined by "; "
	}{
		{sources, oneSource, ""},
		{sources, `{"a": {"url": "git@example.org:a.git"}, "b": {"url": "/srv/b"}}`, ""},
		{sources, `{"a": {"url": ""}}`, "PACKAGE_REPOS.a.url: a text is expected"},
		{sources, `{"a": {}}`, "PACKAGE_REPOS.a: url is missing"},
		{sources, `{"a": {"url": 1}}`, "PACKAGE_REPOS.a.url: a text is expected"},
		{sources, `{"a": {"url": "--upload-pack=evil"}}`, `PACKAGE_REPOS.a.url: "--upload-pack=evil" is not an address`},
		{sources, `{"a": {"url": "x", "branch": "main"}}`, "PACKAGE_REPOS.a.branch: unknown key; known are url"},
		{sources, `{"../a": {"url": "x"}, "b": []}`, `PACKAGE_REPOS.../a: "../a" is not a legal name; PACKAGE_REPOS.b: an object`},
		{sources, `{}`, "PACKAGE_REPOS: no source repo is given"},
		{sources, `[]`, "PACKAGE_REPOS: an object { … } is expected"},
		{sources, `{"a": }`, "PACKAGE_REPOS: not JSON (at byte 7)"},
		{sources, ``, "PACKAGE_REPOS: not JSON"},
		{targets, oneTarget, ""},
		{targets, `{"demo": {"extra_repos": [{"name": "x", "servers": ["https://example.org/$repo"]}], "extra_keyrings": ["https://example.org/k.pkg.tar.zst"]}}`, ""},
		{targets, `{"demo": {"extra_repos": [{"name": "x", "servers": ["https://a"]}, {"name": "y", "servers": ["gopher://a"]}]}}`,
			`PACKAGE_TARGET_REPOS.demo.extra_repos[1].servers[0]: "gopher://a" is no http`},
		{targets, `{"demo": {"extra_repos": [{"name": "x]\n[evil"}]}}`,
			`PACKAGE_TARGET_REPOS.demo.extra_repos[0].name: "x]\n[evil" is not a legal name; PACKAGE_TARGET_REPOS.demo.extra_repos[0]: name and servers`},
		{targets, `{"demo": {"extra_keyrings": "https://a"}}`, "PACKAGE_TARGET_REPOS.demo.extra_keyrings: a list"},
		{targets, `{"demo": {"extra_repos": [3], "keyrings": []}}`,
			"PACKAGE_TARGET_REPOS.demo.extra_repos[0]: an object; PACKAGE_TARGET_REPOS.demo.keyrings: unknown key; known are extra_keyrings, extra_repos"},
		{weights, ``, ""},
		{weights, `{"demo": 2, "other": 1000}`, ""},
		{weights, `[1]`, "QUEUE_WEIGHTS: an object"},
		{weights, `{"demo": 0}`, "QUEUE_WEIGHTS.demo: a whole number from 1 to 1000"},
		{weights, `{"demo": 1.5}`, "QUEUE_WEIGHTS.demo: a whole number"},
		{weights, `{"demo": "2"}`, "QUEUE_WEIGHTS.demo: a whole number"},
	}
	for _, tt := range tests {
		problems := tt.read(tt.text)
		var want []string
		if tt.want != "" {
			want = strings.Split(tt.want, "; P")
		}
		ok := len(want) == len(problems)
		for i := 0; ok && i < len(want); i++ {
			ok = strings.HasPrefix(problems[i], want[i]) || strings.HasPrefix(problems[i], "P"+want[i])
		}
		if !ok {
			t.Errorf("%s\ngives %q\nwant  %q", tt.text, problems, want)
		}
	}
}

func load(t *testing.T, env map[string]string) (Settings, error) {
	var s Settings
	all := map[string]string{"REPO_PATH": "/repo", "LANDING_ZONE_PATH": "/landing", "GPG_PATH": "/gpg", "PACKAGE_REPOS": oneSource, "PACKAGE_TARGET_REPOS": oneTarget}
	for key, value := range env {
		all[key] = value
	}
	err := settings.Load(t.Context(), &s, settings.Map(all))
	return s, err
}

func TestAllMistakesInTheSettingsAreNamedAtOnce(t *testing.T) {
	if s, err := load(t, nil); err != nil || s.Port != 22 || s.SignDB {
		t.Fatalf("%+v, %v", s, err)
	}
	_, err := load(t, map[string]string{"PACKAGE_REPOS": "{", "PACKAGE_TARGET_REPOS": "[]", "GPG_PATH": "", "DATABASE_PORT": "70000", "DATABASE_LEASE": "1ms",
		"QUEUE_ON_DEP_FAILURE": "panic", "QUEUE_WEIGHTS": "{"})
	var wrong *settings.Error
	if !errors.As(err, &wrong) || wrong.ExitCode() != 2 {
		t.Fatalf("error is %v", err)
	}
	for _, part := range []string{"PACKAGE_REPOS: not JSON", "PACKAGE_TARGET_REPOS: an object", "GPG_PATH: set it, or SIGNING_KEY_FILE", "DATABASE_PORT", "DATABASE_LEASE",
		"QUEUE_ON_DEP_FAILURE: build, hold or skip", "QUEUE_WEIGHTS: not JSON"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is missing in: %v", part, err)
		}
	}
	if _, err := load(t, map[string]string{"SIGNING_KEY_FILE": "/key"}); err == nil {
		t.Error("two keys are accepted")
	}
}

func TestWhatBuildersAreTold(t *testing.T) {
	s, err := load(t, map[string]string{"DATABASE_HOST": "repo.example.org", "DATABASE_PORT": "2222", "DATABASE_USER": "landing", "BUILDER_IMAGE": "image",
		"PACKAGER": "Tess <t@example.org>", "LOGS_URL": "https://example.org/logs.html", "QUEUE_ON_DEP_FAILURE": "hold", "QUEUE_WEIGHTS": `{"demo": 3}`,
		"PACKAGE_TARGET_REPOS": `{"demo": {"extra_repos": [{"name": "x", "servers": ["https://a"]}], "extra_keyrings": ["https://k"]}}`})
	if err != nil {
		t.Fatal(err)
	}
	want := queue.Advert{
		Image: "image", Packager: "Tess <t@example.org>", LogsURL: "https://example.org/logs.html",
		Landing:      queue.Landing{Host: "repo.example.org", Port: 2222, User: "landing", Path: "/landing"},
		SourceRepos:  map[string]queue.SourceRepo{"packages": {URL: "https://example.org/packages.git"}},
		TargetRepos:  map[string]queue.TargetRepo{"demo": {ExtraRepos: []queue.ExtraRepo{{Name: "x", Servers: []string{"https://a"}}}, ExtraKeyrings: []string{"https://k"}}},
		OnDepFailure: "hold", Weights: map[string]int{"demo": 3},
	}
	if diff := cmp.Diff(want, s.advert()); diff != "" {
		t.Error(diff)
	}
	s.AdvertisedPath = "/chroot"
	if s.advert().Landing.Path != "/chroot" {
		t.Errorf("path %q", s.advert().Landing.Path)
	}
}
