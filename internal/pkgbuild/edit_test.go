package pkgbuild

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Whole recipes and their .SRCINFO are edited in testdata/edits, by the tests of the package that makes updates.

func mustParse(t testing.TB, src string) *File {
	t.Helper()
	f, err := Parse("PKGBUILD", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestApplyReplacesOnlyTheWords(t *testing.T) {
	for name, c := range map[string]struct {
		src   string
		edits []Edit
		want  string
	}{
		"bare":                         {"pkgver=1.0 # c\n", []Edit{Set("pkgver", "1.1")}, "pkgver=1.1 # c\n"},
		"single quotes":                {"pkgver='1.0'\n", []Edit{Set("pkgver", "1.1")}, "pkgver='1.1'\n"},
		"double quotes":                {"pkgver=\"1.0\"\n", []Edit{Set("pkgver", "1.1")}, "pkgver=\"1.1\"\n"},
		"half quoted":                  {"pkgver=1.\"0\"\n", []Edit{Set("pkgver", "1.1")}, "pkgver=\"1.1\"\n"},
		"empty":                        {"_commit=\npkgver=1\n", []Edit{Set("_commit", "abc")}, "_commit=abc\npkgver=1\n"},
		"empty at the end":             {"_commit=", []Edit{Set("_commit", "abc")}, "_commit=abc"},
		"escaped":                      {`x=a\ b` + "\n", []Edit{Set("x", "c d")}, "x='c d'\n"},
		"indented":                     {"{\n\tpkgver=1.0; pkgrel=2\n}\n", []Edit{Set("pkgver", "1.1"), Set("pkgrel", "1")}, "{\n\tpkgver=1.1; pkgrel=1\n}\n"},
		"exported":                     {"export pkgver=1.0\n", []Edit{Set("pkgver", "1.1")}, "export pkgver=1.1\n"},
		"other letters":                {"# ä ✓\npkgdesc='ö'\npkgver=1.0\n", []Edit{Set("pkgver", "1.1"), Set("pkgdesc", "ü")}, "# ä ✓\npkgdesc='ü'\npkgver=1.1\n"},
		"a line that goes on":          {"pkgver=\\\n1.0\n", []Edit{Set("pkgver", "1.1")}, "pkgver=1.1\n"},
		"items":                        {"a=( x  'y'\n\t\"z\" # c\n)\n", []Edit{SetItems("a", "1", "2", "3")}, "a=( 1  '2'\n\t\"3\" # c\n)\n"},
		"items that stay":              {"a=(x$b y)\nb=\n", []Edit{SetItems("a", "x", "z")}, "a=(x$b z)\nb=\n"},
		"items over two assignments":   {"a=(x)\na+=(y)\n", []Edit{SetItems("a", "1", "2")}, "a=(1)\na+=(2)\n"},
		"items by index":               {"a=([0]=x [1]=y)\n", []Edit{SetItems("a", "1", "2")}, "a=([0]=1 [1]=2)\n"},
		"a scalar as items":            {"a=x\n", []Edit{SetItems("a", "1")}, "a=1\n"},
		"one item":                     {"source=(a 'b' c)\n", []Edit{ReplaceItem("source", "b", "d")}, "source=(a 'd' c)\n"},
		"one item of a dynamic array":  {"source=(a $(b) c)\n", []Edit{ReplaceItem("source", "c", "d")}, "source=(a $(b) d)\n"},
		"an item that follows":         {"v=1\nsource=(a-$v b)\n", []Edit{ReplaceItem("source", "a-1", "a-2"), Set("v", "2")}, "v=2\nsource=(a-$v b)\n"},
		"the version follows _commit":  {"_commit=aa\npkgver=1.${_commit}\n", []Edit{Set("_commit", "bb"), Set("pkgver", "1.bb")}, "_commit=bb\npkgver=1.${_commit}\n"},
		"through a variable":           {"_v=1.0\npkgver=$_v\n", []Edit{Set("pkgver", "2")}, "_v=2\npkgver=$_v\n"},
		"through two, one behind one":  {"_w=1.0\n_v=\"$_w\"\npkgver=${_v}\n", []Edit{Set("pkgver", "2")}, "_w=2\n_v=\"$_w\"\npkgver=${_v}\n"},
		"text beside a variable":       {"_x=6.1\npkgver=${_x}.9\n", []Edit{Set("pkgver", "6.1.10")}, "_x=6.1\npkgver=${_x}.10\n"},
		"text that stays":              {"_x=2.0\npkgver=\"${_x}.1\"\n", []Edit{Set("pkgver", "3.1")}, "_x=3\npkgver=\"${_x}.1\"\n"},
		"digits and letters":           {"_a=24\n_b=9\npkgver=${_a}.u${_b}\n", []Edit{Set("pkgver", "25.u10")}, "_a=25\n_b=10\npkgver=${_a}.u${_b}\n"},
		"a replacement with no effect": {"_v=1.0\npkgver=${_v//-/_}\n", []Edit{Set("pkgver", "1.2")}, "_v=1.2\npkgver=${_v//-/_}\n"},
		"epoch is added":               {"pkgver=1\n\tpkgrel='3' # x\narch=()\n", []Edit{Set("epoch", "1"), Set("pkgrel", "1")}, "pkgver=1\n\tpkgrel='1' # x\nepoch=1\narch=()\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f := mustParse(t, c.src)
			got, err := f.Apply(c.edits...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got.Bytes())); diff != "" {
				t.Error(diff)
			}
			if string(f.Bytes()) != c.src {
				t.Error("the old file has changed")
			}
		})
	}
}

