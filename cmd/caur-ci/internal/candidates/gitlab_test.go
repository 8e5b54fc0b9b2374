package candidates_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/cmd/caur-ci/internal/download"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/internal/testenv"
)

const (
	oldCommit = "1111111111111111111111111111111111111111"
	newCommit = "2222222222222222222222222222222222222222"
	tagsQuery = "/repository/tags?order_by=version&sort=desc&per_page=100"
)

func recipeOfGitLab(sum string) string {
	return `pkgname=app
pkgver=1.2.0 # by hand
pkgrel=4
arch=(any)
_commit=` + oldCommit + `
source=("app.patch"
  "app-$_commit.tgz::https://gitlab.com/group/app/-/archive/$_commit/app-$_commit.tar.gz")
sha256sums=('SKIP'
  '` + sum + `')
`
}

func tag(name, commit string) string {
	return fmt.Sprintf(`{"name":%q,"commit":{"id":%q,"web_url":"https://gitlab.com/group/app/-/commit/%s"}}`, name, commit, commit)
}

func sha256Of(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func gitlabDraft(t *testing.T, sum, source, body string, more map[string][]testenv.Page) (*candidates.Draft, error) {
	t.Helper()
	pages := map[string][]testenv.Page{"GET https://gitlab.com/api/v4/projects/42" + tagsQuery: {{Body: body, Wants: http.Header{"Private-Token": {"hush"}}, Times: 1}}}
	for address, list := range more {
		pages[address] = list
	}
	files := directory(t, map[string]string{"PKGBUILD": recipeOfGitLab(sum), "app.patch": "x", ".CI/config": "CI_PKGBUILD_SOURCE=" + source})
	f := candidates.NewGitLab(candidates.GitLabOptions{
		Web:   download.New(download.Options{Transport: testenv.Hosts(t, pages), Tries: 2, Sleep: noSleep}),
		Token: settings.NewSecret("hush"), TokenHost: "gitlab.com",
	})
	return asked(t, f, known(t, "app", files))
}

func TestANewTagIsTakenOverWithItsCommitAndChecksum(t *testing.T) {
	archive := "GET https://gitlab.com/group/app/-/archive/" + newCommit + "/app-" + newCommit + ".tar.gz"
	d, err := gitlabDraft(t, sha256Of("old"), "gitlab:42", "["+tag("v1.10.0", newCommit)+","+tag("v1.9.0", oldCommit)+","+tag("odd tag!", oldCommit)+"]",
		map[string][]testenv.Page{archive: {{Body: "new", Times: 1, Wants: http.Header{"Private-Token": {""}}}}})
	if err != nil || reasons(d) != "gitlab: 1.2.0-4 → 1.10.0-1" {
		t.Fatal(err, reasons(d))
	}
	want := strings.NewReplacer("1.2.0", "1.10.0", "pkgrel=4", "pkgrel=1", oldCommit, newCommit, sha256Of("old"), sha256Of("new")).Replace(recipeOfGitLab(sha256Of("old")))
	if diff := cmp.Diff(want, changedText(d, "PKGBUILD")); diff != "" {
		t.Error(diff)
	}
	info := changedText(d, ".SRCINFO")
	for _, line := range []string{"pkgver = 1.10.0", "app-" + newCommit + ".tgz::https://gitlab.com/group/app/-/archive/" + newCommit + "/app-" + newCommit + ".tar.gz", sha256Of("new")} {
		if !strings.Contains(info, line) {
			t.Errorf("no %s in\n%s", line, info)
		}
	}
}

func TestTheSourceIsPointedAtTheCommitHoweverItIsWritten(t *testing.T) {
	const at = "https://gitlab.com/group/app/-/archive/"
	for name, c := range map[string]struct{ source, want string }{
		"a literal":              {"'" + at + "1.2.0/app-1.2.0.tar.bz2'", "'" + at + newCommit + "/app-" + newCommit + ".tar.gz'"},
		"a literal with a name":  {"x.tgz::" + at + oldCommit + "/app.tar.gz", "x.tgz::" + at + newCommit + "/app-" + newCommit + ".tar.gz"},
		"with the version":       {at + "v$pkgver/app-v$pkgver.tar.gz", at + "v$pkgver/app-v$pkgver.tar.gz"},
		"another project's":      {"https://gitlab.com/group/app2/-/archive/1/x.tar.gz", "https://gitlab.com/group/app2/-/archive/1/x.tar.gz"},
		"only the first of them": {at + "1/a.zip " + at + "1/b.zip", at + newCommit + "/app-" + newCommit + ".tar.gz " + at + "1/b.zip"},
	} {
		t.Run(name, func(t *testing.T) {
			recipe := "pkgname=app\npkgver=1.2.0\npkgrel=1\narch=(any)\nsource=(" + c.source + ")\n"
			pages := map[string][]testenv.Page{"GET https://gitlab.com/api/v4/projects/42" + tagsQuery: {{Body: "[" + tag("v1.3.0", newCommit) + "]"}}}
			f := candidates.NewGitLab(candidates.GitLabOptions{Web: download.New(download.Options{Transport: testenv.Hosts(t, pages)})})
			d, err := asked(t, f, known(t, "app", directory(t, map[string]string{"PKGBUILD": recipe, ".CI/config": "CI_PKGBUILD_SOURCE=gitlab:42"})))
			want := "pkgname=app\npkgver=1.3.0\npkgrel=1\narch=(any)\nsource=(" + c.want + ")\n"
			if err != nil || changedText(d, "PKGBUILD") != want {
				t.Errorf("%v\n%s\nwant %s", err, changedText(d, "PKGBUILD"), want)
			}
		})
	}
}

func TestASkippedChecksumStaysSkipped(t *testing.T) {
	d, err := gitlabDraft(t, "SKIP", "gitlab:42", "["+tag("1.3.0", newCommit)+"]", nil)
	if err != nil || !strings.Contains(changedText(d, "PKGBUILD"), "_commit="+newCommit) || strings.Count(changedText(d, "PKGBUILD"), "SKIP") != 2 {
		t.Error(err, changedText(d, "PKGBUILD"))
	}
}

func TestTagsThatChangeNothing(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"the same":         {"[" + tag("1.2.0", oldCommit) + "]", ""},
		"the same with v":  {"[" + tag("v1.2.0", newCommit) + "]", ""},
		"older":            {"[" + tag("1.1.9", newCommit) + "]", "note gitlab: the newest tag 1.1.9 is older than pkgver 1.2.0: nothing is changed"},
		"before a release": {"[" + tag("1.2.0-rc1", newCommit) + "]", "note gitlab: the newest tag 1.2.0-rc1 is older than pkgver 1.2.0: nothing is changed"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := gitlabDraft(t, "SKIP", "gitlab:42", c.body, nil)
			if err != nil || reasons(d) != c.want || d.Changed() != nil {
				t.Error(err, reasons(d))
			}
		})
	}
}

