package upstream_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/caur-build/caur/cmd/caur-ci/internal/download"
	"github.com/caur-build/caur/cmd/caur-ci/internal/upstream"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/internal/testenv"
)

const keyFile = `[keys]
github = "gh-hush"
"gitlab_gitlab.example" = "gl-hush"
"codeberg.org" = "cb-hush"
`

func page(body string) []testenv.Page { return []testenv.Page{{Body: body, Times: 1}} }

func sent(body, header, value string) []testenv.Page {
	return []testenv.Page{{Body: body, Wants: http.Header{header: {value}}, Times: 1}}
}

func sha(c string) string { return strings.Repeat(c, 40) }

// remote is what git answers in these tests; the real program is asked elsewhere.
func remote(t *testing.T, address string, refs ...git.Ref) func(context.Context, string, ...string) ([]git.Ref, error) {
	return func(_ context.Context, url string, patterns ...string) ([]git.Ref, error) {
		if url != address || len(patterns) != 1 {
			t.Errorf("git was asked for %s %v", url, patterns)
		}
		return refs, nil
	}
}

func newest(t *testing.T, table string, pages map[string][]testenv.Page, refs ...git.Ref) (upstream.Result, error) {
	t.Helper()
	e, err := upstream.ParseEntry("nvchecker.toml", []byte("[pkg]\n"+table), "pkg")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := upstream.ParseKeys(settings.NewSecret(keyFile))
	if err != nil {
		t.Fatal(err)
	}
	address, _ := e.Options["git"].(string)
	for _, forge := range []struct{ key, host string }{{"github", "https://github.com/"}, {"gitea", "https://codeberg.org/"}} {
		if repo, is := e.Options[forge.key].(string); is {
			address = forge.host + repo
		}
	}
	c := &upstream.Checker{
		Web:      download.New(download.Options{Transport: testenv.Hosts(t, pages), Tries: 1}),
		Keys:     keys,
		LsRemote: remote(t, address, refs...),
	}
	return c.Newest(t.Context(), e)
}

