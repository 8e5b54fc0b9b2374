package candidates_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/pkgdir"
)

const recipeOfHook = "pkgname=app\npkgver=1.0\npkgrel=3\narch=(any)\n"

func hooked(t *testing.T, script string, o candidates.HookOptions) (*candidates.Draft, pkgdir.Dir, error) {
	t.Helper()
	testenv.Need(t, "bash")
	files := directory(t, map[string]string{"PKGBUILD": recipeOfHook, ".CI/config": "A=1\n", ".CI/update.sh": script, "kept.tar.gz": "ours"})
	o.Has = func(pkgbase string) bool { return pkgbase == "app" }
	o.TempDir = t.TempDir()
	d, err := asked(t, candidates.NewHook(o), known(t, "app", files))
	if left, readErr := os.ReadDir(o.TempDir); readErr != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, readErr)
	}
	return d, files, err
}

func TestWhatTheHookChangesIsTakenOver(t *testing.T) {
	d, before, err := hooked(t, `sed -i s/1.0/1.1/ PKGBUILD .SRCINFO; echo A=2 >.CI/config; echo new >n; chmod +x n; ln -s n link`, candidates.HookOptions{})
	if err != nil || reasons(d) != "update.sh: 1.0-3 → 1.1-3" {
		t.Fatal(err, reasons(d))
	}
	var changed []string
	for _, c := range pkgdir.Diff(before, d.Changed()) {
		changed = append(changed, c.Path)
	}
	if diff := cmp.Diff([]string{".CI/config", ".SRCINFO", "PKGBUILD", "link", "n"}, changed); diff != "" {
		t.Error(diff)
	}
	if d.Changed()["n"].Kind != pkgdir.Executable || d.Changed()["link"].Kind != pkgdir.Link {
		t.Error("kinds of files are lost")
	}
}

func TestTodaysHooksStillWork(t *testing.T) {
	// The shape that real ones have: written to be sourced, with functions, local variables and the exit status of grep.
	d, _, err := hooked(t, `#!/usr/bin/env bash
_update_package() {
  local _NEW=1.2
  eval "$(grep -Eo '^(pkgver|pkgrel)=\S+' PKGBUILD)"
  : "${PACKAGE:=$1}"
  [[ $PACKAGE == app && ${PWD##*/} == app ]] || return 3
  grep -q nothing PKGBUILD
  sed -E -e "s&^(\s*pkgver\s*=\s*).*$&\1${_NEW}&" -i PKGBUILD .SRCINFO
}
_update_package
unset -f _update_package`, candidates.HookOptions{})
	if err != nil || reasons(d) != "update.sh: 1.0-3 → 1.2-3" {
		t.Error(err, reasons(d))
	}
}

func TestAHookThatChangesNothingChangesNothing(t *testing.T) {
	if d, _, err := hooked(t, "touch PKGBUILD", candidates.HookOptions{}); err != nil || d.Changed() != nil {
		t.Error(err, reasons(d))
	}
}

func TestFilesAreNamedWhereNoVersionChanges(t *testing.T) {
	if d, _, err := hooked(t, "touch 1 2 3 4 5 6", candidates.HookOptions{}); err != nil || reasons(d) != "update.sh: .CI/update.sh changed 1, 2, 3, 4, …" {
		t.Error(err, reasons(d))
	}
}

func TestAHookSeesNoSecret(t *testing.T) {
	for name, value := range map[string]string{
		"ACCESS_TOKEN": "hush", "AUR_KEY": "hush", "REDIS_URL": "hush", "CI_JOB_TOKEN": "hush",
		"HTTPS_PROXY": "http://u:hush@proxy.example", "http_proxy": "http://proxy.example:3128", "SSH_AUTH_SOCK": "hush",
	} {
		t.Setenv(name, value)
	}
	d, _, err := hooked(t, `env >env.txt; ls -A "$HOME" >home.txt`, candidates.HookOptions{})
	if err != nil {
		t.Fatal(err)
	}
	env := changedText(d, "env.txt")
	if strings.Contains(env, "hush") || !strings.Contains(env, "http_proxy=http://proxy.example:3128") || !strings.Contains(env, "PACKAGE=app\n") {
		t.Error(env)
	}
	if home := changedText(d, "home.txt"); home != "" {
		t.Errorf("its home has %q", home)
	}
	allowed := regexp.MustCompile(`^(PATH|HOME|LANG|TZ|TMPDIR|PACKAGE|PWD|OLDPWD|SHLVL|_|(?i:[a-z]+_proxy)|SSL_CERT_(?:FILE|DIR)|[A-Z_]*CA[A-Z_]*)=`)
	for line := range strings.Lines(env) {
		if !allowed.MatchString(line) {
			t.Errorf("it sees %s", line)
		}
	}
}

