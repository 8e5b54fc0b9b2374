package candidates

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/caur-build/caur/cmd/caur-ci/internal/download"
	"github.com/caur-build/caur/internal/conf"
	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/srcinfo"
	"github.com/caur-build/caur/pkg/state"
)

// Bounds of a pacman database: the largest known has 9 MiB.
const (
	maxDatabase     = 256 << 20
	databaseTimeout = 2 * time.Minute
)

// LibsOptions of NewLibs.
type LibsOptions struct {
	Web       *download.Client
	DBs       []string // CI_LIB_DB: http, https and file URLs of pacman databases
	Triggers  []string // CI_REBUILD_TRIGGERS of the repository: they go for every package
	Blacklist []string // CI_REBUILD_BLACKLIST
	// Old is the .version-state of the last run; nil or empty on the first run, which bumps nothing: every package would
	// count as changed. (Today's scripts do the same: a package without a version in the old state is not bumped.)
	Old *state.VersionState
	// Always reads the databases even where no package has a trigger, so that .version-state stays current. It is for runs
	// over the whole repository.
	Always bool
}

// Libs bumps packages after a change of what they are built against (pipeline.md section 5.5).
type Libs struct {
	o       LibsOptions
	now     *state.VersionState
	changed map[string]bool // pkgbases that may cause a rebuild
}

// NewLibs makes the source.
func NewLibs(o LibsOptions) *Libs { return &Libs{o: o} }

// Name is SourceLibs.
func (*Libs) Name() string { return SourceLibs }

// Wants packages with triggers.
func (l *Libs) Wants(p *Package) bool {
	return len(l.o.DBs) > 0 && (l.o.Always || l.triggered(p))
}

func (l *Libs) triggered(p *Package) bool {
	return len(l.o.Triggers) > 0 || len(p.Config.RebuildTriggers) > 0
}

// Prepare reads the databases, all at once. One that cannot be read fails the source: packages that are missing from the
// new state would count as changed in the next run.
func (l *Libs) Prepare(ctx context.Context, _ []*Package) error {
	found := make([]map[string]string, len(l.o.DBs))
	faults := make([]error, len(l.o.DBs))
	var group errgroup.Group
	for i, address := range l.o.DBs {
		group.Go(func() error {
			found[i], faults[i] = l.read(ctx, address)
			return nil
		})
	}
	_ = group.Wait()
	if err := errors.Join(faults...); err != nil {
		return err
	}
	now := &state.VersionState{}
	for _, versions := range found {
		for pkgbase, version := range versions {
			now.Add(pkgbase, version) // names that are not legal are no packages of anyone
		}
	}
	l.now = now
	l.changed = map[string]bool{}
	if l.o.Old == nil || l.o.Old.Len() == 0 {
		return nil
	}
	for _, pkgbase := range now.ChangedSince(l.o.Old) {
		l.changed[pkgbase] = !slices.Contains(l.o.Blacklist, pkgbase)
	}
	return nil
}

// Versions is what the databases hold, to be remembered as .version-state; nil when not all of them could be read, and
// then the old state stays.
func (l *Libs) Versions() *state.VersionState { return l.now }

// read gives the version of every pkgbase in a database: the newest, where its packages have several.
func (l *Libs) read(ctx context.Context, address string) (map[string]string, error) {
	var versions map[string]string
	parse := func(_ http.Header, body io.Reader) error {
		versions = map[string]string{}
		return syncdb.EachBase(body, func(pkgbase, version string) error {
			if old, there := versions[pkgbase]; !there || old != version && srcinfo.Vercmp(version, old) > 0 {
				versions[pkgbase] = version
			}
			return nil
		})
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("read the databases of CI_LIB_DB: one of them is no URL")
	}
	if u.Scheme == "file" {
		err = readFile(u.Path, func(r io.Reader) error { return parse(nil, r) })
	} else {
		err = l.o.Web.Stream(ctx, download.Request{URL: address, MaxBytes: maxDatabase, Timeout: databaseTimeout}, parse)
	}
	if err != nil {
		return nil, fmt.Errorf("read a database of CI_LIB_DB: %w", err)
	}
	return versions, nil
}

func readFile(path string, take func(io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	if err := take(f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Check writes CI_PACKAGE_BUMP into .CI/config when a trigger of the package has a new version.
func (l *Libs) Check(ctx context.Context, d *Draft) error {
	p := d.Package
	if !l.triggered(p) {
		return nil
	}
	causes := l.causes(p)
	if len(causes) == 0 {
		return nil
	}
	built := l.o.Old.Newest(p.Pkgbase)
	if built == "" {
		d.Note(SourceLibs, "%s, but the watched databases had no version of %s to bump", causes[0], p.Pkgbase)
		return nil
	}
	next, err := srcinfo.NextBump(built, p.Config.Bump)
	if err != nil {
		return fmt.Errorf("bump %s: %w", p.Pkgbase, err)
	}
	files, err := d.Files(ctx)
	if err != nil {
		return err
	}
	changed, err := WithBump(files, next)
	if err != nil {
		return fmt.Errorf("bump %s: %w", p.Pkgbase, err)
	}
	d.Change(SourceLibs, causes[0], changed)
	for _, more := range causes[1:] {
		d.Reasons = append(d.Reasons, Reason{SourceLibs, more})
	}
	return nil
}

// causes lists what changed that the package is to be rebuilt for: "glibc 2.42-1 → 2.43-1".
func (l *Libs) causes(p *Package) []string {
	triggers := slices.Concat(p.Config.RebuildTriggers, l.o.Triggers)
	slices.Sort(triggers)
	var list []string
	for _, name := range slices.Compact(triggers) {
		if name == p.Pkgbase || !l.changed[name] {
			continue
		}
		before := l.o.Old.Newest(name)
		if before == "" {
			before = "new"
		}
		list = append(list, name+" "+before+" → "+l.now.Newest(name))
	}
	return list
}

const configPath = ".CI/config"

// WithBump sets CI_PACKAGE_BUMP: it changes the one line of .CI/config, which is made when it is not there.
func WithBump(files pkgdir.Dir, bump srcinfo.Bump) (pkgdir.Dir, error) {
	old := files[configPath]
	if old.Kind == pkgdir.Link {
		return nil, fmt.Errorf("%s is a link to %q, which is not followed", configPath, old.Data)
	}
	config := conf.Parse(configPath, old.Data)
	config.Set("CI_PACKAGE_BUMP", bump.String())
	next := files.Clone()
	delete(next, configPath)
	return next, next.Add(configPath, pkgdir.File{Kind: old.Kind, Data: config.Bytes()})
}
