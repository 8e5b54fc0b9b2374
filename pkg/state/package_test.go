package state_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caur-build/caur/internal/conf"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/srcinfo"
	"github.com/caur-build/caur/pkg/state"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var regexps = cmp.Comparer(func(a, b *regexp.Regexp) bool { return a.String() == b.String() })

func TestPackageConfigReadsEveryKey(t *testing.T) {
	const file = `CI_PKGBUILD_SOURCE=aur
CI_MANAGE_AUR=true
CI_PACKAGE_BUMP=1:1.2-3/4
CI_ON_TRIGGER=daily
CI_FORCE_VCS=true
CI_REBUILD_TRIGGERS=boost:icu
CI_NVCHECKER=true
CI_PKGBUILD_CHANGE_ALLOW_REGEX=^source[^)]*https://example\.org/;;^_date=[0-9]+$
BUILDER_CACHE_SOURCES=true
BUILDER_EXTRA_TIMEOUT=2.5
BUILDER_CLASS=catbuilder
BUILDER_ALLOW_PROHIBITED=true
BUILDER_PRIVILEGES=sudo SYS_ADMIN,MKNOD
CI_PATCH_OPTIONAL=true
CI_BUILD_NETWORK=none
`
	got, problems, err := state.ParsePackageConfig("p/.CI/config", []byte(file))
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v, %v", problems, err)
	}
	want := &state.PackageConfig{
		Source: state.Source{Kind: state.SourceAUR}, ManageAUR: true, Bump: srcinfo.Bump{Version: "1:1.2-3", N: 4}, OnTrigger: "daily",
		ForceVCS: true, RebuildTriggers: []string{"boost", "icu"}, NVChecker: true,
		AllowRegex:   []*regexp.Regexp{regexp.MustCompile(`^source[^)]*https://example\.org/`), regexp.MustCompile(`^_date=[0-9]+$`)},
		CacheSources: true, ExtraTimeout: 2.5, Class: "catbuilder", AllowProhibited: true,
		Privileges: []string{"sudo", "SYS_ADMIN", "MKNOD"}, PatchOptional: true, BuildNetwork: "none",
	}
	if diff := cmp.Diff(want, got, regexps); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, key := range state.PackageKeys() {
		if !strings.Contains("\n"+file, "\n"+key.Name+"=") {
			t.Errorf("the test does not set %s", key.Name)
		}
	}
}

