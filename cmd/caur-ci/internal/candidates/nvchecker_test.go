package candidates_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/cmd/caur-ci/internal/download"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/pkgdir"
)

const (
	recipeOfNV = "pkgname=app\npkgver=1.0\npkgrel=4\narch=(any)\n"
	configOfNV = "CI_PKGBUILD_SOURCE=custom\nCI_NVCHECKER=true\n"
)

func nvFiles(t *testing.T, table string, more map[string]string) pkgdir.Dir {
	files := map[string]string{"PKGBUILD": recipeOfNV, ".CI/config": configOfNV, ".nvchecker.toml": table}
	maps.Copy(files, more)
	return directory(t, files)
}

func nvSource(t *testing.T, o candidates.NVCheckerOptions) *candidates.NVChecker {
	t.Helper()
	if o.Web == nil {
		o.Web = download.New(download.Options{Tries: 1})
	}
	o.TempDir = t.TempDir()
	n, err := candidates.NewNVChecker(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left, err := os.ReadDir(o.TempDir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	})
	return n
}

// site is a real server on loopback that both the program and we can reach.
func site(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "GET /page":
			_, _ = fmt.Fprint(w, "app-1.9.tar app-1.10.tar app-2.0rc1.tar app-1.10_improved.tar")
		case "HEAD /latest":
			w.Header().Set("Location", "/app-3.1.tar")
			w.WriteHeader(http.StatusFound)
		case "GET /app-1.10.tar":
			_, _ = fmt.Fprint(w, "content")
		case "GET /rate":
			http.Error(w, "slow down", http.StatusTooManyRequests)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func tagged(t *testing.T) (origin, commit string) {
	g := testenv.NewGitRepo(t)
	for _, tag := range []string{"v0.9", "v1.9", "v1.10", "v2.0-rc1", "nightly"} {
		g.Commit(tag)
		g.Git("tag", "-a", "-m", tag, tag)
	}
	return "file://" + g.Origin(), g.Git("rev-parse", "v1.10^{}")
}

func TestTheProgramAndWeFindTheSame(t *testing.T) {
	testenv.Need(t, "nvchecker")
	web := site(t)
	origin, _ := tagged(t)
	for name, c := range map[string]struct{ table, want string }{
		"tags":             {"source='git'\ngit='" + origin + "'\nprefix='v'\ninclude_regex='v[\\d.]+'", "1.10"},
		"all tags":         {"source='git'\ngit='" + origin + "'\nprefix='v'", "2.0rc1"},
		"some left out":    {"source='git'\ngit='" + origin + "'\nprefix='v'\nexclude_regex='.*rc.*'\nignored='v1.10 nightly'", "1.9"},
		"pattern":          {"source='git'\ngit='" + origin + "'\ninclude_regex='v2.*'\nfrom_pattern='v(\\d)\\.(\\d)-(?P<rc>rc\\d)'\nto_pattern='\\1.\\g<2>.\\g<rc>'", "2.0.rc1"},
		"page":             {"source='regex'\nurl='" + web.URL + "/page'\nregex='app-([\\d.]+)\\.tar'", "1.10"},
		"page, whole":      {"source='regex'\nurl='" + web.URL + "/page'\nregex='1\\.\\d+_\\w+(?:d)'\nfrom_pattern='_'\nto_pattern='+'", "1.10+improved"},
		"header":           {"source='httpheader'\nurl='" + web.URL + "/latest'\nregex='app-([\\d.]+)\\.tar'", "3.1"},
		"by hand":          {"source='manual'\nmanual='1.5'", "1.5"},
		"an unknown one":   {"source='manual'\nmanual='1.5'\ninclude_prefix='v'", "1.5"},
		"nothing included": {"source='git'\ngit='" + origin + "'\ninclude_regex='x'", ""},
		"no page":          {"source='regex'\nurl='" + web.URL + "/none'\nregex='x'", ""},
		"rate limit":       {"source='regex'\nurl='" + web.URL + "/rate'\nregex='x'", ""},
		"nothing found":    {"source='regex'\nurl='" + web.URL + "/page'\nregex='other-(.)'", ""},
		"two groups":       {"source='regex'\nurl='" + web.URL + "/page'\nregex='(a)(p)'", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, mode := range []candidates.NVCheckerMode{candidates.NVCheckerNative, candidates.NVCheckerProgram} {
				d, err := asked(t, nvSource(t, candidates.NVCheckerOptions{Mode: mode}), known(t, "app", nvFiles(t, "[other]\n"+c.table, nil)))
				want := "nvchecker: 1.0-4 → " + c.want + "-1"
				if c.want == "" {
					want = ""
				}
				if (err != nil) != (c.want == "") || reasons(d) != want {
					t.Errorf("%s: %v, %q", mode, err, reasons(d))
				}
			}
		})
	}
}

