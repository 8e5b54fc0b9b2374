package review

import (
	"strings"
	"testing"

	"github.com/caur-build/caur/pkg/pkgdir"
)

// BenchmarkJudge judges an update of a package of ordinary size, and one of a hundred kilobytes with changed functions.
func BenchmarkJudge(b *testing.B) {
	for _, e := range examples(b, "harmless") {
		if e.name == "srcinfo-follows" {
			b.Run("minor", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					Judge(e.in)
				}
			})
		}
	}
	var large strings.Builder
	large.WriteString("pkgname=big\npkgver=1.0\npkgrel=1\narch=(x86_64)\n")
	for range 800 {
		large.WriteString("_f" + strings.Repeat("x", large.Len()%7) + "() {\n  cd \"$srcdir/big-$pkgver\"\n  install -Dm644 \"doc/$1\" -t \"$pkgdir/usr/share/doc/$pkgname\"\n}\n")
	}
	text := large.String()
	in := Input{Old: pkgdir.Dir{"PKGBUILD": {Data: []byte(text)}}, New: pkgdir.Dir{"PKGBUILD": {Data: []byte(strings.Replace(text, "Dm644", "Dm755", 1))}}}
	b.Run("100 kB, major", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(2 * len(text)))
		for b.Loop() {
			Judge(in)
		}
	})
}
