// Package publish puts built packages into a pacman repository: it signs them, keeps the repository database, the
// archive and the lists beside it, and cleans up. Behaviour: executor.md section 4.
//
// # Layout
//
// As today; all of one target repo is on one file system.
//
//	REPO_PATH/REPO/ARCH/                  packages and their .sig; REPO.db.tar.zst, REPO.files.tar.zst, the links
//	                                      REPO.db and REPO.files, and with REPO_SIGN_DB a .sig (and link) of each
//	REPO_PATH/REPO/archive/               superseded and removed packages, deleted 7 days after they came here
//	REPO_PATH/REPO/lastupdate             Unix time of the last change, one line
//	REPO_PATH/REPO/pkgs.txt               one line NAME-VERSION/ a package, all architectures, sorted
//	REPO_PATH/REPO/pkgs.files.txt         one line a package file or signature, all architectures, sorted
//	REPO_PATH/REPO/.caur/                 lock, and an architecture each: ARCH/journal.json and ARCH/stage/
//
// A package of architecture any lives in the directory of the job's architecture. A file enters a directory that
// mirrors watch only by rename, complete and readable, and leaves by rename; names outside .caur never are temporary.
//
// # Transaction
//
//  1. Copies of the delivered files are made in stage/, checked, read and signed there; the next database is written
//     there. Everything is synced. Up to here nothing outside .caur has changed: a crash leaves the old repository,
//     recovery empties stage/.
//  2. The queue is asked a last time whether the delivery is still wanted (its fencing token).
//  3. The journal, the list of renames to make, is written, synced and renamed to journal.json. This is the commit:
//     from here on the new repository is the truth, recovery completes it.
//  4. The renames are made: of each package first the signature, then the package; then the files archive and the db
//     archive, each followed by its signature; then links; then superseded files go to the archive. Directories are
//     synced between. So a database never names a file that is missing or unsigned. Every step may be made again.
//  5. Lists are written, lastupdate, the journal is removed.
//
// A reader of a signed database downloads it and its signature one after the other. Both are complete at any time, and
// the time between the two renames is a few microseconds, but no order of two renames can help a reader that fetches
// the one before and the other after a publish: pacman then reports an invalid signature and succeeds when run again.
// That is why REPO_SIGN_DB is off by default.
//
// # Words
//
// Refused ([Refused]) is what must not be published whatever is tried again: a wrong hash, a claim on another
// pkgbase's package, a downgrade. Every other error is of our machine (a full disk, gpg) and may pass.
package publish
