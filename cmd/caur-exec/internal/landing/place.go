package landing

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/pkg/queue"
)

// Place names the directory of one run of one job.
type Place struct {
	TargetRepo, Arch, Pkgbase string
	Token                     int64
}

// PlaceOf is the place of a job that was built under the lease with that token.
func PlaceOf(job queue.Job, token int64) Place {
	return Place{TargetRepo: job.TargetRepo, Arch: job.Arch, Pkgbase: job.Pkgbase, Token: token}
}

// A name that can be one component of a path, neither hidden nor an option.
var legalName = regexp.MustCompile(`^[A-Za-z0-9_@+][A-Za-z0-9_@.+-]{0,199}$`)

// Check refuses names that are not safe as a component of a path.
func (p Place) Check() error {
	for _, name := range p.parents() {
		if !legalName.MatchString(name) {
			return fmt.Errorf("landing zone: %q is not a legal name for a directory", name)
		}
	}
	if p.Token <= 0 {
		return fmt.Errorf("landing zone: %d is no fencing token", p.Token)
	}
	return nil
}

func (p Place) parents() []string { return []string{p.TargetRepo, p.Arch, p.Pkgbase} }

func (p Place) components() []string { return append(p.parents(), strconv.FormatInt(p.Token, 10)) }

// Dir is the path of the place, relative to the landing zone, with slashes.
func (p Place) Dir() string { return path.Join(p.components()...) }

// CheckFiles says whether files may be what a job produced: at least one, each once, of a legal package file name, of a
// pkgname of the job (or its -debug package), for its architecture or any, with a plausible size and a SHA-256. A job
// that does not name its pkgnames may deliver any.
func CheckFiles(job queue.Job, files []queue.File) error {
	if len(files) == 0 {
		return errors.New("the build delivered no files")
	}
	seen := make(map[string]bool)
	for _, f := range files {
		name, err := syncdb.ParseFilename(f.Name)
		switch {
		case err != nil:
			return err
		case seen[f.Name]:
			return fmt.Errorf("%s is delivered twice", f.Name)
		case !owns(job, name.Name):
			return fmt.Errorf("%s is not a package of %s, which builds %s", f.Name, job.Pkgbase, strings.Join(job.Pkgnames, ", "))
		case name.Arch != "any" && job.Arch != "any" && name.Arch != job.Arch:
			return fmt.Errorf("%s is not for %s", f.Name, job.Arch)
		case f.Size <= 0 || !sha256Hex.MatchString(f.SHA256):
			return fmt.Errorf("%s is delivered without a size or a SHA-256", f.Name)
		}
		seen[f.Name] = true
	}
	return nil
}

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

func owns(job queue.Job, pkgname string) bool {
	return len(job.Pkgnames) == 0 || slices.Contains(job.Pkgnames, pkgname) || pkgname == job.Pkgbase+"-debug"
}
