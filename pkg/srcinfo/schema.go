package srcinfo

// rule says where a key may stand. The order of the table is the order in
// which makepkg writes a section (srcinfo.sh).
type rule struct {
	rank  int
	multi bool // several values
	arch  bool // may carry an architecture
	pkg   bool // may stand in a pkgname section
}

var schema = func() map[string]rule {
	table := map[string]rule{}
	add := func(r rule, keys ...string) {
		for _, key := range keys {
			r.rank = len(table)
			table[key] = r
		}
	}
	add(rule{pkg: true}, "pkgdesc")
	add(rule{}, "pkgver", "pkgrel", "epoch")
	add(rule{pkg: true}, "url", "install", "changelog")
	add(rule{multi: true, pkg: true}, "arch", "groups", "license")
	add(rule{multi: true, arch: true, pkg: true}, "checkdepends")
	add(rule{multi: true, arch: true}, "makedepends")
	add(rule{multi: true, arch: true, pkg: true}, "depends", "optdepends", "provides", "conflicts", "replaces")
	add(rule{multi: true}, "noextract")
	add(rule{multi: true, pkg: true}, "options", "backup")
	add(rule{multi: true, arch: true}, "source")
	add(rule{multi: true}, "validpgpkeys")
	add(rule{multi: true, arch: true}, "cksums", "md5sums", "sha1sums", "sha224sums", "sha256sums", "sha384sums", "sha512sums", "b2sums")
	return table
}()

// archRanks is the order of the keys with an architecture.
var archRanks = func() map[string]int {
	ranks := map[string]int{}
	for _, key := range []string{
		"source", "provides", "conflicts", "depends", "replaces", "optdepends", "makedepends", "checkdepends",
		"cksums", "md5sums", "sha1sums", "sha224sums", "sha256sums", "sha384sums", "sha512sums", "b2sums",
	} {
		ranks[key] = len(ranks)
	}
	return ranks
}()