func TestEachSourceIsAskedInItsOwnWay(t *testing.T) {
	const gh, gl, cb = "GET https://api.github.com/repos/o/r", "GET https://gitlab.example/api/v4/projects/g%2Fr", "GET https://codeberg.org/api/v1/repos/o/r"
	tags := []git.Ref{{Name: "refs/tags/v1.9", SHA: sha("a")}, {Name: "refs/tags/v1.10", SHA: sha("b")}, {Name: "refs/tags/v1.10^{}", SHA: sha("c")}}
	for name, c := range map[string]struct {
		table string
		pages map[string][]testenv.Page
		refs  []git.Ref
		want  upstream.Result
	}{
		"github release": {
			"source = 'github'\ngithub = 'o/r'\nuse_latest_release = true\nprefix = 'v'",
			map[string][]testenv.Page{gh + "/releases/latest": sent(`{"tag_name":"v1.2","name":"The big one"}`, "Authorization", "token gh-hush")},
			nil, upstream.Result{Version: "1.2"},
		},
		"name of a github release": {
			"source = 'github'\ngithub = 'o/r'\nuse_latest_release = true\nuse_release_name = true",
			map[string][]testenv.Page{gh + "/releases/latest": page(`{"tag_name":"v1.2","name":"1.2.0"}`)},
			nil, upstream.Result{Version: "1.2.0"},
		},
		"highest github release": {
			"source = 'github'\ngithub = 'o/r'\nuse_max_release = true",
			map[string][]testenv.Page{gh + "/releases?per_page=100": page(`[{"tag_name":"1.9"},{"tag_name":"1.10"},{"tag_name":"2.0","prerelease":true},{"tag_name":"3","draft":true}]`)},
			nil, upstream.Result{Version: "1.10"},
		},
		"github tag": {"source = 'github'\ngithub = 'o/r'\nuse_max_tag = true", nil, tags, upstream.Result{Version: "v1.10", Revision: sha("c")}},
		"github commit": {
			"source = 'github'\ngithub = 'o/r'\nbranch = 'dev'\npath = 'a b'",
			map[string][]testenv.Page{gh + "/commits?path=a+b&per_page=1&sha=dev": page(`[{"sha":"` + sha("d") + `","commit":{"committer":{"date":"2025-03-04T05:06:07Z"}}}]`)},
			nil, upstream.Result{Version: "20250304.050607", Revision: sha("d")},
		},
		"gitlab tag": {
			"source = 'gitlab'\nhost = 'gitlab.example'\ngitlab = 'g/r'\nuse_max_tag = true",
			map[string][]testenv.Page{
				gl + "/repository/tags?order_by=version&sort=desc&per_page=100": {{
					Header: http.Header{"Link": {`<https://gitlab.example/api/v4/projects/g%2Fr/repository/tags?page=2>; rel="next", <https://gitlab.example/x>; rel="first"`}},
					Body:   `[{"name":"1.9","commit":{"id":"` + sha("a") + `"}}]`, Wants: http.Header{"Private-Token": {"gl-hush"}},
				}},
				gl + "/repository/tags?page=2": page(`[{"name":"1.10","commit":{"id":"` + sha("b") + `"}}]`),
			},
			nil, upstream.Result{Version: "1.10", Revision: sha("b")},
		},
		"tags of an old gitlab": {
			"source = 'gitlab'\nhost = 'gitlab.example'\ngitlab = 'g/r'\nuse_max_tag = true",
			map[string][]testenv.Page{
				gl + "/repository/tags?order_by=version&sort=desc&per_page=100": {{Status: 400, Times: 1}},
				gl + "/repository/tags?per_page=100":                            page(`[{"name":"1","commit":{"id":"` + sha("b") + `"}}]`),
			},
			nil, upstream.Result{Version: "1", Revision: sha("b")},
		},
		"gitlab commit": {
			"source = 'gitlab'\nhost = 'gitlab.example'\ngitlab = 'g/r'\nbranch = 'x'",
			map[string][]testenv.Page{gl + "/repository/commits?per_page=1&ref_name=x": page(`[{"id":"` + sha("e") + `","created_at":"2025-03-04T05:06:07.000+02:00"}]`)},
			nil, upstream.Result{Version: "20250304", Revision: sha("e")},
		},
		"gitea tag": {"source = 'gitea'\nhost = 'codeberg.org'\ngitea = 'o/r'\nuse_max_tag = true\nprefix = 'v'", nil, tags, upstream.Result{Version: "1.10", Revision: sha("c")}},
		"gitea release": {
			"source = 'gitea'\nhost = 'codeberg.org'\ngitea = 'o/r'\nuse_latest_release = true",
			map[string][]testenv.Page{cb + "/releases?limit=1": sent(`[{"name":"7.0","tag_name":"v7.0"}]`, "Authorization", "token cb-hush")},
			nil, upstream.Result{Version: "7.0"},
		},
		"gitea commit": {
			"source = 'gitea'\nhost = 'codeberg.org'\ngitea = 'o/r'\nbranch = 'x'\nfrom_pattern = '[-:TZ]'\nto_pattern = ''",
			map[string][]testenv.Page{cb + "/commits?limit=1&sha=x": page(`[{"sha":"` + sha("f") + `","commit":{"committer":{"date":"2025-03-04T05:06:07Z"}}}]`)},
			nil, upstream.Result{Version: "20250304050607", Revision: sha("f")},
		},
		"git tag":    {"source = 'git'\ngit = 'https://example.org/r.git'", nil, tags, upstream.Result{Version: "v1.10", Revision: sha("c")}},
		"git commit": {"source = 'git'\ngit = 'https://example.org/r.git'\nuse_commit = true", nil, []git.Ref{{Name: "HEAD", SHA: sha("a")}}, upstream.Result{Version: sha("a"), Revision: sha("a")}},
		"git branch": {"source = 'git'\ngit = 'x'\nuse_commit = true\nbranch = 'b'", nil, []git.Ref{{Name: "refs/heads/b", SHA: sha("a")}}, upstream.Result{Version: sha("a"), Revision: sha("a")}},
		"pypi": {
			"source = 'pypi'\npypi = 'Some.Name'",
			map[string][]testenv.Page{"GET https://pypi.org/pypi/Some.Name/json": page(`{"releases":{"1.9":[{"yanked":false}],"1.10":[],"1.11":[{"yanked":true}],"2.0rc1":[],"2.0.dev1":[],"0.5-hg":[]}}`)},
			nil, upstream.Result{Version: "1.10"},
		},
		"pypi with early versions": {
			"source = 'pypi'\nuse_pre_release = true",
			map[string][]testenv.Page{"GET https://pypi.org/pypi/pkg/json": page(`{"releases":{"1.9":[],"2.0rc1":[]}}`)},
			nil, upstream.Result{Version: "2.0rc1"},
		},
		"npm": {
			"source = 'npm'\nnpm = '@scope/name'",
			map[string][]testenv.Page{"GET https://registry.npmjs.org/-/package/@scope%2Fname/dist-tags": page(`{"latest":"5.0.1","next":"6.0.0"}`)},
			nil, upstream.Result{Version: "5.0.1"},
		},
		"crates": {
			"source = 'cratesio'\ncratesio = 'serde'",
			map[string][]testenv.Page{"GET https://crates.io/api/v1/crates/serde": page(`{"versions":[{"num":"1.0.9"},{"num":"1.0.10"},{"num":"1.0.11","yanked":true},{"num":"2.0.0-rc.1"},{"num":"odd"}]}`)},
			nil, upstream.Result{Version: "1.0.10"},
		},
		"arch": {
			"source = 'archpkg'\narchpkg = 'godot'\nstrip_release = 'true'",
			map[string][]testenv.Page{"GET https://archlinux.org/packages/search/json/?name=godot": page(`{"results":[{"repo":"extra-testing","pkgver":"5","pkgrel":"1"},{"repo":"extra","pkgver":"4.4","pkgrel":"2"}]}`)},
			nil, upstream.Result{Version: "4.4"},
		},
		"provided by arch": {
			"source = 'archpkg'\narchpkg = 'java'\nprovided = 'java-runtime'",
			map[string][]testenv.Page{"GET https://archlinux.org/packages/search/json/?name=java": page(`{"results":[{"repo":"extra","pkgver":"4","pkgrel":"2","provides":["x","java-runtime=21-1"]}]}`)},
			nil, upstream.Result{Version: "21-1"},
		},
		"aur": {
			"source = 'aur'\nstrip_release = true",
			map[string][]testenv.Page{"GET https://aur.archlinux.org/rpc/v5/info?arg[]=pkg": page(`{"results":[{"Name":"pkg","Version":"1:2.0-3"}]}`)},
			nil, upstream.Result{Version: "1:2.0"},
		},
		"page": {
			"source = 'regex'\nurl = 'https://example.org/dl?x=1'\nregex = 'lyx-([0-9.]+).tar'\nuser_agent = 'curl/8'",
			map[string][]testenv.Page{"GET https://example.org/dl?x=1": sent("lyx-2.9.tar lyx-2.10.tar lyx-2.8.tar", "User-Agent", "curl/8")},
			nil, upstream.Result{Version: "2.10"},
		},
		"page in utf-8": {
			"source = 'regex'\nurl = 'https://example.org/'\nregex = 'Größe ([0-9.]+)'\nencoding = 'UTF-8'",
			map[string][]testenv.Page{"GET https://example.org/": page("Größe 3")}, nil, upstream.Result{Version: "3"},
		},
		"header": {
			"source = 'httpheader'\nurl = 'https://example.org/latest'\nregex = 'x-([0-9.]+)'",
			map[string][]testenv.Page{"HEAD https://example.org/latest": {{Status: 302, Header: http.Header{"Location": {"/x-1.5"}}}}},
			nil, upstream.Result{Version: "1.5"},
		},
		"header of another kind": {
			"source = 'httpheader'\nurl = 'https://example.org/latest'\nheader = 'Content-Disposition'\nmethod = 'GET'\nregex = 'x-([0-9.]+)'",
			map[string][]testenv.Page{"GET https://example.org/latest": {{Header: http.Header{"Content-Disposition": {`filename="x-1.5.tar"`}}}}},
			nil, upstream.Result{Version: "1.5."},
		},
		"by hand": {"source = 'manual'\nmanual = ' 3.1 '", nil, nil, upstream.Result{Version: "3.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := newest(t, c.table, c.pages, c.refs...)
			if err != nil || got != c.want {
				t.Errorf("%+v, %v\nwant %+v", got, err, c.want)
			}
		})
	}
}

