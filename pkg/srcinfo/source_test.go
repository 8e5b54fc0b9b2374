package srcinfo_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/caur-build/caur/pkg/srcinfo"
	"github.com/google/go-cmp/cmp"
)

var sources = []srcinfo.Source{
	{Entry: "fix.patch", Name: "fix.patch", URL: "fix.patch", Local: true},
	{Entry: "dir/fix.patch", Name: "fix.patch", URL: "dir/fix.patch", Local: true},
	{Entry: "new.patch::fix.patch", Name: "new.patch", URL: "fix.patch", Local: true},
	{Entry: "https://example.org/a-1.tar.gz", Name: "a-1.tar.gz", URL: "https://example.org/a-1.tar.gz"},
	{Entry: "a.tgz::https://example.org/a-1.tar.gz?x=1#y", Name: "a.tgz", URL: "https://example.org/a-1.tar.gz?x=1#y"},
	{Entry: "file:///srv/a", Name: "a", URL: "file:///srv/a"},
	{Entry: "git+https://example.org/tool.git", Name: "tool", URL: "https://example.org/tool.git", VCS: "git"},
	{Entry: "git+https://example.org/tool.git#branch=dev", Name: "tool", URL: "https://example.org/tool.git", VCS: "git", FragType: "branch", FragRef: "dev"},
	{Entry: "git+https://example.org/tool#tag=v1?signed", Name: "tool", URL: "https://example.org/tool", VCS: "git", FragType: "tag", FragRef: "v1"},
	{Entry: "git+https://example.org/tool?signed#commit=abc", Name: "tool", URL: "https://example.org/tool", VCS: "git", FragType: "commit", FragRef: "abc"},
	{Entry: "src::git+ssh://git@example.org/tool.git/", Name: "src", URL: "ssh://git@example.org/tool.git/", VCS: "git"},
	{Entry: "git://example.org/tool.git/", Name: "tool", URL: "git://example.org/tool.git/", VCS: "git"},
	{Entry: "git+file:///srv/tool", Name: "tool", URL: "file:///srv/tool", VCS: "git"},
	{Entry: "svn+https://example.org/svn/trunk#revision=12", Name: "trunk", URL: "https://example.org/svn/trunk", VCS: "svn", FragType: "revision", FragRef: "12"},
	{Entry: "hg+https://example.org/hg/tool", Name: "tool", URL: "https://example.org/hg/tool", VCS: "hg"},
	{Entry: "fossil+https://example.org/fossil/tool", Name: "tool.fossil", URL: "https://example.org/fossil/tool", VCS: "fossil"},
	{Entry: "bzr+lp:tool", Name: "tool", URL: "lp:tool", VCS: "bzr"},
	{Entry: "git+https://example.org/a.github.io.git", Name: "a", URL: "https://example.org/a.github.io.git", VCS: "git"},
	{Entry: "", Local: true},
}

func TestParseSourceTakesEntriesApart(t *testing.T) {
	for _, want := range sources {
		if diff := cmp.Diff(want, srcinfo.ParseSource(want.Entry)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", want.Entry, diff)
		}
	}
}

