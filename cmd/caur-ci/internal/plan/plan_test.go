package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/queue"
	"github.com/caur-build/caur/pkg/srcinfo"
)

const splitSrcinfo = `pkgbase = tools
	pkgver = 1
	pkgrel = 1
	arch = x86_64
	arch = aarch64
	makedepends = git>=2
	depends = glibc
	depends_x86_64 = nasm
	depends_aarch64 = neon
	provides = toolset=1

pkgname = tools
	depends = libtool.so=1-64

pkgname = tools-extra+
	provides = extra@tools=2
	depends = tools
`

func parse(t *testing.T, text string) *srcinfo.Info {
	t.Helper()
	info, _, err := srcinfo.Parse("tools/.SRCINFO", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func options() Options {
	return Options{
		TargetRepo: "target", SourceRepo: "source", Arch: "x86_64", DefaultClass: "5",
		Commit: "abc:42", SourceCommit: "def", ArchMirror: "https://m/$repo/os/$arch",
	}
}

func TestJobCarriesWhatTheQueueNeeds(t *testing.T) {
	p := New("b", options(), []Package{{Pkgbase: "tools", Info: parse(t, splitSrcinfo)}})
	want := []queue.Job{{
		Pkgbase: "tools", TargetRepo: "target", SourceRepo: "source", Arch: "x86_64", Class: "5",
		Pkgnames: []string{"tools", "tools-extra+"}, Provides: []string{"toolset", "extra@tools"},
		Dependencies: []string{"git", "glibc", "nasm", "libtool.so", "tools"},
		Commit:       "abc:42", SourceCommit: "def", ArchMirror: "https://m/$repo/os/$arch",
	}}
	if diff := cmp.Diff(want, p.Jobs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if b := p.QueueBatch(); b.ID != "b" || len(b.Jobs) != 1 || b.Cleanup != nil {
		t.Errorf("batch %+v", b)
	}
}

func TestOtherArchitectureHasItsOwnDependencies(t *testing.T) {
	o := options()
	o.Arch = "aarch64"
	deps := New("b", o, []Package{{Pkgbase: "tools", Info: parse(t, splitSrcinfo)}}).Jobs[0].Dependencies
	if !slices.Contains(deps, "neon") || slices.Contains(deps, "nasm") {
		t.Errorf("dependencies %q", deps)
	}
}

func TestPackageWithoutSrcinfoIsScheduledUnderItsName(t *testing.T) {
	job := New("b", options(), []Package{{Pkgbase: "broken"}}).Jobs[0]
	if !slices.Equal(job.Pkgnames, []string{"broken"}) || job.Dependencies != nil {
		t.Errorf("job %+v", job)
	}
}

func TestClassRule(t *testing.T) {
	tests := []struct{ asked, own, fallback, want string }{
		{"", "", "", "1"},
		{"", "", "5", "5"},
		{"", "3", "5", "3"},
		{"big-box", "3", "5", "big-box"},
		{"7", "", "", "7"},
	}
	for _, tt := range tests {
		o := options()
		o.DefaultClass = tt.fallback
		got := New("b", o, []Package{{Pkgbase: "p", Asked: tt.asked, Class: tt.own}}).Jobs[0].Class
		if got != tt.want {
			t.Errorf("argument %q, package %q, default %q: class %q, want %q", tt.asked, tt.own, tt.fallback, got, tt.want)
		}
	}
}

func TestJobsAreSorted(t *testing.T) {
	p := New("b", options(), []Package{{Pkgbase: "b"}, {Pkgbase: "a"}, {Pkgbase: "B"}})
	if p.Jobs[0].Pkgbase != "B" || p.Jobs[2].Pkgbase != "b" {
		t.Errorf("jobs %+v", p.Jobs)
	}
}

func TestCleanupCarriesEveryPkgbaseThatRemains(t *testing.T) {
	p := New("b", options(), nil)
	if !p.Empty() {
		t.Error("a plan without jobs is empty")
	}
	if err := p.AddCleanup(options(), nil); !errors.Is(err, ErrEmptyCleanup) || p.Cleanup != nil {
		t.Errorf("an empty list: %v, %+v", err, p.Cleanup)
	}
	if err := p.AddCleanup(options(), []string{"b", "a", "b"}); err != nil {
		t.Fatal(err)
	}
	want := &queue.Cleanup{TargetRepo: "target", Arch: "x86_64", Pkgbases: []string{"a", "b"}, Commit: "abc:42"}
	if diff := cmp.Diff(want, p.Cleanup); diff != "" || p.Empty() {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBatchOfACommitRangeIsTheSameEachTime(t *testing.T) {
	base := CommitBatch(options(), "tag", "head")
	if base != CommitBatch(options(), "tag", "head") {
		t.Error("the same range has two names")
	}
	other, arch := options(), options()
	other.TargetRepo, arch.Arch = "elsewhere", "aarch64"
	for _, name := range []string{
		CommitBatch(options(), "", "head"), CommitBatch(options(), "tag", "next"), CommitBatch(other, "tag", "head"), CommitBatch(arch, "tag", "head"),
	} {
		if name == base {
			t.Error("another range, target or architecture has the same name")
		}
	}
	if first, second := HandBatch(), HandBatch(); first == second {
		t.Error("two orders by hand have the same name")
	}
}

func TestMirrorURL(t *testing.T) {
	tests := []struct {
		dbs  []string
		want string
	}{
		{nil, ""},
		{[]string{"https://m.example/core/os/x86_64/core.db", "https://n.example/extra/os/x86_64/extra.db"}, "https://m.example/$repo/os/$arch"},
		{[]string{"https://x/chaotic/x86_64/chaotic.db", "https://m.example/a/b/extra/os/x86_64/extra.db"}, "https://m.example/a/b/$repo/os/$arch"},
		{[]string{"https://m.example/community/os/x86_64/community.db.tar.gz"}, "https://m.example/$repo/os/$arch"},
		{[]string{"https://m.example/core/os/x86_64/extra.db"}, ""},
		{[]string{"https://m.example/multilib/os/x86_64/multilib.db", "core"}, ""},
	}
	for _, tt := range tests {
		if got := MirrorURL(tt.dbs); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.dbs, got, tt.want)
		}
	}
}

func TestMissesArch(t *testing.T) {
	with := func(arches ...string) *srcinfo.Info { return &srcinfo.Info{Arch: arches} }
	for _, tt := range []struct {
		info *srcinfo.Info
		want bool
	}{{nil, false}, {with(), false}, {with("any"), false}, {with("i686", "x86_64"), false}, {with("aarch64"), true}} {
		if MissesArch(tt.info, "x86_64") != tt.want {
			t.Errorf("%+v: want %v", tt.info, tt.want)
		}
	}
}

func TestPackageArguments(t *testing.T) {
	tests := []struct {
		args []string
		want []Request
		err  string
	}{
		{[]string{"paru", "gtk+/7", "a@b/big-box", "lib.so"}, []Request{{"paru", ""}, {"gtk+", "7"}, {"a@b", "big-box"}, {"lib.so", ""}}, ""},
		{[]string{"a:b/2,c d\n e"}, []Request{{"a", ""}, {"b", "2"}, {"c", ""}, {"d", ""}, {"e", ""}}, ""},
		{[]string{" ", "", ",:"}, nil, ""},
		{[]string{"paru/"}, []Request{{"paru", ""}}, ""},
		{[]string{"a", "a/3", "a"}, []Request{{"a", "3"}}, ""},
		{[]string{"a/2", "a/3"}, nil, "class 2 and with class 3"},
		{[]string{"-rf"}, nil, "is no package"},
		{[]string{"../etc"}, nil, "is no package"},
		{[]string{"a/b/c"}, nil, "asks for the class"},
		{[]string{"a/$x"}, nil, "asks for the class"},
	}
	for _, tt := range tests {
		got, err := ParseRequests(tt.args)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.args, diff)
		}
		if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: error %v, want %q", tt.args, err, tt.err)
		}
	}
}