func TestFaultsAreSaidWithoutSecrets(t *testing.T) {
	const rel = "source = 'github'\ngithub = 'o/r'\nuse_latest_release = true"
	const at = "GET https://api.github.com/repos/o/r/releases/latest"
	for name, c := range map[string]struct {
		table string
		pages map[string][]testenv.Page
		want  string
	}{
		"no release":   {rel, map[string][]testenv.Page{at: {{Status: 404}}}, "there is no release of o/r (https://api.github.com/repos/o/r/releases/latest answers 404 Not Found)"},
		"rate limit":   {rel, map[string][]testenv.Page{at: {{Status: 403, Header: http.Header{"Retry-After": {"3000"}}}}}, "wants to be asked again in 50m0s"},
		"a web page":   {rel, map[string][]testenv.Page{at: page("<html>")}, "something else than the JSON of this API"},
		"other JSON":   {rel, map[string][]testenv.Page{at: page("[1]")}, "something else than the JSON of this API"},
		"empty answer": {rel, map[string][]testenv.Page{at: page("{}")}, "no version is there"},
		"a huge page": {
			"source = 'regex'\nurl = 'https://example.org/?key=hush'\nregex = 'x'",
			map[string][]testenv.Page{"GET https://example.org/?key=hush": page(strings.Repeat("x", 17<<20))}, "https://example.org/: the answer is too large",
		},
		"nothing on the page": {
			"source = 'regex'\nurl = 'https://example.org/?key=hush'\nregex = 'v([0-9]+)'",
			map[string][]testenv.Page{"GET https://example.org/?key=hush": page("nothing")}, "https://example.org/ has nothing that matches regex",
		},
		"two groups": {
			"source = 'regex'\nurl = 'https://example.org/'\nregex = '(a)(b)'",
			map[string][]testenv.Page{"GET https://example.org/": page("ab")}, "more than one group",
		},
		"another scheme":       {"source = 'regex'\nurl = 'file:///etc/passwd'\nregex = 'x'", nil, "no http or https address"},
		"no header":            {"source = 'httpheader'\nurl = 'https://example.org/'\nregex = 'x'", map[string][]testenv.Page{"HEAD https://example.org/": page("")}, "without the header Location"},
		"no project":           {"source = 'pypi'", map[string][]testenv.Page{"GET https://pypi.org/pypi/pkg/json": {{Status: 404}}}, "there is no project pkg"},
		"no package of Arch":   {"source = 'archpkg'", map[string][]testenv.Page{"GET https://archlinux.org/packages/search/json/?name=pkg": page(`{"results":[]}`)}, "there is no package pkg in Arch Linux"},
		"no package of theirs": {"source = 'aur'", map[string][]testenv.Page{"GET https://aur.archlinux.org/rpc/v5/info?arg[]=pkg": page(`{"results":[]}`)}, "the AUR has no package pkg"},
		"no tags":              {"source = 'git'\ngit = 'x'", nil, "no version is there"},
		"no branch":            {"source = 'git'\ngit = 'https://u:hush@h/x'\nuse_commit = true\nbranch = 'b'", nil, "https://h/x has no refs/heads/b"},
		"no repository":        {"source = 'git'", nil, "the option git, which is the address of the repository, is missing"},
		"odd repository":       {"source = 'github'\ngithub = 'o/../r'", nil, "must be OWNER/NAME"},
		"odd host":             {"source = 'gitlab'\ngitlab = 'o/r'\nhost = 'evil.example/x?'", nil, "must be the name of a server"},
		"not a string":         {"source = 'github'\ngithub = 7", nil, "the option github must be a string"},
		"no to_pattern":        {"source = 'manual'\nmanual = '1'\nfrom_pattern = 'x'", nil, "no to_pattern"},
		"no such group":        {"source = 'manual'\nmanual = '1'\nfrom_pattern = 'x'\nto_pattern = '\\2'", nil, `names the group "2"`},
		"nothing left":         {"source = 'manual'\nmanual = 'v'\nprefix = 'v'", nil, "leave nothing"},
		"no version by hand":   {"source = 'manual'", nil, "is missing"},
		"bad method":           {"source = 'httpheader'\nurl = 'https://example.org/'\nregex = 'x'\nmethod = 'DELETE'", nil, "must be HEAD or GET"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newest(t, c.table, c.pages)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("%v\nwant %s", err, c.want)
			}
		})
	}
}

