// Package makepkg is what runs inside a build container: it takes one package directory and a Request, applies the
// interferences, installs the dependencies as root, runs makepkg as an unprivileged user, and leaves finished packages
// in the output directory.
//
// Everything in the package directory is hostile. Nothing here holds a secret, and the container around it is thrown
// away; still, no file of the package directory or of the build's output is opened through a link.
package makepkg

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/caur-build/caur/pkg/interfere"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// Exit codes of Run beside those of makepkg(8) and the status of Request.CodeSkip.
const (
	CodeOK           = 0
	CodeFailed       = 1   // anything that has no code of its own
	CodeAlreadyBuilt = 13  // makepkg(8): a package has already been built
	CodeTimedOut     = 124 // the time limit ended the build, as timeout(1) says it
	CodeDependencies = 8   // makepkg(8): a dependency could not be installed
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

	Packager   string   `json:"packager,omitempty"`
	Mirror     string   `json:"mirror,omitempty"`      // first server of core and extra, with $repo and $arch
	TargetRepo *Repo    `json:"target_repo,omitempty"` // where the packages of this build will end up
	ExtraRepos []Repo   `json:"extra_repos,omitempty"`
	Keyrings   []string `json:"keyrings,omitempty"` // URLs of keyring packages; URL#sha256=HEX pins one, else its signature is checked
	Jobs       int      `json:"jobs,omitempty"`     // make -jN; 0: all cores of the container
	Timeout    Duration `json:"timeout,omitempty"`  // of makepkg, before BUILDER_EXTRA_TIMEOUT; 0: none
	CodeSkip   int      `json:"code_skip,omitempty"`
	BuildUser  string   `json:"build_user,omitempty"` // default DefaultBuildUser
	LogURL     string   `json:"log_url,omitempty"`    // for on-success.sh and on-failure.sh
	OwnRoot    bool     `json:"own_root,omitempty"`   // the root file system is thrown away afterwards: users, /etc and leftover processes are ours
}

// Repo is a pacman repository for pacman.conf.
type Repo struct {
	Name     string   `json:"name"`
	Servers  []string `json:"servers"`
	SigLevel string   `json:"sig_level,omitempty"` // empty: that of the container's pacman.conf
}

// Duration is a time.Duration that JSON holds as text ("1h30m").
type Duration time.Duration

// DefaultBuildUser runs makepkg when the request names nobody else.
const DefaultBuildUser = "builder"

// maxRequest bounds a request file, in bytes.
const maxRequest = 1 << 20

// MarshalText gives the form of time.Duration.String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// ReadRequest reads and checks a request file.
func ReadRequest(file string) (Request, error) {
	info, err := os.Stat(file)
	if err != nil {
		return Request{}, fmt.Errorf("read the build request: %w", err)
	}
	if info.Size() > maxRequest {
		return Request{}, fmt.Errorf("read the build request: %s has %d bytes; more than %d are not read", file, info.Size(), maxRequest)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return Request{}, fmt.Errorf("read the build request: %w", err)
	}
	var r Request
	if err := json.Unmarshal(data, &r); err != nil {
		return Request{}, fmt.Errorf("read the build request %s: %w", file, err)
	}
	return r, r.check()
}

var (
	archPattern = regexp.MustCompile(`^[A-Za-z0-9_]+$`)
	repoPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9@._+-]*$`)
)

// withDefaults fills what may be left out.
func (r Request) withDefaults() Request {
	if r.Arch == "" {
		r.Arch = "x86_64"
	}
	if r.BuildUser == "" {
		r.BuildUser = DefaultBuildUser
	}
	if r.CodeSkip == 0 {
		r.CodeSkip = interfere.DefaultCodeSkip
	}
	if r.Jobs == 0 {
		r.Jobs = runtime.GOMAXPROCS(0) // knows the cpu limit of the container
	}
	return r
}

// check lists everything that is wrong with a request.
func (r Request) check() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf("build request: "+format, args...)) }
	if !srcinfo.LegalName(r.Pkgbase) {
		wrong("pkgbase %q is no legal name", r.Pkgbase)
	}
	if r.Arch != "" && !archPattern.MatchString(r.Arch) {
		wrong("arch %q is no architecture", r.Arch)
	}
	if (r.SourceDir == "") == (r.RepoURL == "") {
		wrong("one of source_dir and repo_url must be given")
	}
	for name, path := range map[string]string{
		"work_dir": r.WorkDir, "output_dir": r.OutputDir, "source_dir": r.SourceDir, "source_cache_dir": r.SourceCacheDir,
	} {
		if required := name == "work_dir" || name == "output_dir"; path == "" && !required {
			continue
		}
		if !filepath.IsAbs(path) || strings.ContainsAny(path, "\n\x00") {
			wrong("%s %q is no absolute path", name, path)
		}
	}
	for _, text := range []string{r.Packager, r.Mirror, r.BuildUser, r.LogURL} {
		if strings.ContainsAny(text, "\n\r\x00") {
			wrong("%q has more than one line", text)
		}
	}
	for _, repo := range r.repos() {
		if err := repo.check(); err != nil {
			wrong("%w", err)
		}
	}
	return errors.Join(errs...)
}

func (r Request) repos() []Repo {
	repos := r.ExtraRepos
	if r.TargetRepo != nil {
		repos = append(repos[:len(repos):len(repos)], *r.TargetRepo)
	}
	return repos
}

func (r Repo) check() error {
	if !repoPattern.MatchString(r.Name) || r.Name == "options" {
		return fmt.Errorf("repository %q: no legal name", r.Name)
	}
	if len(r.Servers) == 0 {
		return fmt.Errorf("repository %s: no server", r.Name)
	}
	for _, text := range append([]string{r.SigLevel}, r.Servers...) {
		if strings.ContainsAny(text, "\n\r\x00") {
			return fmt.Errorf("repository %s: %q has more than one line", r.Name, text)
		}
	}
	return nil
}