func fullPlan(t *testing.T) *Plan {
	t.Helper()
	p := New("on-commit-1", options(), []Package{{Pkgbase: "tools", Info: parse(t, splitSrcinfo)}, {Pkgbase: "b"}})
	if err := p.AddCleanup(options(), []string{"tools", "b"}); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlanFileRoundTrip(t *testing.T) {
	for name, p := range map[string]*Plan{"full": fullPlan(t), "empty": New("x", options(), nil)} {
		file := filepath.Join(t.TempDir(), "new", "plan.json")
		if err := p.Write(file); err != nil {
			t.Fatal(err)
		}
		got, err := Read(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
			t.Errorf("%s: leftovers %v, error %v", name, entries, err)
		}
	}
}

func TestPlanFileIsTheSameForTheSamePlan(t *testing.T) {
	a, errA := fullPlan(t).Bytes()
	b, errB := fullPlan(t).Bytes()
	if !bytes.Equal(a, b) || errA != nil || errB != nil {
		t.Errorf("%s\n%s %v %v", a, b, errA, errB)
	}
}

func TestPlanFilesThatAreRefused(t *testing.T) {
	good, err := fullPlan(t).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, replacement string) []byte {
		out := strings.Replace(string(good), old, replacement, 1)
		if out == string(good) {
			t.Fatalf("%q is not in %s", old, good)
		}
		return []byte(out)
	}
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"another version", change(`"version": 1`, `"version": 2`), "version 2, and this caur-ci reads version 1: use the same release"},
		{"an unknown field", change(`"batch"`, `"priority": 3, "batch"`), `unknown field "priority"`},
		{"an unknown field of a job", change(`"arch"`, `"nice": 3, "arch"`), `unknown field "nice"`},
		{"no version", []byte(`{"jobs": []}`), "no version"},
		{"no JSON", []byte("declare -a X\n"), "line 1"},
		{"cut off", good[:len(good)/2], "unexpected end"},
		{"a wrong type", change(`"batch": "on-commit-1"`, "\n\"batch\": 7"), "line 4"},
		{"an empty file", nil, "is no plan"},
		{"text after it", append(slices.Clone(good), "{}"...), "after top-level value"},
		{"no batch id", change(`"batch": "on-commit-1"`, `"batch": ""`), "no batch id"},
		{"an illegal pkgbase", change(`"pkgbase": "tools"`, `"pkgbase": "../x"`), `jobs[1]: "../x" is no package name`},
		{"a clean-up that would empty the repo", change("\"pkgbases\": [\n      \"b\",\n      \"tools\"\n    ]", `"pkgbases": []`), "would empty the target repo"},
		{"an illegal pkgbase to keep", change("\"pkgbases\": [\n      \"b\"", "\"pkgbases\": [\n      \"-b\""), `cleanup.pkgbases[0]: "-b"`},
		{"a clean-up without limits", change(`"cleanup": {`, `"cleanup": {"force": true,`), "cannot lift the limits"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Parse("plan.json", tt.data)
			if p != nil || err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "plan.json") {
				t.Errorf("plan %v, error %v; want %q", p, err, tt.want)
			}
		})
	}
	var version *VersionError
	if _, err := Parse("p", change(`"version": 1`, `"version": 2`)); !errors.As(err, &version) || version.Version != 2 {
		t.Errorf("error %v", err)
	}
	if _, err := Read(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
}

