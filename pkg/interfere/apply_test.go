package interfere_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caur-build/caur/pkg/interfere"
)

const plain = "pkgname=a\npkgver=1.2\npkgrel=1\narch=(any)\npackage() { :; }\n"

// pkgDir writes a package directory; keys are paths in it.
func pkgDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a")
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func readPKGBUILD(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "PKGBUILD"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func names(r interfere.Report) string {
	var out []string
	for _, s := range r.Applied {
		out = append(out, s.Name)
	}
	return strings.Join(out, ",")
}

// bash runs the script that Apply hands out as the container does.
func bash(t *testing.T, dir string) func(context.Context, string) (int, error) {
	return func(ctx context.Context, script string) (int, error) {
		cmd := exec.CommandContext(ctx, "bash", "-c", script)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		t.Logf("prepare: %s", out)
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return exit.ExitCode(), nil
		}
		return 0, err
	}
}

func TestApplyMakesEveryChangeInTheOrderOfTheSpecification(t *testing.T) {
	dir := pkgDir(t, map[string]string{
		"PKGBUILD":             "pkgname=a\npkgver=1.2\npkgrel=1\nCFLAGS='-O2 -march=native'\n\n\n",
		"other.txt":            "old\n",
		".CI/config":           "CI_PACKAGE_BUMP=1.2-1/4\n",
		".CI/prepare":          "sed -i s/pkgname=a/pkgname=b/ PKGBUILD\n",
		".CI/PKGBUILD.prepend": "_before=1",
		".CI/PKGBUILD.append":  "_after=1",
		".CI/interfere.patch": "--- a/PKGBUILD\n+++ b/PKGBUILD\n@@ -1,3 +1,3 @@\n-pkgname=b\n+pkgname=c\n pkgver=1.2\n pkgrel=1\n" +
			"--- a/other.txt\n+++ b/other.txt\n@@ -1 +1 @@\n-old\n+new\n",
	})
	var order []string
	report, err := interfere.Apply(t.Context(), interfere.Options{
		Dir: dir, Pkgbase: "a-git",
		Update: func(_ context.Context, implied []string) error {
			order = append(order, "update "+strings.Join(implied, " "))
			return nil
		},
		RunPrepare: func(ctx context.Context, script string) (int, error) {
			order = append(order, "prepare")
			return bash(t, dir)(ctx, script)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, ";"); got != "update git;prepare" {
		t.Errorf("callbacks: %s", got)
	}
	want := "implied packages,generic,generic,prepare,interfere.patch,PKGBUILD.prepend,PKGBUILD.append,CI_PACKAGE_BUMP"
	if got := names(report); got != want {
		t.Errorf("applied:\n%s, want\n%s", got, want)
	}
	text := readPKGBUILD(t, dir)
	wantHead := "_before=1\npkgname=c\npkgver=1.2\npkgrel=1\nCFLAGS='-O2 '\n_after=1\n"
	if !strings.HasPrefix(text, wantHead) {
		t.Errorf("PKGBUILD:\n%s\nwant it to begin with\n%s", text, wantHead)
	}
	if other, _ := os.ReadFile(filepath.Join(dir, "other.txt")); string(other) != "new\n" {
		t.Errorf("the patch did not reach the other file: %q", other)
	}
	if leftovers, _ := filepath.Glob(filepath.Join(dir, "*.orig")); len(leftovers) > 0 {
		t.Errorf("patch left %v", leftovers)
	}
	if !strings.Contains(report.Text(), "PKGBUILD.append: 1 lines") {
		t.Errorf("closing list:\n%s", report.Text())
	}
}

func TestAPlainPackageStaysByteForByte(t *testing.T) {
	dir := pkgDir(t, map[string]string{"PKGBUILD": plain})
	report, err := interfere.Apply(t.Context(), interfere.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if got := readPKGBUILD(t, dir); got != plain {
		t.Errorf("changed to %q", got)
	}
	if len(report.Applied) != 0 || !strings.Contains(report.Text(), "no interference was applied") {
		t.Errorf("report: %+v", report)
	}
}

func TestPrepareDecidesOverTheBuild(t *testing.T) {
	cases := []struct {
		name, script string
		codeSkip     int
		skip         bool
		status       int
		want         string // in the PKGBUILD
	}{
		{"a returned skip code skips", `return "$CI_CODE_SKIP"`, 0, true, 0, ""},
		{"another skip code is handed to the script", `return "$CI_CODE_SKIP"`, 77, true, 0, ""},
		{"any other status ends the build with it", `exit 3`, 0, false, 3, ""},
		{"a failed command ends the build", "false\ntrue", 0, false, 1, ""},
		{"an unset variable ends the build", `echo "$nothing"`, 0, false, 1, ""},
		{"the left side of a pipe counts", "false | true", 0, false, 1, ""},
		{"CAUR_PUSH evaluates its command in a shell of its own", `x=outer; $CAUR_PUSH 'x=inner; echo "# $x" >> PKGBUILD'`, 0, false, 0, "# inner"},
		{"CAUR_PUSH allows a pipe that yes dies in", `$CAUR_PUSH 'yes | head -n1 >> /dev/null'; echo "# on" >> PKGBUILD`, 0, false, 0, "# on"},
		{"a failed CAUR_PUSH ends the build", `$CAUR_PUSH 'exit 9'`, 0, false, 9, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := pkgDir(t, map[string]string{
				"PKGBUILD": plain, ".CI/prepare": c.script + "\n", ".CI/PKGBUILD.append": "_after=1\n",
			})
			report, err := interfere.Apply(t.Context(), interfere.Options{
				Dir: dir, CodeSkip: c.codeSkip, RunPrepare: bash(t, dir),
			})
			var prep *interfere.PrepareError
			switch {
			case c.status != 0:
				if !errors.As(err, &prep) || prep.Status != c.status {
					t.Fatalf("error %v, want status %d", err, c.status)
				}
				return
			case err != nil:
				t.Fatal(err)
			case report.Skip != c.skip:
				t.Fatalf("skip is %v", report.Skip)
			}
			text := readPKGBUILD(t, dir)
			if !strings.Contains(text, c.want) {
				t.Errorf("PKGBUILD lacks %q:\n%s", c.want, text)
			}
			if got := strings.Contains(text, "_after=1"); got == c.skip {
				t.Errorf("PKGBUILD.append applied: %v, with skip %v", got, c.skip)
			}
		})
	}
}

func TestAPatchThatDoesNotApplyFailsUnlessOptional(t *testing.T) {
	files := map[string]string{
		"PKGBUILD": plain, "x": "1\n",
		".CI/interfere.patch": "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-1\n+2\n--- a/PKGBUILD\n+++ b/PKGBUILD\n@@ -1 +1 @@\n-nothing like that\n+at all\n",
	}
	dir := pkgDir(t, files)
	_, err := interfere.Apply(t.Context(), interfere.Options{Dir: dir})
	if !errors.Is(err, interfere.ErrPatch) || !strings.Contains(err.Error(), "FAILED") {
		t.Errorf("error %v", err)
	}
	files[".CI/config"] = "CI_PATCH_OPTIONAL=true\n"
	dir = pkgDir(t, files)
	report, err := interfere.Apply(t.Context(), interfere.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if x, _ := os.ReadFile(filepath.Join(dir, "x")); string(x) != "1\n" {
		t.Errorf("half of the patch stayed: x is %q", x)
	}
	if len(report.Notes) == 0 || !strings.Contains(strings.Join(report.Notes, "\n"), "CI_PATCH_OPTIONAL") {
		t.Errorf("notes %q", report.Notes)
	}
}

func TestAPatchRunsNothingAndLeavesTheDirectoryAlone(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	cases := map[string]string{
		"an ed script":       "--- a/PKGBUILD\n+++ b/PKGBUILD\n0a\n.\n!touch " + outside + "\nw\n.\nq\n",
		"a path to the root": "--- " + outside + "\n+++ " + outside + "\n@@ -0,0 +1 @@\n+x\n",
		"a path upwards":     "--- a/../../outside\n+++ b/../../outside\n@@ -0,0 +1 @@\n+x\n",
	}
	for name, patch := range cases {
		t.Run(name, func(t *testing.T) {
			dir := pkgDir(t, map[string]string{"PKGBUILD": plain, ".CI/interfere.patch": patch})
			_, err := interfere.Apply(t.Context(), interfere.Options{Dir: dir})
			t.Log(err)
			for _, file := range []string{outside, filepath.Join(dir, "../outside"), filepath.Join(dir, "../../outside")} {
				if _, err := os.Lstat(file); err == nil {
					t.Errorf("%s was made", file)
				}
			}
		})
	}
}

func TestLinksOutOfThePackageDirectoryAreNotFollowed(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("pkgname=stolen\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"PKGBUILD", ".CI/PKGBUILD.append", ".CI/config", ".CI/prepare", ".CI/interfere.patch"} {
		t.Run(name, func(t *testing.T) {
			dir := pkgDir(t, map[string]string{"PKGBUILD": plain, ".CI/info": ""})
			_ = os.Remove(filepath.Join(dir, name))
			if err := os.Symlink(secret, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			if _, err := interfere.Apply(t.Context(), interfere.Options{Dir: dir}); err == nil {
				t.Error("no error")
			}
			if data, _ := os.ReadFile(secret); string(data) != "pkgname=stolen\n" {
				t.Errorf("the file behind the link is now %q", data)
			}
		})
	}
}

func TestWrongInputIsNamed(t *testing.T) {
	cases := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"no PKGBUILD", map[string]string{".CI/info": ""}, "PKGBUILD"},
		{"a bump that is none", map[string]string{"PKGBUILD": plain, ".CI/config": "# x\nCI_PACKAGE_BUMP=1.2-1/x\n"}, ".CI/config:2: CI_PACKAGE_BUMP"},
		{"a boolean that is none", map[string]string{"PKGBUILD": plain, ".CI/config": "CI_PATCH_OPTIONAL=maybe\n"}, ".CI/config:1: CI_PATCH_OPTIONAL"},
		{"a prepare that is no bash", map[string]string{"PKGBUILD": plain, ".CI/prepare": "if true\n"}, ".CI/prepare:1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := interfere.Apply(t.Context(), interfere.Options{Dir: pkgDir(t, c.files)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestDryRunShowsADiffAndChangesNothing(t *testing.T) {
	files := map[string]string{
		"PKGBUILD": plain, "lib.install": "old\n",
		".CI/PKGBUILD.append": "depends+=(b)\n", ".CI/prepare": "touch ran\n",
		".CI/interfere.patch": "--- a/lib.install\n+++ b/lib.install\n@@ -1 +1 @@\n-old\n+new\n",
		".CI/config":          "CI_PACKAGE_BUMP=1.2-1\n",
	}
	dir := pkgDir(t, files)
	report, err := interfere.Apply(t.Context(), interfere.Options{
		Dir: dir, DryRun: true,
		RunPrepare: func(context.Context, string) (int, error) { t.Error("prepare was run"); return 0, nil },
		Update:     func(context.Context, []string) error { t.Error("update was run"); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"--- a/PKGBUILD", "+++ b/PKGBUILD", "+depends+=(b)", "+# caur: CI_PACKAGE_BUMP", "--- a/lib.install", "-old", "+new"} {
		if !strings.Contains(string(report.Diff), want) {
			t.Errorf("the diff lacks %q:\n%s", want, report.Diff)
		}
	}
	for name, text := range files {
		if data, _ := os.ReadFile(filepath.Join(dir, name)); string(data) != text {
			t.Errorf("%s was changed to %q", name, data)
		}
	}
}

func TestDryRunRefusesAnOutcomeThatIsNoBash(t *testing.T) {
	dir := pkgDir(t, map[string]string{"PKGBUILD": plain, ".CI/PKGBUILD.append": "build() {\n"})
	_, err := interfere.Apply(t.Context(), interfere.Options{Dir: dir, DryRun: true})
	if err == nil || !strings.Contains(err.Error(), "PKGBUILD:6") {
		t.Errorf("error %v", err)
	}
}

func TestImpliedPackages(t *testing.T) {
	cases := []struct{ pkgbase, pkgbuild, want string }{
		{"a-git", "", "git"},
		{"a-svn", "", "subversion"},
		{"a-bzr", "", "breezy"},
		{"a-hg", "", "mercurial"},
		{"lib32-a-git", "", "git,multilib-devel"},
		{"a", "options=(!strip ccache)", "ccache"},
		{"a", "options+=('ccache')", "ccache"},
		{"a", `options=("!ccache")`, ""},
		{"a", "build() { options=(ccache); }", ""},
		{"a", "# options=(ccache)", ""},
		{"a", "options=(ccache", ""},
		{"git-a", "", ""},
	}
	for _, c := range cases {
		if got := strings.Join(interfere.ImpliedPackages(c.pkgbase, []byte(c.pkgbuild)), ","); got != c.want {
			t.Errorf("%s with %q: %s, want %s", c.pkgbase, c.pkgbuild, got, c.want)
		}
	}
}