func TestOneRunOfTheProgramForAllPackages(t *testing.T) {
	testenv.Need(t, "nvchecker")
	web := site(t)
	tables := map[string]string{
		"a":    "[a]\nsource='cmd'\ncmd='echo 1.1'",
		"b++":  "[whatever]\nsource='cmd'\ncmd='printenv SECRET_OF_OURS || echo 1.2'",
		"c@1":  "[c]\nsource='regex'\nurl='" + web.URL + "/page'\nregex='app-(?=1)([\\d.]+)\\.tar'",
		"bad":  "[bad]\nsource='cmd'\ncmd='echo no >&2; exit 3'",
		"none": "[none]\nsource='regex'\nurl='" + web.URL + "/none?key=hush'\nregex='(?!x)y'",
		"toml": "[toml\n",
		"page": "[page]\nsource='regex'\nurl='" + web.URL + "/page'\nregex='app-(1[\\d.]+)\\.tar'",
		"comb": "[comb]\nsource='combiner'\nfrom=['a']",
	}
	t.Setenv("SECRET_OF_OURS", "hush")
	source := nvSource(t, candidates.NVCheckerOptions{Review: true, KeyFile: settings.NewSecret("[keys]\ngithub='hush'\n")})
	var packages []*candidates.Package
	for name, table := range tables {
		packages = append(packages, known(t, name, nvFiles(t, table, nil)))
	}
	if err := source.Prepare(t.Context(), packages); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"a": "nvchecker: 1.0-4 → 1.1-1", "b++": "nvchecker: 1.0-4 → 1.2-1", "c@1": "nvchecker: 1.0-4 → 1.10-1", "page": "nvchecker: 1.0-4 → 1.10-1",
		"bad": "nvchecker: command exited with error", "none": "nvchecker: ", "toml": ".nvchecker.toml:1: ", "comb": "source combiner cannot be used",
	}
	for _, p := range packages {
		d := candidates.NewDraft(p)
		err := source.Check(t.Context(), d)
		got := reasons(d)
		if err != nil {
			got = err.Error()
		} else if d.ReviewBecause != "found by nvchecker" {
			t.Errorf("%s needs no review", p.Pkgbase)
		}
		if !strings.Contains(got, want[p.Pkgbase]) || strings.Contains(got, "hush") {
			t.Errorf("%s: %s\nwant %s", p.Pkgbase, got, want[p.Pkgbase])
		}
	}
}