func TestPackageConfigHasDefaults(t *testing.T) {
	got, problems, err := state.ParsePackageConfig("p/.CI/config", nil)
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v, %v", problems, err)
	}
	if diff := cmp.Diff(&state.PackageConfig{ExtraTimeout: 1}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPackageConfigListsEveryWrongValue(t *testing.T) {
	_, problems, err := state.ParsePackageConfig("p/.CI/config", []byte(`CI_PKGBUILD_SOURCE=AUR
CI_PACKAGE_BUMP=1.0-1/x
CI_PKGBUILD_CHANGE_ALLOW_REGEX=ok;(
BUILDER_EXTRA_TIMEOUT=0
BUILDER_CLASS=a b
BUILDER_PRIVILEGES=root
CI_BUILD_NETWORK=host
CI_NVCHECKER=on
CI_PKGBUILD_TIMESTAMP=1
CI_LIB_DB=x
CI_PKGBUILD_BUMP=1
`))
	if err == nil {
		t.Fatal("no error")
	}
	want := []string{
		`p/.CI/config:1: CI_PKGBUILD_SOURCE: "AUR" must be aur, custom, gitlab:PROJECT or a git URL`,
		`p/.CI/config:2: CI_PACKAGE_BUMP: "1.0-1/x" must end with a whole number`,
		`p/.CI/config:3: CI_PKGBUILD_CHANGE_ALLOW_REGEX: "ok;(" must be regular expressions`,
		`p/.CI/config:4: BUILDER_EXTRA_TIMEOUT: "0" must be a number above 0`,
		`p/.CI/config:5: BUILDER_CLASS: "a b" must be a number or the name of a builder`,
		`p/.CI/config:6: BUILDER_PRIVILEGES: "root" must be sudo or names of capabilities`,
		`p/.CI/config:7: CI_BUILD_NETWORK: "host" must be none or default`,
		`p/.CI/config:8: CI_NVCHECKER: "on" must be true or false`,
	}
	got := strings.Split(err.Error(), "\n")
	for i := range want {
		if i >= len(got) || !strings.HasPrefix(got[i], want[i]) {
			t.Fatalf("got\n%s\nwant\n%s", err, strings.Join(want, "\n"))
		}
	}
	remarks := []string{
		"p/.CI/config:9: CI_PKGBUILD_TIMESTAMP: unknown key: it belongs on the state branch",
		"p/.CI/config:10: CI_LIB_DB: unknown key: it belongs into .ci/config",
		"p/.CI/config:11: CI_PKGBUILD_BUMP: unknown key", // no known key is near
	}
	if diff := cmp.Diff(remarks, messages(problems)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBuildChangedIgnoresWhatOnlySteersUpdates(t *testing.T) {
	const plain = "CI_PKGBUILD_SOURCE=aur\nBUILDER_CLASS=2\n"
	for _, tc := range []struct {
		name         string
		older, newer string
		want         bool
	}{
		{"nothing", plain, plain, false},
		{"comments, order, quotes, line endings", plain, "# c\r\nBUILDER_CLASS='2'\r\nCI_PKGBUILD_SOURCE = aur\r\n", false},
		{"another source of updates", plain, "CI_PKGBUILD_SOURCE=custom\nBUILDER_CLASS=2\n", false},
		{"keys that steer come and go", plain, "BUILDER_CLASS=2\nCI_ON_TRIGGER=daily\nCI_REBUILD_TRIGGERS=a\nCI_NVCHECKER=true\nCI_FORCE_VCS=true\nCI_MANAGE_AUR=true\nCI_PKGBUILD_CHANGE_ALLOW_REGEX=x\n", false},
		{"state in a file of the older kind", plain, plain + "CI_GIT_COMMIT=abc\nCI_PKGBUILD_TIMESTAMP=1\n", false},
		{"another class", plain, "CI_PKGBUILD_SOURCE=aur\nBUILDER_CLASS=3\n", true},
		{"a bump", plain, plain + "CI_PACKAGE_BUMP=1-1/1\n", true},
		{"a key of the builder is gone", plain, "CI_PKGBUILD_SOURCE=aur\n", true},
		{"the file is gone", plain, "", true},
		{"a new file that only steers", "", "CI_PKGBUILD_SOURCE=aur\n", false},
		{"an unknown key may matter to an executor", plain, plain + "BUILDER_NEW=1\n", true},
		{"the last occurrence counts", plain, "BUILDER_CLASS=9\n" + plain, false},
	} {
		if got := state.BuildChanged([]byte(tc.older), []byte(tc.newer)); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
		if got := state.BuildChanged([]byte(tc.newer), []byte(tc.older)); got != tc.want {
			t.Errorf("%s, the other way: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestParseSource(t *testing.T) {
	const gitLab = "https://gitlab.com"
	for text, want := range map[string]state.Source{
		"":                                  {},
		"aur":                               {Kind: state.SourceAUR},
		"custom":                            {Kind: state.SourceCustom},
		"gitlab:12345":                      {Kind: state.SourceGitLab, Project: "12345", Host: gitLab},
		"gitlab:group/sub.group/project_1":  {Kind: state.SourceGitLab, Project: "group/sub.group/project_1", Host: gitLab},
		"gitlab:https://git.example.org/77": {Kind: state.SourceGitLab, Project: "77", Host: "https://git.example.org"},
		"gitlab:http://127.0.0.1:8080/g/p":  {Kind: state.SourceGitLab, Project: "g/p", Host: "http://127.0.0.1:8080"},
		"https://aur.archlinux.org/a.git":   {Kind: state.SourceGit, URL: "https://aur.archlinux.org/a.git"},
		"http://127.0.0.1:8080/a":           {Kind: state.SourceGit, URL: "http://127.0.0.1:8080/a"},
		"ssh://git@example.org:2222/a.git":  {Kind: state.SourceGit, URL: "ssh://git@example.org:2222/a.git"},
		"git://example.org/a":               {Kind: state.SourceGit, URL: "git://example.org/a"},
		"file:///srv/a.git":                 {Kind: state.SourceGit, URL: "file:///srv/a.git"},
		"git@example.org:group/a.git":       {Kind: state.SourceGit, URL: "git@example.org:group/a.git"},
	} {
		got, err := state.ParseSource(text)
		if err != nil || got != want {
			t.Errorf("ParseSource(%q) = %+v, %v", text, got, err)
		}
		if got.String() != text {
			t.Errorf("String() of %q = %q", text, got.String())
		}
	}
	for _, text := range []string{
		"AUR", "aur ", "a", "gitlab", "gitlab:", "gitlab:project", "gitlab:../../x", "gitlab:1/../2", "gitlab:a/../b", "gitlab:https:///1", "gitlab:https://h/",
		"gitlab:https://u:p@h/1", "gitlab:ftp://h/1", "gitlab:https://h/1?x", "gitlab:a b", "ext::sh -c id", "ext::id", "-u", "--upload-pack=x",
		"ssh://-oProxyCommand=id/x", "ssh://-oX@h/x", "-oX@h:x", "git@h:-x", "/srv/a.git", "./a", "https://", "https://host", "https://host/", "ftp://h/a",
		"https://h/a b", "https://h/a\nb", "file://host/a", "fd::17", "http://h/%zz",
	} {
		if got, err := state.ParseSource(text); err == nil {
			t.Errorf("ParseSource(%q) = %+v, want an error", text, got)
		}
	}
}

func FuzzParseSource(f *testing.F) {
	for _, seed := range []string{"aur", "gitlab:1", "gitlab:https://h/1", "https://h/a.git", "git@h:a", "ext::id", "-x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := state.ParseSource(text)
		if err != nil {
			return
		}
		if strings.HasPrefix(s.URL, "-") || strings.Contains(s.URL, "::") && !strings.Contains(s.URL, "://") && !strings.Contains(s.URL, "@") || strings.Contains(s.Project, "..") && strings.Contains(s.Project, "/../") {
			t.Fatalf("%q is let through as %+v", text, s)
		}
		if again, err := state.ParseSource(s.String()); err != nil || again != s {
			t.Fatalf("%q is %+v, written %q, read %+v, %v", text, s, s, again, err)
		}
	})
}

// configs are the .CI/config files of the corpus by package.
func configs(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(testenv.Corpus(t), "*", ".CI", "config"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("the corpus has %d configs: %v", len(paths), err)
	}
	files := make(map[string][]byte, len(paths))
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(filepath.Dir(filepath.Dir(path)))] = data
	}
	return files
}

func TestCorpusConfigsAreUnderstoodAndRewritten(t *testing.T) {
	bumps := 0
	for pkgbase, data := range configs(t) {
		name := pkgbase + "/.CI/config"
		c, problems, err := state.ParsePackageConfig(name, data)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, p := range problems {
			t.Error(p)
		}
		file := conf.Parse(name, data)
		if string(file.Bytes()) != string(data) {
			t.Errorf("%s does not survive a read and a write", name)
		}
		if value, ok := file.Get("CI_PACKAGE_BUMP"); ok {
			bumps++
			if c.Bump.String() != value {
				t.Errorf("%s: bump %s is written %s", name, value, c.Bump)
			}
			file.Set("CI_PACKAGE_BUMP", "1-1/1")
			if len(file.Bytes()) != len(data)-len(value)+len("1-1/1") {
				t.Errorf("%s: a new bump changes more than its line", name)
			}
		}
		if value, ok := file.Get("CI_PKGBUILD_SOURCE"); ok && c.Source.String() != value {
			t.Errorf("%s: source %s is written %s", name, value, c.Source)
		}
	}
	t.Logf("%d bumps", bumps)
}

func BenchmarkParsePackageConfigs(b *testing.B) {
	files := configs(b)
	b.ReportAllocs()
	for b.Loop() {
		for name, data := range files {
			if _, _, err := state.ParsePackageConfig(name, data); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func FuzzParsePackageConfig(f *testing.F) {
	f.Add([]byte("CI_PKGBUILD_SOURCE=aur\nCI_PACKAGE_BUMP=1-1/1\nBUILDER_CLASS=9\nCI_PKGBUILD_CHANGE_ALLOW_REGEX=a;b\n"), []byte("BUILDER_EXTRA_TIMEOUT=1e3\n"))
	f.Fuzz(func(t *testing.T, older, newer []byte) {
		c, _, err := state.ParsePackageConfig("f", older)
		if (c == nil) == (err == nil) {
			t.Fatalf("config %v, error %v", c, err)
		}
		d, _, err := state.ParsePackageConfig("f", newer)
		if state.BuildChanged(older, newer) != state.BuildChanged(newer, older) {
			t.Fatal("BuildChanged depends on the direction")
		}
		if err != nil || c == nil || state.BuildChanged(older, newer) {
			return
		}
		steering := cmpopts.IgnoreFields(state.PackageConfig{}, "Source", "ManageAUR", "OnTrigger", "ForceVCS", "RebuildTriggers", "NVChecker", "AllowRegex")
		if diff := cmp.Diff(c, d, steering, regexps); diff != "" {
			t.Fatalf("nothing relevant changed, yet (-old +new):\n%s", diff)
		}
	})
}