func TestFaultsOfGitLabNameTheProject(t *testing.T) {
	archive := "GET https://gitlab.com/group/app/-/archive/" + newCommit + "/app-" + newCommit + ".tar.gz"
	for name, c := range map[string]struct {
		body, want string
		more       map[string][]testenv.Page
	}{
		"no tags":            {"[]", "none of the 0 tags of gitlab:42 can be a pkgver", nil},
		"no versions":        {"[" + tag("a b", newCommit) + "]", "none of the 1 tags", nil},
		"a web page":         {"<html>", "tags of gitlab:42: https://gitlab.com/api/v4/projects/42/repository/tags answers something else", nil},
		"another host":       {strings.Replace("["+tag("2", newCommit)+"]", "https://gitlab.com/g", "https://evil.example/g", 1), "GitLab names no commit of the tag", nil},
		"no commit":          {"[" + tag("2", "main") + "]", "GitLab names no commit of the tag", nil},
		"no archive":         {"[" + tag("2", newCommit) + "]", "checksum of app-" + newCommit, map[string][]testenv.Page{archive: {{Status: 404}}}},
		"broken archive":     {"[" + tag("2", newCommit) + "]", "unexpected EOF", map[string][]testenv.Page{archive: {{Header: http.Header{"Content-Length": {"99"}}, Body: "half", Times: 2}}}},
		"archive from ftp":   {"[" + tag("2", newCommit) + "]", "is redirected to a ftp address", map[string][]testenv.Page{archive: {{Status: 302, Header: http.Header{"Location": {"ftp://x/"}}}}}},
		"archive over plain": {"[" + tag("2", newCommit) + "]", "from https to http", map[string][]testenv.Page{archive: {{Status: 302, Header: http.Header{"Location": {"http://gitlab.com/x"}}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := gitlabDraft(t, sha256Of("old"), "gitlab:42", c.body, c.more)
			if err == nil || !strings.Contains(err.Error(), c.want) || d.Changed() != nil || strings.Contains(err.Error(), "hush") {
				t.Errorf("%v\nwant %s", err, c.want)
			}
		})
	}
}

func TestTheTokenGoesToItsOwnHostOnly(t *testing.T) {
	for _, host := range []string{"https://git.example", "http://gitlab.com", "https://gitlab.com:8443"} {
		pages := map[string][]testenv.Page{"GET " + host + "/api/v4/projects/group%2Fapp" + tagsQuery: {{Body: "[" + tag("1.2.0", oldCommit) + "]", Wants: http.Header{"Private-Token": {""}}}}}
		files := directory(t, map[string]string{"PKGBUILD": recipeOfGitLab("SKIP"), ".CI/config": "CI_PKGBUILD_SOURCE=gitlab:" + host + "/group/app"})
		f := candidates.NewGitLab(candidates.GitLabOptions{
			Web: download.New(download.Options{Transport: testenv.Hosts(t, pages)}), Token: settings.NewSecret("hush"), TokenHost: "gitlab.com",
		})
		if d, err := asked(t, f, known(t, "app", files)); err != nil || d.Changed() != nil {
			t.Error(err)
		}
	}
}

func TestAPackageWithoutSrcinfoCannotBeCompared(t *testing.T) {
	p := known(t, "app", directory(t, map[string]string{".CI/config": "CI_PKGBUILD_SOURCE=gitlab:42\nCI_NVCHECKER=true"}))
	if _, err := asked(t, candidates.NewGitLab(candidates.GitLabOptions{}), p); err == nil || !strings.Contains(err.Error(), "there is no .SRCINFO") {
		t.Error(err)
	}
}

func TestManyTagsAreReadPageByPage(t *testing.T) {
	first := "https://gitlab.com/api/v4/projects/42/repository/tags"
	pages := map[string][]testenv.Page{}
	address := "GET " + first + "?order_by=version&sort=desc&per_page=100"
	for i := range 4 {
		next := fmt.Sprintf("%s?page=%d", first, i+2)
		page := testenv.Page{Body: "[" + tag(fmt.Sprintf("1.%d", i), newCommit) + "]", Times: 1, Header: http.Header{"Link": {"<" + next + `>; rel="next"`}}}
		if i == 3 {
			page.Header = http.Header{"Link": {`<https://evil.example/next>; rel="next"`}} // would get the token
			page.Body = "[" + tag("1.2.1", newCommit) + "]"
		}
		pages[address] = []testenv.Page{page}
		address = "GET " + next
	}
	files := directory(t, map[string]string{"PKGBUILD": recipeOfGitLab("SKIP"), ".CI/config": "CI_PKGBUILD_SOURCE=gitlab:42"})
	f := candidates.NewGitLab(candidates.GitLabOptions{Web: download.New(download.Options{Transport: testenv.Hosts(t, pages)})})
	d, err := asked(t, f, known(t, "app", files))
	if err != nil || reasons(d) != "gitlab: 1.2.0-4 → 1.2.1-1" {
		t.Error(err, reasons(d))
	}
}

func noSleep(ctx context.Context, _ time.Duration) error { return context.Cause(ctx) }