func TestAnUpdateComesWithCommitAndChecksums(t *testing.T) {
	origin, commit := tagged(t)
	web := site(t)
	recipe := recipeOfNV + "_commit=0000000\nsource=(" + web.URL + "/app-$pkgver.tar git+" + origin + "#commit=$_commit)\nsha256sums=(0 SKIP)\n"
	d, err := asked(t, nvSource(t, candidates.NVCheckerOptions{}), known(t, "app", nvFiles(t, "[app]\nsource='git'\ngit='"+origin+"'\ninclude_regex='v1.*'", map[string]string{"PKGBUILD": recipe})))
	if err != nil || d.ReviewBecause != "" {
		t.Fatal(err, d.ReviewBecause)
	}
	want := strings.NewReplacer("pkgver=1.0", "pkgver=1.10", "pkgrel=4", "pkgrel=1", "0000000", commit[:7], "(0 SKIP)", "("+sha256Of("content")+" SKIP)").Replace(recipe)
	if got := changedText(d, "PKGBUILD"); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestAChecksumThatCannotBeMadeLeavesEverything(t *testing.T) {
	recipe := recipeOfNV + "source=(" + site(t).URL + "/none-$pkgver)\nsha256sums=(0)\n"
	d, err := asked(t, nvSource(t, candidates.NVCheckerOptions{Review: true}), known(t, "app", nvFiles(t, "[app]\nsource='manual'\nmanual='2'", map[string]string{"PKGBUILD": recipe})))
	if err == nil || !strings.Contains(err.Error(), "update to 2: checksum of http") || d.Changed() != nil || d.ReviewBecause != "" {
		t.Error(err)
	}
}

func TestVersionsThatChangeNothing(t *testing.T) {
	for table, want := range map[string]string{
		"manual='1.0'":        "",
		"manual='v1.0'":       "",
		"manual='0.9'":        "note nvchecker: the newest version 0.9 is older than pkgver 1.0: nothing is changed",
		"manual='1.0-rc1'":    "note nvchecker: the newest version 1.0rc1 is older than pkgver 1.0: nothing is changed",
		"manual='2:1.0'":      "error: version \"2:1.0\" has characters that a pkgver cannot have (from_pattern and to_pattern can change them)",
		"manual='$(touch x)'": "error: version \"$(touch x)\" has characters",
	} {
		d, err := asked(t, nvSource(t, candidates.NVCheckerOptions{}), known(t, "app", nvFiles(t, "[app]\nsource='manual'\n"+table, nil)))
		got := reasons(d)
		if err != nil {
			got = "error: " + err.Error()
		}
		if !strings.HasPrefix(got, want) || want == "" && got != "" || d.Changed() != nil {
			t.Errorf("%s: %s", table, got)
		}
	}
}

func TestWhatCannotBeCheckedSaysWhy(t *testing.T) {
	cmd := map[string]string{".nvchecker.toml": "[app]\nsource='cmd'\ncmd='touch /never'"}
	for name, c := range map[string]struct {
		o    candidates.NVCheckerOptions
		more map[string]string
		want string
	}{
		"no program":        {candidates.NVCheckerOptions{Program: "/nonexistent"}, cmd, `note nvchecker: .nvchecker.toml is not checked: only the program nvchecker can (source "cmd"), and it is not installed`},
		"program, missing":  {candidates.NVCheckerOptions{Program: "/nonexistent", Mode: candidates.NVCheckerProgram}, nil, "note nvchecker: .nvchecker.toml is not checked: the program nvchecker is not installed"},
		"not to be used":    {candidates.NVCheckerOptions{Mode: candidates.NVCheckerNative}, cmd, `note nvchecker: .nvchecker.toml: only the program nvchecker can check source "cmd", and it is not to be used`},
		"file of the AUR":   {candidates.NVCheckerOptions{}, map[string]string{".CI/config": "CI_PKGBUILD_SOURCE=aur\nCI_NVCHECKER=true", ".nvchecker.toml": cmd[".nvchecker.toml"]}, "note nvchecker: CI_NVCHECKER does nothing here: new versions come from aur (CI_PKGBUILD_SOURCE)"},
		"no file":           {candidates.NVCheckerOptions{}, map[string]string{".nvchecker.toml": "-"}, "there is neither nvchecker.toml nor .nvchecker.toml"},
		"no commit":         {candidates.NVCheckerOptions{}, map[string]string{"PKGBUILD": recipeOfNV + "_commit=1\n"}, "pins _commit, but this check says no commit"},
		"visible file wins": {candidates.NVCheckerOptions{}, map[string]string{"nvchecker.toml": "[a]\nsource='manual'\nmanual='7'"}, "nvchecker: 1.0-4 → 7-1"},
	} {
		t.Run(name, func(t *testing.T) {
			files := nvFiles(t, "[app]\nsource='manual'\nmanual='2'", c.more)
			if c.more[".nvchecker.toml"] == "-" {
				delete(files, ".nvchecker.toml")
			}
			d, err := asked(t, nvSource(t, c.o), known(t, "app", files))
			got := reasons(d)
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}

func TestSettingsOfNVCheckerAreChecked(t *testing.T) {
	for _, o := range []candidates.NVCheckerOptions{{Mode: "both"}, {KeyFile: settings.NewSecret("[keys")}} {
		if _, err := candidates.NewNVChecker(o); err == nil {
			t.Errorf("%+v", o)
		}
	}
}

// program makes a stand-in for the faults that the real one does not have.
func program(t *testing.T, script string) string {
	path := filepath.Join(t.TempDir(), "nvchecker")
	if err := os.WriteFile(path, []byte("#!/bin/bash\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFaultsOfTheProgramBelongToThePackages(t *testing.T) {
	for name, c := range map[string]struct {
		script, want string
		timeout      time.Duration
	}{
		"it hangs":           {"sleep 600 & sleep 600", "nvchecker: ", 300 * time.Millisecond},
		"it crashes":         {"echo Traceback >&2; exit 1", "Traceback", 0},
		"it says nothing":    {"true", "nvchecker says nothing about it", 0},
		"it says too much":   {"head -c 20000000 /dev/zero", "nvchecker: ", 0},
		"it says it wrong":   {`echo '{"name": 7}'; echo '{'; echo '{"name":"other","event":"updated","version":"9"}'`, "nvchecker says nothing about it", 0},
		"it tells a secret":  {`cat "${@: -1}" | tr '\n' ' ' >&2; exit 1`, "***", 0},
		"it has a bad error": {`printf '{"name":"app","level":"error","event":"HTTP 404 https://u:hush@x/y?key=hush \\u001b[31m","error":"%s"}\n' "$(head -c 4000 /dev/zero | tr '\0' e)"`, "HTTP 404 https://x/y  [31m: eee", 0},
	} {
		t.Run(name, func(t *testing.T) {
			source := nvSource(t, candidates.NVCheckerOptions{
				Program: program(t, c.script), Mode: candidates.NVCheckerProgram, Timeout: c.timeout, KeyFile: settings.NewSecret("[keys]\ngithub = 'hush-hush'\n"),
			})
			d, err := asked(t, source, known(t, "app", nvFiles(t, "[app]\nsource='manual'\nmanual='2'", nil)))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush") || d.Changed() != nil || len(err.Error()) > 5_000 {
				t.Errorf("%v\nwant %s", err, c.want)
			}
		})
	}
}

func TestTheProgramGetsItsFilesAndNoSecret(t *testing.T) {
	t.Setenv("ACCESS_TOKEN", "hush")
	check := `set -e
[[ $1 == --logger && $2 == json && $3 == -c && $5 == -k && $# == 6 ]]
[[ $(stat -c %a "$4" "$6" | sort -u) == 600 && $(stat -c %a .) == 700 ]]
! env | grep -q hush; [[ $HOME == "$PWD" ]]; grep -q hush "$6"; ! grep -q hush "$4"; [[ $* != *hush* ]]
grep -qx "http_timeout = 20" "$4"; grep -qx "pypi = 'Old-Name'" "$4"; grep -q "^\[app\]$" "$4"; ! grep -q keyfile "$4"
echo '{"name":"app","event":"updated","version":"2","level":"info"}'`
	source := nvSource(t, candidates.NVCheckerOptions{Program: program(t, check), Mode: candidates.NVCheckerProgram, KeyFile: settings.NewSecret("[keys]\ngithub = 'hush'\n")})
	d, err := asked(t, source, known(t, "app", nvFiles(t, "[__config__]\nkeyfile='/etc/shadow'\n[Old-Name]\nsource='pypi'", nil)))
	if err != nil || reasons(d) != "nvchecker: 1.0-4 → 2-1" {
		t.Error(err, reasons(d))
	}
}

func TestTheProgramRunsOnce(t *testing.T) {
	log := filepath.Join(t.TempDir(), "runs")
	source := nvSource(t, candidates.NVCheckerOptions{Mode: candidates.NVCheckerProgram, Program: program(t, "echo run >>"+log+
		`; for i in $(seq 30); do echo '{"name":"p'$i'","event":"up-to-date","version":"1.0"}'; done`)})
	var packages []*candidates.Package
	for i := range 30 {
		packages = append(packages, known(t, fmt.Sprint("p", i+1), nvFiles(t, "[x]\nsource='manual'\nmanual='2'", nil)))
	}
	if err := source.Prepare(t.Context(), packages); err != nil {
		t.Fatal(err)
	}
	for _, p := range packages {
		if d := candidates.NewDraft(p); source.Check(t.Context(), d) != nil || d.Changed() != nil {
			t.Error(p.Pkgbase)
		}
	}
	if runs, err := os.ReadFile(log); err != nil || string(runs) != "run\n" {
		t.Errorf("%v %q", err, runs)
	}
}
