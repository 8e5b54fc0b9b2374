package pkgbuild

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/internal/testenv"
)

func TestStaticKnowsWhatBashWouldGive(t *testing.T) {
	for src, want := range map[string][]string{
		"a=x":               {"x"},
		"a=":                {""},
		"a='x'\"y\"z":       {"xyz"},
		"a=(x 'y z' \"w\")": {"x", "y z", "w"},
		"b=1; a=${b}2$b":    {"121"},
		"b=1.2.3; a=(${b%.*} ${b##*.} ${b//./_} ${b/./-} ${b:2:1} ${#b})": {"1.2", "3", "1_2_3", "1-2.3", "2", "5"},
		"b=aB; a=(${b^^} ${b,,} ${b^} ${b,})":                             {"AB", "ab", "AB", "aB"},
		"a=(${b:-x} ${b-y} \"${b:+z}\" ${b=v} $b)":                        {"x", "y", "", "v", "v"},
		"a=({x,y}{1..2} x{,.sig})":                                        {"x1", "x2", "y1", "y2", "x", "x.sig"},
		"a=(x); a+=(y); a+=(z)":                                           {"x", "y", "z"},
		"a=x; a+=y":                                                       {"xy"},
		"a=(x y); a[1]=z":                                                 {"x", "z"},
		"b=(x 'y z'); a=(\"${b[@]}\" ${b[1]} \"${b[*]}\" ${#b[@]})":       {"x", "y z", "y", "z", "x y z", "2"},
		"a=$((2 * 3 + 1))":                                                {"7"},
		"b=5; (( b += 2 )); a=$b":                                         {"7"},
		"a=1; [[ $a == 1 ]] && a=2 || a=3":                                {"2"},
		"if [ x = y ]; then a=1; elif true; then a=2; else a=3; fi":       {"2"},
		"case abc in a*) a=1 ;; *) a=2 ;; esac":                           {"1"},
		"for i in x y; do a+=(\"-$i\"); done":                             {"-x", "-y"},
		"i=0; while [[ $i -lt 3 ]]; do a+=($i); i=$((i+1)); done":         {"0", "1", "2"},
		"f() { a=$1; }; f x":                                              {"x"},
		"f() { local a=1; }; a=2; f":                                      {"2"},
		"eval 'a=x'":                                                      {"x"},
		"declare -A m=([k]=v); a=${m[k]}":                                 {"v"},
		"b=a; c=b; a=${!c}":                                               {"a"},
		"a=$'x\\ty'":                                                      {"x\ty"},
		"a=$CARCH":                                                        {"x86_64"},
		"a=x; unset a":                                                    nil,
		"(a=x); a=y | a=z; a=w & b=1":                                     nil,
		"a=x # b\n# a=y":                                                  {"x"},
	} {
		v := mustParse(t, src+"\n").Static().Get("a")
		if !v.Static() || !slices.Equal(v.Items, want) {
			t.Errorf("%s\n  gives %q (%v), not %q", src, v.Items, v.Dynamic, want)
		}
	}
}

func TestDynamicSaysWhereAndWhy(t *testing.T) {
	for src, want := range map[string]string{
		"x=1\na=$(date)":                   "line 2: a needs the command substitution $(date)",
		"a=`date`":                         "line 1: a needs the command substitution `date`",
		"a=(x <(y))":                       "line 1: a needs the process substitution <(y)",
		"a=$HOME":                          "line 1: a needs the variable $HOME of makepkg or the environment",
		"a=$RANDOM":                        "line 1: a needs the variable $RANDOM of bash",
		"a=(*.patch)":                      "line 1: a needs files that match the pattern *.patch",
		"a=~/x":                            "line 1: a needs a home directory (~)",
		"b=$(x)\n\na=$b":                   "line 1: a needs the command substitution $(x)",
		"if [[ -e x ]]; then\n a=1\nfi":    "line 1: a needs the condition -e x",
		"a=1\nsource ./x":                  "line 2: a needs the command source ./x",
		"a=1\neval \"$(x)\"":               "line 2: a needs code that is evaluated, which needs the command substitution $(x)",
		"read a < x":                       "line 1: a needs the redirection < x",
		"a=ä\na=${#a}":                     "line 2: a needs a length that depends on the locale",
		"a=x\na=${a/x/&}":                  "line 2: a needs a replacement that depends on the version of bash: ${a/x/&}",
		"while :; do a=x$a; done":          "needs more work than is done on a sane PKGBUILD",
		"readonly a=1\na=2":                "line 2: a needs an assignment to a read-only variable",
		"declare -gi a\na=1+1":             "line 2: a needs the integer attribute of the variable",
		"declare -n a=b\na=1":              "line 1: a needs a variable that is a reference to another",
		"a=$(" + strings.Repeat("x", 1000): "",
	} {
		f, err := Parse("PKGBUILD", []byte(src+"\n"))
		if err != nil {
			if want != "" {
				t.Errorf("%s: %v", src, err)
			}
			continue
		}
		v := f.Static().Get("a")
		if v.Dynamic == nil || !strings.Contains(v.Dynamic.Error(), want) || v.Items != nil || v.String() != "" {
			t.Errorf("%s\n  %v (%q), not %s", src, v.Dynamic, v.Items, want)
		}
	}
}