// makepkg's own functions tell name and protocol of a source.
func TestParseSourceAgreesWithMakepkg(t *testing.T) {
	const script = `set -e
LIBRARY=/usr/share/makepkg
source "$LIBRARY/util/source.sh"
for entry; do printf '%s\t%s\n' "$(get_filename "$entry")" "$(get_protocol "$entry")"; done`
	args := []string{"-c", script, "bash"}
	for _, s := range sources {
		args = append(args, s.Entry)
	}
	cmd := exec.Command("bash", args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("makepkg's functions: %v: run make test, which installs makepkg", err)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	for n, s := range sources {
		name, protocol, _ := strings.Cut(lines[n], "\t")
		if s.Name != name {
			t.Errorf("%q: name %q, makepkg says %q", s.Entry, s.Name, name)
		}
		if s.Local != (protocol == "local") {
			t.Errorf("%q: local %v, makepkg says %s", s.Entry, s.Local, protocol)
		}
		if s.VCS != "" && s.VCS != protocol {
			t.Errorf("%q: %s, makepkg says %s", s.Entry, s.VCS, protocol)
		}
	}
}

func TestSourcesHaveTheirArchitecture(t *testing.T) {
	info, _ := parse(t, split)
	var got []string
	for _, s := range info.Sources() {
		got = append(got, s.Arch+"|"+s.Name)
	}
	if want := []string{"|tool-1.2.tar.gz", "|fix.patch", "x86_64|x.bin"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLocalFilesStayInTheirDirectory(t *testing.T) {
	info := srcinfo.New("a")
	info.Set("", "source", "", "ok.patch", "../up", "/etc/passwd", "sub/../ok.patch", "sub/file", ".git/config", "sub/../../x", ".", "..", "x::y.patch", "https://e.org/z")
	info.Set("", "install", "", "../../a.install")
	info.Set("", "changelog", "", "ChangeLog")
	info.Set("b", "install", "", "b.install")
	want := []string{"ok.patch", "sub/file", "y.patch", "ChangeLog", "b.install"}
	if got := info.LocalFiles(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParseSource(f *testing.F) {
	for _, s := range sources {
		f.Add(s.Entry)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		s := srcinfo.ParseSource(entry)
		if s.Entry != entry || s.Local && s.VCS != "" {
			t.Errorf("%q gives %+v", entry, s)
		}
		info := srcinfo.New("a")
		info.Set("", "source", "", entry)
		for _, file := range info.LocalFiles() {
			if strings.HasPrefix(file, "/") || file == ".." || strings.HasPrefix(file, "../") || strings.HasPrefix(file, ".git/") {
				t.Errorf("%q gives the local file %q", entry, file)
			}
		}
	})
}

func TestParseDepSplitsNameAndConstraint(t *testing.T) {
	for text, want := range map[string]srcinfo.Dep{
		"glibc":                {Name: "glibc"},
		"glibc>=2.38":          {Name: "glibc", Op: ">=", Version: "2.38"},
		"glibc<=2.38-1":        {Name: "glibc", Op: "<=", Version: "2.38-1"},
		"glibc=1:2.38-1":       {Name: "glibc", Op: "=", Version: "1:2.38-1"},
		"glibc<3":              {Name: "glibc", Op: "<", Version: "3"},
		"glibc>3":              {Name: "glibc", Op: ">", Version: "3"},
		"libfoo.so=1-64":       {Name: "libfoo.so", Op: "=", Version: "1-64"},
		"a@b+c.d_e-f":          {Name: "a@b+c.d_e-f"},
		"extra: for a=b, c>=d": {Name: "extra"},
		"extra>=1:2: for more": {Name: "extra", Op: ">=", Version: "1:2"},
		"extra:":               {Name: "extra"},
		" spaced >= 1 ":        {Name: "spaced", Op: ">=", Version: "1"},
		"a==1":                 {Name: "a", Op: "=", Version: "=1"},
		"a>=":                  {Name: "a", Op: ">="},
		"a>":                   {Name: "a", Op: ">"},
		"=1":                   {Op: "=", Version: "1"},
		"":                     {},
	} {
		if got := srcinfo.ParseDep(text); got != want {
			t.Errorf("ParseDep(%q) = %+v, want %+v", text, got, want)
		}
	}
	if got := srcinfo.ParseDep("extra>=1:2: for more").String(); got != "extra>=1:2" {
		t.Errorf("String() = %q", got)
	}
}

func TestLegalName(t *testing.T) {
	for _, name := range []string{"a", "A-Z_0.9+@", "_x", "@x", "+x", "0", "gtk2+extra@1.2"} {
		if !srcinfo.LegalName(name) {
			t.Errorf("%q is legal", name)
		}
	}
	for _, name := range []string{"", "-a", ".a", "..", "a/b", "a b", "a:b", "a;b", "a,b", "a\n", "é", "a\x00", "a=b", "$(x)", "a'", "a*"} {
		if srcinfo.LegalName(name) {
			t.Errorf("%q is not legal", name)
		}
	}
}
