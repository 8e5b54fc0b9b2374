package srcinfo_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caur-build/caur/pkg/srcinfo"
	"github.com/google/go-cmp/cmp"
)

// split has everything that makes reading hard: overrides, cleared keys,
// architectures, provides with versions and sonames, names with . + @.
const split = `pkgbase = tool++
	pkgdesc = A tool
	pkgver = 1.2
	pkgrel = 3
	epoch = 2
	url = https://example.org/
	arch = x86_64
	arch = aarch64
	license = MIT
	checkdepends = check.py
	makedepends = cmake>=3
	depends = glibc
	depends = lib@1>=2:1.0-1
	optdepends = extra: for more: much more
	provides = tool=1.2
	provides = libtool.so=1-64
	source = tool-1.2.tar.gz::https://example.org/v1.2.tar.gz
	source = fix.patch
	b2sums = aaaa
	b2sums = SKIP
	makedepends_x86_64 = nasm
	depends_aarch64 = arm-libs
	source_x86_64 = https://example.org/x.bin
	sha256sums_x86_64 = bbbb

pkgname = tool++
	install = tool.install

pkgname = tool-doc
	pkgdesc = Manual
	arch = any
	depends = 
	provides = tool-manual=1

pkgname = tool.extra
	depends = tool++=2:1.2-3
	depends = python<4
	depends_aarch64 = arm-extra
`

