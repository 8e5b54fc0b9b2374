package candidates

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/cmd/caur-ci/internal/download"
	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/srcinfo"
)

func TestEveryChecksumIsThatOfItsProgram(t *testing.T) {
	for _, text := range []string{"", "a", "123456789", strings.Repeat("0123456789abcdef\n", 20_000)} {
		for _, kind := range pkgbuild.ChecksumKeys() {
			program := strings.TrimSuffix(kind, "s")
			testenv.Need(t, program)
			cmd := exec.Command(program)
			cmd.Stdin = strings.NewReader(text)
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			want, _, _ := strings.Cut(string(out), " ")
			h := newChecksum(kind)
			for i := 0; i < len(text); i += 1000 { // in pieces
				_, _ = h.Write([]byte(text[i:min(len(text), i+1000)]))
			}
			if got := checksumText(kind, h); got != want {
				t.Errorf("%s of %d bytes: %s, not %s", kind, len(text), got, want)
			}
			h.Reset()
			if empty := checksumText(kind, newChecksum(kind)); checksumText(kind, h) != empty || h.Size() == 0 || h.BlockSize() == 0 {
				t.Errorf("%s is not reset", kind)
			}
		}
	}
	if newChecksum("sumsums") != nil {
		t.Error("an unknown one is known")
	}
}

func sumOf(kind, text string) string {
	h := newChecksum(kind)
	_, _ = h.Write([]byte(text))
	return checksumText(kind, h)
}

func summed(t *testing.T, recipe string, pages map[string]string, local map[string]string) (string, error) {
	t.Helper()
	files := pkgdir.Dir{"PKGBUILD": {Data: []byte(recipe)}}
	for name, text := range local {
		files[name] = pkgdir.File{Data: []byte(text)}
	}
	f, err := pkgbuild.Parse("PKGBUILD", []byte(recipe))
	if err != nil {
		t.Fatal(err)
	}
	info, _, err := f.Static().Srcinfo()
	if err != nil {
		t.Fatal(err)
	}
	files[srcinfoName] = pkgdir.File{Data: info.Bytes()}
	answers := map[string][]testenv.Page{}
	for address, text := range pages {
		answers["GET "+address] = []testenv.Page{{Body: text, Times: 1}} // once, however many arrays name it
	}
	web := download.New(download.Options{Transport: testenv.Hosts(t, answers), Tries: 1})
	next, err := newVersion(t.Context(), web, files, VersionEdit{Pkgver: "2", Pkgrel: "1"})
	return string(next["PKGBUILD"].Data), err
}

const sumsHead = "pkgname=a\npkgver=1\npkgrel=7\narch=(x86_64 aarch64)\n"

