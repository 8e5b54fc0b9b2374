// Package landing is the landing zone: the directory on the repository host where builders leave packages until the
// database role publishes them.
//
// A job has a directory of its own, TARGET_REPO/ARCH/PKGBASE/TOKEN/ ([Place]); the token is the fencing token of the
// lease that built it, so two runs of one job never meet and neither do two target repos. A file is uploaded under a
// temporary name (.NAME.part) and renamed when it is complete; its size and SHA-256 travel with the job's result
// through the queue, not through the zone.
//
// The sender ([Sender]) runs on the builder: a move when the zone is on the same machine, else SFTP, resumable, to a
// host whose key is pinned. The receiver ([Zone]) trusts nothing in the zone: whoever may upload may also put links,
// devices and fifos there, exchange directories for links while it reads, and write to a file after it was checked.
// So every step of a path is opened without following links, only regular files with one name are read, and what was
// checked is a private copy.
//
// An upload that is refused (an old token, a wrong hash, a canceled job) is set aside in .quarantine/, with a file REASON,
// and [Zone.Sweep] removes it a day later. Nothing there is ever published, except by hand.
package landing
