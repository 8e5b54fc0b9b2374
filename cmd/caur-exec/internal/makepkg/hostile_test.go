package makepkg_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caur-build/caur/cmd/caur-exec/internal/makepkg"
)

// Every script runs in package(), as the build user, and leaves something in the output that is no package of the job.
func TestOutputThatIsNoPackageOfTheJobIsLeftBehind(t *testing.T) {
	b := newBench(t)
	cases := []struct{ name, script, log string }{
		{"a link to a secret", `ln -s /etc/shadow "$PKGDEST/p-2-1-any.pkg.tar"`, "p-2-1-any.pkg.tar is no regular file"},
		{"a link in place of the package", `ln -s /etc/shadow "$PKGDEST/p-9-1-any.pkg.tar"`, "is no regular file"},
		{"a name that leads out", `mkdir -p "$PKGDEST/.."; cp /etc/hostname "$PKGDEST/../../x.pkg.tar.zst" 2>/dev/null || cp /etc/passwd "$PKGDEST/..x.pkg.tar.zst"`, "..x.pkg.tar.zst"},
		{"a pipe", `mkfifo "$PKGDEST/p-3-1-any.pkg.tar"`, "p-3-1-any.pkg.tar is no regular file"},
		{"a directory", `mkdir "$PKGDEST/p-4-1-any.pkg.tar"`, "p-4-1-any.pkg.tar is no regular file"},
		{"another package", `cp /etc/passwd "$PKGDEST/glibc-9-1-any.pkg.tar"`, "glibc-9-1-any.pkg.tar is no package of this job"},
		{"shell in a name", `cp /etc/passwd "$PKGDEST/p-\$(id)-1-any.pkg.tar"`, "is not a legal package file name"},
		{"another architecture", `cp /etc/passwd "$PKGDEST/p-5-1-armv7h.pkg.tar"`, "is of architecture armv7h"},
		{"a package that is compressed already", `cp /etc/passwd "$PKGDEST/p-6-1-any.pkg.tar.zst"`, "is no package of this job"},
	}
	script := head + "pkgname=p\npackage() {\ninstall -d \"$pkgdir/a\"\n"
	for _, c := range cases {
		script += c.script + "\n"
	}
	code, log, out := b.run(b.pkg("p", map[string]string{"PKGBUILD": script + "}\n"}), nil)
	b.want(code, log, out, makepkg.CodeOK, "p-1-1-any.pkg.tar.zst")
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { contains(t, log, c.log) })
	}
}

func TestOutputThatIsNoArchiveFailsTheBuild(t *testing.T) {
	b := newBench(t)
	cases := []struct{ name, script, log string }{
		{"a text", `cp /etc/passwd "$PKGDEST/p-2-1-any.pkg.tar"`, "pack p-2-1-any.pkg.tar"},
		{"an empty file", `: > "$PKGDEST/p-2-1-any.pkg.tar"`, "is empty"},
		{"a file with a second name", `echo x > ~/kept; ln ~/kept "$PKGDEST/p-2-1-any.pkg.tar"`, "has more than one name"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b.t = t
			source := b.pkg("p", map[string]string{"PKGBUILD": head + "pkgname=p\npackage() { install -d \"$pkgdir/a\"; " + c.script + "; }\n"})
			code, log, _ := b.run(source, nil)
			if code != makepkg.CodeFailed {
				t.Errorf("status %d", code)
			}
			contains(t, log, c.log)
		})
	}
}

func TestAProcessThatStaysCannotTouchTheResult(t *testing.T) {
	b := newBench(t)
	source := b.pkg("p", map[string]string{"PKGBUILD": head + `pkgname=p
package() {
  install -d "$pkgdir/a"
  setsid bash -c 'trap "" TERM HUP; while :; do cp /etc/passwd "$PKGDEST/p-1-1-any.pkg.tar" 2>/dev/null; done' >/dev/null 2>&1 &
}
`, ".CI/on-success.sh": "setsid sleep 1000 &"})
	code, log, out := b.run(source, nil)
	t.Log(code)
	for _, name := range files(t, out) {
		if text := bsdtar(t, "-tf", filepath.Join(out, name)); !strings.Contains(text, ".PKGINFO") {
			t.Errorf("%s is no package:\n%s\n%s", name, text, log)
		}
	}
}

