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
//	REPO_PATH/REPO/.caur/                 lock, and an architecture each: ARCH/journal.json, ARCH/stage/ and ARCH/pairs/
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
//  5. Lists are written, lastupdate, the root directory is synced, the journal is removed.
//
// [Publisher.Cleanup], [Publisher.Rebuild], [Publisher.Rollback] and [Publisher.Add] are transactions of the same kind.
// Every change of the disk goes through one interface (disk); the tests record it, cut the power behind each change and
// let the disk be full at each.
//
// # Readers of signed databases
//
// pacman downloads REPO.db and then its signature: two requests, between which there may be a publish. Whatever the order
// in which two files are replaced, a reader that has the old database then finds the new signature; and one file cannot
// hold both signatures, because libalpm wants every signature in it to be good (a test of ours asks the real one; gpg, too,
// fails at the first that is bad). So with a web server that only has files there is no way out: pacman reports an invalid
// signature and succeeds when run again. In our test that is one pair of a few hundred, at five publishes a second. It is
// why REPO_SIGN_DB is off by default.
//
// There is a way with one that redirects. Both databases and signatures of a publish are also kept as a pair, a directory
// ARCH/pairs/ID that never changes, and the link ARCH/pairs/current is switched to it by one rename. [Server]
// (caur-exec repo serve) answers a request for REPO.db with a redirect to the current pair, and libalpm asks for the
// signature beside the place that it was redirected to (tried with pacman 6.0.2). Pairs stay ten minutes after they were
// superseded.
// A web server of another make can do the same; mirrors, which copy files, cannot.
//
// There was a second trap. Readers ask whether a file changed since they got it, in whole seconds: of two publishes in one
// second the second would be "not modified", for the database, the signature, or one of them. So every database is dated at
// least a second after the one before it, and its signature alike.
//
// # Words
//
// Refused ([Refused]) is what must not be published whatever is tried again: a wrong hash, a claim on another
// pkgbase's package, a downgrade. Every other error is of our machine (a full disk, gpg) and may pass.
package publish
