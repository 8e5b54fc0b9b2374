package state_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/pkg/state"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// messages shows problems as lines.
func messages(problems []state.Problem) []string {
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.String())
	}
	return lines
}

func environment(values map[string]string) func(string) (string, bool) {
	return func(key string) (string, bool) {
		value, ok := values[key]
		return value, ok
	}
}

func ignoreUnexported() cmp.Option { return cmpopts.IgnoreUnexported(state.RepoConfig{}) }

func defaults() state.RepoConfig {
	return state.RepoConfig{
		BuildRepo: "chaotic-aur", RepoName: "chaotic-aur", RedisHost: "localhost", RedisPort: 6379, RedisSSHPort: 22,
		NVCheckerReview: true, ReviewCritical: true, AdoptionDays: 14, MaxParallel: 8, CodeSkip: 123, TemplateEnableUpdates: true,
	}
}

func TestRepoConfigHasDefaults(t *testing.T) {
	want := defaults()
	for name, data := range map[string]string{
		"no file": "", "comments only": "# x\n\n",
		"empty values": "BUILD_REPO=\nREDIS_PORT=\"\"\nCI_NVCHECKER_REVIEW=\nCI_LIB_DB=''\nCI_REBUILD_TRIGGERS=\n",
	} {
		got, problems, err := state.ParseRepoConfig(".ci/config", []byte(data), nil)
		if err != nil || len(problems) > 0 {
			t.Errorf("%s: %v, %v", name, problems, err)
			continue
		}
		if diff := cmp.Diff(want, *got, ignoreUnexported()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestRepoConfigReadsEveryKey(t *testing.T) {
	const file = `# settings
BUILD_REPO=source
REPO_NAME = target-1.x
GIT_AUTHOR_NAME="Some One"
GIT_AUTHOR_EMAIL=ci@example.org
REDIS_URL=rediss://user:hunter2@redis.example.org:6380/1
REDIS_HOST=redis.example.org
REDIS_PORT=6380
REDIS_SSH_HOST=ssh.example.org
REDIS_SSH_PORT=270
REDIS_SSH_USER=deployer
CI_HUMAN_REVIEW=true
CI_HUMAN_REVIEW_ASSIGNEE=4711
CI_NVCHECKER_REVIEW=false
CI_REVIEW_CRITICAL=never
CI_UPDATE_COOLDOWN=1.5
CI_ADOPTION_DAYS=30
CI_MANAGE_AUR=true
CI_OVERWRITE_COMMITS=true
CI_CLONE_DELAY=0.25
CI_AUR_PROXY=http://user:hunter2@proxy.example.org:3128
CI_LIB_DB="https://mirror.example.org/core/os/x86_64/core.db  file:///srv/extra.db"
CI_REBUILD_TRIGGERS=glibc:gcc-libs
CI_REBUILD_BLACKLIST=" linux : linux-lts ::"
CI_DEFAULT_CLASS=5
CI_MAX_PARALLEL=16
CI_CODE_SKIP=100
TEMPLATE_ENABLE_UPDATES=false
TEMPLATE_REPO=https://example.org/template.git
`
	got, problems, err := state.ParseRepoConfig(".ci/config", []byte(file), environment(nil))
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v, %v", problems, err)
	}
	want := state.RepoConfig{
		BuildRepo: "source", RepoName: "target-1.x", GitAuthorName: "Some One", GitAuthorEmail: "ci@example.org",
		RedisHost: "redis.example.org", RedisPort: 6380, RedisSSHHost: "ssh.example.org", RedisSSHPort: 270, RedisSSHUser: "deployer",
		HumanReview: true, HumanReviewAssignee: "4711", UpdateCooldown: 90 * time.Minute, AdoptionDays: 30,
		ManageAUR: true, OverwriteCommits: true, CloneDelay: 250 * time.Millisecond,
		LibDBs:          []string{"https://mirror.example.org/core/os/x86_64/core.db", "file:///srv/extra.db"},
		RebuildTriggers: []string{"glibc", "gcc-libs"}, RebuildBlacklist: []string{"linux", "linux-lts"},
		DefaultClass: "5", MaxParallel: 16, CodeSkip: 100, TemplateRepo: "https://example.org/template.git",
	}
	if diff := cmp.Diff(want, *got, ignoreUnexported()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.RedisURL() != "rediss://user:hunter2@redis.example.org:6380/1" || got.AURProxy() != "http://user:hunter2@proxy.example.org:3128" {
		t.Errorf("RedisURL %q, AURProxy %q", got.RedisURL(), got.AURProxy())
	}
	for _, key := range state.RootKeys() {
		if !strings.Contains(file, "\n"+key.Name+"=") && !strings.Contains(file, "\n"+key.Name+" =") {
			t.Errorf("the test does not set %s", key.Name)
		}
		if _, ok := got.Lookup(key.Name); !ok {
			t.Errorf("Lookup does not know %s", key.Name)
		}
	}
}

func TestPasswordsAreNeverPrinted(t *testing.T) {
	c, _, err := state.ParseRepoConfig("f", []byte("REDIS_URL=redis://:hunter2@h\nCI_AUR_PROXY=http://u:hunter2@p\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	holder := struct{ c state.RepoConfig }{*c}
	printed := []string{string(asJSON), fmt.Sprint(c), fmt.Sprintf("%v %+v %#v %#v", c, *c, *c, c), fmt.Sprintf("%+v %#v", holder, holder)}
	_, _, err = state.ParseRepoConfig("f", []byte("REDIS_URL=http://:hunter2@h\nCI_AUR_PROXY=hunter2\n"), nil)
	if err == nil {
		t.Fatal("wrong URLs are no error")
	}
	for _, text := range append(printed, err.Error()) {
		if strings.Contains(text, "hunter2") {
			t.Errorf("shows the password: %s", text)
		}
	}
}

func TestEnvironmentWinsOverTheFile(t *testing.T) {
	env := environment(map[string]string{"REPO_NAME": "from-env", "CI_MAX_PARALLEL": "3", "BUILD_REPO": "", "CI_DEFAULT_CLASS": "  "})
	c, _, err := state.ParseRepoConfig("f", []byte("REPO_NAME=from-file\nBUILD_REPO=from-file\nCI_MAX_PARALLEL=nonsense\nCI_DEFAULT_CLASS=7\n"), env)
	if err != nil {
		t.Fatalf("a wrong value that is overridden does no harm: %v", err)
	}
	if c.RepoName != "from-env" || c.MaxParallel != 3 || c.BuildRepo != "from-file" || c.DefaultClass != "7" {
		t.Errorf("got %+v", c)
	}
	if value, ok := c.Lookup("REPO_NAME"); !ok || value != "from-env" {
		t.Errorf("Lookup = %q, %v", value, ok)
	}
	if _, ok := c.Lookup("REDIS_PORT"); ok {
		t.Error("Lookup gives a default")
	}
}

func TestRepoConfigListsEveryWrongValue(t *testing.T) {
	const file = `REPO_NAME=a/b
REDIS_PORT=0
# comment
REDIS_SSH_PORT=ssh
CI_HUMAN_REVIEW=maybe
CI_REVIEW_CRITICAL=sometimes
CI_UPDATE_COOLDOWN=-1
CI_CLONE_DELAY=NaN
CI_ADOPTION_DAYS=1.5
CI_AUR_PROXY=proxy:3128
CI_LIB_DB=https://ok.example.org/core.db core.db
CI_REBUILD_TRIGGERS=a:b c
CI_DEFAULT_CLASS=-1
CI_CODE_SKIP=0
TEMPLATE_REPO=ext::sh -c id
REDIS_URL=localhost:6379
`
	c, _, err := state.ParseRepoConfig(".ci/config", []byte(file), environment(map[string]string{"CI_MAX_PARALLEL": "many"}))
	var e *state.Error
	if !errors.As(err, &e) || c != nil {
		t.Fatalf("error is %v", err)
	}
	want := []string{
		`environment: CI_MAX_PARALLEL: "many" must be a whole number from 1 to 1024`,
		`.ci/config:1: REPO_NAME: "a/b" is no legal name`,
		`.ci/config:2: REDIS_PORT: "0" must be a whole number from 1 to 65535`,
		`.ci/config:4: REDIS_SSH_PORT: "ssh" must be`,
		`.ci/config:5: CI_HUMAN_REVIEW: "maybe" must be true or false`,
		`.ci/config:6: CI_REVIEW_CRITICAL: "sometimes" must be always or never`,
		`.ci/config:7: CI_UPDATE_COOLDOWN: "-1" must be a number of hours`,
		`.ci/config:8: CI_CLONE_DELAY: "NaN" must be a number of seconds`,
		`.ci/config:9: CI_ADOPTION_DAYS: "1.5" must be`,
		`.ci/config:10: CI_AUR_PROXY: must be a URL`,
		`.ci/config:11: CI_LIB_DB: "https://ok.example.org/core.db core.db" must be a URL`,
		`.ci/config:12: CI_REBUILD_TRIGGERS: "a:b c" must be package names joined with colons; "b c" is no`,
		`.ci/config:13: CI_DEFAULT_CLASS: "-1" must be a number or the name`,
		`.ci/config:14: CI_CODE_SKIP: "0" must be`,
		`.ci/config:15: TEMPLATE_REPO: "ext::sh -c id" must be a git URL`,
		`.ci/config:16: REDIS_URL: must be a URL that begins with redis://`,
	}
	got := strings.Split(err.Error(), "\n")
	if len(got) != len(want) {
		t.Fatalf("%d messages, want %d:\n%s", len(got), len(want), err)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got  %s\nwant %s…", got[i], want[i])
		}
	}
}

func TestRemarksNameLineAndKey(t *testing.T) {
	_, problems, err := state.ParseRepoConfig(".ci/config", []byte(`CI_HUMAN_REVEIW=true
CI_MANAGE_AUR=yes
REPO_NAME=a
CI_PACKAGE_BUMP=1
CI_GIT_COMMIT=abc
REDIS_PASSWORD=hunter2
REPO_NAME=b
echo hello
UNHEARD_OF=1
CI_NVCHECKER_REVIEW=FALSE
`), environment(map[string]string{"CI_OVERWRITE_COMMITS": "1"}))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`environment: CI_OVERWRITE_COMMITS: is "1": the Bash scripts know only true and false`,
		".ci/config:1: CI_HUMAN_REVEIW: unknown key; meant is perhaps CI_HUMAN_REVIEW",
		`.ci/config:2: CI_MANAGE_AUR: is "yes": the Bash scripts know only true and false`,
		".ci/config:4: CI_PACKAGE_BUMP: unknown key: it belongs into the .CI/config of a package",
		".ci/config:5: CI_GIT_COMMIT: unknown key: it belongs on the state branch",
		".ci/config:6: REDIS_PASSWORD: unknown key: it belongs into a protected variable of the pipeline, never into a file of the repository",
		".ci/config:7: REPO_NAME: again, after line 3; the last one counts",
		".ci/config:8: is neither KEY=VALUE nor a comment and is ignored",
		".ci/config:9: UNHEARD_OF: unknown key",
		`.ci/config:10: CI_NVCHECKER_REVIEW: is "FALSE": the Bash scripts know only true and false`,
	}
	if diff := cmp.Diff(want, messages(problems)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestKeysAreDocumentedAndTheirDefaultsAreLegal(t *testing.T) {
	var names []string
	var file strings.Builder
	for _, keys := range [][]state.Key{state.RootKeys(), state.PackageKeys()} {
		for _, k := range keys {
			if k.Help == "" {
				t.Errorf("%s has no help", k.Name)
			}
		}
	}
	for _, k := range state.RootKeys() {
		names = append(names, k.Name)
		fmt.Fprintf(&file, "%s=%s\n", k.Name, k.Default)
		if k.SteersUpdates {
			t.Errorf("%s: steering is said of package keys only", k.Name)
		}
	}
	c, problems, err := state.ParseRepoConfig("f", []byte(file.String()), nil)
	if err != nil || len(problems) > 0 {
		t.Fatalf("the defaults, written out: %v, %v", problems, err)
	}
	if diff := cmp.Diff(defaults(), *c, ignoreUnexported()); diff != "" {
		t.Errorf("the defaults, written out (-want +got):\n%s", diff)
	}
	slices.Sort(names)
	if len(slices.Compact(names)) != len(state.RootKeys()) {
		t.Error("a key stands twice in the table")
	}
}

func FuzzParseRepoConfig(f *testing.F) {
	f.Add([]byte("BUILD_REPO=a\nCI_LIB_DB=https://x/core.db\nCI_CLONE_DELAY=1e3\nREDIS_URL=redis://:p@h\n"))
	f.Add([]byte("CI_MAX_PARALLEL=99999999999999999999\nTEMPLATE_REPO=git@h:x\nCI_UPDATE_COOLDOWN=Inf\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, problems, err := state.ParseRepoConfig("f", data, nil)
		if (c == nil) == (err == nil) {
			t.Fatalf("config %v, error %v", c, err)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Message == "" {
				t.Fatalf("problem %+v", p)
			}
		}
		if c != nil && (c.MaxParallel < 1 || c.RedisPort < 1 || c.CloneDelay < 0 || c.UpdateCooldown < 0 || c.CodeSkip < 1) {
			t.Fatalf("out of range: %+v", c)
		}
	})
}
