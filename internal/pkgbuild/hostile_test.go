package pkgbuild

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caur-build/caur/pkg/srcinfo"
)

// hostile are PKGBUILDs that cost far more than their size where work or memory is not bounded.
func hostile() map[string]string {
	const size = MaxSize / 16 // the whole takes too long with the race detector; what grows faster than the text shows here, too
	rep := strings.Repeat
	fill := func(head, unit, tail string) string {
		return head + rep(unit, (size-len(head)-len(tail))/len(unit)) + tail
	}
	list := "a=({1..50000})\n"
	return map[string]string{
		"one long line":                     fill("a='", "x", "'\n"),
		"one long comment":                  fill("#", "x", "\n"),
		"one word of many parts":            fill("a=", `$b"c"`, "\n"),
		"one array of many items":           fill("a=(", "x ", ")\n"),
		"one array with indices":            fill("a=(", "[0]=x ", ")\n"),
		"one array with falling indices":    "a=(" + falling(4_000) + ")\n",
		"one command of many words":         fill("x ", "y ", "\n"),
		"many assignments":                  fill("", "a=1\n", ""),
		"many variables":                    many(3_000, "v%d=$v%d\n"),
		"many functions":                    many(2_000, "f%d() { g%d; }\n"),
		"a string that doubles":             "a=x\n" + rep("a=$a$a\n", 60),
		"an array that doubles":             "a=(x y)\n" + rep(`a=("${a[@]}" "${a[@]}")`+"\n", 60),
		"an array that grows":               list + fill("", "a+=(x)\n", "")[:size-len(list)],
		"a large array that is counted":     list + rep("b=${#a[@]}\n", 5_000),
		"a large array with one item set":   list + rep("a[0]=x\n", 5_000),
		"a large array as a scalar":         list + rep("a=x\n", 5_000),
		"a large map":                       "declare -A m\nfor i in {1..20000}; do m[$i]=x; done\n" + rep("m[a]=y\n", 3_000),
		"braces in braces":                  "a=(" + rep("{a,b}", 100) + ")\n",
		"braces that count far":             "a=({1..999999999})\n",
		"loops in loops":                    rep("for i in {1..1000}; do\n", 50) + "x=$i\n" + rep("done\n", 50),
		"an endless loop":                   "while true; do a=$a.; done\n",
		"a function that calls itself":      "f() { f; f; }\nf\n",
		"an eval that evals itself":         "a='eval \"$a$a\"'\neval \"$a\"\n",
		"a maybe in a loop":                 "for i in {1..100000}; do if [[ $(x) ]]; then\n" + rep("a=1\n", 6_000) + "fi; done\n",
		"a large unknown word in a loop":    "for i in {1..100000}; do a=$(" + rep("x", 100_000) + "); done\n",
		"a large unknown condition":         "for i in {1..100000}; do [[ $(" + rep("x", 100_000) + ") ]]; done\n",
		"a replacement with many stars":     "a=" + rep("a", 10_000) + "\nb=${a//" + rep("*a", 200) + "b/}\n",
		"a prefix with many stars":          "a=" + rep("a", 10_000) + "\nb=${a##" + rep("*a", 200) + "b}\n",
		"substrings of a large string":      "a=" + rep("a", 100_000) + "\n" + rep("b=${a:0:1}\n", 3_000),
		"many packages":                     "pkgname=({1..20000}) pkgver=1 pkgrel=1 arch=(any)\npackage() {\n" + rep("\tdepends+=(a b c)\n", 5_000) + "}\n",
		"many packages with text":           "pkgname=({1..20000}) pkgver=1 pkgrel=1 arch=(any)\npackage() {\n\techo '" + rep("x\n", 6_000) + "'\n}\n",
		"many architectures":                "pkgname=({1..1000}) pkgver=1 pkgrel=1 arch=(a{1..50000})\n",
		"packages with a large dependency":  "pkgname=({1..20000}) pkgver=1 pkgrel=1 arch=(any)\nd=" + rep("d", 6_000) + "\npackage() { depends=(\"$d\"); }\n",
		"statements chained by &&":          fill("a", "&&a", "\n"),
		"a pipeline of thousands":           fill("a", "|a", "\n"),
		"parentheses":                       rep("(", 100_000),
		"command substitutions":             "a=" + rep("$(", 300_000),
		"quotes in expansions":              "a=" + rep(`"${a:-`, 6_000),
		"arithmetic":                        "((" + rep("(", 300_000) + "1",
		"elif":                              "if a; then b\n" + rep("elif a; then b\n", 3_000) + "fi\n",
		"case in case":                      rep("case a in a) ", 10_000),
		"unary minus":                       "a=$((" + rep("- ", 400_000) + "1))\n",
		"negations":                         rep("! ", 400_000) + "a\n",
		"here-documents":                    rep("<<E ", 6_000) + "\n" + rep("E\n", 6_000),
		"comments that end in a backslash":  rep("a # \\\n", 6_000),
		"more than a PKGBUILD can be":       rep("# padding\n", 500_000),
		"references from name to name":      many(3_000, "v%d='v%d'\n") + "a=${!v1}\n",
		"sources that need a hostile value": "pkgname=a pkgver=1 pkgrel=1 arch=(any)\nsource=($(x) " + rep("$pkgver ", 6_000) + ")\n",
	}
}

