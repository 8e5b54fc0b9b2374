package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/cmd/caur-ci/internal/plan"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/conf"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/state"
)

// loaded is the packages of a run, ready to be checked, and those that cannot be.
type loaded struct {
	packages []*candidates.Package // sorted by pkgbase
	faults   []packageFault        // packages whose settings are wrong: they are reported, not checked
	hooks    map[string]bool       // packages with a .CI/update.sh
}

func (l *loaded) hasHook(pkgbase string) bool { return l.hooks[pkgbase] }

type packageFault struct {
	pkgbase string
	err     error
}

// loadPackages reads settings and .SRCINFO of the packages. Everything else is read when a source asks for it.
func (a *app) loadPackages(ctx context.Context, c *catalog, m *memory, names []string) (*loaded, error) {
	infos, warnings, err := c.infos(ctx, names)
	if err != nil {
		return nil, err
	}
	for _, text := range warnings {
		a.warnf("%s", text)
	}
	paths, hooks := make([]string, len(names)), make([]string, len(names))
	for i, name := range names {
		paths[i], hooks[i] = name+"/.CI/config", name+"/.CI/update.sh"
	}
	configs := make([]*state.PackageConfig, len(names))
	faults := make([]error, len(names))
	err = c.files.Read(ctx, paths, func(i int, data []byte) error {
		configs[i], _, faults[i] = state.ParsePackageConfig(paths[i], data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	hooked := make([]bool, len(names))
	err = c.files.Read(ctx, hooks, func(i int, _ []byte) error {
		hooked[i] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	read := onePerTime(c.files)
	l := &loaded{packages: make([]*candidates.Package, 0, len(names)), hooks: map[string]bool{}}
	for i, name := range names {
		if faults[i] != nil {
			l.faults = append(l.faults, packageFault{name, faults[i]})
			continue
		}
		if hooked[i] {
			l.hooks[name] = true
		}
		if configs[i] == nil {
			configs[i] = &state.PackageConfig{ExtraTimeout: 1}
		}
		l.packages = append(l.packages, &candidates.Package{
			Pkgbase: name, Config: configs[i], State: m.of(name), Info: infos[i],
			Files: func(ctx context.Context) (pkgdir.Dir, error) { return read(ctx, name) },
		})
	}
	return l, nil
}

// onePerTime makes reading directories safe for several goroutines: a repository is for one.
func onePerTime(files gitrepo.Files) func(context.Context, string) (pkgdir.Dir, error) {
	var mu sync.Mutex
	return func(ctx context.Context, dir string) (pkgdir.Dir, error) {
		mu.Lock()
		defer mu.Unlock()
		return files.Dir(ctx, dir)
	}
}

// chosen gives the packages that a run is about: the arguments, else CI_TEST_PACKAGE and CI_TEST_PACKAGES, else all.
func (a *app) chosen(c *catalog, args []string) ([]string, error) {
	if len(args) == 0 {
		for _, key := range []string{"CI_TEST_PACKAGE", "CI_TEST_PACKAGES"} {
			if v, _ := a.io.Getenv(key); v != "" {
				args = append(args, v)
			}
		}
	}
	requests, err := plan.ParseRequests(args)
	if err != nil {
		return nil, command.Usagef("%w", err)
	}
	if len(requests) == 0 {
		return c.names, nil
	}
	if requests, err = a.expand(c, requests); err != nil {
		return nil, err
	}
	names := make([]string, len(requests))
	for i, r := range requests {
		if r.Class != "" {
			return nil, command.Usagef("%s/%s: a class says where something is built; here nothing is asked but what would change", r.Pkgbase, r.Class)
		}
		names[i] = r.Pkgbase
	}
	slices.Sort(names)
	return names, nil
}

// rootFiles are files of the repository itself that a run reads.
type rootFiles struct {
	trusted   []string  // .ci/aur-maintainers
	aurState  time.Time // .ci/aur-state, the zero time when it is not there
	rawState  []byte
	editor    []byte // .editorconfig
	gitIgnore []byte // .gitignore
}

const (
	maintainersFile = ".ci/aur-maintainers"
	aurStateFile    = ".ci/aur-state"
	editorFile      = ".editorconfig"
	ignoreFile      = ".gitignore"
)

func (a *app) readRootFiles(ctx context.Context, files gitrepo.Files) (*rootFiles, error) {
	paths := []string{maintainersFile, aurStateFile, editorFile, ignoreFile}
	contents := make([][]byte, len(paths))
	err := files.Read(ctx, paths, func(i int, data []byte) error {
		contents[i] = slices.Clone(data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	r := &rootFiles{rawState: contents[1], editor: contents[2], gitIgnore: contents[3]}
	for line := range strings.Lines(string(contents[0])) {
		name, _, _ := strings.Cut(line, "#")
		if name = strings.TrimSpace(name); name != "" {
			r.trusted = append(r.trusted, name)
		}
	}
	if contents[1] != nil {
		if r.aurState, err = unixTime(string(contents[1])); err != nil {
			a.warnf("%s: %v: every AUR package without a time of its own is looked at", aurStateFile, err)
		}
	}
	return r, nil
}

// unixTime reads seconds since 1970, alone on a line or as the value of a KEY=VALUE line.
func unixTime(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	if file := conf.Parse("", []byte(text)); len(file.Keys()) == 1 {
		text, _ = file.Get(file.Keys()[0])
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("%.20q is no time in seconds since 1970", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
