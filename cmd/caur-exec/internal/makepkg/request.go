// Package makepkg is what runs inside a build container: it takes one package directory and a Request, applies the
// interferences, installs the dependencies as root, runs makepkg as an unprivileged user, and leaves finished packages
// in the output directory.
//
// Everything in the package directory is hostile. Nothing here holds a secret, and the container around it is thrown
// away; still, no file of the package directory or of the build's output is opened through a link.
package makepkg

import "time"

// Exit codes of Run beside those of makepkg(8) and the status of Request.CodeSkip.
const (
	CodeOK           = 0
	CodeFailed       = 1   // anything that has no code of its own
	CodeAlreadyBuilt = 13  // makepkg(8): a package has already been built
	CodeTimedOut     = 124 // the time limit ended the build, as timeout(1) says it
	DefaultCodeSkip  = 123 // CI_CODE_SKIP
)

// Request is one build: a JSON file that the builder writes and the container reads. It never carries a secret, and
// all paths are absolute paths as the container sees them.
type Request struct {
	Pkgbase  string   `json:"pkgbase"`
	Pkgnames []string `json:"pkgnames,omitempty"` // what the job expects; only these are packed for delivery. Empty: what the PKGBUILD says
	Arch     string   `json:"arch"`               // CARCH of the job, default x86_64

	// SourceDir holds the package directory (read-only). Empty: RepoURL is fetched, SourceCommit or its head.
	SourceDir    string `json:"source_dir,omitempty"`
	RepoURL      string `json:"repo_url,omitempty"`
	SourceCommit string `json:"source_commit,omitempty"`

	WorkDir        string `json:"work_dir"`                   // for the build itself; on a disk with room
	OutputDir      string `json:"output_dir"`                 // finished *.pkg.tar.zst, nothing else
	SourceCacheDir string `json:"source_cache_dir,omitempty"` // SRCDEST that outlives the build; empty: none

	Packager   string     `json:"packager,omitempty"`
	Mirror     string     `json:"mirror,omitempty"`      // first server of core and extra, with $repo and $arch
	TargetRepo *Repo      `json:"target_repo,omitempty"` // where the packages of this build will end up
	ExtraRepos []Repo     `json:"extra_repos,omitempty"`
	Keyrings   []string   `json:"keyrings,omitempty"` // URLs of keyring packages; URL#sha256=HEX pins one, else its signature is checked
	Jobs       int        `json:"jobs,omitempty"`     // make -jN; 0: all cores of the container
	Timeout    Duration   `json:"timeout,omitempty"`  // of makepkg, before BUILDER_EXTRA_TIMEOUT; 0: none
	CodeSkip   int        `json:"code_skip,omitempty"`
	BuildUser  string     `json:"build_user,omitempty"` // default builder
	LogURL     string     `json:"log_url,omitempty"`    // for on-success.sh and on-failure.sh
	OwnRoot    bool       `json:"own_root,omitempty"`   // the root file system is thrown away afterwards: users, /etc and leftover processes are ours
	Started    *time.Time `json:"started,omitempty"`
}

// Repo is a pacman repository for pacman.conf.
type Repo struct {
	Name     string   `json:"name"`
	Servers  []string `json:"servers"`
	SigLevel string   `json:"sig_level,omitempty"` // empty: that of the container's pacman.conf
}

// Duration is a time.Duration that JSON holds as text ("1h30m").
type Duration time.Duration