func TestFunctionsAndAssignmentsAreListed(t *testing.T) {
	s := mustParse(t, "pkgname=a\nprepare() { :; }\nf() { b=(x $y); }\nf\npackage_a() {\n:\n}\nif [[ $(x) ]]; then\ncheck() { :; }\nfi\n").Static()
	var got []string
	for _, fn := range s.Functions() {
		got = append(got, fmt.Sprintf("%s %d %t", fn.Name, fn.Line, fn.Dynamic != nil))
	}
	for _, a := range s.Assignments() {
		got = append(got, fmt.Sprintf("%s %q %d %t %d", a.Name, a.Func, a.Line, a.Array, len(a.Elements)))
	}
	want := []string{"prepare 2 false", "f 3 false", "package_a 5 false", "check 9 true", `pkgname "" 1 false 1`, `b "f" 3 true 2`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"b", "pkgname"}, s.Names()); diff != "" {
		t.Error(diff)
	}
}

func TestOverridesAreWhatMakepkgPicksOut(t *testing.T) {
	s := mustParse(t, `pkgname=(a b c)
depends=(x)
pkgdesc=all
package_a() { depends=(y); pkgdesc="$pkgname of $pkgdesc"; }
package_b() {
	depends+=(z)
	if false; then pkgdesc=here; fi
	provides=($(x))
}
package() { depends=(never); }
`).Static()
	for key, want := range map[[2]string]string{
		{"a", "depends"}: `["y"] true`, {"a", "pkgdesc"}: `["a of all"] true`, {"b", "depends"}: `["x" "z"] true`,
		{"b", "pkgdesc"}: `["here"] true`, {"c", "depends"}: `["never"] true`, {"c", "pkgdesc"}: `["all"] false`, {"b", "provides"}: `[] true dynamic`,
	} {
		v, own := s.Override(key[0], key[1])
		got := fmt.Sprintf("%q %t", v.Items, own)
		if v.Dynamic != nil {
			got += " dynamic"
		}
		if got != want {
			t.Errorf("%v: %s, not %s", key, got, want)
		}
	}
}

func TestChecksumsNamesTheArraysOfAllArchitectures(t *testing.T) {
	s := mustParse(t, "sha256sums=(a)\nsha256sums_x86_64=(b)\nb2sums_aarch64=(c)\nmd5sums=()\nsha256sumsx=(d)\nsource=(e)\n").Static()
	if diff := cmp.Diff([]string{"b2sums_aarch64", "md5sums", "sha256sums", "sha256sums_x86_64"}, s.Checksums()); diff != "" {
		t.Error(diff)
	}
}

func TestSrcinfoIsWhatMakepkgPrints(t *testing.T) {
	testenv.Need(t, "bash", "makepkg")
	const src = `pkgbase=lamps
pkgname=(desk floor1.0)
pkgver=1.0
pkgrel=2
epoch=1
pkgdesc="  two   lamps "
arch=(x86_64 aarch64)
url=https://example.org
license=(MIT)
groups=()
depends=(wire)
depends_x86_64=(nasm)
source=("a-$pkgver"{,.sig} 'b c')
source_aarch64=(arm)
sha256sums=(SKIP SKIP SKIP)
b2sums_aarch64=(SKIP)
options=(!lto)
backup=(etc/lamp)
package_desk() {
	depends+=("floor=$epoch:$pkgver-$pkgrel")
	depends_aarch64=(arm-wire)
	pkgdesc=
	license=()
	if true; then
		arch=(any)
	fi
}
package_floor1.0() {
	install=$pkgname.install; provides=(lamp) conflicts=(x)
}
`
	f := mustParse(t, strings.Replace(src, " conflicts=(x)", "", 1))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "PKGBUILD"), f.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-c", `shopt -s extglob; LIBRARY=/usr/share/makepkg CARCH=x86_64; source "$LIBRARY/srcinfo.sh" && source ./PKGBUILD && write_srcinfo_content`)
	cmd.Dir, cmd.Env = dir, []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8"}
	printed, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	info, dynamic, err := f.Static().Srcinfo()
	if err != nil || len(dynamic) > 0 {
		t.Fatalf("%v, %v", dynamic, err)
	}
	if diff := cmp.Diff(string(printed), string(info.Bytes())); diff != "" {
		t.Errorf("(-makepkg +ours):\n%s", diff)
	}
	_, dynamic, err = mustParse(t, src).Static().Srcinfo()
	if len(dynamic) == 0 || dynamic[0].Name != "package_floor1.0: provides" {
		t.Errorf("two assignments on a line: %v, %v", dynamic, err)
	}
}