func parse(t *testing.T, text string) (*srcinfo.Info, []srcinfo.Problem) {
	t.Helper()
	info, problems, err := srcinfo.Parse("tool/.SRCINFO", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return info, problems
}

func TestParseReadsASplitPackage(t *testing.T) {
	info, problems := parse(t, split)
	if len(problems) > 0 {
		t.Errorf("problems: %v", problems)
	}
	if info.Pkgbase != "tool++" || info.Version() != "2:1.2-3" {
		t.Errorf("read %s %s", info.Pkgbase, info.Version())
	}
	for _, tc := range []struct {
		what string
		got  []string
		want []string
	}{
		{"Arch", info.Arch, []string{"x86_64", "aarch64"}},
		{"Pkgnames", info.Pkgnames(), []string{"tool++", "tool-doc", "tool.extra"}},
		{"Names", info.Names(), []string{"tool++", "tool-doc", "tool.extra", "tool", "libtool.so", "tool-manual"}},
		{"Dependencies", info.Dependencies(), []string{"check.py", "cmake", "glibc", "lib@1", "nasm", "arm-libs", "tool++", "python", "arm-extra"}},
		{"Dependencies of x86_64", info.Dependencies("x86_64"), []string{"check.py", "cmake", "glibc", "lib@1", "nasm", "tool++", "python"}},
		{"depends of the base", info.Values("", "depends", "aarch64"), []string{"glibc", "lib@1>=2:1.0-1", "arm-libs"}},
		{"depends of a package without its own", info.Values("tool++", "depends", "aarch64"), []string{"glibc", "lib@1>=2:1.0-1", "arm-libs"}},
		{"depends of a package that clears them", info.Values("tool-doc", "depends"), nil},
		{"only the architecture that is cleared is", info.Values("tool-doc", "depends", "aarch64"), []string{"arm-libs"}},
		{"depends of a package with its own", info.Values("tool.extra", "depends", "aarch64"), []string{"tool++=2:1.2-3", "python<4", "arm-extra"}},
		{"provides are inherited", info.Values("tool.extra", "provides"), []string{"tool=1.2", "libtool.so=1-64"}},
		{"b2sums", info.Base.Values("b2sums"), []string{"aaaa", "SKIP"}},
		{"sums of an architecture", info.Base.Values("sha256sums", "x86_64"), []string{"bbbb"}},
		{"local files", info.LocalFiles(), []string{"fix.patch", "tool.install"}},
	} {
		if !slices.Equal(tc.got, tc.want) {
			t.Errorf("%s = %q, want %q", tc.what, tc.got, tc.want)
		}
	}
	if got := info.Packages[1].Own.Value("pkgdesc"); got != "Manual" {
		t.Errorf("pkgdesc of tool-doc = %q", got)
	}
	if !info.Packages[1].Own.Has("depends", "") || info.Packages[1].Own.Has("depends", "aarch64") {
		t.Error("Has does not tell a cleared key from one that is not there")
	}
	if got := info.Packages[2].Line; got != 35 {
		t.Errorf("tool.extra stands in line %d, want 35", got)
	}
}

func TestBaseProvidesCountWhileAnyPackageInheritsThem(t *testing.T) {
	const base = "pkgbase = a\n\tpkgver = 1\n\tpkgrel = 1\n\tarch = any\n\tprovides = old\n\tdepends = need\n\n"
	info, _ := parse(t, base+"pkgname = a\n\tprovides = new\n\tprovides = newer\n\tdepends = other\n\npkgname = b\n")
	if got, want := info.Names(), []string{"a", "b", "old", "new", "newer"}; !slices.Equal(got, want) {
		t.Errorf("one of two packages inherits: %q, want %q", got, want)
	}
	info, _ = parse(t, base+"pkgname = a\n\tprovides = new\n\tprovides = newer\n\tdepends = other\n\npkgname = b\n\tprovides = \n")
	if got, want := info.Names(), []string{"a", "b", "new", "newer"}; !slices.Equal(got, want) {
		t.Errorf("every package has its own: %q, want %q", got, want)
	}
	if got, want := info.Dependencies(), []string{"need", "other"}; !slices.Equal(got, want) {
		t.Errorf("makepkg installs the depends of the base in any case: %q, want %q", got, want)
	}
}

func TestParseTakesEveryWayOfWriting(t *testing.T) {
	want, _ := parse(t, split)
	for name, text := range map[string]string{
		"CRLF":                      strings.ReplaceAll(split, "\n", "\r\n"),
		"byte order mark":           "\ufeff" + split,
		"no final newline":          strings.TrimSuffix(split, "\n"),
		"no indentation":            strings.ReplaceAll(split, "\t", ""),
		"no blanks around =":        strings.ReplaceAll(split, " = ", "="),
		"comments and empty lines":  "# made by hand\n\n" + strings.ReplaceAll(split, "\npkgname", "\n\n# next\n\npkgname") + "\n\n",
		"no empty lines":            strings.ReplaceAll(split, "\n\n", "\n"),
		"blanks at the end of line": strings.ReplaceAll(split, "\n", "  \t\n"),
	} {
		t.Run(name, func(t *testing.T) {
			got, problems := parse(t, text)
			if len(problems) > 0 {
				t.Errorf("problems: %v", problems)
			}
			if diff := cmp.Diff(content(want), content(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseKeepsOtherEncodings(t *testing.T) {
	text := strings.Replace(split, "A tool", "Ein M\xfcll", 1)
	info, problems := parse(t, text)
	if got := info.Base.Value("pkgdesc"); got != "Ein M\xfcll" {
		t.Errorf("pkgdesc = %q", got)
	}
	if string(info.Bytes()) != text {
		t.Error("the bytes are not kept")
	}
	if len(problems) != 1 || problems[0].Line != 2 || !strings.Contains(problems[0].Message, "UTF-8") {
		t.Errorf("problems: %v", problems)
	}
}

func TestParseRefusesWithFileAndLine(t *testing.T) {
	const head = "pkgbase = a\n\tpkgver = 1\n\tpkgrel = 1\n\tarch = any\n"
	for _, tc := range []struct {
		name, text string
		line       int
		message    string
	}{
		{"an empty file", "", 1, "no pkgbase"},
		{"nothing but comments", "# x\n\n", 1, "no pkgbase"},
		{"a line without =", head + "pkgname = a\n\toops\n", 6, `"oops" is not KEY = VALUE`},
		{"a conflict marker", head + "<<<<<<< HEAD\npkgname = a\n", 5, "not KEY = VALUE"},
		{"a divider of a conflict", head + "=======\npkgname = a\n", 5, "not KEY = VALUE"},
		{"a key before pkgbase", "\tpkgver = 1\n" + head, 1, "before pkgbase"},
		{"a pkgname before pkgbase", "pkgname = 1\n" + head, 1, "before pkgbase"},
		{"a second pkgbase", head + "pkgbase = b\n", 5, "after line 1"},
		{"a pkgname twice", head + "pkgname = a\npkgname = b\npkgname = a\n", 7, "after line 5"},
		{"no pkgname", head, 1, "has no pkgname"},
		{"no pkgver", "# x\npkgbase = a\n\tpkgrel = 1\n\tarch = any\npkgname = a\n", 2, "has no pkgver"},
		{"an empty pkgver", "pkgbase = a\n\tpkgver =\n\tpkgrel = 1\n\tarch = any\npkgname = a\n", 1, "has no pkgver"},
		{"no pkgrel", "pkgbase = a\n\tpkgver = 1\n\tarch = any\npkgname = a\n", 1, "has no pkgrel"},
		{"no arch", "pkgbase = a\n\tpkgver = 1\n\tpkgrel = 1\npkgname = a\n", 1, "has no arch"},
		{"a pkgbase that is a path", "pkgbase = ../a\n", 1, "no legal name"},
		{"a pkgname that is a path", head + "pkgname = a/b\n", 5, "no legal name"},
		{"a pkgname that is an option", head + "pkgname = -rf\n", 5, "no legal name"},
		{"a hidden pkgname", head + "pkgname = .a\n", 5, "no legal name"},
		{"an empty pkgname", head + "pkgname =\n", 5, "no legal name"},
		{"a pkgver that is a path", strings.Replace(head, "pkgver = 1", "pkgver = 1/../2", 1) + "pkgname = a\n", 2, "slash"},
		{"a pkgrel with a blank", strings.Replace(head, "pkgrel = 1", "pkgrel = 1 2", 1) + "pkgname = a\n", 3, "white space"},
		{"an arch that is a path", head + "\tarch = x/y\npkgname = a\n", 5, "architecture"},
		{"an arch that is a path, in a package", head + "pkgname = a\n\tarch = ..\n", 6, "architecture"},
		{"binary data", "pkgbase = a\x00\n", 1, "binary"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			info, _, err := srcinfo.Parse("dir/.SRCINFO", []byte(tc.text))
			var e *srcinfo.Error
			if !errors.As(err, &e) {
				t.Fatalf("error is %v", err)
			}
			if info != nil {
				t.Error("an Info beside the error")
			}
			if e.Line != tc.line || !strings.Contains(e.Message, tc.message) {
				t.Errorf("got line %d: %s; want line %d: …%s…", e.Line, e.Message, tc.line, tc.message)
			}
			if want := fmt.Sprintf("dir/.SRCINFO:%d: ", tc.line); !strings.HasPrefix(err.Error(), want) {
				t.Errorf("message %q does not begin with %q", err, want)
			}
		})
	}
}

func TestParseReportsWithoutRefusing(t *testing.T) {
	const head = "pkgbase = a\n\tpkgver = 1\n\tpkgrel = 1\n\tarch = x86_64\n"
	for _, tc := range []struct {
		name, text string
		line       int
		message    string
	}{
		{"a misspelt key", head + "\tmakedepents = x\npkgname = a\n", 5, `unknown key "makedepents"`},
		{"an architecture on a key that has none", head + "\tpkgdesc_x86_64 = x\npkgname = a\n", 5, "unknown key"},
		{"a key that ends in _", head + "\tdepends_ = x\npkgname = a\n", 5, "unknown key"},
		{"an architecture that is not built", head + "\tdepends_i686 = x\npkgname = a\n", 5, "arch does not name"},
		{"any is no architecture of a key", head + "\tdepends_any = x\npkgname = a\n", 5, "arch does not name"},
		{"a key of the base in a package", head + "pkgname = a\n\tmakedepends = x\n", 6, "means nothing"},
		{"a second value of a single key", head + "\turl = a\n\turl = b\npkgname = a\n", 6, "after line 5"},
		{"a dependency with an illegal name", head + "\tdepends = a;b\npkgname = a\n", 5, "left out"},
		{"a provides with an illegal name", head + "pkgname = a\n\tprovides = a,b=1\n", 6, "left out"},
		{"a pkgver that makepkg refuses", strings.Replace(head, "pkgver = 1", "pkgver = 2026-1", 1) + "pkgname = a\n", 2, "hyphen"},
		{"a pkgver beyond ASCII", strings.Replace(head, "pkgver = 1", "pkgver = 1é", 1) + "pkgname = a\n", 2, "ASCII"},
		{"a pkgrel that is no number", strings.Replace(head, "pkgrel = 1", "pkgrel = 1.b", 1) + "pkgname = a\n", 3, "INTEGER"},
		{"an epoch that is no number", head + "\tepoch = x\npkgname = a\n", 5, "integer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			info, problems := parse(t, tc.text)
			if len(problems) != 1 || problems[0].Line != tc.line || !strings.Contains(problems[0].Message, tc.message) {
				t.Errorf("problems %v; want line %d: …%s…", problems, tc.line, tc.message)
			}
			for _, name := range append(info.Names(), info.Dependencies()...) {
				if !srcinfo.LegalName(name) {
					t.Errorf("illegal name %q came out", name)
				}
			}
		})
	}
}

func TestDependenciesLeaveOutArchitecturesThatAreNotBuilt(t *testing.T) {
	info, _ := parse(t, "pkgbase = a\n\tpkgver = 1\n\tpkgrel = 1\n\tarch = x86_64\n\tdepends_i686 = old\n\tdepends_any = odd\n"+
		"pkgname = a\n\tarch = aarch64\n\tdepends_aarch64 = arm\n")
	if got, want := info.Dependencies(), []string{"arm"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Each of these would take hours if its cost were not in proportion to its size.
func TestParseBoundsTimeAndMemory(t *testing.T) {
	const n = 100_000
	head := "pkgbase = a\n\tpkgver = 1\n\tpkgrel = 1\n\tarch = x86_64\n"
	many := func(format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for _, tc := range []struct {
		name, text string
		ok         bool
	}{
		{"ten megabytes of fields", head + "pkgname = a\n" + strings.Repeat("\tsource = https://example.org/0123456789/abc\n", 10<<20/46), true},
		{"one line of ten megabytes", head + "\tpkgdesc = " + strings.Repeat("x", 10<<20) + "\npkgname = a\n", true},
		{"a key of ten megabytes", head + strings.Repeat("x", 10<<20) + "=\npkgname = a\n", true},
		{"ten megabytes without =", strings.Repeat("x", 10<<20), false},
		{"a million lines", head + strings.Repeat("a=\n", 1_000_000), false},
		{"more than any file", strings.Repeat("#", 17<<20), false},
		{"many packages and many dependencies", head + many("\tdepends = d%d\n") + many("pkgname = p%d\n"), true},
		{"many packages with one provides each", head + many("\tprovides = d%d\n") + many("pkgname = p%d\n\tprovides = x\n"), true},
		{"many architectures", head + many("\tarch = x%d\n") + many("\tdepends_x%d = y\n") + "pkgname = a\n", false},
		{"many architectures of a package", head + "pkgname = a\n" + many("\tarch = x%d\n"), false},
		{"many unknown architectures", head + many("\tprovides = p%d\n") + "pkgname = a\n" + many("\tprovides_x%d = y\n"), true},
		{"many local files", head + many("\tsource = f%d\n") + "pkgname = a\n", true},
		{"many unknown keys", head + many("\tk%d = 1\n") + "pkgname = a\n", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			info, problems, err := srcinfo.Parse("big/.SRCINFO", []byte(tc.text))
			if (err == nil) != tc.ok {
				t.Fatalf("error: %v", err)
			}
			if len(problems) > 100 {
				t.Errorf("%d problems", len(problems))
			}
			if err != nil {
				if len(err.Error()) > 500 {
					t.Errorf("a message of %d bytes", len(err.Error()))
				}
				return
			}
			info.Names()
			info.Dependencies()
			info.LocalFiles()
			info.Values("a", "provides", "x86_64")
			if len(info.Bytes()) == 0 {
				t.Error("nothing written")
			}
		})
	}
}

// content is everything of an Info but line numbers.
func content(i *srcinfo.Info) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s|%s|%s|%s|%q\n", i.Pkgbase, i.Pkgver, i.Pkgrel, i.Epoch, i.Arch)
	section := func(name string, s srcinfo.Section) {
		fmt.Fprintf(&b, "[%s]\n", name)
		for _, f := range s {
			fmt.Fprintf(&b, "%q/%q=%q\n", f.Key, f.Arch, f.Value)
		}
	}
	section("", i.Base)
	for _, p := range i.Packages {
		section(p.Pkgname, p.Own)
	}
	return b.String()
}
