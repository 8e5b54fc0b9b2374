package pkgbuild

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const head = "pkgname=lamp\npkgver=1.0\npkgrel=1\narch=(any)\n"

// changed lists what pkgver=1.1 changes, one line a key, or the error.
func changed(t testing.TB, src string) (lines []string, err error) {
	t.Helper()
	before := mustParse(t, src)
	after, err := before.Apply(Set("pkgver", "1.1"))
	if err != nil {
		t.Fatal(err)
	}
	changes, err := Changes(before, after)
	for _, c := range changes {
		line := strings.TrimPrefix(fmt.Sprintf("%s: %s %q → %q", c.Pkgname, c.Key, c.Old, c.New), ": ")
		if c.Partial {
			line += " (partial)"
		}
		lines = append(lines, line)
	}
	return lines, err
}

func TestChangesFollowTheVersion(t *testing.T) {
	for name, c := range map[string]struct {
		src  string
		want []string
	}{
		"what is made with it":        {"_v=v$pkgver\nsource=(a-$_v b)\nprovides=(c=${pkgver%.*})\n", []string{`source ["a-v1.0" "b"] → ["a-v1.1" "b"]`}},
		"a package's own":             {"package() { provides=(x=$pkgver); depends=(y); }\n", []string{`lamp: provides ["x=1.0"] → ["x=1.1"]`}},
		"white space as makepkg has":  {"pkgdesc=\" a  $pkgver \"\n", []string{`pkgdesc ["a 1.0"] → ["a 1.1"]`}},
		"a condition on it":           {"[[ $pkgver == 1.0 ]] && depends=(x)\n", []string{`depends ["x"] → []`}},
		"dynamic, of something else":  {"depends=($(date) $_x)\nlicense=(\"$(cat x)\")\n", nil},
		"static beside dynamic":       {"source=($(date) a-$pkgver b)\n", []string{`source ["a-1.0"] → ["a-1.1"] (partial)`}},
		"an own function":             {"_f() { date; }\nsource=($(_f) a-$pkgver)\n", []string{`source ["a-1.0"] → ["a-1.1"] (partial)`}},
		"dynamic in a package":        {"package() { depends=(x$(date)); license=(\"$LICENSE\"); }\n", nil},
		"a package function reads it": {"depends=($(date))\npackage() { install a \"$pkgdir/$pkgver\"; }\n", nil},
		"dynamic, with a condition":   {"if [[ $(date) ]]; then depends=(x); fi\nsource=(a-$pkgver)\n", []string{`source ["a-1.0"] → ["a-1.1"]`}},
		"appended to what is dynamic": {"source=($(date))\nsource+=(a-$pkgver)\n", []string{`source ["a-1.0"] → ["a-1.1"] (partial)`}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := changed(t, head+c.src)
			if err != nil {
				t.Fatal(err)
			}
			want := append([]string{`pkgver ["1.0"] → ["1.1"]`}, c.want...)
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestChangesSayWhatCannotBeTold(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"a command on it":            {"source=(\"$(sed s/x/y/ <<< \"$pkgver\")\")\n", "line 5: source needs the command substitution"},
		"over a variable":            {"_v=$pkgver\nsource=(x \"$(x $_v)\")\n", "line 6: source needs"},
		"over a dynamic variable":    {"_v=$(x $pkgver)\nsource=(x $_v)\n", "line 6: source needs the command substitution $(x $pkgver)"},
		"over a function":            {"_f() { echo $pkgver; }\nsource=($(_f))\n", "line 6: source needs"},
		"over an argument":           {"_f() { depends=($(x $1)); }\n_f $pkgver\n", "depends needs"},
		"a condition on it":          {"depends=(x)\nif [[ $(vercmp $pkgver 2) ]]; then\n\tdepends=(y)\nfi\n", "line 6: depends needs"},
		"a condition, guarded":       {"_f() {\n[[ $(x $pkgver) ]] && return\ndepends=(y)\n}\n_f\n", "depends needs"},
		"over arithmetic":            {"(( _n = pkgver + RANDOM ))\ndepends=(x$_n)\n", "depends needs"},
		"over read":                  {"read -r _n <<< \"$pkgver\"\ndepends=(x$_n)\n", "depends needs"},
		"over a name":                {"_n=pkgver\ndepends=(${!_n}$(x))\n", "depends needs"},
		"a package's own":            {"package() { depends=(x$(y $pkgver)); }\n", "line 5: package: depends needs"},
		"which packages there are":   {"[[ $pkgver == 1.0 ]] && pkgname=(a b)\npkgbase=c\n", "a condition on what changes"},
		"code that is made":          {"eval 'x=1'\ndepends=($(x))\n", "depends needs"},
		"an exit somewhere":          {"if [[ $x ]]; then exit 1; fi\ndepends=($(x))\n", "depends needs"},
		"number of items it decides": {"_l=(${pkgver//./ })\nsource=(\"${_l[@]:0:${_l[1]}+1}\" $(x))\n", "source needs"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := changed(t, head+c.src)
			if err == nil || !strings.Contains(err.Error(), c.want) || got != nil {
				t.Errorf("%q, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

// Whatever the recipe, what Changes says is what the two .SRCINFO differ in, as far as both are known.
func TestChangesAreTheDifference(t *testing.T) {
	line := rapid.SampledFrom([]string{
		"_v=${pkgver%.*}", "_w=$(date)", "source=(a-$pkgver b)", "source+=(c-$_v)", "source=($_w d-$pkgver)", "depends=(x y)", "depends+=(z=$pkgver-$pkgrel)",
		"provides=(p=${pkgver//./_})", "sha256sums=(SKIP SKIP)", "[[ $pkgver == 1.0 ]] && license=(MIT)", "package() { depends=(q=$_v); pkgdesc=\"v $pkgver\"; }", "pkgdesc=d", "arch=(x86_64)", "source_x86_64=(s-$_v)",
	})
	rapid.Check(t, func(t *rapid.T) {
		before := mustParseRapid(t, head+strings.Join(rapid.SliceOf(line).Draw(t, "lines"), "\n")+"\n")
		after, err := before.Apply(Set("pkgver", "2.1"))
		if err != nil {
			t.Skip("not to be edited")
		}
		changes, err := Changes(before, after)
		if err != nil {
			return // it cannot be told, and it says so
		}
		older, err := before.Static().fields()
		if err != nil {
			t.Fatal(err)
		}
		newer, err := after.Static().fields()
		if err != nil {
			t.Fatal(err)
		}
		known := map[fieldID][]string{}
		dynamic := map[fieldID]bool{}
		for _, f := range older {
			known[fieldID{f.pkgname, f.key}], dynamic[fieldID{f.pkgname, f.key}] = f.items, f.dyn != nil
		}
		for _, c := range changes {
			id := fieldID{c.Pkgname, c.Key}
			if c.Partial != dynamic[id] {
				t.Fatalf("%v is partial: %t", id, c.Partial)
			}
			if c.New == nil {
				delete(known, id)
			} else if !c.Partial {
				known[id] = c.New
			}
		}
		for _, f := range newer {
			id := fieldID{f.pkgname, f.key}
			if f.dyn == nil && !slices.Equal(known[id], f.items) {
				t.Fatalf("%v is %q, not %q", id, f.items, known[id])
			}
			delete(known, id)
		}
		if len(known) > 0 {
			t.Fatalf("%v should be gone", known)
		}
	})
}
