package aurpush_test

import (
	stdcmp "cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
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

// rules is what the AUR refuses of a branch, and of each new commit of it: rewritten history, other branches, a missing
// .SRCINFO, subdirectories, large files, a local source that is not there.
const rules = `#!/bin/sh
[ "$1" = refs/heads/master ] || { echo "pushing to a branch other than master is restricted"; exit 1; }
new=$3
case $2 in
0000000000000000000000000000000000000000) ;;
*) git merge-base --is-ancestor "$2" "$3" || { echo "denying non-fast-forward (you should pull first)"; exit 1; }
   new="$3 ^$2" ;;
esac
for commit in $(git rev-list $new); do
  git ls-tree "$commit" | grep -q "^040000" && { echo "the repository must not contain subdirectories"; exit 1; }
  git cat-file -e "$commit:.SRCINFO" 2>/dev/null || { echo "missing .SRCINFO"; exit 1; }
  git ls-tree -l "$commit" | awk '$4 > 256000 { exit 1 }' || { echo "maximum blob size (250.00KiB) exceeded"; exit 1; }
  git show "$commit:.SRCINFO" | sed -n 's/^\tsource[a-z0-9_]* = //p' | grep -v -e :// -e lp: | while read -r name; do
    git cat-file -e "$commit:$name" 2>/dev/null || { echo "missing source file: $name"; exit 1; }
  done || exit 1
done
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

// push pushes files as a commit without parent, with git alone; the rules are the same without ssh between.
func (a *aur) push(files map[string]string, branch string) error {
	a.t.Helper()
	g := testenv.NewGitRepo(a.t)
	for name, text := range files {
		g.Write(name, text)
	}
	g.Git("add", "-A")
	g.Git("commit", "-q", "-m", "by hand")
	force, name := "", branch
	if rest, is := strings.CutPrefix(branch, "+"); is {
		force, name = "+", rest
	}
	cmd := exec.Command("git", "push", "-q", filepath.Join(a.root, "p.git"), force+"HEAD:refs/heads/"+name)
	cmd.Dir = g.Dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (a *aur) url() string {
	return fmt.Sprintf("ssh://%s@%s:%d%s", a.ssh.User, a.ssh.Host, a.ssh.Port, a.root)
}

func (a *aur) pusher(change func(*aurpush.Options)) *aurpush.Pusher {
	a.t.Helper()
	key, err := os.ReadFile(a.ssh.KeyFile)
	if err != nil {
		a.t.Fatal(err)
	}
	o := aurpush.Options{
		URL: a.url(), Key: settings.NewSecret(string(key)),
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
	t.Parallel()
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

// TestTheServerHasTheRulesOfTheAUR pushes what this package never would, so that the other tests say something.
func TestTheServerHasTheRulesOfTheAUR(t *testing.T) {
	t.Parallel()
	a := newAUR(t)
	srcinfo := "pkgbase = p\n\tpkgver = 1\n\tpkgrel = 1\n\tarch = any\n"
	for name, test := range map[string]struct {
		files map[string]string
		ref   string
		want  string
	}{
		"as it should be":     {files: map[string]string{".SRCINFO": srcinfo, "PKGBUILD": "#\n"}},
		"another branch":      {map[string]string{".SRCINFO": srcinfo}, "main", "other than master"},
		"missing .SRCINFO":    {map[string]string{"PKGBUILD": "#\n"}, "", "missing .SRCINFO"},
		"subdirectory":        {map[string]string{".SRCINFO": srcinfo, "sub/fix.patch": "x"}, "", "must not contain subdirectories"},
		"a file over 250 kB":  {map[string]string{".SRCINFO": srcinfo, "blob": strings.Repeat("x", 256_001)}, "", "maximum blob size"},
		"a source that lacks": {map[string]string{".SRCINFO": srcinfo + "\tsource = fix.patch\n"}, "", "missing source file: fix.patch"},
	} {
		t.Run(name, func(t *testing.T) {
			a.repo("p")
			err := a.push(test.files, stdcmp.Or(test.ref, "master"))
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v", err)
			}
			if err := os.RemoveAll(filepath.Join(a.root, "p.git")); err != nil {
				t.Fatal(err)
			}
		})
	}
	a.repo("p")
	if err := a.push(map[string]string{".SRCINFO": srcinfo}, "master"); err != nil {
		t.Fatal(err)
	}
	if err := a.push(map[string]string{".SRCINFO": srcinfo, "PKGBUILD": "#\n"}, "+master"); err == nil || !strings.Contains(err.Error(), "non-fast-forward") {
		t.Errorf("rewritten history: %v", err)
	}
}

func TestWhatTheAURRefusesIsReportedWithItsWords(t *testing.T) {
	t.Parallel()
	a := newAUR(t)
	a.repo("p")
	renamed := pkg("1")
	renamed[".SRCINFO"] = strings.Replace(renamed[".SRCINFO"], "= fix.patch", "= other-name.patch::fix.patch", 1)
	renamed["other-name.patch"] = "patch\n"
	_, err := a.pusher(nil).Push(t.Context(), "p", dir(renamed), nil)
	var refused *git.ErrRefused
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "missing source file: other-name.patch::fix.patch") {
		t.Error(err)
	}
	if _, err := a.pusher(nil).Push(t.Context(), "none", dir(pkg("1")), nil); err == nil || !strings.Contains(err.Error(), "fetch none from the AUR") {
		t.Error(err)
	}
}

// TestAPushOfSomebodyElseIsNeverOverwritten lets another push arrive after ours has fetched: the server takes it while ours
// is under way.
func TestAPushOfSomebodyElseIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	a := newAUR(t)
	repo := a.repo("p")
	first, err := a.pusher(nil).Push(t.Context(), "p", dir(pkg("1")), nil)
	if err != nil {
		t.Fatal(err)
	}
	other := "#!/bin/sh\nunset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES\n" +
		"c=$(git -c user.name=Other -c user.email=o@example.org commit-tree -p master -m other 'master^{tree}') && git update-ref refs/heads/master $c\n"
	if err := os.WriteFile(filepath.Join(repo, "hooks", "pre-receive"), []byte(other), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := a.pusher(nil).Push(t.Context(), "p", dir(pkg("2")), nil); !errors.Is(err, git.ErrRaced) {
		t.Errorf("a race is not told as one: %v", err)
	}
	if err := os.Remove(filepath.Join(repo, "hooks", "pre-receive")); err != nil {
		t.Fatal(err)
	}
	last, err := a.pusher(nil).Push(t.Context(), "p", dir(pkg("2")), nil)
	if err != nil {
		t.Fatal(err)
	}
	log := strings.Fields(a.git("-C", repo, "log", "--format=%H %an", "master"))
	if len(log) != 6 || log[0] != last || log[3] != "Other" || log[4] != first {
		t.Errorf("the history is %q", log)
	}
}

func TestAWrongHostKeyAndAWrongKeyAreRefusedWithoutShowingTheKey(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	for missing, want := range map[string]string{
		".SRCINFO": "caur-ci srcinfo --write p", "PKGBUILD": "no PKGBUILD", "fix.patch": "names the file fix.patch", "p.install": "names the file p.install",
	} {
		files := dir(pkg("1"))
		delete(files, missing)
		if _, err := aurpush.Select("p", files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
	for line, want := range map[string]string{
		"source = sub/fix.patch": "no subdirectories", "source = large.bin": "250 kB", "source = name.txt::large.bin": "names the file name.txt",
	} {
		files := pkg("1")
		files["sub/fix.patch"], files["large.bin"] = "x", strings.Repeat("x", 256_001)
		files[".SRCINFO"] = strings.Replace(files[".SRCINFO"], "source_x86_64 = fix.patch", line, 1)
		if _, err := aurpush.Select("p", dir(files)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
	got, err := aurpush.Select("p", dir(pkg("1")))
	if diff := cmp.Diff([]string{".SRCINFO", ".nvchecker.toml", "PKGBUILD", "fix.patch", "p.install"}, got.Paths()); err != nil || diff != "" {
		t.Error(err, diff)
	}
}