func TestPlanThatCannotBeWrittenLeavesTheOldOne(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plan.json")
	if err := os.Mkdir(file, 0o755); err != nil { // a directory cannot be replaced by a file
		t.Fatal(err)
	}
	err := fullPlan(t).Write(file)
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v", err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(file)); len(entries) != 1 {
		t.Errorf("leftovers %v", entries)
	}
}

func FuzzParse(f *testing.F) {
	data, err := json.Marshal(New("b", options(), []Package{{Pkgbase: "a"}}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1,"batch":"x","jobs":null,"cleanup":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse("f", data)
		if err != nil {
			return
		}
		again, err := p.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse("f", again); err != nil {
			t.Errorf("%s is read, but %s is not: %v", data, again, err)
		}
	})
}

// sourced gives the variables as a program sees them that bash starts after it has sourced the file.
func sourced(t *testing.T, file string) (exported map[string]string, schedule, remove []string) {
	t.Helper()
	testenv.Need(t, "bash")
	script := `set -euo pipefail; source "$1"; env -0; printf '===\0'
		[[ -v PARAMS_SCHEDULE ]] && printf '%s\0' "${PARAMS_SCHEDULE[@]}"; printf '===\0'
		[[ -v PARAMS_AUTOREPOREMOVE ]] && printf '%s\0' "${PARAMS_AUTOREPOREMOVE[@]}"; printf '===\0'`
	cmd := exec.Command("bash", "-c", script, "bash", file)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("bash: %v\n%s", err, out)
	}
	parts := strings.Split(string(out), "===\x00")
	list := func(s string) []string {
		if s == "" {
			return nil
		}
		return strings.Split(strings.TrimSuffix(s, "\x00"), "\x00")
	}
	exported = map[string]string{}
	for _, line := range list(parts[0]) {
		key, value, _ := strings.Cut(line, "=")
		exported[key] = value
	}
	return exported, list(parts[1]), list(parts[2])
}

func legacy() Legacy {
	return Legacy{SSHHost: "redis.example.org", SSHPort: "270", SSHUser: "deployer", RedisPort: "6379", Tree: "tools:tools,x:git;b:b:", WithCommit: true}
}