func TestWhatOnlyTheProgramKnowsIsLeftToIt(t *testing.T) {
	for table, want := range map[string]string{
		"source = 'cmd'\ncmd = 'echo 1'": `source "cmd"`,
		"source = 'jq'\nurl = 'x'":       `source "jq"`,
		"":                               `source "none"`,
		"source = 'github'\ngithub = 'o/r'\nuse_latest_tag = true":              "option use_latest_tag of source github",
		"source = 'regex'\nurl = 'x'\nregex = 'a(?=b)'":                         `regular expression regex = "a(?=b)"`,
		"source = 'regex'\nurl = 'x'\nregex = '(a)\\1'":                         "regular expression",
		"source = 'regex'\nurl = 'x'\nregex = '[[:alpha:]]'":                    "regular expression",
		"source = 'regex'\nurl = 'x'\nregex = 'a'\npost_data = 'x'":             "option post_data",
		"source = 'regex'\nurl = 'x'\nregex = 'a'\nencoding = 'koi8-r'":         `encoding = "koi8-r"`,
		"source = 'git'\ngit = 'x'\nsort_version_key = 'awesomeversion'":        "sort_version_key",
		"source = 'git'\ngit = 'x'\nproxy = 'http://p'":                         "option proxy",
		"source = 'git'\ngit = 'x'\nfrom_pattern = 'x*'\nto_pattern = ''":       "matches nothing at all",
		"source = 'git'\ngit = 'x'\nfrom_pattern = 'x'\nto_pattern = '\\\\x41'": `\\`,
	} {
		e, err := upstream.ParseEntry("f", []byte("[pkg]\n"+table), "pkg")
		if err != nil {
			t.Fatal(err)
		}
		err = upstream.Supports(e)
		var no *upstream.UnsupportedError
		if want == `\\` { // an escaped backslash is text
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if !errors.As(err, &no) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", table, err)
		}
	}
}

