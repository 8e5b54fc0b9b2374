package makepkg

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestPacmanConf(t *testing.T) {
	arch := "[options]\nHoldPkg = pacman\n#[testing]\n[core]\nInclude = /etc/pacman.d/mirrorlist\n[extra]\nInclude = /etc/pacman.d/mirrorlist\n[multilib]\nInclude = /etc/pacman.d/mirrorlist"
	r := Request{
		Mirror:     "https://mirror.example.org/$repo/os/$arch",
		ExtraRepos: []Repo{{Name: "more", Servers: []string{"https://a.example.org", "https://b.example.org"}}, {Name: "core", Servers: []string{"https://evil.example.org"}}},
		TargetRepo: &Repo{Name: "demo", Servers: []string{"file:///srv/repo"}, SigLevel: "Never"},
		Keyrings:   []string{"https://more.example.org/keyring.pkg.tar.zst"},
	}
	text, count := r.pacmanConf([]byte(arch))
	want := `[options]
RemoteFileSigLevel = Required
HoldPkg = pacman
#[testing]
[core]
Server = https://mirror.example.org/$repo/os/$arch
Include = /etc/pacman.d/mirrorlist
[extra]
Server = https://mirror.example.org/$repo/os/$arch
Include = /etc/pacman.d/mirrorlist
[multilib]
Include = /etc/pacman.d/mirrorlist

[more]
Server = https://a.example.org
Server = https://b.example.org

[demo]
SigLevel = Never
Server = file:///srv/repo
`
	if string(text) != want || count != 5 {
		t.Errorf("%d repositories:\n%s\nwant 5:\n%s", count, text, want)
	}
	if text, count := (Request{Mirror: "https://mirror.example.org"}).pacmanConf(nil); count != 0 || string(text) != "[options]\nArchitecture = auto\n" {
		t.Errorf("out of nothing: %d\n%s", count, text)
	}
}

func TestMakepkgConfIsSourcedAsItIsMeant(t *testing.T) {
	r := Request{Arch: "x86_64", Packager: "O'Tess $(touch ran) <t@example.org>", Jobs: 3}
	dir := t.TempDir()
	name := filepath.Join(dir, "makepkg.conf")
	if err := os.WriteFile(name, []byte(r.makepkgConf()), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", `source ./makepkg.conf && echo "$PACKAGER|$MAKEFLAGS|$PKGEXT|$CARCH|${OPTIONS[-1]}|${BUILDENV[-2]} ${BUILDENV[-1]}"`)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if want := "O'Tess $(touch ran) <t@example.org>|-j3|.pkg.tar|x86_64|!debug|!distcc !sign"; err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("%v: %s, want %s", err, out, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Error("the packager's name was run")
	}
}

func TestRequestsAreCheckedAsAWhole(t *testing.T) {
	write := func(text string) string {
		name := filepath.Join(t.TempDir(), "request.json")
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	r, err := ReadRequest(write(`{"pkgbase": "a", "source_dir": "/s", "work_dir": "/w", "output_dir": "/o", "timeout": "1h30m", "later": 1}`))
	if err != nil || time.Duration(r.Timeout) != 90*time.Minute {
		t.Errorf("%+v, %v", r, err)
	}
	if d := r.withDefaults(); d.Arch != "x86_64" || d.BuildUser != "builder" || d.CodeSkip != 123 || d.Jobs < 1 {
		t.Errorf("defaults %+v", d)
	}
	_, err = ReadRequest(write(`{"pkgbase": "-a", "arch": "x/y", "work_dir": "w", "packager": "a\nb", "extra_repos": [{"name": "options", "servers": ["x"]},
		{"name": "r", "servers": ["x\nInclude = /etc/shadow"]}, {"name": "s"}], "target_repo": {"name": "t]\n[u", "servers": ["x"]}}`))
	for _, want := range []string{"pkgbase", "arch", "work_dir", "output_dir", "source_dir", "more than one line", "options", "repository r", "repository s", `t]\n[u`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named:\n%v", want, err)
		}
	}
	for name, file := range map[string]string{
		"no JSON": write("{"), "no duration": write(`{"timeout": "long"}`), "too long": write(`{"pkgbase": "` + strings.Repeat("a", maxRequest) + `"}`), "no file": "/nonexistent",
	} {
		if _, err := ReadRequest(file); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPackageConfig(t *testing.T) {
	cases := []struct {
		text string
		want PackageConfig
		err  string
	}{
		{"", PackageConfig{ExtraTimeout: 1}, ""},
		{"BUILDER_CACHE_SOURCES=true\nBUILDER_EXTRA_TIMEOUT='2.5'\nBUILDER_ALLOW_PROHIBITED=true\n", PackageConfig{CacheSources: true, ExtraTimeout: 2.5, AllowProhibited: true}, ""},
		{"BUILDER_PRIVILEGES='SYS_ADMIN,CAP_MKNOD:SYS_ADMIN'\nCI_BUILD_NETWORK=none\n",
			PackageConfig{ExtraTimeout: 1, Privileges: []string{"MKNOD", "SYS_ADMIN"}, Offline: true}, ""},
		{"BUILDER_PRIVILEGES='sudo SYS_ADMIN'\n", PackageConfig{ExtraTimeout: 1, Privileges: []string{"SYS_ADMIN", "sudo"}}, ""},
		{"BUILDER_PRIVILEGES=sudo\nCI_BUILD_NETWORK=none\n", PackageConfig{}, "exclude each other"},
		{"BUILDER_PRIVILEGES=\nCI_BUILD_NETWORK=default\n", PackageConfig{ExtraTimeout: 1}, ""},
		{"\nBUILDER_PRIVILEGES=root\n", PackageConfig{}, ".CI/config:2: BUILDER_PRIVILEGES"},
		{"BUILDER_PRIVILEGES=$(id)\n", PackageConfig{}, ".CI/config:1: BUILDER_PRIVILEGES"},
		{"CI_BUILD_NETWORK=host\n", PackageConfig{}, ".CI/config:1: CI_BUILD_NETWORK"},
		{"BUILDER_EXTRA_TIMEOUT=0", PackageConfig{}, ".CI/config:1: BUILDER_EXTRA_TIMEOUT"},
		{"BUILDER_EXTRA_TIMEOUT=NaN", PackageConfig{}, "BUILDER_EXTRA_TIMEOUT"},
		{"BUILDER_EXTRA_TIMEOUT=1e9", PackageConfig{}, "BUILDER_EXTRA_TIMEOUT"},
		{"\nBUILDER_CACHE_SOURCES=maybe", PackageConfig{}, ".CI/config:2: BUILDER_CACHE_SOURCES"},
	}
	for _, c := range cases {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, ".CI"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, ".CI/config"), []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := ReadPackageConfig(dir)
		switch {
		case c.err == "" && (err != nil || !reflect.DeepEqual(got, c.want)):
			t.Errorf("%q: %+v, %v; want %+v", c.text, got, err, c.want)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%q: error %v, want %q in it", c.text, err, c.err)
		}
	}
	if c, err := ReadPackageConfig(t.TempDir()); err != nil || c.ExtraTimeout != 1 {
		t.Errorf("without a file: %+v, %v", c, err)
	}
	if got := (PackageConfig{ExtraTimeout: 0.5}).Limit(time.Hour); got != 30*time.Minute {
		t.Errorf("half an hour is %v", got)
	}
	if got := (PackageConfig{ExtraTimeout: maxTimeFactor}).Limit(1 << 60); got <= 0 {
		t.Errorf("a limit beyond all times is %v", got)
	}
}