func TestApplyRefusesWhatItCannotDoForSure(t *testing.T) {
	for name, c := range map[string]struct {
		src   string
		edit  Edit
		kind  error
		wants string
	}{
		"no variable":            {"x=1\n", Set("pkgver", "1"), ErrMissing, "PKGBUILD: has no variable pkgver"},
		"no such item":           {"a=(x)\n", ReplaceItem("a", "y", "z"), ErrMissing, `PKGBUILD:1: a has no item "y"`},
		"item twice":             {"a=(x\nx)\n", ReplaceItem("a", "x", "z"), ErrMissing, `PKGBUILD:2: a has "x" twice, here and in line 1`},
		"too many items":         {"a=(x)\n", SetItems("a", "y", "z"), ErrMissing, "a has 1 items, not the 2"},
		"a command":              {"pkgver=$(date)\n", Set("pkgver", "1"), ErrNotLiteral, "needs the command substitution $(date)"},
		"a condition":            {"pkgver=1\nif [[ $(x) ]]; then\n\tpkgver=2\nfi\n", Set("pkgver", "3"), ErrNotLiteral, "PKGBUILD:2: pkgver cannot be set for sure"},
		"code from elsewhere":    {"pkgver=1\n. ./x\n", Set("pkgver", "3"), ErrNotLiteral, "PKGBUILD:2: pkgver cannot be set for sure: anything may depend on the command . ./x"},
		"an eval":                {"eval 'pkgver=1'\n", Set("pkgver", "2"), ErrNotLiteral, "PKGBUILD:1: pkgver is assigned by an eval"},
		"a function":             {"f() {\n\tpkgver=1\n}\nf\n", Set("pkgver", "2"), ErrNotLiteral, "PKGBUILD:2: pkgver is assigned in the function f"},
		"pieces":                 {"pkgver=1\npkgver+=.2\n", Set("pkgver", "2"), ErrNotLiteral, "pkgver is made of pieces"},
		"an element":             {"a=(x)\na[0]=y\n", SetItems("a", "z"), ErrNotLiteral, "a is made of pieces"},
		"a loop":                 {"for v in 1 2; do\n\tpkgver=$v\ndone\n", Set("pkgver", "3"), ErrNotLiteral, "assigned twice"},
		"a read":                 {"read pkgver <<< 1\n", Set("pkgver", "3"), ErrNotLiteral, "not assigned in a plain way"},
		"an array as a scalar":   {"pkgver=(1 2)\n", Set("pkgver", "3"), ErrNotLiteral, "not a plain variable"},
		"braces":                 {"source=(a{1,2})\n", SetItems("source", "b1", "b2"), ErrNotLiteral, "as a{1,2}"},
		"a replaced variable":    {"_v=1-2\npkgver=${_v/-/.}\n", Set("pkgver", "1.3"), ErrNotLiteral, "change _v instead"},
		"a variable twice":       {"_v=1\npkgver=$_v.$_v\n", Set("pkgver", "2.2"), ErrNotLiteral, "change _v instead"},
		"variables without seam": {"_a=1\n_b=2\npkgver=$_a$_b\n", Set("pkgver", "34"), ErrNotLiteral, "change _a, _b instead"},
		"a variable by command":  {"_v=$(x)\npkgver=$_v.1\n", Set("pkgver", "2.1"), ErrNotLiteral, "needs the command substitution"},
		"variables in a circle":  {"_v=1\n_v=$_v\npkgver=$_v\n", Set("pkgver", "2"), ErrNotLiteral, "change _v instead"},
		"other parts":            {"_v=1.2\n_w=3\npkgver=$_v.$_w\n", Set("pkgver", "1"), ErrNotLiteral, "change _v, _w instead"},
		"pkgrel by a variable":   {"_build=3\npkgrel=$_build\n", Set("pkgrel", "1"), ErrNotLiteral, "change _build instead"},
		"a bad pkgver":           {"pkgver=1\n", Set("pkgver", "1-2"), nil, `"1-2" is no legal pkgver`},
		"a bad pkgrel":           {"pkgrel=1\n", Set("pkgrel", "1.2.3"), nil, `"1.2.3" is no legal pkgrel`},
		"a bad epoch":            {"pkgrel=1\n", Set("epoch", "-1"), nil, `"-1" is no legal epoch`},
		"no place for an epoch":  {"pkgrel=1 pkgver=2\n", Set("epoch", "1"), ErrMissing, "no plain pkgrel line"},
		"a second line":          {"x=1\n", Set("x", "a\nb"), nil, "control character"},
		"an escape":              {"x=1\n", Set("x", "\x1b[2J"), nil, "control character"},
		"no UTF-8":               {"x=1\n", Set("x", "\xff"), nil, "not UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := mustParse(t, c.src).Apply(c.edit)
			var problem *Error
			if !errors.As(err, &problem) || got != nil {
				t.Fatalf("%v, want an *Error", err)
			}
			if !errors.Is(err, c.kind) && c.kind != nil || !strings.Contains(err.Error(), c.wants) {
				t.Errorf("%v (kind %v)\nwant %s (kind %v)", err, problem.Err, c.wants, c.kind)
			}
		})
	}
}

