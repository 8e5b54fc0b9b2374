// Package syncdb reads and writes the databases of a pacman repository, REPO.db and REPO.files, and reads the
// packages that go into them. It does what repo-add(8) and repo-remove(8) do, without a process a package.
//
// Words: an entry is one package of the database; it has a desc (the metadata that pacman -S needs) and a file
// list (what pacman -F needs). The db archive holds the descs; the files archive holds descs and file lists.
// Both are tar archives with a directory NAME-VERSION/ an entry.
//
// # Shape on disk
//
// An archive is written as several zstd frames, which is one valid zstd file (RFC 8878, section 3: the frames'
// contents follow one another), readable by libarchive, zstd, bsdtar and pacman. A frame holds a group: entries
// that follow each other by name. Where a group ends depends only on the names (see startsGroup), so adding or
// removing one package changes one group, and the same entries give the same bytes whatever the history was.
// A skippable frame at the end, which every zstd reader ignores, is the index: for each group its length, its
// CRC-32C and a hash of its entries' names and descs. With it a changed database is written by copying the frames
// of unchanged groups as they are: the cost follows the size of the change, not the number of packages.
// An archive without an index (of repo-add; zstd, xz, gzip or no compression) is read as a stream, once.
//
// Unchanged entries keep their desc byte for byte, whoever wrote it.
//
// Contract: nothing here logs or executes anything, every name and value that comes out of a package is checked
// (packages are written by strangers), and memory stays bounded by the descs plus a few groups, never by the file
// lists. A DB is for one goroutine at a time.
package syncdb