func TestOnlyChecksumsOfChangedSourcesAreMade(t *testing.T) {
	recipe := func(ver, rel, a, b, sig, arm string) string {
		return strings.NewReplacer("pkgver=1", "pkgver="+ver, "pkgrel=7", "pkgrel="+rel).Replace(sumsHead) + fmt.Sprintf(`source=(https://x.example/a-$pkgver.tar.gz{,.sig} keep.patch "local-$pkgver" git+https://x.example/g.git#tag=v$pkgver https://x.example/same)
source_aarch64=("arm::https://x.example/arm-$pkgver")
md5sums=(%s SKIP 1 SKIP SKIP 2)
b2sums=('%s' "%s" 3 SKIP 'SKIP' 4) # kept
cksums_aarch64=(%s)
`, a, b, sig, arm)
	}
	got, err := summed(t, recipe("1", "7", "0", "0", "0", "0"), map[string]string{
		"https://x.example/a-2.tar.gz": "A", "https://x.example/a-2.tar.gz.sig": "S", "https://x.example/arm-2": "ARM",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := recipe("2", "1", sumOf("md5sums", "A"), sumOf("b2sums", "A"), sumOf("b2sums", "S"), sumOf("cksums", "ARM"))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestADownloadWhoseAddressStaysIsMadeAnewWhenNothingElseIsNew(t *testing.T) {
	recipe := sumsHead + "source=(https://x.example/latest.deb x.desktop)\nsha1sums=(0 1)\n"
	got, err := summed(t, recipe, map[string]string{"https://x.example/latest.deb": "L"}, map[string]string{"x.desktop": "d"})
	if err != nil || !strings.Contains(got, "sha1sums=("+sumOf("sha1sums", "L")+" 1)") {
		t.Error(err, got)
	}
}

func TestALocalFileIsReadFromThePackage(t *testing.T) {
	recipe := sumsHead + "source=(x-$pkgver.patch)\nsha512sums=(0)\n"
	got, err := summed(t, recipe, nil, map[string]string{"x-2.patch": "P"})
	if err != nil || !strings.Contains(got, sumOf("sha512sums", "P")) {
		t.Error(err, got)
	}
}

func TestATagOfGitHasTheChecksumThatMakepkgMakes(t *testing.T) {
	g := testenv.NewGitRepo(t)
	g.Write("a", "1\n")
	g.Write(".gitattributes", "b export-ignore\nc export-subst\n")
	g.Write("b", "left out\n")
	g.Write("c", "$Format:%h$\n")
	g.Commit("older")
	g.Write("a", "2\n")
	commit := g.Commit("newer")
	g.Git("tag", "-a", "-m", "x", "v2")
	for fragment, ref := range map[string]string{"tag=v$pkgver": "v2", "commit=" + commit + "?signed": commit} {
		recipe := sumsHead + "source=(x-$pkgver::git+file://" + g.Origin() + "#" + fragment + ")\nsha256sums=(0)\nb2sums=(SKIP)\n"
		got, err := summed(t, recipe, nil, nil)
		want := sumOf("sha256sums", g.Git("-c", "core.abbrev=no", "archive", "--format", "tar", ref)) // the archive ends with NUL, not with a line break
		if err != nil || !strings.Contains(got, "sha256sums=("+want+")") {
			t.Errorf("%v\n%s\nwant %s", err, got, want)
		}
	}
}

func TestChecksumsAreAllOrNothing(t *testing.T) {
	for name, c := range map[string]struct{ rest, want string }{
		"a local file is missing":  {"source=(x-$pkgver.patch)\nmd5sums=(0)\n", "there is no x-2.patch"},
		"a branch of git":          {"source=(git+https://x.example/$pkgver.git#branch=main)\nmd5sums=(0)\n", "names a tag or commit of git"},
		"a short commit":           {"source=(git+https://x.example/$pkgver.git#commit=abc1234)\nmd5sums=(0)\n", "must have all its digits"},
		"another system":           {"source=(hg+https://x.example/g#revision=$pkgver)\nmd5sums=(0)\n", "a hg source can have a checksum only"},
		"no such tag":              {"source=(git+file:///nonexistent#tag=v$pkgver)\nmd5sums=(0)\n", "checksum of git+file:///nonexistent: "},
		"another scheme":           {"source=(ftp://u:hush@x.example/a-$pkgver)\nmd5sums=(0)\n", "no http or https address"},
		"too few":                  {"source=(https://x.example/a-$pkgver y)\nmd5sums=(0)\n", "PKGBUILD:6: md5sums has 1 items for the 2 of source"},
		"sources that are unknown": {"source=(https://x.example/$(uname)-$pkgver)\nmd5sums=(0)\n", "without running the PKGBUILD"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := summed(t, sumsHead+c.rest, nil, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || got != "" || strings.Contains(err.Error(), "hush") {
				t.Errorf("%v\nwant %s", err, c.want)
			}
		})
	}
}

func TestPkgverOfVersions(t *testing.T) {
	for version, want := range map[string]string{
		"1.2.3": "1.2.3", "v1.2": "1.2", "V2": "2", "v.0.5": "0.5", "v-3": "3", "1.0-rc1": "1.0rc1", "1.0-beta.2": "1.0beta.2", "1.0-a1": "1.0a1",
		"2.3-4": "2.3_4", "2024-01-02": "2024_01_02", "release-1.0": "release_1.0", "1.0+git~1": "1.0+git~1", " 1.0 ": "1.0", "1.0-arch1": "1.0_arch1", "very1": "very1",
		"": "", "1:2": "", "a/b": "", "1 2": "", "$(id)": "", "1`id`": "", ".1": "", "-1": "", "1\n2": "", "ü": "", strings.Repeat("1", 200): "",
	} {
		got, err := pkgverOf(version)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", version, got, err, want)
		}
	}
	if srcinfo.Vercmp("1.0rc1", "1.0") >= 0 || srcinfo.Vercmp("1.0_rc1", "1.0") <= 0 {
		t.Error("the order of pacman is not what this relies on")
	}
}

func TestACommitKeepsItsLength(t *testing.T) {
	full := strings.Repeat("ab", 20)
	for recipe, want := range map[string]string{"": "", "_commit=1234567\n": full[:7], "_commit=" + strings.Repeat("0", 40) + "\n": full, "_commit=\n": full, "_commit=$(x)\n": full} {
		f, err := pkgbuild.Parse("PKGBUILD", []byte(sumsHead+recipe))
		if err != nil {
			t.Fatal(err)
		}
		if got := pinned(f.Static(), full); got != want {
			t.Errorf("%q: %q, not %q", recipe, got, want)
		}
	}
}