func TestTheSameValueIsNotChangedTwice(t *testing.T) {
	_, err := mustParse(t, "pkgver=1\n").Apply(Set("pkgver", "2"), Set("pkgver", "3"))
	if err == nil || !strings.Contains(err.Error(), "changed twice") {
		t.Error(err)
	}
}

// Nothing that a foreign server sends as a version, commit, source or checksum becomes code.
func TestNoValueBecomesCode(t *testing.T) {
	quotes := []string{"", "'", `"`}
	rapid.Check(t, func(t *rapid.T) {
		q := rapid.SampledFrom(quotes)
		values := rapid.SliceOfN(rapid.OneOf(
			rapid.StringMatching(`[ -~]{0,12}`),
			rapid.SampledFrom([]string{"$(id)", "`id`", "';id;'", `";id;"`, "a b", "#x", "x #y", "~", "*", "{a,b}", `\`, `\\`, "!", "$x", "", "(", ")", "ä"}),
		), 3, 3).Draw(t, "values")
		src := "_commit=" + quoteWith(q, t) + "\na=(" + quoteWith(q, t) + " # c\n  " + quoteWith(q, t) + ")\nid() { touch \"$pkgdir\"; }\n"
		f := mustParseRapid(t, src)
		got, err := f.Apply(Set("_commit", values[0]), SetItems("a", values[1], values[2]))
		if err != nil {
			t.Skip("refused") // which is always right
		}
		s := got.Static()
		if s.Get("_commit").String() != values[0] || !slices.Equal(s.Get("a").Items, values[1:]) {
			t.Fatalf("%q gives %q", values, got.Bytes())
		}
		for _, a := range s.Assignments() {
			for _, el := range a.Elements {
				if !el.Literal {
					t.Fatalf("%q is no literal in %q", el.Raw, got.Bytes())
				}
			}
		}
		if n := len(got.tree.Stmts); n != 3 || bytes.Count(got.src, []byte("# c\n")) != 1 {
			t.Fatalf("%d statements in %q", n, got.Bytes())
		}
	})
}

func quoteWith(q *rapid.Generator[string], t *rapid.T) string {
	quote := q.Draw(t, "quote")
	return quote + "old" + quote
}

func mustParseRapid(t *rapid.T, src string) *File {
	f, err := Parse("PKGBUILD", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// recipeGen makes recipes of all layouts, with the spans of what is to be edited left out: %s pkgver, pkgrel and two checksums.
func recipeGen() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
		lines := []string{
			pick("name", "pkgname=lamp", "pkgname=('lamp')", "pkgbase=lamp\npkgname=(lamp lamp-doc)"),
			"pkgver=" + pick("quote", "%s", "'%s'", `"%s"`) + pick("comment", "", " # newest", "\t"),
			"pkgrel=" + pick("quote", "%s", "'%s'", `"%s"`),
			"arch=(" + pick("arch", "any", "'x86_64'", "x86_64 aarch64") + ")",
			"source=(" + pick("source", `"a-$pkgver.tgz" b`, "\n\ta-${pkgver}.tgz\n\tb # c\n", "a-\"$pkgver\".tgz{,.sig}") + ")",
			pick("sums", "sha256sums", "b2sums", "md5sums") + "=(" + pick("layout", "'%s' '%s'", "\n\t# first\n\t%s\n\t\"%s\")\n: (", "%s\n            %s", "  %s   '%s'  # x\n"),
		}
		lines[5] = strings.TrimSuffix(lines[5], "\n: (") + ")"
		lines[5] = strings.Replace(lines[5], "))", ")", 1)
		return strings.Join(lines, "\n") + pick("end", "\n", "\n\npackage() { install -D b \"$pkgdir/$pkgver\"; }\n", "")
	})
}

func TestAnEditChangesOnlyTheEditedWords(t *testing.T) {
	version := rapid.StringMatching(`[0-9]{1,3}(\.[0-9]{1,3}){0,2}`)
	sum := rapid.StringMatching(`[0-9a-f]{8}`)
	rapid.Check(t, func(t *rapid.T) {
		form := recipeGen().Draw(t, "recipe")
		fill := func(label string) (string, []string) {
			v := []string{version.Draw(t, label), rapid.StringMatching(`[1-9]`).Draw(t, label), sum.Draw(t, label), sum.Draw(t, label)}
			return fmt.Sprintf(form, v[0], v[1], v[2], v[3]), v
		}
		older, _ := fill("old")
		want, v := fill("new")
		f := mustParseRapid(t, older)
		got, err := f.Apply(Set("pkgver", v[0]), Set("pkgrel", v[1]), SetItems(f.Static().Checksums()[0], v[2], v[3]))
		if err != nil {
			t.Fatalf("%v\n%s", err, older)
		}
		if string(got.Bytes()) != want {
			t.Fatalf("%q became\n%q, not\n%q", older, got.Bytes(), want)
		}
	})
}
