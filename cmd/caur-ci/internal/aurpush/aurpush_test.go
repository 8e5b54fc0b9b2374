package aurpush_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/cmd/caur-ci/internal/aurpush"
	"github.com/caur-build/caur/cmd/caur-ci/internal/commit"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/pkgdir"
)

// rules is what the AUR refuses: rewritten history, other branches, a missing .SRCINFO, subdirectories, large files.
const rules = `#!/bin/sh
[ "$1" = refs/heads/master ] || { echo "only master"; exit 1; }
zero=0000000000000000000000000000000000000000
[ "$2" = $zero ] || git merge-base --is-ancestor "$2" "$3" || { echo "denying non-fast-forward"; exit 1; }
git ls-tree -r --name-only "$3" | grep -q / && { echo "the repository must not contain subdirectories"; exit 1; }
git cat-file -e "$3:.SRCINFO" || { echo "missing .SRCINFO"; exit 1; }
git ls-tree -r -l "$3" | awk '$4 > 250000 { exit 1 }' || { echo "maximum blob size (250 kB) exceeded"; exit 1; }
`

// aur is a real sshd before real repositories with these rules.
type aur struct {
	t    *testing.T
	ssh  *testenv.SSHServer
	root string
}

func newAUR(t *testing.T) *aur {
	t.Helper()
	a := &aur{t: t, ssh: testenv.SSHD(t), root: t.TempDir()}
	return a
}

// repo makes the repository of a pkgbase.
func (a *aur) repo(pkgbase string) string {
	a.t.Helper()
	dir := filepath.Join(a.root, pkgbase+".git")
	g := testenv.NewGitRepo(a.t)
	g.Git("init", "-q", "--bare", "-b", "master", dir)
	if err := os.WriteFile(filepath.Join(dir, "hooks", "update"), []byte(rules), 0o755); err != nil {
		a.t.Fatal(err)
	}
	return dir
}

