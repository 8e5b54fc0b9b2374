package srcinfo_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	oracle "github.com/Morganamilo/go-srcinfo"
	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/srcinfo"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// file is one .SRCINFO of the corpus.
type file struct {
	name string
	data []byte
}

func corpus(t testing.TB) []file {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(testenv.Corpus(t), "*", ".SRCINFO"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < 4 {
		t.Fatalf("the corpus has only %d files", len(paths))
	}
	files := make([]file, len(paths))
	for n, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[n] = file{filepath.Base(filepath.Dir(path)) + "/.SRCINFO", data}
	}
	return files
}

func TestCorpus(t *testing.T) {
	files := corpus(t)
	t.Run("is read or refused with file and line", func(t *testing.T) { corpusIsRead(t, files) })
	t.Run("survives a write", func(t *testing.T) { corpusSurvivesAWrite(t, files) })
	t.Run("means the same to go-srcinfo", func(t *testing.T) { corpusMeansTheSame(t, files) })
}

func corpusIsRead(t *testing.T, files []file) {
	read, refused := 0, 0
	for _, f := range files {
		info, problems, err := srcinfo.Parse(f.name, f.data)
		if err != nil {
			refused++
			if len(f.data) > 0 {
				t.Errorf("refused, although not empty: %v", err)
			}
			if !strings.HasPrefix(err.Error(), f.name+":1: ") {
				t.Errorf("message without file and line: %v", err)
			}
			continue
		}
		read++
		for _, p := range problems {
			t.Logf("%s:%d: %s", f.name, p.Line, p.Message)
		}
		if want := filepath.Dir(f.name); info.Pkgbase != want {
			t.Logf("%s: pkgbase %s", f.name, info.Pkgbase)
		}
	}
	t.Logf("%d files read, %d empty ones refused", read, refused)
}

func corpusSurvivesAWrite(t *testing.T, files []file) {
	same, total := 0, 0
	for _, f := range files {
		info, _, err := srcinfo.Parse(f.name, f.data)
		if err != nil {
			continue
		}
		total++
		written := info.Bytes()
		if bytes.Equal(written, f.data) {
			same++
		}
		again, _, err := srcinfo.Parse(f.name, written)
		if err != nil {
			t.Errorf("what was written is refused: %v", err)
			continue
		}
		if diff := cmp.Diff(content(info), content(again)); diff != "" {
			t.Errorf("%s (-read +written):\n%s", f.name, diff)
		}
		if !bytes.Equal(again.Bytes(), written) {
			t.Errorf("%s: a second write differs", f.name)
		}
	}
	t.Logf("%d of %d files come out byte for byte", same, total)
	if same*100 < total*99 { // what is left was not written by makepkg
		t.Errorf("only %d of %d files come out byte for byte", same, total)
	}
}

func corpusMeansTheSame(t *testing.T, files []file) {
	compared := 0
	for _, f := range files {
		info, _, err := srcinfo.Parse(f.name, f.data)
		theirs, theirErr := oracle.Parse(string(f.data))
		if (err == nil) != (theirErr == nil) {
			t.Errorf("%s: we say %v, go-srcinfo %v", f.name, err, theirErr)
			continue
		}
		if err != nil {
			continue
		}
		compared++
		if diff := cmp.Diff(theirView(theirs), ourView(info), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-go-srcinfo +ours):\n%s", f.name, diff)
		}
	}
	if compared < 4 {
		t.Errorf("only %d files compared", compared)
	}
}

// view is what both parsers tell, resolved for every package: key → values.
type view map[string]map[string][]string

func theirView(s *oracle.Srcinfo) view {
	clean := func(values ...string) []string {
		return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" || v == oracle.EmptyOverride })
	}
	arched := func(values []oracle.ArchString) []string {
		var plain []string
		for _, v := range values {
			plain = append(plain, v.Value)
		}
		return clean(plain...)
	}
	v := view{"": {
		"pkgbase": clean(s.Pkgbase), "pkgver": clean(s.Pkgver), "pkgrel": clean(s.Pkgrel), "epoch": clean(s.Epoch),
		"source": arched(s.Source), "validpgpkeys": clean(s.ValidPGPKeys...), "noextract": clean(s.NoExtract...),
		"md5sums": arched(s.MD5Sums), "sha1sums": arched(s.SHA1Sums), "sha224sums": arched(s.SHA224Sums), "sha256sums": arched(s.SHA256Sums),
		"sha384sums": arched(s.SHA384Sums), "sha512sums": arched(s.SHA512Sums), "b2sums": arched(s.B2Sums),
		"makedepends": arched(s.MakeDepends), "checkdepends": arched(s.CheckDepends),
	}}
	for _, p := range s.SplitPackages() {
		v[p.Pkgname] = map[string][]string{
			"pkgdesc": clean(p.Pkgdesc), "url": clean(p.URL), "install": clean(p.Install), "changelog": clean(p.Changelog),
			"arch": clean(p.Arch...), "license": clean(p.License...), "groups": clean(p.Groups...), "backup": clean(p.Backup...), "options": clean(p.Options...),
			"depends": arched(p.Depends), "optdepends": arched(p.OptDepends), "provides": arched(p.Provides), "conflicts": arched(p.Conflicts), "replaces": arched(p.Replaces),
		}
	}
	return v
}