func TestAHookThatFailsSaysHowAndChangesNothing(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"exit status": {"echo one; echo two >&2; sed -i s/1/2/ PKGBUILD; exit 7", ".CI/update.sh failed with exit status 7; it said last:\n  one\n  two"},
		"silent":      {"exit 1", ".CI/update.sh failed with exit status 1"},
		"signal":      {"kill -SEGV $$", `.CI/update.sh was ended by signal "segmentation fault"`},
		"no PKGBUILD": {"rm PKGBUILD", ".CI/update.sh left no PKGBUILD"},
		"a link out":  {"ln -s /etc/passwd x", `"x" is a link that points out of the directory`},
		"a pipe":      {"mkfifo x", `"x" is neither a file nor a link`},
		"escape":      {"printf '\\033[31mred\\033[0m\\n'; exit 2", "it said last:\n  [31mred[0m"},
		"syntax":      {"if then", "exit status 2"},
	} {
		t.Run(name, func(t *testing.T) {
			d, _, err := hooked(t, c.script, candidates.HookOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) || d.Changed() != nil {
				t.Errorf("%v\nwant %s", err, c.want)
			}
		})
	}
}

func TestAHookIsStoppedWithAllItsChildren(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "still-there")
	_, _, err := hooked(t, "echo waiting; (sleep 600; touch "+mark+") & sleep 600", candidates.HookOptions{Timeout: 300 * time.Millisecond})
	if err == nil || err.Error() != ".CI/update.sh: not done within 300ms; it said last:\n  waiting" {
		t.Error(err)
	}
}

func TestOutputOfAHookIsBounded(t *testing.T) {
	_, _, err := hooked(t, "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end; exit 1", candidates.HookOptions{})
	if err == nil || len(err.Error()) > 2_000 || !strings.HasSuffix(err.Error(), "\n  end") {
		t.Errorf("%d bytes", len(err.Error()))
	}
}

func TestWhatGitWouldNotAddIsLeftBehind(t *testing.T) {
	d, before, err := hooked(t, `mkdir -p src/deep pkg x; touch src/deep/a pkg/b x/dl.tar.gz x/keep built.zst; echo other >kept.tar.gz; head -c 70000000 /dev/zero >big.tar.gz`,
		candidates.HookOptions{GitIgnore: []byte("# builds\nsrc\n/pkg/\n*.tar.gz\n\n*.zst\r\n")})
	if err != nil {
		t.Fatal(err)
	}
	var changed []string
	for _, c := range pkgdir.Diff(before, d.Changed()) {
		changed = append(changed, c.Path)
	}
	if diff := cmp.Diff([]string{"kept.tar.gz", "x/keep"}, changed); diff != "" {
		t.Error(diff)
	}
}

func TestPackagesWithoutAHookAreLeftAlone(t *testing.T) {
	p := known(t, "app", directory(t, map[string]string{"PKGBUILD": recipeOfHook}))
	if candidates.NewHook(candidates.HookOptions{}).Wants(p) {
		t.Error("it wants a package of which nobody says that it has a hook")
	}
	always := candidates.HookOptions{Has: func(string) bool { return true }}
	if d, err := asked(t, candidates.NewHook(always), p); err != nil || d.Changed() != nil {
		t.Error(err)
	}
	linked := directory(t, map[string]string{"PKGBUILD": recipeOfHook})
	linked[".CI/update.sh"] = pkgdir.File{Kind: pkgdir.Link, Data: []byte("other")}
	if d, err := asked(t, candidates.NewHook(always), known(t, "app", linked)); err != nil || d.Changed() != nil {
		t.Error(err)
	}
}