func (a *aur) git(args ...string) string {
	a.t.Helper()
	out, err := git.Repo{Dir: a.root}.Output(a.t.Context(), args...)
	if err != nil {
		a.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func (a *aur) pusher(change func(*aurpush.Options)) *aurpush.Pusher {
	a.t.Helper()
	key, err := os.ReadFile(a.ssh.KeyFile)
	if err != nil {
		a.t.Fatal(err)
	}
	o := aurpush.Options{
		URL: fmt.Sprintf("ssh://%s@%s:%d%s", a.ssh.User, a.ssh.Host, a.ssh.Port, a.root), Key: settings.NewSecret(string(key)),
		KnownHosts: a.ssh.KnownHostsLine(), By: commit.Person{Name: "Bot", Email: "bot@example.org"}, Scratch: a.t.TempDir(),
	}
	if change != nil {
		change(&o)
	}
	p, err := aurpush.New(a.t.Context(), o)
	if err != nil {
		a.t.Fatal(err)
	}
	return p
}

func dir(files map[string]string) pkgdir.Dir {
	d := pkgdir.Dir{}
	for name, text := range files {
		d[name] = pkgdir.File{Data: []byte(text)}
	}
	return d
}

func pkg(version string) map[string]string {
	return map[string]string{
		"PKGBUILD": "pkgname=p\npkgver=" + version + "\n", "fix.patch": "patch\n", "p.install": "post_install() { :; }\n", "notes.txt": "not for the AUR\n",
		".CI/config": "CI_MANAGE_AUR=true\n", ".nvchecker.toml": "[p]\n",
		".SRCINFO": "pkgbase = p\n\tpkgver = " + version + "\n\tpkgrel = 1\n\tarch = x86_64\n\tsource = https://example.org/p.tar.gz\n" +
			"\tsource = named.txt::https://example.org/x\n\tsource_x86_64 = fix.patch\n\npkgname = p\n\tinstall = p.install\n",
	}
}

func TestWhatSRCINFONamesIsPushedOnceAndOnTopOfWhatIsThere(t *testing.T) {
	a := newAUR(t)
	repo := a.repo("p")
	p := a.pusher(nil)
	links := []string{"https://git.example.org/repo/-/commits/main/p"}
	first, err := p.Push(t.Context(), "p", dir(pkg("1")), links)
	if err != nil || first == "" {
		t.Fatal(first, err)
	}
	if got := a.git("-C", repo, "ls-tree", "--name-only", "master"); got != ".SRCINFO\n.nvchecker.toml\nPKGBUILD\nfix.patch\np.install" {
		t.Error(got)
	}
	if got := a.git("-C", repo, "log", "--format=%an %s%n%b", "master"); got != "Bot chore: update p\n"+links[0] {
		t.Error(got)
	}
	if again, err := p.Push(t.Context(), "p", dir(pkg("1")), links); err != nil || again != "" {
		t.Errorf("the same again: %q %v", again, err)
	}
	second, err := a.pusher(nil).Push(t.Context(), "p", dir(pkg("2")), nil)
	if err != nil || a.git("-C", repo, "log", "--format=%H", "master") != second+"\n"+first {
		t.Errorf("%q %v", second, err)
	}
}

func TestWhatTheAURRefusesIsReportedWithItsWords(t *testing.T) {
	a := newAUR(t)
	a.repo("p")
	large := pkg("1")
	large["fix.patch"] = strings.Repeat("x", 260_000)
	_, err := a.pusher(nil).Push(t.Context(), "p", dir(large), nil)
	var refused *git.ErrRefused
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "maximum blob size") {
		t.Error(err)
	}
	if _, err := a.pusher(nil).Push(t.Context(), "none", dir(pkg("1")), nil); err == nil || !strings.Contains(err.Error(), "fetch none from the AUR") {
		t.Error(err)
	}
}

func TestAWrongHostKeyAndAWrongKeyAreRefusedWithoutShowingTheKey(t *testing.T) {
	a := newAUR(t)
	a.repo("p")
	_, err := a.pusher(func(o *aurpush.Options) { o.KnownHosts = "" }).Push(t.Context(), "p", dir(pkg("1")), nil)
	if !errors.Is(err, git.ErrAuth) {
		t.Errorf("an unknown host: %v", err)
	}
	const secret = "c3VwZXJzZWNyZXQ"
	_, err = a.pusher(func(o *aurpush.Options) {
		o.Key = settings.NewSecret("-----BEGIN OPENSSH PRIVATE KEY-----\n" + secret + "\n-----END OPENSSH PRIVATE KEY-----\n")
	}).Push(t.Context(), "p", dir(pkg("1")), nil)
	if !errors.Is(err, git.ErrAuth) || strings.Contains(err.Error(), secret) {
		t.Errorf("a wrong key: %v", err)
	}
	_, err = aurpush.New(t.Context(), aurpush.Options{Key: settings.NewSecret(secret), Scratch: t.TempDir()})
	if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "AUR_KEY") {
		t.Errorf("neither key nor path: %v", err)
	}
	if _, err := a.pusher(func(o *aurpush.Options) { o.Key = settings.NewSecret(a.ssh.KeyFile) }).Push(t.Context(), "p", dir(pkg("1")), nil); err != nil {
		t.Errorf("the path of a key: %v", err)
	}
}

func TestIncompletePackagesAreRefusedBeforeAnyoneIsAsked(t *testing.T) {
	for missing, want := range map[string]string{
		".SRCINFO": "caur-ci srcinfo --write p", "PKGBUILD": "no PKGBUILD", "fix.patch": "names the file fix.patch", "p.install": "names the file p.install",
	} {
		files := dir(pkg("1"))
		delete(files, missing)
		if _, err := aurpush.Select("p", files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
	got, err := aurpush.Select("p", dir(pkg("1")))
	if diff := cmp.Diff([]string{".SRCINFO", ".nvchecker.toml", "PKGBUILD", "fix.patch", "p.install"}, got.Paths()); err != nil || diff != "" {
		t.Error(err, diff)
	}
}
