// Package pkgdir is the content of one package directory, held in memory: PKGBUILD, .SRCINFO, local source files, .CI/.
// It is what an update brings, what a review compares and what a commit writes, so that none of them needs a work tree.
//
// Words: a path uses slashes and is relative to the package directory. Content comes from strangers (the AUR, a git
// remote, a hook), so every way in checks it: a path that leads out of the directory or into git's own files, a link
// that points out, a device, and more or larger files than any package needs are refused with an *Error. A Dir that was
// made by this package is safe to write below any directory and into any git tree.
package pkgdir