func ourView(i *srcinfo.Info) view {
	single := func(value string) []string {
		if value == "" {
			return nil
		}
		return []string{value}
	}
	base := map[string][]string{"pkgbase": {i.Pkgbase}, "pkgver": {i.Pkgver}, "pkgrel": {i.Pkgrel}, "epoch": single(i.Epoch)}
	for _, key := range []string{"source", "validpgpkeys", "noextract", "md5sums", "sha1sums", "sha224sums", "sha256sums", "sha384sums", "sha512sums", "b2sums", "makedepends", "checkdepends"} {
		base[key] = i.Base.Values(key, i.Arch...)
	}
	v := view{"": base}
	for _, p := range i.Packages {
		own := map[string][]string{}
		for _, key := range []string{"pkgdesc", "url", "install", "changelog"} {
			own[key] = single(i.Base.Value(key))
			if p.Own.Has(key, "") {
				own[key] = single(p.Own.Value(key))
			}
		}
		for _, key := range []string{"arch", "license", "groups", "backup", "options", "depends", "optdepends", "provides", "conflicts", "replaces"} {
			own[key] = i.Values(p.Pkgname, key, i.Arch...)
		}
		v[p.Pkgname] = own
	}
	return v
}

// FuzzParse: whatever is read is written and read again as the same; no name that
// comes out is illegal; and where both parsers accept a file it means the same to
// both. We may accept more than go-srcinfo only with a remark.
func FuzzParse(f *testing.F) {
	f.Add([]byte(split))
	f.Add([]byte("pkgbase = a\npkgver = 1\npkgrel = 1\narch = any\npkgname = a\n"))
	f.Add([]byte("\ufeff# c\r\npkgbase=a\r\n\tpkgver=1\r\npkgrel=1.1\r\narch=x86_64\r\ndepends_x86_64=b>=1:2-3\r\n\r\npkgname=a\r\ndepends=\r\n"))
	f.Add([]byte("pkgbase = a\npkgver = 1\npkgver = 2\npkgrel = 1\ndepends_i686 = x\narch = i686\nfoo_bar = 1\npkgname = a\nsource = b\ncheckdepends = c\n"))
	f.Add([]byte("pkgbase = \xe4\n"))
	f.Add([]byte("pkgbase = a\n\tpkgdesc = M\xfcll \u00a0\n\tpkgver = 1_\n\tpkgrel = 1\n\tarch = any\n\tdepends = a b\n\tdepends = =1\n\tprovides = :\n\npkgname = a.b\n\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		info, problems, err := srcinfo.Parse("x", data)
		if err != nil {
			return
		}
		for _, name := range append(info.Names(), info.Dependencies()...) {
			if !srcinfo.LegalName(name) {
				t.Fatalf("illegal name %q", name)
			}
		}
		written := info.Bytes()
		again, _, err := srcinfo.Parse("x", written)
		if err != nil {
			t.Fatalf("what was written is refused: %v\n%q", err, written)
		}
		if diff := cmp.Diff(content(info), content(again)); diff != "" {
			t.Fatalf("(-read +written):\n%s", diff)
		}
		if bytes.HasPrefix(data, []byte("\ufeff")) {
			return
		}
		theirs, theirErr := oracle.Parse(string(data))
		if theirErr != nil {
			// Only these two we read without a remark: arch after a key that needs
			// it, and checkdepends of a package, which makepkg does write.
			if len(problems) == 0 && !strings.Contains(theirErr.Error(), "unsupported arch") && !strings.Contains(theirErr.Error(), "checkdepends") {
				t.Fatalf("accepted without a remark, go-srcinfo says: %v", theirErr)
			}
			return
		}
		if diff := cmp.Diff(theirView(theirs), ourView(info), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-go-srcinfo +ours):\n%s", diff)
		}
	})
}

func BenchmarkParseCorpus(b *testing.B) {
	files := corpus(b)
	size := 0
	for _, f := range files {
		size += len(f.data)
	}
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(int64(size))
		b.ReportAllocs()
		for b.Loop() {
			for _, f := range files {
				_, _, _ = srcinfo.Parse(f.name, f.data)
			}
		}
	})
	b.Run("go-srcinfo", func(b *testing.B) {
		b.SetBytes(int64(size))
		b.ReportAllocs()
		for b.Loop() {
			for _, f := range files {
				_, _ = oracle.Parse(string(f.data))
			}
		}
	})
	b.Run("names-and-dependencies", func(b *testing.B) {
		var infos []*srcinfo.Info
		for _, f := range files {
			if info, _, err := srcinfo.Parse(f.name, f.data); err == nil {
				infos = append(infos, info)
			}
		}
		b.ReportAllocs()
		for b.Loop() {
			for _, info := range infos {
				info.Names()
				info.Dependencies()
			}
		}
	})
	b.Run("write", func(b *testing.B) {
		var infos []*srcinfo.Info
		for _, f := range files {
			if info, _, err := srcinfo.Parse(f.name, f.data); err == nil {
				infos = append(infos, info)
			}
		}
		b.ReportAllocs()
		for b.Loop() {
			for _, info := range infos {
				info.Bytes()
			}
		}
	})
}
