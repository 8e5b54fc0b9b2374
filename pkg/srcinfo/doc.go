// Package srcinfo reads and writes .SRCINFO files, and knows the two small
// languages inside them: dependency strings and versions.
//
// A .SRCINFO is what makepkg --printsrcinfo prints: one section for the pkgbase
// and one for each pkgname (a split package has several). A section is a list of
// fields. A field is a key, for some keys with an architecture (depends_x86_64),
// and one value; a key with several values has several fields. A field in a
// pkgname section replaces what the base says for the same key and architecture,
// and an empty value there (depends =) clears it. Which keys may stand where
// comes from PKGBUILD(5) and makepkg's own writer.
//
// The files come from strangers. Parse takes time and memory proportional to the
// file and refuses what is far beyond any real one, names that would be unsafe as
// a path or in a list are refused or left out, and nothing is ever executed.
//
// # Why not go-srcinfo
//
// github.com/Morganamilo/go-srcinfo is the reference of this parser: a test
// compares the two on every file of the corpus and by fuzzing. It is not what runs,
// because it drops what we must keep: unknown and misspelt keys vanish without
// a word, fields have no line numbers, the order of fields is lost and its
// printer leaves out b2sums (so a rewrite would destroy a file), a required field that
// is missing has no line, and the whole file is refused for an architecture-specific key
// of an architecture that is not built. It also allocates eight times as often.
package srcinfo
