package candidates

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/caur-build/caur/cmd/caur-ci/internal/download"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/state"
)

// Defaults of GitOptions.
const (
	gitParallel = 4
	gitRetry    = 30 * time.Second
	gitTimeout  = 5 * time.Minute // of one clone
)

// GitOptions of NewGit.
type GitOptions struct {
	CacheDir string // for the repositories that are fetched; each has a folder of its own in it
	// Style says how the PKGBUILD of a package is laid out (path: PKGBASE/PKGBUILD); nil: shfmt's default.
	Style    func(path string) (pkgbuild.Style, error)
	Delay    time.Duration // CI_CLONE_DELAY, from one clone to the next from the same host
	Parallel int           // clones at once; 0: 4
	Retry    time.Duration // pause before the second try of a clone; 0: 30 seconds

	Now   func() time.Time                           // nil: time.Now
	Sleep func(context.Context, time.Duration) error // nil: waits for real
}

// Git takes over packages that are kept in a git repository of their own (pipeline.md section 5.3).
type Git struct {
	o     GitOptions
	slots *semaphore.Weighted

	mu      sync.Mutex
	next    map[string]time.Time // host → when the next clone may begin
	fetched map[string]func() (*gitContent, error)
}

// gitContent is the newest commit of a repository. It is shared by the packages that come from it.
type gitContent struct {
	commit string
	files  pkgdir.Dir
}

// NewGit makes the source.
func NewGit(o GitOptions) *Git {
	if o.Parallel < 1 {
		o.Parallel = gitParallel
	}
	if o.Retry <= 0 {
		o.Retry = gitRetry
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = pause
	}
	return &Git{
		o: o, slots: semaphore.NewWeighted(int64(o.Parallel)),
		next: map[string]time.Time{}, fetched: map[string]func() (*gitContent, error){},
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Name is SourceGit.
func (*Git) Name() string { return SourceGit }

// Wants packages whose source is a git URL.
func (*Git) Wants(p *Package) bool { return p.Config.Source.Kind == state.SourceGit }

// Prepare has nothing to ask: each repository is a question of its own.
func (*Git) Prepare(context.Context, []*Package) error { return nil }

// Check compares the newest commit of the default branch with the package.
func (g *Git) Check(ctx context.Context, d *Draft) error {
	address := d.Package.Config.Source.URL
	remote, err := g.content(ctx, address)
	if err != nil {
		return err
	}
	files, err := d.Files(ctx)
	if err != nil {
		return err
	}
	next, err := g.takeOver(d.Package.Pkgbase, files, remote.files)
	if err != nil {
		return fmt.Errorf("commit %.12s of %s: %w", remote.commit, download.Clean(address), err)
	}
	if next.Equal(files) {
		return nil
	}
	why := fmt.Sprintf("commit %.12s of %s", remote.commit, download.Clean(address))
	if older, newer := versionOf(files), versionOf(next); older != "" && newer != "" && older != newer {
		why = older + " → " + newer
	}
	d.Change(SourceGit, why, next)
	return nil
}

// takeOver makes the directory that the remote's content leaves, with a PKGBUILD as shfmt would lay it out. A remote
// without .SRCINFO gets one where the PKGBUILD can be evaluated without being run.
func (g *Git) takeOver(pkgbase string, ours, remote pkgdir.Dir) (pkgdir.Dir, error) {
	recipe, err := regularFile(remote, "PKGBUILD")
	if err != nil {
		return nil, err
	}
	var style pkgbuild.Style
	if g.o.Style != nil {
		if style, err = g.o.Style(pkgbase + "/PKGBUILD"); err != nil {
			return nil, err
		}
	}
	text, err := pkgbuild.Format("PKGBUILD", recipe.Data, style)
	if err != nil {
		return nil, err
	}
	remote = remote.Clone()
	remote["PKGBUILD"] = pkgdir.File{Kind: recipe.Kind, Data: text}
	if _, there := remote[srcinfoName]; !there {
		if text, err = madeSrcinfo(recipe.Data); err != nil {
			return nil, err
		}
		remote[srcinfoName] = pkgdir.File{Data: text}
	}
	return ours.Take(remote), nil
}

func madeSrcinfo(recipe []byte) ([]byte, error) {
	f, err := pkgbuild.Parse("PKGBUILD", recipe)
	if err != nil {
		return nil, err
	}
	info, dynamic, err := f.Static().Srcinfo()
	if err == nil && len(dynamic) > 0 {
		err = &dynamic[0]
	}
	if err != nil {
		return nil, fmt.Errorf("there is no %s, and it cannot be made without running the PKGBUILD: %w", srcinfoName, err)
	}
	return info.Bytes(), nil
}

// content fetches a repository once in a run, however many packages come from it.
func (g *Git) content(ctx context.Context, address string) (*gitContent, error) {
	g.mu.Lock()
	get := g.fetched[address]
	if get == nil {
		get = sync.OnceValues(func() (*gitContent, error) { return g.fetch(ctx, address) })
		g.fetched[address] = get
	}
	g.mu.Unlock()
	return get()
}

func (g *Git) fetch(ctx context.Context, address string) (*gitContent, error) {
	sum := sha256.Sum256([]byte(address))
	cache := filepath.Join(g.o.CacheDir, hex.EncodeToString(sum[:8])+".git")
	commit, err := g.clone(ctx, cache, address)
	if errors.Is(err, git.ErrUnreachable) {
		if err := g.o.Sleep(ctx, g.o.Retry); err != nil {
			return nil, err
		}
		commit, err = g.clone(ctx, cache, address)
	}
	if err != nil {
		return nil, fmt.Errorf("fetch the package: %w", err)
	}
	files, err := readCommit(ctx, git.Repo{Dir: cache}, commit)
	if err != nil {
		return nil, fmt.Errorf("commit %.12s of %s: %w", commit, download.Clean(address), err)
	}
	return &gitContent{commit, files}, nil
}

// clone brings the newest commit here, when it is this repository's turn.
func (g *Git) clone(ctx context.Context, cache, address string) (string, error) {
	if err := g.slots.Acquire(ctx, 1); err != nil {
		return "", context.Cause(ctx)
	}
	defer g.slots.Release(1)
	if wait := g.turn(gitHost(address)); wait > 0 {
		if err := g.o.Sleep(ctx, wait); err != nil {
			return "", err
		}
	}
	timed, cancel := context.WithTimeoutCause(ctx, gitTimeout, fmt.Errorf("no answer within %s", gitTimeout))
	defer cancel()
	return git.FetchCommit(timed, cache, address, "")
}

// turn takes the next free time of a host and says how far off it is.
func (g *Git) turn(host string) time.Duration {
	if g.o.Delay <= 0 || host == "" {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.o.Now()
	at := g.next[host]
	if at.Before(now) {
		at = now
	}
	g.next[host] = at.Add(g.o.Delay)
	return at.Sub(now)
}

// gitHost is the host of a URL or of the form USER@HOST:PATH; "" for a local repository.
func gitHost(address string) string {
	if u, err := url.Parse(address); err == nil && u.Scheme != "" {
		return u.Host
	}
	before, _, _ := strings.Cut(address, ":")
	_, host, _ := strings.Cut(before, "@")
	return host
}
