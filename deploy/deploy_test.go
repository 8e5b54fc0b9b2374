// Package deploy holds no code: its test keeps what an operator copies from here in step with the programs.
package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
)

// known says whether the help of a command names a setting. _FILE of any setting gives it as a file.
func known(t *testing.T, command, setting string) bool {
	t.Helper()
	_, program := testenv.Binaries(t)
	args := append(strings.Fields(command), "--help")
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		t.Fatalf("caur-exec %v: %v", args, err)
	}
	name := strings.TrimSuffix(setting, "_FILE")
	return regexp.MustCompile(`(?m)^\s+`+regexp.QuoteMeta(name)+`(\s|$)`).Match(out) || name == "GNUPGHOME"
}

type service struct {
	Image       string            `yaml:"image"`
	Command     []string          `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	Volumes     []string          `yaml:"volumes"`
	Privileged  bool              `yaml:"privileged"`
	Ports       []string          `yaml:"ports"`
}

func TestTheComposeFileUsesSettingsThatAreThere(t *testing.T) {
	data, err := os.ReadFile("compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]service `yaml:"services"`
	}
	if err := yaml.Unmarshal(data, &compose); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"redis", "database", "repo", "builder1", "builder2"} {
		if _, ok := compose.Services[name]; !ok {
			t.Errorf("no service %s", name)
		}
	}
	for name, s := range compose.Services {
		if s.Privileged || name == "redis" && len(s.Ports) > 0 {
			t.Errorf("%s has more than it needs: %+v", name, s)
		}
		if s.Image != "caur" {
			continue
		}
		command := strings.Join(s.Command, " ")
		if before, _, found := strings.Cut(command, " -"); found {
			command = before
		}
		command = strings.TrimSuffix(command, " serve") // whose settings are those of repo
		for setting := range s.Environment {
			if !known(t, command, setting) {
				t.Errorf("%s: caur-exec %s knows no setting %s", name, command, setting)
			}
		}
		for _, v := range s.Volumes {
			if strings.HasPrefix(command, "builder") && strings.Contains(v, "gnupg") {
				t.Errorf("%s sees the signing key: %s", name, v)
			}
		}
	}
}

func TestTheUnitsAndTheExampleUseWhatIsThere(t *testing.T) {
	example, err := os.ReadFile("compose.env.example")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(example)) {
		name, _, isSetting := strings.Cut(line, "=")
		if isSetting && !strings.HasPrefix(line, "#") && !known(t, "database", name) {
			t.Errorf("compose.env.example: caur-exec database knows no setting %s", name)
		}
	}
	units, err := filepath.Glob("systemd/*.service")
	if err != nil || len(units) < 3 {
		t.Fatalf("%d units, %v", len(units), err)
	}
	_, program := testenv.Binaries(t)
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`(?m)^ExecStart=/usr/bin/caur-exec (.*)$`).FindSubmatch(text)
		if m == nil {
			t.Errorf("%s starts nothing of ours", unit)
			continue
		}
		args := append(strings.Fields(string(m[1])), "--help")
		if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
			t.Errorf("%s: caur-exec %v: %v\n%s", unit, args, err, out)
		}
	}
}

// A job of the Bash pipelines does just this (executor.md section 7).
func TestTheEntryPointTakesWhatAPipelineOfTheEarlierManagerPasses(t *testing.T) {
	redis := testenv.Redis(t)
	_, program := testenv.Binaries(t)
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, ".ci"), 0o755); err != nil {
		t.Fatal(err)
	}
	params := "PARAMS_SCHEDULE=(--target-repo=my-repo --source-repo=packages)\nREDIS_PORT=6379\n"
	if err := os.WriteFile(filepath.Join(dir, ".ci", "schedule-params.txt"), []byte(params), 0o644); err != nil {
		t.Fatal(err)
	}
	entry, err := filepath.Abs("entry_point.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", `source .ci/schedule-params.txt; "$ENTRY" schedule --commit "$SHA:77" "${PARAMS_SCHEDULE[@]}" yay/3 paru`)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + filepath.Dir(program) + ":" + os.Getenv("PATH"), "ENTRY=" + entry, "REDIS_URL=" + redis.URL, "SHA=" + strings.Repeat("a", 40)}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	snapshot, err := queue.New(redis.Client()).Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	classes := map[string]string{}
	for _, w := range snapshot.Waiting {
		classes[w.Job.ID()] = w.Job.Class
	}
	if len(classes) != 2 || classes["my-repo/x86_64/yay"] != "3" || classes["my-repo/x86_64/paru"] != "1" {
		t.Errorf("in the queue: %v", classes)
	}
}
