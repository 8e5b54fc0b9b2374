package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/template"
)

// ciJob is a job of .gitlab-ci.yml. A key that is not here is a fault of the template: GitLab has it under another name.
type ciJob struct {
	Extends     string
	Stage       string
	Image       map[string]any
	Environment struct{ Name, Action string }
	Resource    string `yaml:"resource_group"`
	Interrupt   *bool  `yaml:"interruptible"`
	Retry       int
	Variables   map[string]ciVariable
	Script      []string
	Rules       []struct{ If string }
	Artifacts   struct {
		Paths  []string
		Expire string `yaml:"expire_in"`
	}
}

// ciVariable is a value, or a value that is taken as it is.
type ciVariable struct {
	Value  string
	Expand *bool
}

func (v *ciVariable) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		return node.Decode(&v.Value)
	}
	type plain ciVariable
	return node.Decode((*plain)(v))
}

// gitlabFile reads the pipeline as it is with these inputs, and its jobs with what they extend.
func gitlabFile(t testing.TB, text []byte, inputs map[string]string) (variables map[string]ciVariable, jobs map[string]ciJob) {
	t.Helper()
	head, body, two := bytes.Cut(text, []byte("\n---\n"))
	if !two {
		t.Fatal("no header with the inputs")
	}
	var header struct {
		Spec struct {
			Inputs map[string]any
		}
	}
	if err := yaml.Unmarshal(head, &header); err != nil {
		t.Fatal(err)
	}
	input := regexp.MustCompile(`\$\[\[ inputs\.([a-z_]+) \]\]`)
	for _, m := range input.FindAllSubmatch(text, -1) {
		if header.Spec.Inputs[string(m[1])] == nil {
			t.Errorf("there is no input %s", m[1])
		}
	}
	body = input.ReplaceAllFunc(body, func(m []byte) []byte { return []byte(inputs[string(input.FindSubmatch(m)[1])]) })
	var file map[string]yaml.Node
	if err := yaml.Unmarshal(body, &file); err != nil {
		t.Fatal(err)
	}
	raw := map[string]ciJob{}
	for name, node := range file {
		switch name {
		case "stages", "include":
		case "variables":
			if err := node.Decode(&variables); err != nil {
				t.Error(err)
			}
		default:
			again, err := yaml.Marshal(&node)
			if err != nil {
				t.Fatal(err)
			}
			var job ciJob
			strict := yaml.NewDecoder(bytes.NewReader(again))
			strict.KnownFields(true)
			if err := strict.Decode(&job); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			raw[name] = job
		}
	}
	jobs = map[string]ciJob{}
	for name, job := range raw {
		for from := job.Extends; from != ""; from = raw[from].Extends {
			base, there := raw[from]
			if !there {
				t.Fatalf("%s extends %s, which is not there", name, from)
			}
			if job.Environment.Name == "" {
				job.Environment = base.Environment
			}
			if job.Stage == "" {
				job.Stage = base.Stage
			}
		}
		if !strings.HasPrefix(name, ".") {
			jobs[name] = job
		}
	}
	return variables, jobs
}

// templateFarm is a repository made by init, with two packages, on a GitLab that takes pushes only with its token.
type templateFarm struct {
	*farm
	server string
	host   string // of the container engine
	image  string
	binary string

	container string
}