func TestLegacyParametersAsTheManagerGetsThem(t *testing.T) {
	file := filepath.Join(t.TempDir(), ".ci", "schedule-params.txt")
	if err := fullPlan(t).WriteLegacy(file, legacy()); err != nil {
		t.Fatal(err)
	}
	exported, schedule, remove := sourced(t, file)
	for key, want := range map[string]string{"REDIS_SSH_HOST": "redis.example.org", "REDIS_SSH_PORT": "270", "REDIS_SSH_USER": "deployer", "REDIS_PORT": "6379"} {
		if exported[key] != want {
			t.Errorf("%s is %q, want %q", key, exported[key], want)
		}
	}
	wantSchedule := []string{"schedule", "--target-repo=target", "--source-repo=source", "--commit", "abc:42",
		"--arch-mirror=https://m/$repo/os/$arch", "b/5", "tools/5"}
	if diff := cmp.Diff(wantSchedule, schedule); diff != "" {
		t.Errorf("PARAMS_SCHEDULE (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"auto-repo-remove", "--target-repo=target", "--commit", "abc:42", "b", "tools"}, remove); diff != "" {
		t.Errorf("PARAMS_AUTOREPOREMOVE (-want +got):\n%s", diff)
	}
	tree, err := os.ReadFile(filepath.Join(filepath.Dir(file), "deptree.txt"))
	if err != nil || string(tree) != legacy().Tree+"\n" {
		t.Errorf("tree %q, error %v", tree, err)
	}
}

func TestLegacyVariants(t *testing.T) {
	file := filepath.Join(t.TempDir(), "params.txt")
	o := options()
	o.Arch, o.ArchMirror = "aarch64", ""
	l := legacy()
	l.WithCommit = false
	if err := New("b", o, []Package{{Pkgbase: "a", Asked: "box"}}).WriteLegacy(file, l); err != nil {
		t.Fatal(err)
	}
	_, schedule, remove := sourced(t, file)
	want := []string{"schedule", "--arch=aarch64", "--target-repo=target", "--source-repo=source", "a/box"}
	if diff := cmp.Diff(want, schedule); diff != "" || remove != nil {
		t.Errorf("no GitLab, no mirror, another architecture: remove %q (-want +got):\n%s", remove, diff)
	}
	if err := New("b", o, nil).WriteLegacy(file, l); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty plan leaves the parameters of an earlier run: %v", err)
	}
	if err := New("b", o, nil).WriteLegacy(file, l); err != nil {
		t.Errorf("an empty plan where there are no parameters: %v", err)
	}
}

// Whatever a value holds, bash reads the same value back and runs nothing.
func TestBashReadsBackWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	check := func(t *rapid.T, values []string) {
		file := filepath.Join(dir, "params")
		var b strings.Builder
		bashArray(&b, "PARAMS_SCHEDULE", values)
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("bash", "-c", `source "$1"; printf '%s\0' "${PARAMS_SCHEDULE[@]}"`, "bash", file)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
		out, err := cmd.CombinedOutput()
		if want := strings.Join(values, "\x00") + "\x00"; err != nil || string(out) != want {
			t.Fatalf("%q comes back as %q, error %v", want, out, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.SampledFrom([]rune("ab $`\\\"'!(){}[]*?~#&;|<>\n\t\x01\x7fé€=:/-")))
		check(t, rapid.SliceOfN(text, 1, 6).Draw(t, "values"))
	})
}

func TestNULCannotBeWrittenForBash(t *testing.T) {
	l := legacy()
	l.SSHHost = "a\x00b"
	file := filepath.Join(t.TempDir(), "params.txt")
	if err := fullPlan(t).WriteLegacy(file, l); err == nil || !strings.Contains(err.Error(), "NUL") {
		t.Errorf("error %v", err)
	}
}

func BenchmarkWriteAndReadOf2500Jobs(b *testing.B) {
	packages := make([]Package, 2500)
	for i := range packages {
		packages[i].Pkgbase = "package-" + strings.Repeat("x", i%30)
	}
	p := New("b", options(), packages)
	file := filepath.Join(b.TempDir(), "plan.json")
	for b.Loop() {
		if err := p.Write(file); err != nil {
			b.Fatal(err)
		}
		if _, err := Read(file); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAPlanDoesNotReplaceADeviceOrAPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan []byte)
	go func() {
		data, _ := os.ReadFile(pipe)
		read <- data
	}()
	p := New("b", Options{}, nil)
	if err := p.Write(pipe); err != nil {
		t.Fatal(err)
	}
	if want, _ := p.Bytes(); !bytes.Equal(want, <-read) {
		t.Error("the reader of the pipe got something else")
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("the pipe became %v %v", info.Mode(), err)
	}
	full := filepath.Join(t.TempDir(), "full")
	if err := os.Symlink("/dev/full", full); err != nil {
		t.Fatal(err)
	}
	if err := p.Write(full); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
}