func TestTheTableOfThePackageIsChosen(t *testing.T) {
	for _, c := range []struct{ text, name, err string }{
		{"[pkg]\nsource='git'", "pkg", ""},
		{"[other]\nsource='git'", "other", ""},
		{"[__config__]\nkeyfile='/etc/shadow'\n[other]\nsource='git'", "other", ""},
		{"[a]\n[b]\n[pkg]", "pkg", ""},
		{"[a]\n[b]", "", "f has 2 tables, none of them called [pkg]"},
		{"", "", "f has 0 tables"},
		{"pkg = 1", "", "is no table"},
		{"[pkg]\nx = ", "", "f:2: "},
		{"[pkg]\nx = 1\nx = 2", "", "f"},
		{"# " + strings.Repeat("x", 300<<10), "", "more than"},
	} {
		e, err := upstream.ParseEntry("f", []byte(c.text), "pkg")
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%.40q: %v", c.text, err)
			}
			continue
		}
		if err != nil || e.Name != c.name || e.Options["keyfile"] != nil {
			t.Errorf("%.40q: %v %v", c.text, e, err)
		}
	}
}

func TestAKeyFileThatCannotBeReadShowsNothing(t *testing.T) {
	for _, text := range []string{"[keys]\ngithub = hush", "[keys]\nhush = 7", "keys = 'hush'"} {
		if _, err := upstream.ParseKeys(settings.NewSecret(text)); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v", text, err)
		}
	}
	keys, err := upstream.ParseKeys(settings.NewSecret(keyFile))
	if err != nil || keys.Hide("a gh-hush b gl-hush") != "a *** b ***" {
		t.Error(err, keys.Hide("a gh-hush b gl-hush"))
	}
}