func TestThePackageDirectoryCannotLeadOutOfItself(t *testing.T) {
	b := newBench(t)
	secret := filepath.Join(b.dir, "secret")
	if err := os.WriteFile(secret, []byte("secret text"), 0o600); err != nil {
		t.Fatal(err)
	}
	source := b.pkg("p", map[string]string{".CI/info": ""})
	if err := os.Symlink(secret, filepath.Join(source, "PKGBUILD")); err != nil {
		t.Fatal(err)
	}
	code, log, out := b.run(source, nil)
	b.want(code, log, out, makepkg.CodeFailed)
	if strings.Contains(log, "secret text") {
		t.Errorf("the file behind the link is in the log:\n%s", log)
	}
}

func TestProhibitedLinesAreRemovedAndTheArchiveStaysTrue(t *testing.T) {
	b := newBench(t)
	contents := map[string]string{"PKGBUILD": head + `pkgname=p
replaces=(glibc)
groups=(base-devel)
conflicts=(other)
package() {
  install -Dm4755 /dev/stdin "$pkgdir/usr/bin/tool" <<< tool
  ln -s tool "$pkgdir/usr/bin/link"
  ln "$pkgdir/usr/bin/tool" "$pkgdir/usr/bin/hard"
  install -Dm644 /dev/stdin "$pkgdir/usr/share/$(printf 'long%.0s' {1..40})/ü" <<< text
}
`}
	code, log, out := b.run(b.pkg("p", contents), nil)
	b.want(code, log, out, makepkg.CodeOK, "p-1-1-any.pkg.tar.zst")
	contains(t, log, "removed from .PKGINFO: replaces = glibc", "removed from .PKGINFO: group = base-devel")
	file := filepath.Join(out, "p-1-1-any.pkg.tar.zst")
	pkginfo := bsdtar(t, "-xOf", file, ".PKGINFO")
	if strings.Contains(pkginfo, "replaces") || strings.Contains(pkginfo, "group") || !strings.Contains(pkginfo, "conflict = other") {
		t.Errorf(".PKGINFO:\n%s", pkginfo)
	}
	verify(t, b, file)

	contents[".CI/config"] = "BUILDER_ALLOW_PROHIBITED=true\n"
	_, _, allowed := b.run(b.pkg("p", contents), nil)
	kept := filepath.Join(allowed, "p-1-1-any.pkg.tar.zst")
	if text := bsdtar(t, "-xOf", kept, ".PKGINFO"); !strings.Contains(text, "replaces = glibc") || !strings.Contains(text, "group = base-devel") {
		t.Errorf(".PKGINFO although it is allowed:\n%s", text)
	}
	if got, want := bsdtar(t, "-tf", file), bsdtar(t, "-tf", kept); got != want {
		t.Errorf("the members are\n%s\nwant\n%s", got, want)
	}
}

// verify unpacks a package and lets bsdtar, which makepkg made the .MTREE with, make it again.
func verify(t *testing.T, b *bench, file string) {
	t.Helper()
	dir := b.mkdir(filepath.Join(b.dir, "unpacked"))
	bsdtar(t, "-xpf", file, "-C", dir)
	cmd := exec.CommandContext(t.Context(), "bash", "-c", `set -e
zcat .MTREE > ../mtree
sha() { sha256sum < "$1" | cut -d' ' -f1; }
line=$(grep '^\./\.PKGINFO ' ../mtree)
[[ $line == *"size=$(stat -c %s .PKGINFO) "* ]] || { echo "size: $line"; exit 1; }
[[ $line == *"sha256digest=$(sha .PKGINFO)"* ]] || { echo "sha256: $line"; exit 1; }
[[ $line != *md5digest=* || $line == *"md5digest=$(md5sum < .PKGINFO | cut -d' ' -f1)"* ]] || { echo "md5: $line"; exit 1; }
[[ $(stat -c %a usr/bin/tool) == 4755 && $(readlink usr/bin/link) == tool && usr/bin/hard -ef usr/bin/tool ]] || { ls -lR; exit 1; }
`)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
