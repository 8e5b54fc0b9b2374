// Package pkgbuild reads, evaluates, edits and formats PKGBUILDs through their syntax tree. It never executes,
// sources or expands anything with a shell: a PKGBUILD is hostile text (DESIGN, decision 1).
//
// # Reading
//
// Parse gives a File: bounded in size, nesting and work, with errors that name file and line. File.Static evaluates what can be known
// without running anything, the way bash would after `source PKGBUILD` in a clean environment with CARCH=x86_64:
// assignments of all kinds, parameter expansion, arithmetic, brace expansion, conditions, loops and calls of the
// file's own functions. Command and process substitution, files, the environment and file name patterns are out of reach; a
// value that needs one of them is dynamic: a Dynamic says which variable, on which line, for what reason. What is
// not dynamic is what bash would give; where the two could differ (locale, shell options, bash versions) the
// value is reported as dynamic rather than guessed.
//
// Static.Srcinfo turns the result into a .SRCINFO, as `makepkg --printsrcinfo` would print it (makepkg(8),
// PKGBUILD(5)), together with the dynamic parts that stand in the way.
//
// # Writing
//
// File.Apply makes edits as splices of byte ranges found through the tree: quoting, layout and comments stay byte for byte. It is
// all or nothing. Each new word is parsed on its own and must mean exactly its value, and after the splices the file is evaluated again:
// unless every edited variable now has the value that was asked for, the edit is refused.
//
// Format is shfmt with the options of the repository's .editorconfig. File.Normal is a form for comparing in which
// layout and comments make no difference.
//
// # Words
//
// A variable is static or dynamic. A literal is a word without any expansion, quoted or not. An assignment is one
// `name=…`, `name+=…` or `name=(…)`; its elements are the words of the array, or the one word of a scalar. An
// override is an assignment in package() or package_NAME() that makepkg reads for that package alone.
package pkgbuild
