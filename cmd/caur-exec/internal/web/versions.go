package web

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/caur-build/caur/internal/syncdb"
)

// versions knows what is published, from the repositories' databases. Each is read when it has changed, and only then.
type versions struct {
	root string

	mu  sync.Mutex
	dbs map[string]*published // by path
}

type published struct {
	changed time.Time
	size    int64
	version map[string]string // by pkgbase
}

// placeSyntax is what can be a repository or an architecture in a path.
var placeSyntax = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+@-]{0,199}$`)

const maxDatabases = 100

func newVersions(root string) *versions { return &versions{root: root, dbs: map[string]*published{}} }

// known says that there is something to look into.
func (v *versions) known() bool { return v.root != "" }

// of gives the version of a pkgbase in a repository, empty when it is not there.
func (v *versions) of(repo, arch, pkgbase string) (string, error) {
	if v.root == "" || !placeSyntax.MatchString(repo) || !placeSyntax.MatchString(arch) {
		return "", nil
	}
	path := filepath.Join(v.root, repo, arch, repo+".db.tar.zst")
	v.mu.Lock()
	defer v.mu.Unlock()
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look at the database of %s: %w", repo, err)
	}
	db := v.dbs[path]
	if db == nil || !db.changed.Equal(info.ModTime()) || db.size != info.Size() {
		if len(v.dbs) >= maxDatabases {
			clear(v.dbs)
		}
		if db, err = readVersions(path, info); err != nil {
			return "", err
		}
		v.dbs[path] = db
	}
	return db.version[pkgbase], nil
}

func readVersions(path string, info fs.FileInfo) (*published, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read versions: %w", err)
	}
	defer file.Close()
	db := &published{changed: info.ModTime(), size: info.Size(), version: map[string]string{}}
	err = syncdb.EachBase(file, func(pkgbase, version string) error {
		db.version[pkgbase] = version
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read versions of %s: %w", filepath.Base(path), err)
	}
	return db, nil
}
