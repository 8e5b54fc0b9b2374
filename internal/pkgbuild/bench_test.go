package pkgbuild

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recipes are PKGBUILDs of the sizes that a real repository has: half of them below 2 kB, one in ten above 5 kB, a few of
// 100 kB. CAUR_BENCH_RECIPES names a directory of real ones instead.
func recipes(b *testing.B) [][]byte {
	b.Helper()
	var list [][]byte
	if dir := os.Getenv("CAUR_BENCH_RECIPES"); dir != "" {
		names, err := filepath.Glob(filepath.Join(dir, "*", "PKGBUILD"))
		if err != nil || len(names) == 0 {
			b.Fatalf("%d recipes in %s, %v", len(names), dir, err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				b.Fatal(err)
			}
			list = append(list, data)
		}
		return list
	}
	for i := range 100 {
		split, lines := 1, 5
		switch {
		case i == 0:
			split, lines = 12, 2_000
		case i < 10:
			split, lines = 3, 60
		}
		list = append(list, []byte(recipe(i, split, lines)))
	}
	return list
}

func recipe(n, packages, lines int) string {
	var out strings.Builder
	fmt.Fprintf(&out, `# Maintainer: Tess Tester <tess@example.org>

_name=lamp%d
pkgbase=$_name
_commit=0123456789abcdef0123456789abcdef01234567
pkgver=1.%d.0
pkgrel=1
pkgdesc="A lamp for the desk, number %d"
arch=('x86_64' 'aarch64')
url="https://example.org/$_name"
license=('GPL-3.0-or-later')
depends=('glibc' 'gcc-libs' "wire>=${pkgver%%%%.*}" 'socket')
makedepends=('git' 'cmake' 'ninja' 'python-setuptools')
optdepends=('bulb: light' 'shade: less light')
provides=("lamp=$pkgver")
options=(!lto)
source=("git+$url.git#commit=$_commit"
        "$_name-$pkgver.tar.gz::$url/archive/v${pkgver}.tar.gz"{,.asc}
        'lamp.service')
source_x86_64=("https://example.org/${_name^^}/amd64-${pkgver//./_}.deb")
sha256sums=('SKIP'
            '%064d' 'SKIP'
            '%064d')
sha256sums_x86_64=('SKIP')

if [[ $CARCH == x86_64 ]]; then
	makedepends+=(nasm)
fi
pkgname=(`, n, n, n, n, n)
	for i := range packages {
		fmt.Fprintf(&out, "lamp%d-%d ", n, i)
	}
	out.WriteString(")\n\nprepare() {\n\tcd \"$srcdir/$_name\"\n")
	for i := range lines {
		fmt.Fprintf(&out, "\tsed -i 's/%d/x/' \"src/file%d.c\" && rm -f build/{a,b}%d\n", i, i, i)
	}
	out.WriteString("}\n\nbuild() {\n\tcmake -B build -S \"$_name\" -DCMAKE_BUILD_TYPE=None\n\tcmake --build build\n}\n")
	for i := range packages {
		fmt.Fprintf(&out, "\npackage_lamp%d-%d() {\n\tpkgdesc+=\" (part %d)\"\n\tdepends=(\"lamp=$pkgver\")\n\tDESTDIR=\"$pkgdir\" cmake --install build\n}\n", n, i, i)
	}
	return out.String()
}

// each measures f over all recipes; an operation is one recipe.
func each(b *testing.B, f func([]byte) error) {
	b.Helper()
	list := recipes(b)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if err := f(list[i%len(list)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkParse(b *testing.B) {
	each(b, func(data []byte) error {
		_, err := Parse("PKGBUILD", data)
		return err
	})
}

func BenchmarkParseStaticSrcinfo(b *testing.B) {
	each(b, func(data []byte) error {
		f, err := Parse("PKGBUILD", data)
		if err == nil {
			_, _, _ = f.Static().Srcinfo() // a dynamic recipe has none
		}
		return err
	})
}

func BenchmarkApply(b *testing.B) {
	each(b, func(data []byte) error {
		f, err := Parse("PKGBUILD", data)
		if err == nil {
			_, _ = f.Apply(Set("pkgrel", "2")) // some cannot be edited
		}
		return err
	})
}

func BenchmarkFormat(b *testing.B) {
	each(b, func(data []byte) error {
		_, err := Format("PKGBUILD", data, Style{})
		return err
	})
}

func BenchmarkNormal(b *testing.B) {
	each(b, func(data []byte) error {
		f, err := Parse("PKGBUILD", data)
		if err == nil {
			_, err = f.Normal()
		}
		return err
	})
}