func newTemplateFarm(t *testing.T, forge string) *templateFarm {
	t.Helper()
	f := &templateFarm{farm: newFarm(t)}
	f.env = map[string]string{}
	read := func() string {
		data, err := os.ReadFile(filepath.Join(f.g.Dir, ".ci", "config"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	config := read()
	f.runIn(f.g.Dir, 0, "init", "--force", "--forge", forge, f.g.Dir)
	if got := read(); got != config {
		t.Fatalf("init --force changed what was there: %q", got)
	}
	f.add("plain", "1.0", "CI_PKGBUILD_SOURCE=custom\n")
	f.add("other", "1.0", "CI_PKGBUILD_SOURCE=custom\n")
	f.database(map[string]string{"plain": "1.0-1", "other": "1.0-1"})
	f.g.Commit("feat: begin")
	f.push()
	f.g.Git("-C", f.origin, "config", "http.receivepack", "true")
	f.server = f.serve()
	f.host, f.image = testenv.Docker(t)
	f.binary, _ = testenv.Binaries(t)
	f.start()
	return f
}

// serve is the git of the forge: everybody may read, who pushes needs the token.
func (f *templateFarm) serve() string {
	backend := testenv.NewGitHTTP(f.t, filepath.Dir(f.origin))
	to, err := url.Parse(backend.URL)
	if err != nil {
		f.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		pushes := strings.HasSuffix(r.URL.Path, "/git-receive-pack") || r.URL.Query().Get("service") == "git-receive-pack"
		if pushes && (user != "oauth2" && user != "x-access-token" || password != f.gitlab.Token) {
			w.Header().Set("WWW-Authenticate", `Basic realm="forge"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	f.t.Cleanup(server.Close)
	return server.URL
}

// project is the path of the repository at the server, as CI_PROJECT_PATH has it.
func (f *templateFarm) project() string {
	return strings.TrimSuffix(filepath.Base(f.origin), ".git")
}

// checkout is what a runner works in.
func (f *templateFarm) checkout() string {
	dir := f.t.TempDir()
	f.g.Git("clone", "-q", "--depth=20", f.server+"/"+filepath.Base(f.origin), dir)
	f.g.Git("-C", dir, "checkout", "-q", "--detach")
	return dir
}

// start makes the container that the jobs run in: it has git, a shell and one program.
func (f *templateFarm) start() {
	f.t.Helper()
	work := filepath.Dir(f.t.TempDir()) // of all checkouts of this test
	f.container = f.docker(nil, "run", "--detach", "--rm", "--init", "--network", "host", "--entrypoint", "", "-v", work+":"+work, "-v", f.dbDir+":"+f.dbDir+":ro",
		"-v", f.binary+":/usr/local/bin/caur-ci:ro", f.image, "sleep", "1000")
	f.t.Cleanup(func() { f.docker(nil, "kill", f.container) })
}

func (f *templateFarm) docker(env map[string]string, args ...string) string {
	f.t.Helper()
	cmd := exec.Command("docker", append([]string{"-H", f.host}, args...)...)
	cmd.Env = os.Environ()
	for key, value := range env {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		f.t.Fatalf("docker %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// job runs a script in a checkout with these variables and no other.
func (f *templateFarm) job(dir, script string, env map[string]string) string {
	f.t.Helper()
	args := []string{"exec", "-w", dir}
	for _, key := range slices.Sorted(maps.Keys(env)) {
		args = append(args, "-e", key)
	}
	return f.docker(env, append(args, f.container, "sh", "-ec", script)...)
}

// sources says where the AUR is.
func (f *templateFarm) sources() map[string]string {
	return map[string]string{
		"CAUR_AUR_URL": strings.TrimSuffix(f.aur.ArchiveURL, "/packages-meta-ext-v1.json.gz"), "CAUR_AUR_MIRROR": f.aur.MirrorURL,
		"CAUR_AUR_GIT_URL": f.aur.GitURL, "CAUR_RETRY_WAIT": "10ms",
	}
}

// gitlabJob runs a job with the variables that GitLab gives it: the secrets are those of its environment.
func (f *templateFarm) gitlabJob(dir, name string, inputs map[string]string) string {
	f.t.Helper()
	variables, jobs := gitlabFile(f.t, []byte(f.at("main", ".gitlab-ci.yml")), inputs)
	job, there := jobs[name]
	if !there {
		f.t.Fatalf("there is no job %s", name)
	}
	env := f.sources()
	for _, set := range []map[string]ciVariable{variables, job.Variables} {
		for key, v := range set {
			env[key] = v.Value
		}
	}
	maps.Copy(env, map[string]string{
		"GITLAB_CI": "true", "CI": "true", "CI_PROJECT_ID": fmt.Sprint(f.gitlab.ProjectID), "CI_API_V4_URL": f.gitlab.URL, "CI_SERVER_URL": f.server,
		"CI_PROJECT_PATH": f.project(), "CI_COMMIT_BRANCH": "main", "CI_DEFAULT_BRANCH": "main", "CI_PIPELINE_ID": "5",
		"CI_COMMIT_SHA": f.g.Git("-C", dir, "rev-parse", "HEAD"), "CI_MERGE_REQUEST_DIFF_BASE_SHA": f.g.Git("-C", dir, "rev-parse", "HEAD"),
	})
	switch job.Environment.Name {
	case "caur-repository":
		env["ACCESS_TOKEN"] = f.gitlab.Token
	case "caur-queue":
		env["REDIS_URL"] = f.redis.URL
	}
	return f.job(dir, strings.Join(job.Script, "\n"), env)
}

func TestTheJobsOfTheGitLabTemplateRunWithOneProgramAndTheirOwnSecrets(t *testing.T) {
	f := newTemplateFarm(t, "gitlab")
	change := func(subject string) {
		f.g.Git("pull", "-q", "--rebase", f.origin, "main")
		f.g.Write("plain/extra.patch", subject)
		f.g.Commit(subject)
		f.g.Git("push", "-q", f.origin, "HEAD:main")
	}
	change("fix(plain): a patch")
	dir := f.checkout()
	f.gitlabJob(dir, "on-commit", nil)
	f.gitlabJob(dir, "do-schedule", nil)
	if got := f.waiting(); len(got) != 1 || got[0] != "plain" {
		t.Errorf("the queue has %q", got)
	}
	f.onAUR("fresh", "3.0", "someone", 500, recipe("fresh", "3.0"))
	f.gitlabJob(f.checkout(), "manual-add", map[string]string{"operation": "Add Packages", "add_packages": "fresh/aur", "request_origin": "github/1", "request_reason": "request"})
	f.gitlabJob(f.checkout(), "manual-bump", map[string]string{"operation": "Bump Packages", "packages": "other/2"})
	f.gitlabJob(f.checkout(), "manual-drop", map[string]string{"operation": "Drop Packages", "packages": "plain"})
	log := f.g.Git("-C", f.origin, "log", "-3", "--format=%s", "main")
	if log != "chore(drop): plain\nchore(bump): other\nfeat(add): fresh" || f.at("main", "fresh/.CI/info") != "REQ_ORIGIN=github/1\nREQ_REASON=request\n" {
		t.Errorf("%s", log)
	}
	dir = f.checkout()
	f.gitlabJob(dir, "on-commit", nil)
	f.gitlabJob(dir, "do-schedule", nil)
	dir = f.checkout()
	f.onAUR("fresh", "3.1", "someone", 5000, recipe("fresh", "3.1"))
	f.gitlabJob(dir, "on-schedule", map[string]string{"operation": "Run Schedule"})
	f.gitlabJob(dir, "do-schedule", map[string]string{"operation": "Run Schedule"})
	if got := f.at("main", "fresh/PKGBUILD"); !strings.Contains(got, "pkgver=3.1") {
		t.Errorf("no update: %s", got)
	}
	f.gitlabJob(dir, "manual-schedule", map[string]string{"operation": "Schedule Packages", "packages": "other:fresh/2"})
	f.gitlabJob(dir, "commit-messages", nil)
	if out := f.job(dir, "git config --list; cat .git/config", nil); strings.Contains(out, "GIT_") || !strings.Contains(out, "include.path=caur-push") {
		t.Errorf("%s", out)
	}
}

func TestTheGitLabTemplateIsValidByGitLabsSchema(t *testing.T) {
	path := filepath.Join("..", "..", "..", "..", ".cache", "schema", "gitlab-ci.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("GitLab's schema is missing (%v): run .ci/setup test, as make test does", err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("ci.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("ci.json")
	if err != nil {
		t.Fatal(err)
	}
	files, err := template.Files(template.GitLab)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := bytes.Cut(files[".gitlab-ci.yml"].Data, []byte("\n---\n"))
	var pipeline map[string]any
	if err := yaml.Unmarshal(body, &pipeline); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(pipeline); err != nil {
		t.Errorf("%v", err)
	}
	pipeline["do-schedule"].(map[string]any)["retry"] = "often"
	if schema.Validate(pipeline) == nil {
		t.Error("the schema accepts anything")
	}
}

func TestEveryJobOfTheGitLabTemplateHasSecretsOfOneKindOnly(t *testing.T) {
	files, err := template.Files(template.GitLab)
	if err != nil {
		t.Fatal(err)
	}
	variables, jobs := gitlabFile(t, files[".gitlab-ci.yml"].Data, nil)
	for key, v := range variables {
		if key != "CAUR_IMAGE" && (v.Expand == nil || *v.Expand) {
			t.Errorf("a variable that somebody types into %s is filled in", key)
		}
	}
	want := map[string]string{
		"on-commit": "caur-repository", "on-schedule": "caur-repository", "manual-schedule": "caur-repository", "manual-bump": "caur-repository",
		"manual-drop": "caur-repository", "manual-add": "caur-repository", "do-schedule": "caur-queue", "commit-messages": "",
	}
	for name, job := range jobs {
		if environment, known := want[name]; !known || environment != job.Environment.Name || !slices.Contains([]string{"process", "schedule"}, job.Stage) {
			t.Errorf("%s: %+v", name, job.Environment)
		}
	}
	if len(jobs) != len(want) {
		t.Errorf("%d jobs", len(jobs))
	}
}

// workflow is a file of .github/workflows, as far as the test runs it. actionlint checks the rest ('make lint').
type workflow struct {
	Jobs map[string]struct {
		Environment string
		Steps       []struct {
			Uses, Run string
			Env       map[string]string
		}
	}
}

func TestTheStepsOfTheGitHubTemplateRun(t *testing.T) {
	f := newTemplateFarm(t, "github")
	if _, err := os.Stat(filepath.Join(f.g.Dir, ".gitlab-ci.yml")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a repository for GitHub has GitLab's file")
	}
	run := func(dir, file, job string, inputs map[string]string) {
		t.Helper()
		var w workflow
		if err := yaml.Unmarshal([]byte(f.at("main", ".github/workflows/"+file)), &w); err != nil {
			t.Fatal(err)
		}
		secrets := map[string]string{}
		switch w.Jobs[job].Environment {
		case "caur-repository":
			secrets["ACCESS_TOKEN"] = f.gitlab.Token
		case "caur-queue":
			secrets["REDIS_URL"] = f.redis.URL
		}
		expression := regexp.MustCompile(`\$\{\{ (secrets|inputs)\.([A-Za-z_]+)(?: \|\| github\.token)? \}\}`)
		for _, step := range w.Jobs[job].Steps {
			if step.Run == "" {
				continue
			}
			env := f.sources()
			maps.Copy(env, map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "o/r", "GITHUB_REF_TYPE": "branch", "GITHUB_REF_NAME": "main", "GITHUB_OUTPUT": "/dev/null"})
			for key, value := range step.Env {
				m := expression.FindStringSubmatch(value)
				if m == nil {
					t.Fatalf("%s: %s is not an expression of this test", file, value)
				}
				env[key] = map[string]map[string]string{"secrets": secrets, "inputs": inputs}[m[1]][m[2]]
			}
			f.job(dir, step.Run, env)
		}
	}
	checkout := func() string { // keeps the token in the clone's settings, as actions/checkout does
		dir := f.checkout()
		f.g.Git("-C", dir, "remote", "set-url", "origin", strings.Replace(f.server, "://", "://x-access-token:"+f.gitlab.Token+"@", 1)+"/"+filepath.Base(f.origin))
		return dir
	}
	dir := checkout()
	run(dir, "caur-manual.yml", "change", map[string]string{"operation": "Bump Packages", "packages": "plain:other"})
	run(dir, "caur-manual.yml", "do-schedule", nil)
	if got := f.waiting(); len(got) != 2 || f.subject() != "Repo Bot chore(bump): other, plain" {
		t.Errorf("%q %s", got, f.subject())
	}
	dir = checkout()
	run(dir, "caur-on-commit.yml", "on-commit", nil)
	run(dir, "caur-on-commit.yml", "do-schedule", nil)
	run(dir, "caur-manual.yml", "change", map[string]string{"operation": "Schedule Packages", "packages": "plain"})
}

func TestInitWritesAllOrNothing(t *testing.T) {
	f := &farm{t: t, env: map[string]string{}}
	dir := filepath.Join(t.TempDir(), "new", "packages")
	_, errOut := f.runIn(".", 0, "init", dir)
	if !strings.Contains(errOut, "next: ") {
		t.Error(errOut)
	}
	got, err := pkgdir.Read(filepath.Join(dir, ".ci"))
	if err != nil || got["caur"].Kind != pkgdir.Executable || !strings.Contains(string(got["config"].Data), "#CI_HUMAN_REVIEW=false") {
		t.Errorf("%v %v", got.Paths(), err)
	}
	if _, errOut := f.runIn(dir, 1, "schedule", "all", "--dry-run"); !strings.Contains(errOut, "has no commit yet") {
		t.Error(errOut)
	}
	if err := os.Remove(filepath.Join(dir, "README.md")); err != nil {
		t.Fatal(err)
	}
	if _, errOut := f.runIn(".", 1, "init", dir); !strings.Contains(errOut, "already; nothing was written") {
		t.Error(errOut)
	}
	if _, err := os.Stat(filepath.Join(dir, "README.md")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("something was written")
	}
	f.runIn(".", 2, "init", "--forge", "other", dir)
}