func many(n int, form string) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, form, i+1, i)
	}
	return out.String()
}

func falling(n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "[%d]=x ", n-i)
	}
	return out.String()
}

// The test ends at all because the work is bounded; how long each takes is in its log.
func TestHostileInputEndsInAClearError(t *testing.T) {
	for name, src := range hostile() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exercise(t, "PKGBUILD", []byte(src))
			if out, err := Format("PKGBUILD", []byte(src), Style{}); err != nil && out != nil {
				t.Error("both a text and an error")
			}
		})
	}
}

// exercise does everything with a text. Whatever it is, errors name the file, and what comes out can be read again.
func exercise(t *testing.T, name string, data []byte) {
	t.Helper()
	f, err := Parse(name, data)
	if err != nil {
		var problem *Error
		if !errors.As(err, &problem) || !strings.HasPrefix(err.Error(), name+":") || len(err.Error()) > 1000 {
			t.Fatalf("error %.1000q", err)
		}
		return
	}
	s := f.Static()
	info, dynamic, err := s.Srcinfo()
	if err == nil && len(dynamic) == 0 {
		again, _, err := srcinfo.Parse(".SRCINFO", info.Bytes())
		if err != nil || !bytes.Equal(again.Bytes(), info.Bytes()) {
			t.Fatalf("a .SRCINFO that reads back differently: %v\n%q", err, info.Bytes())
		}
	}
	for _, d := range dynamic {
		if d.Reason == "" || len(d.Reason) > 1000 {
			t.Fatalf("%q without a clear reason: %.1000q", d.Name, d.Reason)
		}
	}
	if s.Get("pkgver").Kind == Unset {
		return
	}
	if edited, err := f.Apply(Set("pkgver", "9.9")); err == nil {
		if got := edited.Static().Get("pkgver").String(); got != "9.9" {
			t.Fatalf("pkgver is %q", got)
		}
		if _, err := Changes(f, edited); err != nil && err.Error() == "" {
			t.Fatal("an error without a text")
		}
	}
}

func FuzzParse(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("PKGBUILD", data)
		if err != nil {
			return
		}
		if !bytes.Equal(file.Bytes(), data) {
			t.Error("the source has changed")
		}
		normal, err := file.Normal()
		if err != nil {
			return
		}
		again, err := Parse("PKGBUILD", normal)
		if err != nil {
			t.Fatalf("the normal form of %q cannot be read: %v\n%q", data, err, normal)
		}
		if second, err := again.Normal(); err != nil || !bytes.Equal(normal, second) {
			t.Errorf("%q has the normal form\n%q, and that has\n%q, %v", data, normal, second, err)
		}
	})
}

func FuzzStatic(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) { exercise(t, "PKGBUILD", data) })
}

func FuzzFormat(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := Format("PKGBUILD", data, Style{Indent: 2, BinaryNextLine: true, SpaceRedirects: true})
		if err != nil {
			return
		}
		again, err := Format("PKGBUILD", out, Style{Indent: 2, BinaryNextLine: true, SpaceRedirects: true})
		if err != nil || !bytes.Equal(out, again) {
			t.Errorf("formatted twice: %v\n%q\n%q", err, out, again)
		}
	})
}

// seed begins with the recipes of the tests; what was found once lies in testdata/fuzz.
func seed(f *testing.F) {
	f.Helper()
	recipes, err := filepath.Glob(filepath.Join("..", "..", "testdata", "*", "*", "PKGBUILD"))
	if err != nil || len(recipes) < 30 {
		f.Fatalf("%d recipes, %v", len(recipes), err)
	}
	for _, name := range recipes {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(untidy))
}
